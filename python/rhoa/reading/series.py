"""The files of one DICOM series to a volume."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rhoa.reading.assembly import assemble
from rhoa.reading.catalogue import AUTO, AUTO_RULE, choose
from rhoa.reading.decoding import decode, require_budget
from rhoa.reading.doubts import checked, note_left_out
from rhoa.reading.geometry import orientation_name
from rhoa.reading.grouping import find, syntax_names
from rhoa.reading.looks import judge, judge_volume
from rhoa.reading.sorting import sort_slices
from rhoa.volume import Volume

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from rhoa.reading.files import PathOrPaths
    from rhoa.reading.findings import Findings

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
    left_out = note_left_out(chosen.headers, findings)
    headers = checked(ordered.headers, findings)
    if ordered.stack.layout is not None:
        require_budget(ordered.stack.layout.shape, np.dtype("i2"), max_bytes)
    decoded = decode(headers, max_bytes=max_bytes, findings=findings, progress=progress)
    made = assemble(decoded.hu, ordered, repairs, max_bytes=max_bytes, findings=findings)
    volume = Volume(made.hu, made.affine)
    first = headers[0]
    moved = bool(made.repairs or made.blank_dropped)
    if moved:
        seen = judge_volume(made.hu, made.affine, findings)
    else:
        looks = [decoded.looks[k] for k in range(len(headers))]
        axial = volume.axes.superior == 0
        seen = judge(looks, volume.spacing_mm, findings, axial=axial)
    report: dict[str, Any] = {
        "files": found.files,
        "skipped": dict(found.skipped),
        "series": len(found.series),
        "slices": volume.shape[0],
        **left_out,
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
        **seen,
        "warnings": list(findings.warnings),
    }
    if series == AUTO:
        report["chosen"] = {"series": chosen.index, "by": AUTO_RULE}
    return Volume(made.hu, made.affine, report)
