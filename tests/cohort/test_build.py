"""Lists of scans: what is checked before any work, and what their crops are called."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

import rhoa
from rhoa.cohort import build
from rhoa.cohort.build import COLUMNS
from rhoa.phantom import Anatomy, Surroundings, ct, write_dicom
from rhoa.picture import encode_png

pytest.importorskip("PIL", reason="needs Pillow (rhoa[train]) to read X-ray pictures")

LEFT, RIGHT = ("20", "120", "60", "160"), ("20", "40", "60", "80")


def scans(folder: Path, *rows: tuple[str, str, str, str, tuple[str, ...]]) -> Path:
    """A table of X-ray pictures: subject, visit, side, kl, box."""
    lines = [",".join(COLUMNS)]
    for subject, visit, side, kl, box in rows:
        name = f"image{abs(hash((subject, visit)))}.png"
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
    end = ((-225, 225), (-95, 225), (-95, 80))  # below the spines
    cut = ct(Anatomy.random(4), spacing_mm=(3, 3, 3), surroundings=Surroundings(reach_mm=end))
    lines = [",".join(COLUMNS)]
    for subject, phantom in (("P1", whole), ("P2", cut)):
        write_dicom(phantom.volume, tmp_path / subject)
        lines += [f"{subject},ct,{subject},{side},,2,,,,," for side in ("left", "right")]
    (tmp_path / "scans.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")

    with pytest.warns(rhoa.RhoaWarning, match="1 scans were rejected"):
        manifest = build(tmp_path / "scans.csv", tmp_path / "out")

    assert [(hip.subject, hip.side) for hip in manifest] == [("P1", "left"), ("P1", "right")]
    image = rhoa.Radiograph.load(tmp_path / "out" / "ct-ap" / "P1.npz")
    truth = rhoa.pose.from_landmarks(whole.landmarks)
    assert image.alignment is not None
    assert rhoa.pose.difference(image.alignment, truth).turn_deg < 2
    reasons = (tmp_path / "out" / "rejected.csv").read_text(encoding="utf-8")
    assert "line 4: the pose found is flagged" in reasons
    assert "field_of_view" in reasons
