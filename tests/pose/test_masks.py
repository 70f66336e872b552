"""The pose of a segmented pelvis: masks, label maps, sides, voxels."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import rhoa
from rhoa.errors import ParameterError, PoseError, RhoaError
from rhoa.pose import from_mask
from rhoa.pose.anterior_plane import TOTALSEGMENTATOR
from rhoa.pose.bone import surface_points
from tests.pose.pelves import digital_bone, turn_deg
from tests.strategies import stored


def scan() -> rhoa.Volume:
    return digital_bone()[0]


def hard() -> NDArray[np.bool_]:
    return digital_bone()[1]


def truth() -> rhoa.Alignment:
    return rhoa.pose.from_landmarks(digital_bone()[2])


@cache
def posed() -> rhoa.Alignment:
    return from_mask(hard(), scan().affine)


@cache
def label_map() -> NDArray[np.uint8]:
    """Both hip bones of the digital CT with TotalSegmentator's values, and a spine with another."""
    x, _, z = np.moveaxis(
        truth().to_ap(scan().to_lps(np.moveaxis(np.indices(hard().shape), 0, -1))), -1, 0
    )
    hips = hard() & (z > -60) & ((np.abs(x) > 35) | (z < 30))
    labels = np.where(hard(), 26, 0).astype(np.uint8)
    labels[hips & (x > 0)] = TOTALSEGMENTATOR["hip_left"]
    labels[hips & (x <= 0)] = TOTALSEGMENTATOR["hip_right"]
    return labels


def test_bone_of_a_whole_ct_has_the_pose_of_its_pelvis() -> None:
    assert turn_deg(posed().matrix, truth().matrix) < 1.0
    assert posed().ok


def test_a_label_map_has_the_pose_of_its_hip_bones() -> None:
    found = from_mask(label_map(), scan().affine)

    assert turn_deg(found.matrix, truth().matrix) < 1.0
    assert found.ok
    assert found.quality["voxel_mm"] == pytest.approx(2.0)


def test_labels_of_other_tools_are_given_by_name() -> None:
    renamed = np.select([label_map() == 77, label_map() == 78], [3, 4]).astype(np.int64)

    found = from_mask(renamed, scan().affine, labels={"hip_left": 3, "hip_right": 4, "sacrum": 9})

    np.testing.assert_array_equal(found.matrix, from_mask(label_map(), scan().affine).matrix)


def test_a_map_of_zero_and_one_is_a_mask() -> None:
    found = from_mask(hard().astype(np.uint8), scan().affine)

    np.testing.assert_array_equal(found.matrix, posed().matrix)


def test_exchanged_labels_are_flagged_and_not_exchanged_back() -> None:
    exchanged = np.select([label_map() == 77, label_map() == 78], [78, 77]).astype(np.uint8)

    found = from_mask(exchanged, scan().affine)

    assert "sides_swapped" in found.hard_flags
    assert turn_deg(found.matrix, truth().matrix) < 1.0


@pytest.mark.parametrize("signs", [(-1.0, 1.0, 1.0, 1.0), (-1.0, -1.0, 1.0, 1.0)])
def test_an_affine_that_is_not_lps_is_flagged(signs: tuple[float, ...]) -> None:
    """Mirrored from left to right; or the affine of a NIfTI file (RAS) taken as it is."""
    found = from_mask(label_map(), np.diag(signs) @ scan().affine)

    assert "sides_swapped" in found.hard_flags


@pytest.mark.parametrize("order", [(2, 1, 0), (1, 0, 2), (0, 2, 1)])
@pytest.mark.parametrize("flips", [(0, 0, 0), (1, 0, 0), (0, 1, 1)])
def test_the_storage_order_of_the_voxels_does_not_matter(
    order: tuple[int, ...], flips: tuple[int, ...]
) -> None:
    turned = stored(rhoa.Volume(label_map(), scan().affine), order, flips)

    found = from_mask(turned.hu, turned.affine)

    assert turn_deg(found.matrix, truth().matrix) < 1.0
    assert found.ok


@pytest.mark.parametrize("spacing_mm", [1.5, 3.0])
def test_other_voxels_give_the_same_pose(spacing_mm: float) -> None:
    volume, bone, landmarks = digital_bone(spacing_mm)

    found = from_mask(bone, volume.affine)

    assert turn_deg(found.matrix, rhoa.pose.from_landmarks(landmarks).matrix) < 1.5


def test_voxels_above_three_millimetres_are_flagged() -> None:
    volume, bone, _ = digital_bone(4.0)

    assert "coarse_voxels" in from_mask(bone, volume.affine).warnings


@pytest.mark.parametrize("margin_mm", [0, 4])
def test_a_mask_that_ends_at_the_spines_is_flagged(margin_mm: float) -> None:
    """The slices above are not in the array; the bone is cut at its face."""
    top = int(scan().to_index(posed().landmarks.asis_left)[0] + margin_mm / 2) + 1

    found = from_mask(label_map()[:top], scan().affine)

    assert "field_of_view" in found.hard_flags


