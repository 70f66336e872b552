"""X-rays of a list of scans: each row's side and box against the film, and films of one visit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import rhoa
from rhoa.cohort import build
from rhoa.cohort.builder import COLUMNS
from rhoa.errors import ManifestError
from rhoa.hips import Box
from tests.hips.films import BOXES, CUTS, film, planted
from tests.pictures import levels_of

HIP = {"BodyPartExamined": "HIP"}
ONE = {"left": HIP | {"ImageLaterality": "L"}, "right": HIP | {"ImageLaterality": "R"}}
BOTH = ("left", "right")


def box_in(shows: str, side: str) -> Box:
    """Where the hip lies in a film that shows both or one."""
    box, first = BOXES[side], CUTS[shows][0]
    return Box(box.side, box.top, box.left - first, box.bottom, box.right - first)


def row(
    scan: str, side: str, box: Box | tuple[float, ...], *, visit: str = "", accept: str = ""
) -> list[str]:
    edges = (box.top, box.left, box.bottom, box.right) if isinstance(box, Box) else box
    return ["P1", "xray", scan, side, visit, "2", "", *map(str, edges), accept]


def table(folder: Path, *rows: list[str]) -> Path:
    lines = [",".join([*COLUMNS, "accept"]), *map(",".join, rows)]
    (folder / "scans.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "scans.csv"


def placed(folder: Path, name: str, shows: str = "both", **tags: object) -> str:
    film(folder, shows, **tags).rename(folder / name)
    return name


def crops(manifest: rhoa.cohort.Manifest) -> dict[str, str]:
    """Whose hip each crop shows, by its pixels; mirroring leaves its middle where it is."""
    found = {}
    for hip in manifest:
        levels = levels_of(hip.image)
        assert levels is not None
        found[hip.side] = planted(levels)
    return found


def reason(path: Path, out: Path) -> str:
    with (
        pytest.warns(rhoa.RhoaWarning, match="1 scans were rejected"),
        pytest.raises(ManifestError, match="every scan failed"),
    ):
        build(path, out)
    assert not (out / "manifest.csv").exists()
    assert not (out / "crops").exists()
    return (out / "rejected.csv").read_text("utf-8")


@pytest.mark.parametrize(
    ("shows", "tags", "sides"),
    [
        ("both", {}, BOTH),
        ("both", {}, ("right",)),
        ("both", HIP, BOTH),  # the rows tell what the film does not
        ("both", HIP | {"ImageLaterality": "B"}, BOTH),
        ("left", ONE["left"], ("left",)),
        ("right", ONE["right"], ("right",)),
        ("left", HIP, ("left",)),
        ("right", HIP, ("right",)),
        ("right", {"BodyPartExamined": None}, ("right",)),
        ("right", {"SeriesDescription": "Hip right AP"}, ("right",)),
    ],
)
def test_crops_show_the_hips_that_the_rows_say(
    tmp_path: Path, shows: str, tags: dict[str, object], sides: tuple[str, ...]
) -> None:
    name = placed(tmp_path, "a.dcm", shows, **tags)
    rows = [row(name, side, box_in(shows, side)) for side in sides]

    manifest = build(table(tmp_path, *rows), tmp_path / "out")

    assert crops(manifest) == {side: side for side in sides}


WRONG_SIDES = [
    ("right", ONE["right"], ("left",), ["line 2", "left", "right hip alone", "ImageLaterality"]),
    ("left", ONE["left"], ("right",), ["line 2", "right", "left hip alone", "ImageLaterality"]),
    ("right", ONE["right"], BOTH, ["line 2", "left", "right hip alone"]),
    (
        "right",
        HIP | {"SeriesDescription": "HUEFTE RECHTS"},
        ("left",),
        ["line 2", "right hip alone", "SeriesDescription"],
    ),
    ("right", {"BodyPartExamined": "RHIP"}, ("left",), ["right hip alone", "BodyPartExamined"]),
    ("right", HIP, BOTH, ["line 2 and", "line 3", "no room for both", "200 x 300 mm"]),
    (
        "left",
        HIP | {"ImageLaterality": "L", "Laterality": "R"},
        ("left",),
        ["ImageLaterality says left", "Laterality says right"],
    ),
]


@pytest.mark.parametrize(("shows", "tags", "sides", "words"), WRONG_SIDES)
def test_a_row_against_its_film_is_rejected_and_quotes_both_and_can_be_accepted(
    tmp_path: Path, shows: str, tags: dict, sides: tuple[str, ...], words: list[str]
) -> None:
    name = placed(tmp_path, "a.dcm", shows, **tags)
    box = box_in(shows, shows)
    rows = [row(name, side, box) for side in sides]

    text = reason(table(tmp_path, *rows), tmp_path / "out")

    for word in [*words, "write side into the column accept"]:
        assert word in text
    assert "pass " not in text
    rows = [row(name, side, box, accept="side") for side in sides[:1]]
    assert len(build(table(tmp_path, *rows), tmp_path / "out")) == 1


L, R = BOXES["left"], BOXES["right"]
WRONG_BOXES = [
    ("half", R, "line 2: the left box lies in the half of the right hip"),
    ("outside", (100, 350, 190, 440), "44% of the left box lies outside the image of 300 x 400"),
    ("box", (140, 280, 160, 300), "the left box is 20 x 20 mm"),
    ("box", (20, 210, 240, 390), "the left box is 180 x 220 mm"),
    ("", (L.left, L.top, L.right, L.bottom), "x and y seem exchanged (x1 y1 x2 y2): top 105"),
    ("", (L.top, L.left, L.height, L.width), "the last two seem to be height and width"),
    ("", (L.left, L.top, L.width, L.height), "they seem to be x, y, width, height"),
    ("", (0.35, 0.6125, 0.65, 0.8375), "fractions of 1, and pixels are needed"),
    ("", (100, 500, 190, 590), "100% of the left box lies outside"),
]


@pytest.mark.parametrize(("name", "box", "message"), WRONG_BOXES)
def test_a_box_that_cannot_be_the_hips_is_rejected_also_where_it_is_the_only_row(
    tmp_path: Path, name: str, box: Box | tuple[float, ...], message: str
) -> None:
    scan = placed(tmp_path, "a.dcm")

    text = reason(table(tmp_path, row(scan, "left", box)), tmp_path / "out")

    assert message in text.replace('""', '"')
    if name:
        assert f"write {name} into the column accept" in text
        again = table(tmp_path, row(scan, "left", box, accept=name))
        assert len(build(again, tmp_path / "out")) == 1


def test_both_boxes_in_the_order_x1_y1_x2_y2_are_told_so(tmp_path: Path) -> None:
    scan = placed(tmp_path, "a.dcm")
    rows = [row(scan, box.side, (box.left, box.top, box.right, box.bottom)) for box in (L, R)]

    assert "x and y seem exchanged" in reason(table(tmp_path, *rows), tmp_path / "out")


def test_boxes_are_of_the_image_as_it_is_turned(tmp_path: Path) -> None:
    """A film that is stored mirrored: boxes drawn on it as it lies are in the wrong halves."""
    from tests.hips.films import pelvis
    from tests.hips.xrays import dx, write

    stored = dx(np.ascontiguousarray(pelvis()[:, ::-1]))
    tags = {"PatientOrientation": ["R", "F"], "PixelSpacing": ["1", "1"]}
    write(tmp_path, stored, **tags).rename(tmp_path / "a.dcm")
    lying = Box("left", L.top, 400 - L.right, L.bottom, 400 - L.left)

    text = reason(table(tmp_path, row("a.dcm", "left", lying)), tmp_path / "out")
    manifest = build(table(tmp_path, row("a.dcm", "left", L)), tmp_path / "out")

    assert "the left box lies in the half of the right hip" in text
    assert crops(manifest) == {"left": "left"}


class TestVisits:
    def test_a_left_and_a_right_film_are_two_films_of_one_visit(self, tmp_path: Path) -> None:
        rows = []
        for side in BOTH:
            name = placed(tmp_path, f"{side}.dcm", side, **ONE[side])
            rows.append(row(name, side, box_in(side, side), visit="T00"))

        manifest = build(table(tmp_path, *rows), tmp_path / "out")

        assert crops(manifest) == {"left": "left", "right": "right"}
        assert [hip.image.name for hip in manifest] == ["P1_T00_left.png", "P1_T00_right.png"]
        assert {hip.visit for hip in manifest} == {"T00"}
        assert build(table(tmp_path, *rows), tmp_path / "out") == manifest  # nothing done anew

    def test_films_whose_side_is_unknown_are_of_the_side_of_their_row(self, tmp_path: Path) -> None:
        names = {side: placed(tmp_path, f"{side}.dcm", side, **HIP) for side in BOTH}
        rows = [row(name, side, box_in(side, side)) for side, name in names.items()]

        assert crops(build(table(tmp_path, *rows), tmp_path / "out")) == {
            "left": "left",
            "right": "right",
        }

    def test_two_pelvis_films_are_an_error_though_each_has_one_row(self, tmp_path: Path) -> None:
        names = {side: placed(tmp_path, f"{side}.dcm") for side in BOTH}
        rows = [row(name, side, BOXES[side]) for side, name in names.items()]

        with (
            pytest.warns(rhoa.RhoaWarning, match="2 scans were rejected"),
            pytest.raises(ManifestError, match="this film shows both hips .BodyPartExamined."),
        ):
            build(table(tmp_path, *rows), tmp_path / "out")
        assert "number the visits" in (tmp_path / "out" / "rejected.csv").read_text("utf-8")

    @pytest.mark.parametrize("sides", [(("left",), ("left",)), (BOTH, ("right",)), (BOTH, BOTH)])
    def test_two_films_of_one_hip_are_an_error(
        self, tmp_path: Path, sides: tuple[tuple[str, ...], ...]
    ) -> None:
        rows = [
            row(placed(tmp_path, f"{number}.dcm"), side, BOXES[side])
            for number, listed in enumerate(sides)
            for side in listed
        ]

        with pytest.raises(ManifestError, match=r"scans\.csv: two scans have the same subject and"):
            build(table(tmp_path, *rows), tmp_path / "out")

    def test_names_of_films_do_not_meet_those_of_other_subjects(self, tmp_path: Path) -> None:
        """A subject called "P1_left", and one film of P1 for each side."""
        rows = [
            row(placed(tmp_path, f"{side}.dcm", side, **ONE[side]), side, box_in(side, side))
            for side in BOTH
        ]
        other = row(placed(tmp_path, "other.dcm"), "left", L)
        rows.append(["P1-left", *other[1:]])
        rows.append(["left-P1", *row(placed(tmp_path, "more.dcm"), "left", L)[1:]])

        manifest = build(table(tmp_path, *rows), tmp_path / "out")

        assert len({hip.image for hip in manifest}) == 4
        assert len({path.name for path in (tmp_path / "out" / "cases").iterdir()}) == 4


def test_a_warning_says_of_which_scan_it_is(tmp_path: Path) -> None:
    """Films of a pelvis that name one side: not believed, as a pelvis has no side."""
    sides = {"BodyPartExamined": "PELVIS", "Laterality": "L"}
    names = [placed(tmp_path, f"{n}.dcm", "both", **sides) for n in range(3)]
    rows = [row(name, "left", box_in("both", "left")) for name in names]
    for n, one in enumerate(rows):
        one[0] = f"P{n}"

    with pytest.warns(rhoa.RhoaWarning) as caught:
        build(table(tmp_path, *rows), tmp_path / "out")

    warned = [str(one.message) for one in caught if "a pelvis has no side" in str(one.message)]
    assert [text.partition(": ")[0] for text in warned] == [
        f"scans.csv, line {n}" for n in (2, 3, 4)
    ]


@pytest.mark.real
@pytest.mark.filterwarnings("ignore:.*patient's left:rhoa.RhoaWarning")
def test_the_real_film_is_of_the_side_of_its_row(real_data: Path, tmp_path: Path) -> None:
    """A left hip, 0.2 mm; its head about row 850, column 890."""
    rows = [row(str(real_data / "xray" / "RG2_rle.dcm"), "left", (600, 640, 1100, 1140))]

    (hip,) = build(table(tmp_path, *rows), tmp_path / "out")

    levels = levels_of(hip.image)
    assert levels is not None
    assert levels.shape == (500, 500)


def test_a_german_spreadsheet_of_films_gives_the_crops_and_the_columns_that_describe_hips(
    tmp_path: Path,
) -> None:
    """Semicolons, decimal commas, Windows-1252, L and R; a column with names stays behind."""
    from rhoa.phantom import Anatomy, write_xray, xray

    shot = xray(Anatomy.random(5, kl_left=0, kl_right=3))
    write_xray(shot, tmp_path / "film.dcm", subject="S1")
    lines = [
        "Subject;Source;Scan;Side;Visit;KL;Landmarks;Top;Left;Bottom;Right;Age;Sex;Site;x_bmi;Name"
    ]
    for side, kl in (("L", 0), ("R", 3)):
        box = shot.boxes["left" if side == "L" else "right"]
        edges = ";".join(f"{edge:.2f}" for edge in (box.top, box.left, box.bottom, box.right))
        row = f"S1;X-Ray;film.dcm;{side};0.0;{kl}.0;;{edges};60.5;W;Köln;27.3"
        lines.append(row.replace(".", ",").replace("film,dcm", "film.dcm") + ";Erika")
    content = "\r\n".join([*lines, ";" * 15]).encode("cp1252")
    (tmp_path / "scans.csv").write_bytes(content)

    manifest = rhoa.cohort.build(tmp_path / "scans.csv", tmp_path / "study")

    described = (("age", "60.5"), ("sex", "W"), ("site", "Köln"), ("x_bmi", "27.3"))
    found = [
        (h.side, h.visit, h.kl, h.others)
        for h in rhoa.cohort.read(tmp_path / "study" / "manifest.csv")
    ]
    assert found == [("left", "0", 0, described), ("right", "0", 3, described)]
    assert len(manifest) == 2
