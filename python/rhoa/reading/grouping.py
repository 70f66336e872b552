"""Files to series, and why a series is no CT volume at first sight."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rhoa.errors import GeometryError, NoSeriesError, PixelDataError, ReadError
from rhoa.reading.bounded import shown
from rhoa.reading.codecs import syntax_name
from rhoa.reading.doubts import kind_of
from rhoa.reading.enhanced import part_names, slices_of
from rhoa.reading.files import list_files
from rhoa.reading.geometry import check_planes, coincident, describe_coincident
from rhoa.reading.headers import SkippedFileError, read_header
from rhoa.reading.repairs import Dropped

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable, Mapping, Sequence

    from rhoa.reading.enhanced import Part
    from rhoa.reading.files import PathOrPaths, Progress
    from rhoa.reading.headers import Header


UID_TAIL = 12
"""Characters that tell series of one study apart."""
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_MOST_LISTED = 12


@dataclass(frozen=True, slots=True)
class Series:
    """Images with one series UID; of an enhanced file, those of one part."""

    index: int
    uid: str
    headers: tuple[Header, ...]
    part: str = ""

    @property
    def slices(self) -> tuple[Header, ...]:
        """Its images without localizers and pages of text."""
        return tuple(header for header in self.headers if kind_of(header) == "slice")

    @property
    def label(self) -> str:
        """Its name in messages."""
        part = f", {self.part}" if self.part else ""
        return f"series {self.index} (UID ...{self.uid[-UID_TAIL:]}{part})"


@dataclass(frozen=True, slots=True)
class Found:
    """All series of a path, and what else was there."""

    series: tuple[Series, ...]
    files: int
    skipped: Mapping[str, int]
    dropped: tuple[Dropped, ...]
    """Damaged files that the repair "drop" left out."""


def find(path: PathOrPaths, repairs: Collection[str], progress: Progress | None) -> Found:
    """Every series among the files of ``path``, the largest first.

    Raises
    ------
    ReadError
        If there is nothing, or a DICOM file cannot be parsed and is not to be dropped.
    """
    files = list_files(path)
    grouped: dict[tuple[str, Part], list[Header]] = {}
    skipped: Counter[str] = Counter()
    dropped: list[tuple[str, ReadError]] = []
    known: dict[Hashable, Header] = {}
    for done, file in enumerate(files, 1):
        try:
            headers = slices_of(read_header(file, known))
        except SkippedFileError as reason:
            skipped[str(reason)] += 1
        except ReadError as error:
            if "drop" not in repairs:
                raise
            dropped.append((shown(file), error))
        else:
            for header in headers:
                grouped.setdefault((header.series_uid, header.part), []).append(header)
        if progress is not None:
            progress(done, len(files), "reading headers")
    if dropped and not grouped:
        raise dropped[0][1]
    ordered = sorted(grouped.items(), key=lambda item: (-len(item[1]), item[0]))
    names = part_names(grouped)
    series = tuple(
        Series(n, key[0], tuple(headers), names[key]) for n, (key, headers) in enumerate(ordered)
    )
    damaged = tuple(Dropped(name, str(error)) for name, error in dropped)
    return Found(series, len(files), skipped, damaged)


def refusal(series: Series) -> ReadError | None:
    """Why a series is no CT volume at first sight; None where its geometry and pixels decide."""
    headers = series.headers
    modality = headers[0].modality
    reasons = {
        f"modality {modality or 'missing'}, not CT": modality != "CT",
        "secondary captures (screenshots), not CT slices": any(
            header.sop_class.startswith(_SECONDARY_CAPTURE) for header in headers
        ),
        "colour images, not CT slices": any(header.samples != 1 for header in headers),
        "dose reports or screenshots (DOSE_INFO, SCREEN SAVE, PATIENT_INFO), not CT slices": (
            all(kind_of(header) == "page" for header in headers)
        ),
        "localizers only, not CT slices": not series.slices,
        "multi-frame, but no enhanced CT, so its frames have no positions; "
        "export single frames or enhanced CT": any(h.frames != 1 for h in headers),
    }
    for reason, applies in reasons.items():
        if applies:
            return NoSeriesError(f"{series.label}: {reason}.")
    burned = [header.name for header in series.slices if header.burned_in]
    if burned:
        return PixelDataError(
            f"{burned[0]}: BurnedInAnnotation is YES: its pixels hold text, perhaps a name; "
            "leave the file out."
        )
    return _flatness(series)


def _flatness(series: Series) -> GeometryError | None:
    """The error of a series with one slice, or with all slices at one position."""
    slices = series.slices
    if len(slices) == 1:
        return GeometryError(
            f"{slices[0].name}: one slice is no volume; read_ct needs two or more; "
            "pass the folder that holds the whole series."
        )
    planes = [header.plane for header in slices]
    try:
        check_planes(planes)
    except GeometryError:
        return None  # a volume with a defect, which is named when it is read
    groups = coincident(planes)
    if groups and len(groups[0]) == len(planes):
        return GeometryError(describe_coincident(planes, groups[0]))
    return None


def no_volume(found: Found) -> NoSeriesError:
    """The error where no series is a CT volume."""
    skipped = ", ".join(f"{count} x {reason}" for reason, count in sorted(found.skipped.items()))
    what = f"{found.files} files" + (f" (skipped: {skipped})" if skipped else "")
    if not found.series:
        return NoSeriesError(
            f"no DICOM image among {what}; pass the folder that holds the CT slices."
        )
    listed = " ".join(str(refusal(series)) for series in found.series[:_MOST_LISTED])
    return NoSeriesError(
        f"no CT volume among {what}: {listed} Pass the folder that holds the CT slices."
    )


def syntax_names(headers: Sequence[Header]) -> list[str]:
    """The transfer syntaxes of some slices."""
    return [syntax_name(s) for s in sorted({h.pixels.syntax for h in headers if h.pixels})]
