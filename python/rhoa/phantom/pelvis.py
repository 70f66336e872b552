"""The digital pelvis as a CT volume, with its true landmarks, hip centres and grades."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from rhoa.errors import ParameterError, require_positive
from rhoa.phantom import bones
from rhoa.phantom.shapes import Grid
from rhoa.phantom.skeleton import add_bones
from rhoa.phantom.surroundings import PADDING_HU, PLAIN
from rhoa.phantom.tissue import soft_tissue
from rhoa.pose import Landmarks
from rhoa.pose.sides import SIDES
from rhoa.volume import Volume

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from rhoa.phantom.anatomy import Anatomy
    from rhoa.phantom.surroundings import Surroundings
    from rhoa.pose.sides import Side

    Point = NDArray[np.float64]

LANDMARKS = tuple(field.name for field in fields(Landmarks))


@dataclass(frozen=True, slots=True, eq=False)
class Phantom:
    """A CT of a digital pelvis and what is true of it; points in patient LPS mm."""

    volume: Volume
    landmarks: Landmarks
    hip_centres: Mapping[Side, NDArray[np.float64]]
    """Centres of the femoral heads."""
    anatomy: Anatomy
    labels: NDArray[np.uint8]
    """Which voxel is which bone, with TotalSegmentator's values: `rhoa.phantom.LABELS`."""
    surroundings: Surroundings = PLAIN
    """What else the scan holds, such as the side of an implant."""

    @property
    def kl(self) -> Mapping[Side, int]:
        """Kellgren-Lawrence grade of each hip."""
        return {side: self.anatomy.joint(side).kl for side in SIDES}

    @property
    def half_boxes_mm(self) -> Mapping[Side, float]:
        """Half the side of the square that a reader draws around each hip of the CT-AP, mm."""
        return {side: bones.half_box_mm(self.anatomy, side) for side in SIDES}

    @property
    def missing(self) -> frozenset[str]:
        """What the scan does not show, beyond its reach or absent: landmarks, hip_left, hip_right.

        Their positions are where they would be.
        """
        points = {name: getattr(self.landmarks, name) for name in LANDMARKS}
        points |= {f"hip_{side}": self.hip_centres[side] for side in SIDES}
        origin = self.volume.to_lps((0, 0, 0)) - self.surroundings.array_mm[:, 0]
        low, high = np.array(self.surroundings.reach_mm, float).T
        absent = self.surroundings.absent
        return frozenset(
            name
            for name, point in points.items()
            if name.endswith(f"_{absent}")
            or (point - origin < low).any()
            or (point - origin > high).any()
        )


def ct(
    anatomy: Anatomy,
    *,
    spacing_mm: tuple[float, float, float] = (2.0, 2.0, 2.0),
    angles: tuple[float, float, float] = (0.0, 0.0, 0.0),
    noise_hu: float = 20.0,
    table: bool = True,
    surroundings: Surroundings = PLAIN,
) -> Phantom:
    """A CT of the subject: int16 HU on axial slices, ``k`` superior, ``j`` posterior, ``i`` left.

    Parameters
    ----------
    anatomy
        The subject.
    spacing_mm
        Between slices, rows and columns.
    angles
        Tilt, obliquity and rotation of the pelvis in the scanner, degrees, with the signs of
        `rhoa.pose.Angles`.
    noise_hu
        Standard deviation of the noise.
    table
        Whether the patient lies on a table.
    surroundings
        What else the scan holds (contrast, ribs, an implant, a hip out of place) and how far it
        reaches.

    Raises
    ------
    ParameterError
        If a spacing is not positive or an angle not finite.

    Examples
    --------
    >>> from rhoa.phantom import Anatomy, ct
    >>> import rhoa
    >>> pelvis = ct(Anatomy.random(1), spacing_mm=(6, 6, 6), angles=(5, 0, 0))
    >>> round(rhoa.pose.from_landmarks(pelvis.landmarks).angles.tilt, 3)
    5.0
    """
    spacing = tuple(require_positive("spacing_mm", step) for step in spacing_mm)
    turn = _rotation(angles)  # AP to LPS
    random = np.random.default_rng([anatomy.seed, 77])
    origin = np.array(
        [random.uniform(-20, 20), random.uniform(-180, -120), random.uniform(-900, 0)]
    )
    grid, affine = _grid(np.array(spacing), turn, origin, surroundings)
    hu = soft_tissue(grid, anatomy, random, surroundings, table=table, down=turn[1])
    labels = add_bones(hu, grid, anatomy, float(np.mean(spacing)), surroundings)
    volume = Volume(_digitised(hu, noise_hu, random), affine)
    if surroundings.beyond == "padding":
        unseen = _beyond(volume, surroundings)
        volume.hu[unseen], labels[unseen] = PADDING_HU, 0

    def lps(place: Callable[[Anatomy, Side], NDArray[np.float64]], side: Side) -> Point:
        point: Point = turn @ (place(anatomy, side) + surroundings.displacement(side)) + origin
        return point

    landmarks = Landmarks(
        *(lps(bones.spine_tip, side) for side in SIDES),
        *(lps(bones.tubercle_tip, side) for side in SIDES),
    )
    centres = {side: lps(bones.centre_of_head, side) for side in SIDES}
    return Phantom(volume, landmarks, centres, anatomy, labels, surroundings)


