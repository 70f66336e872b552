"""One verdict on a hip: builds, crops, grades and reviews of one set of scans agree."""

from __future__ import annotations

import csv
import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import rhoa
from rhoa.cohort.builder import COLUMNS
from rhoa.phantom import Anatomy, Phantom, Surroundings, ct
from rhoa.review.cohort import read_cohort
from rhoa.review.events import CaseState
from rhoa.review.images import Pictures
from tests.commands import run
from tests.learning.runs import write_onnx_run

pytestmark = [
    pytest.mark.usefixtures("poses_once"),
    pytest.mark.torch,  # whose extra brings the writer of ONNX files
    pytest.mark.filterwarnings("ignore::rhoa.RhoaWarning"),
]

SPACING = (4, 3, 3)
SIDES = ("left", "right")
MUST_REFUSE = {
    ("implant", "left"): "implant",
    ("feet", "left"): "pose not used",
    ("feet", "right"): "pose not used",
    ("thick", "left"): "pose not used",
    ("thick", "right"): "pose not used",
    ("lumbar", "left"): "",
    ("lumbar", "right"): "",
    ("no-pelvis", "left"): "no pelvis found",
    ("no-pelvis", "right"): "no pelvis found",
    ("cut-below", "left"): "field of view",
    ("cut-below", "right"): "field of view",
    ("blank", "left"): "blank slices",
    ("one-sided", "right"): "field of view",
    ("offset", "left"): "",
    ("offset", "right"): "",
}
MUST_CROP = {("sound", "left"), ("sound", "right"), ("implant", "right"), ("turned", "left")}


@cache
def phantom(kind: str = "sound") -> Phantom:
    surroundings = Surroundings(implant="left" if kind == "implant" else None)
    return ct(Anatomy.random(8), spacing_mm=SPACING, surroundings=surroundings)


def scan(kind: str) -> rhoa.Volume:
    """A scan of one kind; of those that are cut out of it or changed, `phantom`'s."""
    sound = phantom()
    volume, hu = sound.volume, sound.volume.hu
    affine = volume.affine.copy()
    reach = {"cut-above": (-95, 80), "cut-below": (0, 205), "lumbar": (90, 205)}
    if kind in reach:
        surroundings = Surroundings(reach_mm=((-225, 225), (-95, 225), reach[kind]))
        return ct(Anatomy.random(8), spacing_mm=SPACING, surroundings=surroundings).volume
    match kind:
        case "sound" | "implant":
            return phantom(kind).volume
        case "thick":
            return ct(Anatomy.random(3), spacing_mm=(10, 3, 3)).volume
        case "turned":
            return ct(Anatomy.random(9), spacing_mm=SPACING, angles=(10, 3, -6)).volume
        case "feet":
            affine = np.diag([-1, 1, -1, 1]) @ affine
        case "no-pelvis":
            hu = hu[:3]
        case "offset":
            hu = (hu.astype(np.int32) + 8192).astype(np.int16)
        case "blank":
            hu = hu.copy()
            middle = round(float(volume.to_index(sound.hip_centres["left"])[0]))
            hu[middle - 2 : middle + 2] = -1000
        case "one-sided":
            kept = [i for i in range(volume.shape[2]) if volume.to_lps((0, 0, i))[0] > -70]
            affine[:3, 3] = volume.to_lps((0, 0, kept[0]))
            hu = np.ascontiguousarray(hu[:, :, kept])
    return rhoa.Volume(hu, affine)