def test_a_mask_cropped_one_voxel_beyond_its_bone_is_whole() -> None:
    hips = np.isin(label_map(), [77, 78])
    index = np.argwhere(hips)
    low, high = index.min(axis=0) - 1, index.max(axis=0) + 2
    affine = scan().affine.copy()
    affine[:3, 3] = scan().to_lps(low)
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))

    found = from_mask(hips[box], affine)

    assert found.ok
    assert turn_deg(found.matrix, truth().matrix) < 1.0


def test_the_surface_of_a_block_is_its_outer_voxels() -> None:
    mask = np.zeros((9, 8, 7), bool)
    mask[2:6, 2:6, 2:6] = True
    grid = rhoa.Volume.from_array(mask.view(np.uint8), (1, 1, 1))

    points = surface_points(mask, grid)

    assert len(points) == 4**3 - 2**3
    assert points.min() == 2
    assert points.max() == 5


def test_bone_cut_at_the_border_of_the_array_has_no_surface_there() -> None:
    mask = np.zeros((6, 6, 6), bool)
    mask[0:3, 1:5, 1:5] = True
    grid = rhoa.Volume.from_array(mask.view(np.uint8), (1, 1, 1))

    points = surface_points(mask, grid)

    assert len(points) == 4 * 4 * 3 - 2 * 2 * 2


@pytest.mark.parametrize(
    ("mask", "options", "error", "said"),
    [
        (np.zeros((9, 9, 9), bool), {}, PoseError, "no voxel is set"),
        (np.zeros((9, 9), bool), {}, ParameterError, "3-D"),
        (np.zeros((9, 9, 9)), {}, ParameterError, "float64"),
        (np.full((9, 9, 9), 77, np.uint8), {}, PoseError, r"hip_right \(78\)"),
        (np.ones((9, 9, 9), np.uint8), {"labels": {"left": 1}}, ParameterError, "hip_left"),
        (np.ones((9, 9, 9), bool), {"orientation": "prone"}, ParameterError, "orientation"),
        (np.ones((9, 9, 9), bool), {"pubis": "both"}, ParameterError, "pubis"),
    ],
)
def test_what_is_no_mask_of_a_pelvis_is_refused_with_a_reason(
    mask: NDArray[np.generic], options: dict[str, object], error: type[RhoaError], said: str
) -> None:
    with pytest.raises(error, match=said):
        from_mask(mask, np.diag([2.0, 2, 2, 1]), **options)


def test_a_singular_affine_is_refused() -> None:
    with pytest.raises(RhoaError, match="affine"):
        from_mask(label_map(), np.zeros((4, 4)))


@pytest.mark.parametrize("form", ["volume", "path", "nibabel", "SimpleITK", "folder"])
def test_a_mask_that_says_where_it_lies_needs_no_affine(form: str, tmp_path: Path) -> None:
    for library in ("nibabel", "SimpleITK"):
        pytest.importorskip(library)
    labels = rhoa.Volume(label_map(), scan().affine)
    image = labels.to_nibabel()
    image.to_filename(tmp_path / "all.nii.gz")
    (tmp_path / "each").mkdir()
    for name, value in {**TOTALSEGMENTATOR, "spine": 26}.items():
        one = rhoa.Volume((value == label_map()).astype(np.uint8), scan().affine)
        one.to_nibabel().to_filename(tmp_path / "each" / f"{name}.nii.gz")
    masks = {
        "volume": labels,
        "path": tmp_path / "all.nii.gz",
        "nibabel": image,
        "SimpleITK": labels.to_sitk(),
        "folder": str(tmp_path / "each"),
    }

    found = from_mask(masks[form])

    expected = from_mask(label_map(), scan().affine)
    np.testing.assert_allclose(found.matrix, expected.matrix, atol=1e-6)
    np.testing.assert_allclose(found.origin, expected.origin, atol=1e-4)
    assert found.flags == expected.flags


def test_an_affine_is_for_arrays_which_need_one() -> None:
    with pytest.raises(ParameterError, match="affine is needed with an array"):
        from_mask(label_map())
    with pytest.raises(ParameterError, match="affine is for arrays; the mask says itself"):
        from_mask(rhoa.Volume(label_map(), scan().affine), scan().affine)


def test_a_folder_without_hips_is_no_pelvis(tmp_path: Path) -> None:
    pytest.importorskip("nibabel")
    rhoa.Volume(label_map() // 26, scan().affine).to_nibabel().to_filename(
        tmp_path / "liver.nii.gz"
    )

    with pytest.raises(PoseError, match="neither hip_left nor hip_right is in it"):
        from_mask(tmp_path)
