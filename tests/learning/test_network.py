"""Weights: where they come from, that they fit, and that reading them runs no code."""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import pytest

from rhoa.errors import WeightsError

pytestmark = pytest.mark.torch

IMAGENET = "resnet18-f37072fd.pth"


class Harmful:
    """Unpickled, it writes a file."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.write_text, (self.trace, "code ran"))


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No cache, and every proxy refuses."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "empty"))
    monkeypatch.delenv("RHOA_WEIGHTS_DIR", raising=False)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


def test_random_weights_follow_the_seed_and_leave_torchs_own_alone() -> None:
    import torch

    from rhoa.learning.network import build_network

    before = torch.get_rng_state()
    first, again, other = (build_network(seed=seed).fc.weight for seed in (1, 1, 2))

    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_network_is_a_resnet18_with_two_outputs() -> None:
    """The ResNet18 of torchvision has 11,689,512 parameters, 513,000 of them in its last layer."""
    from rhoa.learning.network import build_network

    network = build_network()

    assert sum(p.numel() for p in network.parameters()) == 11_689_512 - 513_000 + 2 * 513


@pytest.mark.usefixtures("offline")
def test_imagenet_without_a_network_says_which_file_to_put_where() -> None:
    from rhoa.learning.network import build_network

    with pytest.raises(WeightsError, match="RHOA_WEIGHTS_DIR") as caught:
        build_network("imagenet")

    assert IMAGENET in str(caught.value)
    assert 'weights="none"' in str(caught.value)


@pytest.mark.usefixtures("offline")
def test_an_imagenet_file_of_another_hash_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rhoa.learning.network import build_network

    (tmp_path / IMAGENET).write_bytes(b"half a download")
    monkeypatch.setenv("RHOA_WEIGHTS_DIR", str(tmp_path))

    with pytest.raises(WeightsError, match="sha256 begins with"):
        build_network("imagenet")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_of_1000_classes_give_all_but_the_last_layer(tmp_path: Path, suffix: str) -> None:
    import torch
    from safetensors.torch import save_file
    from torchvision.models import resnet18

    from rhoa.learning.network import build_network

    state = resnet18(weights=None).state_dict()
    path = tmp_path / f"weights{suffix}"
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)

    network = build_network(path, seed=3)

    assert torch.equal(network.conv1.weight, state["conv1.weight"])
    assert torch.equal(network.layer4[1].bn2.bias, state["layer4.1.bn2.bias"])
    assert torch.equal(network.fc.weight, build_network(seed=3).fc.weight)


def test_old_state_dicts_without_batch_counts_are_welcome(tmp_path: Path) -> None:
    import torch

    from rhoa.learning.network import build_network

    state = build_network(seed=4).state_dict()
    torch.save({k: v for k, v in state.items() if "num_batches" not in k}, tmp_path / "old.pth")

    network = build_network(tmp_path / "old.pth", seed=5)

    assert torch.equal(network.fc.weight, state["fc.weight"])


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            lambda state: state.pop("layer2.0.conv1.weight"),
            r"1 tensors are missing \(first: layer2",
        ),
        (lambda state: state.update(extra=state["conv1.weight"]), "1 tensors are unknown"),
        (lambda state: state.update({"fc.bias": state["bn1.bias"]}), "misshapen"),
        (lambda state: state.update({"conv1.weight": 3}), "misshapen"),
    ],
    ids=["missing", "unknown", "misshapen", "no tensor"],
)
def test_weights_of_another_network_are_refused(
    tmp_path: Path, change: object, problem: str
) -> None:
    import torch

    from rhoa.learning.network import build_network

    state = dict(build_network().state_dict())
    change(state)
    torch.save(state, tmp_path / "other.pth")

    with pytest.raises(WeightsError, match=problem):
        build_network(tmp_path / "other.pth")


@pytest.mark.parametrize("packed", ["plain", "torch"])
@pytest.mark.parametrize("name", ["weights.pth", "weights.pt", "weights.safetensors"])
def test_a_pickle_is_never_run(tmp_path: Path, packed: str, name: str) -> None:
    import torch

    from rhoa.learning.network import build_network

    trace = tmp_path / "trace"
    content = io.BytesIO()
    if packed == "torch":
        torch.save({"conv1.weight": Harmful(trace)}, content)
    else:
        pickle.dump(Harmful(trace), content)
    (tmp_path / name).write_bytes(content.getvalue())

    with pytest.raises(WeightsError, match=name):
        build_network(tmp_path / name)

    assert not trace.exists()


def test_a_harmless_file_of_something_else_is_no_state_dict(tmp_path: Path) -> None:
    import torch

    from rhoa.learning.network import build_network

    torch.save([1, 2], tmp_path / "list.pth")

    with pytest.raises(WeightsError, match="a state dict"):
        build_network(tmp_path / "list.pth")


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    from rhoa.learning.network import build_network

    with pytest.raises(WeightsError, match=r"gone\.safetensors: no such weights file"):
        build_network(tmp_path / "gone.safetensors")
