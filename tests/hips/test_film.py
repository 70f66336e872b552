"""What a film shows: both hips, one of them, or what has to be asked; and what told it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pydicom
import pytest

import rhoa
from rhoa.errors import ParameterError, ViewError
from rhoa.hips import halves, read_xray
from rhoa.hips.detector_data import halves_seen
from rhoa.raster import encode_png
from rhoa.xray.refusals import named_in, side_of_value
from tests.hips.films import MarkerFinder, film, pelvis, planted
from tests.hips.xrays import code, dx, write

HIP = {"BodyPartExamined": "HIP"}
NO_PART = {"BodyPartExamined": None}
SIDES = ("left", "right")
OTHER = {"left": "right", "right": "left"}


def told(image: rhoa.Radiograph) -> tuple[str, str]:
    return image.provenance["hip"], image.provenance["hip_from"]


ONE_HIP = [
    *[
        (HIP | {element: value}, side, element)
        for element in ("ImageLaterality", "Laterality")
        for value, side in {
            "L": "left",
            "R": "right",
            "LEFT": "left",
            "RIGHT": "right",
            "right": "right",
            "Rt": "right",
            "LT ": "left",
        }.items()
    ],
    *[
        (HIP | {element: text}, side, element)
        for element in ("SeriesDescription", "ProtocolName", "StudyDescription")
        for text, side in {
            "Hip right AP": "right",
            "HUEFTE LINKS": "left",
            "hanche gauche": "left",
            "Hip L": "left",
            "LT HIP": "left",
        }.items()
    ],
    ({"BodyPartExamined": "LHIP"}, "left", "BodyPartExamined"),
    ({"BodyPartExamined": "RT HIP"}, "right", "BodyPartExamined"),
    ({"BodyPartExamined": "HIP_LEFT"}, "left", "BodyPartExamined"),
    ({"AnatomicRegionSequence": code("Right hip joint")}, "right", "AnatomicRegionSequence"),
    (
        {"AnatomicRegionSequence": code("Hip joint", "Left")} | NO_PART,
        "left",
        "AnatomicRegionSequence",
    ),
    (NO_PART | {"SeriesDescription": "Hip AP", "ImageLaterality": "L"}, "left", "ImageLaterality"),
    # The part of the body is that of the plate; 200 mm have no room for the other hip.
    ({"BodyPartExamined": "PELVIS", "ImageLaterality": "R"}, "right", "ImageLaterality"),
    ({"BodyPartExamined": "PELVIS", "SeriesDescription": "Hip R"}, "right", "SeriesDescription"),
    ({"BodyPartExamined": "PELVIS", "StudyDescription": "Hip R"}, "right", "StudyDescription"),
    # Two statements that agree, the nearer to the image first.
    (HIP | {"ImageLaterality": "L", "SeriesDescription": "Hip left"}, "left", "ImageLaterality"),
    # A study of both hips has a film of each.
    (HIP | {"Laterality": "L", "StudyDescription": "Both hips"}, "left", "Laterality"),
    (HIP | {"Laterality": "L", "StudyDescription": "Pelvis and hip right"}, "left", "Laterality"),
]


BOTH = [
    ({}, "BodyPartExamined"),
    ({"ImageLaterality": "U"}, "BodyPartExamined"),
    ({"ImageLaterality": "B"}, "ImageLaterality"),
    ({"ImageLaterality": "B", "Laterality": "R"}, "ImageLaterality"),
    (HIP | {"ImageLaterality": "B"}, "ImageLaterality"),
    (HIP | {"Laterality": "BILATERAL"}, "Laterality"),
    (HIP | {"SeriesDescription": "both hips AP"}, "SeriesDescription"),
    (HIP | {"SeriesDescription": "Pelvis AP"}, "its size, 400 x 300 mm (width x height)"),
    (NO_PART | {"SeriesDescription": "Becken ap"}, "SeriesDescription"),
    (NO_PART | {"StudyDescription": "XR Pelvis"}, "StudyDescription"),
    (NO_PART | {"StudyDescription": "Hüften beidseits"}, "StudyDescription"),
    ({"BodyPartExamined": "PELVIS HIP"}, "its size, 400 x 300 mm (width x height)"),
    (NO_PART, "its size, 400 x 300 mm (width x height)"),
    ({"StudyDescription": "XR Hip left"}, "BodyPartExamined"),  # with a film of the pelvis
    ({"ViewPosition": "AP"}, "BodyPartExamined"),
]


A_HIP = "BodyPartExamined names a hip, and nothing says of which side"
NO_WORD = "nothing in the file says it, nor does its size, 200 x 300 mm (width x height)"
NO_ROOM = (
    "BodyPartExamined says both (pelvis), and 200 x 300 mm (width x height) has no room for two"
)
UNKNOWN = [
    ("left", HIP, A_HIP),
    ("both", HIP, A_HIP),  # however wide: a plate may be
    ("left", HIP | {"ImageLaterality": "U"}, A_HIP),
    ("left", {"BodyPartExamined": "FEMUR"}, A_HIP),
    ("left", HIP | {"StudyDescription": "Pelvis"}, A_HIP),
    ("left", HIP | {"SeriesDescription": "Hip L/R"}, A_HIP),
    ("left", HIP | {"SeriesDescription": "hip and L spine"}, A_HIP),
    ("left", HIP | {"SeriesDescription": "Hip AP L5"}, A_HIP),
    ("left", HIP | {"SeriesDescription": "upright, copyright"}, A_HIP),
    ("left", HIP | {"StudyDescription": "Pelvis and left hip"}, A_HIP),
    ("left", NO_PART, NO_WORD),
    ("left", {}, NO_ROOM),
    ("left", {"BodyPartExamined": "PELVIS HIP"}, NO_WORD),
]


@pytest.mark.parametrize(
    ("shows", "tags", "hip", "source"),
    [
        *[(side, tags, side, source) for tags, side, source in ONE_HIP],
        *[("both", tags, "", source) for tags, source in BOTH],
        *[(shows, tags, "unknown", source) for shows, tags, source in UNKNOWN],
    ],
)
def test_a_film_says_which_hips_it_shows_and_by_what(
    tmp_path: Path, shows: str, tags: dict[str, object], hip: str, source: str
) -> None:
    assert told(read_xray(film(tmp_path, shows, **tags))) == (hip, source)


@pytest.mark.parametrize(("tags", "reason"), [(HIP, A_HIP), ({}, NO_ROOM)])
def test_where_the_side_is_unknown_it_is_asked_for(
    tmp_path: Path, tags: dict[str, object], reason: str
) -> None:
    image = read_xray(film(tmp_path, "left", **tags))

    for cut in (halves, MarkerFinder().detect):
        with pytest.raises(ParameterError, match=re.escape(reason)) as error:
            cut(image)
        assert 'pass side="left", side="right" or' in str(error.value)


@pytest.mark.parametrize(
    ("side", "tags"),
    [("left", HIP), ("right", HIP), ("left", NO_PART), ("right", {}), ("both", HIP)],
)
def test_the_side_that_is_given_settles_it(
    tmp_path: Path, side: str, tags: dict[str, object]
) -> None:
    image = read_xray(film(tmp_path, side, **tags), side=side)

    assert told(image) == ("" if side == "both" else side, "given")


LEFT, RIGHT = {"ImageLaterality": "L"}, {"ImageLaterality": "R"}
CONTRADICTIONS = [
    ("left", HIP | RIGHT | {"Laterality": "L"}, "ImageLaterality says right", "Laterality says"),
    ("left", HIP | LEFT | {"SeriesDescription": "Hip right"}, "ImageLaterality says left", "RIGHT"),
    ("left", HIP | LEFT | {"StudyDescription": "Hüfte re"}, "ImageLaterality says left", "RE"),
    ("left", {"BodyPartExamined": "LHIP", "Laterality": "R"}, "BodyPartExamined says left", "righ"),
    ("left", HIP | {"SeriesDescription": "Hip R", "ProtocolName": "Hip L"}, "SeriesD", "ProtocolN"),
    (
        "left",
        {"AnatomicRegionSequence": code("Hip joint", "Left"), "ImageLaterality": "R"},
        "ImageLaterality says right",
        "AnatomicRegionSequence says left",
    ),
    ("both", RIGHT, "ImageLaterality says right", "BodyPartExamined says both"),
    ("both", {"SeriesDescription": "Hip R"}, "SeriesDescription says right", "BodyPartExamined"),
    ("both", HIP | LEFT | {"SeriesDescription": "both hips"}, "ImageLaterality says left", "BOTH"),
    (
        "both",
        HIP | {"Laterality": "L", "SeriesDescription": "Pelvis AP"},
        "Laterality says left",
        "SeriesDescription says both (pelvis)",
    ),
    ("both", HIP | {"ImageLaterality": "B", "SeriesDescription": "Hip R"}, "ImageLater", "right"),
]


@pytest.mark.parametrize(("shows", "tags", "first", "second"), CONTRADICTIONS)
def test_elements_that_contradict_each_other_are_quoted_both(
    tmp_path: Path, shows: str, tags: dict[str, object], first: str, second: str
) -> None:
    path = film(tmp_path, shows, **tags)

    with pytest.raises(ViewError) as error:
        read_xray(path)

    message = str(error.value)
    assert message.startswith("xray.dcm: ")
    assert first in message
    assert second in message
    assert "contradict each other" in message
    assert 'side="left"' in message
    assert 'accept="side"' in message
    said = re.findall(r"says (left|right|both)", message)
    assert len(said) == 2
    for side in said:
        assert told(read_xray(path, side=side)) == ("" if side == "both" else side, "given")
    aside = read_xray(path, accept="side")
    assert aside.provenance["accepted"] == ["side"]
    assert aside.provenance["hip"] in {"", "unknown"}


def test_a_laterality_without_a_part_against_the_size_is_an_error(tmp_path: Path) -> None:
    path = film(tmp_path, Laterality="L", **NO_PART)

    with pytest.raises(ViewError, match="Laterality says left, and its size, 400 x 300 mm .*both"):
        read_xray(path)
    assert told(read_xray(path, side="left")) == ("left", "given")
    assert told(read_xray(film(tmp_path, "left", Laterality="L", **NO_PART)))[0] == "left"


def test_a_hip_stays_a_hip_where_its_sides_are_left_aside(tmp_path: Path) -> None:
    """However wide it is: nothing is cut that a side was stated of."""
    path = film(tmp_path, **HIP, ImageLaterality="R", SeriesDescription="Hip left")

    image = read_xray(path, accept="side")

    assert image.provenance["hip"] == "unknown"
    with pytest.raises(ParameterError, match="side="):
        halves(image)


@pytest.mark.parametrize(
    ("tags", "side", "said"),
    [
        (HIP | RIGHT, "left", "ImageLaterality says right"),
        (HIP | {"SeriesDescription": "Hip L"}, "right", r"SeriesDescription says left \(L\)"),
        (HIP | LEFT, "both", "ImageLaterality says left"),
        (HIP | {"StudyDescription": "Hip left"}, "both", "StudyDescription says left"),
        ({"ImageLaterality": "B"}, "left", "ImageLaterality says both"),
        ({}, "left", r"BodyPartExamined says both \(pelvis\)"),  # and 400 mm hold them
    ],
)
def test_what_is_given_against_the_film_is_quoted_with_what_the_film_says(
    tmp_path: Path, tags: dict[str, object], side: str, said: str
) -> None:
    path = film(tmp_path, **tags)

    with pytest.raises(ViewError, match=f'side="{side}" was given, and {said}'):
        read_xray(path, side=side)
    image = read_xray(path, side=side, accept="side")

    assert told(image) == ("" if side == "both" else side, "given")


def test_a_stray_laterality_of_a_pelvis_film_is_a_warning_that_quotes_both(tmp_path: Path) -> None:
    """Laterality is of paired parts; the film is 400 mm wide, and its part is the pelvis."""
    path = film(tmp_path, Laterality="L")

    with pytest.warns(rhoa.RhoaWarning, match="BodyPartExamined says both .* Laterality says left"):
        image = read_xray(path)
    with pytest.raises(ViewError, match="strict=True"):
        read_xray(path, strict=True)

    assert told(image) == ("", "BodyPartExamined")
    assert told(read_xray(path, side="left")) == ("left", "given")
    assert told(read_xray(film(tmp_path, "left", Laterality="L"))) == ("left", "Laterality")


TURNS = {
    ("L", "F"): lambda image: image,
    ("R", "F"): lambda image: image[:, ::-1],
    ("R", "H"): lambda image: image[::-1, ::-1],
    ("F", "R"): lambda image: image[:, ::-1].T,
}


@pytest.mark.parametrize("orientation", sorted(TURNS))
@pytest.mark.parametrize("shows", ["both", "left", "right"])
def test_sides_stay_those_of_the_patient_however_the_film_lies_in_its_file(
    tmp_path: Path, shows: str, orientation: tuple[str, str]
) -> None:
    lying = np.ascontiguousarray(TURNS[orientation](pelvis(shows)))
    tags = {"PatientOrientation": list(orientation), "PixelSpacing": ["1", "1"]}
    if shows != "both":
        tags |= HIP | {"ImageLaterality": shows[0].upper()}

    image = read_xray(write(tmp_path, dx(lying), **tags))

    found = MarkerFinder().detect(image)
    assert set(found) == ({shows} if shows != "both" else set(SIDES))
    for side, box in found.items():
        assert planted(rhoa.hips.crop(image, box)) == side
    if shows == "both":
        for side, half in halves(image).items():
            assert planted(half.pixels[105:195, 45:135]) == side  # 90 columns from the midline
    else:
        with pytest.raises(ParameterError, match=f"shows the {shows} hip alone .ImageLaterality"):
            halves(image)
        assert halves(image, midline_px=45)["right"].shape == (300, 45)


def test_a_right_hip_alone_is_mirrored_and_a_left_one_is_not(tmp_path: Path) -> None:
    """Columns grow brighter to the patient's left; a mirrored film grows darker."""
    for side in SIDES:
        image = read_xray(film(tmp_path, side, **HIP, ImageLaterality=side[0].upper()))
        (half,) = halves_seen(image, image_size=200)

        edge = half.pixels[:20].astype(float)
        assert half.side == side
        assert (edge[:, -20:].mean() > edge[:, :20].mean()) == (side == "left")


