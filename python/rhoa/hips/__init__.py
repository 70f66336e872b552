"""Hips: from a radiograph or an X-ray to a box around each hip, and to crops."""

from rhoa.hips.boxes import Box, boxes, crop
from rhoa.hips.joints import Joint, joints, located
from rhoa.hips.xray import read_xray

__all__ = ["Box", "Joint", "boxes", "crop", "joints", "located", "read_xray"]
