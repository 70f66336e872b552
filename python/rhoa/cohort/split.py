"""Partitions for training, validation and test that share no subject."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np

from rhoa.errors import ManifestError, ParameterError, require_choice, require_count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

PARTITIONS = ("train", "val", "test")
Rule = Literal["paper", "largest"]


def split(
    labels: ArrayLike,
    *,
    groups: ArrayLike,
    fractions: tuple[float, float, float] = (0.55, 0.30, 0.15),
    rule: Rule = "paper",
    seed: int = 2020,
) -> NDArray[np.str_]:
    """The partition of each hip ("train", "val", "test"), one for all hips of a group.

    Each class is split by itself. Where every group is one hip, the counts are exactly the rule's;
    where groups hold several hips, they are as near as whole groups come. The result depends on the
    seed and on which hips belong to which group, not on their order.

    Parameters
    ----------
    labels
        Class of each hip.
    groups
        Subject of each hip. There is no default: hips of one subject must stay together.
    fractions
        Of training, validation and test.
    rule
        ``"paper"``: floor(train), round(test), the rest for validation, which gives the counts of
        Table 1. ``"largest"``: largest remainders.
    seed
        Of the random order in which subjects are drawn.

    Raises
    ------
    ParameterError
        If lengths differ, a fraction is negative or they do not sum to one.

    References
    ----------
    Gebre et al. 2022, Table 1.

    Examples
    --------
    >>> parts = split([1] * 59, groups=range(59), fractions=(0.5, 0.25, 0.25))
    >>> [int((parts == part).sum()) for part in ("train", "val", "test")]
    [29, 15, 15]
    """
    require_choice("rule", rule, ["paper", "largest"])
    require_count("seed", seed, least=0)
    if any(label is None for label in np.asarray(labels, dtype=object).ravel()):
        raise ParameterError("labels must not be None; split the hips that have one.")
    if np.shape(fractions) != (3,) or min(fractions) < 0 or not math.isclose(sum(fractions), 1):
        raise ParameterError(f"fractions must be three shares that sum to 1; got {fractions}.")
    classes, codes = np.unique(np.asarray(labels), return_inverse=True)
    subjects, members = np.unique(np.asarray(groups).astype(str), return_inverse=True)
    if codes.shape != members.shape or codes.ndim != 1:
        raise ParameterError(
            f"labels and groups must be as long; got {codes.size} and {members.size}."
        )
    counts = np.zeros((len(subjects), len(classes)), int)
    np.add.at(counts, (members, codes), 1)
    totals = counts.sum(axis=0)
    targets = np.array([_partition_sizes(total, fractions, rule) for total in totals])
    assigned = _assign(counts, targets.reshape(len(classes), 3), np.random.default_rng(seed))
    return np.array(PARTITIONS)[assigned[members]]


def _partition_sizes(total: int, fractions: Sequence[float], rule: Rule) -> list[int]:
    exact = [fraction * total for fraction in fractions]
    if rule == "paper":
        train, test = math.floor(exact[0] + 1e-9), math.floor(exact[2] + 0.5)
        return [train, total - train - test, test]
    sizes = [math.floor(size + 1e-9) for size in exact]
    order = sorted(range(3), key=lambda part: sizes[part] - exact[part])
    for part in order[: total - sum(sizes)]:
        sizes[part] += 1
    return sizes


def _assign(
    counts: NDArray[np.int_], targets: NDArray[np.int_], random: np.random.Generator
) -> NDArray[np.int_]:
    """Partition of each subject: in random order, largest first, where most places are left.

    ``counts`` are hips of each (subject, class), ``targets`` places of each (class, partition).
    """
    order = random.permutation(len(counts))
    order = order[np.argsort(-counts[order].sum(axis=1), kind="stable")]
    room = targets.astype(float)
    assigned = np.zeros(len(counts), int)
    for subject in order:
        hips = counts[subject]
        mine = hips > 0
        # How badly the subject overfills each partition, then how full the partition is already.
        overflow = np.maximum(hips[mine, None] - room[mine], 0).sum(axis=0)
        share = (room[mine] / np.maximum(targets[mine], 1)).sum(axis=0)
        part = int(np.lexsort((-share, overflow))[0])
        assigned[subject] = part
        room[:, part] -= hips
    return assigned


def require_disjoint(groups: ArrayLike, partitions: ArrayLike) -> None:
    """Check that no group lies in two partitions.

    Raises
    ------
    ManifestError
        With the number of subjects that do; their names stay out of the message.
    """
    subjects, members = np.unique(np.asarray(groups).astype(str), return_inverse=True)
    _, codes = np.unique(np.asarray(partitions).astype(str), return_inverse=True)
    pairs = np.unique(np.stack([members, codes]), axis=1)
    leaking = int((np.bincount(pairs[0], minlength=len(subjects)) > 1).sum())
    if leaking:
        raise ManifestError(
            f"{leaking} of {len(subjects)} subjects lie in more than one partition: results would "
            "be too good; split again with rhoa.cohort.split(labels, groups=subjects)."
        )