@pytest.mark.parametrize(
    ("shape", "pixel_mm", "hip"),
    [
        ((300, 400), "optional", ""),
        ((300, 400), 1.0, ""),
        ((400, 300), "optional", "unknown"),
        ((300, 310), "optional", "unknown"),
        ((100, 100), "optional", "unknown"),
        ((300, 400), 0.5, "unknown"),  # 200 mm: a hip, however it is cut
        ((300, 400), 0.7, "unknown"),  # 280 mm
        ((400, 350), 1.0, "unknown"),
    ],
)
def test_a_picture_is_of_both_hips_where_its_size_says_so_else_it_is_asked_for(
    tmp_path: Path, shape: tuple[int, int], pixel_mm: float | str, hip: str
) -> None:
    levels = np.random.default_rng(0).integers(0, 255, shape, np.uint8)
    (tmp_path / "a.png").write_bytes(encode_png(levels))

    image = read_xray(tmp_path / "a.png", pixel_mm=pixel_mm)
    given = read_xray(tmp_path / "a.png", pixel_mm=pixel_mm, side="right")

    assert image.provenance["hip"] == hip
    assert told(given) == ("right", "given")
    if pixel_mm == "optional":
        assert image.provenance["pixel_mm_from"] == "unknown"
        assert image.pixel_mm == (1, 1)


