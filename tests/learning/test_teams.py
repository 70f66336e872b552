"""Two processes train the model that one would train with the whole of every batch."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import rhoa
from rhoa import RhoaError
from rhoa.learning import recipes
from tests.learning.squares import Squares, squares

if TYPE_CHECKING:
    from torch import Tensor

pytestmark = pytest.mark.torch

SETTINGS = {
    "batch": 5,  # parts of 3 and 2
    "image_size": 32,
    "epochs": 3,
    "drop_period": 2,
    "learning_rate": 1e-5,  # small, or Adam makes steps of rounding errors
    "validation_every": 1,
}
COLUMNS = ("image", "subject", "side", "source", "kl", "visit", "label", "partition")


def write_manifest(cohort: Squares, path: Path) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows([getattr(hip, name) for name in COLUMNS] for hip in cohort.hips)


def weights_of_one(cohort: Squares, *, seed: int) -> tuple[list[float], dict[str, Tensor]]:
    """Losses and weights by a loop of its own, in one process: whole batches, torch's layers."""
    import torch
    from torch.nn import functional

    from rhoa.learning.data import as_input, batches, read_crops, warp
    from rhoa.learning.network import build_network

    recipe = replace(recipes["model-3"], **SETTINGS)
    hips = [hip for hip in cohort.hips if hip.partition == "train"]
    crops = read_crops(hips, image_size=32, xray_size=None) / 255
    labels = torch.tensor([hip.label for hip in hips])
    network = build_network("none", seed=seed).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-5)
    losses = []
    for epoch, rate in ((1, 1e-5), (2, 1e-5), (3, 1e-5 * 0.05)):
        for group in optimizer.param_groups:
            group["lr"] = rate
        for batch in batches(recipe, len(hips), seed=seed, epoch=epoch):
            outputs = network(as_input(warp(crops[batch.members], batch.changes)))
            optimizer.zero_grad()
            loss = functional.cross_entropy(outputs, labels[batch.members])
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
    return losses, network.state_dict()


def two_processes(manifest: Path, out: Path) -> subprocess.CompletedProcess[str]:
    """What `torchrun` prints of two processes that train."""
    settings = [word for name, value in SETTINGS.items() for word in ("--set", f"{name}={value}")]
    packages = str(Path(rhoa.__file__).parents[1])
    return subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
            *("--nproc-per-node", "2", "-m", "rhoa", "train", manifest, "-o", out),
            *("--weights", "none", "--seed", "4", "--device", "cpu", *settings),
        ],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": packages, "OMP_NUM_THREADS": "1"},
    )


@pytest.mark.slow
def test_two_processes_train_the_model_of_one(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Batches of 5 in parts of 3 and 2: gradients and batch normalisation are of all five.

    Normalised by its parts, a batch gives running statistics that are off by up to .2.
    """
    import torch
    from safetensors.torch import load_file

    threads = torch.get_num_threads()
    request.addfinalizer(lambda: torch.set_num_threads(threads))
    torch.set_num_threads(1)
    (tmp_path / "crops").mkdir()
    cohort = squares(tmp_path / "crops", size=32)
    write_manifest(cohort, tmp_path / "manifest.csv")

    started = two_processes(tmp_path / "manifest.csv", tmp_path / "run")

    assert started.returncode == 0, started.stderr
    losses, expected = weights_of_one(cohort, seed=4)
    found = load_file(tmp_path / "run" / "model.safetensors")
    learnt = [name for name in expected if "running" not in name and "tracked" not in name]
    apart = torch.cat([(found[name] - expected[name]).abs().ravel() for name in learnt])
    assert float((apart > 1e-6).float().mean()) < 0.01  # a tenth of a step of Adam
    for name in expected.keys() - set(learnt):
        torch.testing.assert_close(found[name], expected[name], atol=2e-4, rtol=1e-3, msg=name)
    history = (tmp_path / "run" / "history.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in history]
    assert [row["train_loss"] for row in rows] == pytest.approx(losses, rel=1e-4)
    assert all(row["val_loss"] is not None for row in rows)  # each was validated
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (record["processes"], record["devices"]) == (2, ["cpu", "cpu"])


@pytest.mark.slow
def test_a_team_looks_for_leaks_once_and_ends_together(tmp_path: Path) -> None:
    (tmp_path / "crops").mkdir()
    cohort = squares(tmp_path / "crops", size=32)
    cohort.hips[-1].image.write_bytes(cohort.hips[0].image.read_bytes())
    write_manifest(cohort, tmp_path / "manifest.csv")

    started = two_processes(tmp_path / "manifest.csv", tmp_path / "run")

    assert started.returncode != 0
    assert started.stderr.count("lines 2 and 17 (train and test)") == 1
    assert not (tmp_path / "run").exists()


def test_what_the_leader_finds_ends_the_others_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a team of two whose messages are set here: the second does no work of its own."""
    import torch

    from rhoa import torch_runtime
    from rhoa.torch_runtime import Team

    done: list[int] = []
    monkeypatch.setattr(torch_runtime.distributed, "broadcast", lambda told, **_: told.fill_(0))
    Team(1, 2).once(lambda: done.append(1), torch.device("cpu"))
    Team(0, 1).once(lambda: done.append(0), torch.device("cpu"))
    assert done == [0]

    monkeypatch.setattr(torch_runtime.distributed, "broadcast", lambda told, **_: told.fill_(1))
    with pytest.raises(RhoaError, match="as the first process did"):
        Team(1, 2).once(lambda: done.append(1), torch.device("cpu"))
    assert done == [0]


def test_a_batch_too_small_for_the_team_is_refused() -> None:
    from rhoa.learning.trainer import require_parts
    from rhoa.torch_runtime import Team

    recipe = replace(recipes["model-1"], batch=6)

    require_parts(recipe, 12, Team(0, 3))
    with pytest.raises(RhoaError, match="one of 4 processes 1 images"):
        require_parts(recipe, 12, Team(0, 4))


def test_statistics_measured_at_the_end_are_of_one_process() -> None:
    from rhoa.learning.trainer import require_parts
    from rhoa.torch_runtime import Team

    recipe = replace(recipes["model-1"], batch=6, bn_statistics="population")

    require_parts(recipe, 12, Team())
    with pytest.raises(RhoaError, match="start one, or train with"):
        require_parts(recipe, 12, Team(0, 2))
