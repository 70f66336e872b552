"""Cross-validation: areas within folds, what pooling does to them, thresholds of folds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, ndtr
from sklearn.metrics import average_precision_score, roc_auc_score

from rhoa.errors import ParameterError
from rhoa.evaluation import evaluate_folds


def test_two_folds_that_rank_without_mistake_on_other_scales() -> None:
    """Scores of fold 2 lie above those of fold 1: one pair of four is of rHOA 1 below others 2."""
    labels, folds = [0, 1] * 10, [1] * 10 + [2] * 10
    scores = [0.1, 0.2] * 5 + [0.8, 0.9] * 5

    found = evaluate_folds(labels, scores, folds)

    assert found.by_fold == (1.0, 1.0)
    assert (found.roc_auc.value, found.roc_auc.high) == (1.0, 1.0)
    assert 0.5 < found.roc_auc.low < 1
    assert "do not overlap in any fold" in found.roc_auc.note
    assert found.pooled.roc_auc.value == pytest.approx(0.75)
    assert found.pooled.roc_auc.value < found.roc_auc.low
    assert found.pr_auc.value == 1.0 > found.pooled.pr_auc.value


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32), folds=st.integers(2, 6))
def test_means_are_of_the_areas_of_scikit_learn_fold_by_fold(seed: int, folds: int) -> None:
    random = np.random.default_rng(seed)
    subjects = np.repeat(np.arange(12 * folds), 2)
    fold_of = subjects % folds
    labels = random.random(subjects.size) < 0.4
    scores = np.round(random.random(subjects.size), 2)

    found = evaluate_folds(labels, scores, fold_of, groups=subjects)

    own = [fold_of == fold for fold in range(folds)]
    areas = [roc_auc_score(labels[hips], scores[hips]) for hips in own]
    assert found.by_fold == pytest.approx(areas)
    assert found.roc_auc.value == pytest.approx(np.mean(areas))
    precisions = [average_precision_score(labels[hips], scores[hips]) for hips in own]
    assert found.pr_auc.value == pytest.approx(np.mean(precisions))
    assert found.pooled.roc_auc.value == pytest.approx(roc_auc_score(labels, scores))
    assert found.roc_auc.low < found.roc_auc.value < found.roc_auc.high


def test_another_scale_of_one_model_changes_the_pooled_area_alone() -> None:
    random = np.random.default_rng(3)
    folds = np.arange(80) % 4
    labels = random.random(80) < 0.5
    odds = 2 * labels + random.normal(size=80)
    shifted = odds + 3 * (folds == 2)

    plain, other = (evaluate_folds(labels, expit(one), folds) for one in (odds, shifted))

    assert other.roc_auc == plain.roc_auc
    assert other.by_fold == plain.by_fold
    assert other.pooled.roc_auc.value < plain.pooled.roc_auc.value - 0.05


def test_a_fold_of_one_class_has_no_area_and_the_note_says_so() -> None:
    labels = [0, 1, 1, 0, 1, 1, 1, 1]
    scores = [0.1, 0.9, 0.2, 0.3, 0.8, 0.9, 0.1, 0.5]

    found = evaluate_folds(labels, scores, [1, 1, 1, 2, 2, 2, 3, 3])

    assert np.isnan(found.by_fold[2])
    assert found.roc_auc.value == np.mean([1.0, 1.0])
    assert found.roc_auc.note.startswith("of 2 of 3 folds")
    alone = evaluate_folds([1, 1, 1, 0, 0, 0], [0.5] * 6, [1, 1, 1, 2, 2, 2])
    assert np.isnan(alone.roc_auc.value)
    assert alone.roc_auc.note == "undefined: no fold has hips of both classes."


@pytest.mark.parametrize("subjects", [30, pytest.param(100, marks=pytest.mark.slow)])
def test_intervals_hold_the_area_of_models_that_rank_alike_on_scales_of_their_own(
    subjects: int,
) -> None:
    """Both hips of a subject share half of the noise; the area is that of two normal classes."""
    random = np.random.default_rng(subjects)
    groups = np.repeat(np.arange(subjects), 2)
    folds, truth = groups % 5, float(ndtr(1.5 / np.sqrt(2)))
    held = 0
    for _ in range(150):
        noise = random.normal(size=(2, subjects))[:, groups] + random.normal(size=(2, groups.size))
        labels = noise[0] > 0.5
        odds = 1.5 * labels + noise[1] / np.sqrt(2) + random.normal(size=5)[folds]
        _, low, high = evaluate_folds(labels, expit(odds), folds, groups=groups).roc_auc
        held += low <= truth <= high

    assert held >= 0.93 * 150


class TestThresholds:
    """Fold 1 is cut at 0.15, fold 2 at 0.85; one threshold for both could not be right."""

    LABELS, FOLDS = [0, 1] * 6, [1] * 6 + [2] * 6
    SCORES = [0.1, 0.2] * 3 + [0.8, 0.9] * 3

    def test_hips_are_called_at_that_of_their_fold(self) -> None:
        cutoffs = [0.15] * 6 + [0.85] * 6

        found = evaluate_folds(self.LABELS, self.SCORES, self.FOLDS, thresholds=cutoffs)

        assert found.thresholds == (0.15, 0.85)
        assert found.at_thresholds["balanced_accuracy"].value == 1.0
        assert found.pooled.balanced_accuracy.value == 0.5

    def test_a_fold_without_one_is_left_out(self) -> None:
        cutoffs = [0.15] * 5 + [0.15] + [np.nan] * 6

        found = evaluate_folds(self.LABELS, self.SCORES, self.FOLDS, thresholds=cutoffs)

        assert found.at_thresholds["recall"].value == 1.0
        assert np.isnan(found.thresholds[1])
        none = evaluate_folds(self.LABELS, self.SCORES, self.FOLDS, thresholds=[np.nan] * 12)
        assert none.at_thresholds == {}

    def test_without_thresholds_there_are_no_answers(self) -> None:
        found = evaluate_folds(self.LABELS, self.SCORES, self.FOLDS)

        assert (found.thresholds, found.at_thresholds) == ((), {})

    @pytest.mark.parametrize(
        ("cutoffs", "message"),
        [([0.1] * 5 + [0.2] * 7, "a fold has several"), ([0.1] * 3, "of the fold of each of 12")],
    )
    def test_what_is_not_one_a_fold_is_refused(self, cutoffs: list[float], message: str) -> None:
        with pytest.raises(ParameterError, match=message):
            evaluate_folds(self.LABELS, self.SCORES, self.FOLDS, thresholds=cutoffs)


@pytest.mark.parametrize(
    ("folds", "message"),
    [([1, 1, 1, 1], "two or more"), ([1, 2], "each of 4 hips"), ([1, 2, 2, 2], "1 subjects have")],
)
def test_folds_that_are_none_are_refused(folds: list[int], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        evaluate_folds([0, 1, 0, 1], [0.1, 0.2, 0.3, 0.4], folds, groups=["a", "a", "b", "c"])
