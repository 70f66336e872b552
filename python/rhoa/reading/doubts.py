"""What headers alone tell of the images of a series: which are slices, and what is doubtful."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Literal

import numpy as np

from rhoa.errors import GeometryError, PixelDataError
from rhoa.reading.codecs import LOSSY, check_sign
from rhoa.reading.decoding import check_pixels
from rhoa.reading.geometry import orientation_name
from rhoa.reading.rescale import assume_hounsfield

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rhoa.reading.findings import Findings
    from rhoa.reading.headers import Header

_LOCALIZERS = frozenset(["LOCALIZER", "SCOUT", "TOPOGRAM", "SURVIEW"])
_PAGES = frozenset(["DOSE INFO", "SCREEN SAVE", "PATIENT INFO"])
"""Elements of Image Type: of images that show where slices lie, and of text, perhaps a name."""


def kind_of(header: Header) -> Literal["slice", "localizer", "page"]:
    """What an image is, by its Image Type."""
    words = {part.replace("_", " ") for part in header.image_type}
    if not _PAGES.isdisjoint(words):
        return "page"
    return "slice" if _LOCALIZERS.isdisjoint(words) else "localizer"


def note_left_out(headers: Sequence[Header], findings: Findings) -> dict[str, int]:
    """Warn of images of a series that are no slices; how many there are, for the report."""
    counts = Counter(map(kind_of, headers))
    for count, what in (
        (counts["localizer"], "localizer images"),
        (counts["page"], "dose reports or screenshots"),
    ):
        if count:
            findings.warn(f"{count} {what} among the slices were left out.")
    return {"localizers_dropped": counts["localizer"], "pages_dropped": counts["page"]}


def checked(headers: Sequence[Header], findings: Findings) -> tuple[Header, ...]:
    """The slices of one volume as they are to be decoded.

    Raises
    ------
    ReadError
        If one cannot be decoded to Hounsfield units, as far as its header tells.
    """
    headers = assume_hounsfield(headers, findings)
    for header in headers:
        check_pixels(header, findings)
        check_sign(header, findings)
    _note_doubts(headers, findings)
    return headers


def _note_doubts(headers: Sequence[Header], findings: Findings) -> None:
    """Warn of lossy compression, and of a patient position that the geometry contradicts."""
    lossy = sum(h.lossy or (h.pixels is not None and h.pixels.syntax in LOSSY) for h in headers)
    if lossy:
        findings.warn(
            f"{lossy} of {len(headers)} slices were compressed with loss; HU are approximate.",
            PixelDataError,
        )
    first = headers[0]
    if orientation_name(first.plane) != "axial" or len(first.patient_position) < 3:
        return
    along_x = abs((first.plane.orientation or (0.0,))[0])
    on_side = first.patient_position[2:] in {"DL", "DR"}
    if (along_x < np.sqrt(0.5)) != on_side:
        findings.warn(
            f"PatientPosition is {first.patient_position}, but ImageOrientationPatient lies "
            f"{'on the side' if along_x < np.sqrt(0.5) else 'supine or prone'}; "
            "the orientation was used: check which side is left.",
            GeometryError,
        )