def test_a_side_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="side must be .*both.*left.*right.*'L'"):
        read_xray(film(tmp_path), side="L")


def test_no_text_of_a_file_is_shown(tmp_path: Path) -> None:
    tags = HIP | LEFT | {"SeriesDescription": "DOE JANE hip right, hüftschmerz"}

    with pytest.raises(ViewError) as error:
        read_xray(film(tmp_path, "left", **tags))

    assert "RIGHT" in str(error.value)
    assert "DOE" not in str(error.value)
    assert "JANE" not in str(error.value)
    assert "schmerz" not in str(error.value).lower()


@pytest.mark.parametrize(
    ("text", "side"),
    [
        *[
            (text, "left")
            for text in (
                "Hip left", "LEFT HIP AP", "L HIP", "Hip, L", "hip ap l", "HIP_LT", "LHIP", "HIPL",
                "Hüfte links", "HUEFTE LI", "Hüfte li. a.p.", "heup L", "Heup links", "LKS HUEFTE",
                "hanche gauche", "Hanche G face", "cadera izquierda", "Cadera izq",
                "anca sinistra", "Anca SX", "lonkka vasen", "Vasen lonkka", "höft vänster",
                "venstre hofte", "左股関節", "XR Hip 2 views Left", "biodro lewe", "Femur LT",
            )
        ],
        *[
            (text, "right")
            for text in (
                "Hip right", "RT HIP", "HIP RT 2V", "R-HIP", "RHIP", "HipR", "Hüfte rechts",
                "HUEFTE RE", "Heup R", "hanche droite", "Hanche D face", "cadera der", "anca dx",
                "oikea lonkka", "lonkka oik", "höger höft", "Højre hofte", "höft dx", "右股関節",
                "biodro prawe", "Coxa R",
            )
        ],
        *[
            (text, "both")
            for text in (
                "both hips", "HIPS", "bilateral hip", "Hüften bds", "Hüfte beidseits", "BIHIPS",
                "right and left hip", "hanches", "Lonkat AP", "両股関節",
            )
        ],
        *[
            (text, None)
            for text in (
                "", "hip", "pelvis", "Hip L/R", "Hip R L", "copyright hip", "upright hip",
                "left lateral", "hip, lt knee", "hip and L spine", "L5 hip", "Hip AP L5", "DX Hip",
                "re hip pain", "l'anca", "Hip RTF", "DX anca", "Hip of Mr L Smith and Mr R Doe",
                "hip: leftover", "LL", "chest left", "heup LI RE",
            )
        ],
    ],
)  # fmt: skip
def test_sides_are_found_in_whole_words_alone(text: str, side: str | None) -> None:
    assert named_in(text).side == side
    assert named_in(text.upper()).side == side


