"""Time a training step beside the bare step and the usual PyTorch loop.

    python benches/training.py                      # 224 px, batch 32, on the CPU or GPU there is
    python benches/training.py --size 96 --rounds 9

Needs ``pip install '.[train]'``. Three loops train the same ResNet18 with Adam on the same
crops, in turns, a few steps each, in this process:

bare    forward, loss, backward and optimizer on tensors that are ready: the bound;
usual   ImageFolder, DataLoader (a worker for each processor), transforms.v2 with the same random
        rotation, shift and scale, resize and ImageNet normalisation, and the loss read every step;
rhoa    the step of `rhoa.train`: augmentation on the device, loss and accuracy read and written to
        the learning curves every step.

Prints images a second and the ratio of step times, of medians over all steps and of the fastest
steps; and, of bare and rhoa on a CPU, of the processor time of all threads: on a machine that
others use too, that says most. The usual loop's workers are other processes, so it has none.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import tempfile
import time
from dataclasses import replace
from itertools import chain, repeat
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.models import resnet18
from torchvision.transforms import v2

from rhoa.learning import recipes
from rhoa.learning.data import batches, read_crops
from rhoa.learning.network import UNGRADED, build_optimizer
from rhoa.learning.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from rhoa.learning.run_folder import Learner, Step, growing
from rhoa.learning.trainer import LabelledCrops, TrainingSetup, train_step
from rhoa.raster import encode_png
from rhoa.torch_runtime import Team, deterministic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rhoa.learning.recipe import Recipe

CROP_PIXELS = 100


class Crop:
    """What reading asks of a hip."""

    def __init__(self, image: Path) -> None:
        self.image = image


def write_crops(folder: Path, count: int, random: np.random.Generator) -> list[Crop]:
    """Noise, a folder a class, as ImageFolder wants it."""
    crops = []
    for number in range(count):
        path = folder / str(number % 2) / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(encode_png(random.integers(0, 256, (CROP_PIXELS,) * 2).astype(np.uint8)))
        crops.append(Crop(path))
    return crops


def network_on(place: torch.device) -> nn.Module:
    """The same for all."""
    torch.manual_seed(0)
    network: nn.Module = resnet18(weights=None, num_classes=2).to(place).train()
    return network.to(memory_format=torch.channels_last) if place.type == "cuda" else network


def bare(place: torch.device, recipe: Recipe) -> Callable[[], None]:
    """Inputs that are ready."""
    network = network_on(place)
    optimizer = torch.optim.Adam(network.parameters(), lr=recipe.learning_rate)
    shape = (recipe.batch, 3, recipe.image_size, recipe.image_size)
    inputs, labels = torch.randn(shape, device=place), torch.arange(recipe.batch, device=place) % 2
    if place.type == "cuda":
        inputs = inputs.contiguous(memory_format=torch.channels_last)

    def step() -> None:
        optimizer.zero_grad()
        functional.cross_entropy(network(inputs), labels).backward()
        optimizer.step()

    return step


def usual(
    place: torch.device, recipe: Recipe, folder: Path, workers: int
) -> tuple[Callable[[], None], Iterator[object]]:
    """Files decoded and changed one by one in worker processes, for each step anew."""
    change = recipe.augmentation
    share = change.translation_px / recipe.image_size
    transform = v2.Compose(
        [
            v2.Grayscale(num_output_channels=3),
            v2.Resize((recipe.image_size, recipe.image_size), antialias=True),
            v2.RandomAffine(
                degrees=change.rotation_deg,
                translate=(share, share),
                scale=change.scale,
                interpolation=v2.InterpolationMode.BILINEAR,
            ),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(IMAGENET_MEAN, IMAGENET_STD),
        ]
    )
    loader = DataLoader(
        ImageFolder(folder, transform),
        batch_size=recipe.batch,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        persistent_workers=workers > 0,
    )
    batch = chain.from_iterable(repeat(loader))
    network = network_on(place)
    optimizer = torch.optim.Adam(network.parameters(), lr=recipe.learning_rate)

    def step() -> None:
        images, labels = next(batch)
        optimizer.zero_grad()
        outputs = network(images.to(place))
        labels = labels.to(place)
        loss = functional.cross_entropy(outputs, labels)
        loss.backward()
        optimizer.step()
        loss.item()
        (outputs.argmax(dim=1) == labels).float().mean().item()

    return step, batch


def ours(
    place: torch.device, recipe: Recipe, crops: list[Crop], add: Callable[[Step], None]
) -> Callable[[], None]:
    """The step of `rhoa.train`, in its own settings."""
    network = network_on(place)
    images = read_crops(crops, image_size=recipe.image_size, xray_size=None).to(place)
    labels = torch.arange(len(crops), device=place) % 2
    ungraded = torch.full_like(labels, UNGRADED)  # by Crowe
    whole = LabelledCrops(images, labels, labels * 3, ungraded, range(len(crops)))
    scaler = torch.amp.GradScaler(place.type, enabled=False)
    setup = TrainingSetup(
        learner=Learner(network, build_optimizer(network, recipe), scaler),
        forward=network,
        recipe=recipe,
        train_set=whole,
        val_set=whole.between(0, 0),
        watched_set=whole.between(0, 0),
        val_sources=(),
        groups=(),
        seed=0,
        team=Team(),
        autocast=None,
        channels_last=place.type == "cuda",
    )

    def endless() -> Iterator[object]:
        epoch = 0
        while True:
            epoch += 1
            yield from batches(recipe, len(crops), seed=0, epoch=epoch)

    batch = endless()

    def step() -> None:
        add(Step(1, 1, recipe.learning_rate, *train_step(setup, next(batch))))

    return step


class Taken(NamedTuple):
    """What a step takes: seconds, and seconds of this process on all processors."""

    seconds: float
    processor: float


def timed(step: Callable[[], None], count: int, place: torch.device) -> list[Taken]:
    """What each step takes."""
    taken = []
    for _ in range(count):
        if place.type == "cuda":
            torch.cuda.synchronize()
        begun, worked = time.perf_counter(), time.process_time()
        step()
        if place.type == "cuda":
            torch.cuda.synchronize()
        taken.append(Taken(time.perf_counter() - begun, time.process_time() - worked))
    return taken


def main() -> None:
    """Take turns, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--crops", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=2, help="of each loop in a round")
    parser.add_argument("--workers", type=int, default=torch.get_num_threads())
    parser.add_argument("--threads", type=int, help="of torch; default: its own")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    place = torch.device(options.device)
    if options.threads:
        torch.set_num_threads(options.threads)
    recipe = replace(recipes["model-3"], image_size=options.size, batch=options.batch)

    with (
        tempfile.TemporaryDirectory() as name,
        tempfile.TemporaryDirectory() as out,
        deterministic(0, place),
        growing(Path(out), [], tensorboard=None) as add,
    ):
        crops = write_crops(Path(name), options.crops, np.random.default_rng(0))
        usual_step, loader = usual(place, recipe, Path(name), options.workers)
        loops = {
            "bare": bare(place, recipe),
            "usual": usual_step,
            "rhoa": ours(place, recipe, crops, add),
        }
        for step in loops.values():
            timed(step, 1, place)
        taken: dict[str, list[Taken]] = {name: [] for name in loops}
        for turn in range(options.rounds):
            names = list(loops)
            for which in names[turn % 3 :] + names[: turn % 3]:
                taken[which] += timed(loops[which], options.steps, place)
        del usual_step, loader

    print(f"{platform.machine()}, {place}, {torch.get_num_threads()} threads, torch", end=" ")
    print(f"{torch.__version__}; ResNet18, {options.size} px, batch {options.batch}")
    seconds = {name: [one.seconds for one in steps] for name, steps in taken.items()}
    worked = {name: [one.processor for one in steps] for name, steps in taken.items()}
    for name, values in seconds.items():
        middle = statistics.median(values)
        print(
            f"{name:6} {len(values):3} steps: fastest {min(values) * 1e3:7.0f} ms, median "
            f"{middle * 1e3:7.0f} ms, {options.batch / middle:7.1f} images/s"
        )
    for name in ("bare", "usual"):
        told = [ratio(kind, seconds["rhoa"], seconds[name]) for kind in (min, statistics.median)]
        print(f"time of a step, rhoa / {name}: fastest {told[0]}, median {told[1]}")
    told = [ratio(kind, worked["rhoa"], worked["bare"]) for kind in (min, statistics.median)]
    print(f"processor time of a step, rhoa / bare: least {told[0]}, median {told[1]}")


def ratio(kind: Callable[[list[float]], float], ours: list[float], theirs: list[float]) -> str:
    """Of the least or the middle ones."""
    return f"{kind(ours) / kind(theirs):.3f}"


if __name__ == "__main__":
    main()
