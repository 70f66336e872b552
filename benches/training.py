"""Time a training step beside the bare step and the usual PyTorch loop.

    python benches/training.py                      # 224 px, batch 32, on the CPU or GPU there is
    python benches/training.py --device cuda --rounds 30 --steps 20
    python benches/training.py --size 32 --batch 4 --crops 8 --rounds 1 --steps 1   # does it run?

Needs ``pip install '.[train]'``. Three loops train the same ResNet18 with Adam on the same
crops, in turns, a few steps each, in this process:

bare    forward, loss, backward and optimizer on tensors that are ready: the bound;
usual   ImageFolder, DataLoader (a worker for each processor), transforms.v2 with the same random
        rotation, shift and scale, resize and ImageNet normalisation, and the loss read every step;
rhoa    the step of `rhoa.train`: augmentation on the device; loss and accuracy are read and written
        to the learning curves after the steps of a round, as `rhoa.train` does at validations.

All compute in the precision that `rhoa.train` takes by itself: bfloat16 on GPUs that have it, else
float16 without scaled losses, float32 on a CPU (``--precision``), in channels-last on GPUs.

Prints a Markdown table: under the device, its driver and the versions, of each loop images a second
(the median round) and the ratios of rhoa's time to it, of medians and of fastest rounds; and, on a
CPU, of the processor time of all threads: on a machine that others use too, that says most. The
usual loop's workers are other processes, so it has none. A GPU is waited for once a round.
"""

from __future__ import annotations

import argparse
import platform
import shutil
import statistics
import subprocess
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
from rhoa.torch_runtime import Team, choose_device, deterministic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rhoa.learning.recipe import Recipe

CROP_PIXELS = 100


class Crop:
    """What reading asks of a hip."""

    def __init__(self, image: Path) -> None:
        self.crop, self.side = image, "left"


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


PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}


def precision_of(place: torch.device) -> str:
    """What `rhoa.train` takes by itself."""
    if place.type != "cuda":
        return "float32"
    return "bfloat16" if torch.cuda.is_bf16_supported() else "float16"


def bare(place: torch.device, recipe: Recipe, kind: torch.dtype | None) -> Callable[[], None]:
    """Inputs that are ready."""
    network = network_on(place)
    optimizer = torch.optim.Adam(network.parameters(), lr=recipe.learning_rate)
    shape = (recipe.batch, 3, recipe.image_size, recipe.image_size)
    inputs, labels = torch.randn(shape, device=place), torch.arange(recipe.batch, device=place) % 2
    if place.type == "cuda":
        inputs = inputs.contiguous(memory_format=torch.channels_last)

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast(place.type, dtype=kind, enabled=kind is not None):
            outputs = network(inputs)
        functional.cross_entropy(outputs.float(), labels).backward()
        optimizer.step()

    return step


def usual(
    place: torch.device, recipe: Recipe, folder: Path, workers: int, kind: torch.dtype | None
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
        pin_memory=place.type == "cuda",
    )
    batch = chain.from_iterable(repeat(loader))
    network = network_on(place)
    optimizer = torch.optim.Adam(network.parameters(), lr=recipe.learning_rate)

    def step() -> None:
        images, labels = next(batch)
        optimizer.zero_grad()
        images = images.to(place, non_blocking=True)
        if place.type == "cuda":
            images = images.contiguous(memory_format=torch.channels_last)
        labels = labels.to(place, non_blocking=True)
        with torch.autocast(place.type, dtype=kind, enabled=kind is not None):
            outputs = network(images)
        loss = functional.cross_entropy(outputs.float(), labels)
        loss.backward()
        optimizer.step()
        loss.item()
        (outputs.argmax(dim=1) == labels).float().mean().item()

    return step, batch