@pytest.mark.parametrize(
    ("value", "side"),
    [
        *[(value, "left") for value in ("L", "l", "LEFT", "Left", "LT", "links", "gauche")],
        *[(value, "right") for value in ("R", "RIGHT", "right", "Rt", "rechts", "R ")],
        *[(value, "both") for value in ("B", "BOTH", "bilateral", "L R", "L/R")],
        *[(value, None) for value in ("U", "", "unpaired", "N", "none", "Lx", "?")],
    ],
)
def test_laterality_may_be_a_letter_or_a_word(value: str, side: str | None) -> None:
    assert side_of_value(value) == side


@pytest.mark.real
@pytest.mark.filterwarnings("ignore:.*patient's left:rhoa.RhoaWarning")
class TestRealFilm:
    """A left hip, frog leg, of no stated side, between collimator blades."""

    def test_its_side_is_asked_for_and_it_is_never_cut(self, real_data: Path) -> None:
        path = real_data / "xray" / "RG2_rle.dcm"

        image = read_xray(path)

        with pytest.raises(ParameterError, match=r'BodyPartExamined names a hip.*side="left"'):
            halves(image)
        left = read_xray(path, side="left")
        assert told(left) == ("left", "given")
        (half,) = halves_seen(left, image_size=320)
        assert half.side == "left"
        with pytest.raises(ParameterError, match="left hip alone"):
            halves(left)
        assert not pydicom.dcmread(path, stop_before_pixels=True).Laterality
