"""Projecting while reading: what is made of slices as they come equals what is made of the volume.

Everything is compared with the two-step way, `ctap` of `read_ct`: pixels to the last bit, places,
provenance, warnings and errors.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import uid
from pydicom.dataset import FileDataset

import rhoa
from rhoa import cli, errors
from rhoa.reading import reader
from rhoa.reading.reader import open_scan, open_series
from rhoa.testing import DEFECTS, make_series
from tests.reading.series import (
    PATIENT_POSITIONS,
    SYNTAXES,
    VoxelGrid,
    ramp,
    set_pixels,
    write_series,
)

OPTIONS: list[dict[str, Any]] = [
    {},
    {"window": (-20, 35)},
    {"window": (-20.5, 35.25)},
    {"reduce": "mean"},
    {"reduce": "max"},
    {"transform": "attenuation"},
    {"transform": "transmission", "window": (-900, 2000)},
]
GRID = VoxelGrid(shape=(7, 33, 34))  # JPEG 2000 needs 32 pixels a side
NOISE = np.random.default_rng(0).integers(-1024, 3072, GRID.shape)


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two slices a block: the last block is smaller than the others."""
    monkeypatch.setattr(reader, "BLOCK_BYTES", 2 * 2 * GRID.shape[1] * GRID.shape[2])


