"""What is no frontal X-ray of a hip or the pelvis, as far as a file tells.

Elements that are empty or say nothing that is known are no reason to refuse. Texts of a file are
matched with the words of `rhoa.hips.wording`, and only names of this module are ever shown: free
text may hold a name.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING

from rhoa.errors import ViewError, require_names
from rhoa.hips.tags import DESCRIPTIONS
from rhoa.hips.wording import FRONTAL, OTHER_PARTS, OTHER_VIEWS, names_hip, plain

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from rhoa.hips.tags import Tags

REFUSALS: Mapping[str, str] = MappingProxyType(
    {
        "modality": "is of CT, MR, ultrasound or whatever makes no X-rays",
        "part": "is said to be of another part of the body",
        "view": "is said to be a lateral, oblique or other view that is not frontal",
        "raw": "holds what the detector measured (FOR PROCESSING), not what is looked at",
        "text": "has text burned into its pixels (BurnedInAnnotation), perhaps a name",
        "size": "is tiny, very long, or of an impossible size in mm",
        "shutter": "shows what a circular shutter leaves, as fluoroscopy does",
        "colour": "is a colour picture, whose brightness is taken",
        "side": "contradicts itself on the side, or contradicts what is given",
        "half": "has the box of a hip in the half of the other side",
        "outside": "has the box of a hip that lies partly outside it",
        "box": "has the box of a hip of an implausible size",
    }
)
"""Every refusal that can be overruled by name, and what is read all the same."""

MODALITIES = frozenset(["", "CR", "DX", "DR", "RG", "RF", "XR", "XA", "OT", "SC", "HC", "FS"])
"""X-rays, and what digitised films and secondary captures call themselves."""
_OTHER_CLASSES = frozenset("CT MR Enhanced Legacy Ultrasound Nuclear Positron RT VL".split())  # noqa: SIM905
"""First words of the names of storage classes that hold no X-rays."""

LEAVE_OUT = "read_xray needs a frontal X-ray of a hip or the pelvis: leave the file out"
LEAST_PIXELS, MOST_ASPECT = 64, 2.5
LEAST_FIELD_MM, MOST_FIELD_MM = 50.0, 1600.0
"""Of the longer side: a hip fits into the first, a long-leg film into the second."""


def accepted(accept: str | Collection[str]) -> frozenset[str]:
    """The refusals that ``accept`` overrules: one, several with commas between, or a collection.

    Raises
    ------
    ParameterError
        If there is no refusal of such a name.
    """
    return require_names("accept", accept, REFUSALS, kind="refusals")


def refuse(kind: str, what: str, accept: Collection[str], *, remedy: str = LEAVE_OUT) -> None:
    """Raise a `ViewError` that tells ``what`` was found, unless its ``kind`` is accepted."""
    if kind not in accept:
        raise ViewError(f'{what}; {remedy}, or pass accept="{kind}" to read it all the same.')


def check_tags(tags: Tags, accept: Collection[str]) -> None:
    """Check that a header may be that of a frontal X-ray of a hip or the pelvis.

    Raises
    ------
    ViewError
        If it is said to be of something else.
    """
    name = tags.header.name
    modality = _other_modality(tags)
    if modality:
        refuse("modality", f"{name}: {modality}", accept)
    part = _other_part(tags.words)
    if part:
        refuse("part", f"{name}: {part}", accept)
    view = _other_view(tags)
    if view:
        refuse("view", f"{name}: {view}", accept)
    if "CIRCULAR" in tags.words.get("ShutterShape", ""):
        refuse("shutter", f"{name}: ShutterShape is CIRCULAR, as of fluoroscopy", accept)
    if tags.intent == "FOR PROCESSING":
        what = f"{name}: PresentationIntentType is FOR PROCESSING: raw values of the detector"
        refuse("raw", what, accept)
    if tags.header.burned_in:
        what = f"{name}: BurnedInAnnotation is YES: its pixels hold text, perhaps a name"
        refuse("text", what, accept)


def check_shape(
    name: str,
    shape: tuple[int, int],
    pixel_mm: tuple[float, float] | None,
    accept: Collection[str],
) -> None:
    """Check that an image has the size of an X-ray, in pixels and, where it says so, in mm.

    Raises
    ------
    ViewError
        If it has not.
    """
    rows, columns = shape
    if min(shape) < LEAST_PIXELS:
        what = f"{name}: {rows} x {columns} pixels, fewer than {LEAST_PIXELS} a side"
        refuse("size", what, accept)
    down, across = pixel_mm or (1.0, 1.0)
    height, width = rows * down, columns * across
    if max(height, width) > MOST_ASPECT * min(height, width):
        what = (
            f"{name}: {rows} x {columns} pixels: one side is more than {MOST_ASPECT:g} times the "
            "other"
        )
        refuse("size", what, accept)
    if pixel_mm is not None and not LEAST_FIELD_MM <= max(height, width) <= MOST_FIELD_MM:
        what = (
            f"{name}: its pixel size makes {height:.4g} x {width:.4g} mm of it, and the longer "
            f"side of an X-ray is {LEAST_FIELD_MM:g} to {MOST_FIELD_MM:g} mm"
        )
        refuse("size", what, accept)


def _other_modality(tags: Tags) -> str:
    from pydicom.uid import UID

    modality = tags.header.modality.upper()
    if modality not in MODALITIES:
        known = modality if re.fullmatch("[A-Z]{2,4}", modality) else "unknown"
        return f"modality {known}, not CR or DX"
    storage = UID(tags.header.sop_class, validation_mode=0).name.split()
    if not modality and storage and storage[0] in _OTHER_CLASSES:
        return f"no modality, but a storage class of {storage[0]} images"
    return ""


def _other_part(words: Mapping[str, str]) -> str:
    """What the first element that names a part says, where that is another than a hip."""
    formal = ("AnatomicRegionSequence", "BodyPartExamined", "ViewCodeSequence")
    for element in (*formal, *DESCRIPTIONS):
        text = plain(words.get(element, ""))
        if names_hip(text):
            return ""
        for part, pattern in OTHER_PARTS.items():
            if pattern.search(text):
                return f"{element} names another part ({part})"
    return ""


def _other_view(tags: Tags) -> str:
    """What tells that the image is not frontal; descriptions count where no element does."""
    ahead = [part[:1] for part in tags.orientation[:2]]
    if len(ahead) == 2 and set(ahead) & {"A", "P"}:
        return "PatientOrientation is that of a view from the side or from above"
    said = [name for name in ("ViewPosition", "ViewCodeSequence") if name in tags.words]
    nearest = [name for name in DESCRIPTIONS[:3] if name in tags.words]
    for element in said or nearest:
        text = plain(tags.words[element])
        if not said and FRONTAL.search(text):
            continue
        for view, pattern in OTHER_VIEWS.items():
            if pattern.search(text):
                return f"{element} names another view ({view})"
    return ""
