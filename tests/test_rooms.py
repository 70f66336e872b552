"""The picture of the rooms: what docs/rooms.py draws is kept, and shows the imports that are."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from xml.etree import ElementTree as ET

from tests.test_house import HOUSE, ROOMS

DRAWING = runpy.run_path(str(Path(__file__).parents[1] / "docs" / "rooms.py"))
KEPT = DRAWING["KEPT"].read_text(encoding="utf-8")
TREE = ET.fromstring(KEPT)  # noqa: S314  # our own picture
SVG = "{http://www.w3.org/2000/svg}"
WHITE, DARK = "#ffffff", "#14181e"  # pages of the site


def test_the_picture_that_is_kept_is_what_its_script_draws() -> None:
    assert DRAWING["drawn"](HOUSE, ROOMS) == KEPT, "run python docs/rooms.py"


def test_it_names_the_rooms_in_their_order() -> None:
    texts = TREE.iter(f"{SVG}text")

    assert [text.text for text in sorted(texts, key=lambda text: int(text.get("y")))] == ROOMS


def test_its_dots_and_arrows_are_the_imports_but_for_those_through_another_room() -> None:
    shown = imports_shown()
    real = HOUSE.room_imports(types=False)

    assert all(shown[room] <= real[room] for room in ROOMS)
    assert reached(shown) == reached(real)
    for room, others in shown.items():
        for other in others:
            shorter = {**shown, room: others - {other}}
            assert reached(shorter)[room] != reached(shown)[room], f"{room} -> {other} is a detour"


def test_no_two_bands_lie_on_each_other() -> None:
    ends = [
        tuple(map(int, re.fullmatch(r"M\d+ (\d+)H(\d+)V(\d+)", path.get("d")).groups()))
        for path in TREE.iter(f"{SVG}path")
        if "V" in path.get("d")
    ]

    for number, (top, lane, bottom) in enumerate(ends):
        for other_top, other_lane, other_bottom in ends[:number]:
            assert lane != other_lane or bottom < other_top or other_bottom < top


def test_it_can_be_read_on_light_and_dark_pages() -> None:
    """Lines by 3 to 1, as WCAG 2.2 (1.4.11) asks of graphics; names by 7 to 1 (1.4.6)."""
    for colour in (*DRAWING["COLOURS"], DRAWING["EDGE"]):
        assert min(contrast(colour, WHITE), contrast(colour, DARK)) >= 3
    assert contrast(DRAWING["INK"], DRAWING["BOX"]) >= 7


def imports_shown() -> dict[str, set[str]]:
    """What the picture says that each room imports, from where its marks lie."""
    heights = {int(text.get("y")): text.text for text in TREE.iter(f"{SVG}text")}

    def room_at(height: int) -> str:
        return str(heights[min(heights, key=lambda y: abs(y - 4 - height))])

    shown: dict[str, set[str]] = {room: set() for room in ROOMS}
    imported = ""
    (bands,) = (group for group in TREE.iter(f"{SVG}g") if group.get("fill") == "none")
    for mark in bands:
        if mark.tag == f"{SVG}circle":
            shown[room_at(int(mark.get("cy")))].add(imported)
        elif mark.get("fill"):  # the arrowhead, before its dots
            imported = room_at(int(re.match(r"M\d+ (\d+)", mark.get("d"))[1]))
    return shown


def reached(imports: dict[str, set[str]]) -> dict[str, set[str]]:
    """What each room imports, also through others."""
    found: dict[str, set[str]] = {}
    for room in ROOMS:
        found[room] = imports[room].union(*(found[other] for other in imports[room]))
    return found


def contrast(one: str, other: str) -> float:
    """WCAG 2.2, contrast ratio."""
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
