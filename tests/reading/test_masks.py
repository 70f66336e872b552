"""Masks lie where their affines say: in any storage order, shifted, coarser, finer, turned.

Oracles: solids in closed form, sampled at voxel centres; SciPy and SimpleITK.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from itertools import permutations, product
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

import rhoa
from rhoa.errors import MaskError, MissingFileError, ReadError
from tests.reading.series import PATIENT_POSITIONS, VoxelGrid, write_series
from tests.reading.test_repairs import write_slices
from tests.strategies import rotation, rotations, stored

ORIENTATIONS = [
    (order, flips) for order in permutations(range(3)) for flips in product((0, 1), repeat=3)
]
LABELS = (3, 5, 200)


def grid(
    shape: tuple[int, int, int],
    spacing_mm: tuple[float, float, float],
    turn: NDArray[np.float64] | None = None,
    shift_mm: tuple[float, float, float] = (0, 0, 0),
) -> rhoa.Volume:
    """Zeros about the point (20, -30, 40) of the patient, plus a shift."""
    affine = rhoa.Volume.from_array(np.zeros((1, 1, 1)), spacing_mm).affine.copy()
    if turn is not None:
        affine[:3, :3] = turn @ affine[:3, :3]
    middle = affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    affine[:3, 3] = np.array([20.0, -30, 40]) + shift_mm - middle
    return rhoa.Volume(np.zeros(shape, np.int16), affine)


def solids(volume: rhoa.Volume) -> NDArray[np.uint8]:
    """Closed form: an ellipsoid and a box, no two directions alike, at voxel centres."""
    place = volume.to_lps(np.moveaxis(np.indices(volume.shape), 0, -1)) - (20, -30, 40)
    x, y, z = np.moveaxis(place, -1, 0)
    labels = np.zeros(volume.shape, np.uint8)
    labels[(np.abs(x - 6) < 7) & (np.abs(y + 5) < 4) & (np.abs(z - 2) < 9)] = LABELS[0]
    labels[((x + 8) / 5) ** 2 + ((y - 4) / 6) ** 2 + ((z + 3) / 11) ** 2 < 1] = LABELS[1]
    labels[(x > 9) & (x < 12) & (y > 7) & (z < -6) & (z > -12) & (y < 12)] = LABELS[2]
    return labels


def painted(volume: rhoa.Volume) -> rhoa.Volume:
    return rhoa.Volume(solids(volume).astype(np.int16), volume.affine)


def distance_to_edge(volume: rhoa.Volume, mask: rhoa.Volume) -> NDArray[np.float64]:
    """Of each voxel of a scan from the nearest edge between voxels of a mask, in mask voxels."""
    index = mask.to_index(volume.to_lps(np.moveaxis(np.indices(volume.shape), 0, -1)))
    return np.abs((index % 1) - 0.5).min(axis=-1)


def with_scipy(mask: rhoa.Volume, volume: rhoa.Volume) -> NDArray[np.uint8]:
    to_mask = np.linalg.inv(mask.affine) @ volume.affine
    return ndimage.affine_transform(
        mask.hu,
        to_mask[:3, :3],
        to_mask[:3, 3],
        output_shape=volume.shape,
        order=0,
        mode="grid-constant",
    )


SCAN = grid((22, 30, 26), (1.7, 1.1, 1.3))


class TestPlaces:
    @pytest.mark.parametrize(("order", "flips"), ORIENTATIONS)
    def test_every_storage_order_of_mask_and_scan(
        self, order: tuple[int, ...], flips: tuple[int, ...]
    ) -> None:
        labels = painted(SCAN)

        onto_scan = rhoa.resample_mask(stored(labels, order, flips), SCAN)
        turned = stored(SCAN, order, flips)

        assert onto_scan.dtype == np.uint8
        np.testing.assert_array_equal(onto_scan, labels.hu)
        np.testing.assert_array_equal(rhoa.resample_mask(labels, turned), solids(turned))

    @pytest.mark.parametrize(("order", "flips"), ORIENTATIONS)
    @pytest.mark.parametrize("steps", [(1, 2, 1), (2, 2, 2)])
    def test_voxels_midway_between_two_are_decided_in_the_patient(
        self, steps: tuple[int, int, int], order: tuple[int, ...], flips: tuple[int, ...]
    ) -> None:
        """Halved voxels put every centre of the scan on edges of the mask: no storage matters."""
        size = tuple(length * step for length, step in zip((9, 10, 11), steps, strict=True))
        noise = np.random.default_rng(0).integers(0, 9, size).astype(np.int16)
        fine = rhoa.Volume.from_array(noise, tuple(2.0 / step for step in steps))
        scan = grid((9, 10, 11), (2, 2, 2))
        affine = scan.affine.copy()
        affine[:3, 3] = fine.to_lps((np.array(steps) - 1) / 2)
        scan = rhoa.Volume(scan.hu, affine)

        once = rhoa.resample_mask(fine, scan)

        upper = tuple(slice(step - 1, None, step) for step in steps)
        np.testing.assert_array_equal(once, noise[upper])  # superior, posterior, left
        np.testing.assert_array_equal(rhoa.resample_mask(stored(fine, order, flips), scan), once)
        turned = rhoa.resample_mask(fine, stored(scan, order, flips))
        np.testing.assert_array_equal(turned, stored(rhoa.Volume(once, scan.affine), order, flips))

    @given(
        st.tuples(*[st.floats(0.5, 2.5)] * 3),
        st.tuples(*[st.floats(-2, 2)] * 3),
        rotations(40),
        st.sampled_from(ORIENTATIONS),
    )
    def test_any_spacing_shift_and_turn_as_scipy_does(
        self,
        spacing: tuple[float, float, float],
        shift: tuple[float, float, float],
        turn: NDArray[np.float64],
        stored_as: tuple[tuple[int, ...], tuple[int, ...]],
    ) -> None:
        shape = tuple(int(60 / step) for step in spacing)
        for mask in (grid(shape, spacing, turn, shift), grid(shape, spacing, None, shift)):
            noise = np.random.default_rng(1).integers(0, 256, mask.shape).astype(np.int16)
            labels = rhoa.Volume(noise, mask.affine)

            placed = rhoa.resample_mask(stored(labels, *stored_as), SCAN, partial=True)

            clear = distance_to_edge(SCAN, mask) > 2e-4
            assert clear.any()
            np.testing.assert_array_equal(placed[clear], with_scipy(labels, SCAN)[clear])

    @pytest.mark.parametrize("turn", [(0, 0, 0), (9, -4, 30), (0, 0, 90), (5, 0, 0)])
    def test_solids_are_where_they_are_but_for_voxels_beside_their_surface(
        self, turn: tuple[float, float, float]
    ) -> None:
        mask = painted(grid((90, 90, 90), (0.6, 0.5, 0.7), rotation(*turn), (0.2, 0.1, 0)))

        placed = rhoa.resample_mask(mask, SCAN)

        wrong = placed != solids(SCAN)
        shaken = [
            solids(rhoa.Volume(SCAN.hu, SCAN.affine + np.outer([*shift, 0], [0, 0, 0, 1])))
            for shift in product((-0.6, 0, 0.6), repeat=3)
        ]
        beside = np.any([one != shaken[0] for one in shaken], axis=0)
        assert not (wrong & ~beside).any()
        assert wrong.mean() < 0.02

    def test_as_simpleitk_does(self) -> None:
        sitk = pytest.importorskip("SimpleITK")
        mask = painted(grid((40, 44, 48), (1.3, 1.2, 1.1), rotation(3, -8, 12)))

        expected = sitk.Resample(
            mask.to_sitk(), SCAN.to_sitk(), sitk.Transform(), sitk.sitkNearestNeighbor, 0
        )

        np.testing.assert_array_equal(
            rhoa.resample_mask(mask, SCAN), sitk.GetArrayFromImage(expected)
        )

    def test_blocks_of_slices_join(self, monkeypatch: pytest.MonkeyPatch) -> None:
        mask = painted(grid((60, 60, 60), (1, 1, 1), rotation(10, 20, 30)))
        whole = rhoa.resample_mask(mask, SCAN)

        monkeypatch.setattr("rhoa.reading.masks.BLOCK_VOXELS", 2000)

        np.testing.assert_array_equal(rhoa.resample_mask(mask, SCAN), whole)

    def test_an_affine_that_a_file_rounded_is_the_same(self) -> None:
        mask = painted(SCAN)
        rounded = rhoa.Volume(mask.hu, mask.affine.astype(np.float32))

        np.testing.assert_array_equal(rhoa.resample_mask(rounded, SCAN), mask.hu)


class TestFit:
    def test_a_mask_of_a_part_is_whole_where_no_label_reaches_its_end(self) -> None:
        labels = painted(SCAN)
        marked = np.argwhere(labels.hu)
        low, high = marked.min(axis=0) - 1, marked.max(axis=0) + 2
        box = tuple(slice(*ends) for ends in zip(low, high, strict=True))
        affine = labels.affine.copy()
        affine[:3, 3] = labels.to_lps(low)

        placed = rhoa.resample_mask(rhoa.Volume(labels.hu[box], affine), SCAN)

        np.testing.assert_array_equal(placed, labels.hu)

    @pytest.mark.parametrize(("order", "flips"), [ORIENTATIONS[0], ORIENTATIONS[-1]])
    @pytest.mark.parametrize(
        ("axis", "first", "stop", "end"),
        [
            (0, 0, 11, "upper"),
            (0, 11, 22, "lower"),
            (1, 0, 13, "back"),
            (1, 13, 30, "front"),
            (2, 0, 9, "left"),
            (2, 9, 26, "right"),
        ],
    )
    def test_a_label_that_is_cut_within_the_scan_is_refused(
        self,
        axis: int,
        first: int,
        stop: int,
        end: str,
        order: tuple[int, ...],
        flips: tuple[int, ...],
    ) -> None:
        labels = painted(SCAN)
        cut: list[slice] = [slice(None)] * 3
        cut[axis] = slice(first, stop)
        kept = np.zeros(SCAN.shape, np.uint8)
        kept[tuple(cut)] = labels.hu[tuple(cut)]
        affine = labels.affine.copy()
        affine[:3, 3] += first * affine[:3, axis]
        part = stored(rhoa.Volume(labels.hu[tuple(cut)], affine), order, flips)

        with pytest.raises(MaskError, match=rf"covers \d\d%: label \d+ is cut at its {end} end"):
            rhoa.resample_mask(part, SCAN)
        with pytest.raises(MaskError, match="partial=True"):
            rhoa.ctap(SCAN, mask=part)

        np.testing.assert_array_equal(rhoa.resample_mask(part, SCAN, partial=True), kept)

    def test_one_slice_of_the_scan_may_lie_beyond(self) -> None:
        everything = np.full(SCAN.shape, 7, np.int16)

        placed = rhoa.resample_mask(rhoa.Volume(everything[:-1], SCAN.affine), SCAN)

        assert (placed[:-1] == 7).all()
        assert not placed[-1].any()

    def test_a_mask_of_more_than_the_scan_fits(self) -> None:
        large = painted(grid((80, 60, 60), (1.7, 1.1, 1.3)))

        placed = rhoa.resample_mask(large, SCAN)

        np.testing.assert_array_equal(placed > 0, with_scipy(large, SCAN) > 0)

    @pytest.mark.parametrize(
        ("shift", "message"),
        [
            ((400, 0, 0), r"lies outside the scan: it covers 0% .* over x 404 to 436, y .* mm"),
            ((0, 0, 22), r"lies mostly outside the scan: it covers [34]\d%"),
        ],
    )
    def test_a_mask_that_lies_elsewhere_is_refused_with_the_numbers(
        self, shift: tuple[float, float, float], message: str
    ) -> None:
        elsewhere = painted(grid(SCAN.shape, SCAN.spacing_mm, None, shift))

        for partial in (False, True):
            with pytest.raises(MaskError, match=message):
                rhoa.resample_mask(elsewhere, SCAN, partial=partial)

    def test_marks_that_all_lie_beyond_the_scan_are_refused(self) -> None:
        labels = np.zeros((60, 30, 26), np.int16)
        labels[58, 3, 3] = 1

        with pytest.raises(MaskError, match="none of its 1 marked voxels lies in the scan"):
            rhoa.resample_mask(rhoa.Volume(labels, SCAN.affine), SCAN)

    def test_a_mask_without_marks_marks_nothing(self) -> None:
        assert not rhoa.resample_mask(SCAN, SCAN).any()


class TestValues:
    @pytest.mark.parametrize("dtype", ["u1", "i2", "i8", "f4", "f8", ">f4"])
    def test_labels_are_whole_numbers_of_any_type(self, dtype: str) -> None:
        labels = rhoa.Volume(solids(SCAN).astype(dtype), SCAN.affine)

        np.testing.assert_array_equal(rhoa.resample_mask(labels, SCAN), solids(SCAN))

    @pytest.mark.parametrize(
        ("value", "message"),
        [
            (0.5, "its values are fractions"),
            (-1, "labels must be 0 to 255; got -1 to 0"),
            (256, "labels must be 0 to 255; got 0 to 256"),
            (np.nan, "labels must be 0 to 255"),
        ],
    )
    def test_other_values_are_refused(self, value: float, message: str) -> None:
        values = np.zeros(SCAN.shape)
        values[3, 4, 5] = value

        with pytest.raises(MaskError, match=message):
            rhoa.ctap(SCAN, mask=rhoa.Volume(values, SCAN.affine))

    def test_an_array_says_not_where_it_lies(self) -> None:
        with pytest.raises(MaskError, match="got ndarray, which does not say where it lies"):
            rhoa.resample_mask(solids(SCAN), SCAN)
        with pytest.raises(MaskError, match="mask says where it lies in the patient, and an array"):
            rhoa.ctap(SCAN.hu, mask=painted(SCAN))  # type: ignore[call-overload]


def nifti(folder: Path) -> object:
    pytest.importorskip("nibabel")
    path = folder / "seg.nii.gz"
    stored(painted(SCAN), (2, 0, 1), (0, 1, 1)).to_nibabel().to_filename(path)
    return path


def nrrd(folder: Path) -> object:
    sitk = pytest.importorskip("SimpleITK")
    path = folder / "seg.nrrd"
    sitk.WriteImage(painted(SCAN).to_sitk(), str(path), useCompression=True)
    return str(path)


def metaimage(folder: Path) -> object:
    sitk = pytest.importorskip("SimpleITK")
    path = folder / "seg.mha"
    sitk.WriteImage(stored(painted(SCAN), (0, 1, 2), (1, 0, 1)).to_sitk(), str(path))
    return path


def of_nibabel(_: Path) -> object:
    pytest.importorskip("nibabel")
    return painted(SCAN).to_nibabel()


def of_simpleitk(_: Path) -> object:
    pytest.importorskip("SimpleITK")
    return painted(SCAN).to_sitk()


def of_highdicom(_: Path) -> object:
    highdicom = pytest.importorskip("highdicom")
    return highdicom.Volume(solids(SCAN), SCAN.affine, coordinate_system="PATIENT")


SOURCES = [nifti, nrrd, metaimage, of_nibabel, of_simpleitk, of_highdicom, lambda _: painted(SCAN)]


class TestSources:
    @pytest.mark.parametrize("source", SOURCES)
    def test_ctap_takes_a_mask_from_anywhere(
        self, source: Callable[[Path], object], tmp_path: Path
    ) -> None:
        """Oracle: the labels as an array of the scan's shape."""
        mask = source(tmp_path)
        scan = rhoa.Volume(np.random.default_rng(3).integers(-200, 700, SCAN.shape), SCAN.affine)
        pose = rhoa.Alignment(rotation(5, 3, -4).T, np.array([20.0, -30, 40]))

        for options in ({}, {"pose": pose}):
            images = rhoa.ctap(scan, mask=mask, **options)
            expected = rhoa.ctap(scan, mask=solids(SCAN), **options)
            assert list(images) == list(expected) == list(LABELS)
            for label in LABELS:
                assert np.array_equal(images[label].pixels, expected[label].pixels)
                assert images[label].provenance["label"] == label

    def test_a_boolean_volume_is_one_mask(self) -> None:
        highdicom = pytest.importorskip("highdicom")
        marked = solids(SCAN) > 0
        mask = highdicom.Volume(marked, SCAN.affine, coordinate_system="PATIENT")

        image = rhoa.ctap(SCAN, window=(-1, 1), mask=mask, transform="hu")

        assert np.array_equal(image, rhoa.ctap(SCAN, window=(-1, 1), mask=marked))
        assert rhoa.resample_mask(mask, SCAN).dtype == bool

    @pytest.mark.parametrize(
        ("name", "error", "message"),
        [
            ("nowhere.nii.gz", MissingFileError, "nowhere.nii.gz: no such file"),
            ("nowhere", MissingFileError, "mask nowhere: no such file or folder"),
            ("empty", ReadError, "no NIfTI file is in this folder"),
            ("notes.txt", ReadError, "mask notes.txt: neither NIfTI, NRRD or MetaImage"),
            ("slice.dcm", ReadError, r"mask slice.dcm: this DICOM file holds no segmentation"),
        ],
    )
    def test_what_is_no_mask_is_named(
        self, name: str, error: type[Exception], message: str, tmp_path: Path
    ) -> None:
        (tmp_path / "empty").mkdir()
        (tmp_path / "notes.txt").write_text("left hip", encoding="utf-8")
        write_series(tmp_path / "ct")[0].rename(tmp_path / "slice.dcm")

        with pytest.raises(error, match=message):
            rhoa.ctap(SCAN, mask=tmp_path / name)

    @pytest.mark.parametrize("dtype", ["u1", "f4", "i4"])
    def test_a_folder_of_structures_gives_an_image_of_each_by_name(
        self, dtype: str, tmp_path: Path
    ) -> None:
        pytest.importorskip("nibabel")
        labels = solids(SCAN)
        marked = {"femur_left": labels == 3, "hip_left": labels == 5, "body": labels < 300}
        for name, one in {**marked, "spleen": labels > 300}.items():
            volume = rhoa.Volume(one.astype(dtype), SCAN.affine)
            volume.to_nibabel().to_filename(tmp_path / f"{name}.nii.gz")
        (tmp_path / "statistics.json").write_text("{}", encoding="utf-8")
        scan = rhoa.Volume(np.random.default_rng(3).integers(-200, 700, SCAN.shape), SCAN.affine)

        images = rhoa.ctap(scan, mask=tmp_path)

        assert set(images) == set(marked)  # structures overlap; one is not in the scan
        for name, one in marked.items():
            assert np.array_equal(images[name].pixels, rhoa.ctap(scan, mask=one).pixels)
            assert images[name].provenance["label"] == name

    def test_a_label_map_among_structures_is_refused(self, tmp_path: Path) -> None:
        painted(SCAN).to_nibabel().to_filename(tmp_path / "all.nii.gz")

        with pytest.raises(MaskError, match=r"mask all.nii.gz: it holds several labels"):
            rhoa.ctap(SCAN, mask=tmp_path)

    def test_a_folder_is_no_label_map(self, tmp_path: Path) -> None:
        one = rhoa.Volume((solids(SCAN) == 3).astype("u1"), SCAN.affine)
        one.to_nibabel().to_filename(tmp_path / "hip_left.nii.gz")

        with pytest.raises(MaskError, match="it is one of several masks.*pass the file"):
            rhoa.resample_mask(tmp_path, SCAN)


