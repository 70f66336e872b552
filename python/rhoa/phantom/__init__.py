"""Digital pelves: imaginary subjects with graded hips, as CT and as X-ray, with known truth."""

from rhoa.phantom.anatomy import Anatomy, Joint
from rhoa.phantom.export import write_cohort, write_dicom, write_xray
from rhoa.phantom.labels import PhantomLabel, phantom_labels
from rhoa.phantom.pelvis import Phantom, ct
from rhoa.phantom.skeleton import LABELS
from rhoa.phantom.surroundings import ABDOMEN, Surroundings
from rhoa.phantom.xray import XRay, xray

__all__ = [
    "ABDOMEN",
    "LABELS",
    "Anatomy",
    "Joint",
    "Phantom",
    "PhantomLabel",
    "Surroundings",
    "XRay",
    "ct",
    "phantom_labels",
    "write_cohort",
    "write_dicom",
    "write_xray",
    "xray",
]
