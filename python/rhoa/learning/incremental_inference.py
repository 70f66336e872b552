"""Outputs of a network for images that differ from a known one in a small part.

A convolution sees a few pixels around each of its own, so in the first layers a change of the image
stays a change of a small window. Only windows are computed; outside them the maps are the known
image's. The arithmetic is that of the network: nothing is approximated.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torchvision.models.resnet import BasicBlock, ResNet

from rhoa.learning.data import as_input
from rhoa.learning.preprocessing import WHITE
from rhoa.learning.torch_model import Model, as_probabilities
from rhoa.torch_runtime import sent, whole_float32

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    Corners = Sequence[tuple[int, int]]  # row and column of the first pixel, one an image
    Size = tuple[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Maps:
    """Maps of n images: ``values`` ``(n, channels, *size)`` in windows, ``known`` outside them.

    ``known`` is the known image's ``(1, channels, rows, columns)``.
    """

    known: Tensor
    values: Tensor
    corners: Corners

    @property
    def size(self) -> Size:
        """Rows and columns of a window."""
        return _shape(self.values)

    @property
    def whole(self) -> bool:
        """Whether the windows are the maps."""
        return self.size == _shape(self.known)


@dataclass(frozen=True, slots=True)
class ReceptiveField:
    """Which pixels of its input a pixel of a layer's output sees, along either axis."""

    kernel: int
    stride: int
    padding: int

    def changed(self, starts: Sequence[int], size: int, length: int) -> tuple[list[int], int]:
        """Outputs, of ``length``, that see inputs in windows of ``size``: starts, common size."""
        reach = self.padding - self.kernel + 1
        first = [max(0, -(-(start + reach) // self.stride)) for start in starts]
        last = [
            min(length - 1, (start + size - 1 + self.padding) // self.stride) for start in starts
        ]
        common = max(end - start for start, end in zip(first, last, strict=True)) + 1
        return [min(start, length - common) for start in first], common


SAME = ReceptiveField(kernel=1, stride=1, padding=0)
POOL = ReceptiveField(kernel=3, stride=2, padding=1)


@dataclass(frozen=True, slots=True, eq=False)
class VariantsModel(Model):
    """A model, of an `Incremental` network, of variants of the first crop that it grades."""

    def compute(self, levels: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Probabilities of grey levels, see `SingleModel.compute`."""
        with whole_float32():
            return as_probabilities(self.network(sent(torch.from_numpy(levels), self.device)))


class Incremental(nn.Module):
    """A ResNet of basic blocks, in evaluation mode, that knows the first crop it is given.

    Parameters
    ----------
    network
        torchvision's ResNet18 or ResNet34. It stays as it is: batch normalisation is folded into
        copies of its convolutions.

    References
    ----------
    Nakandala, Kumar and Papakonstantinou 2019, Incremental and approximate inference for faster
    occlusion-based deep CNN explanations, SIGMOD: 1589-1606.

    Examples
    --------
    >>> import torch
    >>> from rhoa.learning.incremental_inference import Incremental
    >>> from rhoa.learning.network import build_network
    >>> from rhoa.learning.torch_model import forward
    >>> network, crop = build_network(), torch.zeros(1, 64, 64, dtype=torch.uint8)
    >>> changed = crop.clone()
    >>> changed[:, 8:16, 8:16] = 255
    >>> incremental = Incremental(network)
    >>> outputs = incremental(crop), incremental(changed)
    >>> torch.allclose(outputs[1], forward(network, changed, crop.device), atol=1e-5)
    True
    """

    def __init__(self, network: ResNet) -> None:
        super().__init__()
        self.network = network
        self.known: _Known | None = None
        self.train(mode=False)  # callers put back the mode they find, in the network too

    @torch.inference_mode()  # maps are filled in place
    def forward(self, crops: Tensor) -> Tensor:
        """Outputs ``(n, classes)`` of uint8 ``crops`` ``(n, rows, columns)``, without gradients."""
        if self.known is None:
            self.known = _Known(self.network, crops[:1])
        maps = self.known.stem(self.known.differing(crops))
        maps.values.relu_()
        corners, size = _changed(maps, POOL, self.known.pooled)
        seen = _seen(maps, POOL, corners, size)  # no value is below the zeros around them
        pooled = functional.max_pool2d(seen, POOL.kernel, POOL.stride)
        maps = Maps(self.known.pooled, pooled, corners)
        for block in self.known.blocks:
            maps = block(maps)
        whole = _unchanged(maps, [(0, 0)] * len(crops), _shape(maps.known))
        outputs: Tensor = self.network.fc(whole.mean(dim=(2, 3)))
        return outputs


class _Known:
    """All maps of the known crop, and the layers that make them."""

    def __init__(self, network: ResNet, crop: Tensor) -> None:
        self.crop = crop
        self.network, self.image = network, _as_input(network, crop)
        self.stem = _Convolution(network.conv1, network.bn1, self.image)
        self.stem.known.relu_()
        maps = functional.max_pool2d(self.stem.known, POOL.kernel, POOL.stride, POOL.padding)
        self.pooled = maps
        self.blocks: list[_Block] = []
        for block in itertools.chain(*_stages(network)):
            self.blocks.append(_Block(block, maps))
            maps = self.blocks[-1].known

    def differing(self, crops: Tensor) -> Maps:
        """Windows of one size that hold all in which each crop differs from the known one."""
        differs = crops != self.crop
        spans = [_spans(differs.any(dim=axis).cpu()) for axis in (2, 1)]
        size = tuple(max(stop - start for start, stop in span) for span in spans)
        corners = [
            (min(top, crops.shape[1] - size[0]), min(left, crops.shape[2] - size[1]))
            for (top, _), (left, _) in zip(*spans, strict=True)
        ]
        windows = [
            crop[top : top + size[0], left : left + size[1]]
            for crop, (top, left) in zip(crops, corners, strict=True)
        ]
        return Maps(self.image, _as_input(self.network, torch.stack(windows)), corners)


def _as_input(network: ResNet, crops: Tensor) -> Tensor:
    inputs = as_input(crops.float() / WHITE)
    if hasattr(network, "normalisation"):
        inputs = network.get_submodule("normalisation")(inputs)
    return inputs.contiguous(memory_format=torch.channels_last)


def can_be_incremental(network: nn.Module) -> bool:
    """Whether `Incremental` knows all layers of ``network``."""
    return isinstance(network, ResNet) and all(
        type(block) is BasicBlock for block in itertools.chain(*_stages(network))
    )


def _stages(network: ResNet) -> tuple[nn.Sequential, ...]:
    return network.layer1, network.layer2, network.layer3, network.layer4


class _Convolution:
    """A convolution and the batch normalisation after it, as one, and its known output."""

    def __init__(self, layer: nn.Conv2d, norm: nn.BatchNorm2d, known_input: Tensor) -> None:
        mean, variance = norm.get_buffer("running_mean"), norm.get_buffer("running_var")
        weight, self.bias = fuse_conv_bn_weights(
            layer.weight, layer.bias, mean, variance, norm.eps, norm.weight, norm.bias
        )
        self.weight = weight.contiguous(memory_format=torch.channels_last)
        self.field = ReceptiveField(layer.kernel_size[0], layer.stride[0], int(layer.padding[0]))
        self.known = functional.conv2d(
            known_input, self.weight, self.bias, self.field.stride, self.field.padding
        )

    def __call__(self, maps: Maps) -> Maps:
        corners, size = _changed(maps, self.field, self.known)
        return Maps(self.known, self.at(maps, corners, size), corners)

    def at(self, maps: Maps, corners: Corners, size: Size) -> Tensor:
        """Outputs in windows of ``size`` at ``corners``."""
        field = self.field
        # Of whole maps the zeros around need not be written.
        seen, around = (
            (maps.values, field.padding) if maps.whole else (_seen(maps, field, corners, size), 0)
        )
        return functional.conv2d(seen, self.weight, self.bias, field.stride, around)


class _Block:
    """A residual block and its known output."""

    def __init__(self, block: BasicBlock, known_input: Tensor) -> None:
        self.first = _Convolution(block.conv1, block.bn1, known_input)
        self.first.known.relu_()
        self.second = _Convolution(block.conv2, block.bn2, self.first.known)
        self.shortcut = None
        added = known_input
        if block.downsample is not None:
            self.shortcut = _Convolution(block.downsample[0], block.downsample[1], known_input)
            added = self.shortcut.known
        self.known = (self.second.known + added).relu_()

    def __call__(self, maps: Maps) -> Maps:
        inner = self.first(maps)
        inner.values.relu_()
        outer = self.second(inner)
        at = self.shortcut.at if self.shortcut is not None else _unchanged
        values = outer.values.add_(at(maps, outer.corners, outer.size)).relu_()
        return Maps(self.known, values, outer.corners)


def _unchanged(maps: Maps, corners: Corners, size: Size) -> Tensor:
    return maps.values if maps.whole else _seen(maps, SAME, corners, size)


def _spans(differs: Tensor) -> list[tuple[int, int]]:
    """First and one past the last true value of each row; one pixel where there is none."""
    lines = differs.int()
    first = lines.argmax(dim=1)
    last = lines.shape[1] - lines.flip(1).argmax(dim=1)
    found = lines.any(dim=1)
    starts = torch.where(found, first, 0).tolist()
    stops = torch.where(found, last, 1).tolist()
    return list(zip(starts, stops, strict=True))


def _changed(maps: Maps, field: ReceptiveField, output: Tensor) -> tuple[Corners, Size]:
    """Corners and size of the windows of ``output`` that see the windows of ``maps``."""
    axes = [
        field.changed([corner[axis] for corner in maps.corners], maps.size[axis], length)
        for axis, length in enumerate(_shape(output))
    ]
    (tops, rows), (lefts, columns) = axes
    return list(zip(tops, lefts, strict=True)), (rows, columns)


def _seen(maps: Maps, field: ReceptiveField, corners: Corners, size: Size) -> Tensor:
    """What outputs in windows of ``size`` at ``corners`` see, with zeros around the maps."""
    pad = field.padding
    known = functional.pad(maps.known, (pad, pad, pad, pad))[0]
    rows, columns = ((length - 1) * field.stride + field.kernel for length in size)
    seen = torch.empty(
        (len(corners), known.shape[0], rows, columns),
        dtype=known.dtype,
        device=known.device,
        memory_format=torch.channels_last,
    )
    for image, window, inner, corner in zip(seen, maps.values, maps.corners, corners, strict=True):
        top, left = (place * field.stride for place in corner)
        image.copy_(known[:, top : top + rows, left : left + columns])
        # The window, as far as it lies inside the image.
        down, right = inner[0] + pad - top, inner[1] + pad - left
        rows_in = slice(max(0, down), down + window.shape[1])
        columns_in = slice(max(0, right), right + window.shape[2])
        target = image[:, rows_in, columns_in]
        skip = max(0, -down), max(0, -right)
        target.copy_(
            window[:, skip[0] : skip[0] + target.shape[1], skip[1] : skip[1] + target.shape[2]]
        )
    return seen


def _shape(maps: Tensor) -> Size:
    return maps.shape[2], maps.shape[3]
