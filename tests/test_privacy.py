"""Thirty texts that name a patient go in by every door of rhoa, and none comes out.

They lie in DICOM of a CT and of X-rays, in the headers of NIfTI, NRRD and MetaImage files, and in
names of files and folders. What comes out is every byte that is written, unpacked, and every word
that is printed, warned or raised.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import shutil
import subprocess
import sys
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest

import rhoa
from rhoa import cli
from rhoa._types import SIDES
from rhoa.cohort import Pseudonyms
from rhoa.cohort.builder import COLUMNS
from rhoa.cohort.pseudonyms import patient_of
from rhoa.dicom.secondary_capture import secondary_capture
from rhoa.files import csv_text
from rhoa.phantom import Anatomy, ct, write_dicom, write_xray, xray
from rhoa.raster import encode_png
from rhoa.review import Session, Sitting, export, read_cohort
from rhoa.testing import make_series
from tests.canaries import TEXTS, files_of, found_in, plant, plant_files
from tests.learning.runs import write_onnx_run

pytestmark = pytest.mark.usefixtures("poses_once")

NAME = TEXTS["file name"]
EVERYTHING = set(TEXTS)
FROM_INSIDE = EVERYTHING - {"file name"}


@pytest.fixture(scope="module")
def patients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CTs of one patient, sound and broken, and X-rays, full of the texts; a key of pseudonyms."""
    folder = tmp_path_factory.mktemp("clinic")
    phantom = ct(Anatomy.random(8), spacing_mm=(4, 3, 3), angles=(6, 1, -2))
    write_dicom(phantom.volume, folder / "cts" / NAME)
    make_series(folder / "cts" / f"{NAME} short", defect="short-pixel-data")
    make_series(folder / "cts" / f"{NAME} lossy", defect="lossy-padding")
    phantom.landmarks.to_json(folder / "landmarks.json")
    (folder / "films").mkdir()
    for part in ("PELVIS", "KNEE"):
        file = folder / "films" / f"{part}.dcm"
        write_xray(xray(Anatomy.random(8), pixel_mm=1.0, voxel_mm=3.0), file)
        image = pydicom.dcmread(file)
        image.BodyPartExamined = part
        del image.AnatomicRegionSequence  # which says pelvis
        image.save_as(file)
    plant_files(folder)
    write_headers(phantom.volume, folder / "volumes")
    Pseudonyms.create(folder / "study.key")
    return folder


def write_headers(volume: rhoa.Volume, folder: Path) -> None:
    """The CT as NIfTI, NRRD and MetaImage with texts wherever their headers have room."""
    nibabel, sitk = pytest.importorskip("nibabel"), pytest.importorskip("SimpleITK")
    folder.mkdir()
    image = volume.to_nibabel()
    image.header["descrip"] = f"{TEXTS['PatientName']} {TEXTS['PatientID']}".encode()
    image.header["aux_file"] = TEXTS["StationName"].encode()
    image.header["intent_name"] = TEXTS["StudyID"].encode()
    image.header["db_name"] = TEXTS["AccessionNumber"].encode()
    extension = nibabel.nifti1.Nifti1Extension("comment", TEXTS["PatientComments"].encode())
    image.header.extensions.append(extension)
    nibabel.save(image, folder / f"{NAME}.nii.gz")
    image = volume.to_sitk()
    for keyword, text in TEXTS.items():
        image.SetMetaData(keyword.replace(" ", "_"), text)
    for suffix in ("nrrd", "mha"):
        sitk.WriteImage(image, str(folder / f"{NAME}.{suffix}"))


class Said:
    """All that is said: on stdout and stderr, in warnings, errors and their traces."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def rhoa(self, *words: object) -> int:
        """Run the command line; what it says is kept."""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                code = cli.main([str(word) for word in words])
            except SystemExit as leave:
                code = int(leave.code or 0)
        self.texts += [out.getvalue(), err.getvalue()]
        return code

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """What Python code warns of and raises."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                yield
            except Exception as error:  # noqa: BLE001  # whatever a user may meet
                self.texts += [str(error), repr(error), str(error.__cause__)]
                self.texts += traceback.TracebackException.from_exception(error).format()
        self.texts += [str(one.message) for one in caught]

    def names(self, *, allowed: str = "") -> set[str]:
        """Of the texts that were said, where what the user typed himself is taken out."""
        said = "\n".join(self.texts)
        return found_in([(said.replace(allowed, "") if allowed else said).encode()])


@pytest.fixture
def said() -> Said:
    return Said()


