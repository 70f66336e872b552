"""Temperature and reliability: known temperatures are found again, bins count their hips."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.special import expit, logit
from scipy.stats import t
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from rhoa import RhoaError, RhoaWarning
from rhoa.evaluation import (
    Recalibration,
    Temperature,
    evaluate,
    fit_recalibration,
    fit_temperature,
    reliability,
)


def overconfident(hips: int, temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn by true probabilities, and scores whose log odds are multiplied."""
    random = np.random.default_rng(0)
    odds = 1.5 * random.standard_normal(hips)
    return random.random(hips) < expit(odds), expit(temperature * odds)


class TestTemperature:
    @pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
    def test_a_known_temperature_is_found_again(self, factor: float) -> None:
        """The standard error of its logarithm is about 2 % at 20 000 hips."""
        labels, scores = overconfident(20_000, factor)

        assert fit_temperature(labels, scores).value == pytest.approx(factor, rel=0.06)

    @pytest.mark.parametrize("factor", [0.7, 2.0])
    def test_it_is_that_of_logistic_regression_through_the_origin(self, factor: float) -> None:
        labels, scores = overconfident(300, factor)
        regression = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-8, max_iter=10_000)
        regression.fit(logit(scores)[:, None], labels)

        found = fit_temperature(labels, scores)

        assert found.value == pytest.approx(1 / regression.coef_[0, 0], rel=1e-5)

    def test_it_lowers_loss_and_calibration_error_and_keeps_answers(self) -> None:
        labels, scores = overconfident(2000, 3.0)

        calibrated = fit_temperature(labels, scores).apply(scores)

        assert log_loss(labels, calibrated) < log_loss(labels, scores)
        before, after = (evaluate(labels, given, resamples=1) for given in (scores, calibrated))
        assert after.ece.value < before.ece.value / 2
        assert after.confusion == before.confusion
        assert after.roc_auc.value == pytest.approx(before.roc_auc.value, abs=1e-12)

    @given(
        st.lists(
            # Apart by more than a logarithm rounds, and what lies nearest to zero and one.
            st.integers(0, 10**6).map(lambda number: number / 10**6)
            | st.sampled_from([5e-324, 1e-300, 1e-9, 1 - 2**-53]),
            min_size=1,
            max_size=20,
        ),
        st.floats(0.05, 20),
    )
    def test_scores_stay_probabilities_in_their_order(
        self, scores: list[float], temperature: float
    ) -> None:
        calibrated = Temperature(temperature).apply(sorted(scores))

        assert ((calibrated >= 0) & (calibrated <= 1)).all()
        assert (np.diff(calibrated) >= 0).all()

    def test_one_changes_nothing(self) -> None:
        scores = np.linspace(0, 1, 11)

        np.testing.assert_allclose(Temperature(1.0).apply(scores), scores, atol=1e-15)

    def test_saturated_scores_stay_finite(self) -> None:
        labels = [1, 1, 1, 0, 0, 1]

        found = fit_temperature(labels, [1.0, 1.0, 1.0, 0.0, 0.0, 0.0])

        assert 1 < found.value < 100

    @pytest.mark.parametrize(
        ("scores", "problem"),
        [
            ([0.1, 0.9, 0.8], "perfectly separated"),
            ([0.1, 0.9, 0.5], "perfectly separated"),
            ([0.9, 0.1, 0.4], "than by chance"),
            ([0.5, 0.5, 0.5], "than by chance"),
        ],
    )
    def test_where_none_is_best_it_warns_and_leaves_scores_as_they_are(
        self, scores: list[float], problem: str
    ) -> None:
        with pytest.warns(RhoaWarning, match=problem):
            assert fit_temperature([0, 1, 1], scores) == Temperature(1.0)

    @given(st.lists(st.floats(0.001, 0.999), min_size=3, max_size=12), st.data())
    def test_else_no_other_is_likelier(self, scores: list[float], data: st.DataObject) -> None:
        """The best temperature's loss is below those around it; a hip is on the wrong side.

        Near chance the best is about half the sum of squares over the sum, here at most 2900: well
        below the largest that is looked for.
        """
        labels = [0, 1, *(data.draw(st.integers(0, 1)) for _ in scores[2:])]
        signed = np.where(labels, 1, -1) * logit(scores)
        assume(signed.sum() > 0.1)
        assume(signed.min() < -0.01)

        found = fit_temperature(labels, scores).value

        best, *others = (
            np.logaddexp(0, -signed / temperature).mean()
            for temperature in (found, 0.9 * found, 1.1 * found)
        )
        assert best <= min(others)

    @pytest.mark.parametrize(
        ("labels", "partition", "problem"),
        [
            ([0, 1, 1], ["val", "test", "test"], "2 of 3 hips are of test"),
            ([0, 1, 1], ["val"], "partition must name"),
            ([1, 1, 1], None, "a temperature needs hips of both classes; all 3 are rHOA"),
        ],
    )
    def test_only_validation_hips_of_both_classes_will_do(
        self, labels: list[int], partition: list[str] | None, problem: str
    ) -> None:
        with pytest.raises(RhoaError, match=problem):
            fit_temperature(labels, [0.2, 0.4, 0.6], partition=partition)

    @pytest.mark.parametrize("value", [0, -1, np.inf, np.nan])
    def test_a_temperature_is_positive(self, value: float) -> None:
        with pytest.raises(RhoaError, match="temperature must be a positive"):
            Temperature(value)


