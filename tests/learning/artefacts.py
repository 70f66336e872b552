"""Files made to harm whoever loads them, and a process of little memory that loads them all."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import struct
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.learning.runs import seal
from tests.learning.squares import TINY

if TYPE_CHECKING:
    import torch

STEM = "body.conv1.0.weight"
"""Of the small network."""
TRACE = "trace"
"""A file that stands only where code of an artefact ran, or was led outside."""
SPARE_BYTES = 768 << 20
"""Of address space, beyond what Python and torch have taken: a ResNet18 takes 45 MB a copy."""


class Harmful:
    """Unpickled, it writes a file."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.write_text, (self.trace, "code ran"))


class Greedy:
    """Unpickled, it takes a terabyte."""

    def __reduce__(self) -> tuple[object, ...]:
        return (bytearray, (1 << 40,))


def safetensors(header: object, body: bytes = b"", *, claimed: int | None = None) -> bytes:
    """A file with any header at all."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if claimed is None else claimed) + text + body


def f32(shape: list[int], start: int, stop: int) -> dict[str, Any]:
    return {"dtype": "F32", "shape": shape, "data_offsets": [start, stop]}


def state_of(change: Callable[[dict[str, Any]], object]) -> bytes:
    """The safetensors file of a small network in which something is changed."""
    from safetensors.torch import save

    from rhoa.learning.network import build_network

    state = dict(build_network(backbone=TINY).state_dict())
    change(state)
    return save(state)


def deflated() -> bytes:
    """A state dict whose one tensor is 1 GB of zeros in a few megabytes."""
    import torch

    file = io.BytesIO()
    numbers = 1 << 28
    claim = (b"K\x01tq\x07Q", b"J" + numbers.to_bytes(4, "little") + b"tq\x07Q")
    with (
        zipfile.ZipFile(io.BytesIO(saved({"fc.weight": torch.zeros(1).expand(numbers)}))) as good,
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as bomb,
    ):
        for entry in good.infolist():
            content = good.read(entry)
            if entry.filename.endswith("data.pkl"):
                assert claim[0] in content
                content = content.replace(*claim)
            with bomb.open(entry.filename, "w", force_zip64=True) as target:
                is_storage = entry.filename.endswith("/data/0")
                for part in [bytes(1 << 24)] * 64 if is_storage else [content]:
                    target.write(part)
    return file.getvalue()


def saved(state: object, **options: bool) -> bytes:
    import torch

    file = io.BytesIO()
    torch.save(state, file, **options)
    return file.getvalue()


def with_long_storage() -> bytes:
    """A legacy state dict that claims a storage of 2**40 numbers."""
    content = saved({"fc.weight": _tensor(1234)}, _use_new_zipfile_serialization=False)
    return content.replace(struct.pack("<H", 1234), b"\xff\xff", 1).replace(
        b"M" + struct.pack("<H", 1234), b"\x8a\x06" + (1 << 40).to_bytes(6, "little")
    )


def _tensor(length: int) -> torch.Tensor:
    import torch

    return torch.zeros(length)


def onnx(
    *between: object,
    constants: dict[str, Any] | None = None,
    external: str = "",
    functions: Sequence[object] = (),
) -> bytes:
    """A valid ONNX file of a classifier of crops of 40 pixels, around nodes from ``x`` to ``y``.

    ``external``: the file that its weights are said to lie in.
    """
    from onnx import TensorProto, helper, numpy_helper

    known = {
        "axes": np.array([1, 2]),
        "column": np.array([-1, 1]),
        "weights": np.float32([[-1, 1]]),
        **(constants or {}),
    }
    tensors = [numpy_helper.from_array(value, name) for name, value in known.items()]
    if external:
        tensors[2].ClearField("raw_data")
        tensors[2].data_location = TensorProto.EXTERNAL
        tensors[2].external_data.add(key="location", value=external)
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["levels"], ["floats"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["floats", "axes"], ["means"], keepdims=0),
            helper.make_node("Reshape", ["means", "column"], ["columns"]),
            helper.make_node("Mul", ["columns", "weights"], ["x"]),
            *(between or [helper.make_node("Identity", ["x"], ["y"])]),
            helper.make_node("Softmax", ["y"], ["probabilities"], axis=1),
        ],
        "g",
        [helper.make_tensor_value_info("levels", TensorProto.UINT8, ["n", 40, 40])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", 2])],
        tensors,
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("evil", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9, functions=functions)
    return bytes(model.SerializeToString())


def onnx_loop(rounds: int) -> bytes:
    """A classifier that adds its outputs to themselves, some times."""
    from onnx import TensorProto, helper

    info = helper.make_tensor_value_info
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["going"]),
            helper.make_node("Add", ["sum", "sum"], ["more"]),
        ],
        "body",
        [
            info("round", TensorProto.INT64, []),
            info("go", TensorProto.BOOL, []),
            info("sum", TensorProto.FLOAT, None),
        ],
        [info("going", TensorProto.BOOL, []), info("more", TensorProto.FLOAT, None)],
    )
    loop = helper.make_node("Loop", ["rounds", "always", "x"], ["y"], body=body)
    return onnx(loop, constants={"rounds": np.array(rounds), "always": np.array(True)})  # noqa: FBT003


def onnx_large(numbers: int) -> bytes:
    """A classifier that makes that many zeros for each crop, and adds their sum."""
    from onnx import helper

    return onnx(
        helper.make_node("Shape", ["levels"], ["shape"]),
        helper.make_node("Mul", ["shape", "times"], ["larger"]),
        helper.make_node("ConstantOfShape", ["larger"], ["zeros"]),
        helper.make_node("ReduceSum", ["zeros"], ["sum"], keepdims=0),
        helper.make_node("Add", ["x", "sum"], ["y"]),
        constants={"times": np.array([numbers // 1600, 1, 1])},
    )


def onnx_functions(depth: int) -> bytes:
    """A classifier of one function that calls the next one twice, and so on."""
    from onnx import helper

    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("evil", 1)]
    functions = []
    for level in range(depth):
        last = level == depth - 1
        name, domain = ("Identity", "") if last else (f"f{level + 1}", "evil")
        calls = [
            helper.make_node(name, [source], [target], domain=domain)
            for source, target in (("a", "b"), ("b", "c"))
        ]
        functions.append(helper.make_function("evil", f"f{level}", ["a"], ["c"], calls, opsets))
    return onnx(helper.make_node("f0", ["x"], ["y"], domain="evil"), functions=functions)


def weights_files(trace: Path) -> Iterator[tuple[str, str, bytes]]:
    """Name, file name, content: given to `rhoa.train` as weights to begin with."""
    stream = io.BytesIO()
    np.save(stream, np.array([Harmful(trace)], dtype=object), allow_pickle=True)
    good = saved({"fc.weight": _tensor(4)})
    yield "a pickle", "w.pt", pickle.dumps(Harmful(trace))
    yield "a pickle of another protocol", "w.pkl", pickle.dumps(Harmful(trace), protocol=4)
    yield "a pickle in an archive", "w.pth", saved({"fc.weight": Harmful(trace)})
    yield (
        "a pickle in a legacy file",
        "w.pth",
        saved({"fc.weight": Harmful(trace)}, _use_new_zipfile_serialization=False),
    )
    yield "a pickle called safetensors", "w.safetensors", pickle.dumps(Harmful(trace))
    yield "objects in an array", "w.npy", stream.getvalue()
    yield "a terabyte of bytes", "w.pth", saved({"fc.weight": Greedy()})
    yield "a terabyte of numbers", "w.pth", with_long_storage()
    yield "a deflated archive", "w.pth", deflated()
    yield "an archive cut short", "w.pth", good[: len(good) // 2]
    yield "YAML", "w.yaml", b"!!python/object/apply:os.system ['touch trace']"
    yield "a list", "w.pth", saved([1, 2, 3])
    yield "numbers beside tensors", "w.pth", saved({"fc.weight": _tensor(4), "epoch": 3})
    yield "a sparse tensor", "w.pth", saved({"fc.weight": _tensor(4).to_sparse()})


def sealed_weights() -> Iterator[tuple[str, bytes]]:
    """Name, content: sealed by the card of a run folder."""
    name = "fc.weight"
    yield "offsets beyond the file", safetensors({name: f32([2, 512], 0, 1 << 40)}, bytes(8))
    yield "offsets that run backwards", safetensors({name: f32([2], 8, 0)}, bytes(8))
    overlapping = {"a": f32([4], 0, 16), "b": f32([4], 8, 24)}
    yield "tensors that overlap", safetensors(overlapping, bytes(24))
    yield "a hole between tensors", safetensors({"a": f32([1], 4, 8)}, bytes(8))
    yield "a shape that overflows", safetensors({name: f32([1 << 62, 8], 0, 8)}, bytes(8))
    yield "a header beyond the file", safetensors({}, claimed=1 << 62)
    yield "a header of 100 MB", safetensors(b"{" + b" " * (100 << 20) + b"}")
    yield "a header that nests", safetensors(b'{"a":' + b"[" * 100_000)
    yield (
        "a dtype of no tensor",
        safetensors({name: {"dtype": "O", "shape": [1], "data_offsets": [0, 8]}}, bytes(8)),
    )
    yield (
        "whole numbers for weights",
        state_of(lambda state: state.update({STEM: state[STEM].long()})),
    )
    yield (
        "weights that are not finite",
        state_of(
            lambda state: state["body.layer3.0.conv1.weight"].view(-1)[7:8].fill_(float("nan"))
        ),
    )
    yield "a variance below zero", state_of(lambda state: state["body.bn1.running_var"].fill_(-1))
    yield (
        "another shape",
        state_of(lambda state: state.update({"fc.weight": state["fc.weight"].T.contiguous()})),
    )
    yield (
        "a tensor too many",
        state_of(lambda state: state.update({"../../outside": state["fc.bias"].clone()})),
    )
    yield "nothing", b""


def cards(good: bytes) -> Iterator[tuple[str, bytes]]:
    """Name, content of a ``model.json`` beside sound weights."""
    card = {
        "architecture": "resnet18",
        "image_size": 40,
        "xray_size": None,
        "weights_sha256": hashlib.sha256(good).hexdigest(),
    }
    yield "a card that nests", b'{"a":' + b"[" * 500_000
    yield "a card of numbers without end", b'{"image_size": ' + b"9" * 500_000 + b"}"
    yield "a card with NaN", json.dumps(card | {"seed": float("nan")}).encode()
    yield (
        "a card of an input of a billion pixels",
        json.dumps(card | {"image_size": 10**9}).encode(),
    )
    yield "a card of an input of no pixels", json.dumps(card | {"image_size": 0}).encode()
    yield "a card whose size is true", json.dumps(card | {"image_size": True}).encode()
    yield "a card of another network", json.dumps(card | {"architecture": "../../run.py"}).encode()
    yield "a card of another preparation", json.dumps(card | {"preprocessing": {}}).encode()
    yield "a card that is a pickle", pickle.dumps(card)


def onnx_files(outside: Path) -> Iterator[tuple[str, bytes]]:
    """Name, content of a sealed ``model.onnx``."""
    from onnx import helper

    good = onnx()
    yield "numbers of an ONNX file elsewhere", onnx(external=f"../{outside.name}")
    yield "numbers of an ONNX file in this folder", onnx(external="pyproject.toml")
    yield "numbers of an ONNX file on a device", onnx(external="/dev/zero")
    yield "an operator of a plug-in", onnx(helper.make_node("Relu", ["x"], ["y"], domain="evil"))
    yield "an operator that makes much of little", onnx_large(1 << 40)
    yield "a loop without end", onnx_loop(1 << 62)
    yield "functions that unfold to a thousand million layers", onnx_functions(30)
    yield (
        "functions behind a number of an unknown field",
        b"\xa1\x06" + bytes(8) + onnx_functions(30),
    )
    yield "an ONNX file of another input", good.replace(b"levels", b"crops!")
    yield "an ONNX file cut short", good[:40]
    yield "an ONNX file that is none", b"\x3a" + b"\xff" * 9 + b"\x01"


def write_artefacts(folder: Path) -> dict[str, str]:
    """Write them all; what to load by name: ``weights:PATH``, ``folder:PATH`` or ``onnx:PATH``."""
    trace = folder / TRACE
    outside = folder / "outside"
    outside.write_bytes(bytes(1 << 12))
    told: dict[str, str] = {}
    for number, (name, file, content) in enumerate(weights_files(trace)):
        place = folder / f"weights-{number}"
        place.mkdir()
        (place / file).write_bytes(content)
        told[name] = f"weights:{place / file}"
    for number, (name, content) in enumerate(sealed_weights()):
        place = seal(folder / f"sealed-{number}", content, architecture=TINY)
        told[name] = f"folder:{place}"
    for number, (name, text) in enumerate(cards(b"")):
        place = seal(folder / f"card-{number}", b"")
        (place / "model.json").write_bytes(text)
        told[name] = f"folder:{place}"
    for number, (name, content) in enumerate(onnx_files(outside)):
        digest = hashlib.sha256(content).hexdigest()
        place = seal(folder / f"onnx-{number}", b"", onnx={"sha256": digest})
        (place / "model.onnx").write_bytes(content)
        told[name] = f"onnx:{place}"
    return told | _links_and_devices(folder)


def _links_and_devices(folder: Path) -> dict[str, str]:
    good = state_of(lambda _: None)
    places = {
        "weights that are a link": "model.safetensors",
        "a card that is a link": "model.json",
        "a card that is a link to a device": "/dev/zero",
        "a card that is a pipe": "pipe",
        "a card of five gigabytes": "sparse",
    }
    told = {}
    for number, (name, what) in enumerate(places.items()):
        place = seal(folder / f"link-{number}", good if number < 2 else b"", architecture=TINY)
        card = place / "model.json"
        if what.startswith("model"):
            (place / what).rename(folder / f"linked-{number}")
            (place / what).symlink_to(f"../linked-{number}")
        elif what == "sparse":
            os.truncate(card, 5 << 30)
        elif what == "pipe":
            card.unlink()
            os.mkfifo(card)
        else:
            card.unlink()
            card.symlink_to(what)
        told[name] = f"folder:{place}"
    return told


def load_all(told: dict[str, str]) -> dict[str, str]:
    """What each artefact raises, within little memory: ``WeightsError: text``, or what else."""
    import resource
    import time

    import onnxruntime  # noqa: F401  # what is loaded now takes none of the spare memory
    import torch

    from rhoa.learning import load_model, loading
    from rhoa.learning.network import build_network

    loading.MOST_TRIAL_SECONDS = 0.5
    torch.set_num_threads(1)
    for backbone in ("resnet18", TINY):
        build_network(backbone=backbone)
    taken = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    limit = taken * resource.getpagesize() + SPARE_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    found = {}
    for name, what in told.items():
        kind, _, path = what.partition(":")
        start = time.process_time()
        try:
            if kind == "weights":
                build_network(path)
            else:
                load_model(path, device="cpu", runtime="onnx" if kind == "onnx" else "torch")
        except BaseException as error:  # noqa: BLE001  # whatever it raises is the finding
            found[name] = f"{type(error).__name__}: {error}"
        else:
            found[name] = "loaded"
        found[name] += f" [{time.process_time() - start:.1f} s]"
    return found


if __name__ == "__main__":
    json.dump(load_all(json.loads(sys.stdin.read())), sys.stdout)
