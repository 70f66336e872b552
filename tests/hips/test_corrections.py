"""Boxes that people correct: tables and COCO that come back, and what was changed in them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rhoa
from rhoa.errors import ManifestError, MissingFileError
from rhoa.hips import Box, LabelledImage, write_coco
from rhoa.hips.annotations import (
    CORRECTION_COLUMNS,
    boxes_table,
    corrected,
    from_picture,
    in_picture,
    read_boxes,
)

LEFT, RIGHT = Box("left", 20, 60, 40, 80, 0.9), Box("right", 22, 10, 42, 30, 0.4)
HEAD = "image,side,left,top,right,bottom,score,rows,columns"


def picture(name: str = "a/ct-ap.png", *boxes: Box) -> LabelledImage:
    return LabelledImage(Path(name), boxes, (50, 90))


def image(pixel_mm: tuple[float, float] = (2.5, 2.5)) -> rhoa.Radiograph:
    rows = round(50 * pixel_mm[1] / pixel_mm[0])
    return rhoa.Radiograph(np.zeros((rows, 90), np.float32), pixel_mm)


def table(folder: Path, *lines: str, head: str = HEAD) -> Path:
    file = folder / "boxes.csv"
    file.write_text("\n".join([head, *lines]) + "\n", encoding="utf-8")
    return file


def edges(box: Box) -> tuple[float, float, float, float]:
    return box.top, box.left, box.bottom, box.right


@pytest.mark.parametrize("suffix", ["csv", "json"])
def test_what_was_written_comes_back_unchanged(tmp_path: Path, suffix: str) -> None:
    """A picture of two hips, one of one hip and one of none."""
    pictures = [picture("a.png", LEFT, RIGHT), picture("b.png", RIGHT), picture("c/d.png")]
    file = tmp_path / f"boxes.{suffix}"
    if suffix == "csv":
        file.write_text(boxes_table(pictures), encoding="utf-8")
    else:
        write_coco(pictures, file)

    drawn = read_boxes(file, ["a.png", "b.png", "c/d.png", "e.png"])

    assert list(drawn) == ["a.png", "b.png", "c/d.png"]
    for one in pictures:
        again = drawn[one.path.as_posix()]
        assert again.shape == (50, 90)
        assert sorted(map(edges, again.boxes)) == sorted(map(edges, one.boxes))
        boxes, changes = corrected(image(), {box.side: box for box in one.boxes}, again)
        assert changes == []
        assert boxes == {box.side: box for box in one.boxes}  # confidences too


def test_moved_added_and_removed_boxes_are_told(tmp_path: Path) -> None:
    """The left box 5 pixels down of 20: they share 15 of 25 rows."""
    file = table(
        tmp_path,
        "a.png,left,60,25,80,45,0.9,50,90",
        "a.png,right,,,,,0.4,50,90",
        "b.png,right,10,22,30,42,,50,90",
    )
    drawn = read_boxes(file, ["a.png", "b.png"])

    moved = corrected(image(), {"left": LEFT, "right": RIGHT}, drawn["a.png"])
    added = corrected(image(), {}, drawn["b.png"])

    assert moved[0] == {"left": Box("left", 25, 60, 45, 80)}
    assert [tuple(map(one.as_dict().get, CORRECTION_COLUMNS[1:])) for one in moved[1]] == [
        ("left", "moved", 0.6, 60, 20, 80, 40, 60, 25, 80, 45),
        ("right", "removed", "", 10, 22, 30, 42, "", "", "", ""),
    ]
    assert CORRECTION_COLUMNS[4:8] == ("found_left", "found_top", "found_right", "found_bottom")
    assert CORRECTION_COLUMNS[8:] == ("drawn_left", "drawn_top", "drawn_right", "drawn_bottom")
    assert added[0] == {"right": replace(RIGHT, confidence=None)}
    assert [one.change for one in added[1]] == ["added"]


def test_a_drawn_rectangle_is_clipped_to_a_square_about_its_middle(tmp_path: Path) -> None:
    drawn = read_boxes(table(tmp_path, "a.png,left,50,10,80,30,,,"), ["a.png"])["a.png"]

    boxes, _ = corrected(image(), {}, drawn)

    assert boxes == {"left": Box("left", 10, 55, 30, 75)}


@given(
    pixel_mm=st.tuples(st.floats(0.5, 3), st.floats(0.5, 3)),
    corner=st.tuples(st.floats(0, 20), st.floats(0, 40)),
    size=st.floats(1, 20),
)
def test_the_picture_and_the_image_hold_the_same_boxes(
    pixel_mm: tuple[float, float], corner: tuple[float, float], size: float
) -> None:
    """There and back; and a box has the same size in mm in both."""
    one = image(pixel_mm)
    box = Box("left", *corner, corner[0] + size, corner[1] + size)

    (seen,) = in_picture(one, [box])
    (back,) = from_picture(one, [seen])

    square = one.square()
    assert edges(back) == pytest.approx(edges(box), abs=1e-6)
    assert seen.height * square.pixel_mm[0] == pytest.approx(size * pixel_mm[0])
    assert seen.width * square.pixel_mm[1] == pytest.approx(size * pixel_mm[1])
    assert one.to_mm(box.top, box.left) == pytest.approx(
        square.to_mm(
            seen.top - 0.5 + 0.5 * pixel_mm[0] / square.pixel_mm[0],
            seen.left - 0.5 + 0.5 * pixel_mm[1] / square.pixel_mm[1],
        )
    )


def test_a_spreadsheet_with_semicolons_and_decimal_commas_is_read(tmp_path: Path) -> None:
    """As Excel saves a CSV in Dutch or Finnish: byte order mark, semicolons, commas, CRLF."""
    file = tmp_path / "boxes.csv"
    rows = "\ufeffimage;side;left;top;right;bottom;note\r\na.png;left;60,5;20,25;80,5;40,25;ok\r\n"
    file.write_bytes(rows.encode())

    drawn = read_boxes(file, ["a.png"])

    assert drawn["a.png"].boxes == (Box("left", 20.25, 60.5, 40.25, 80.5),)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["b.png,left,1,2,3,4,,,"], "boxes.csv, line 2: 'b.png' is no picture of this run, which"),
        (["a.png,left,,,,,,,", "", "a.png,Links,1,2,3,4,,,"], "line 4: side must be left or right"),
        (["a.png,left,1,2,3,,,,"], "line 2: left, top, right and bottom must be numbers"),
        (["a.png,left,1,2,nan,4,,,"], "line 2: left, top, right and bottom must be numbers"),
        (["a.png,left,one,2,3,4,,,"], "line 2: left, top, right and bottom must be numbers"),
        (["a.png,left,3,2,1,4,,,"], "line 2: a box needs finite edges"),
        (["a.png,left,1,2,inf,4,,,"], "line 2: a box needs finite edges"),
        (["a.png,left,1,2,3,4,,,"] * 2, "line 3: the left hip of 'a.png' is listed in line 2 too"),
        (["a.png,left,1,2,3,4,,5,x"], "line 2: rows and columns must be whole numbers"),
        (
            ["a.png,left,1,2,3,4,,5,6", "a.png,right,1,2,3,4,,5,7"],
            "line 3: rows and columns differ",
        ),
        (
            ["a.png,left,1,2,3,4,,,", "a.png,right,6,2,9,4,,,"],
            "line 2: the left hip's box lies to the left of the right hip's",
        ),
    ],
)
def test_a_wrong_row_is_told_with_its_line(tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        read_boxes(table(tmp_path, *lines), ["a.png"])


def test_files_that_hold_no_boxes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"none\.csv: no such table"):
        read_boxes(tmp_path / "none.csv", [])
    with pytest.raises(ManifestError, match=r"boxes\.csv: lacks the columns side, left"):
        read_boxes(table(tmp_path, head="image,top,right,bottom"), [])
    (tmp_path / "boxes.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ManifestError, match=r"boxes\.csv: is no text"):
        read_boxes(tmp_path / "boxes.csv", [])


def test_unknown_pictures_and_second_boxes_of_coco_are_told_with_their_number(
    tmp_path: Path,
) -> None:
    file = tmp_path / "boxes.json"
    write_coco([picture("a.png", LEFT), picture("b.png", RIGHT)], file)

    with pytest.raises(ManifestError, match=r"boxes\.json, image 2: 'b\.png' is no picture"):
        read_boxes(file, ["a.png"])
    content = json.loads(file.read_text("utf-8"))
    content["annotations"].append(content["annotations"][1] | {"id": 3})
    file.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ManifestError, match=r"image 2: a hip has two boxes"):
        read_boxes(file, ["a.png", "b.png"])


def test_boxes_of_another_picture_or_beside_it_are_refused(tmp_path: Path) -> None:
    other = read_boxes(table(tmp_path, "a.png,left,60,20,80,40,,51,90"), ["a.png"])["a.png"]
    with pytest.raises(ManifestError, match=r"a\.png: 50 x 90 pixels, and .* drawn on 51 x 90"):
        corrected(image(), {}, other)
    beside = read_boxes(table(tmp_path, "a.png,left,80,20,100,40,,,"), ["a.png"])["a.png"]
    with pytest.raises(ManifestError, match=r"a\.png: 50% of the left box lies outside"):
        corrected(image(), {}, beside)
