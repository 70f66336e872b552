"""What a GPU is given and asked for, by fake devices; compiled steps and channels-last on the CPU.

A fake tensor (FakeTensorMode of torch) has a shape, a type and a device, and no numbers: on a
machine without a GPU, a step on "cuda" meets an error where it would wait for the GPU.
"""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

import rhoa
from rhoa.learning import Execution, Recipe
from tests.learning.squares import QUICK, TINY, squares

if TYPE_CHECKING:
    from torch import Tensor, nn

    from rhoa.learning.trainer import TrainingSetup

    Trained = tuple[list[float], dict[str, Tensor]]

pytestmark = pytest.mark.torch

RECIPES = {
    "classes": QUICK,
    "smoothed": replace(QUICK, label_smoothing=0.1, optimizer="adamw", weight_decay=0.01),
    "ordinal": replace(QUICK, head="ordinal"),
    "grades": replace(QUICK, target="kl"),
    "grades in order": replace(QUICK, target="kl", head="ordinal"),
    "augmented validation": replace(QUICK, augment_validation=True),
}


def setup_of(
    network: nn.Module, recipe: Recipe, place: str = "cpu", *, channels_last: bool = False
) -> TrainingSetup:
    """A `TrainingSetup` of eight training hips and four others, crops of noise."""
    import torch

    from rhoa.learning.network import build_optimizer
    from rhoa.learning.run_folder import Learner
    from rhoa.learning.trainer import LabelledCrops, TrainingSetup
    from rhoa.torch_runtime import Team

    random = torch.Generator().manual_seed(1)
    size = recipe.image_size
    images = torch.randint(0, 256, (12, size, size), generator=random, dtype=torch.uint8)
    labels = torch.arange(12) % 2
    crops = LabelledCrops(
        *(one.to(place) for one in (images, labels, labels * 3, labels - 1)), range(12)
    )
    return TrainingSetup(
        learner=Learner(
            network,
            build_optimizer(network, recipe),
            torch.amp.GradScaler(torch.device(place).type, enabled=False),
        ),
        forward=network,
        recipe=recipe,
        train_set=crops.between(0, 8),
        val_set=crops.between(8, 12),
        watched_set=crops.between(0, 0),
        val_sources=["ct", "ct", "xray", "xray"],
        groups=(),
        seed=1,
        team=Team(),
        autocast=None,
        channels_last=channels_last,
    )


