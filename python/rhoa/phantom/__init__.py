"""Digital pelves: imaginary subjects with graded hips, as CT and as X-ray, with known truth."""

from rhoa.phantom.anatomy import ABDOMEN, Anatomy, JointDisease, Surroundings
from rhoa.phantom.export import PhantomLabel, phantom_labels, write_cohort, write_dicom, write_xray
from rhoa.phantom.radiography import XRay, xray
from rhoa.phantom.voxelize import LABELS, Phantom, ct, with_things

__all__ = [
    "ABDOMEN",
    "LABELS",
    "Anatomy",
    "JointDisease",
    "Phantom",
    "PhantomLabel",
    "Surroundings",
    "XRay",
    "ct",
    "phantom_labels",
    "with_things",
    "write_cohort",
    "write_dicom",
    "write_xray",
    "xray",
]
