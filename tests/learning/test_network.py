"""Weights: where they come from, and that they fit."""

from __future__ import annotations

import contextlib
import copy
from pathlib import Path

import pytest

from rhoa.errors import WeightsError

pytestmark = pytest.mark.torch

IMAGENET = "resnet18-f37072fd.pth"


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No cache, and every proxy refuses."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "empty"))
    monkeypatch.delenv("RHOA_WEIGHTS_DIR", raising=False)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def theirs() -> dict[str, object]:
    """The state dict of a ResNet18 of ImageNet's 1000 classes."""
    from torchvision.models import resnet18

    return dict(resnet18(weights=None).state_dict())


@pytest.fixture(scope="module")
def fresh() -> object:
    """A network before it is given weights."""
    from rhoa.learning.network import build_network

    return build_network(seed=3)


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
        (
            lambda state: state.update({"layer1.2.conv1.weight": state["layer1.0.conv1.weight"]}),
            "1 tensors are unknown",
        ),
        (lambda state: state.update({"fc.bias": state["bn1.bias"]}), "misshapen"),
        (lambda state: state.update({"conv1.weight": 3}), "tensors are missing"),
    ],
    ids=["missing", "unknown", "misshapen", "no tensor"],
)
def test_weights_of_another_network_are_refused(
    fresh: object, change: object, problem: str
) -> None:
    from rhoa.learning.network import start_from

    state = dict(fresh.state_dict())  # type: ignore[attr-defined]
    change(state)  # type: ignore[operator]

    with pytest.raises(WeightsError, match=f"other.pth.*{problem}"):
        start_from(fresh, state, where="other.pth")  # type: ignore[arg-type]


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    from rhoa.learning.network import build_network

    with pytest.raises(WeightsError, match=r"gone\.safetensors: no such weights file"):
        build_network(tmp_path / "gone.safetensors")


def seen_by(network: object) -> list[tuple[str, object]]:
    """The tensors of a ResNet18 but for its last layer."""
    return [(k, v) for k, v in network.state_dict().items() if not k.startswith("fc.")]  # type: ignore[attr-defined]


def other_last(outputs: int) -> object:
    def change(state: dict[str, object]) -> dict[str, object]:
        import torch

        last = {"fc.weight": torch.zeros(outputs, 512), "fc.bias": torch.zeros(outputs)}
        return {**state, **last}

    return change


def prefixed(prefix: str) -> object:
    return lambda state: {f"{prefix}{key}": value for key, value in state.items()}


def numbered(prefix: str) -> object:
    """As in ``nn.Sequential(*list(network.children())[:-1])``."""
    numbers = {"conv1": "0", "bn1": "1"} | {f"layer{n}": str(n + 3) for n in range(1, 5)}

    def change(state: dict[str, object]) -> dict[str, object]:
        parts = {key: key.partition(".") for key in state}
        return {
            f"{prefix}{numbers[root]}.{tail}": state[key]
            for key, (root, _, tail) in parts.items()
            if root in numbers
        }

    return change


def moco(state: dict[str, object]) -> dict[str, object]:
    """The query and the key encoder (an average of it), a queue, and a projection for a layer."""
    body = {k: v for k, v in state.items() if not k.startswith("fc.")}
    tensors = {f"module.encoder_k.{k}": v * 0 for k, v in body.items()}
    tensors |= {f"module.encoder_q.{k}": v for k, v in body.items()}
    head = {"module.encoder_q.fc.0.weight": state["fc.weight"], "module.queue": state["fc.bias"]}
    return {"epoch": 3, "arch": "resnet18", "state_dict": tensors | head}


def checkpoint(state: dict[str, object]) -> dict[str, object]:
    import torch
    from torchvision.models import resnet18

    optimizer = torch.optim.Adam(resnet18().parameters()).state_dict()
    return {"epoch": 3, "model_state_dict": state, "optimizer_state_dict": optimizer, "loss": 0.5}