def _digitised(
    hu: NDArray[np.float32], noise_hu: float, random: np.random.Generator
) -> NDArray[np.int16]:
    """Whole HU with noise, within what a 12-bit scanner stores."""
    values = np.empty(hu.shape, np.int16)
    for k, tissue in enumerate(hu):
        noise = noise_hu * random.standard_normal(tissue.shape, dtype=np.float32)
        values[k] = np.clip(np.rint(tissue + noise), -1024, 3071)
    return values


def _rotation(angles: tuple[float, float, float]) -> NDArray[np.float64]:
    """AP axes in LPS, one a column: rotation about z, then obliquity, then tilt (Baker 2001)."""
    if len(angles) != 3 or not np.isfinite(angles).all():
        raise ParameterError(
            f"angles must be (tilt, obliquity, rotation), finite, in degrees; got {angles!r}."
        )
    tilt, obliquity, rotation = np.radians(angles)
    about_x = _turn(1, 2, tilt)
    about_y = _turn(2, 0, -obliquity)
    about_z = _turn(0, 1, rotation)
    return about_z @ about_y @ about_x


def _turn(first: int, second: int, angle: float) -> NDArray[np.float64]:
    matrix = np.eye(3)
    matrix[first, first] = matrix[second, second] = np.cos(angle)
    matrix[second, first], matrix[first, second] = np.sin(angle), -np.sin(angle)
    return matrix


def _grid(
    spacing: NDArray[np.float64],
    turn: NDArray[np.float64],
    origin: NDArray[np.float64],
    surroundings: Surroundings,
) -> tuple[Grid, NDArray[np.float64]]:
    """The scanner's voxels: their AP positions, and their LPS affine."""
    low, high = surroundings.array_mm.T
    k, j, i = (int(count) for count in np.floor((high - low)[::-1] / spacing) + 1)
    first_lps = origin + low
    steps_lps = np.diag(spacing)[:, ::-1]  # rows: k up, j back, i left
    affine = np.eye(4)
    affine[:3, :3] = steps_lps.T
    affine[:3, 3] = first_lps
    return Grid((k, j, i), (first_lps - origin) @ turn, steps_lps @ turn), affine


def _beyond(volume: Volume, surroundings: Surroundings) -> NDArray[np.bool_]:
    """The voxels that the scan does not reach."""
    unseen = np.zeros(volume.shape, bool)
    ends = zip(surroundings.reach_mm[::-1], volume.spacing_mm, (2, 1, 0), strict=True)
    for axis, ((low, high), step, lps) in enumerate(ends):
        place = surroundings.array_mm[lps, 0] + step * np.arange(volume.shape[axis])
        lost = (place < low - 1e-6) | (place > high + 1e-6)
        unseen |= lost.reshape([-1 if other == axis else 1 for other in range(3)])
    return unseen