@contextmanager
def fake_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Within it there is "cuda"; yields what goes wrong with what is moved there or made there."""
    import torch
    from torch._subclasses import FakeTensorMode
    from torch.utils._python_dispatch import TorchDispatchMode

    wrong: list[str] = []

    class Audit(TorchDispatchMode):
        def __torch_dispatch__(
            self, op: object, _: object, args: tuple[object, ...] = (), kwargs: object = None
        ) -> object:
            found = op(*args, **(kwargs or {}))
            for one in found if isinstance(found, tuple | list) else (found,):
                if isinstance(one, torch.Tensor) and one.device.type == "cuda":
                    if one.dtype == torch.float64:
                        wrong.append(f"{op}: float64, which Apple's GPUs lack")
                    moved = op is torch.ops.aten._to_copy.default and args[0].device.type == "cpu"
                    if moved and not (kwargs or {}).get("non_blocking"):
                        wrong.append(f"{op}: a transfer that the processor waits for")
            return found

    # Backward passes and pinned memory ask for a true GPU; neither is rhoa's own arithmetic.
    monkeypatch.setattr(torch.autograd, "backward", lambda _: None)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)
    with FakeTensorMode(allow_non_fake_inputs=True), Audit():
        yield wrong


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES.keys())
def test_a_step_reads_nothing_of_the_gpu_and_sends_no_float64(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from rhoa.learning.data import batches
    from rhoa.learning.network import build_network, outputs_of, with_head
    from rhoa.learning.trainer import train_step

    (first, *_) = batches(recipe, 8, seed=1, epoch=1)

    with fake_gpu(monkeypatch) as wrong:
        with torch.device("cuda"):
            outputs = outputs_of(recipe, with_crowe=True)
            network = with_head(build_network(outputs=outputs), recipe)
        setup = setup_of(network, recipe, "cuda")
        wrong.clear()  # crops are brought there once, before the first step
        figures = train_step(setup, first)
        place, shape = figures.device.type, figures.shape
        with pytest.raises(RuntimeError, match="_local_scalar_dense"):
            figures.tolist()  # what this test would show of a step that reads

    assert (place, shape) == ("cuda", (2,))
    assert wrong == []


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES.keys())
def test_figures_and_probabilities_are_computed_in_float64_on_the_cpu_alone(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from rhoa.learning.network import build_network, outputs_of, with_classes, with_head
    from rhoa.learning.torch_model import probabilities
    from rhoa.learning.trainer import validate

    def read(tensor: Tensor) -> np.ndarray:
        """Numbers of a tensor, of which a fake one has none."""
        assert tensor.device.type == "cpu"
        return np.zeros(tuple(tensor.shape))

    with fake_gpu(monkeypatch) as wrong:
        monkeypatch.setattr(torch.Tensor, "numpy", read)
        monkeypatch.setattr(torch.Tensor, "__float__", lambda tensor: float(read(tensor)))
        monkeypatch.setattr(torch.Tensor, "__bool__", lambda tensor: bool(read(tensor)))
        with torch.device("cuda"):
            outputs = outputs_of(recipe, with_crowe=True)
            network = with_head(build_network(outputs=outputs), recipe)
        setup = setup_of(network, recipe, "cuda")
        assert len(validate(network, setup, 1)) == 9
        crops = torch.zeros((3, 40, 40), dtype=torch.uint8)
        with torch.device("cuda"):
            saved = with_classes(network)
        found = probabilities(saved, crops, torch.device("cuda"))

    assert found.shape[0] == 3
    assert [one for one in wrong if "float64" in one] == []


def test_a_team_of_gpus_gets_torchs_synchronised_layers_with_the_same_tensors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import torch

    from rhoa import torch_runtime
    from rhoa.learning.network import build_network
    from rhoa.torch_runtime import Team

    monkeypatch.setattr(torch_runtime, "DistributedDataParallel", lambda network: network)
    with fake_gpu(monkeypatch), torch.device("cuda"):
        network = build_network()
        before = {name: id(one) for name, one in network.named_parameters()}
        names = list(network.state_dict())
        Team(0, 2).spread(network)

    kinds = {type(one) for one in network.modules() if "BatchNorm" in type(one).__name__}
    assert kinds == {torch.nn.SyncBatchNorm}
    assert {name: id(one) for name, one in network.named_parameters()} == before
    assert list(network.state_dict()) == names


def test_float32_is_whole_in_training_and_in_predictions_whatever_the_program_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    import torch

    from rhoa.learning import trainer

    def shortened() -> list[str]:
        backends = torch.backends
        switches = [backends.cuda.matmul, backends.cudnn.conv, backends.mkldnn.matmul]
        return [one.fp32_precision for one in switches]

    request.addfinalizer(lambda: torch.set_float32_matmul_precision("highest"))
    torch.set_float32_matmul_precision("medium")
    before = shortened()
    seen: list[list[str]] = []
    step = trainer.train_step

    def watched(*arguments: object) -> Tensor:
        seen.append(shortened())
        return step(*arguments)

    monkeypatch.setattr(trainer, "train_step", watched)
    (tmp_path / "crops").mkdir()
    recipe = replace(QUICK, epochs=1)
    run = rhoa.train(squares(tmp_path / "crops"), recipe, tmp_path / "run", weights="none")
    model = rhoa.load_model(run)
    model.network.register_forward_hook(lambda *_: seen.append(shortened()))
    model.predict_proba([np.zeros((40, 40))])

    assert "tf32" in before
    assert seen == [["ieee"] * 3] * 3
    assert shortened() == before


def test_losses_are_read_at_validations_and_ends_of_epochs_and_are_those_of_each_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten steps, a validation at the third of each epoch of five: read in threes and twos."""
    from rhoa.learning import trainer

    recipe = replace(QUICK, batch=2, epoch_iterations=5, validation_every=3, epochs=2)
    step, read = trainer.train_step, trainer._read
    each: list[list[float]] = []
    at_once: list[int] = []

    def kept(*arguments: object) -> Tensor:
        figures = step(*arguments)
        each.append(figures.tolist())
        return figures

    def counted(unread: list[object], *others: object) -> Iterator[object]:
        at_once.append(len(unread))
        return read(unread, *others)

    monkeypatch.setattr(trainer, "train_step", kept)
    monkeypatch.setattr(trainer, "_read", counted)
    (tmp_path / "crops").mkdir()
    run = rhoa.train(squares(tmp_path / "crops"), recipe, tmp_path / "run", weights="none")

    lines = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    assert [[one["train_loss"], one["train_accuracy"]] for one in lines] == each
    assert at_once == [3, 2, 1, 3, 1]
    assert [one["iteration"] for one in lines if one["val_loss"] is not None] == [3, 6, 9, 10]