AS_PEOPLE_HAVE_THEM = {
    "DataParallel": (prefixed("module."), ""),
    "torch.compile": (prefixed("_orig_mod."), ""),
    "both": (prefixed("_orig_mod.module."), ""),
    "Lightning": (lambda state: {"state_dict": prefixed("model.")(state), "epoch": 3}, ""),  # type: ignore[operator]
    "state_dict": (lambda state: {"state_dict": state}, ""),
    "a checkpoint with its optimizer": (checkpoint, ""),
    "EMA beside": (lambda state: {"state_dict_ema": {k: v * 0 for k, v in state.items()},
                                  "state_dict": state}, ""),
    "5 grades": (other_last(5), "fc.weight .5 x 512.*last layer starts at random"),
    "1 output": (other_last(1), "fc.weight .1 x 512"),
    "no last layer": (lambda state: {k: v for k, v in state.items() if "fc" not in k},
                      "its last layer starts at random"),
    "RadImageNet": (numbered("backbone."), "its last layer starts at random"),
    "nn.Sequential": (numbered(""), "its last layer starts at random"),
    "MoCo": (moco, "encoder_q.*left out.*last layer starts at random"),
    "a projection head": (
        lambda state: {**prefixed("backbone.")(state), "projector.0.weight": state["fc.weight"]},  # type: ignore[operator]
        "projector.0.weight .1000 x 512",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", AS_PEOPLE_HAVE_THEM)
def test_weights_load_as_people_have_them(
    theirs: dict[str, object], fresh: object, name: str
) -> None:
    """The body to the bit; a warning says what was left out, but for ImageNet's 1000 classes."""
    import torch

    from rhoa.errors import RhoaWarning
    from rhoa.learning.network import start_from

    change, warning = AS_PEOPLE_HAVE_THEM[name]
    ours = copy.deepcopy(fresh)

    said = pytest.warns(RhoaWarning, match=warning) if warning else contextlib.nullcontext()
    with said:
        start_from(ours, change(theirs), where="w.pth")  # type: ignore[operator,arg-type]

    assert all(torch.equal(v, theirs[k]) for k, v in seen_by(ours))  # type: ignore[arg-type]
    assert torch.equal(ours.fc.weight, fresh.fc.weight)  # type: ignore[attr-defined]


def test_a_last_layer_of_two_classes_is_taken_under_a_prefix(tmp_path: Path) -> None:
    import torch
    from torchvision.models import resnet18

    from rhoa.learning.network import build_network

    theirs = resnet18(num_classes=2).state_dict()
    torch.save({"epoch": 3, "state_dict": prefixed("module.")(theirs)}, tmp_path / "w.pth")  # type: ignore[operator]

    assert torch.equal(build_network(tmp_path / "w.pth").fc.weight, theirs["fc.weight"])


def test_a_first_layer_of_one_channel_gives_grey_the_same_response(tmp_path: Path) -> None:
    import torch
    from torchvision.models import resnet18

    from rhoa.errors import RhoaWarning
    from rhoa.learning.network import build_network

    theirs = resnet18()
    theirs.conv1 = torch.nn.Conv2d(1, 64, 7, 2, 3, bias=False)
    torch.save(theirs.state_dict(), tmp_path / "w.pth")

    with pytest.warns(RhoaWarning, match="one channel, which was spread over three"):
        ours = build_network(tmp_path / "w.pth")

    grey = torch.rand(1, 1, 32, 32)
    torch.testing.assert_close(ours.conv1(grey.expand(-1, 3, -1, -1)), theirs.conv1(grey))


@pytest.mark.parametrize("name", ["resnet34", "resnet50", "squeezenet1_0"])
def test_another_network_is_refused_under_any_prefix(fresh: object, name: str) -> None:
    import torch
    import torchvision

    from rhoa.learning.network import start_from

    with torch.device("meta"):  # refused for names and shapes alone
        state = getattr(torchvision.models, name)(weights=None).state_dict()
    given = {"state_dict": prefixed("module.")(state)}  # type: ignore[operator]

    with pytest.raises(
        WeightsError, match=r"w\.pth.*under 'state_dict\.module\..*(missing|unknown)"
    ):
        start_from(fresh, given, where="w.pth")  # type: ignore[arg-type]
