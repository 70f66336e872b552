"""Hips: from a radiograph or an X-ray to a box around each hip, and to crops."""

from rhoa.hips.agreement import Agreement, agreement, iou_matrix
from rhoa.hips.borders import Content, content
from rhoa.hips.boxes import Box, boxes, crop, squared
from rhoa.hips.coco import LabelledImage, read_coco, read_matlab, write_coco
from rhoa.hips.joints import Joint, joints, located
from rhoa.hips.preparation import halves, prepare
from rhoa.hips.xray import read_xray

__all__ = [
    "Agreement",
    "Box",
    "Content",
    "Joint",
    "LabelledImage",
    "agreement",
    "boxes",
    "content",
    "crop",
    "halves",
    "iou_matrix",
    "joints",
    "located",
    "prepare",
    "read_coco",
    "read_matlab",
    "read_xray",
    "squared",
    "write_coco",
]