def test_the_texts_are_found_where_they_are(patients: Path, tmp_path: Path) -> None:
    """Else the tests below would prove nothing."""
    assert len(TEXTS) == 30
    assert found_in(files_of(patients / "cts")) == EVERYTHING
    assert found_in(files_of(patients / "films")) == EVERYTHING
    assert found_in(files_of(patients / "volumes")) == EVERYTHING
    np.savez_compressed(tmp_path / "a.npz", provenance=json.dumps(TEXTS))
    assert found_in(files_of(tmp_path)) == EVERYTHING
    assert found_in([json.dumps(TEXTS).encode("utf-16-le")]) == EVERYTHING
    picture = encode_png(np.zeros((2, 9), np.uint8), text={"who": TEXTS["PatientID"]})
    assert found_in([b"data:image/png;base64," + base64.b64encode(picture)]) == {"PatientID"}


def test_a_ct_through_every_verb_and_format(patients: Path, tmp_path: Path, said: Said) -> None:
    scan, out = patients / "cts" / NAME, tmp_path / "out"
    key = ("--pseudonyms", patients / "study.key")

    codes = [
        said.rhoa("inspect", patients / "cts"),
        said.rhoa("ctap", scan, "-o", out / "plain"),
        said.rhoa("ctap", scan, "-o", out / "posed", "--pose", "auto", "--json"),
        said.rhoa("ctap", scan, "-o", out / "a.nii.gz", "--pose", patients / "landmarks.json"),
        said.rhoa("hips", scan, "-o", out / "hips", "--review", *key),
        said.rhoa("hips", patients / "cts", "--each", "--review", "-o", out / "each", *key),
        said.rhoa("ctap", patients / "cts", "--each", "-o", out / "ctaps", *key),
    ]

    assert codes == [0, 0, 0, 0, 0, 4, 4]
    assert len(list((out / "ctaps").glob("P-*_*"))) == 2  # the sound one, the one with losses
    assert (out / "each" / "rejected.csv").read_text().count("\n") > 1
    assert found_in(files_of(out)) == set()
    assert said.names() == set()


def test_a_cohort_from_table_to_grades(patients: Path, tmp_path: Path, said: Said) -> None:
    """Subjects come from PatientID by a key, so the manifest holds no patient's number."""
    pytest.importorskip("onnxruntime", reason="needs extra onnx")
    model = write_onnx_run(tmp_path / "model")
    study, key = tmp_path / "study", ("--pseudonyms", patients / "study.key")
    scan = patients / "cts" / NAME
    film = next(file for file in (patients / "films").iterdir() if part_of(file) == "PELVIS")
    box = ["20", "220", "120", "320"]
    rows = [["", "ct", scan, side, "", 2, patients / "landmarks.json", *[""] * 4] for side in SIDES]
    rows += [["", "xray", film, "left", "", 2, "", *box]]
    rows += [["", "ct", patients / "cts" / f"{NAME} short", "left", "x", 2, *[""] * 5]]
    table = tmp_path / "scans.csv"
    table.write_text(csv_text(COLUMNS, rows), encoding="utf-8")

    codes = [
        said.rhoa("hips", table, "-o", study, *key),
        said.rhoa("split", study / "manifest.csv"),
        said.rhoa("predict", scan, "--model", model, "-o", study / "one", *key),
        said.rhoa("predict", patients / "cts", "--each", "--model", model, "-o", study / "p", *key),
    ]

    assert codes == [4, 4, 0, 4]  # one subject cannot be in every partition
    manifest = rhoa.cohort.read(study / "manifest.csv")
    names = Pseudonyms.load(patients / "study.key")
    assert {hip.subject for hip in manifest} == {names.of(TEXTS["PatientID"])}
    assert len(manifest) == 3
    assert (study / "rejected.csv").is_file()
    assert found_in(files_of(study)) == set()
    assert said.names() == set()


def part_of(file: Path) -> str:
    return str(pydicom.dcmread(file, specific_tags=["BodyPartExamined"]).BodyPartExamined)


def test_films_and_their_boxes(patients: Path, tmp_path: Path, said: Said) -> None:
    """What files are called is the user's; `rhoa xray` calls its pictures so, and nothing else."""
    out = tmp_path / "out"
    film = next(file for file in (patients / "films").iterdir() if part_of(file) == "PELVIS")
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("image,side,left,top,right,bottom\nxray.png,left,220,20,320,120\n")

    codes = [
        said.rhoa("xray", film, "-o", out / "one", "--review", "--boxes", boxes),
        said.rhoa("xray", patients / "films", "-o", out / "all", "--json"),
    ]

    assert codes == [0, 4]
    assert found_in(files_of(out)) <= {"file name"}
    assert said.names() <= {"file name"}
    pictures = [file for file in out.rglob("*") if file.suffix in {".png", ".npz", ".json"}]
    assert len(pictures) > 4
    assert found_in(file.read_bytes() for file in pictures) == set()