class TestReliability:
    @pytest.mark.parametrize(
        ("by", "strategy"), [("equal width", "uniform"), ("equal count", "quantile")]
    )
    def test_means_and_shares_are_scikit_learns(self, by: str, strategy: str) -> None:
        """Scores without ties and off the edges, of which scikit-learn takes the lower bin."""
        random = np.random.default_rng(1)
        scores = random.random(1000)
        labels = random.random(1000) < scores
        share, mean = calibration_curve(labels, scores, n_bins=10, strategy=strategy)

        found = reliability(labels, scores, by=by)

        tolerance = 1e-12 if by == "equal width" else 0.01  # quantiles interpolate otherwise
        np.testing.assert_allclose([one.share for one in found], share, atol=tolerance)
        np.testing.assert_allclose([one.score for one in found], mean, atol=tolerance)
        if by == "equal count":
            assert {one.hips for one in found} <= {99, 100, 101}

    @given(
        st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=1, max_size=50),
        st.integers(1, 12),
    )
    def test_every_hip_is_in_one_bin(self, hips: list[tuple[bool, float]], bins: int) -> None:
        labels, scores = (np.array(part) for part in zip(*hips, strict=True))

        for by in ("equal width", "equal count"):
            found = reliability(labels, scores, bins=bins, by=by)

            assert sum(one.hips for one in found) == len(hips)
            assert len(found) <= bins
            for one in found:
                assert one.low_edge - 1e-12 <= one.score <= one.high_edge + 1e-12
                assert one.low <= one.share <= one.high

    def test_bins_give_the_expected_calibration_error(self) -> None:
        labels, scores = overconfident(400, 2.0)

        gaps = sum(one.hips * abs(one.score - one.share) for one in reliability(labels, scores))

        assert gaps / 400 == pytest.approx(evaluate(labels, scores, resamples=1).ece.value)

    def test_hips_of_a_patient_count_together(self) -> None:
        labels, scores = overconfident(200, 1.0)
        twice = np.repeat(labels, 2), np.repeat(scores, 2)

        (alone,) = reliability(labels, scores, bins=1)
        (grouped,) = reliability(*twice, groups=np.repeat(np.arange(200), 2), bins=1)

        assert grouped.high - grouped.low == pytest.approx(alone.high - alone.low, rel=0.02)

    def test_consistency_bars_hold_the_shares_of_a_calibrated_model(self) -> None:
        """95 % of the bins of 100 cohorts of pairs; those of another model fewer."""
        inside = {1.0: [], 2.5: []}
        for seed in range(100):
            labels, scores, groups = pairs(40, seed)
            for factor, found in inside.items():
                bins = reliability(labels, expit(factor * logit(scores)), groups=groups)
                found += [b.expected_low <= b.share <= b.expected_high for b in bins]

        assert 0.93 < np.mean(inside[1.0]) <= 1
        assert np.mean(inside[2.5]) < 0.9

    def test_weights_are_hips(self) -> None:
        labels, scores, weights = [0, 1, 1, 0], [0.12, 0.15, 0.95, 0.91], [1, 3, 2, 0]

        low, high = reliability(labels, scores, sample_weight=weights)

        assert (low.hips, high.hips) == (2, 1)
        assert low.share == pytest.approx(0.75)
        assert low.score == pytest.approx((0.12 + 3 * 0.15) / 4)


