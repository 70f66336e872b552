"""A volume at a glance: three slices through its middle, as a reader of CT holds them."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Protocol

import numpy as np

from rhoa.picture import encode_png, resize

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

WINDOW_HU = (-150.0, 600.0)
LONGEST_PIXELS = 240


class Scan(Protocol):
    """What is looked at; a `rhoa.Volume`."""

    @property
    def hu(self) -> NDArray[Any]:
        """Voxels ``[k, j, i]``."""

    @property
    def axes(self) -> Any:  # noqa: ANN401  # AnatomicalAxes
        """Which of them runs where."""

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Along each."""


def preview(scan: Scan) -> str:
    """HTML of an axial, a coronal and a sagittal slice, with size and spacing.

    Axial and coronal slices have the patient's right on the left of the picture; sagittal ones
    have the front on the left; the head is up.
    """
    superior, posterior, left, signs = scan.axes
    order = (superior, posterior, left)
    turned = scan.hu.transpose(order)[tuple(slice(None, None, sign) for sign in signs)]
    dk, dj, di = (scan.spacing_mm[axis] for axis in order)
    k, j, i = (length // 2 for length in turned.shape)
    slices = {
        "axial": (turned[k], (dj, di)),
        "coronal": (turned[::-1, j], (dk, di)),
        "sagittal": (turned[::-1, :, i], (dk, dj)),
    }
    figures = "".join(
        f'<figure style="margin:0 8px 0 0"><img alt="{name} slice" src="data:image/png;base64,'
        f'{base64.b64encode(_png(pixels, steps)).decode()}">'
        f"<figcaption>{name}</figcaption></figure>"
        for name, (pixels, steps) in slices.items()
    )
    shape = " &times; ".join(map(str, scan.hu.shape))
    spacing = " &times; ".join(f"{step:.4g}" for step in scan.spacing_mm)
    return (
        f'<div style="display:flex;align-items:flex-end">{figures}</div>'
        f"<p>Volume of {shape} {scan.hu.dtype} voxels, {spacing} mm (k, j, i)</p>"
    )


def _png(pixels: NDArray[Any], steps: tuple[float, float]) -> bytes:
    """The slice with square pixels, its longer side `LONGEST_PIXELS`."""
    sides = np.array(pixels.shape) * steps
    rows, columns = np.maximum(1, np.rint(sides * LONGEST_PIXELS / sides.max())).astype(int)
    clipped = np.clip(pixels.astype(np.float32), *WINDOW_HU)
    low, high = WINDOW_HU
    shown = resize((clipped - low) * (255 / (high - low)), int(rows), int(columns))
    return encode_png(np.rint(shown).astype(np.uint8))
