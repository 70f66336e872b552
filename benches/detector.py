"""Train the hip detector on digital pelves and measure it on others.

    python benches/detector.py --xrays 24 --cts 24 --epochs 12
    python benches/detector.py --backbone mobilenet_v3_large_fpn --epochs 10     # ten times quicker
    python benches/detector.py --backbone alexnet --out runs/detector    # also saves it

Needs ``pip install '.[train]'``. X-rays and CT-APs are those of `rhoa.phantom.phantom_labels`:
one subject in five is held out, with both images and both hips. Figures are of each half's boxes
at the network's size, and, for IoU clipped, of the surest box in the image's own pixels, clipped to
a square as it would be cropped.
"""

from __future__ import annotations

import argparse
import platform
import time
from typing import TYPE_CHECKING

import torch

from rhoa.cli.common import bar
from rhoa.hips import agreement
from rhoa.hips.detector import BACKBONES
from rhoa.hips.detector_data import as_examples
from rhoa.hips.detector_training import DetectorOptions, train_detector
from rhoa.phantom import phantom_labels
from rhoa.phantom.export import KINDS

if TYPE_CHECKING:
    from rhoa.hips.bounding_boxes import Agreement
    from rhoa.hips.detector import HipDetector
    from rhoa.phantom import PhantomLabel

HELD_OUT = 5
"""Every fifth subject."""


def measured(detector: HipDetector, labels: list[PhantomLabel]) -> tuple[Agreement, Agreement]:
    """Of all boxes of each half, and of the surest, clipped, in the image."""
    size = detector.architecture.image_size
    examples = [
        example
        for label in labels
        for example in as_examples(label.radiograph, label.boxes.values(), image_size=size)
    ]
    halves = agreement(
        [[example.box] for example in examples],
        [detector.candidates(example.pixels) for example in examples],
    )
    images = agreement(
        [list(label.boxes.values()) for label in labels],
        [list(detector.detect(label.radiograph).values()) for label in labels],
    )
    return halves, images


def main() -> None:
    """Make, train, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--xrays", type=int, default=24)
    parser.add_argument("--cts", type=int, default=24)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--backbone", choices=BACKBONES, default=BACKBONES[0])
    parser.add_argument("--image-size", type=int, help="default: what the backbone was made for")
    parser.add_argument("--learning-rate", type=float, default=DetectorOptions().learning_rate)
    parser.add_argument("--seed", type=int, default=2020)
    parser.add_argument("--out", help="folder to save the detector in")
    options = parser.parse_args()
    show = bar()

    begun = time.monotonic()
    counts = dict(zip(KINDS, (options.xrays, options.cts), strict=True))
    labels: dict[str, list[PhantomLabel]] = {}
    for kind in KINDS:
        labels[kind] = []
        for label in phantom_labels(counts[kind], kind=kind):
            labels[kind].append(label)
            show(len(labels[kind]), counts[kind], f"making {kind}s")
    print(f"{platform.machine()}, {torch.get_num_threads()} threads")
    print(f"phantoms: {counts} in {time.monotonic() - begun:.0f} s")

    settings = DetectorOptions(
        backbone=options.backbone,
        image_size=options.image_size,
        epochs=options.epochs,
        learning_rate=options.learning_rate,
        test_share=0.0,
    )
    begun = time.monotonic()
    examples = [
        example
        for some in labels.values()
        for number, label in enumerate(some)
        if number % HELD_OUT
        for example in as_examples(
            label.radiograph,
            label.boxes.values(),
            image_size=settings.side_px,
            group=label.subject,
        )
    ]
    detector = train_detector(examples, settings, seed=options.seed, progress=show)
    print(f"{options.backbone}: {len(examples)} halves in {time.monotonic() - begun:.0f} s")
    for kind, some in labels.items():
        held_out = some[::HELD_OUT]
        if held_out:
            halves, images = measured(detector, held_out)
            print(f"{kind}: {halves}")
            print(f"{kind}: IoU clipped {images.iou_mean:.3f} +- {images.iou_sd:.3f}")
    if options.out:
        print(f"wrote {detector.save(options.out)}")


if __name__ == "__main__":
    main()
