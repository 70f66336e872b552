"""Hips come at random, each once, and some of them again, later."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rhoa.review.events import reading_order

HIPS = st.integers(1, 60).map(lambda count: [(f"{n:016x}", "left") for n in range(count)])


@given(HIPS, st.integers(0, 99), st.floats(0, 0.5))
def test_every_hip_is_shown_once_and_a_share_again_a_quarter_of_the_hips_later(
    hips: list, seed: int, repeat: float
) -> None:
    order = reading_order(hips, reader="anna", seed=seed, repeat=repeat)

    first = [one[:2] for one in order if one.reading == 1]
    again = [one[:2] for one in order if one.reading == 2]
    assert sorted(first) == sorted(hips)
    assert len(set(again)) == len(again) == round(repeat * len(hips))
    for hip in again:
        between = order.index((*hip, 2)) - order.index((*hip, 1))
        assert between >= len(hips) // 4


def test_order_depends_on_seed_and_reader_and_on_nothing_else() -> None:
    hips = [(f"{n:016x}", "left") for n in range(30)]
    order = reading_order(hips, reader="anna", seed=1, repeat=0.2)

    assert reading_order(hips[::-1], reader="anna", seed=1, repeat=0.2) == order
    assert reading_order(hips, reader="ben", seed=1, repeat=0.2) != order
    assert reading_order(hips, reader="anna", seed=2, repeat=0.2) != order
