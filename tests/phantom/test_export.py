"""Phantoms as files: what is written is read back where it was."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pydicom
import pytest

import rhoa
from rhoa.cohort import build
from rhoa.errors import ParameterError
from rhoa.phantom import Anatomy, ct, write_cohort, write_dicom, write_xray, xray
from rhoa.phantom.export import PROGRESSION, _harder, _later


def test_landmarks_survive_the_way_through_dicom(tmp_path: Path) -> None:
    """A landmark's voxel in the phantom is the same place in the volume that is read, to 0.1 mm."""
    phantom = ct(Anatomy.random(5), spacing_mm=(3, 2, 2.5), angles=(5, 1, -2))
    write_dicom(phantom.volume, tmp_path / "series")

    volume = rhoa.read_ct(tmp_path / "series")

    assert np.array_equal(volume.hu, phantom.volume.hu)
    index = phantom.volume.to_index(phantom.landmarks.as_array())
    np.testing.assert_allclose(volume.to_lps(index), phantom.landmarks.as_array(), atol=0.1)


def test_file_names_and_instance_numbers_do_not_tell_the_order(tmp_path: Path) -> None:
    write_dicom(ct(Anatomy.random(5), spacing_mm=(20, 9, 9)).volume, tmp_path)

    headers = [pydicom.dcmread(file) for file in sorted(tmp_path.iterdir())]

    heights = [float(header.ImagePositionPatient[2]) for header in headers]
    assert heights != sorted(heights)
    assert [int(header.InstanceNumber) for header in headers] == list(range(1, len(heights) + 1))
    assert {str(header.PatientName) for header in headers} == {"PHANTOM"}


def test_hu_that_a_ct_cannot_store_are_refused(tmp_path: Path) -> None:
    volume = rhoa.Volume.from_array(np.full((2, 2, 2), -2000, np.int16), (1, 1, 1))

    with pytest.raises(rhoa.RhoaError, match="whole HU of -1024 or more"):
        write_dicom(volume, tmp_path)


def test_an_xray_reads_as_it_was(tmp_path: Path) -> None:
    image = xray(Anatomy.random(5), pixel_mm=1.0, voxel_mm=6.0)
    write_xray(image, tmp_path / "a.dcm")

    again = rhoa.hips.read_xray(tmp_path / "a.dcm")

    assert np.array_equal(again, image.radiograph)
    assert again.pixel_mm == (1.0, 1.0)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cohort(
        tmp_path_factory.mktemp("cohort"),
        ct_subjects=1,
        xray_subjects=2,
        spacing_mm=(4, 3, 3),
        pixel_mm=2.0,
        voxel_mm=6.0,
        seed=3,
    )


def test_a_cohort_lists_every_hip_with_files_that_exist(cohort: Path) -> None:
    with cohort.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))

    assert len(rows) == 6
    assert {(row["source"], row["side"]) for row in rows} == {
        (source, side) for source in ("ct", "xray") for side in ("left", "right")
    }
    for row in rows:
        assert (cohort.parent / row["scan"]).exists()
        if row["source"] == "ct":
            rhoa.Landmarks.from_json(cohort.parent / row["landmarks"])


def test_a_cohort_becomes_crops_through_the_public_functions(cohort: Path, tmp_path: Path) -> None:
    steps = []

    manifest = build(cohort, tmp_path / "study", progress=lambda *step: steps.append(step))

    assert len(manifest) == 6
    assert all(hip.image.is_file() for hip in manifest)
    assert steps[-1] == (3, 3, "making crops")
    ct_aps = sorted(path.name for path in (tmp_path / "study" / "ct-ap").iterdir())
    assert ct_aps == ["CT-001.npz", "CT-001.png"]


def test_each_visit_has_an_xray_of_its_own_of_the_same_subject(tmp_path: Path) -> None:
    options = {"ct_subjects": 0, "xray_subjects": 1, "pixel_mm": 4, "voxel_mm": 6, "seed": 4}
    table = write_cohort(tmp_path / "three", visits=3, **options)
    alone = write_cohort(tmp_path / "one", **options)

    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["visit"], row["side"]) for row in rows] == [
        (f"V{visit}", side) for visit in (1, 2, 3) for side in ("left", "right")
    ]
    films = [pydicom.dcmread(table.parent / row["scan"]) for row in rows[::2]]
    assert len({film.SOPInstanceUID for film in films}) == 3
    assert len({bytes(film.PixelData) for film in films}) == 3
    assert {film.PatientID for film in films} == {"XR-001"}
    only = pydicom.dcmread(alone.parent / "xray" / "XR-001.dcm")
    assert films[0].PixelData == only.PixelData
    assert len(build(table, tmp_path / "study")) == 6


def test_from_visit_to_visit_bones_stay_and_grades_rise_now_and_then() -> None:
    """A hip below grade 4 rises by one with the stated probability: within four standard errors."""
    random = np.random.default_rng(0)
    rises = []
    for seed in range(400):
        before = Anatomy.random(seed, kl_left=seed % 5, kl_right=2)
        after = _later(before, random)

        assert (after.width, after.head_radius) == (before.width, before.head_radius)
        assert after.left.kl - before.left.kl in ({0} if seed % 5 == 4 else {0, 1})
        rises.append(after.right.kl - before.right.kl)
    assert set(rises) == {0, 1}
    error = (PROGRESSION * (1 - PROGRESSION) / len(rises)) ** 0.5
    assert abs(np.mean(rises) - PROGRESSION) < 4 * error


def test_the_same_seed_gives_the_same_cohort(tmp_path: Path) -> None:
    files = []
    for name in ("first", "second"):
        options = {"ct_subjects": 1, "xray_subjects": 1, "seed": 9}
        write_cohort(tmp_path / name, spacing_mm=(20, 15, 15), pixel_mm=4, voxel_mm=6, **options)
        files.append(
            {
                path.relative_to(tmp_path / name): path.read_bytes()
                for path in sorted((tmp_path / name).rglob("*"))
                if path.is_file()
            }
        )

    assert files[0] == files[1]


def test_a_hard_cohort_has_signs_of_its_own_and_readers_who_err(tmp_path: Path) -> None:
    """The same seed is the same cohort; a quarter of the hips is read one grade off."""
    options = {"ct_subjects": 1, "xray_subjects": 1, "difficulty": "hard"}
    coarse = {"spacing_mm": (20, 15, 15), "pixel_mm": 4, "voxel_mm": 6}
    for name in ("one", "two"):
        write_cohort(tmp_path / name, **options, **coarse)
    files = sorted(p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*.*"))
    assert all(
        (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
        for file in files
    )

    subjects = [Anatomy.random(seed, kl_left=2, kl_right=3) for seed in range(400)]
    off = [
        abs(read.joint(side).kl - subject.joint(side).kl)
        for subject in subjects
        for _, read in [_harder(subject, 0)]
        for side in ("left", "right")
    ]
    assert set(off) == {0, 1}
    assert 0.18 < np.mean(off) < 0.32


def test_an_unknown_difficulty_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="difficulty"):
        write_cohort(tmp_path, ct_subjects=0, xray_subjects=0, difficulty="harder")
