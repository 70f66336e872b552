"""rhoa: radiograph-like images from abdominopelvic CT, and honest hip osteoarthritis models.

Research use only: not a medical device.
"""

from rhoa.errors import RhoaError, RhoaWarning
from rhoa.pose import Alignment, Landmarks
from rhoa.projection import coronal, ctap, cumulative, thin_slab
from rhoa.radiograph import Radiograph
from rhoa.volume import Volume

__all__ = [
    "Alignment",
    "Landmarks",
    "Radiograph",
    "RhoaError",
    "RhoaWarning",
    "Volume",
    "coronal",
    "ctap",
    "cumulative",
    "thin_slab",
]