def pairs(subjects: int, seed: int, distance: float = 1.5) -> tuple[np.ndarray, ...]:
    """Labels, calibrated scores and groups of two hips a subject that share half of it all."""
    random = np.random.default_rng(seed)
    common = random.standard_normal((2, subjects)).repeat(2, axis=1)
    tendency, noise = (common + random.standard_normal((2, 2 * subjects))) / np.sqrt(2)
    labels = tendency < 0
    odds = distance * (distance * (labels - 0.5) + noise)
    return labels, expit(odds), np.arange(subjects).repeat(2)


class TestSlopeAndIntercept:
    @pytest.mark.parametrize("factor", [0.6, 1.0, 2.0])
    def test_values_are_those_of_logistic_regression(self, factor: float) -> None:
        labels, scores = overconfident(300, factor)
        regression = LogisticRegression(C=np.inf, tol=1e-9, max_iter=10_000)
        regression.fit(logit(scores)[:, None], labels)

        result = evaluate(labels, scores, resamples=1)

        assert result.calibration_slope.value == pytest.approx(regression.coef_[0, 0], rel=1e-4)
        shifted = expit(logit(scores) + result.calibration_intercept.value)
        assert shifted.mean() == pytest.approx(labels.mean(), abs=1e-9)
        assert result.oe_ratio.value == pytest.approx(labels.mean() / scores.mean())

    def test_the_error_is_the_sandwich_of_clusters_left_out(self) -> None:
        """CR3 with the matrices of Bell and McCaffrey, subject by subject."""
        labels, scores, groups = pairs(30, 1)
        design = np.stack([np.ones(60), logit(scores)], axis=1)
        beta = np.zeros(2)
        for _ in range(50):
            chance = expit(design @ beta)
            bend = design.T * (chance * (1 - chance)) @ design
            beta += np.linalg.solve(bend, design.T @ (labels - chance))
        chance = expit(design @ beta)
        weight, bread = chance * (1 - chance), np.linalg.inv(bend)
        parts = []
        for subject in range(30):
            own = design[groups == subject]
            hat = own @ bread @ own.T * weight[groups == subject]  # H of the working model
            left = np.linalg.solve(np.eye(2) - hat, np.diag(1 / weight[groups == subject]))
            residual = left @ (labels - chance)[groups == subject]
            parts.append(bread @ (own.T * weight[groups == subject]) @ residual)
        parts = np.array(parts)[:, 1]
        error = np.sqrt(29 / 30 * np.sum((parts - parts.mean()) ** 2))

        found = evaluate(labels, scores, groups=groups, resamples=1).calibration_slope

        assert found.value == pytest.approx(beta[1])
        kurtosis = (
            30 * np.sum((parts - parts.mean()) ** 4) / np.sum((parts - parts.mean()) ** 2) ** 2
        )
        reach = t.ppf(0.975, np.clip(60 / (kurtosis - 1), 2, 29)) * error
        assert found.high - found.low == pytest.approx(2 * reach, rel=1e-6)

    @pytest.mark.parametrize(
        ("scores", "note"),
        [
            ([0.1, 0.2, 0.3, 0.7, 0.8, 0.9], "do not overlap"),
            ([0.1, 0.2, 0.5, 0.5, 0.8, 0.9], "do not overlap"),
            ([0.5] * 6, "all scores are equal"),
        ],
    )
    def test_no_slope_is_likeliest_where_classes_are_apart(
        self, scores: list[float], note: str
    ) -> None:
        result = evaluate([0, 0, 0, 1, 1, 1], scores, resamples=1)

        assert np.isnan(result.calibration_slope).all()
        assert note in result.calibration_slope.note
        assert np.isfinite(result.calibration_intercept).all()

    def test_one_class_bounds_the_ratio_of_observed_to_expected(self) -> None:
        """0 of 6 subjects: at most the share of Clopper-Pearson over the mean score."""
        result = evaluate([0] * 6, [0.2] * 6, resamples=1)

        assert result.oe_ratio == pytest.approx((0, 0, (1 - 0.025 ** (1 / 6)) / 0.2))
        assert "one-sided" in result.oe_ratio.note
        assert np.isnan(result.calibration_intercept.value)


