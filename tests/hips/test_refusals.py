"""What is no frontal X-ray of a hip: found by tags and shape, named, and overruled by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom import uid

import rhoa
from rhoa.errors import ParameterError, ViewError
from rhoa.hips import read_xray
from rhoa.xray.refusals import REFUSALS
from tests.hips.xrays import code, dx, write

NO_PART = {"BodyPartExamined": None, "StudyDescription": None}
NO_VIEW = {"ViewPosition": None}

REFUSED = [
    *[
        ("modality", {"Modality": name}, f"modality {name}, not CR or DX")
        for name in ("CT", "MR", "US", "NM", "PT", "MG", "XC", "SEG")
    ],
    (
        "modality",
        {"Modality": None, "SOPClassUID": uid.MRImageStorage},
        "no modality, but a storage class of MR images",
    ),
    *[
        ("part", {"BodyPartExamined": name}, f"BodyPartExamined names another part ({part})")
        for name, part in {
            "KNEE": "knee",
            "LKNEE": "knee",
            "RT_KNEE": "knee",
            "CHEST": "chest",
            "HAND": "hand or wrist",
            "CSPINE": "spine",
            "LSSPINE": "spine",
            "ANKLE": "foot or ankle",
            "SHOULDER": "arm or shoulder",
            "ABDOMEN": "abdomen",
            "SKULL": "head or neck",
            "BREAST": "breast",
        }.items()
    ],
    ("part", NO_PART | {"StudyDescription": "XR Knie links"}, "StudyDescription names another"),
    ("part", NO_PART | {"SeriesDescription": "Thorax PA"}, "SeriesDescription names another"),
    (
        "part",
        NO_PART | {"AcquisitionDeviceProcessingDescription": "POLVI AP"},
        "AcquisitionDeviceProcessingDescription names another part (knee)",
    ),
    (
        "part",
        {"AnatomicRegionSequence": code("Lumbar spine")},
        "AnatomicRegionSequence names another part (spine)",
    ),
    *[
        ("view", {"ViewPosition": name}, f"ViewPosition names another view ({view})")
        for name, view in {
            "LL": "lateral",
            "RL": "lateral",
            "LAT": "lateral",
            "LATERAL": "lateral",
            "LLD": "decubitus",
            "RLO": "oblique",
            "OBLIQUE": "oblique",
            "FROG LEG": "frog-leg",
            "FROGLEG": "frog-leg",
            "AXIAL": "axial, inlet or outlet",
            "INLET": "axial, inlet or outlet",
            "FALSE PROFILE": "false profile",
            "CROSSTABLE": "lateral",
        }.items()
    ],
    ("view", NO_VIEW | {"ViewCodeSequence": code("left lateral")}, "ViewCodeSequence names"),
    ("view", NO_VIEW | {"SeriesDescription": "Hip frog"}, "SeriesDescription names another view"),
    ("view", NO_VIEW | {"ProtocolName": "Hüfte seitlich"}, "ProtocolName names another view"),
    ("view", {"PatientOrientation": ["A", "F"]}, "PatientOrientation is that of a view from"),
    ("view", {"PatientOrientation": ["L", "P"]}, "PatientOrientation is that of a view from"),
    ("raw", {"PresentationIntentType": "FOR PROCESSING"}, "is FOR PROCESSING: raw values"),
    ("text", {"BurnedInAnnotation": "YES"}, "BurnedInAnnotation is YES"),
    ("size", {"PixelSpacing": ["0.1", "0.1"]}, "makes 7 x 9 mm of it"),
    ("size", {"PixelSpacing": ["25", "25"]}, "makes 1750 x 2250 mm of it"),
    ("size", {"PixelSpacing": ["1", "2"]}, "one side is more than 2.5 times the other"),
]


@pytest.mark.parametrize(("name", "tags", "message"), REFUSED)
@pytest.mark.filterwarnings("ignore:.*patient's left:rhoa.RhoaWarning")
def test_it_is_refused_and_can_be_accepted_by_name(
    tmp_path: Path, name: str, tags: dict[str, object], message: str
) -> None:
    path = write(tmp_path, **tags)

    with pytest.raises(ViewError) as error:
        read_xray(path)
    others = sorted(set(REFUSALS) - {name})
    with pytest.raises(ViewError):
        read_xray(path, accept=others)
    image = read_xray(path, accept=name)

    assert str(error.value).startswith("xray.dcm: ")
    assert message in str(error.value)
    assert f'pass accept="{name}"' in str(error.value)
    assert "CANARY" not in str(error.value)
    assert image.shape == (70, 90)
    assert image.provenance["accepted"] == [name]


@pytest.mark.parametrize(
    "tags",
    [
        {"Modality": None},
        {"Modality": "CR"},
        {"Modality": "RF", "SOPClassUID": uid.SecondaryCaptureImageStorage},
        {"Modality": "OT"},
        NO_PART | NO_VIEW,
        NO_VIEW | {"BodyPartExamined": "", "ViewPosition": ""},
        *[
            NO_PART | {"BodyPartExamined": name}
            for name in ("HIP", "LHIP", "HIP JOINT", "PELVIS", "ABDOMENPELVIS", "FEMUR", "HEUP")
        ],
        NO_PART | {"BodyPartExamined": "UNKNOWN", "StudyDescription": "Bekken en knie"},
        NO_PART | {"StudyDescription": "Pelvis and lumbar spine"},
        NO_PART | {"SeriesDescription": "Lonkat AP", "StudyDescription": "Polvet"},
        NO_PART | {"StudyDescription": "MANCHESTER HANDLED SHIPPING 4"},
        {"BodyPartExamined": "PELVIS", "StudyDescription": "Chest and pelvis"},
        {"AnatomicRegionSequence": code("Hip joint"), "BodyPartExamined": "KNEE"},
        {"ViewPosition": "PA"},
        {"ViewPosition": "AP", "SeriesDescription": "Hip lateral"},
        NO_VIEW | {"SeriesDescription": "Hips AP and lateral"},
        NO_VIEW | {"SeriesDescription": "bilateral hips"},
        NO_VIEW | {"ViewCodeSequence": code("antero-posterior")},
        {"PresentationIntentType": "FOR PRESENTATION"},
        {"BurnedInAnnotation": "NO"},
    ],
)
def test_what_is_empty_unknown_or_of_a_hip_is_read(tmp_path: Path, tags: dict[str, object]) -> None:
    assert read_xray(write(tmp_path, **tags)).shape == (70, 90)


@pytest.mark.parametrize("shape", [(63, 90), (90, 63), (70, 180), (10, 10)])
def test_what_is_tiny_or_long_is_no_xray(tmp_path: Path, shape: tuple[int, int]) -> None:
    path = write(tmp_path, dx(np.zeros(shape, int)), PixelSpacing=["1", "1"])

    with pytest.raises(ViewError, match=f"{shape[0]} x {shape[1]} pixels"):
        read_xray(path)
    assert read_xray(path, accept="size").shape == shape


def test_several_refusals_are_accepted_together_and_told_one_by_one(tmp_path: Path) -> None:
    path = write(tmp_path, Modality="MG", BodyPartExamined="BREAST", ViewPosition="LAT")

    for accept, message in (
        ("", 'accept="modality"'),
        ("modality", 'accept="part"'),
        ("modality, part", 'accept="view"'),
    ):
        with pytest.raises(ViewError, match=message):
            read_xray(path, accept=accept)
    assert read_xray(path, accept={"modality", "part", "view"}).shape == (70, 90)


def test_free_text_of_a_file_is_never_shown(tmp_path: Path) -> None:
    """Whatever stands beside the word that is known: a name, often enough."""
    tags = {
        "BodyPartExamined": "KNEE DOE JANE",
        "ViewPosition": "LAT DOE",
        "Modality": "DOE JANE",
        "PatientOrientation": ["DOE", "F"],
        "StudyDescription": "knee of Jane Doe",
    }
    for name, value in tags.items():
        path = write(tmp_path, **({"BodyPartExamined": None} | {name: value}))

        if name == "PatientOrientation":
            with pytest.warns(rhoa.RhoaWarning, match="does not say where") as caught:
                read_xray(path)
            text = str(caught[0].message)
        else:
            with pytest.raises(ViewError) as raised:
                read_xray(path)
            text = str(raised.value)

        assert "DOE" not in text.replace("does", "").upper()
        assert "JANE" not in text.upper()


@pytest.mark.parametrize("accept", ["everything", ["view", "all"], 5, [3]])
def test_a_refusal_that_does_not_exist_is_named(tmp_path: Path, accept: object) -> None:
    with pytest.raises(ParameterError, match="accept must .*modality, part, view, raw, text, size"):
        read_xray(tmp_path / "none.dcm", accept=accept)
