"""What grading a patient takes beyond reading, stage by stage, on a digital pelvis as DICOM.

    python benches/prediction.py [--model RUN] [--patients 3] [--spacing 2.0 1.5 1.5]

Without a run folder the network has random weights: its answers mean nothing, and take as long.
The goal is at most 2 s a patient on the CPU beyond reading. Seconds are of the wall clock, with the
processor time of all threads beside them: on a busy machine the former tell little.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import rhoa
from rhoa.hips import model_crop
from rhoa.learning import export_onnx, load_model
from rhoa.learning.network import build_network
from rhoa.learning.torch_model import save_model
from rhoa.phantom import Anatomy, ct, write_dicom

if TYPE_CHECKING:
    from collections.abc import Callable

GOAL_S = 2.0


class Stages:
    """Wall and processor seconds of each stage, one of each a patient."""

    def __init__(self) -> None:
        self.wall: dict[str, list[float]] = {}
        self.cpu: dict[str, list[float]] = {}

    def __call__(self, name: str, work: Callable[[], Any]) -> Any:  # noqa: ANN401  # what the work gives
        """What ``work`` gives; its time is kept."""
        wall, cpu = time.perf_counter(), time.process_time()
        result = work()
        self.cpu.setdefault(name, []).append(time.process_time() - cpu)
        self.wall.setdefault(name, []).append(time.perf_counter() - wall)
        return result


def grade(folder: Path, graders: dict[str, Any], stages: Stages) -> None:
    """One patient, as `rhoa predict` does it."""
    volume = stages("read", lambda: rhoa.read_ct(folder))
    alignment = stages("pose", lambda: rhoa.pose.from_volume(volume))
    joints = stages("joints", lambda: rhoa.hips.joints(volume, alignment))
    located = rhoa.hips.located(alignment, joints)
    stages("coverage", lambda: rhoa.pose.coverage(volume, located))
    image = stages("CT-AP", lambda: rhoa.ctap(volume, pose=located))
    boxes = rhoa.hips.boxes(image, joints=joints)
    crops = stages("crops", lambda: [model_crop(image, b, source="ct") for b in boxes.values()])
    for name, grader in graders.items():
        stages(f"network, {name}", lambda g=grader: g.predict_proba(crops))


def untrained(folder: Path) -> Path:
    """A run folder of random weights at the paper's size, exported."""
    folder.mkdir()
    save_model(build_network(), folder, recipe=rhoa.recipes["model-3"], seed=0, notes={})
    return export_onnx(folder)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", type=Path, help="run folder (default: random weights)")
    parser.add_argument("--patients", type=int, default=3)
    parser.add_argument("--spacing", type=float, nargs=3, default=(2.0, 1.5, 1.5))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = options.model or untrained(folder / "run")
        graders = {"ONNX Runtime": load_model(model, runtime="onnx")}
        graders["torch"] = load_model(model, runtime="torch", device="cpu")
        stages = Stages()
        for number in range(options.patients + 1):
            case = ct(Anatomy.random(number + 6), spacing_mm=tuple(options.spacing))
            place = folder / f"patient-{number}"
            write_dicom(case.volume, place)
            grade(place, graders, Stages() if number == 0 else stages)  # the first one warms up
        report(stages, case.volume.shape)


def report(stages: Stages, shape: tuple[int, ...]) -> None:
    """Medians, and what they sum to."""
    threads = os.environ.get("RHOA_NUM_THREADS", os.cpu_count())
    load = f"{os.getloadavg()[0]:.1f}"
    print(f"{platform.machine()}, {threads} threads, load {load}; last CT {shape}")
    print(f"{'stage':24}{'wall s':>9}{'CPU s':>9}")
    total_wall = total_cpu = 0.0
    for name, walls in stages.wall.items():
        wall, cpu = median(walls), median(stages.cpu[name])
        print(f"{name:24}{wall:9.3f}{cpu:9.3f}")
        if name not in {"read", "network, torch"}:
            total_wall, total_cpu = total_wall + wall, total_cpu + cpu
    verdict = "met" if total_wall <= GOAL_S else "missed"
    print(f"{'beyond reading, by ONNX':24}{total_wall:9.3f}{total_cpu:9.3f}")
    print(f"at most {GOAL_S:g} s a patient: {verdict}")


if __name__ == "__main__":
    main()
