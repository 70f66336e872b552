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

import timm  # noqa: F401  # here, and then in no child
import torch

from rhoa.learning import Execution, Recipe, train
from tests.learning.squares import QUICK, Squares, squares


def attempt(
    manifest: Squares, recipe: Recipe, out: Path, kill_after: int | None = None, share: float = 0
) -> list[int]:
    """The iterations that a child told.

    It is killed after so many, and a share of the time that the last one took.
    """
    reader, writer = os.pipe()
    told: list[int] = []

    def tell(done: int, *_: object) -> None:
        os.write(writer, bytes([done]))
        told.append(done)
        if kill_after is not None and len(told) > kill_after:
            signal.pause()

    child = os.fork()
    if child == 0:
        train(
            manifest,
            recipe,
            out,
            weights="none",
            seed=3,
            execution=Execution(checkpoint_minutes=5 if kill_after is None else 0),
            progress=tell,
        )
        os._exit(0)
    os.close(writer)
    took_s, before = 0.0, time.monotonic()
    while content := os.read(reader, 1):
        told += content
        took_s, before = time.monotonic() - before, time.monotonic()
        if len(told) == kill_after:
            time.sleep(share * took_s)
            os.kill(child, signal.SIGKILL)
    os.close(reader)
    _, status = os.waitpid(child, 0)
    if status != (0 if kill_after is None else signal.SIGKILL):
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
    # Two iterations an epoch: a child that is killed has come one or two further than the one
    # before it, however late the kill comes, for it waits before the third.
    epochs = kills + 2
    recipe = replace(QUICK, image_size=32, epochs=epochs, drop_period=epochs // 2, keep="best")
    attempt(manifest, recipe, folder / "whole")

    chance = random.Random(2020)  # noqa: S311  # when to kill
    began = []
    for _ in range(kills):  # in the writing of a checkpoint, or in the next iteration
        told = attempt(manifest, recipe, folder / "often", 2, chance.random())
        began.append(told[0])
    began.append(attempt(manifest, recipe, folder / "often")[0])
    runs = {name: left(folder / name) for name in ("whole", "often")}
    print(json.dumps({**runs, "began": began}))  # noqa: T201  # its result


if __name__ == "__main__":
    main()
