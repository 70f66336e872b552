"""Partitions and folds that share no subject, and how near they come to what was wanted."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from rhoa.errors import ManifestError, ParameterError, require_choice, require_count

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import ArrayLike, NDArray

    Counts = NDArray[np.int_]
    Numbers = NDArray[np.float64]


# Whole groups into partitions, every class as near to its wanted counts as they allow.

MOST_NODES = 50
"""Of the branch and bound; a count and not a time, so that one seed gives one result everywhere."""
SLACK = 1
"""Groups by which a kind may leave its share of a partition, so that no kind is in one alone."""


def place(counts: Counts, targets: Numbers, random: np.random.Generator) -> Counts:
    """The partition of each group, ``(groups,)``.

    Groups with the same counts of each class are of one kind. How many of a kind lie in each
    partition is a mixed-integer linear program, solved by HiGHS: the sum of squared differences
    between reached and wanted counts is as small as it finds, and a class that misses a partition
    it is wanted in costs one more. Which groups of a kind go where is drawn.

    Parameters
    ----------
    counts
        Members of each (group, class).
    targets
        Wanted members of each (class, partition); a class sums to its number of members.
    random
        Draws.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import block_array, eye_array, kron

    partitions = targets.shape[1]
    kinds, kind_of, sizes = np.unique(counts, axis=0, return_inverse=True, return_counts=True)
    drawn = random.permutation(len(kinds))  # among equal optima, the order decides
    kinds, sizes, kind_of = kinds[drawn], sizes[drawn], np.argsort(drawn)[kind_of.reshape(-1)]
    shares = targets / np.maximum(targets.sum(axis=1, keepdims=True), 1)
    wanted = (kinds @ shares / kinds.sum(axis=1, keepdims=True) * sizes[:, None]).ravel()
    fewest = np.maximum(np.floor(wanted + 1e-9) - SLACK, 0)
    most = np.minimum(np.ceil(wanted - 1e-9) + SLACK, np.repeat(sizes, partitions))

    # A reached count is a start and unit steps up, each dearer than the one before, so that a least
    # sum takes them in order; far from the target the last step, or one down, goes on for ever.
    goals = targets.reshape(-1, 1)
    steps = np.floor(goals) + np.arange(-2 * counts.max() - 1, 2 * counts.max() + 2)
    dearer = 2 * (steps - goals) + 1 - ((steps == 0) & (goals >= 1))
    longest = np.where(steps >= 0, 1.0, 0.0)
    longest[:, -1] = np.inf
    start = np.maximum(steps[:, 0], 0)
    down = 2 * (goals[:, 0] - start) + 1
    up = kron(eye_array(goals.size), np.ones((1, steps.shape[1])))
    table = [
        [kron(eye_array(len(kinds)), np.ones((1, partitions))), None, None],
        [kron(kinds.T, eye_array(partitions)), -up, eye_array(goals.size)],
    ]
    sums = np.concatenate([sizes, start])
    spare = np.zeros(goals.size + steps.size)
    nodes = MOST_NODES
    while True:
        found = milp(
            np.concatenate([np.zeros(wanted.size), dearer.ravel(), down]),
            integrality=np.concatenate([np.ones(wanted.size), spare]),
            bounds=Bounds(
                np.concatenate([fewest, spare]),
                np.concatenate([most, longest.ravel(), np.where(start > 0, np.inf, 0)]),
            ),
            constraints=LinearConstraint(block_array(table), sums, sums),
            options={"node_limit": nodes},
        )
        if found.x is not None:
            break
        nodes *= 10  # none met yet that is whole; there is one
    groups = np.rint(found.x[: wanted.size]).astype(int)
    order = random.permutation(len(counts))
    order = order[np.argsort(kind_of[order], kind="stable")]
    assigned = np.empty(len(counts), int)
    assigned[order] = np.repeat(np.tile(np.arange(partitions), len(kinds)), groups)
    return assigned


# How near partitions come to what was wanted of them.


