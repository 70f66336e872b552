"""What is inside a scan and can be used: the verdict on each hip, and the records behind it."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import groupby
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rhoa.pose.sides import Side

Reason = Literal["blank", "partial", "duplicated", "shifted", "unlike", "streaked"]
REASONS: tuple[Reason, ...] = ("blank", "partial", "duplicated", "shifted", "unlike", "streaked")

HIP_WARNINGS = frozenset(
    {
        "body_cut",
        "close_to_edge",
        "duplicated_slices",
        "low_confidence",
        "metal_nearby",
        "streaked_slices",
        "values_cut_off",
    }
)
"""Flags of a hip that ask for review; every other flag makes it unusable, unless it is accepted."""
HIP_REFUSALS: Mapping[str, str] = MappingProxyType(
    {
        "blank_slices": "slices across the joint are blank",
        "box_outside_image": "the box of the hip leaves the image",
        "field_of_view": "the scan lacks part of the joint",
        "implant": "there is metal in the joint",
        "not_found": "no femoral head was found there",
        "not_hounsfield": "the voxels are no Hounsfield units",
        "partial_slices": "slices across the joint lack part of it",
        "pose_not_used": "the pose of the pelvis cannot be trusted",
        "shifted_slices": "slices across the joint are shifted",
        "unlike_slices": "slices across the joint are unlike their neighbours",
    }
)
"""Flags that make a hip unusable, with what they mean; each can be accepted by its name."""


@dataclass(frozen=True, slots=True)
class SliceFinding:
    """An axial slice that is not as it should be."""

    index: int
    """Along the array axis that runs most nearly upright, `Coverage.slice_axis`."""
    reason: Reason
    note: str
    """What was measured."""


@dataclass(frozen=True, slots=True)
class Metal:
    """A piece of metal: voxels above 2500 HU in one place."""

    cm3: float
    centre_lps_mm: tuple[float, float, float]
    side: Literal["left", "right", "middle"]
    """Of the AP frame; without an alignment, of the body's middle."""


