"""Hips: from a radiograph or an X-ray to a box around each hip, and to crops."""

from rhoa.hips.boxes import Box, boxes, crop
from rhoa.hips.xray import read_xray

__all__ = ["Box", "boxes", "crop", "read_xray"]
