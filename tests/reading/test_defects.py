"""Every defect that a CT series can have, and what `rhoa.read_ct` makes of it: nothing silently."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rhoa
from rhoa import errors
from rhoa.reading import read_ct
from rhoa.testing import DEFECTS, NIFTI_DEFECTS, Series, make_nifti, make_series
from rhoa.testing.synthetic import (
    CANARIES,
    CATALOGUE,
    PATIENT_POSITIONS,
    ROOT,
    VoxelGrid,
    image_dataset,
    save,
)

RECORDED = {
    "duplicate-slice": ("copies_dropped", 1),
    "duplicate-file": ("copies_dropped", 1),
    "two-encodings": ("copies_dropped", 12),
    "foreign-files": ("skipped", {"no DICOM file": 2, "empty file": 1}),
    "padding": ("padding_voxels", None),
    "padding-range": ("padding_voxels", None),
    "padding-untagged": ("padding_voxels", None),
    "padding-wrong-sign": ("padding_voxels", None),
}
"""Where the report tells of what was put right, and what it says; None for the true number."""

ANATOMICAL = {"metal", "metal-extended", "fov-truncated", "motion"}
"""Defects of a body, which other sizes may hide."""
SLOW = {"deflate-bomb", "rows-8000-rle", *(n for n in DEFECTS if n.startswith(("j2k", "jpeg")))}
REPAIRABLE = sorted(name for name in DEFECTS if CATALOGUE[name].repair)
NOT_ONE_FILE = ("series 0", "in the given files")
"""How a message begins that is about no one file."""
HARMLESS_LOSS = 0.6
"""Share of the true voxels that a repaired volume must hold: a sheared one may lose corners."""


def assert_verdict(series: Series) -> None:
    """What `read_ct` makes of the series is what it must make of it."""
    if series.verdict == "error":
        with pytest.raises(getattr(errors, series.error or "")) as refused:
            read_ct(series.path)
        names = [path.name for path in series.paths]
        assert any(name in str(refused.value) for name in (*names, *NOT_ONE_FILE))
        assert_discreet(str(refused.value), series)
        return
    if series.verdict == "warn":
        with pytest.warns(rhoa.RhoaWarning) as caught:
            volume = read_ct(series.path)
        assert volume.report["warnings"] == [str(warning.message) for warning in caught]
        with pytest.raises(errors.ReadError, match="strict=True"):
            read_ct(series.path, strict=True)
    else:
        volume = read_ct(series.path, strict=True)
        assert volume.report["warnings"] == []
    assert series.hu is not None
    assert volume.shape == series.hu.shape
    assert series.is_right(volume.hu, volume.affine), series.difference(volume.hu, volume.affine)
    assert_discreet(json.dumps(dict(volume.report)), series)


def assert_discreet(text: str, series: Series) -> None:
    """No text tells the patient, the place on disk or a whole UID."""
    assert "CANARY" not in text
    assert not any(value in text for value in CANARIES.values())
    assert str(series.path.parent) not in text
    assert ROOT not in text


@pytest.mark.parametrize("name", sorted(DEFECTS))
def test_a_series_is_read_right_or_refused_for_its_defect(
    name: str, defective: Callable[[str], Series], tmp_path: Path
) -> None:
    anatomical = name in ANATOMICAL

    assert_verdict(make_series(tmp_path, defect=name) if anatomical else defective(name))


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("name", sorted(NIFTI_DEFECTS))
def test_a_nifti_file_is_read_right_or_refused_for_its_defect(
    name: str, suffix: str, tmp_path: Path
) -> None:
    pytest.importorskip("nibabel", reason="pip install '.[nifti]'")

    assert_verdict(make_nifti(tmp_path / f"scan{suffix}", defect=name))


@given(
    name=st.sampled_from(sorted(set(DEFECTS) - ANATOMICAL - SLOW)),
    shape=st.tuples(st.integers(8, 16), st.integers(32, 48), st.integers(32, 48)),
    spacing=st.tuples(st.floats(1.5, 5), st.floats(0.5, 1.5), st.floats(0.5, 1.5)),
    origin=st.tuples(*[st.floats(-400, 400)] * 3),
    position=st.sampled_from(sorted(PATIENT_POSITIONS)),
    seed=st.integers(0, 1000),
)
def test_a_verdict_depends_on_nothing_but_the_defect(
    name: str,
    shape: tuple[int, int, int],
    spacing: tuple[float, float, float],
    origin: tuple[float, float, float],
    position: str,
    seed: int,
) -> None:
    with TemporaryDirectory() as folder:
        assert_verdict(
            make_series(
                Path(folder) / "scan",
                defect=name,
                shape=shape,
                spacing_mm=spacing,
                origin_mm=origin,
                position=position,
                seed=seed,
            )
        )


@pytest.mark.parametrize("name", RECORDED)
def test_what_was_put_right_is_in_the_report(name: str, tmp_path: Path) -> None:
    series = make_series(tmp_path, defect=name)
    key, expected = RECORDED[name]

    report = read_ct(series.path).report

    if expected is None:
        assert series.hu is not None
        expected = int((series.hu == -1024).sum())
    assert report[key] == expected


@pytest.mark.parametrize("name", REPAIRABLE)
def test_a_repair_asked_for_by_name_gives_the_true_volume_and_is_reported(
    name: str, tmp_path: Path
) -> None:
    series = make_series(tmp_path, defect=name)

    volume = read_ct(series.path, repair=series.repair)

    difference = series.difference(volume.hu, volume.affine)
    assert difference.worst_hu <= 1.5  # stored values and interpolated ones are both rounded
    assert difference.covered >= (HARMLESS_LOSS if series.repair == ("tilt",) else 1)
    assert all(repair in json.dumps(dict(volume.report)) for repair in series.repair)


def test_every_verdict_of_repair_has_its_place_in_the_report() -> None:
    repaired = {name for name, entry in CATALOGUE.items() if entry.verdict == "repair"}

    assert repaired == set(RECORDED)


def test_two_copies_of_one_slice_a_hundredth_of_a_millimetre_apart_are_no_volume(
    tmp_path: Path,
) -> None:
    """Positions are good to 0.05 mm; what is nearer than that is one place."""
    grid = VoxelGrid(spacing_mm=(0.01, 1.0, 1.0), shape=(2, 8, 8))
    plane = np.arange(64).reshape(8, 8)
    for k in range(2):
        save(image_dataset(grid, k, plane), tmp_path / f"{k}")

    with pytest.raises(errors.GeometryError):
        read_ct(tmp_path)


def test_no_opt_in_repair_is_applied_unasked(tmp_path: Path) -> None:
    """A repair of something else leaves a defect an error."""
    series = make_series(tmp_path, defect="missing-slice")

    with pytest.raises(errors.GeometryError):
        read_ct(series.path)


def test_hu_are_whole_numbers_where_they_can_be(tmp_path: Path) -> None:
    series = make_series(tmp_path, defect="rescale-per-slice")

    volume = read_ct(series.path)

    np.testing.assert_array_equal(volume.hu, series.hu)
    assert volume.report["rescale_varies"]
