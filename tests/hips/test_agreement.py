"""Agreement of boxes: figures worked out by hand, and what must hold for any boxes."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rhoa.errors import ParameterError
from rhoa.hips import Box
from rhoa.hips.bounding_boxes import agreement, iou_matrix
from tests.strategies import drawn_boxes

Boxes = list[list[Box]]


def at(column: float, confidence: float | None = None, *, width: float = 10) -> Box:
    """A left box of 10 rows that begins at ``column``."""
    return Box("left", 0, column, 10, column + width, confidence)


def apart(count: int) -> list[Box]:
    return [at(100 * number) for number in range(count)]


class TestByHand:
    def test_iou_of_boxes_that_share_a_third(self) -> None:
        """Two squares of 100 that share 50: 50 / 150."""
        table = iou_matrix([at(0), at(50)], [at(5)])

        np.testing.assert_allclose(table, [[1 / 3], [0]])

    def test_average_precision_is_the_area_under_falling_precision(self) -> None:
        """Hit, miss, hit, hit, of 4: precision 1, 1/2, 2/3, 3/4, made to fall 1, 3/4, 3/4, 3/4."""
        found = [at(0, 0.9), at(50, 0.8), at(100, 0.7), at(200, 0.6)]

        result = agreement([apart(4)], [found])

        assert result.average_precision == pytest.approx(1 / 4 * (1 + 3 / 4 + 3 / 4))
        assert (result.precision, result.recall) == (3 / 4, 3 / 4)
        assert (result.drawn, result.found, result.matched) == (4, 4, 3)

    def test_detections_of_one_score_enter_together(self) -> None:
        """A hit and a miss of one score: one point, precision 1/2, whatever their order."""
        hit, miss = at(0, 0.9), at(50, 0.9)

        for found in ([[hit], [miss]], [[miss], [hit]]):
            drawn = [[at(0)], []] if found[0] == [hit] else [[], [at(0)]]
            assert agreement(drawn, found).average_precision == 0.5

    def test_a_second_box_on_a_hip_is_a_false_alarm(self) -> None:
        """Precision 1/2, recall 1, F1 2/3, though average precision is 1."""
        result = agreement([[at(0)]], [[at(0, 0.9), at(1, 0.8)]])

        assert result.average_precision == 1
        assert result.f1 == pytest.approx(2 / 3)
        assert result.iou_mean == 1

    def test_the_surest_takes_the_box_it_overlaps_most(self) -> None:
        """The surer one takes the box at 0 (IoU 9/11); the other one is left with IoU 2/18."""
        drawn = [at(0), at(9)]
        surer, other = at(1, 0.9), at(1, 0.8)

        result = agreement([drawn], [[other, surer]])

        assert result.matched == 1
        assert result.iou_mean == pytest.approx(9 / 11)

    def test_a_match_needs_the_threshold_and_no_more(self) -> None:
        half = at(0, 0.9, width=5)

        assert agreement([[at(0)]], [[half]], iou=0.5).matched == 1
        assert agreement([[at(0)]], [[half]], iou=0.51).matched == 0

    def test_a_box_of_the_other_side_is_no_match(self) -> None:
        assert agreement([[at(0)]], [[replace(at(0, 0.9), side="right")]]).matched == 0

    def test_figures_at_a_threshold_are_of_what_reaches_it(self) -> None:
        """IoU 1 and 1/2: mean 3/4, SD sqrt(1/8)."""
        drawn = apart(3)
        found = [at(0, 0.9), at(100, 0.5, width=5), at(200, 0.4)]

        result = agreement([drawn], [found])

        assert (result.precision, result.recall, result.f1) == (1, 2 / 3, 0.8)
        assert result.average_precision == 1
        assert result.iou_mean == 0.75
        assert result.iou_sd == pytest.approx(math.sqrt(1 / 8))

    def test_what_nothing_defines_is_nan(self) -> None:
        nothing = agreement([[]], [[]])
        missed = agreement([[at(0)]], [[]])

        assert all(map(math.isnan, (nothing.average_precision, nothing.f1, nothing.iou_mean)))
        assert (missed.average_precision, missed.recall, missed.f1) == (0, 0, 0)
        assert math.isnan(missed.precision)

    def test_arguments_that_do_not_fit_are_refused(self) -> None:
        with pytest.raises(ParameterError, match="of the same images; got 1 and 0"):
            agreement([[]], [])
        with pytest.raises(ParameterError, match="image 2: a detection has no confidence"):
            agreement([[], []], [[], [at(0)]])
        with pytest.raises(ParameterError, match="iou must lie above 0"):
            agreement([], [], iou=0)
        with pytest.raises(ParameterError, match="score must lie"):
            agreement([], [], score=math.nan)


def sure(boxes: Boxes, confidence: float = 0.9) -> Boxes:
    return [
        [replace(box, confidence=box.confidence or confidence) for box in some] for some in boxes
    ]


def drawn_and_found() -> st.SearchStrategy[tuple[Boxes, Boxes]]:
    """The boxes of some images, and as many detections of the same images as there are."""
    boxes = st.lists(drawn_boxes(), max_size=4)
    images = st.lists(st.tuples(boxes, boxes), min_size=1, max_size=4)
    return images.map(lambda some: ([one[0] for one in some], sure([one[1] for one in some])))


class TestOfAnyBoxes:
    @given(st.lists(st.integers(1, 4), min_size=1, max_size=5), st.integers(0, 6))
    def test_duplicates_lower_precision_and_nothing_else(
        self, counts: list[int], extra: int
    ) -> None:
        """A perfect detector, which has none, has one everywhere."""
        drawn = [apart(count) for count in counts]
        found = sure(drawn)
        found[0] += [replace(drawn[0][0], confidence=0.6) for _ in range(extra)]

        result = agreement(drawn, found)

        total = sum(counts)
        assert (result.average_precision, result.recall, result.iou_mean) == (1, 1, 1)
        assert result.precision == pytest.approx(total / (total + extra))
        assert result.f1 == pytest.approx(2 * total / (2 * total + extra))

    @given(drawn_and_found(), st.randoms(use_true_random=False))
    def test_the_order_of_images_changes_nothing(
        self, boxes: tuple[Boxes, Boxes], random: object
    ) -> None:
        mixed = list(zip(*boxes, strict=True))
        random.shuffle(mixed)  # type: ignore[attr-defined]  # random.Random

        one, other = agreement(*boxes), agreement(*map(list, zip(*mixed, strict=True)))

        np.testing.assert_allclose(
            [getattr(one, name) for name in one.__slots__],
            [getattr(other, name) for name in other.__slots__],
            rtol=1e-12,
            atol=1e-12,  # the spread of overlaps that are all alike
        )

    @given(drawn_and_found(), st.floats(0.1, 0.9))
    def test_figures_are_shares_and_no_box_is_taken_twice(
        self, boxes: tuple[Boxes, Boxes], score: float
    ) -> None:
        result = agreement(*boxes, iou=0.1, score=score)

        assert result.matched <= min(result.drawn, result.found)
        for name in ("average_precision", "precision", "recall", "f1", "iou_mean"):
            value = getattr(result, name)
            assert math.isnan(value) or 0 <= value <= 1 + 1e-12

    @given(drawn_and_found(), st.floats(0.01, 1))
    def test_average_precision_is_of_the_order_of_scores_alone(
        self, boxes: tuple[Boxes, Boxes], power: float
    ) -> None:
        """Any rising change of scores that keeps them apart keeps it."""
        drawn, found = boxes
        scores = sorted({box.confidence or 0.0 for some in found for box in some})
        rank = {
            value: power * (number + 1) / (len(scores) + 1) for number, value in enumerate(scores)
        }
        ranked = [
            [replace(box, confidence=rank[box.confidence or 0.0]) for box in some] for some in found
        ]

        first, second = (agreement(drawn, boxes).average_precision for boxes in (found, ranked))

        np.testing.assert_equal(first, second)
