"""How much training images are changed at random."""

from __future__ import annotations

import math
from dataclasses import dataclass

from rhoa.errors import ParameterError, require_positive


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """Random changes of a training image, drawn anew, uniformly, each time it is seen.

    Parameters
    ----------
    rotation_deg
        Turned by up to this angle either way.
    translation_px
        Shifted by up to this many pixels of the network's input, down and across independently.
    scale
        Enlarged by a factor between these two.
    """

    rotation_deg: float = 5.0
    translation_px: float = 5.0
    scale: tuple[float, float] = (0.75, 1.2)

    def __post_init__(self) -> None:
        for name in ("rotation_deg", "translation_px"):
            value = getattr(self, name)
            if not (isinstance(value, int | float) and math.isfinite(value) and value >= 0):
                raise ParameterError(f"{name} must be a finite number >= 0; got {value!r}.")
        try:
            least, most = (require_positive("scale", factor) for factor in self.scale)
        except (TypeError, ValueError):
            least, most = 1.0, 0.0
        if least > most:
            raise ParameterError(
                f"scale must be (least, most), two positive factors in order; got {self.scale!r}."
            )
        object.__setattr__(self, "scale", (least, most))

    @property
    def changes_nothing(self) -> bool:
        """Whether every image stays as it is."""
        return self.rotation_deg == self.translation_px == 0 and self.scale == (1.0, 1.0)
