"""What an image is the sum of: windows, labels, and what HU stand for."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from rhoa.errors import ParameterError, require_choice, require_volume, require_window
from rhoa.reading.mask_resampling import laid_over
from rhoa.volume import Volume

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from rhoa.reading.mask_resampling import Layer

Window = tuple[float, float]
Reduce = Literal["sum", "mean", "max"]
Transform = Literal["hu", "attenuation", "transmission"]

DEFAULT_WINDOW: Window = (-150.0, 600.0)
"""Gebre et al. 2022: HU outside it are clipped before summation."""

PHYSICAL_WINDOW: Window = (-1000.0, 3071.0)
"""What attenuation is computed from: all that a CT scanner stores, from air on."""

WATER_ATTENUATION_PER_MM = 0.01929
"""Linear attenuation of water at 70 keV, a usual effective energy of CT (NIST XCOM)."""


@dataclass(frozen=True, slots=True)
class Content:
    """What is summed: an image for each window, or for each label."""

    windows: list[Window]
    reduce: Reduce
    transform: Transform
    layer: Layer | None = None

    @property
    def base(self) -> float:
        """HU that are subtracted after clipping."""
        return 0.0 if self.transform == "hu" else -1000.0

    @property
    def channels(self) -> list[tuple[Window, float, int | None]]:
        """The images, as the kernels know them."""
        if self.layer is None:
            return [(window, self.base, None) for window in self.windows]
        return [(self.windows[0], self.base, label) for label in self.layer.names]

    @property
    def names(self) -> list[int | str]:
        """Of the images: the labels', or their numbers."""
        if self.layer is None:
            return list(range(len(self.windows)))
        return list(self.layer.names.values())

    @property
    def labels(self) -> NDArray[np.uint8] | None:
        """Of the voxels, where labels are summed."""
        return None if self.layer is None else self.layer.labels

    def pixels(
        self, image: NDArray[np.float32], step_mm: float, scale: float
    ) -> NDArray[np.float32]:
        """An image of sums over samples ``step_mm`` apart, as what it stands for."""
        if self.transform == "hu":
            return image if scale == 1 else image * np.float32(scale)
        attenuation = image * np.float32(step_mm * WATER_ATTENUATION_PER_MM / 1000)
        if self.transform == "attenuation":
            return attenuation
        np.maximum(attenuation, 0, out=attenuation)  # cubic interpolation overshoots
        light: NDArray[np.float32] = np.exp(-attenuation)
        return light

    def provenance(self, number: int) -> dict[str, Any]:
        """How image ``number`` was made."""
        made: dict[str, Any] = {"kind": "CT-AP"}
        made["window_hu"] = self.windows[number if self.layer is None else 0]
        if self.reduce != "sum":
            made["reduce"] = self.reduce
        if self.transform != "hu":
            made["transform"] = self.transform
            made["water_attenuation_per_mm"] = WATER_ATTENUATION_PER_MM
        if self.layer is not None and not self.layer.one_mask:
            made["label"] = self.names[number]
        return made


def content_of(
    volume: Volume | ArrayLike,
    windows: Sequence[Window | None],
    reduce: Reduce,
    transform: Transform,
) -> Content:
    """What is asked for, checked.

    Raises
    ------
    ParameterError
        If the options contradict each other.
    """
    require_choice("reduce", reduce, ["sum", "mean", "max"])
    require_choice("transform", transform, ["hu", "attenuation", "transmission"])
    default = DEFAULT_WINDOW if transform == "hu" else PHYSICAL_WINDOW
    bounds = [default if window is None else require_window(window) for window in windows]
    if transform != "hu" and not isinstance(volume, Volume):
        raise ParameterError(f'transform="{transform}" needs spacings in mm; pass a rhoa.Volume.')
    if transform != "hu" and (reduce != "sum" or bounds[0][0] < -1000):
        raise ParameterError(
            f'transform="{transform}" is a sum of attenuation, which is negative below -1000 HU; '
            'leave reduce="sum" and use a window from -1000 HU or higher.'
        )
    return Content(bounds, reduce, transform)


def masked(
    content: Content, volume: Volume | ArrayLike, mask: object, threads: int
) -> list[Content]:
    """The same of each label of a mask; several where structures overlap.

    Raises
    ------
    ParameterError
        If the mask does not fit the volume, or sums are not what is asked for.
    ReadError
        If its file cannot be read.
    """
    if content.reduce != "sum":
        raise ParameterError('with a mask only reduce="sum" is defined.')
    if not isinstance(volume, Volume):
        volume = require_volume(volume)
    return [replace(content, layer=layer) for layer in laid_over(mask, volume, threads)]


def require_finite_low(windows: Sequence[Window]) -> None:
    """Check that each window's low end, which fills what lies outside a posed scan, is a number.

    Raises
    ------
    ParameterError
        If one is infinite.
    """
    if not all(math.isfinite(low) for low, _ in windows):
        raise ParameterError(
            "with a pose, the window's low end must be finite: it fills the outside."
        )
