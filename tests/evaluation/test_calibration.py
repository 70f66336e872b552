"""Temperature and reliability: known temperatures are found again, bins count their hips."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.special import expit, logit
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from rhoa import RhoaError, RhoaWarning
from rhoa.evaluation import Temperature, evaluate, fit_temperature, reliability


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
            ([0.1, 0.9, 0.8], "apart altogether"),
            ([0.1, 0.9, 0.5], "apart altogether"),
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