@dataclass(frozen=True, slots=True)
class HipCoverage:
    """Whether the hip of one side is inside the scan and fit for use.

    Flags that make it unusable: ``field_of_view`` (the scan lacks part of the joint),
    ``implant``, ``blank_slices``, ``partial_slices``, ``shifted_slices``, ``unlike_slices`` (across
    the joint), ``not_hounsfield``, ``pose_not_used`` (the alignment has hard flags of its own); of
    `rhoa.hips.extract`, which also looks for the joint, ``not_found`` and ``box_outside_image``.
    Warnings: ``close_to_edge`` (the joint is inside, part of the region around it is not),
    ``body_cut`` (this side of the body leaves the field of view beside the joint),
    ``metal_nearby`` (on the same slices), ``duplicated_slices``, ``streaked_slices``,
    ``values_cut_off`` (at so low a value that metal cannot be told), ``low_confidence`` (of
    `rhoa.hips.extract`: a femoral head that is half hidden, or far from where it should be).
    """

    side: Side
    centre_mm: tuple[float, float, float]
    """Of the femoral head or its socket, in the AP frame."""
    measured: bool
    """Whether the centre was found in this scan; else it is where it lies in the population."""
    inside_fraction: float
    """Share of the region around the centre that was scanned."""
    joint_fraction: float
    """Share of the cube of 70 mm around the centre that was scanned."""
    margin_mm: float
    """From the centre to the nearest end of the scan; below zero outside."""
    metal_cm3: float
    """Above 2500 HU, in the region."""
    cut_share: float
    """Of the slices across the region, those on which the body is cut on this side."""
    slices: Mapping[Reason, tuple[int, ...]] = field(default_factory=dict)
    """Indices of the flagged slices across the joint, by reason."""
    flags: frozenset[str] = frozenset()
    accepted: frozenset[str] = frozenset()
    """Flags that a person accepts: they forbid nothing."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "slices", MappingProxyType(dict(self.slices)))

    @property
    def warnings(self) -> frozenset[str]:
        """The flags that ask for review."""
        return self.flags & (HIP_WARNINGS | self.accepted)

    @property
    def hard_flags(self) -> frozenset[str]:
        """The flags that make the hip unusable."""
        return self.flags - HIP_WARNINGS - self.accepted

    @property
    def usable(self) -> bool:
        """Whether nothing forbids the use of this hip."""
        return not self.hard_flags

    def as_dict(self) -> dict[str, Any]:
        """Plain types, as JSON has them."""
        return {
            "side": self.side,
            "usable": self.usable,
            "flags": sorted(self.flags),
            "accepted": sorted(self.accepted & self.flags),
            "centre_mm": _rounded(self.centre_mm),
            "measured": self.measured,
            "inside_fraction": round(self.inside_fraction, 4),
            "joint_fraction": round(self.joint_fraction, 4),
            "margin_mm": round(self.margin_mm, 2),
            "metal_cm3": round(self.metal_cm3, 3),
            "cut_share": round(self.cut_share, 3),
            "slices": {reason: list(found) for reason, found in self.slices.items()},
        }

    def __str__(self) -> str:
        verdict = "usable" if self.usable else f"not usable: {_words(self.hard_flags)}"
        if self.warnings:
            verdict += f"; flagged: {_words(self.warnings)}"
        facts = [f"{self.inside_fraction:.0%} of its region scanned"]
        facts.append(f"{self.margin_mm:.0f} mm from the edge")
        if self.metal_cm3 >= 0.05:
            facts.append(f"{self.metal_cm3:.1f} cm3 of metal")
        if not self.measured:
            facts.append("centre assumed")
        return f"{self.side} hip: {verdict} ({', '.join(facts)})"


@dataclass(frozen=True, slots=True)
class Coverage:
    """What a scan covers and what is wrong with it: see `rhoa.pose.coverage`.

    ``hips`` and ``parts_mm`` are empty where no alignment was given. ``str(coverage)`` is a short
    report; `as_dict` has plain types for JSON.
    """

    hips: Mapping[Side, HipCoverage]
    parts_mm: Mapping[str, float]
    """Distance in mm from parts of the pelvis, ``"iliac_crest_left"`` and so on, to the nearest end
    of the scan; below zero outside."""
    slice_axis: int
    slice_count: int
    slices: tuple[SliceFinding, ...] = ()
    """Every axial slice that is not as it should be, and why; none was dropped."""
    metal: tuple[Metal, ...] = ()
    cut_share: Mapping[str, float] = field(default_factory=dict)
    """Share of the slices on which the field of view cuts the body: ``"any"``, and at the
    ``"left"``, ``"right"``, ``"front"``, ``"back"``. Empty where no body could be told."""
    reader: Mapping[str, Any] = field(default_factory=dict)
    """What `rhoa.read_ct` left out or repaired before, from the volume's report."""
    flags: frozenset[str] = frozenset()
    """Of the scan as a whole: ``not_hounsfield``, ``no_body`` (too small or no body: motion and cut
    bodies were not looked for), ``values_cut_off`` (at so low a value that metal cannot be told),
    ``body_cut``, ``metal``, and ``blank_slices`` and the like for each reason."""

    def __post_init__(self) -> None:
        for name in ("hips", "parts_mm", "cut_share", "reader"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    @property
    def usable_sides(self) -> tuple[Side, ...]:
        """The sides whose hip can be used."""
        return tuple(side for side, hip in self.hips.items() if hip.usable)

    @property
    def missing_parts(self) -> tuple[str, ...]:
        """Parts of the pelvis that lie outside the scan."""
        return tuple(name for name, margin in self.parts_mm.items() if margin < 0)

    def indices(self, reason: Reason) -> tuple[int, ...]:
        """Indices of the slices that were flagged for a reason."""
        return tuple(found.index for found in self.slices if found.reason == reason)

    def as_dict(self) -> dict[str, Any]:
        """Plain types, as JSON has them."""
        return {
            "usable_sides": list(self.usable_sides),
            "flags": sorted(self.flags),
            "hips": {side: hip.as_dict() for side, hip in self.hips.items()},
            "parts_mm": {name: round(margin, 1) for name, margin in self.parts_mm.items()},
            "slice_axis": self.slice_axis,
            "slice_count": self.slice_count,
            "slices": [
                {"index": one.index, "reason": one.reason, "note": one.note} for one in self.slices
            ],
            "metal": [
                {
                    "cm3": round(piece.cm3, 3),
                    "centre_lps_mm": _rounded(piece.centre_lps_mm),
                    "side": piece.side,
                }
                for piece in self.metal
            ],
            "cut_share": {where: round(share, 3) for where, share in self.cut_share.items()},
            "reader": dict(self.reader),
        }

    def __str__(self) -> str:
        lines = [str(hip) for hip in self.hips.values()]
        if self.missing_parts:
            lines.append(f"outside the scan: {', '.join(map(_spaced, self.missing_parts))}")
        elif self.parts_mm:
            lines.append("pelvis: all of it inside the scan")
        lines += [f"metal: {piece.cm3:.1f} cm3, {_place(piece.side)}" for piece in self.metal]
        if self.cut_share.get("any"):
            where = [name for name, share in self.cut_share.items() if share and name != "any"]
            lines.append(
                f"body: cut by the field of view on {self.cut_share['any']:.0%} of the slices "
                f"({', '.join(where)})"
            )
        found = [f"{reason} {_runs(self.indices(reason))}" for reason in REASONS
                 if self.indices(reason)]  # fmt: skip
        lines.append(f"slices: {self.slice_count}, {'; '.join(found) or 'none flagged'}")
        lines += [
            f"{_spaced(name)} by the reader: {_told(what)}" for name, what in self.reader.items()
        ]
        odd = self.flags & {"not_hounsfield", "no_body", "values_cut_off"}
        lines += [f"not judged: {_words(odd)}"] if odd else []
        return "\n".join(lines)


def _told(what: object) -> str:
    """A count, or the names of repairs."""
    if not isinstance(what, list):
        return str(what)
    return ", ".join(
        str(one.get("name", one)) if isinstance(one, dict) else str(one) for one in what
    )


def _spaced(name: str) -> str:
    return name.replace("_", " ")


def _words(names: frozenset[str]) -> str:
    return ", ".join(map(_spaced, sorted(names)))


def _place(side: str) -> str:
    return "in the middle" if side == "middle" else f"on the {side}"


def _rounded(point: Sequence[float]) -> list[float]:
    return [round(value, 2) for value in point]


def _runs(indices: Sequence[int]) -> str:
    """Whole numbers as runs: ``3-7, 12``."""
    runs = []
    for _, run in groupby(enumerate(indices), key=lambda pair: pair[1] - pair[0]):
        numbers = [number for _, number in run]
        runs.append(str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]}-{numbers[-1]}")
    return ", ".join(runs)