def test_arrays_reprs_and_every_format_of_an_image(
    patients: Path, tmp_path: Path, said: Said
) -> None:
    shown = []
    places = [patients / "cts" / NAME, *sorted((patients / "volumes").iterdir())]
    for number, place in enumerate(places):
        with said.listening():
            volume = rhoa.read_ct(place)
            image = rhoa.ctap(volume, pose=rhoa.Landmarks.from_json(patients / "landmarks.json"))
        assert volume.shape == rhoa.read_ct(places[0]).shape
        shown += [repr(volume), str(volume.report), volume._repr_html_()]
        shown += [repr(image), str(image.provenance), repr(image.alignment)]
        for suffix in ("png", "npz", "tif", "nii.gz", "nii", "dcm"):
            image.save(tmp_path / f"{number}.{suffix}")
    secondary_capture(image.pixels, (1.0, 1.0)).save_as(tmp_path / "bare.dcm")

    assert len(places) == 4
    assert found_in(text.encode() for text in shown) == set()
    assert found_in(files_of(tmp_path)) == set()
    assert said.names() == set()


def test_what_goes_wrong(patients: Path, tmp_path: Path, said: Said) -> None:
    """Errors and warnings name the file, which is called as the user calls it, and no more."""
    for defect in ("two-series", "gantry-tilt", "burned-in", "cut-file", "perfusion", "mr"):
        folder = tmp_path / defect
        make_series(folder, defect=defect)
        with pydicom.config.disable_value_validation():
            for path in folder.iterdir():
                with contextlib.suppress(pydicom.errors.InvalidDicomError):
                    image = pydicom.dcmread(path, force=False)
                    plant(image) if defect != "cut-file" else None
                    image.save_as(path)
        with said.listening():
            rhoa.read_ct(folder)
        said.rhoa("ctap", folder, "-o", tmp_path / "out")
        said.rhoa("inspect", folder)
    scan = patients / "cts" / NAME
    for words in (
        ("ctap", scan, "-o", tmp_path / "a.bmp"),
        ("ctap", scan, "-o", tmp_path / "out", "--depth", "hip"),
        ("ctap", scan, "-o", tmp_path / "out", "--series", "99"),
        ("hips", scan, "-o", tmp_path / "out", "--pose", patients / "study.key"),
        ("predict", scan, "--model", tmp_path / "none"),
        ("xray", scan, "-o", tmp_path / "films"),
        ("ctap", scan),
    ):
        assert said.rhoa(*words) in {1, 2, 3, 4}, words
    assert len(said.texts) > 40
    assert said.names(allowed=NAME) == set()
    assert said.names(allowed=NAME + "-") == said.names(allowed=NAME)


def test_readers_and_what_they_export(patients: Path, tmp_path: Path, said: Said) -> None:
    folder = tmp_path / "hips"
    key = ("--pseudonyms", patients / "study.key")
    scans = tmp_path / "scans"
    shutil.copytree(patients / "cts" / NAME, scans / NAME)
    said.rhoa("hips", scans, "--each", "-o", folder, *key)
    with said.listening():
        session = Session(read_cohort(folder), Sitting(reader="anna", repeat=0.0))
        for case in session.cohort:
            act = {"do": "grade", "case": case.key, "side": "left", "reading": 1, "kl": 2}
            session.act(act)
        told = [session.snapshot(), *(session.detail(case) for case in session.cohort)]
        export(session.cohort, {"anna": session.state}, folder / "review" / "anna")
    said.rhoa("review", folder, "--export")
    said.rhoa("review", folder, "--agreement")

    assert (folder / "review" / "consensus" / "manifest.csv").is_file()
    assert found_in([json.dumps(told).encode()]) == set()
    assert found_in(files_of(folder)) == set()
    assert said.names() == set()


def test_a_crash_of_the_interpreter_shows_no_text(patients: Path) -> None:
    """An error that nobody catches: its trace is what a user would paste into a bug report."""
    code = "import sys, rhoa; rhoa.read_ct(sys.argv[1])"
    place = patients / "cts" / f"{NAME} short"

    run = subprocess.run(
        [sys.executable, "-c", code, str(place)], capture_output=True, text=True, check=False
    )

    assert "PixelDataError" in run.stderr
    assert found_in([run.stderr.encode(), run.stdout.encode()]) <= {"file name"}


def test_folders_of_several_patients_have_no_pseudonym(tmp_path: Path) -> None:
    names = Pseudonyms(bytes(32))
    make_series(tmp_path / "mixed")
    first = next((tmp_path / "mixed").iterdir())
    image = pydicom.dcmread(first)
    image.PatientID = "another"
    image.save_as(first)

    with pytest.raises(rhoa.errors.AmbiguousSeriesError, match="its files are of 2 patients"):
        patient_of(tmp_path / "mixed")
    assert names.of_scan(tmp_path / "mixed").startswith("unknown_")
