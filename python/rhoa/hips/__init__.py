"""Hips: from a radiograph or an X-ray to a box around each hip, and to crops.

`HipDetector` and `train_detector` need the extra ``train``; they import torch when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rhoa.errors import require_extra
from rhoa.hips.annotations import LabelledImage, read_coco, read_matlab, write_coco
from rhoa.hips.bounding_boxes import Agreement, agreement, boxes, iou_matrix, model_crop
from rhoa.hips.crop_files import read_crop, write_crop
from rhoa.hips.detector_data import Example, as_examples, read_examples
from rhoa.hips.dicom_report import structured_report
from rhoa.hips.extraction import ExtractedHips, HipCrop, XrayHips, extract, extract_xray
from rhoa.hips.femoral_heads import Joint, joints, located
from rhoa.radiograph import Box, crop, squared
from rhoa.xray.margins import Content, blades, content
from rhoa.xray.preparation import halves, prepare
from rhoa.xray.reader import read_xray

if TYPE_CHECKING:
    from rhoa.hips.detector import HipDetector
    from rhoa.hips.detector_training import DetectorOptions, train_detector

__all__ = [
    "Agreement",
    "Box",
    "Content",
    "DetectorOptions",
    "Example",
    "ExtractedHips",
    "HipCrop",
    "HipDetector",
    "Joint",
    "LabelledImage",
    "XrayHips",
    "agreement",
    "as_examples",
    "blades",
    "boxes",
    "content",
    "crop",
    "extract",
    "extract_xray",
    "halves",
    "iou_matrix",
    "joints",
    "located",
    "model_crop",
    "prepare",
    "read_coco",
    "read_crop",
    "read_examples",
    "read_matlab",
    "read_xray",
    "squared",
    "structured_report",
    "train_detector",
    "write_coco",
    "write_crop",
]

_HEAVY = {
    "DetectorOptions": "detector_training",
    "HipDetector": "detector",
    "train_detector": "detector_training",
}


def __getattr__(name: str) -> object:
    """What needs torch, imported on first use."""
    if name not in _HEAVY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    for module in ("torch", "torchvision", "safetensors"):
        require_extra(module, extra="train", purpose=f"rhoa.hips.{name}")
    module = require_extra(f"{__name__}.{_HEAVY[name]}", extra="train", purpose=f"rhoa.hips.{name}")
    return getattr(module, name)
