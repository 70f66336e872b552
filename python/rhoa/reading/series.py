"""The files of one DICOM series to a volume."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rhoa.errors import GeometryError, PixelDataError
from rhoa.reading.assembly import assemble
from rhoa.reading.catalogue import AUTO, AUTO_RULE, choose
from rhoa.reading.codecs import LOSSY
from rhoa.reading.decoding import check_pixels, decode, require_budget
from rhoa.reading.geometry import orientation_name
from rhoa.reading.grouping import find, syntax_names
from rhoa.reading.sorting import sort_slices
from rhoa.volume import Volume

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from rhoa.reading.files import PathOrPaths
    from rhoa.reading.findings import Findings
    from rhoa.reading.headers import Header

    Progress = Callable[[int, int, str], object]


def read_series(
    path: PathOrPaths,
    *,
    series: str | int | None,
    repairs: Collection[str],
    max_bytes: int,
    findings: Findings,
    progress: Progress | None,
) -> Volume:
    """The CT volume among the files of ``path``; see `rhoa.read_ct`."""
    found = find(path, repairs, progress)
    chosen = choose(found, series, repairs)
    ordered = sort_slices(chosen, repairs)
    localizers = len(chosen.headers) - len(chosen.slices)
    if localizers:
        findings.warn(f"{localizers} localizer images among the slices were left out.")
    for header in ordered.headers:
        check_pixels(header, findings)
    _note_doubts(ordered.headers, findings)
    if ordered.stack.layout is not None:
        require_budget(ordered.stack.layout.shape, np.dtype("i2"), max_bytes)
    decoded = decode(ordered.headers, max_bytes=max_bytes, findings=findings, progress=progress)
    made = assemble(decoded.hu, ordered, repairs, max_bytes=max_bytes, findings=findings)
    volume = Volume(made.hu, made.affine)
    first = ordered.headers[0]
    moved = bool(made.repairs or made.blank_dropped)
    report: dict[str, Any] = {
        "files": found.files,
        "skipped": dict(found.skipped),
        "series": len(found.series),
        "slices": volume.shape[0],
        "localizers_dropped": localizers,
        "copies_dropped": ordered.copies,
        "blank_dropped": made.blank_dropped,
        "repairs": [*ordered.records(found.dropped), *made.repairs],
        "spacing_mm": list(volume.spacing_mm),
        "orientation": orientation_name(first.plane),
        "kernel": first.kernel,
        "transfer_syntaxes": syntax_names(ordered.headers),
        "rescale_varies": len({(h.format.slope, h.format.intercept) for h in ordered.headers}) > 1,
        "padding_voxels": decoded.padding_voxels,
        "hu_range": [float(made.hu.min()), float(made.hu.max())]
        if moved
        else list(decoded.hu_range),
        "warnings": list(findings.warnings),
    }
    if series == AUTO:
        report["chosen"] = {"series": chosen.index, "by": AUTO_RULE}
    return Volume(made.hu, made.affine, report)


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
