"""Published weights by their whole sha256; state dicts of every honest kind load."""

from __future__ import annotations

import contextlib
import hashlib
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rhoa.errors import WeightsError
from tests.learning.squares import TINY

pytestmark = pytest.mark.torch


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file as a server would offer it; torch's cache and RHOA_WEIGHTS_DIR are empty."""
    import torch

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("RHOA_WEIGHTS_DIR", raising=False)
    (tmp_path / "server").mkdir()
    torch.save({"fc.weight": torch.arange(4.0)}, tmp_path / "server" / "w.pth")
    return tmp_path / "server" / "w.pth"


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_published_weights_are_fetched_once_and_verified_each_time(published: Path) -> None:
    from rhoa.learning.network import Published, imagenet

    offer = Published(published.as_uri(), sha256(published))
    first = imagenet(offer)
    published.unlink()
    again = imagenet(offer)

    assert first["fc.weight"].tolist() == again["fc.weight"].tolist() == [0, 1, 2, 3]


def test_a_download_of_another_hash_is_refused_and_not_kept(
    published: Path, tmp_path: Path
) -> None:
    from rhoa.learning.network import Published, imagenet

    with pytest.raises(WeightsError, match="invalid hash value"):
        imagenet(Published(published.as_uri(), "0" * 64))

    assert not list((tmp_path / "home").rglob("*.pth"))


def test_a_cached_file_that_was_changed_is_refused(published: Path) -> None:
    """A prefix of the sha256, as torch compares, would not do."""
    from rhoa.learning.network import Published, imagenet

    digest = sha256(published)
    imagenet(Published(published.as_uri(), digest))

    with pytest.raises(WeightsError, match="sha256 begins with"):
        imagenet(Published(published.as_uri(), digest[:-1] + ("0" if digest[-1] != "0" else "1")))


def test_the_folder_of_a_hospital_machine_needs_no_network(
    published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rhoa.learning.network import Published, imagenet

    monkeypatch.setenv("RHOA_WEIGHTS_DIR", str(published.parent))

    state = imagenet(Published("http://127.0.0.1:9/w.pth", sha256(published)))

    assert state["fc.weight"].tolist() == [0, 1, 2, 3]


def test_the_pinned_hash_is_the_one_that_the_file_is_named_after() -> None:
    from rhoa.learning.network import IMAGENET

    assert IMAGENET.file == f"resnet18-{IMAGENET.sha256[:8]}.pth"
    assert len(IMAGENET.sha256) == 64


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("kind", ["float16", "bfloat16", "float64"])
def test_honest_state_dicts_load_whatever_their_format(
    tmp_path: Path, kind: str, *, legacy: bool
) -> None:
    import torch

    from rhoa.learning.network import build_network

    network = build_network(seed=6, backbone=TINY)
    state = network.to(getattr(torch, kind)).state_dict()
    torch.save(state, tmp_path / "w.pth", _use_new_zipfile_serialization=not legacy)

    loaded = build_network(tmp_path / "w.pth", seed=7, backbone=TINY)

    assert torch.equal(loaded.fc.weight, state["fc.weight"].float())


def test_parameters_and_views_load(tmp_path: Path) -> None:
    """A state dict of parameters, and of tensors that share one storage."""
    import torch

    from rhoa.learning.network import build_network

    network = build_network(seed=6, backbone=TINY)
    state = dict(network.named_parameters()) | dict(network.named_buffers())
    state["fc.bias"] = torch.arange(10.0)[4:6]
    torch.save(state, tmp_path / "w.pth")

    assert build_network(tmp_path / "w.pth", backbone=TINY).fc.bias.tolist() == [4, 5]


@given(data=st.data())
def test_no_damage_to_a_state_dict_raises_anything_else(data: st.DataObject) -> None:
    import torch

    from rhoa.weights import read_state_dict

    stream = io.BytesIO()
    legacy = data.draw(st.booleans())
    torch.save({"a": torch.arange(3.0)}, stream, _use_new_zipfile_serialization=not legacy)
    content = bytearray(stream.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))

    with contextlib.suppress(WeightsError):
        state = read_state_dict(bytes(content), where="w.pth")
        assert all(isinstance(key, str) for key in state)
