"""Faster R-CNN for hips: three networks, small enough for halves of a pelvis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import nn
from torchvision.models import alexnet, mobilenet_v3_large, resnet50
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.faster_rcnn import TwoMLPHead
from torchvision.ops import MultiScaleRoIAlign

from rhoa.errors import ParameterError, require_choice, require_count

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Backbone = Literal["mobilenet_v3_large_fpn", "alexnet", "resnet50_fpn"]
BACKBONES: tuple[Backbone, ...] = ("mobilenet_v3_large_fpn", "alexnet", "resnet50_fpn")
WHITE = 255
SMALLEST_IMAGE = 64

# ImageNet's colours, which pretrained weights expect.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
LEAST_SCORE = 0.05
ALEXNET_CHANNELS, FPN_CHANNELS = 256, 64
MOBILENET_LAYERS = 13
"""Up to strides of 16: hips fill a third of a half, and no coarser level is of use."""
POOL = 7
HEAD_WIDTH = 256
REGIONS_TRAIN, REGIONS_TEST = 100, 50
SAMPLES_RPN, SAMPLES_HEAD = 64, 32


@dataclass(frozen=True, slots=True)
class Architecture:
    """What a detector's network is made of.

    Parameters
    ----------
    backbone
        ``"mobilenet_v3_large_fpn"``; ``"alexnet"``, the paper's; ``"resnet50_fpn"``.
    image_size
        Pixels of the shorter side of a half, as the network sees it.
    anchors_px
        Sides of the anchors, at that size.
    aspects
        Height over width of the anchors.
    """

    backbone: Backbone = "mobilenet_v3_large_fpn"
    image_size: int = 128
    anchors_px: tuple[int, ...] = (40, 56, 80)
    aspects: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        require_choice("backbone", self.backbone, BACKBONES)
        require_count("image_size", self.image_size, least=SMALLEST_IMAGE)
        for pixels in self.anchors_px:
            require_count("anchors_px", pixels)
        if not self.anchors_px or not self.aspects or min(self.aspects) <= 0:
            raise ParameterError("anchors need sizes and positive aspects; got none.")


def build_detector(architecture: Architecture, *, seed: int = 2020) -> FasterRCNN:
    """The network with random weights: nothing, and hip."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        body, channels, names = _backbone(architecture.backbone)
        levels = len(names) + (architecture.backbone != "alexnet")  # an FPN adds a pooled one
        anchors = AnchorGenerator(
            sizes=(architecture.anchors_px,) * levels,
            aspect_ratios=(architecture.aspects,) * levels,
        )
        return FasterRCNN(
            body,
            min_size=architecture.image_size,
            max_size=8 * architecture.image_size,
            image_mean=MEAN,
            image_std=STD,
            rpn_anchor_generator=anchors,
            rpn_pre_nms_top_n_train=4 * REGIONS_TRAIN,
            rpn_pre_nms_top_n_test=4 * REGIONS_TEST,
            rpn_post_nms_top_n_train=REGIONS_TRAIN,
            rpn_post_nms_top_n_test=REGIONS_TEST,
            rpn_batch_size_per_image=SAMPLES_RPN,
            box_roi_pool=MultiScaleRoIAlign(names, POOL, sampling_ratio=2),
            box_head=TwoMLPHead(channels * POOL**2, HEAD_WIDTH),
            box_predictor=_Predictor(HEAD_WIDTH),
            box_score_thresh=LEAST_SCORE,
            box_batch_size_per_image=SAMPLES_HEAD,
            box_detections_per_img=10,
        )


def as_input(pixels: NDArray[np.uint8]) -> torch.Tensor:
    """Grey levels as three equal colours in 0 to 1."""
    return (torch.from_numpy(pixels).float() / WHITE).expand(3, -1, -1)


class _Predictor(nn.Module):
    """Scores and boxes of regions: nothing, hip."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.cls_score = nn.Linear(width, 2)
        self.bbox_pred = nn.Linear(width, 8)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.cls_score(x), self.bbox_pred(x)


def _backbone(name: Backbone) -> tuple[nn.Module, int, list[str]]:
    """What reads the image, its channels, and the levels that regions are cut from."""
    if name == "alexnet":
        body = alexnet(weights=None).features[:-1]  # without the last pooling: strides of 16
        for layer in body:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
        body.out_channels = ALEXNET_CHANNELS
        return body, ALEXNET_CHANNELS, ["0"]
    if name == "resnet50_fpn":
        body = resnet50(weights=None)
        stages, channels = {"layer2": "0", "layer3": "1"}, [512, 1024]
    else:
        body = mobilenet_v3_large(weights=None).features[:MOBILENET_LAYERS]
        stages, channels = {"6": "0", "12": "1"}, [40, 112]
    return BackboneWithFPN(body, stages, channels, FPN_CHANNELS), FPN_CHANNELS, ["0", "1"]
