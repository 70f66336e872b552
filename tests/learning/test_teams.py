"""Two processes train one model, as one process would that averages their gradients."""

from __future__ import annotations

import copy
import csv
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import rhoa
from rhoa import RhoaError
from rhoa.learning import recipes
from tests.learning.squares import Squares, squares

pytestmark = pytest.mark.torch

SETTINGS = {
    "batch": 5,  # parts of 3 and 2
    "image_size": 32,
    "epochs": 3,
    "drop_period": 2,
    "learning_rate": 1e-3,
    "validation_every": 1,
}
COLUMNS = ("image", "subject", "side", "source", "kl", "visit", "label", "partition")


def write_manifest(cohort: Squares, path: Path) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows([getattr(hip, name) for name in COLUMNS] for hip in cohort.hips)


def averaged_weights(cohort: Squares, *, seed: int) -> dict[str, object]:
    """The model's weights by a loop of its own: gradients of both parts, averaged by hand.

    As in DistributedDataParallel, what batch normalisation counts is that of the first part. On one
    thread, as the processes: Adam makes large differences of rounding errors.
    """
    import torch
    from torch.nn import functional

    from rhoa.learning.data import as_input, batches, read_crops, warp
    from rhoa.learning.network import build_network

    recipe = replace(recipes["model-3"], **SETTINGS)
    hips = [hip for hip in cohort.hips if hip.partition == "train"]
    crops = read_crops(hips, image_size=32, xray_size=None) / 255
    labels = torch.tensor([hip.label for hip in hips])
    network = build_network("none", seed=seed).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    for epoch, rate in ((1, 1e-3), (2, 1e-3), (3, 1e-3 * 0.05)):
        for group in optimizer.param_groups:
            group["lr"] = rate
        for batch in batches(recipe, len(hips), seed=seed, epoch=epoch):
            twin = copy.deepcopy(network)
            for rank, one in enumerate((network, twin)):
                members, changes = batch.members[rank::2], batch.changes[rank::2]
                outputs = one(as_input(warp(crops[members], changes)))
                one.zero_grad()
                loss = functional.cross_entropy(outputs, labels[members])
                loss = loss * (len(members) / len(batch.members))
                loss.backward()
            for mine, other in zip(network.parameters(), twin.parameters(), strict=True):
                mine.grad += other.grad
            optimizer.step()
    return network.state_dict()


@pytest.mark.slow
def test_two_processes_average_their_gradients(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    import torch
    from safetensors.torch import load_file

    threads = torch.get_num_threads()
    request.addfinalizer(lambda: torch.set_num_threads(threads))
    torch.set_num_threads(1)
    (tmp_path / "crops").mkdir()
    cohort = squares(tmp_path / "crops", size=32)
    write_manifest(cohort, tmp_path / "manifest.csv")
    settings = [word for name, value in SETTINGS.items() for word in ("--set", f"{name}={value}")]
    started = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
            *("--nproc-per-node", "2", "-m", "rhoa", "train", tmp_path / "manifest.csv"),
            *("-o", tmp_path / "run", "--weights", "none", "--seed", "4", "--device", "cpu"),
            *settings,
        ],
        capture_output=True,
        text=True,
        check=False,
        env={
            **os.environ,
            "PYTHONPATH": str(Path(rhoa.__file__).parents[1]),
            "OMP_NUM_THREADS": "1",
        },
    )

    assert started.returncode == 0, started.stderr
    expected = averaged_weights(cohort, seed=4)
    found = load_file(tmp_path / "run" / "model.safetensors")
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, atol=2e-5, rtol=1e-3, msg=name)
    history = (tmp_path / "run" / "history.csv").read_text().splitlines()
    assert len(history) == 4  # a header, and one batch in each of three epochs
    assert all(line.split(",")[-1] for line in history[1:])  # each was validated


def test_a_batch_too_small_for_the_team_is_refused() -> None:
    from rhoa.learning.trainer import require_parts
    from rhoa.torch_runtime import Team

    recipe = replace(recipes["model-1"], batch=6)

    require_parts(recipe, 12, Team(0, 3))
    with pytest.raises(RhoaError, match="one of 4 processes 1 images"):
        require_parts(recipe, 12, Team(0, 4))