def rows_of(file: Path, key: str = "scan") -> dict[tuple[str, str], dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as table:
        return {(row[key].partition(".")[0], row["side"]): row for row in csv.DictReader(table)}


@pytest.mark.parametrize(
    "names",
    [
        ("implant", "no-pelvis", "one-sided", "sound"),
        pytest.param(
            ("blank", "cut-above", "cut-below", "feet", "lumbar", "offset", "thick", "turned"),
            marks=pytest.mark.slow,
        ),
    ],
    ids=["four scans", "the others"],
)
def test_four_roads_have_one_verdict_on_every_hip(
    names: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nibabel = pytest.importorskip("nibabel", reason="needs nibabel (extra nifti)")
    folder = tmp_path / "patients"
    folder.mkdir()
    lines = [",".join(COLUMNS)]
    for name in names:
        nibabel.save(scan(name).to_nibabel(), folder / f"{name}.nii.gz")
        lines += [f"{name},ct,patients/{name}.nii.gz,{side},,2,,,,," for side in SIDES]
    (tmp_path / "scans.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    model = write_onnx_run(tmp_path / "model")

    cropped = run(capsys, "hips", folder, "--each", "-o", tmp_path / "hips")
    predicted = run(
        capsys, "predict", folder, "--each", "--model", model, "-o", tmp_path / "predicted"
    )
    built = run(capsys, "hips", tmp_path / "scans.csv", "-o", tmp_path / "study")

    assert (cropped[0], predicted[0], built[0]) == (4, 4, 4)
    hips = rows_of(tmp_path / "hips" / "hips.csv")
    predictions = rows_of(tmp_path / "predicted" / "predictions.csv")
    manifest = {
        (hip.subject, hip.side): hip for hip in rhoa.cohort.read(tmp_path / "study/manifest.csv")
    }
    everyone = {(name, side) for name in names for side in SIDES}
    assert set(hips) == set(predictions) == set(manifest) == everyone

    usable = {hip for hip, row in hips.items() if row["usable"] == "True"}
    assert usable >= MUST_CROP & everyone
    assert not usable & MUST_REFUSE.keys()
    for hip in everyone:
        name, side = hip
        assert hips[hip]["refused"] == predictions[hip]["refused"] == manifest[hip].refused
        assert MUST_REFUSE.get(hip, "") in hips[hip]["refused"]
        assert (hip in usable) == (hips[hip]["refused"] == "")
        assert (predictions[hip]["probability"] != "") == (hip in usable)
        assert (manifest[hip].image is not None) == (hip in usable)
        assert (manifest[hip].label == 1) == (hip in usable)
        wanted = (
            None if hip in usable else "prosthesis" if hip == ("implant", "left") else "quality"
        )
        assert manifest[hip].exclusion == wanted
        file = f"{name}.nii.gz"
        crops = [
            tmp_path / "hips" / file / f"hip-{side}.png",
            tmp_path / "predicted" / file / f"hip-{side}.png",
            tmp_path / "study" / "crops" / "ct" / f"{name}_{side}.png",
        ]
        assert [crop.is_file() for crop in crops] == [hip in usable] * 3
        told = json.loads((tmp_path / "hips" / file / "pose.json").read_text("utf-8"))
        covered = told["coverage"]["hips"].get(side)
        assert covered is None or covered["usable"] == (hip in usable)

    for reviewed in (tmp_path / "hips", tmp_path / "study"):
        pictures = Pictures(tmp_path / "journals")
        graded = {
            (case.name.partition(".")[0], side)
            for case in read_cohort(reviewed)
            for side in pictures.sides(case, CaseState())
        }
        assert graded == usable
        reasons = {
            (case.name.partition(".")[0], side)
            for case in read_cohort(reviewed)
            for side in pictures.refused(case, CaseState())
        }
        assert reasons == everyone - usable


def test_one_output_does_not_contradict_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Table, text, JSON, page and coverage say the same of a hip with an implant."""
    nibabel = pytest.importorskip("nibabel", reason="needs nibabel (extra nifti)")
    nibabel.save(scan("implant").to_nibabel(), tmp_path / "scan.nii.gz")
    words = ("hips", tmp_path / "scan.nii.gz", "-o", tmp_path / "out", "--review")

    code, out, _ = run(capsys, *words)
    _, as_json, _ = run(capsys, *words, "--json")

    assert code == 4
    table = {line.split()[0]: line.split()[1] for line in out.splitlines()[1:3]}
    assert table == {"left": "False", "right": "True"}
    assert "left hip: not usable: implant" in out
    assert "right hip: usable" in out
    assert "left hip not cropped: implant" in out
    assert "--accept implant" in out
    assert [row["usable"] for row in json.loads(as_json)[0]["hips"]] == [False, True]
    page = (tmp_path / "out" / "contact-sheet.html").read_text("utf-8")
    assert "<dt>left hip</dt><dd>not usable: implant" in page
    assert "<dt>right hip</dt><dd>usable" in page
    accepted, _, _ = run(capsys, *words, "--accept", "implant")
    assert accepted == 0
    assert (tmp_path / "out" / "hip-left.png").is_file()


@pytest.mark.real
class TestOfRealScans:
    def test_a_scan_without_hips_gives_no_crop_and_exits_with_4(
        self, real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        file = real_data / "real-ct" / "totalseg_example_ct_small.nii.gz"
        if not file.is_file():
            pytest.skip("no totalseg_example_ct_small in RHOA_DATA")

        code, out, _ = run(capsys, "hips", file, "-o", tmp_path / "out")

        assert code == 4
        assert not list((tmp_path / "out").glob("hip-*.png"))
        assert "left hip: not usable" in out
        assert "right hip: not usable" in out

    def test_both_hips_of_a_real_ct_lie_where_a_radiologist_has_them(
        self, colonography: tuple[rhoa.Volume, list[str]]
    ) -> None:
        volume, _ = colonography

        found = rhoa.hips.extract(volume)

        heads = {"left": (110, -154, -539), "right": (-65, -139, -540)}
        for side, centre in heads.items():
            hip = found.hips[side]
            assert hip.usable
            assert np.linalg.norm(hip.joint.centre_lps_mm - centre) < 5
            x, _, z = found.alignment.to_ap(np.array(centre, float))
            row, column = found.image.to_pixel(x, z)
            assert hip.box.top < row < hip.box.bottom
            assert hip.box.left < column < hip.box.right
        angles = found.alignment.angles
        assert np.abs(np.subtract(angles, (5, 0.8, -6.2))).max() < 2


class TestOfATable:
    def test_a_scan_is_not_lost_for_a_side_that_is_not_asked_for(self, tmp_path: Path) -> None:
        nibabel = pytest.importorskip("nibabel", reason="needs nibabel (extra nifti)")
        nibabel.save(scan("one-sided").to_nibabel(), tmp_path / "scan.nii.gz")
        phantom().landmarks.to_json(tmp_path / "landmarks.json")
        row = "A,ct,scan.nii.gz,left,,2,landmarks.json,,,,"
        (tmp_path / "scans.csv").write_text(f"{','.join(COLUMNS)}\n{row}\n", encoding="utf-8")

        manifest = rhoa.cohort.build(tmp_path / "scans.csv", tmp_path / "study")

        assert [(hip.side, hip.label) for hip in manifest] == [("left", 1)]
        assert not (tmp_path / "study" / "rejected.csv").exists()

    def test_the_column_accept_overrules_a_refusal_of_its_own_hip(self, tmp_path: Path) -> None:
        nibabel = pytest.importorskip("nibabel", reason="needs nibabel (extra nifti)")
        nibabel.save(scan("implant").to_nibabel(), tmp_path / "scan.nii.gz")
        phantom("implant").landmarks.to_json(tmp_path / "landmarks.json")

        def built(accept: str) -> list[tuple[str, int | None, str | None]]:
            rows = [
                f"A,ct,scan.nii.gz,{side},,3,landmarks.json,,,,,{accept if side == 'left' else ''}"
                for side in SIDES
            ]
            text = "\n".join([f"{','.join(COLUMNS)},accept", *rows]) + "\n"
            (tmp_path / "scans.csv").write_text(text, encoding="utf-8")
            manifest = rhoa.cohort.build(tmp_path / "scans.csv", tmp_path / "study")
            return [(hip.side, hip.label, hip.exclusion) for hip in manifest]

        crop = tmp_path / "study" / "crops" / "ct" / "A_left.png"
        assert built("implant") == [("left", 1, None), ("right", 1, None)]
        assert crop.is_file()
        assert built("") == [("left", None, "prosthesis"), ("right", 1, None)]
        assert not crop.exists()