class TestCalibrationError:
    @pytest.mark.parametrize("subjects", [12, pytest.param(60, marks=pytest.mark.slow)])
    def test_chance_adds_nothing_to_its_square(self, subjects: int) -> None:
        """Its square by products between subjects, in closed form, has the mean 0; the ECE has not.

        The mean of 300 cohorts of its square, which is cut at 0, is below that of the ECE's square.
        """
        errors, ece, expected, p = [], [], [], []
        for seed in range(300):
            labels, scores, groups = pairs(subjects, seed)
            result = evaluate(labels, scores, groups=groups, resamples=100)
            errors.append(result.calibration_error.value)
            ece.append(result.ece.value)
            expected.append(result.ece_expected)
            p.append(result.ece_p)

        assert np.median(errors) < 0.6 * np.median(ece)
        assert np.mean(expected) == pytest.approx(np.mean(ece), rel=0.1)
        assert 0.01 < np.mean(np.array(p) < 0.05) < 0.09  # 5 %; three standard errors

    def test_of_two_subjects_a_bin_it_is_the_root_of_a_product(self) -> None:
        """One bin, one hip a subject: the mean of the products of all pairs of errors."""
        scores, labels = [0.92, 0.95, 0.98, 0.91, 0.97], [0, 0, 1, 1, 0]
        error = np.subtract(scores, labels)
        products = [error[i] * error[j] for i in range(5) for j in range(5) if i != j]

        found = evaluate(labels, scores, resamples=1).calibration_error

        assert found.value == pytest.approx(np.sqrt(np.mean(products)))

    def test_it_finds_the_error_of_many_hips(self) -> None:
        """Scores .1 too high throughout."""
        random = np.random.default_rng(0)
        chance = random.uniform(0.05, 0.85, 20_000)
        result = evaluate(random.random(20_000) < chance, chance + 0.1, resamples=20)

        assert result.calibration_error.value == pytest.approx(0.1, abs=0.01)
        assert result.calibration_error.low < 0.1 < result.calibration_error.high
        assert result.ece_p == pytest.approx(1 / 21)


class TestRecalibration:
    def test_it_is_logistic_regression(self) -> None:
        labels, scores = overconfident(300, 2.0)
        regression = LogisticRegression(C=np.inf, tol=1e-9, max_iter=10_000)
        regression.fit(logit(scores)[:, None], labels)

        found = fit_recalibration(labels, scores)

        assert found.slope == pytest.approx(regression.coef_[0, 0], rel=1e-4)
        assert found.intercept == pytest.approx(regression.intercept_[0], abs=1e-4)

    def test_it_mends_a_shift_of_prevalence_that_a_temperature_cannot(self) -> None:
        random = np.random.default_rng(0)
        odds = 1.5 * random.standard_normal(4000)
        labels, scores = random.random(4000) < expit(odds + 0.8), expit(odds)

        ratios = {
            fit: evaluate(labels, fit(labels, scores).apply(scores), resamples=1).oe_ratio
            for fit in (fit_temperature, fit_recalibration)
        }

        assert ratios[fit_temperature].low > 1.1
        assert ratios[fit_recalibration].value == pytest.approx(1, abs=1e-6)

    @pytest.mark.parametrize("scores", [[0.1, 0.2, 0.9], [0.9, 0.3, 0.2], [0.5] * 3])
    def test_where_none_is_likeliest_scores_stay(self, scores: list[float]) -> None:
        with pytest.warns(RhoaWarning, match="no recalibration is best"):
            assert fit_recalibration([0, 1, 1], scores) == Recalibration(1.0, 0.0)

    def test_test_hips_are_refused(self) -> None:
        with pytest.raises(RhoaError, match="1 of 2 hips are of test"):
            fit_recalibration([0, 1], [0.4, 0.6], partition=["val", "test"])
