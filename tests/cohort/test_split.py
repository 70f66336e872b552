"""Partitions: the paper's counts, and no subject in two of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rhoa
from rhoa.cohort import require_disjoint, split

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
    ],
)
def test_bad_options_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(rhoa.RhoaError, match=message):
        split([0, 1, 0], **({"groups": [1, 2, 3]} | options))


def test_hips_without_a_label_cannot_be_split() -> None:
    with pytest.raises(rhoa.RhoaError, match="labels must not be None"):
        split([0, 1, None], groups=[1, 2, 3])


def test_a_leak_is_counted_without_names() -> None:
    with pytest.raises(rhoa.RhoaError, match="1 of 2 subjects lie in more than one") as error:
        require_disjoint(["Miller", "Miller", "Smith"], ["train", "test", "train"])

    assert "Miller" not in str(error.value)
