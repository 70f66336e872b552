"""Results that nobody changes: other processes get them as they are, and as read-only."""

from __future__ import annotations

import ast
import pickle
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import fields, is_dataclass
from functools import cache

import numpy as np
import pytest

import rhoa
from rhoa.hips import ExtractedHips
from rhoa.phantom import Anatomy, Phantom, ct
from tests.test_house import HOUSE

OF_A_SCAN = (
    *("Alignment", "Coverage", "ExtractedHips", "HipCoverage", "Landmarks", "Radiograph"),
    "Volume",
)
MODEL = pytest.param("Model", marks=pytest.mark.torch)


@cache
def phantom() -> Phantom:
    return ct(Anatomy.random(3), spacing_mm=(4, 4, 4))


@cache
def extracted() -> ExtractedHips:
    return rhoa.hips.extract(phantom().volume, pose=phantom().landmarks)


def made(name: str) -> object:
    if name == "Model":
        import torch

        from rhoa.learning import Model

        return Model(torch.nn.Linear(2, 2), {"size": 100}, torch.device("cpu"))
    hips = extracted()
    return {
        "Alignment": hips.alignment,
        "Coverage": hips.coverage,
        "ExtractedHips": hips,
        "HipCoverage": hips.coverage.hips["left"],
        "Landmarks": phantom().landmarks,
        "Radiograph": hips.image,
        "Volume": phantom().volume,
    }[name]


def content(value: object) -> object:
    """All that it holds, of which type, and which of its arrays may be written to."""
    if is_dataclass(value):
        return type(value), [content(getattr(value, one.name)) for one in fields(value)]
    if isinstance(value, Mapping):
        return type(value), {key: content(one) for key, one in value.items()}
    if isinstance(value, np.ndarray):
        return value.dtype, value.shape, value.flags.writeable, value.tobytes()
    if isinstance(value, tuple | list):
        return type(value), [content(one) for one in value]
    if hasattr(value, "state_dict"):  # a network
        return content({name: one.numpy() for name, one in value.state_dict().items()})
    return value


@pytest.mark.parametrize("name", [*OF_A_SCAN, MODEL])
def test_a_copy_is_what_it_was_and_as_read_only(name: str) -> None:
    result = made(name)
    assert type(result).__name__ == name

    for copied in (pickle.loads(pickle.dumps(result)), deepcopy(result)):  # noqa: S301  # our own
        assert content(copied) == content(result)


def test_every_class_that_makes_a_mapping_read_only_is_one_of_these() -> None:
    classes = [
        node
        for module in HOUSE.modules.values()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ClassDef)
    ]

    holders = {node.name for node in classes if "MappingProxyType(dict(" in ast.unparse(node)}
    copied = {node.name for node in classes if "Frozen" in map(ast.unparse, node.bases)}

    assert holders <= copied == {*OF_A_SCAN, "Model"}
