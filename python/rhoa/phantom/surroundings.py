"""What a CT shows besides a whole pelvis, and how far it reaches: the options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from rhoa.errors import ParameterError, require_choice, require_count
from rhoa.pose.sides import SIDES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rhoa.pose.sides import Side

Range = tuple[float, float]
Reach = tuple[Range, Range, Range]
Beyond = Literal["cut", "padding"]

# What a scan covers around the middle of the tubercles unless it is told otherwise, mm.
FIELD_OF_VIEW: Reach = ((-225.0, 225.0), (-95.0, 225.0), (-95.0, 205.0))
PADDING_HU = -1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a CT holds besides a whole pelvis in soft tissue, and how far it reaches.

    The default is the plain phantom. `ABDOMEN` is a whole abdominopelvic CT with everything that
    patients bring.

    Raises
    ------
    ParameterError
        If a number is negative, a side is none, or a range is not (low, high).

    Examples
    --------
    >>> Surroundings(implant="left", reach_mm=((-225, 225), (-95, 225), (-40, 205))).implant
    'left'
    """

    gas_bubbles: int = 5
    """Bowel gas, 5 to 13 mm in radius."""
    contrast_loops: int = 0
    """Balls of oral contrast in the bowel, 300 to 700 HU, 8 to 16 mm in radius."""
    tagged_stool: tuple[Side, ...] = ()
    """Sides on which tagged stool, 400 to 1300 HU, lies against the iliac wing, gas above it."""
    bladder_hu: float = 8.0
    """Urine; with excreted contrast, about 400."""
    ribs: bool = False
    """The last three pairs; their tips lie at about 240 mm, so that ``reach_mm`` must be more."""
    implant: Side | None = None
    """The hip with a total replacement of metal."""
    absent: Side | None = None
    """The side without hip bone and femur."""
    displaced: Side | None = None
    """The side whose hip bone and femur, landmarks included, have slid by ``displacement_mm``."""
    displacement_mm: tuple[float, float, float] = (0.0, 10.0, 10.0)
    """To the patient's left, back and up, in the AP frame."""
    reach_mm: Reach = FIELD_OF_VIEW
    """What is scanned: to the left, back and up from the middle of the tubercles, patient axes."""
    beyond: Beyond = "cut"
    """Whether the array ends there, or goes on to the usual field as padding of -1024 HU."""

    def __post_init__(self) -> None:
        require_count("gas_bubbles", self.gas_bubbles, least=0)
        require_count("contrast_loops", self.contrast_loops, least=0)
        require_choice("beyond", self.beyond, get_args(Beyond))
        for name in ("implant", "absent", "displaced"):
            if getattr(self, name) is not None:
                require_choice(name, getattr(self, name), SIDES)
        for side in self.tagged_stool:
            require_choice("tagged_stool", side, SIDES)
        moved = np.asarray(self.displacement_mm, float)
        if moved.shape != (3,) or not np.isfinite(moved).all():
            raise ParameterError(
                "displacement_mm must be three finite numbers: to the left, back and up; "
                f"got {self.displacement_mm!r}."
            )
        reach = np.asarray(self.reach_mm, float)
        if (
            reach.shape != (3, 2)
            or not np.isfinite(reach).all()
            or (reach[:, 0] >= reach[:, 1]).any()
        ):
            raise ParameterError(
                "reach_mm must be three ranges (low, high) in mm: to the left, back and up; "
                f"got {self.reach_mm!r}."
            )

    @property
    def array_mm(self) -> NDArray[np.float64]:
        """Ranges that the array covers, ``(3, 2)``: left, back, up."""
        reach = np.array(self.reach_mm, float)
        if self.beyond == "cut":
            return reach
        usual = np.array(FIELD_OF_VIEW)
        return np.stack([np.minimum(reach, usual)[:, 0], np.maximum(reach, usual)[:, 1]], axis=1)

    @property
    def sides(self) -> tuple[Side, ...]:
        """The sides that have a hip."""
        return tuple(side for side in SIDES if side != self.absent)

    def displacement(self, side: Side) -> NDArray[np.float64]:
        """How far the bones of a side have slid, AP mm."""
        return np.array(self.displacement_mm if side == self.displaced else (0, 0, 0), float)


PLAIN = Surroundings()
ABDOMEN = Surroundings(
    gas_bubbles=12,
    contrast_loops=6,
    tagged_stool=("left", "right"),
    bladder_hu=400.0,
    ribs=True,
    reach_mm=((-225.0, 225.0), (-95.0, 225.0), (-170.0, 380.0)),
)
