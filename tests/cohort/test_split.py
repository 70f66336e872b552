"""Partitions: the paper's counts, and no subject in two of them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rhoa
from rhoa.cohort import balance, folds, require_disjoint, split

PARTITIONS = ("train", "val", "test")


@pytest.mark.parametrize(
    ("total", "fractions", "counts"),
    [
        (1988, (0.55, 0.30, 0.15), (1093, 597, 298)),
        (3671, (0.55, 0.30, 0.15), (2019, 1101, 551)),
        (59, (0.50, 0.25, 0.25), (29, 15, 15)),
        (35, (0.50, 0.25, 0.25), (17, 9, 9)),
    ],
)
def test_one_hip_a_subject_gives_the_counts_of_table_1(
    total: int, fractions: tuple[float, float, float], counts: tuple[int, int, int]
) -> None:
    parts = split(np.ones(total), groups=np.arange(total), fractions=fractions)

    assert tuple((parts == part).sum() for part in PARTITIONS) == counts


def test_no_groups_at_all_must_be_said_and_means_a_subject_a_hip() -> None:
    parts = split([0] * 40 + [1] * 20, groups=None, fractions=(0.5, 0.25, 0.25))

    assert [(parts == part).sum() for part in PARTITIONS] == [30, 15, 15]
    with pytest.raises(TypeError, match="missing 1 required keyword-only argument: 'groups'"):
        split([0, 1])


def test_classes_are_split_each_by_itself() -> None:
    labels = np.array([1] * 1988 + [0] * 3671)

    parts = split(labels, groups=np.arange(len(labels)))

    assert [(parts[labels == 1] == part).sum() for part in PARTITIONS] == [1093, 597, 298]
    assert [(parts[labels == 0] == part).sum() for part in PARTITIONS] == [2019, 1101, 551]


def test_largest_remainders() -> None:
    """10 x (.55, .30, .15) = 5.5, 3, 1.5: one place is left, for the first of the two halves."""
    parts = split([0] * 10, groups=range(10), rule="largest")

    assert [(parts == part).sum() for part in PARTITIONS] == [6, 3, 1]


@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 1)), min_size=1, max_size=60),
    st.integers(0, 99),
)
def test_no_subject_is_in_two_partitions(hips: list[tuple[int, int]], seed: int) -> None:
    groups = [group for group, _ in hips]

    parts = split([label for _, label in hips], groups=groups, seed=seed)

    require_disjoint(groups, parts)
    for group in set(groups):
        assert len({part for part, g in zip(parts, groups, strict=True) if g == group}) == 1


@given(st.integers(0, 99), st.randoms())
def test_the_order_of_the_table_does_not_matter(seed: int, shuffle: object) -> None:
    groups = np.repeat(np.arange(30), 2)
    labels = np.random.default_rng(0).integers(0, 2, 60)
    order = list(range(60))
    shuffle.shuffle(order)

    parts = split(labels, groups=groups, seed=seed)

    assert np.array_equal(split(labels[order], groups=groups[order], seed=seed), parts[order])


def test_pairs_of_hips_come_near_the_fractions() -> None:
    labels = np.random.default_rng(1).integers(0, 2, 600)
    groups = np.repeat(np.arange(300), 2)

    parts = split(labels, groups=groups)

    for label in (0, 1):
        shares = [(parts[labels == label] == part).mean() for part in PARTITIONS]
        np.testing.assert_allclose(shares, (0.55, 0.30, 0.15), atol=0.02)


def visits(seed: int, subjects: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels and groups of a cohort: two hips a subject, each seen at one to five visits."""
    random = np.random.default_rng(seed)
    times = random.integers(1, 6, subjects)
    sick = random.random((subjects, 2)) < random.random((subjects, 1))
    return np.repeat(sick, times, axis=0).ravel().astype(int), np.repeat(range(subjects), 2 * times)


def misses(labels: np.ndarray, parts: np.ndarray, wanted: dict[int, tuple[int, ...]]) -> int:
    """Squared differences, and one for each class that is wanted in a partition and not there."""
    total = 0
    for label, counts in wanted.items():
        for part, count in zip(PARTITIONS, counts, strict=True):
            reached = int(((labels == label) & (parts == part)).sum())
            total += (reached - count) ** 2 + (reached == 0 and count > 0)
    return total


