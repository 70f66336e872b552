"""Examples run as they are printed: in docstrings and in the README."""

from __future__ import annotations

import doctest
import importlib
import re
from pathlib import Path

import pytest

import rhoa
from rhoa.phantom import Anatomy, ct, write_dicom

PACKAGE = Path(rhoa.__file__).parent
README = Path(__file__).parents[1] / "README.md"
MODULES = sorted(
    ".".join(("rhoa", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
    if path.name != "__main__.py" and ">>>" in path.read_text(encoding="utf-8")
)
NEED_TORCH = {
    "rhoa.learning.incremental_inference",
    "rhoa.hips.detector",
    "rhoa.learning.trainer",
    "rhoa.learning.network",
    "rhoa.learning.torch_model",
    "rhoa.weights",
}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.torch] if name in NEED_TORCH else [])
        for name in MODULES
    ],
)
def test_docstring_examples_run(name: str) -> None:
    module = importlib.import_module(name)

    failed, tried = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)

    assert tried > 0
    assert failed == 0


def test_the_readme_examples_run_on_a_folder_of_dicom_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    phantom = ct(Anatomy.random(7), spacing_mm=(3, 3, 3), angles=(4, 0, 0))
    write_dicom(phantom.volume, tmp_path / "patient" / "ct")
    phantom.landmarks.to_json(tmp_path / "patient" / "landmarks.json")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}

    for example in examples:
        exec(compile(example, "README.md", "exec"), names)  # noqa: S102  # our own README

    assert (tmp_path / "as-scanned.png").exists()
    assert names["left"].shape == (100, 100)
    assert len([line for line in examples[0].splitlines() if line.strip()]) <= 12


def test_the_examples_of_the_evaluation_page_run_and_print_what_they_say(
    capsys: pytest.CaptureFixture[str],
) -> None:
    page = (README.parent / "docs" / "evaluation.md").read_text(encoding="utf-8")
    examples = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    said = re.findall(r"```\n(impossible.*?)```", page, re.DOTALL)
    names: dict[str, object] = {}

    for example in examples:
        exec(compile(example, "evaluation.md", "exec"), names)  # noqa: S102  # our own page

    assert len(said) == 1
    assert capsys.readouterr().out.endswith(said[0])


def test_the_readme_shows_pictures_that_exist() -> None:
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README.read_text(encoding="utf-8"))

    assert pictures
    for picture in pictures:
        assert (README.parent / picture).read_bytes().startswith(b"\x89PNG")
