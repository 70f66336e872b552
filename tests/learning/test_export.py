"""ONNX: the same probabilities as torch, sealed by the card, and loaded by what is there."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rhoa import cli
from rhoa.errors import ParameterError, WeightsError
from rhoa.learning import load_ensemble, load_model
from tests.learning.runs import write_run

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run folder, and what `rhoa export` made of it elsewhere."""
    folder = tmp_path_factory.mktemp("export")
    run = write_run(folder / "run", backbone="resnet18")
    assert cli.main(["export", str(run), "-o", str(folder / "onnx")]) == 0
    return run, folder / "onnx"


def crops(count: int) -> list[np.ndarray]:
    random = np.random.default_rng(count)
    return [random.integers(0, 256, (n, n)).astype(np.uint8) for n in range(30, 30 + count)]


def test_onnx_and_torch_agree(exported: tuple[Path, Path]) -> None:
    run, onnx = exported
    torch_model = load_model(run, device="cpu", runtime="torch")
    onnx_model = load_model(onnx, runtime="onnx")

    for count in (1, 5):
        difference = torch_model.predict_proba(crops(count)) - onnx_model.predict_proba(
            crops(count)
        )
        assert np.abs(difference).max() <= 1e-5
    views = [model.draws(crops(3), views=4).samples for model in (torch_model, onnx_model)]
    np.testing.assert_allclose(views[0], views[1], atol=1e-5)


def test_the_card_tells_what_goes_in_and_how_far_they_differed(
    exported: tuple[Path, Path],
) -> None:
    run, onnx = exported

    before, card = (json.loads((f / "model.json").read_text("utf-8")) for f in exported)

    assert {key: card[key] for key in before} == before
    assert card["onnx"]["input"] == "levels: uint8 (n, 40, 40)"
    assert 0 <= card["onnx"]["largest_difference_from_torch"] <= 1e-5
    assert card["preprocessing"]["mean"] == [0.485, 0.456, 0.406]
    assert sorted(path.name for path in onnx.iterdir()) == ["model.json", "model.onnx"]
    assert not (run / "model.onnx").exists()


def test_auto_takes_what_the_folder_has(exported: tuple[Path, Path], tmp_path: Path) -> None:
    run, onnx = exported
    both = shutil.copytree(run, tmp_path / "both")
    for file in onnx.iterdir():
        shutil.copy(file, both)

    found = [
        type(load_model(folder, device=device)).__name__
        for folder, device in ((run, "auto"), (onnx, "auto"), (both, "auto"), (both, "cpu"))
    ]

    assert found == ["Model", "OnnxModel", "OnnxModel", "Model"]
    mixed = load_ensemble([run, onnx]).draws(crops(2))
    assert (mixed.spread <= 1e-5).all()


def test_a_changed_onnx_file_is_refused(exported: tuple[Path, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(exported[1], tmp_path / "changed")
    content = bytearray((folder / "model.onnx").read_bytes())
    content[-1] ^= 1
    (folder / "model.onnx").write_bytes(content)

    with pytest.raises(WeightsError, match="sha256 differs"):
        load_model(folder)


def test_a_run_that_was_not_exported_says_how_to(exported: tuple[Path, Path]) -> None:
    with pytest.raises(WeightsError, match="rhoa export"):
        load_model(exported[0], runtime="onnx")


def test_onnx_runtime_has_no_gpu(exported: tuple[Path, Path]) -> None:
    with pytest.raises(ParameterError, match="ONNX Runtime works on the CPU"):
        load_model(exported[1], runtime="onnx", device="cuda")


@pytest.mark.parametrize(
    ("absent", "folder", "extra"),
    [
        (["torch"], "run", ".[train]"),
        (["torch", "onnxruntime"], "onnx", ".[onnx]"),
        (["onnxruntime"], "onnx", ".[onnx]"),
    ],
)
def test_what_is_not_installed_is_named(
    exported: tuple[Path, Path], absent: list[str], folder: str, extra: str
) -> None:
    code = (
        "import sys\n"
        f"sys.modules |= dict.fromkeys({absent!r})\n"
        "from rhoa import cli\n"
        "sys.exit(cli.main(sys.argv[1:]))"
    )
    crop = exported[0] / "crop.png"
    from rhoa.raster import encode_png

    crop.write_bytes(encode_png(crops(1)[0]))
    model = exported[0] if folder == "run" else exported[1]
    runtime = ["--runtime", "onnx"] if absent == ["onnxruntime"] else []

    done = subprocess.run(
        [sys.executable, "-c", code, "predict", str(crop), "--model", str(model), *runtime],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 3
    assert f"pip install '{extra}'" in done.stderr
