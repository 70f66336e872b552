"""Lists of scans: what is checked before any work, and what their crops are called."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray

import rhoa
from rhoa.cohort import build
from rhoa.cohort.builder import COLUMNS
from rhoa.phantom import Anatomy, ct, write_dicom
from rhoa.raster import encode_png
from tests.hips.xrays import write

pytestmark = pytest.mark.usefixtures("poses_once")

LEFT, RIGHT = ("20", "120", "60", "160"), ("20", "40", "60", "80")
BOTH = (("left", LEFT), ("right", RIGHT))


def scans(folder: Path, *rows: tuple[str, str, str, str, tuple[str, ...]]) -> Path:
    """A table of X-ray pictures: subject, visit, side, kl, box."""
    lines = [",".join(COLUMNS)]
    for subject, visit, side, kl, box in rows:
        name = f"image{hashlib.sha256(f'{subject}|{visit}'.encode()).hexdigest()[:12]}.png"
        levels = np.tile(np.arange(200, dtype=np.uint8), (100, 1))
        (folder / name).write_bytes(encode_png(levels))
        lines.append(",".join([subject, "xray", name, side, visit, kl, "", *box]))
    (folder / "scans.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "scans.csv"


def test_pictures_need_no_pixel_size_since_boxes_are_in_pixels(tmp_path: Path) -> None:
    table = scans(tmp_path, ("P1", "", "left", "2", LEFT), ("P1", "", "right", "0", RIGHT))

    manifest = build(table, tmp_path / "out")

    assert [(hip.side, hip.label) for hip in manifest] == [("left", 1), ("right", 0)]
    assert [hip.image.name for hip in manifest] == ["P1_left.png", "P1_right.png"]


def test_crops_are_hashed_and_stated_exclusions_kept(tmp_path: Path) -> None:
    table = scans(tmp_path, ("P1", "", "left", "2", LEFT), ("P1", "", "right", "0", RIGHT))
    head, first, second = table.read_text("utf-8").splitlines()
    lines = [f"{head},exclusion", f"{first},prosthesis", f"{second},"]
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")

    manifest = build(table, tmp_path / "out")

    assert manifest.flow().as_dict() == {"start": 2, "excluded": {"prosthesis": 1}, "left": 1}
    assert rhoa.cohort.read(tmp_path / "out" / "manifest.csv") == manifest
    for hip in manifest:
        assert hip.sha256 == hashlib.sha256(hip.image.read_bytes()).hexdigest()


def test_subjects_that_a_file_system_would_confuse_keep_their_own_files(tmp_path: Path) -> None:
    names = ["李", "王", "A 1", "A-1", "P_1"]
    table = scans(
        tmp_path,
        *((name, "", "left", "0", LEFT) for name in names),
        ("P", "1", "left", "3", LEFT),
    )

    manifest = build(table, tmp_path / "out")

    assert len({hip.image.name.casefold() for hip in manifest}) == 6
    assert len(rhoa.cohort.read(tmp_path / "out" / "manifest.csv")) == 6


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [("P1", "", "left", "0", LEFT), ("P1", "", "left", "3", LEFT)],
            "line 3: the left hip of this scan is listed twice",
        ),
        ([("P1", "", "left", "7", LEFT)], "line 2: kl must be 0 to 4 or empty; got '7'"),
        ([("", "", "left", "0", LEFT)], "line 2: subject or scan is empty"),
        ([("P1", "1", "left", "0", LEFT), ("P1", "1", "right", "9", LEFT)], "line 3: kl must be"),
    ],
)
def test_a_wrong_row_is_named_before_anything_is_written(
    tmp_path: Path, rows: list[tuple[str, str, str, str, tuple[str, ...]]], message: str
) -> None:
    with pytest.raises(rhoa.errors.ManifestError, match=message):
        build(scans(tmp_path, *rows), tmp_path / "out")

    assert not (tmp_path / "out").exists()


def test_boxes_on_the_wrong_sides_are_refused(tmp_path: Path) -> None:
    table = scans(tmp_path, ("P1", "", "left", "0", RIGHT), ("P1", "", "right", "0", LEFT))

    with (
        pytest.warns(rhoa.RhoaWarning, match="1 scans were rejected"),
        pytest.raises(rhoa.RhoaError, match="the left hip's box lies to the left of the right"),
    ):
        build(table, tmp_path / "out")


def test_a_ct_without_landmarks_is_posed_by_what_is_found_in_it(tmp_path: Path) -> None:
    whole = ct(Anatomy.random(3), spacing_mm=(3, 3, 3), angles=(8, 2, -5))
    thick = ct(Anatomy.random(4), spacing_mm=(6, 3, 3))
    lines = [",".join(COLUMNS)]
    for subject, phantom in (("P1", whole), ("P2", thick)):
        write_dicom(phantom.volume, tmp_path / subject)
        lines += [f"{subject},ct,{subject},{side},,2,,,,," for side in ("left", "right")]
    (tmp_path / "scans.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")

    with (
        pytest.warns(rhoa.RhoaWarning, match="2 hips were refused a crop"),
        pytest.warns(rhoa.RhoaWarning, match="the CT-AP is as scanned, and no hip is cropped"),
    ):
        manifest = build(tmp_path / "scans.csv", tmp_path / "out")

    assert [(hip.subject, hip.side, hip.label, hip.exclusion) for hip in manifest] == [
        *(("P1", side, 1, None) for side in ("left", "right")),
        *(("P2", side, None, "quality") for side in ("left", "right")),
    ]
    assert [hip.image is None for hip in manifest] == [False, False, True, True]
    assert not list((tmp_path / "out" / "crops").rglob("P2*"))
    assert rhoa.cohort.read(tmp_path / "out" / "manifest.csv") == manifest
    image = rhoa.Radiograph.load(tmp_path / "out" / "ct-ap" / "P1.npz")
    truth = rhoa.pose.from_landmarks(whole.landmarks)
    assert image.alignment is not None
    assert rhoa.pose.difference(image.alignment, truth).turn_deg < 2
    reasons = (tmp_path / "out" / "rejected.csv").read_text(encoding="utf-8")
    assert "line 4: left hip: pose not used: the pose found is flagged" in reasons
    assert "thick slices" in reasons


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda hu: np.clip((hu + 160) / 400 * 255, 0, 255), id="8 bit"),
        pytest.param(lambda hu: hu + 1024, id="stored", marks=pytest.mark.slow),
    ],
)
def test_hips_whose_values_are_no_hounsfield_units_have_no_crop_and_no_label(
    change: Callable[[NDArray[np.float64]], NDArray[np.float64]], tmp_path: Path
) -> None:
    nibabel = pytest.importorskip("nibabel", reason="needs extra nifti")
    phantom = ct(Anatomy.random(3), spacing_mm=(4, 4, 4))
    volume = phantom.volume
    values = change(volume.hu.astype(np.float64)).round().astype(np.int16)
    ras = (np.diag([-1.0, -1, 1, 1]) @ volume.affine)[:, [2, 1, 0, 3]]
    nibabel.save(nibabel.Nifti1Image(values.T, ras), tmp_path / "scan.nii.gz")
    phantom.landmarks.to_json(tmp_path / "landmarks.json")
    rows = [f"P1,ct,scan.nii.gz,{side},,2,landmarks.json,,,," for side in ("left", "right")]
    (tmp_path / "scans.csv").write_text("\n".join([",".join(COLUMNS), *rows]) + "\n", "utf-8")

    with pytest.warns(rhoa.RhoaWarning) as warned:
        manifest = build(tmp_path / "scans.csv", tmp_path / "out")

    assert any("2 hips were refused a crop" in str(one.message) for one in warned)
    assert [(hip.image, hip.label, hip.exclusion) for hip in manifest] == [
        (None, None, "quality")
    ] * 2
    assert all("not hounsfield" in hip.refused for hip in manifest)
    assert not list((tmp_path / "out" / "crops").rglob("*.png"))
    assert len(rhoa.cohort.read(tmp_path / "out" / "manifest.csv").labelled) == 0


def test_scans_are_described_from_their_headers_where_asked_and_the_table_is_silent(
    tmp_path: Path,
) -> None:
    phantom = ct(Anatomy.random(3), spacing_mm=(4, 4, 4))
    phantom.landmarks.to_json(tmp_path / "landmarks.json")
    write_dicom(phantom.volume, tmp_path / "scan")
    known = {
        "Manufacturer": "ACME",
        "ManufacturerModelName": "ACME One",
        "ConvolutionKernel": "B30f",
        "StudyDate": "20190704",
        "PatientSex": "F",
        "PatientAge": "063Y",
    }
    for file in (tmp_path / "scan").iterdir():
        slice_ = pydicom.dcmread(file)
        for name, value in known.items():
            setattr(slice_, name, value)
        slice_.save_as(file)
    names = ("scanner", "kernel", "slice_thickness_mm", "year", "sex", "age")
    head = ",".join([*COLUMNS, "sex", "site"])
    rows = [f"P1,ct,scan,{side},,2,landmarks.json,,,,,M,Köln" for side in ("left", "right")]
    (tmp_path / "scans.csv").write_text("\n".join([head, *rows]) + "\n", "utf-8")

    plain, described = (
        build(tmp_path / "scans.csv", tmp_path / name, describe=name == "described")
        for name in ("plain", "described")
    )

    assert {hip.others for hip in plain} == {(("sex", "M"), ("site", "Köln"))}
    again = rhoa.cohort.read(tmp_path / "described" / "manifest.csv")
    for hip in (*described, *again):
        told = {name: hip.value(name) for name in (*names, "site")}
        assert told == {
            "scanner": "ACME One",
            "kernel": "B30f",
            "slice_thickness_mm": "4",
            "year": "2019",
            "sex": "M",  # the table's own word stands
            "age": "60-69",
            "site": "Köln",
        }
    text = (tmp_path / "described" / "manifest.csv").read_text("utf-8")
    assert "20190704" not in text
    assert "063" not in text


def add_column(table: Path, name: str, *cells: str) -> None:
    head, *rows = table.read_text("utf-8").splitlines()
    lines = [f"{head},{name}", *(f"{row},{cell}" for row, cell in zip(rows, cells, strict=True))]
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")


def files(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Content and time of change of every file."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def four(tmp_path: Path) -> Path:
    """Four pictures of two hips each."""
    hips = [(f"P{n}", "", side, "2", box) for n in range(4) for side, box in BOTH]
    return scans(tmp_path, *hips)


def test_a_second_run_does_what_is_not_done(four: Path, tmp_path: Path) -> None:
    """A crop is taken away, another is painted over, a box is moved; one scan is as it was."""
    out = tmp_path / "out"
    first = build(four, out)
    before = files(out)
    (out / "crops" / "xray" / "P0_left.png").unlink()
    (out / "crops" / "xray" / "P1_left.png").write_bytes(b"painted over")
    lines = four.read_text("utf-8").splitlines()
    lines[5] = lines[5].replace("20,120,60,160", "20,121,80,181")
    four.write_text("\n".join(lines) + "\n", encoding="utf-8")

    second = build(four, out)

    after = files(out)
    assert after.keys() == before.keys()
    made_again = {name for name in after if after[name][1] != before[name][1]} - {"manifest.csv"}
    assert {name for name in made_again if name.startswith("crops")} == {
        f"crops/xray/P{n}_{side}.png" for n in (0, 1, 2) for side in ("left", "right")
    }
    same = {name for name in after if after[name][0] == before[name][0]}
    assert {"crops/xray/P0_left.png", "crops/xray/P1_left.png"} <= same
    assert [hip.sha256 == was.sha256 for hip, was in zip(second, first, strict=True)] == [
        *[True] * 4,
        *(False, True),
        *[True] * 2,
    ]
    assert rhoa.cohort.read(out / "manifest.csv") == second


def test_grades_are_those_of_the_table_without_new_crops(four: Path, tmp_path: Path) -> None:
    build(four, tmp_path / "out")
    before = files(tmp_path / "out" / "crops")
    four.write_text(four.read_text("utf-8").replace(",2,", ",0,"), encoding="utf-8")

    manifest = build(four, tmp_path / "out")

    assert [hip.kl for hip in manifest] == [0] * 8
    assert files(tmp_path / "out" / "crops") == before


def test_what_a_killed_run_had_done_is_put_in_its_place(four: Path, tmp_path: Path) -> None:
    """As if it was killed between two files of a scan that is done."""
    out = tmp_path / "out"
    expected = build(four, out)
    case = out / "cases" / "xray-P0"
    (out / "crops" / "xray" / "P0_right.png").replace(case / "right.png")
    (out / "manifest.csv").unlink()
    times = files(case)

    assert build(four, out) == expected
    assert not (case / "right.png").exists()
    assert files(case)["case.json"] == times["case.json"]  # not done again


def test_scans_that_fail_are_listed_and_the_others_go_on(four: Path, tmp_path: Path) -> None:
    """One picture is damaged, one is absent; side by side the same is made."""
    lines = four.read_text("utf-8").splitlines()
    (tmp_path / lines[1].split(",")[2]).write_bytes(b"no picture")
    (tmp_path / lines[3].split(",")[2]).unlink()

    with pytest.warns(rhoa.RhoaWarning, match="2 scans were rejected"):
        alone = build(four, tmp_path / "alone")
    with pytest.warns(rhoa.RhoaWarning, match="2 scans were rejected"):
        build(four, tmp_path / "beside", pool=rhoa.cohort.processes(2))

    assert [hip.subject for hip in alone] == ["P2", "P2", "P3", "P3"]
    rows = (tmp_path / "alone" / "rejected.csv").read_text("utf-8").splitlines()
    assert [row.split(",")[0] for row in rows[1:]] == ["P0", "P1"]
    made, same = (
        {name: content for name, (content, _) in files(tmp_path / folder).items()}
        for folder in ("alone", "beside")
    )
    assert made == same


def test_a_table_may_overrule_refusals_and_allow_repairs(tmp_path: Path) -> None:
    """An X-ray that is said to be of a knee, and a CT of which one slice is missing."""
    write(tmp_path, BodyPartExamined="KNEE").rename(tmp_path / "knee.dcm")
    phantom = ct(Anatomy.random(3), spacing_mm=(4, 4, 4))
    write_dicom(phantom.volume, tmp_path / "gap")
    sorted((tmp_path / "gap").iterdir())[20].unlink()
    phantom.landmarks.to_json(tmp_path / "gap.json")
    head = ",".join(COLUMNS)
    rows = ["K,xray,knee.dcm,left,,2,,10,50,40,80", "G,ct,gap,left,,2,gap.json,,,,"]
    table = tmp_path / "scans.csv"
    table.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")

    with (
        pytest.warns(rhoa.RhoaWarning, match="2 scans were rejected"),
        pytest.raises(rhoa.errors.ManifestError, match="every scan failed"),
    ):
        build(table, tmp_path / "out")
    reasons = (tmp_path / "out" / "rejected.csv").read_text("utf-8")
    add_column(table, "accept", "part", "")
    add_column(table, "repair", "", "gaps")
    manifest = build(table, tmp_path / "out")

    assert "names another part (knee)" in reasons
    assert "missing" in reasons
    assert [hip.subject for hip in manifest] == ["K", "G"]
    assert not (tmp_path / "out" / "rejected.csv").exists()


@pytest.mark.parametrize(
    ("column", "cells", "message"),
    [
        ("accept", ("knee", ""), "line 2: accept must name refusals that exist"),
        ("accept", ("part", ""), "line 2: the rows of this scan differ in accept"),
        ("repair", ("gap", "gap"), "line 2: repair must name repairs that exist"),
        ("repair", ("gaps", "gaps"), "line 2: repair is of source ct; leave it empty"),
    ],
)
def test_wrong_names_in_the_added_columns_are_told(
    tmp_path: Path, column: str, cells: tuple[str, str], message: str
) -> None:
    table = scans(tmp_path, ("P1", "", "left", "2", LEFT), ("P1", "", "right", "0", RIGHT))
    add_column(table, column, *cells)

    with pytest.raises(rhoa.errors.ManifestError, match=message):
        build(table, tmp_path / "out")
