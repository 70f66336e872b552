"""Labels, scores and groups as arrays, or an error that says what is wrong with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rhoa.errors import ParameterError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def require_labels(y_true: ArrayLike) -> NDArray[np.bool_]:
    """``y_true`` as one truth value a hip."""
    labels = np.asarray(y_true)
    if labels.ndim != 1 or labels.size == 0:
        raise ParameterError(f"y_true must be a list of labels; got shape {labels.shape}.")
    if labels.dtype.kind not in "buif" or not np.isin(labels, (0, 1)).all():
        raise ParameterError("y_true must hold 0 (no rHOA) and 1 (rHOA) only.")
    return labels.astype(bool)


def require_both_classes(labels: NDArray[np.bool_], purpose: str) -> None:
    """Check that hips of either class are there."""
    if labels.all() or not labels.any():
        raise ParameterError(
            f"{purpose} needs hips of both classes; all {labels.size} are "
            f"{'rHOA' if labels.all() else 'no rHOA'}."
        )


def require_scores(
    y_score: ArrayLike, hips: int | None = None, *, name: str = "y_score"
) -> NDArray[np.float64]:
    """``y_score`` as one probability a hip, of as many hips as there are labels."""
    scores = np.asarray(y_score)
    if scores.ndim != 1 or scores.dtype.kind not in "buif":
        raise ParameterError(
            f"{name} must be a list of numbers, the probability of rHOA of each hip; "
            f"got dtype {scores.dtype}, shape {scores.shape}."
        )
    scores = scores.astype(np.float64)
    if hips is not None and scores.size != hips:
        raise ParameterError(f"y_true and {name} must be as long; got {hips} and {scores.size}.")
    wrong = int((~((scores >= 0) & (scores <= 1))).sum())  # counts NaN too
    if wrong:
        raise ParameterError(
            f"{name} must lie in [0, 1]; {wrong} of {scores.size} scores are NaN or outside."
        )
    return scores


def require_groups(groups: ArrayLike | None, hips: int) -> NDArray[np.intp]:
    """Patient of each hip as 0, 1, ... without gaps; each hip its own where none are given."""
    if groups is None:
        return np.arange(hips)
    names = np.asarray(groups)
    if names.shape != (hips,):
        raise ParameterError(
            f"groups must name the patient of each of the {hips} hips; got shape {names.shape}."
        )
    return np.unique(names.astype(str), return_inverse=True)[1]


def require_threshold(threshold: object) -> float:
    """``threshold`` as a probability."""
    if not isinstance(threshold, int | float | np.number) or not 0 <= threshold <= 1:
        raise ParameterError(f"threshold must be a number in [0, 1]; got {threshold!r}.")
    return float(threshold)


def require_validation(partition: ArrayLike | None, hips: int, purpose: str) -> None:
    """Check that all hips are of the validation set, where partitions are given."""
    if partition is None:
        return
    names = np.asarray(partition)
    if names.shape != (hips,):
        raise ParameterError(
            f"partition must name that of each of the {hips} hips; got shape {names.shape}."
        )
    others = sorted({str(name) for name in names} - {"val"})
    if others:
        raise ParameterError(
            f"{purpose} is chosen on validation hips (val) only; "
            f"{int((names.astype(str) != 'val').sum())} of {hips} hips are of {', '.join(others)}."
        )