def test_cohorts_of_every_size_leak_nothing_and_come_within_a_subject_of_the_fractions() -> None:
    for seed in range(112):
        labels, groups = visits(seed, subjects=3 + seed % 28)

        parts = split(labels, groups=groups, seed=seed)

        require_disjoint(groups, parts)
        for label in set(labels.tolist()):
            mine = labels == label
            largest = np.bincount(groups[mine]).max()
            for part, fraction in zip(PARTITIONS, (0.55, 0.30, 0.15), strict=True):
                # The rule rounds, by less than one hip.
                difference = abs((mine & (parts == part)).sum() - fraction * mine.sum())
                assert difference <= largest + 1, (seed, label, part)


@pytest.mark.parametrize("seed", range(40))
def test_no_way_of_placing_a_few_subjects_is_better(seed: int) -> None:
    """The paper's rule at 50 / 25 / 25: floor, the rest, round."""
    labels, groups = visits(seed, subjects=3 + seed % 4)
    wanted = {}
    for label in set(labels.tolist()):
        total = int((labels == label).sum())
        train, test = total // 2, (total + 2) // 4
        wanted[label] = (train, total - train - test, test)

    parts = split(labels, groups=groups, fractions=(0.5, 0.25, 0.25), seed=seed)

    ways = itertools.product(PARTITIONS, repeat=int(groups.max()) + 1)
    best = min(misses(labels, np.array(way)[groups], wanted) for way in ways)
    assert misses(labels, parts, wanted) == best


@pytest.mark.parametrize("seed", range(20))
def test_a_way_that_fits_to_the_hip_is_found(seed: int) -> None:
    """Three cohorts in one: their own counts are the fractions, so that every hip can fit."""
    labels, groups = visits(seed, subjects=40)
    labels[:] = 0
    planted = np.random.default_rng(seed).integers(0, 3, 40)[groups]
    counts = np.bincount(planted, minlength=3)
    fractions = tuple(counts / counts.sum())

    parts = split(labels, groups=groups, fractions=fractions, rule="largest", seed=seed)

    assert [(parts == part).sum() for part in PARTITIONS] == counts.tolist()


def test_strata_are_split_by_their_own_fractions_and_share_no_subject() -> None:
    labels, groups = visits(3, subjects=200)
    strata = np.where(groups % 2, "ct", "xray")
    strata[groups < 20] = np.where(np.arange((groups < 20).sum()) % 2, "ct", "xray")
    fractions = {"ct": (0.5, 0.25, 0.25), "xray": (0.55, 0.30, 0.15)}

    parts = split(labels, groups=groups, fractions=fractions, strata=strata)

    require_disjoint(groups, parts)
    for stratum, shares in fractions.items():
        for label in (0, 1):
            mine = (strata == stratum) & (labels == label)
            reached = [(parts[mine] == part).sum() for part in PARTITIONS]
            np.testing.assert_allclose(reached, np.array(shares) * mine.sum(), atol=2)


def test_the_balance_tells_wanted_and_reached() -> None:
    """Two hips a subject cannot give 5 and 3: 10 x (0.55, 0.30, 0.15) is 5, 3, 2 by the rule."""
    groups = np.repeat(range(5), 2)
    parts = np.array(["train"] * 6 + ["val"] * 2 + ["test"] * 2)

    result = balance(["0"] * 10, parts)

    assert [(share.wanted, share.reached) for share in result.shares] == [(5, 6), (3, 2), (2, 2)]
    assert result.largest_difference == 1
    assert result.as_dict()["largest_difference"] == 1
    assert str(result).splitlines()[0] == "all 0 train: 5 wanted, 6 reached"
    best = split(["0"] * 10, groups=groups)
    assert balance(["0"] * 10, best).largest_difference == 1


def test_subjects_of_one_kind_are_spread_over_the_partitions() -> None:
    """A hundred with both hips sick, a hundred with none, a hundred with one."""
    labels = np.array([[1, 1]] * 100 + [[0, 0]] * 100 + [[0, 1]] * 100).ravel()
    groups = np.repeat(range(300), 2)

    parts = split(labels, groups=groups)[::2]

    for first in (0, 100, 200):
        kind = parts[first : first + 100]
        shares = [int((kind == part).sum()) for part in PARTITIONS]
        assert np.abs(np.subtract(shares, (55, 30, 15))).max() <= 1


