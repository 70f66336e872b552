"""What PS3.3 of the DICOM standard demands of an object, by tables made from the standard itself.

highdicom has them: which modules an object of a SOP class has (PS3.3, A), which elements each
module has, of which type (PS3.3, C). Types 1 and 2 are mandatory; 1 must also have a value.
Elements that a condition asks for (1C, 2C) are not looked at.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import lru_cache
from importlib.resources import files

from pydicom.dataset import Dataset

CONTENT = "sr-document-content"
VALUES = {
    "CONTAINER": ("ContinuityOfContent", "ConceptNameCodeSequence", "ContentSequence"),
    "TEXT": ("TextValue",),
    "NUM": ("MeasuredValueSequence",),
    "CODE": ("ConceptCodeSequence",),
    "UIDREF": ("UID",),
    "PNAME": ("PersonName",),
    "SCOORD": ("GraphicType", "GraphicData", "ContentSequence"),
    "IMAGE": ("ReferencedSOPSequence",),
}
"""What an item of a report has by its type of value (PS3.3, C.17.3 and C.18): its own table, for
these depend on the type."""


def missing(image: Dataset) -> set[str]:
    """Mandatory elements of mandatory modules that an object lacks, or that lack their value."""
    iod = _table("sop_class_iod_map")[image.SOPClassUID]
    modules = {one["key"] for one in _table("iod_module_map")[iod] if one["usage"] == "M"}
    in_content = _missing_in_content(image) if CONTENT in modules else set()
    return in_content | {
        ".".join([*element["path"], element["keyword"]])
        for module in modules - {CONTENT}
        for element in _table("module_attribute_map")[module]
        if element["type"] in {"1", "2"}
        for item in _items(image, element["path"])
        if not _stands(item, element["keyword"], needs_value=element["type"] == "1")
    }


def _missing_in_content(image: Dataset) -> set[str]:
    """What items of a report's tree lack, the root first."""
    lacks = {
        f"{item.get('ValueType')}.{keyword}"
        for item in _tree(image)
        for keyword in ("ValueType", *VALUES.get(item.get("ValueType"), ()))
        if not _stands(item, keyword, needs_value=True)
    }
    loose = {
        f"{item.ValueType}.{keyword}"
        for parent in _tree(image)
        for item in parent.get("ContentSequence", [])
        for keyword in ("RelationshipType", "ConceptNameCodeSequence")
        if keyword not in item and (item.ValueType, keyword) != ("IMAGE", "ConceptNameCodeSequence")
    }
    return lacks | loose


def _tree(item: Dataset) -> Iterator[Dataset]:
    yield item
    for child in item.get("ContentSequence", []):
        yield from _tree(child)


def _items(image: Dataset, path: Sequence[str]) -> Iterator[Dataset]:
    """The items at a path of sequences; none where one of them is absent, which is told of it."""
    if not path:
        yield image
        return
    for item in image.get(path[0], []):
        yield from _items(item, path[1:])


def _stands(item: Dataset, keyword: str, *, needs_value: bool) -> bool:
    if keyword not in item:
        return False
    return not needs_value or item[keyword].VM > 0


@lru_cache
def _table(name: str) -> dict:
    text = files("highdicom").joinpath("_standard", f"{name}.json").read_text("utf-8")
    return json.loads(text)
