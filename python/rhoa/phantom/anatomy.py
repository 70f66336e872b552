"""One imaginary subject: the numbers that make a pelvis, drawn with the spreads of real ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rhoa.errors import ParameterError, require_choice

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rhoa.pose.sides import Side

GRADES = (0, 1, 2, 3, 4)

# How each feature grows with the severity, which is the KL grade with a spread of SEVERITY_SD, so
# that neighbouring grades overlap as they do between readers.
SEVERITY_SD = 0.45
_SEVERITY = (0.0, 1.0, 2.0, 3.0, 4.0)
_NARROWING = (0.0, 0.07, 0.27, 0.52, 0.82)  # share of the joint space that is lost superiorly
_OSTEOPHYTE_MM = (0.0, 1.2, 3.4, 5.2, 7.5)
_SCLEROSIS = (0.0, 0.1, 0.35, 0.7, 1.0)
_FLATTENING_MM = (0.0, 0.0, 0.0, 0.8, 3.0)
_CYSTS = (0.0, 0.0, 0.3, 1.0, 2.0)

LEAN_SD = 0.08
# Sacrum and spines lie under the skin, also of the thin.
LEAST_BODY_DEPTH_MM = 200.0
BACK_MM = 174.0
BODY_CENTRE_MM = 70.0


@dataclass(frozen=True, slots=True)
class Joint:
    """One hip joint: its grade, and the features that a reader would grade it by."""

    kl: int
    severity: float
    joint_space_mm: float
    """Between femoral head and acetabulum where the joint is healthy all around."""
    narrowing_mm: float
    """How far the head has moved up and out; the superior joint space is less by this much."""
    osteophyte_mm: float
    sclerosis: float
    """0 (none) to about 1 (a dense band)."""
    flattening_mm: float
    cysts: int

    @classmethod
    def draw(cls, kl: int, random: np.random.Generator) -> Joint:
        """A joint of grade ``kl`` (0-4)."""
        require_choice("kl", kl, GRADES)
        severity = float(np.clip(random.normal(kl, SEVERITY_SD), 0, 4))

        def grown(values: tuple[float, ...], spread: float) -> float:
            value = float(np.interp(severity, _SEVERITY, values))
            return value * float(np.exp(random.normal(0, spread)))

        space = float(np.clip(random.normal(4.3, 0.4), 3.3, 5.3))
        lost = space * grown(_NARROWING, 0.15) + float(random.normal(0, 0.2))
        return cls(
            kl=kl,
            severity=severity,
            joint_space_mm=space,
            narrowing_mm=float(np.clip(lost, 0, space - 0.3)),
            osteophyte_mm=grown(_OSTEOPHYTE_MM, 0.25),
            sclerosis=grown(_SCLEROSIS, 0.25),
            flattening_mm=grown(_FLATTENING_MM, 0.3),
            cysts=int(random.poisson(np.interp(severity, _SEVERITY, _CYSTS))),
        )


@dataclass(frozen=True, slots=True)
class Anatomy:
    """A subject's pelvis; lengths in mm, in the AP frame.

    `random` draws one with the means and spreads of real ones.
    """

    seed: int
    width: float
    """Between the two ASIS."""
    height: float
    """From the middle of the tubercles to the middle of the ASIS."""
    depth: float
    """Relative size from front to back."""
    lean: float
    """How much higher bones lie for each mm that they lie behind the AP plane."""
    tubercle_distance: float
    """Between the tips of the pubic tubercles, as experts read them."""
    crest_before: float
    """How far the pubic crest, on which a pelvis rests, stands in front of the tubercles."""
    head_radius: float
    body_width: float
    body_depth: float
    left: Joint
    right: Joint

    @classmethod
    def random(cls, seed: int, *, kl_left: int = 0, kl_right: int = 0) -> Anatomy:
        """A subject with the given Kellgren-Lawrence grades; the same seed is the same subject.

        Raises
        ------
        ParameterError
            If a grade is not 0 to 4 or the seed is negative.

        Examples
        --------
        >>> Anatomy.random(1, kl_left=4).left.kl
        4
        """
        if seed < 0:
            raise ParameterError(f"seed must not be negative; got {seed}.")
        shape, left, right = (np.random.default_rng([seed, n]) for n in range(3))
        size = float(np.clip(shape.normal(1, 0.06), 0.86, 1.14))

        def drawn(mean: float, spread: float) -> float:
            return (
                mean
                * size
                * float(np.clip(shape.normal(1, spread), 1 - 2 * spread, 1 + 2 * spread))
            )

        width, height, depth = drawn(224, 0.05), drawn(93, 0.07), drawn(1, 0.06)
        return cls(
            seed=seed,
            width=width,
            height=height,
            depth=depth,
            tubercle_distance=drawn(52, 0.06),
            head_radius=drawn(24, 0.05),
            body_width=drawn(365, 0.06),
            body_depth=max(drawn(225, 0.08), LEAST_BODY_DEPTH_MM * depth),
            lean=float(np.clip(shape.normal(0, LEAN_SD), -2 * LEAN_SD, 2 * LEAN_SD)),
            crest_before=float(np.clip(shape.normal(1.6, 0.8), 0, 3.2)),
            left=Joint.draw(kl_left, left),
            right=Joint.draw(kl_right, right),
        )

    def joint(self, side: Side) -> Joint:
        """The joint of a side."""
        return self.left if side == "left" else self.right

    @property
    def size(self) -> float:
        """Relative size of bones."""
        return self.head_radius / 24

    @property
    def body_centre_mm(self) -> float:
        """How far behind the AP plane the middle of the body lies."""
        return max(BODY_CENTRE_MM, BACK_MM * self.depth - self.body_depth / 2)

    def point(self, side: Side, x: float, y: float, z: float) -> NDArray[np.float64]:
        """A point of the mean pelvis (its left side) in this one, AP mm."""
        sign = 1 if side == "left" else -1
        # What is behind the plane grows with the spines' height, but only half as much.
        tall = (self.height / 93 + self.size) / 2
        back = y * self.depth
        return np.array([sign * x * self.width / 224, back, z * tall + self.lean * back])
