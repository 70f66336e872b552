"""Images of digital pelves with the box of each hip: labels that nobody had to draw."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from rhoa.errors import require_choice, require_count, require_positive
from rhoa.hips.boxes import boxes
from rhoa.hips.joints import joints
from rhoa.phantom.anatomy import Anatomy
from rhoa.phantom.pelvis import ct
from rhoa.phantom.xray import xray
from rhoa.pose import from_landmarks
from rhoa.projection import ctap

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rhoa.hips.boxes import Box
    from rhoa.pose.sides import Side
    from rhoa.radiograph import Radiograph

Kind = Literal["xray", "ctap"]
KINDS: tuple[Kind, ...] = ("xray", "ctap")
PIXEL_MM: dict[Kind, float] = {"xray": 0.8, "ctap": 2.0}
"""Coarse, so that an image is made in seconds; detectors see hips no finer."""


class PhantomLabel(NamedTuple):
    """An image of a digital pelvis and its hips."""

    radiograph: Radiograph
    boxes: Mapping[Side, Box]
    subject: str


def phantom_labels(
    count: int, *, seed: int = 0, kind: Kind = "xray", pixel_mm: float | None = None
) -> Iterator[PhantomLabel]:
    """Images of ``count`` digital subjects, each with the boxes of both hips.

    Boxes of X-rays are those that the phantom knows; boxes of CT-APs are found in the CT
    (`rhoa.hips.joints`), as those of a patient's would be: a CT labels its own CT-AP.

    Parameters
    ----------
    count
        Of subjects.
    seed
        Of the first; subject ``n`` is ``Anatomy.random(seed + n)``.
    kind
        ``"xray"`` or ``"ctap"``.
    pixel_mm
        Of the X-ray, or voxel size of the CT. Default: 0.8 and 2 mm.

    Raises
    ------
    ParameterError
        If an option is out of its range.

    Examples
    --------
    >>> (label,) = phantom_labels(1, kind="ctap", pixel_mm=4)
    >>> label.subject, sorted(label.boxes)
    ('phantom-0', ['left', 'right'])
    """
    require_count("count", count, least=0)
    require_count("seed", seed, least=0)
    require_choice("kind", kind, KINDS)
    size = PIXEL_MM[kind] if pixel_mm is None else require_positive("pixel_mm", pixel_mm)
    for number in range(seed, seed + count):
        anatomy = Anatomy.random(number)
        subject = f"phantom-{number}"
        if kind == "xray":
            made = xray(anatomy, pixel_mm=size, seed=number)
            yield PhantomLabel(made.radiograph, made.boxes, subject)
        else:
            yield _labelled_ctap(anatomy, size, subject)


def _labelled_ctap(anatomy: Anatomy, voxel_mm: float, subject: str) -> PhantomLabel:
    patient = ct(anatomy, spacing_mm=(voxel_mm, voxel_mm, voxel_mm))
    pose = from_landmarks(patient.landmarks)
    image = ctap(patient.volume, pose=pose)
    return PhantomLabel(image, boxes(image, joints=joints(patient.volume, pose)), subject)