@dataclass(frozen=True, slots=True)
class Share:
    """One class in one partition: hips that were wanted there, and hips that are.

    ``stratum`` is empty where there are no strata.
    """

    label: str
    stratum: str
    partition: str
    wanted: int
    reached: int


@dataclass(frozen=True, slots=True)
class Balance:
    """Wanted and reached counts; printed, a line for each class and partition."""

    shares: tuple[Share, ...]

    @property
    def largest_difference(self) -> int:
        """Hips by which the worst share misses its wanted count."""
        return max((abs(share.reached - share.wanted) for share in self.shares), default=0)

    def as_dict(self) -> dict[str, object]:
        """Plain types, for JSON."""
        return {
            "largest_difference": self.largest_difference,
            "shares": [asdict(share) for share in self.shares],
        }

    def __str__(self) -> str:
        return "\n".join(
            f"{share.stratum or 'all'} {share.label} {share.partition}: "
            f"{share.wanted} wanted, {share.reached} reached"
            for share in self.shares
        )


PARTITIONS = ("train", "val", "test")
MOST_FOLDS = 100
PAPER = (0.55, 0.30, 0.15)
Rule = Literal["paper", "largest"]
Shares = tuple[float, float, float]


def split(
    labels: ArrayLike,
    *,
    groups: ArrayLike | None,
    fractions: Shares | Mapping[str, Shares] = PAPER,
    rule: Rule = "paper",
    seed: int = 2020,
    strata: ArrayLike | None = None,
) -> NDArray[np.str_]:
    """The partition of each hip ("train", "val", "test"), one for all hips of a group.

    Each class is split by itself. Where every group is one hip, the counts are exactly the rule's;
    where groups hold several hips, they are as near as whole groups allow, and `balance` tells how
    near. The result depends on the seed and on which hips
    belong to which group, not on their order.

    Parameters
    ----------
    labels
        Class of each hip.
    groups
        Subject of each hip. There is no default, for hips of one subject must stay together; None
        says that every hip is of another subject.
    fractions
        Of training, validation and test; or those of each stratum, by its name.
    rule
        ``"paper"``: floor(train), round(test), the rest for validation, which gives the counts of
        Table 1. ``"largest"``: largest remainders.
    seed
        Of the random order in which subjects are drawn.
    strata
        What else to split by itself, such as the source of each image. A subject of two strata
        still stays in one partition.

    Raises
    ------
    ParameterError
        If lengths differ, a fraction is negative or they do not sum to one.

    References
    ----------
    Gebre et al. 2022, Table 1.

    Examples
    --------
    >>> partitions = split([1] * 59, groups=None, fractions=(0.5, 0.25, 0.25))
    >>> [int((partitions == name).sum()) for name in ("train", "val", "test")]
    [29, 15, 15]
    """
    require_choice("rule", rule, ["paper", "largest"])
    require_count("seed", seed, least=0)
    classes, codes = _classes(labels, strata)
    counts, members = _counts(codes, groups, len(classes))
    targets = _targets(classes, codes, fractions, rule)
    assigned = place(counts, targets, np.random.default_rng(seed))
    return np.array(PARTITIONS)[assigned[members]]


def folds(
    labels: ArrayLike,
    *,
    groups: ArrayLike | None,
    count: int = 5,
    seed: int = 2020,
    strata: ArrayLike | None = None,
) -> NDArray[np.int_]:
    """The fold of each hip (0 to ``count`` - 1), one for all hips of a group.

    Folds are alike in size and in the share of each class, as near as whole groups allow.

    Parameters
    ----------
    labels
        Class of each hip.
    groups
        Subject of each hip, or None where every hip is of another subject, as in `split`.
    count
        Of folds, from 2 to 100 and to the number of subjects.
    seed
        Of the random order in which subjects are drawn.
    strata
        What else to spread evenly, such as the source of each image.

    Raises
    ------
    ParameterError
        If lengths differ, or there are fewer subjects than folds or too many folds.

    Examples
    --------
    >>> fold_of = folds([0, 1] * 10, groups=[n // 2 for n in range(20)], count=5)
    >>> [int((fold_of == fold).sum()) for fold in range(5)]
    [4, 4, 4, 4, 4]
    """
    if require_count("count", count, least=2) > MOST_FOLDS:
        raise ParameterError(f"count must be at most {MOST_FOLDS} folds; got {count}.")
    require_count("seed", seed, least=0)
    classes, codes = _classes(labels, strata)
    counts, members = _counts(codes, groups, len(classes))
    if len(counts) < count:
        raise ParameterError(
            f"{count} folds need as many subjects; there are {len(counts)}; ask for fewer folds."
        )
    counts = np.hstack([counts, counts.sum(axis=1, keepdims=True)])  # their size counts too
    targets = np.repeat(counts.sum(axis=0)[:, None] / count, count, axis=1)
    return place(counts, targets, np.random.default_rng(seed))[members]


