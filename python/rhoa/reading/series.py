"""The files of one DICOM series to a volume."""

from __future__ import annotations

from dataclasses import dataclass
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
    from collections.abc import Collection, Mapping

    from numpy.typing import NDArray

    from rhoa.reading.files import PathOrPaths, Progress
    from rhoa.reading.findings import Findings
    from rhoa.reading.grouping import Found, Series
    from rhoa.reading.headers import Header
    from rhoa.reading.looks import Look
    from rhoa.reading.sorting import Sorted


@dataclass(frozen=True, slots=True, eq=False)
class Arranged:
    """The slices of one CT volume, sorted and checked, whose pixels are still in their files."""

    found: Found
    chosen: Series
    ordered: Sorted
    headers: tuple[Header, ...]
    """In the order of the volume, as they are to be decoded."""
    left_out: Mapping[str, int]
    repairs: Collection[str]
    by_rule: bool

    @property
    def affine(self) -> NDArray[np.float64]:
        """From ``(k, j, i, 1)`` to patient LPS mm, if no slice is blank."""
        return self.ordered.stack.affine

    def judge(self, looks: Mapping[int, Look], findings: Findings) -> dict[str, Any]:
        """What is seen in the voxels of all slices, for the report; doubts become warnings."""
        outline = Volume(np.empty((0, 0, 0), np.int16), self.affine)
        facts = [looks[k] for k in range(len(self.headers))]
        axial = outline.axes.superior == 0
        return judge(facts, outline.spacing_mm, findings, axial=axial)


def arrange(
    path: PathOrPaths,
    *,
    series: str | int | None,
    repairs: Collection[str],
    findings: Findings,
    progress: Progress | None,
) -> Arranged:
    """The slices of the CT volume among the files of ``path``; see `rhoa.read_ct`."""
    found = find(path, repairs, progress)
    chosen = choose(found, series, repairs)
    ordered = sort_slices(chosen, repairs)
    left_out = note_left_out(chosen.headers, findings)
    headers = checked(ordered.headers, findings)
    return Arranged(found, chosen, ordered, headers, left_out, repairs, series == AUTO)


def read_series(
    arranged: Arranged, *, max_bytes: int, findings: Findings, progress: Progress | None
) -> Volume:
    """The volume of slices that are arranged; see `rhoa.read_ct`."""
    headers, ordered, repairs = arranged.headers, arranged.ordered, arranged.repairs
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
        seen = arranged.judge(decoded.looks, findings)
    report: dict[str, Any] = {
        "files": arranged.found.files,
        "skipped": dict(arranged.found.skipped),
        "series": len(arranged.found.series),
        "slices": volume.shape[0],
        **arranged.left_out,
        "copies_dropped": ordered.copies,
        "blank_dropped": made.blank_dropped,
        "repairs": [*ordered.records(arranged.found.dropped), *made.repairs],
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
    if arranged.by_rule:
        report["chosen"] = {"series": arranged.chosen.index, "by": AUTO_RULE}
    return Volume(made.hu, made.affine, report)
