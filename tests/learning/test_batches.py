"""Batches follow from the seed and the epoch alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rhoa.learning import recipes

pytestmark = pytest.mark.torch

SOME = replace(recipes["model-1"], batch=4)


@given(images=st.integers(2, 60), seed=st.integers(0, 2**40), epoch=st.integers(1, 99))
def test_an_epoch_shows_no_image_twice(images: int, seed: int, epoch: int) -> None:
    from rhoa.learning.data import batches

    made = batches(SOME, images, seed=seed, epoch=epoch)

    members = [int(member) for batch in made for member in batch.members]
    assert len(set(members)) == len(members)
    assert [len(batch.members) for batch in made] == SOME.batch_sizes(images)
    assert all(batch.changes.shape == (len(batch.members), 4) for batch in made)


def test_an_images_changes_depend_neither_on_its_batch_nor_on_how_many_there_are() -> None:
    from rhoa.learning.data import batches

    def changes_of(size: int) -> dict[int, list[float]]:
        recipe = replace(SOME, batch=size)
        return {
            int(member): row.tolist()
            for batch in batches(recipe, 24, seed=5, epoch=3)
            for member, row in zip(batch.members, batch.changes, strict=True)
        }

    assert changes_of(4) == changes_of(12)
    assert len({tuple(row) for row in changes_of(4).values()}) == 24


def test_epochs_and_seeds_differ_and_repeat() -> None:
    from rhoa.learning.data import batches

    def order(seed: int, epoch: int) -> list[int]:
        made = batches(SOME, 40, seed=seed, epoch=epoch)
        return [int(member) for batch in made for member in batch.members]

    assert order(1, 1) == order(1, 1)
    assert len({tuple(order(seed, epoch)) for seed in (1, 2) for epoch in (1, 2)}) == 4


def test_a_fixed_number_of_iterations_shuffles_again_and_changes_anew() -> None:
    """10 batches of 4 from 16 images: each is seen two or three times, never twice the same."""
    from rhoa.learning.data import batches

    made = batches(replace(SOME, epoch_iterations=10), 16, seed=0, epoch=1)

    members = [int(member) for batch in made for member in batch.members]
    rows = [tuple(row.tolist()) for batch in made for row in batch.changes]
    assert len(made) == 10
    assert {members.count(member) for member in range(16)} == {2, 3}
    assert sorted(members[:16]) == sorted(members[16:32]) == list(range(16))
    assert len(set(rows)) == 40


@given(size=st.integers(1, 3))
def test_the_parts_of_a_team_are_the_batch(size: int) -> None:
    from rhoa.learning.data import batches

    batch = batches(replace(SOME, batch=11), 11, seed=0, epoch=1)[0]
    parts = [batch.part(rank, size) for rank in range(size)]

    assert sorted(int(m) for part in parts for m in part.members) == sorted(batch.members.tolist())
    lengths = [len(part.members) for part in parts]
    assert max(lengths) - min(lengths) <= 1