def ours(
    place: torch.device,
    recipe: Recipe,
    crops: list[Crop],
    kind: torch.dtype | None,
    add: Callable[[Step], None],
) -> tuple[Callable[[], None], Callable[[], None]]:
    """The step of `rhoa.train`, in its own settings; and what reads and writes its figures."""
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
        autocast=kind,
        channels_last=place.type == "cuda",
    )

    def endless() -> Iterator[object]:
        epoch = 0
        while True:
            epoch += 1
            yield from batches(recipe, len(crops), seed=0, epoch=epoch)

    batch = endless()

    unread: list[torch.Tensor] = []

    def step() -> None:
        unread.append(train_step(setup, next(batch)))

    def read() -> None:
        for figures in torch.stack(unread).tolist():
            add(Step(1, 1, recipe.learning_rate, *figures))
        unread.clear()

    return step, read


class Taken(NamedTuple):
    """What a step of a round takes: seconds, and seconds of this process on all processors."""

    seconds: float
    processor: float


def timed(
    step: Callable[[], None], read: Callable[[], None], count: int, place: torch.device
) -> Taken:
    """What a step takes, of so many without a wait."""
    if place.type == "cuda":
        torch.cuda.synchronize()
    begun, worked = time.perf_counter(), time.process_time()
    for _ in range(count):
        step()
    read()
    if place.type == "cuda":
        torch.cuda.synchronize()
    return Taken((time.perf_counter() - begun) / count, (time.process_time() - worked) / count)


def machine(place: torch.device) -> str:
    """The device by name, its driver, versions."""
    said = [f"torch {torch.__version__}", platform.platform(terse=True)]
    if place.type == "cuda":
        said.insert(0, torch.cuda.get_device_name(place))
        said.insert(1, f"driver {driver()}, CUDA {torch.version.cuda}")
    else:
        said.insert(0, f"{place}, {platform.machine()}, {torch.get_num_threads()} threads")
    return "; ".join(said)


def driver() -> str:
    """The version of NVIDIA's driver, as its own program says it."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return "unknown (no nvidia-smi)"
    asked = [program, "--query-gpu=driver_version", "--format=csv,noheader"]
    said = subprocess.run(asked, capture_output=True, text=True, check=False)  # noqa: S603  # fixed words
    return said.stdout.partition("\n")[0].strip() or "unknown"


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
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    parser.add_argument("--precision", choices=PRECISIONS, help="default: that of rhoa.train")
    options = parser.parse_args()
    place = choose_device(options.device)
    precision = options.precision or precision_of(place)
    kind = PRECISIONS[precision]
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
        usual_step, loader = usual(place, recipe, Path(name), options.workers, kind)

        def nothing() -> None:
            """Their figures are read already, or never."""

        loops = {
            "bare": (bare(place, recipe, kind), nothing),
            "usual": (usual_step, nothing),
            "rhoa": ours(place, recipe, crops, kind, add),
        }
        for loop in loops.values():
            timed(*loop, 1, place)
        taken: dict[str, list[Taken]] = {name: [] for name in loops}
        for turn in range(options.rounds):
            names = list(loops)
            for which in names[turn % 3 :] + names[: turn % 3]:
                taken[which].append(timed(*loops[which], options.steps, place))
        del usual_step, loader, loops

    print(
        f"{machine(place)}; ResNet18, {options.size} px, batch {options.batch}, {precision}; "
        f"{options.rounds} rounds of {options.steps} steps\n"
    )
    print("| Loop | Images a second | Time of rhoa's step / its | Fastest / fastest | Processor |")
    print("|---|---:|---:|---:|---:|")
    seconds = {name: [one.seconds for one in rounds] for name, rounds in taken.items()}
    worked = {name: [one.processor for one in rounds] for name, rounds in taken.items()}
    for name, values in seconds.items():
        cells = [f"{options.batch / statistics.median(values):.1f}"]
        cells += [ratio(of, seconds["rhoa"], values) for of in (statistics.median, min)]
        known = place.type == "cpu" and name != "usual"
        cells.append(ratio(statistics.median, worked["rhoa"], worked[name]) if known else "-")
        print(f"| {name} | {' | '.join(cells)} |")


def ratio(kind: Callable[[list[float]], float], ours: list[float], theirs: list[float]) -> str:
    """Of the least or the middle ones; 1 for rhoa itself."""
    return f"{kind(ours) / kind(theirs):.3f}"


if __name__ == "__main__":
    main()
