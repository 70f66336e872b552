"""Runs that were killed go on to the same bits; runs that are others do not."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import rhoa
from rhoa import RhoaError
from rhoa.errors import RhoaWarning, WeightsError, WriteError
from rhoa.learning import Execution
from tests.learning.squares import QUICK, Squares, squares

pytestmark = pytest.mark.torch

ROOT = Path(__file__).parents[2]


class InterruptedRunError(Exception):
    """What ends a run in these tests."""


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Squares:
    return squares(tmp_path_factory.mktemp("crops"))


@pytest.fixture(scope="module")
def finished(cohort: Squares, tmp_path_factory: pytest.TempPathFactory) -> tuple[Squares, Path]:
    run = tmp_path_factory.mktemp("finished") / "run"
    rhoa.train(cohort, replace(QUICK, epochs=1), run, weights="none")
    return cohort, run


@pytest.fixture(scope="module")
def interrupted(cohort: Squares, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of `QUICK` that ended after its first iteration, with a checkpoint."""

    def progress(done: int, *_: object) -> None:
        if done > 1:
            raise InterruptedRunError

    run, each = tmp_path_factory.mktemp("interrupted") / "run", Execution(checkpoint_minutes=0)
    with pytest.raises(InterruptedRunError):
        rhoa.train(cohort, QUICK, run, weights="none", execution=each, progress=progress)
    return run


@pytest.fixture
def checkpoint(interrupted: Path, tmp_path: Path) -> Path:
    """That of a copy of it, in the folder ``run``."""
    run = shutil.copytree(interrupted, tmp_path / "run")
    return run / "unfinished" / "checkpoint.safetensors"


@pytest.mark.parametrize("kills", [1, pytest.param(5, marks=pytest.mark.slow)])
def test_a_run_that_was_killed_ends_in_the_same_bits(tmp_path: Path, kills: int) -> None:
    packages = os.pathsep.join([str(Path(rhoa.__file__).parents[1]), str(ROOT)])
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("killed.py"), tmp_path / "runs", str(kills)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": packages, "OMP_NUM_THREADS": "1"},
    )

    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["often"] == report["whole"]
    assert not any("unfinished" in file for file in report["whole"]["files"])
    began = report["began"]
    assert (began[0], len(began)) == (1, kills + 1)
    assert sorted(set(began)) == began  # each went on from a later checkpoint
    assert began[-1] <= 2 * (kills + 2)  # and the last one had something to do
    curves = [(tmp_path / "runs" / n / "history.csv").read_bytes() for n in ("whole", "often")]
    assert curves[0] == curves[1]


def test_a_finished_run_is_left_as_it_is_unless_asked(cohort: Squares, tmp_path: Path) -> None:
    def train(**execution: object) -> tuple[list[tuple[int, int]], int]:
        told: list[tuple[int, int]] = []
        rhoa.train(
            cohort,
            replace(QUICK, epochs=1),
            tmp_path / "run",
            weights="none",
            execution=Execution(**execution),
            progress=lambda done, total, _: told.append((done, total)),
        )
        return told, (tmp_path / "run" / "model.safetensors").stat().st_mtime_ns

    first, written = train()
    again, kept = train()
    anew, rewritten = train(resume=False)

    assert first == anew == [(1, 2), (2, 2)]
    assert again == [(2, 2)]
    assert kept == written != rewritten


