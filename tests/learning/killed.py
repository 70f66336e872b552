"""Train a model once, and once more in children that are killed again and again.

    python killed.py FOLDER KILLS

prints JSON: for the runs "whole" and "often" the sha256 of the weights and the files of the folder,
and the iterations with which the children began. torch is imported once, on one thread, so that
children can be forked.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch

from rhoa.learning import Execution, train
from tests.learning.squares import QUICK, Squares, squares

# 32 iterations: a child that is killed has come one to three further than the one before it.
RECIPE = replace(QUICK, image_size=32, epochs=16, drop_period=8, keep="best")
LONGEST_S = 0.3


def attempt(manifest: Squares, out: Path, kill_after_s: float | None) -> list[int]:
    """The iterations that a child told; it is killed so long after the first one."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        train(
            manifest,
            RECIPE,
            out,
            weights="none",
            seed=3,
            execution=Execution(checkpoint_minutes=5 if kill_after_s is None else 0),
            progress=lambda done, *_: os.write(writer, bytes([done])) and None,
        )
        os._exit(0)
    os.close(writer)
    told = [*os.read(reader, 1)]
    if kill_after_s is not None:
        time.sleep(kill_after_s)
        os.kill(child, signal.SIGKILL)
    while content := os.read(reader, 64):
        told += content
    os.close(reader)
    _, status = os.waitpid(child, 0)
    if status != (0 if kill_after_s is None else signal.SIGKILL):
        raise SystemExit(f"a child ended with status {status}")
    return told


def left(out: Path) -> dict[str, object]:
    """What a run left."""
    weights = (out / "model.safetensors").read_bytes()
    return {
        "sha256": hashlib.sha256(weights).hexdigest(),
        "files": sorted(str(path.relative_to(out)) for path in out.rglob("*")),
    }


def main() -> None:
    """Train, kill, go on, finish, tell."""
    torch.set_num_threads(1)
    folder, kills = Path(sys.argv[1]), int(sys.argv[2])
    (folder / "crops").mkdir(parents=True)
    manifest = squares(folder / "crops", size=32)
    attempt(manifest, folder / "whole", None)

    chance = random.Random(2020)  # noqa: S311  # when to kill
    # Each dies in the writing of a checkpoint, in the next iteration, or in the one after it.
    delays = [*(chance.uniform(0, LONGEST_S) for _ in range(kills)), None]
    began = [attempt(manifest, folder / "often", delay)[0] for delay in delays]
    runs = {name: left(folder / name) for name in ("whole", "often")}
    print(json.dumps({**runs, "began": began}))  # noqa: T201  # its result


if __name__ == "__main__":
    main()