class TestSteps:
    """Four small steps of Adam that compute the same in another order of sums.

    Adam takes whole steps where a gradient is a rounding error, so that some weights differ by
    two steps in all honesty: losses must agree, and 99 of 100 weights to a tenth of a step.
    """

    STEP = 1e-5  # larger ones would part the losses, too

    def trained(self, network: nn.Module, **changes: object) -> Trained:
        from rhoa.learning.data import batches
        from rhoa.learning.trainer import train_step
        from rhoa.torch_runtime import deterministic

        recipe = replace(QUICK, learning_rate=self.STEP)
        setup = setup_of(network, recipe, channels_last=changes.pop("channels_last", False))
        setup = replace(setup, **changes)
        with deterministic(1, setup.train_set.images.device):
            losses = [
                float(train_step(setup, batch)[0])
                for epoch in (1, 2)
                for batch in batches(recipe, 8, seed=1, epoch=epoch)
            ]
        return losses, network.state_dict()

    def require_alike(self, one: Trained, other: Trained) -> None:
        import torch

        assert one[0] == pytest.approx(other[0], rel=1e-4)
        differences = torch.cat([(one[1][name] - other[1][name]).abs().ravel() for name in one[1]])
        assert float((differences > self.STEP / 10).float().mean()) < 0.01

    def test_channels_last_trains_the_same_weights(self) -> None:
        import torch

        from rhoa.learning.network import build_network

        plain = self.trained(build_network(seed=3, backbone=TINY))
        network = build_network(seed=3, backbone=TINY).to(memory_format=torch.channels_last)
        self.require_alike(self.trained(network, channels_last=True), plain)

    @pytest.mark.slow
    @pytest.mark.skipif(
        not any(map(shutil.which, ("g++", "clang++", "c++"))),
        reason="torch.compile needs a C++ compiler, and none is on the path",
    )
    def test_a_compiled_step_trains_the_same_weights(self) -> None:
        import torch

        from rhoa.learning.network import build_network

        plain = self.trained(build_network(seed=3, backbone=TINY))
        network = build_network(seed=3, backbone=TINY)
        self.require_alike(self.trained(network, forward=torch.compile(network)), plain)


def test_a_run_whose_step_is_compiled_is_a_run_like_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Traced and not translated, so without a compiler: graphs, validation, saved names."""
    import torch

    without_compiler = functools.partial(torch.compile, backend="aot_eager")
    monkeypatch.setattr(torch, "compile", without_compiler)
    (tmp_path / "crops").mkdir()
    cohort, recipe = squares(tmp_path / "crops"), replace(QUICK, epochs=1)

    runs = [
        rhoa.train(
            cohort,
            recipe,
            tmp_path / name,
            weights="none",
            execution=Execution(compile=name == "c"),
        )
        for name in ("plain", "c")
    ]

    plain, compiled = (
        [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
        for run in runs
    )
    for one, other in zip(plain, compiled, strict=True):
        assert other["train_loss"] == pytest.approx(one["train_loss"], rel=1e-3)
    assert (runs[1] / "run.json").exists()
    scores = [rhoa.load_model(run).predict_proba([np.zeros((40, 40))]) for run in runs]
    np.testing.assert_allclose(*scores, atol=0.02)