def test_a_finished_run_whose_weights_changed_is_trained_again(
    finished: tuple[Squares, Path], tmp_path: Path
) -> None:
    cohort, recipe = finished[0], replace(QUICK, epochs=1)
    weights = shutil.copytree(finished[1], tmp_path / "run") / "model.safetensors"
    sound = weights.read_bytes()
    weights.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))

    rhoa.train(cohort, recipe, tmp_path / "run", weights="none")

    assert hashlib.sha256(weights.read_bytes()).digest() == hashlib.sha256(sound).digest()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"epochs": 2}, r"recipe\.epochs was 1, is 2"),
        ({"learning_rate": 0.01}, r"recipe\.learning_rate was"),
        ({"name": "other"}, r"recipe\.name was"),
        ({"seed": 7}, "seed was 2020, is 7"),
        ({"hips": "relabelled"}, "the hips of the manifest differ"),
        ({"hips": "fewer"}, "the hips of the manifest differ"),
        ({"precision": "bfloat16"}, "precision was 'float32', is 'bfloat16'"),
    ],
)
def test_a_finished_run_is_not_written_over_by_other_words(
    finished: tuple[Squares, Path], words: dict[str, object], message: str
) -> None:
    cohort, run = finished
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    words = dict(words)
    seed, changed = words.pop("seed", 2020), words.pop("hips", "")
    precision = words.pop("precision", "auto")
    if changed == "fewer":
        cohort = replace(cohort, hips=cohort.hips[:-1])
    elif changed:
        last = cohort.hips[-1]
        cohort = replace(cohort, hips=(*cohort.hips[:-1], replace(last, visit="T02")))

    with pytest.raises(RhoaError, match=f"run: holds a finished run of other words.*{message}"):
        rhoa.train(
            cohort,
            replace(QUICK, **{"epochs": 1} | words),
            run,
            weights="none",
            seed=seed,
            execution=Execution(precision=precision),
        )

    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_a_run_made_with_other_versions_and_threads_is_finished_all_the_same(
    finished: tuple[Squares, Path],
) -> None:
    cohort, run = finished
    record = json.loads((run / "run.json").read_text())
    assert record["threads"] >= 1
    record |= {"threads": 96, "versions": {"torch": "2.0"}}
    (run / "run.json").write_text(json.dumps(record))
    told: list[str] = []

    rhoa.train(
        cohort,
        replace(QUICK, epochs=1),
        run,
        weights="none",
        progress=lambda *said: told.append(said[2]),
    )

    assert told == [f"{QUICK.name}: is there already"]


def test_files_that_no_run_explains_are_not_written_over(cohort: Squares, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "predictions.csv").write_text("mine")

    with pytest.raises(RhoaError, match=r"run: holds predictions\.csv and no run\.json"):
        rhoa.train(cohort, QUICK, tmp_path / "run", weights="none")

    assert (tmp_path / "run" / "predictions.csv").read_text() == "mine"


def test_two_processes_do_not_train_in_one_folder(cohort: Squares, tmp_path: Path) -> None:
    """The other process has the lock and dies with it: then the folder is free."""
    packages = str(Path(rhoa.__file__).parents[1])
    code = (
        "import sys; from pathlib import Path; from rhoa.files import locked\n"
        "with locked(Path(sys.argv[1])):\n    print('locked', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, tmp_path / "run"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": packages},
    ) as other:
        assert other.stdout.readline() == "locked\n"
        with pytest.raises(WriteError, match="run: another process is writing into this folder"):
            rhoa.train(cohort, replace(QUICK, epochs=1), tmp_path / "run", weights="none")
        other.kill()

    rhoa.train(cohort, replace(QUICK, epochs=1), tmp_path / "run", weights="none")

    assert not (tmp_path / "run" / ".lock").exists()


def test_a_flipped_bit_in_a_checkpoint_is_found(
    cohort: Squares, checkpoint: Path, tmp_path: Path
) -> None:
    sound = checkpoint.read_bytes()

    for share in (0.02, 0.3, 0.6, 0.99):
        content = bytearray(sound)
        content[int(share * len(content))] ^= 4
        checkpoint.write_bytes(content)
        with pytest.raises(WeightsError, match=r"checkpoint\.safetensors: not a checkpoint"):
            rhoa.train(cohort, QUICK, tmp_path / "run", weights="none")


def test_predictions_that_were_changed_are_not_reported(
    finished: tuple[Squares, Path], tmp_path: Path
) -> None:
    from rhoa.report.collect import read_runs

    cohort, run = finished
    shutil.copytree(run, tmp_path / "run")
    file = tmp_path / "run" / "predictions.csv"
    assert read_runs([tmp_path / "run"], cohort.hips)
    file.write_text(file.read_text().replace("0.4", "0.6").replace("0.5", "0.7") + "\n")

    with pytest.raises(RhoaError, match=r"run/predictions\.csv: is not the file that the training"):
        read_runs([tmp_path / "run"], cohort.hips)


