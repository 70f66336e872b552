"""Files made to harm: each is refused by name, no code of it runs, nothing outside is touched."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.learning import artefacts

pytestmark = pytest.mark.torch

ROOT = Path(__file__).parents[2]
REFUSED = {
    "a pickle": "torch refuses it",
    "a pickle of another protocol": "torch refuses it",
    "a pickle in an archive": "torch refuses it",
    "a pickle in a legacy file": "torch refuses it",
    "a pickle called safetensors": "not a safetensors file",
    "objects in an array": "not a state dict of tensors alone",
    "a terabyte of bytes": "torch refuses it",
    "a terabyte of numbers": "torch refuses it",
    "a deflated archive": "torch refuses it",
    "an archive cut short": "torch refuses it",
    "YAML": "torch refuses it",
    "a list": "got list",
    "numbers beside tensors": "is the first layer of a ResNet18",
    "a sparse tensor": "is not dense",
    "offsets beyond the file": "not a safetensors file",
    "offsets that run backwards": "not a safetensors file",
    "tensors that overlap": "not a safetensors file",
    "a hole between tensors": "not a safetensors file",
    "a shape that overflows": "not a safetensors file",
    "a header beyond the file": "not a safetensors file",
    "a header of 100 MB": "not a safetensors file",
    "a header that nests": "not a safetensors file",
    "a dtype of no tensor": "not a safetensors file",
    "whole numbers for weights": r"not of this kind of number \(first: body\.conv1\.0\.weight\)",
    "weights that are not finite": r"not finite \(first: body\.layer3\.0\.conv1\.weight\)",
    "a variance below zero": r"variances below zero \(first: body\.bn1\.running_var\)",
    "another shape": r"misshapen \(first: fc\.weight\)",
    "a tensor too many": "1 tensors are unknown",
    "nothing": "not a safetensors file",
    "a card that nests": "not a JSON file",
    "a card of numbers without end": "not a JSON file",
    "a card with NaN": "NaN is no JSON",
    "a card of an input of a billion pixels": "image_size 1000000000",
    "a card of an input of no pixels": "image_size 0",
    "a card whose size is true": "lacks image_size",
    "a card of another network": "a resnet18",
    "a card of another preparation": "its preprocessing",
    "a card that is a pickle": "not a JSON file",
    "numbers of an ONNX file elsewhere": "ONNX Runtime refuses it",
    "an operator of a plug-in": "ONNX Runtime refuses it",
    "an operator that makes much of little": "ONNX Runtime refuses it",
    "numbers of an ONNX file in this folder": "ONNX Runtime refuses it",
    "numbers of an ONNX file on a device": "ONNX Runtime refuses it",
    "a loop without end": "ONNX Runtime refuses it",
    "functions that unfold to a thousand million layers": "it holds functions",
    "functions behind a number of an unknown field": "it holds functions",
    "an ONNX file of another input": "its input or output is not that",
    "an ONNX file cut short": "ONNX Runtime refuses it",
    "an ONNX file that is none": "ONNX Runtime refuses it",
    "weights that are a link": "a link to somewhere else",
    "a card that is a link": "a link to somewhere else",
    "a card that is a link to a device": "a link to somewhere else",
    "a card that is a pipe": "a folder, pipe or device",
    "a card of five gigabytes": "rhoa reads at most 1048576",
}
"""What each artefact is refused for."""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What each artefact raised, all in one process with little memory to spare."""
    folder = tmp_path_factory.mktemp("artefacts")
    told = artefacts.write_artefacts(folder)
    before = sorted(folder.rglob("*"))
    done = subprocess.run(
        [sys.executable, "-m", "tests.learning.artefacts"],
        input=json.dumps(told),
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        # Threads and their heaps take address space, more on a machine of more processors.
        env={**os.environ, "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"},
    )

    assert done.returncode == 0, done.stderr[-2000:]
    assert sorted(folder.rglob("*")) == before  # the trace of code that ran would be there, too
    yield json.loads(done.stdout)
    shutil.rmtree(folder)


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused(found: dict[str, str], name: str) -> None:
    assert re.match(f"WeightsError: .*{REFUSED[name]}", found[name]), found[name]


def test_all_of_them_are(found: dict[str, str]) -> None:
    assert found.keys() == REFUSED.keys()
    assert len(found) >= 12


def test_no_message_tells_where_the_folder_is(found: dict[str, str]) -> None:
    assert not [told for told in found.values() if "/artefacts" in told]


def test_a_pickle_that_is_trusted_would_have_left_the_trace(tmp_path: Path) -> None:
    """The artefacts do harm: what refuses them is rhoa."""
    import torch

    harmful = artefacts.Harmful(tmp_path / artefacts.TRACE)
    (tmp_path / "w.pth").write_bytes(artefacts.saved({"fc.weight": harmful}))

    torch.load(tmp_path / "w.pth", weights_only=False)

    assert (tmp_path / artefacts.TRACE).exists()
