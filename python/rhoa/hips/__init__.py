"""Hips: from a radiograph or an X-ray to a box around each hip, and to crops."""

from rhoa.hips.borders import Content, content
from rhoa.hips.boxes import Box, boxes, crop
from rhoa.hips.joints import Joint, joints, located
from rhoa.hips.preparation import halves, prepare
from rhoa.hips.xray import read_xray

__all__ = [
    "Box",
    "Content",
    "Joint",
    "boxes",
    "content",
    "crop",
    "halves",
    "joints",
    "located",
    "prepare",
    "read_xray",
]
