"""Run folders without training: random weights, or a classifier whose answers are known."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.learning.squares import QUICK, TINY


def write_run(folder: Path, *, seed: int = 1, backbone: str = TINY) -> Path:
    """A run folder with ``model.safetensors`` and ``model.json``, inputs of 40 pixels."""
    from rhoa.learning.network import build_network
    from rhoa.learning.torch_model import save_model

    folder.mkdir(parents=True, exist_ok=True)
    network = build_network(seed=seed, backbone=backbone)
    recipe = replace(QUICK, backbone=backbone)
    save_model(network, folder, recipe=recipe, seed=seed, notes={})
    return folder


def seal(folder: Path, content: bytes, **entries: object) -> Path:
    """A folder whose card truly seals this ``model.safetensors``, whatever it is."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.safetensors").write_bytes(content)
    card = {
        "architecture": "resnet18",
        "image_size": 40,
        "xray_size": None,
        "weights_sha256": hashlib.sha256(content).hexdigest(),
    }
    (folder / "model.json").write_text(json.dumps(card | entries))
    return folder


def brightness(levels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """What the classifier of `write_onnx_run` says of grey levels ``(n, rows, columns)``."""
    grey = levels.astype(np.float64).mean(axis=(1, 2)) / 255
    return np.stack([1 / (1 + np.exp(4 * grey - 2)), 1 / (1 + np.exp(2 - 4 * grey))], axis=1)


def write_onnx_run(folder: Path, *, size: int = 40) -> Path:
    """A folder as `rhoa.learning.export_onnx` leaves it; the model grades by brightness alone."""
    from onnx import TensorProto, helper

    weights = [[-2 / 255, 2 / 255]]
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["levels"], ["grey"], to=TensorProto.FLOAT),
            helper.make_node("Reshape", ["grey", "flat"], ["pixels"]),
            helper.make_node("ReduceMean", ["pixels"], ["mean"], axes=[1], keepdims=1),
            helper.make_node("Gemm", ["mean", "weights", "bias"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        ],
        "brightness",
        [helper.make_tensor_value_info("levels", TensorProto.UINT8, ["n", size, size])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", 2])],
        [
            helper.make_tensor("flat", TensorProto.INT64, [2], [-1, size * size]),
            helper.make_tensor("weights", TensorProto.FLOAT, [1, 2], weights[0]),
            helper.make_tensor("bias", TensorProto.FLOAT, [2], [1.0, -1.0]),
        ],
    )
    opset = [helper.make_opsetid("", 17)]
    content = helper.make_model(graph, opset_imports=opset, ir_version=9).SerializeToString()
    digest = hashlib.sha256(content).hexdigest()
    seal(folder, b"", image_size=size, recipe="brightness", onnx={"sha256": digest})
    (folder / "model.onnx").write_bytes(content)
    (folder / "model.safetensors").unlink()
    return folder
