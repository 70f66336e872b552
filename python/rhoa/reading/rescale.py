"""Series that do not tell how stored values become Hounsfield units."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from rhoa.errors import PixelDataError
from rhoa.reading.codecs import MAY_NOT_END, decompressors
from rhoa.reading.decoding import check_pixels, raw_samples
from rhoa.reading.findings import Findings
from rhoa.reading.hounsfield import is_plausible
from rhoa.reading.stored import padding_mask, stored_values

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rhoa.reading.headers import Header

_SAMPLED = 5  # slices
_MOST_A_SIDE = 128  # pixels of them


def assume_hounsfield(headers: Sequence[Header], findings: Findings) -> tuple[Header, ...]:
    """Headers without any rescaling get slope 1 and intercept 0 where the values are like HU.

    Some converters store Hounsfield units and no rescaling. Where air lies at -1000 and soft tissue
    between 0 and 100 in the stored values, they are taken as they are, with a warning. Other
    headers are given back as they came, to be refused by `check_pixels`.

    Raises
    ------
    ReadError
        If the pixels cannot be decoded, for whatever other reason.
    """
    if any((h.format.slope, h.format.intercept) != (None, None) for h in headers):
        return tuple(headers)
    assumed = tuple(replace(h, format=replace(h.format, slope=1.0, intercept=0.0)) for h in headers)
    for header in assumed:
        check_pixels(header, Findings())
    few = {int(n) for n in np.linspace(0, len(headers) - 1, _SAMPLED)}
    if not _are_like_hounsfield([assumed[n] for n in sorted(few)]):
        return tuple(headers)
    findings.warn(
        "RescaleSlope and RescaleIntercept are missing; air and soft tissue lie where Hounsfield "
        "units have them, so the stored values were taken as they are.",
        PixelDataError,
    )
    return assumed


def _are_like_hounsfield(headers: Sequence[Header]) -> bool:
    syntaxes = {header.pixels.syntax for header in headers if header.pixels is not None}
    found = []
    with decompressors(1, 1, apart=not MAY_NOT_END.isdisjoint(syntaxes)) as (decompress, _):
        for header in headers:
            step = -(-max(header.format.rows, header.format.columns) // _MOST_A_SIDE)
            raw = raw_samples(header, decompress)[::step, ::step]
            values, padding = stored_values(raw, header.format), padding_mask(raw, header.format)
            found.append(values.ravel() if padding is None else values[~padding])
    return is_plausible(np.concatenate(found))