def balance(
    labels: ArrayLike,
    partitions: ArrayLike,
    *,
    fractions: Shares | Mapping[str, Shares] = PAPER,
    rule: Rule = "paper",
    strata: ArrayLike | None = None,
) -> Balance:
    """Wanted and reached counts of each class in each partition.

    Parameters
    ----------
    labels, fractions, rule, strata
        As `split` was given them.
    partitions
        What it answered.

    Raises
    ------
    ParameterError
        If lengths differ or a partition is none of the three.

    Examples
    --------
    >>> labels, groups = [0, 0, 1, 1, 0, 0, 0, 0], [1, 1, 2, 2, 3, 3, 4, 4]
    >>> partitions = split(labels, groups=groups, fractions=(0.5, 0.25, 0.25))
    >>> balance(labels, partitions, fractions=(0.5, 0.25, 0.25)).largest_difference
    1
    """
    require_choice("rule", rule, ["paper", "largest"])
    classes, codes = _classes(labels, strata)
    reached = np.asarray(partitions).astype(str)
    if reached.shape != codes.shape or not np.isin(reached, PARTITIONS).all():
        raise ParameterError(
            f"partitions must be train, val or test, one for each of {codes.size} labels."
        )
    targets = _targets(classes, codes, fractions, rule).astype(int)
    return Balance(
        tuple(
            Share(
                label, stratum, name, int(wanted), int(((codes == code) & (reached == name)).sum())
            )
            for code, (label, stratum) in enumerate(classes)
            for name, wanted in zip(PARTITIONS, targets[code], strict=True)
        )
    )


NO_GROUP = frozenset({"", "nan", "none", "<na>", "nat"})
"""What programs make of a missing subject when they write it as text."""


def named_groups(groups: ArrayLike) -> NDArray[np.str_]:
    """The subject of each hip as text.

    Raises
    ------
    ParameterError
        If one is missing (NaN, None, empty): all of these would be one subject.
    """
    names = np.asarray(groups).astype(str)
    missing = [at for at, name in enumerate(names.ravel()) if name.strip().casefold() in NO_GROUP]
    if missing:
        raise ParameterError(
            f"groups must name the subject of every hip; {len(missing)} of {names.size} are "
            f"missing (first: number {missing[0]}), and would count as one patient."
        )
    return names


def spellings_of_one_subject(subjects: Iterable[str]) -> list[tuple[str, ...]]:
    """Subjects whose names differ in zeros, capitals or blanks alone: each group is likely one.

    Examples
    --------
    >>> spellings_of_one_subject(["7", "007", "P-1", "p - 1", "8", "7.0"])
    [('7', '007', '7.0'), ('P-1', 'p - 1')]
    """
    found: dict[str, list[str]] = defaultdict(list)
    for subject in dict.fromkeys(subjects):
        plain = re.sub(r"^([0-9]+)\.0+$", r"\1", re.sub(r"\s+", "", subject.casefold()))
        found[re.sub(r"(?<![0-9])0+(?=[0-9])", "", plain)].append(subject)
    return [tuple(names) for names in found.values() if len(names) > 1]