def outcome(make: Callable[[], rhoa.Radiograph]) -> tuple[object, ...]:
    """An image and its warnings, or the error."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            image = make()
        except (errors.RhoaError, ImportError) as error:
            return type(error), str(error)
    told = [(one.category, str(one.message)) for one in caught]
    frame = image.scan_frame
    return (
        image.pixels.tobytes(),
        image.shape,
        image.pixel_mm,
        image.origin_mm,
        dict(image.provenance),
        None if frame is None else (frame.matrix.tolist(), frame.origin.tolist()),
        image.alignment,
        told,
    )


def same(path: Any, **options: Any) -> tuple[object, ...]:  # noqa: ANN401  # what ctap takes
    """What both ways make of a path."""
    streamed = outcome(lambda: rhoa.ctap(path, **options))

    assert streamed == outcome(lambda: rhoa.ctap(rhoa.read_ct(path), **options))
    return streamed


class TestBits:
    @pytest.mark.parametrize("options", OPTIONS, ids=str)
    @pytest.mark.parametrize("position", PATIENT_POSITIONS)
    def test_every_patient_position_and_every_way_of_summing(
        self, position: str, options: dict[str, Any], tmp_path: Path
    ) -> None:
        write_series(tmp_path, VoxelGrid(*PATIENT_POSITIONS[position], shape=GRID.shape), hu=NOISE)

        assert len(same(tmp_path, **options)) > 2

    @pytest.mark.parametrize("options", OPTIONS, ids=str)
    @pytest.mark.parametrize(
        "directions",
        [((0, 1, 0), (0, 0, -1)), ((0, -1, 0), (0, 0, -1)), ((1, 0, 0), (0, 0, -1))],
        ids=["sagittal", "sagittal from the other side", "coronal"],
    )
    def test_slices_may_be_columns_or_lie_behind_each_other(
        self, directions: tuple[Any, Any], options: dict[str, Any], tmp_path: Path
    ) -> None:
        write_series(tmp_path, VoxelGrid(*directions, shape=GRID.shape), hu=NOISE)

        assert len(same(tmp_path, **options)) > 2

    @pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.name)
    def test_every_syntax(self, syntax: uid.UID, tmp_path: Path) -> None:
        write_series(tmp_path, GRID, hu=NOISE, syntax=syntax)

        assert len(same(tmp_path)) > 2

    @pytest.mark.parametrize("slope", ["1", "3", "0.37", "10"])
    @pytest.mark.parametrize("options", OPTIONS, ids=str)
    def test_rescaling_of_each_slice_its_own_also_beyond_int16_and_with_fractions(
        self, slope: str, options: dict[str, Any], tmp_path: Path
    ) -> None:
        def rescaled(k: int, image: FileDataset) -> None:
            image.RescaleSlope = slope if k == 4 else "1"
            image.RescaleIntercept = str(-1024 - k)

        write_series(tmp_path, GRID, hu=NOISE, edit=rescaled)

        assert len(same(tmp_path, **options)) > 2

    def test_padding_becomes_air_and_doubtful_padding_is_told(self, tmp_path: Path) -> None:
        def padded(k: int, image: FileDataset) -> None:
            set_pixels(image, np.where(NOISE[k] < 0, -2000, NOISE[k] + 1024), signed=True)
            image.add_new("PixelPaddingValue", "SS", -2000 if k else 1024)

        write_series(tmp_path, GRID, edit=padded)

        assert "PixelPaddingValue" in str(same(tmp_path))

    @given(
        shape=st.tuples(st.integers(2, 9), st.integers(1, 5), st.integers(1, 5)),
        seed=st.integers(0, 99),
        window=st.tuples(st.integers(-1500, 0), st.integers(1, 3000)),
        threads=st.integers(1, 3),
    )
    def test_any_shape_and_window(
        self,
        shape: tuple[int, int, int],
        seed: int,
        window: tuple[int, int],
        threads: int,
        tmp_path_factory: pytest.TempPathFactory,
    ) -> None:
        hu = np.random.default_rng(seed).integers(-1024, 3072, shape)
        paths = write_series(tmp_path_factory.mktemp("s"), VoxelGrid(shape=shape), hu=hu)

        same(list(reversed(paths)), window=window, threads=threads)


class TestPaths:
    @pytest.mark.parametrize("given", [str, Path, lambda folder: sorted(folder.iterdir())])
    def test_a_folder_and_a_list_of_files(
        self, given: Callable[[Path], Any], tmp_path: Path
    ) -> None:
        write_series(tmp_path, GRID)

        assert len(same(given(tmp_path))) > 2

    def test_nifti_is_read_whole(self, tmp_path: Path) -> None:
        nibabel = pytest.importorskip("nibabel")
        path = tmp_path / "scan.nii.gz"
        hu = ramp(GRID.lps()).astype(np.int16)
        nibabel.save(nibabel.Nifti1Image(hu, np.diag([1.0, 1.5, 2.0, 1.0])), path)

        assert len(same(path)) > 2

    def test_the_command_line_writes_the_same_files(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_series(tmp_path / "scan", GRID, hu=NOISE)
        image = rhoa.ctap(rhoa.read_ct(tmp_path / "scan"))
        (tmp_path / "whole").mkdir()
        monkeypatch.setattr(reader.SliceSource, "read", None)  # not to be called

        assert cli.main(["ctap", str(tmp_path / "scan"), "-o", str(tmp_path / "out")]) == 0

        for name in ("ct-ap.png", "ct-ap.npz"):
            image.save(tmp_path / "whole" / name)
            written = (tmp_path / "out" / name).read_bytes()
            assert written == (tmp_path / "whole" / name).read_bytes()

    def test_several_windows_in_one_read(self, tmp_path: Path) -> None:
        write_series(tmp_path, GRID, hu=NOISE)
        windows = [(-150, 600), (0, 1000)]

        images = rhoa.sweep(tmp_path, windows)

        for image, window in zip(images, windows, strict=True):
            whole = rhoa.ctap(rhoa.read_ct(tmp_path), window=window)
            np.testing.assert_array_equal(image.pixels, whole.pixels)

    def test_a_pose_or_a_mask_needs_the_whole_volume(self, tmp_path: Path) -> None:
        write_series(tmp_path, GRID, hu=NOISE)
        volume = rhoa.read_ct(tmp_path)
        pose = rhoa.Alignment(np.eye(3), volume.to_lps([3, 16, 16]))
        labels = (NOISE > 0).astype(np.uint8)

        posed, marked = rhoa.ctap(tmp_path, pose=pose), rhoa.ctap(tmp_path, mask=labels)

        np.testing.assert_array_equal(posed.pixels, rhoa.ctap(volume, pose=pose).pixels)
        np.testing.assert_array_equal(marked[1].pixels, rhoa.ctap(volume, mask=labels)[1].pixels)

    def test_an_axis_is_for_arrays(self, tmp_path: Path) -> None:
        write_series(tmp_path, GRID)

        with pytest.raises(errors.ParameterError, match="axis is for arrays"):
            rhoa.ctap(tmp_path, axis=0)

    @pytest.mark.parametrize("nothing", [[], "", Path("missing")])
    def test_what_is_not_there_is_named(self, nothing: Any, tmp_path: Path) -> None:  # noqa: ANN401
        with pytest.raises(errors.RhoaError):
            rhoa.ctap(nothing if isinstance(nothing, list) else tmp_path / "x" / nothing)


class TestTrouble:
    @pytest.mark.parametrize("name", sorted(DEFECTS))
    def test_a_series_with_a_defect_ends_as_it_does_when_it_is_read_whole(
        self, name: str, tmp_path: Path
    ) -> None:
        series = make_series(tmp_path / "scan", defect=name, shape=(8, 32, 32))

        same(series.path)

    @pytest.mark.parametrize("spoiled", range(GRID.shape[0]))
    def test_blank_slices_count_as_they_do_in_the_whole_volume(
        self, spoiled: int, tmp_path: Path
    ) -> None:
        hu = NOISE.copy()
        hu[spoiled] = -1024
        write_series(tmp_path, GRID, hu=hu)

        same(tmp_path)

    def test_a_slice_that_cannot_be_decoded_is_named(self, tmp_path: Path) -> None:
        path = write_series(tmp_path, GRID, syntax=uid.JPEG2000Lossless)[5]
        image = pydicom.dcmread(path)
        image.PixelData = pydicom.encaps.encapsulate([b"\xff\x4f\xff\x51" + bytes(60)])
        image.save_as(path)

        assert path.name in str(same(tmp_path))

    def test_a_scan_larger_than_the_budget_is_projected_while_it_is_read(
        self, tmp_path: Path
    ) -> None:
        write_series(tmp_path, GRID)

        with pytest.raises(errors.ReadError, match="more than max_bytes = 99"):
            rhoa.read_ct(tmp_path, max_bytes=99)
        image = rhoa.ctap(open_series(tmp_path, max_bytes=99))
        np.testing.assert_array_equal(image.pixels, rhoa.ctap(rhoa.read_ct(tmp_path)).pixels)


class TestMemory:
    def test_no_more_slices_are_held_than_a_block_has(self, tmp_path: Path) -> None:
        write_series(tmp_path, GRID, hu=NOISE)
        source = open_series(tmp_path)

        blocks = [(first, hu.shape, hu.copy()) for first, hu in source.blocks()]

        assert [first for first, _, _ in blocks] == [0, 2, 4, 6]
        assert max(shape[0] for _, shape, _ in blocks) == 2
        np.testing.assert_array_equal(np.concatenate([hu for _, _, hu in blocks]), NOISE)

    def test_the_outline_takes_none(self, tmp_path: Path) -> None:
        write_series(tmp_path, GRID)
        source, volume = open_series(tmp_path), rhoa.read_ct(tmp_path)

        assert source.outline.hu.strides == (0, 0, 0)
        assert source.outline.shape == volume.shape
        np.testing.assert_array_equal(source.outline.affine, volume.affine)

    def test_repairs_need_the_whole_volume(self, tmp_path: Path) -> None:
        write_series(tmp_path, GRID, hu=NOISE)[3].unlink()

        image = rhoa.ctap(open_scan(tmp_path, repair="gaps"))

        np.testing.assert_array_equal(
            image.pixels, rhoa.ctap(rhoa.read_ct(tmp_path, repair="gaps")).pixels
        )