@pytest.mark.usefixtures("checkpoint")
def test_a_checkpoint_of_another_number_of_threads_goes_on_with_a_warning(
    cohort: Squares, tmp_path: Path
) -> None:
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        with pytest.warns(RhoaWarning, match="not the same to the bit"):
            rhoa.train(cohort, QUICK, tmp_path / "run", weights="none")
    finally:
        torch.set_num_threads(threads)


@pytest.mark.usefixtures("checkpoint")
def test_a_checkpoint_of_another_recipe_is_refused_or_begun_anew(
    cohort: Squares, tmp_path: Path
) -> None:
    changed = replace(QUICK, epochs=1)

    with pytest.raises(WeightsError, match=r"another run \(recipe differ\).*resume=False"):
        rhoa.train(cohort, changed, tmp_path / "run", weights="none")
    rhoa.train(cohort, changed, tmp_path / "run", weights="none", execution=Execution(resume=False))

    assert not (tmp_path / "run" / "unfinished").exists()


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"\xff" * 64, (1 << 60).to_bytes(8, "little") + b"{"]
)
def test_a_damaged_checkpoint_is_refused(cohort: Squares, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "run" / "unfinished").mkdir(parents=True)
    (tmp_path / "run" / "unfinished" / "checkpoint.safetensors").write_bytes(content)

    with pytest.raises(WeightsError, match=r"checkpoint\.safetensors: not a checkpoint"):
        rhoa.train(cohort, QUICK, tmp_path / "run", weights="none")


def test_a_checkpoint_with_tensors_of_another_shape_is_refused(
    cohort: Squares, checkpoint: Path, tmp_path: Path
) -> None:
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    tensors = load_file(checkpoint)
    with safe_open(checkpoint, "pt") as opened:
        header = opened.metadata()
    tensors["network.fc.weight"] = tensors["network.fc.weight"][:1]
    save_file(tensors, checkpoint, metadata=header)

    with pytest.raises(WeightsError, match=r"checkpoint\.safetensors: not a checkpoint"):
        rhoa.train(cohort, QUICK, tmp_path / "run", weights="none")


def test_a_link_is_no_checkpoint(cohort: Squares, checkpoint: Path, tmp_path: Path) -> None:
    checkpoint.rename(tmp_path / "elsewhere")
    checkpoint.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(WeightsError, match="is a link"):
        rhoa.train(cohort, QUICK, tmp_path / "run", weights="none")


def test_a_later_stage_goes_on_without_repeating_the_first(cohort: Squares, tmp_path: Path) -> None:
    first = replace(QUICK, name="first", sources=("xray",), epochs=1)
    recipe = replace(QUICK, name="second", first=first)
    told: list[str] = []
    rhoa.train(cohort, recipe, tmp_path / "whole", weights="none")

    def progress(done: int, _: int, text: str) -> None:
        told.append(text)
        if text.startswith("second") and done == 2 and told.count(text) == 2:
            raise InterruptedRunError

    options = {"weights": "none", "execution": Execution(checkpoint_minutes=0)}
    with pytest.raises(InterruptedRunError):
        rhoa.train(cohort, recipe, tmp_path / "run", progress=progress, **options)
    told.clear()
    rhoa.train(
        cohort, recipe, tmp_path / "run", progress=lambda *said: told.append(said[2]), **options
    )

    assert told == [
        "first: is there already",
        "second: epoch 1 of 2",
        "second: epoch 2 of 2",
        "second: epoch 2 of 2",
    ]
    weights = [(tmp_path / n / "model.safetensors").read_bytes() for n in ("whole", "run")]
    assert weights[0] == weights[1]


@pytest.mark.parametrize(
    "options", [{"precision": "int8"}, {"checkpoint_minutes": -1}, {"checkpoint_minutes": "often"}]
)
def test_an_execution_out_of_range_is_refused_by_name(options: dict[str, object]) -> None:
    with pytest.raises(RhoaError, match=next(iter(options))):
        Execution(**options)