def require_disjoint(groups: ArrayLike, partitions: ArrayLike) -> None:
    """Check that no group lies in two partitions, nor groups that differ in zeros or case alone.

    Raises
    ------
    ManifestError
        With the number of subjects that do; their names stay out of the message.
    """
    names = named_groups(groups)
    same = {name: one[0] for one in spellings_of_one_subject(names.tolist()) for name in one}
    subjects, members = np.unique([same.get(one, one) for one in names], return_inverse=True)
    spelt = len(np.unique(names)) - len(subjects)
    _, codes = np.unique(np.asarray(partitions).astype(str), return_inverse=True)
    pairs = np.unique(np.stack([members, codes]), axis=1)
    leaking = int((np.bincount(pairs[0], minlength=len(subjects)) > 1).sum())
    if leaking:
        hint = " (names that differ in zeros, capitals or blanks alone are one)" if spelt else ""
        raise ManifestError(
            f"{leaking} of {len(subjects)} subjects lie in more than one partition{hint}: results "
            "would be too good; split again with rhoa.cohort.split(labels, groups=subjects)."
        )


def _classes(
    labels: ArrayLike, strata: ArrayLike | None
) -> tuple[list[tuple[str, str]], NDArray[np.int_]]:
    """What is split by itself, as (label, stratum), and the number of each hip's."""
    named = np.asarray(labels, dtype=object).ravel()
    if any(label is None for label in named):
        raise ParameterError("labels must not be None; split the hips that have one.")
    layers = [""] * named.size if strata is None else np.asarray(strata).astype(str).tolist()
    if np.ndim(labels) != 1 or not named.size or len(layers) != named.size:
        raise ParameterError(
            "labels and strata must be as long, and not empty; "
            f"got shape {np.shape(labels)} and {len(layers)}."
        )
    values = np.asarray(labels).astype(str).tolist()
    pairs = list(zip(values, layers, strict=True))
    classes = sorted(set(pairs), key=lambda pair: (pair[1], pair[0]))
    codes = {pair: code for code, pair in enumerate(classes)}
    return classes, np.array([codes[pair] for pair in pairs])


def _counts(
    codes: NDArray[np.int_], groups: ArrayLike | None, classes: int
) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    """Hips of each (subject, class), and the subject of each hip."""
    if groups is None:
        members = np.arange(codes.size)
    else:
        members = np.unique(named_groups(groups), return_inverse=True)[1]
    if members.shape != codes.shape:
        raise ParameterError(
            f"labels and groups must be as long; got {codes.size} and {members.size}."
        )
    counts = np.zeros((int(members.max()) + 1, classes), int)
    np.add.at(counts, (members, codes), 1)
    return counts, members


def _targets(
    classes: Sequence[tuple[str, str]],
    codes: NDArray[np.int_],
    fractions: Shares | Mapping[str, Shares],
    rule: Rule,
) -> NDArray[np.float64]:
    """Wanted hips of each (class, partition)."""
    sizes = []
    for (_, stratum), total in zip(classes, np.bincount(codes).tolist(), strict=True):
        if isinstance(fractions, Mapping):
            if stratum not in fractions:
                raise ParameterError(
                    f"fractions must name every stratum; got {', '.join(map(repr, fractions))}, "
                    f"but not {stratum!r}."
                )
            shares = fractions[stratum]
        else:
            shares = fractions
        if np.shape(shares) != (3,) or min(shares) < 0 or not math.isclose(sum(shares), 1):
            raise ParameterError(f"fractions must be three shares that sum to 1; got {shares}.")
        sizes.append(_partition_sizes(total, shares, rule))
    return np.array(sizes, float)


def _partition_sizes(total: int, fractions: Shares, rule: Rule) -> list[int]:
    exact = [fraction * total for fraction in fractions]
    if rule == "paper":
        train, test = math.floor(exact[0] + 1e-9), math.floor(exact[2] + 0.5)
        return [train, total - train - test, test]
    sizes = [math.floor(size + 1e-9) for size in exact]
    order = sorted(range(3), key=lambda partition: sizes[partition] - exact[partition])
    for partition in order[: total - sum(sizes)]:
        sizes[partition] += 1
    return sizes