def test_the_seed_decides_where_no_two_subjects_are_alike_too() -> None:
    groups = np.repeat(range(10), range(1, 11))
    found = {tuple(split(np.zeros(55), groups=groups, seed=seed).tolist()) for seed in range(8)}

    assert len(found) > 1


@given(st.integers(0, 10_000), st.integers(2, 6))
@settings(max_examples=12)
def test_folds_share_no_subject_and_are_alike(seed: int, count: int) -> None:
    labels, groups = visits(seed, subjects=40)

    parts = folds(labels, groups=groups, count=count, seed=seed)

    require_disjoint(groups, parts)
    assert set(parts.tolist()) == set(range(count))
    for mine in (labels == 0, labels == 1, labels >= 0):
        sizes = np.bincount(parts[mine], minlength=count)
        assert np.ptp(sizes) <= 2 * np.bincount(groups[mine], minlength=1).max(initial=1)


def test_folds_of_single_hips_differ_by_one_at_most() -> None:
    labels = np.array([1] * 23 + [0] * 41)

    parts = folds(labels, groups=None, count=5)

    for label in (0, 1):
        assert np.ptp(np.bincount(parts[labels == label], minlength=5)) <= 1
    assert np.ptp(np.bincount(parts)) <= 1
    assert np.array_equal(
        folds(labels[::-1], groups=range(63, -1, -1), count=5),
        folds(labels, groups=range(64), count=5)[::-1],
    )


def test_a_small_cohort_has_every_class_in_every_partition() -> None:
    labels = np.array([0, 0, 0, 1, 1, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 0, 0, 1, 0, 0])
    groups = np.repeat(np.arange(10), 2)

    for seed in range(20):
        parts = split(labels, groups=groups, fractions=(0.5, 0.25, 0.25), seed=seed)

        assert {(part, label) for part, label in zip(parts, labels, strict=True)} >= {
            (part, label) for part in PARTITIONS for label in (0, 1)
        }


def test_the_seed_decides() -> None:
    first, again, other = (split([0] * 50, groups=range(50), seed=seed) for seed in (1, 1, 2))

    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fractions": (0.5, 0.5, 0.5)}, "three shares that sum to 1"),
        ({"fractions": (1.5, -0.5, 0.0)}, "three shares that sum to 1"),
        ({"rule": "fair"}, "rule must be one of 'paper', 'largest'"),
        ({"fractions": 0.5}, "three shares that sum to 1"),
        ({"seed": -1}, "seed must be a whole number >= 0"),
        ({"groups": [1, 2]}, "as long; got 3 and 2"),
        ({"strata": ["ct", "ct"]}, "labels and strata must be as long"),
        ({"fractions": {"ct": (0.5, 0.25, 0.25)}}, "fractions must name every stratum"),
    ],
)
def test_bad_options_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(rhoa.RhoaError, match=message):
        split([0, 1, 0], **({"groups": [1, 2, 3]} | options))


def test_bad_folds_and_partitions_are_named() -> None:
    with pytest.raises(rhoa.RhoaError, match="3 folds need as many subjects; there are 2"):
        folds([0, 1, 0], groups=[1, 1, 2], count=3)
    with pytest.raises(rhoa.RhoaError, match="count must be a whole number >= 2"):
        folds([0, 1], groups=None, count=1)
    with pytest.raises(rhoa.RhoaError, match="at most 100 folds"):
        folds([0, 1] * 200, groups=None, count=101)
    with pytest.raises(rhoa.RhoaError, match="train, val or test, one for each of 2 labels"):
        balance([0, 1], ["train", "holdout"])


def test_hips_without_a_label_cannot_be_split() -> None:
    with pytest.raises(rhoa.RhoaError, match="labels must not be None"):
        split([0, 1, None], groups=[1, 2, 3])


def test_a_leak_is_counted_without_names() -> None:
    with pytest.raises(rhoa.RhoaError, match="1 of 2 subjects lie in more than one") as error:
        require_disjoint(["Miller", "Miller", "Smith"], ["train", "test", "train"])

    assert "Miller" not in str(error.value)
