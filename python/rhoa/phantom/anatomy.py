"""One imaginary subject: the numbers that make a pelvis, and what a CT shows around it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from rhoa._types import SIDES
from rhoa.errors import ParameterError, require_choice, require_count

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rhoa._types import Side


# One imaginary subject: the numbers that make a pelvis, drawn with the spreads of real ones.

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
class JointDisease:
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
    def draw(cls, kl: int, random: np.random.Generator) -> JointDisease:
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
    left: JointDisease
    right: JointDisease

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
            left=JointDisease.draw(kl_left, left),
            right=JointDisease.draw(kl_right, right),
        )

    def joint(self, side: Side) -> JointDisease:
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


# What a CT shows besides a whole pelvis, and how far it reaches: the options.

Range = tuple[float, float]
Reach = tuple[Range, Range, Range]
Beyond = Literal["cut", "padding"]
Thing = Literal[
    "zip",
    "buckle",
    "clip",
    "coin",
    "wire",
    "ecg_leads",
    "catheter",
    "contrast_before_plane",
    "contrast_at_spine",
    "calcified_vessels",
    "arms",
]

# What a scan covers around the middle of the tubercles by default, mm.
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
    things: tuple[Thing, ...] = ()
    """Of metal on the skin (zip, buckle, clip, coin, wire, ecg_leads) and as dense as bone: a
    urinary catheter, contrast in bowel before the AP plane or at the left spine, calcified vessels,
    and the arms beside the pelvis. `with_things` puts them into any scan."""
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
        for thing in self.things:
            require_choice("things", thing, get_args(Thing))
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
