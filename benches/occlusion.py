"""Occlusion maps of a ResNet18: captum's `Occlusion` as it comes, and rhoa, side by side.

    python benches/occlusion.py                        # 224 pixels, squares of 32, steps of 8
    python benches/occlusion.py --threads 1 --squares 5

Needs ``pip install '.[train]' captum``. Both score the same images with the same network and
threads. With ``--squares N`` the step is as large as N squares a side allow, where the whole map
would take too long. Times are of the wall clock and of the processor: on a machine that does other
work the latter is more informative.
"""

from __future__ import annotations

import argparse
import platform
import time
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import torch
from captum.attr import Occlusion

import rhoa
from rhoa.learning import Model
from rhoa.learning.data import as_input
from rhoa.learning.network import build_network
from rhoa.learning.preprocessing import WHITE

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Map = Callable[[], NDArray[np.float32]]


def a_network(size: int) -> torch.nn.Module:
    """A ResNet18 of random weights whose batch normalisation has seen images."""
    network = build_network("none", seed=1).train()
    with torch.no_grad():
        network(torch.rand(4, 3, size, size))
    return network.eval()


def an_image(size: int) -> NDArray[np.float32]:
    """Grey levels of a mean that is a whole level, as `predict_proba` rounds to."""
    half = np.random.default_rng(0).integers(0, 241, (size, size // 2)).astype(np.float32)
    return np.hstack([half, 240 - half])


def timed(draw: Map) -> tuple[NDArray[np.float32], float, float]:
    """The map, and the seconds it took on the wall and of the processor."""
    wall, processor = time.perf_counter(), time.process_time()
    drawn = draw()
    return drawn, time.perf_counter() - wall, time.process_time() - processor


def main() -> None:
    """Draw both maps and print times, ratios and the largest difference."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--patch", type=int, default=32)
    parser.add_argument("--stride", type=int, default=8)
    parser.add_argument("--squares", type=int, help="a side, instead of a stride")
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    size, patch = options.size, options.patch
    stride = (size - patch) // (options.squares - 1) if options.squares else options.stride
    network, image = a_network(size), an_image(size)
    card = MappingProxyType({"image_size": size, "xray_size": None})
    model = Model(network, card, torch.device("cpu"))

    def scores(levels: torch.Tensor) -> torch.Tensor:
        return network(as_input(levels[:, 0] / WHITE)).softmax(dim=1)

    def peer() -> NDArray[np.float32]:
        attribution = Occlusion(scores).attribute(
            torch.from_numpy(image)[None, None],
            sliding_window_shapes=(1, patch, patch),
            strides=(1, stride, stride),
            baselines=float(image.mean()),
            target=1,
        )
        drawn: NDArray[np.float32] = attribution[0, 0].numpy()
        return drawn

    def ours() -> NDArray[np.float32]:
        return rhoa.occlusion(model, image, patch=patch, stride=stride, target=1)

    steps = -(-(size - patch) // stride) + 1
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(f"{size} pixels, squares of {patch}, steps of {stride}: {steps**2} squares")
    results = {"captum": timed(peer), "rhoa": timed(ours)}
    for name, (_, wall, processor) in results.items():
        print(f"{name:8} {wall:8.1f} s   processor {processor:8.1f} s")
    (theirs, *slow), (mine, *fast) = results["captum"], results["rhoa"]
    ratios = [f"{one / other:.1f}" for one, other in zip(slow, fast, strict=True)]
    print(f"times as fast: {ratios[0]} (processor: {ratios[1]})")
    print(f"largest difference: {np.abs(theirs - mine).max():.1e} of {np.abs(theirs).max():.1e}")


if __name__ == "__main__":
    main()
