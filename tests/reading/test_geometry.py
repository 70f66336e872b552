"""Slices that form a volume, and every way in which they do not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rhoa.dicom.header import Plane
from rhoa.errors import GeometryError
from rhoa.reading.geometry import coincident, orientation_name, stack
from tests.strategies import rotation, rotations

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def plane(z: float, x: float = 0.0, name: str = "") -> Plane:
    return Plane(name or f"z{z:g}", (x, 0.0, z), AXIAL, (1.5, 1.0), 8, 10)


def planes(*z: float) -> list[Plane]:
    return [plane(height) for height in z]


def even(count: int = 6, step: float = 2.0) -> list[Plane]:
    return planes(*(step * n for n in range(count)))


class TestVolumes:
    @given(turn=rotations(180), order=st.permutations(range(5)), step=st.floats(0.3, 10))
    def test_shuffled_slices_of_any_orientation_are_sorted_along_the_normal(
        self, turn: NDArray[np.float64], order: list[int], step: float
    ) -> None:
        row, column, normal = turn.T
        shuffled = [
            Plane(str(k), tuple(k * step * normal), (*row, *column), (1.5, 0.7), 8, 10)
            for k in order
        ]

        result = stack(shuffled)

        assert [shuffled[n].name for n in result.order] == list("01234")
        np.testing.assert_allclose(result.affine[:3, 0], step * normal, atol=1e-9)
        np.testing.assert_allclose(result.affine[:3, 1], 1.5 * column, atol=1e-9)
        np.testing.assert_allclose(result.affine[:3, 2], 0.7 * row, atol=1e-9)

    def test_pixel_spacing_is_row_step_then_column_step(self) -> None:
        affine = stack(even()).affine

        np.testing.assert_allclose(affine[:3, 1], [0, 1.5, 0])
        np.testing.assert_allclose(affine[:3, 2], [1, 0, 0])

    def test_two_slices_are_a_volume(self) -> None:
        assert stack(planes(0, 3)).affine[2, 0] == 3

    @given(jitter=st.lists(st.floats(-0.01, 0.01), min_size=8, max_size=8))
    def test_jitter_of_a_hundredth_of_a_millimetre_is_even_spacing(
        self, jitter: list[float]
    ) -> None:
        assert stack(planes(*(2.0 * n + off for n, off in enumerate(jitter)))).order == tuple(
            range(8)
        )

    def test_a_tilt_below_a_tenth_of_a_degree_is_kept_in_the_affine(self) -> None:
        lean = 2 * np.tan(np.radians(0.05))

        affine = stack([plane(2 * n, x=n * lean) for n in range(6)]).affine

        np.testing.assert_allclose(affine[:3, 0], [lean, 0, 2])


class TestDefects:
    def test_one_slice_is_no_volume(self) -> None:
        with pytest.raises(GeometryError, match=r"z0: one slice is no volume.*whole series"):
            stack(planes(0))

    @pytest.mark.parametrize(
        ("field", "tag"),
        [
            ("position_mm", "ImagePositionPatient"),
            ("orientation", "ImageOrientationPatient"),
            ("pixel_mm", "PixelSpacing"),
        ],
    )
    def test_absent_or_not_finite_geometry_names_the_file_and_the_tag(
        self, field: str, tag: str
    ) -> None:
        slices = even()
        numbers = getattr(slices[2], field)
        for value, what in ((None, "missing"), ((*numbers[:-1], np.nan), "not finite")):
            slices[2] = replace(slices[2], **{field: value})
            with pytest.raises(GeometryError, match=rf"z4: {tag} .*{what}"):
                stack(slices)

    @pytest.mark.parametrize(
        "orientation",
        [(1, 0, 0, 0, 1.01, 0), (1, 0, 0, 0.01, 1, 0), (1, 0, 0, 1, 0, 0), (0,) * 6],
    )
    def test_directions_must_be_perpendicular_unit_vectors(
        self, orientation: tuple[float, ...]
    ) -> None:
        with pytest.raises(GeometryError, match="perpendicular unit vectors"):
            stack([replace(one, orientation=orientation) for one in even()])

    @pytest.mark.parametrize("spacing", [(0.0, 1.0), (1.0, -1.0)])
    def test_pixel_spacing_must_be_above_zero(self, spacing: tuple[float, float]) -> None:
        with pytest.raises(GeometryError, match="above zero"):
            stack([replace(one, pixel_mm=spacing) for one in even()])

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"rows": 9}, r"z6: 9 x 10 pixels, but z0 has 8 x 10"),
            ({"pixel_mm": (1.5, 1.01)}, r"z6: PixelSpacing 1.5, 1.01 mm, but z0 has 1.5, 1 mm"),
            (
                {"orientation": (*rotation(0, 0, 0.1)[:, 0], *rotation(0, 0, 0.1)[:, 1])},
                "z6: ImageOrientationPatient .*all slices must be parallel",
            ),
        ],
    )
    def test_a_slice_unlike_the_others_is_named(self, change: dict[str, object], says: str) -> None:
        slices = even()
        slices[3] = replace(slices[3], **change)

        with pytest.raises(GeometryError, match=says):
            stack(slices)

    def test_two_slices_at_one_position_are_both_named(self) -> None:
        twin = plane(4, name="twin")

        with pytest.raises(GeometryError, match=r"z4 and twin: 2 slices at one position, z = 4"):
            stack([*even(), twin])

    @pytest.mark.parametrize(("step", "off"), [(2.0, 0.049), (8.0, 0.079)])
    def test_slices_nearer_than_the_tolerance_of_spacing_are_at_one_position(
        self, step: float, off: float
    ) -> None:
        twins = [*planes(*(step * n for n in range(5))), plane(off), plane(step + off)]

        assert coincident(twins) == [(0, 5), (1, 6)]
        with pytest.raises(GeometryError, match="2 slices at one position"):
            stack(twins)

    def test_a_scan_of_which_every_slice_has_a_twin_has_the_spacing_of_one(self) -> None:
        twins = [plane(2 * n + more) for n in range(4) for more in (0.0, 0.03)]

        assert coincident(twins) == [(0, 1), (2, 3), (4, 5), (6, 7)]

    @pytest.mark.parametrize("off", [0.06, 0.1])
    def test_spacing_uneven_by_one_to_five_per_cent_is_a_doubt(self, off: float) -> None:
        slices = planes(0, 2, 4 + off, 6, 8)

        assert f"from {2 - off:g} to {2 + off:g} mm" in stack(slices).warning
        assert stack(even()).warning == ""

    def test_missing_slices_are_counted_and_placed(self) -> None:
        slices = even(12)
        kept = [one for n, one in enumerate(slices) if n not in {2, 3, 8}]

        with pytest.raises(GeometryError) as caught:
            stack(kept)

        assert "2 between z = 2.00 mm and z = 8.00 mm" in str(caught.value)
        assert "1 between z = 14.00 mm and z = 18.00 mm" in str(caught.value)

    def test_a_gap_among_three_slices_is_found(self) -> None:
        with pytest.raises(GeometryError, match="1 between z = 2.00 mm and z = 6.00 mm"):
            stack(planes(0, 2, 6))

    @pytest.mark.parametrize(("step", "off"), [(1.0, 0.06), (8.0, 0.41)])
    def test_spacing_uneven_beyond_the_tolerance_is_an_error(self, step: float, off: float) -> None:
        """The tolerance is 5 % of the spacing, at least 0.05 mm; from 1 % on it is a warning."""
        slices = planes(*(step * n for n in range(6)), 6 * step + off, 7 * step + off)

        with pytest.raises(GeometryError, match=rf"varies from {step:g} to {step + off:g} mm"):
            stack(slices)

    def test_spacing_that_drifts_by_less_than_the_tolerance_each_step_is_an_error(self) -> None:
        z = np.cumsum(np.r_[np.full(100, 1.0), np.full(100, 1.04)])

        with pytest.raises(GeometryError, match="drifts from 1 to 1.04 mm"):
            stack(planes(*z))

    @pytest.mark.parametrize("tilt", [-18.5, 0.2, 15.0])
    def test_gantry_tilt_is_found_from_positions_and_told_in_degrees(self, tilt: float) -> None:
        lean = 2 * np.tan(np.radians(tilt))

        with pytest.raises(GeometryError, match=rf"sheared by {abs(tilt)} deg \(gantry tilt\)"):
            stack([plane(2 * n, x=n * lean) for n in range(6)])

    def test_a_slice_beside_the_others_is_an_error(self) -> None:
        slices = even()
        slices[2] = plane(4, x=0.5)

        with pytest.raises(GeometryError, match="0.5 mm beside the line"):
            stack(slices)

    def test_tilt_and_uneven_spacing_are_told_together(self) -> None:
        z = (0, 1, 5, 12)

        with pytest.raises(GeometryError, match="varies from 1 to 7 mm.*sheared by 15.0 deg"):
            stack([plane(h, x=h * np.tan(np.radians(15))) for h in z])


@pytest.mark.parametrize(
    ("orientation", "name"),
    [
        (AXIAL, "axial"),
        ((-1, 0, 0, 0, -1, 0), "axial"),
        ((1, 0, 0, 0, 0, -1), "coronal"),
        ((0, 1, 0, 0, 0, -1), "sagittal"),
        ((1, 0, 0, 0, 0.8, 0.6), "oblique"),
        (None, ""),
    ],
)
def test_orientation_is_named_after_its_normal(
    orientation: tuple[float, ...] | None, name: str
) -> None:
    assert orientation_name(replace(plane(0), orientation=orientation)) == name