def segmentation(folder: Path, marked: NDArray[np.generic], kind: str = "BINARY") -> Any:  # noqa: ANN401
    """A DICOM SEG of a series in ``folder``: segments along the last axis of ``marked``."""
    highdicom = pytest.importorskip("highdicom")
    images = [pydicom.dcmread(path) for path in write_series(folder, SERIES)]
    for image in images:
        for name in ("PatientSex", "StudyID", "StudyDate", "StudyTime"):
            setattr(image, name, "")
        image.PositionReferenceIndicator = ""
    organ = highdicom.sr.CodedConcept("113343008", "SCT", "Organ")
    algorithm = highdicom.AlgorithmIdentificationSequence("none", organ, "1")
    described = [
        highdicom.seg.SegmentDescription(n + 1, f"{n}", organ, organ, "AUTOMATIC", algorithm)
        for n in range(marked.shape[-1])
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names in one word
        made = highdicom.seg.Segmentation(
            images, marked, kind, described, "1.2.3", 1, "1.2.4", 1, "maker", "model", "1", "1"
        )
        made.save_as(folder.parent / "seg.dcm")
    return made


SERIES = VoxelGrid(shape=(12, 20, 24))


class TestSegmentations:
    """DICOM SEG leaves out slices without marks: its grid begins and ends where marks do."""

    @staticmethod
    def marks() -> NDArray[np.uint8]:
        marked = np.zeros((*SERIES.shape, 2), np.uint8)
        marked[3:7, 4:9, 5:11, 0] = 1
        marked[5:9, 10:15, 0:11, 1] = 1
        return marked

    @pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL", "LABELMAP"])
    @pytest.mark.parametrize("form", ["path", "object", "data set"])
    def test_segments_are_labels(self, form: str, kind: str, tmp_path: Path) -> None:
        marked = self.marks()
        values = marked.astype(np.float32) if kind == "FRACTIONAL" else marked
        made = segmentation(tmp_path / "ct", values, kind)
        path = tmp_path / "seg.dcm"
        mask = {"path": path, "object": made, "data set": pydicom.dcmread(path)}[form]
        scan = rhoa.read_ct(tmp_path / "ct")

        images = rhoa.ctap(scan, mask=mask)

        expected = marked[..., 0] + 2 * marked[..., 1]
        np.testing.assert_array_equal(rhoa.resample_mask(mask, scan), expected)
        assert list(images) == [1, 2]
        upside_down = rhoa.resample_mask(mask, stored(scan, (0, 1, 2), (1, 0, 1)))
        np.testing.assert_array_equal(upside_down, expected[::-1, :, ::-1])

    def test_segments_that_overlap_have_an_image_each(self, tmp_path: Path) -> None:
        marked = self.marks()
        marked[5:9, 6:15, 5:11, 1] = 1
        segmentation(tmp_path / "ct", marked)

        images = rhoa.ctap(tmp_path / "ct", mask=tmp_path / "seg.dcm")

        scan = rhoa.read_ct(tmp_path / "ct")
        assert list(images) == [1, 2]
        for number, image in images.items():
            assert np.array_equal(image, rhoa.ctap(scan, mask=marked[..., number - 1] > 0))

    def test_fractions_are_no_labels(self, tmp_path: Path) -> None:
        segmentation(tmp_path / "ct", self.marks() * np.float32(0.5), "FRACTIONAL")

        with pytest.raises(MaskError, match="mask seg.dcm: its values are fractions"):
            rhoa.ctap(tmp_path / "ct", mask=tmp_path / "seg.dcm")


BOX_MM = np.array([9.3, 8.2, 7.4])


def boxed(lps: NDArray[np.float64]) -> NDArray[np.float64]:
    """HU of a scan with a bright box about (12, 3, 70)."""
    return np.where((np.abs(lps - (12, 3, 70)) < BOX_MM).all(axis=-1), 400.0, 0.0)


@pytest.fixture(scope="module")
def mask() -> rhoa.Volume:
    """The box on a fine grid about it."""
    fine = rhoa.Volume.from_array(np.zeros((90, 90, 90), np.int16), (0.7, 0.7, 0.7))
    affine = fine.affine.copy()
    affine[:3, 3] = np.array([12, 3, 70]) - fine.to_lps([44.5, 44.5, 44.5])
    lps = fine.to_lps(np.moveaxis(np.indices(fine.shape), 0, -1)) + affine[:3, 3]
    return rhoa.Volume((boxed(lps) > 0).astype(np.int16), affine)


class TestScansThatTheReaderChanged:
    """The box is bright in the scan and marked in a mask, each on a grid of its own."""

    @pytest.mark.parametrize("position", PATIENT_POSITIONS)
    @pytest.mark.parametrize(
        ("repair", "shear", "uneven", "missing"),
        [
            ((), (0.0, 0.0), 0.0, None),
            ("tilt", (0.3, 0.0), 0.0, None),
            ("tilt", (-0.2, 0.0), 0.0, None),
            ("spacing", (0.0, 0.0), 0.4, None),
            ("gaps", (0.0, 0.0), 0.0, 9),
        ],
        ids=["sorted", "straightened", "straightened the other way", "respaced", "filled"],
    )
    def test_the_mask_is_where_the_box_is(
        self,
        repair: str,
        shear: tuple[float, float],
        uneven: float,
        missing: int | None,
        position: str,
        mask: rhoa.Volume,
        tmp_path: Path,
    ) -> None:
        row, column = PATIENT_POSITIONS[position]
        made = VoxelGrid(row, column, (2.0, 1.5, 1.2), (0, 0, 0), (16, 40, 44))
        middle = made.lps().reshape(-1, 3).mean(axis=0)
        series = VoxelGrid(row, column, (2.0, 1.5, 1.2), (12, 3, 70) - middle, made.shape)
        heights = [2.0 * k + uneven * (k % 2) for k in range(16) if k != missing]
        write_slices(tmp_path, boxed, series, heights, shear=shear)

        scan = rhoa.read_ct(tmp_path, repair=repair)
        placed = rhoa.resample_mask(mask, scan) > 0

        away = np.abs(scan.to_lps(np.moveaxis(np.indices(scan.shape), 0, -1)) - (12, 3, 70))
        clear = (np.abs(away - BOX_MM) > 2.1).all(axis=-1)  # interpolation blurs the box
        np.testing.assert_array_equal(placed[clear], (scan.hu > 200)[clear])
        assert placed[clear].any()
        assert len(rhoa.ctap(tmp_path, mask=mask)) == 1 if not repair else True


REAL = Path(os.environ.get("RHOA_DATA", "../shared/data")) / "real-ct"


@pytest.mark.real
@pytest.mark.filterwarnings("ignore::rhoa.RhoaWarning")
@pytest.mark.skipif(not REAL.is_dir(), reason="RHOA_DATA has no real-ct")
@pytest.mark.parametrize("name", ["totalseg_example_ct_small.nii.gz", "totalseg_example_ct.nii.gz"])
def test_totalsegmentators_example_lies_on_its_scan(name: str) -> None:
    """Oracle: SimpleITK, which reads both files itself. The larger scan goes on above the mask."""
    sitk = pytest.importorskip("SimpleITK")
    scan, mask = rhoa.read_ct(REAL / name), REAL / "example_seg.nii.gz"
    expected = sitk.GetArrayFromImage(
        sitk.Resample(
            sitk.ReadImage(str(mask)),
            scan.to_sitk(),
            sitk.Transform(),
            sitk.sitkNearestNeighbor,
            0,
        )
    )

    placed = rhoa.resample_mask(mask, scan, partial=True)

    np.testing.assert_array_equal(placed, expected)
    if scan.shape == placed.shape == (30, 101, 122):
        assert rhoa.ctap(scan, mask=mask).keys() == set(np.unique(expected).tolist()) - {0}
        for label in (5, 1, 3):  # liver, spleen, left kidney: soft tissue
            assert 0 < np.median(scan.hu[placed == label]) < 200
    else:
        with pytest.raises(MaskError, match="label .* is cut at its"):
            rhoa.ctap(scan, mask=mask)
