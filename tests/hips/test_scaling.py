"""Crops of CT-APs over a range of attenuation that is the same for all, and who remembers it."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import rhoa
from rhoa.cohort import Manifest
from rhoa.cohort.builder import COLUMNS
from rhoa.errors import ManifestError, ParameterError, PoseError, ViewError
from rhoa.hips import Box, model_crop
from rhoa.hips.crop_files import crop_label
from rhoa.phantom import Anatomy, ct, write_dicom
from tests.learning.squares import QUICK
from tests.pictures import levels_of


def even(attenuation: float, *, scaling: str) -> rhoa.Radiograph:
    """Attenuation of two values, the right half 1 above the left."""
    pixels = np.full((20, 20), attenuation, np.float32)
    pixels[:, 10:] += 1
    return rhoa.Radiograph(pixels, (1.0, 1.0), provenance={"crop_scaling": scaling})


@pytest.mark.parametrize("attenuation", [2.0, 3.5, 6.0])
def test_fixed_levels_are_those_of_attenuation_and_stretched_ones_of_no_unit(
    attenuation: float,
) -> None:
    """Black is 2, white 8; a level is 6 / 255."""
    box = Box("left", 0, 0, 20, 20)

    fixed = model_crop(even(attenuation, scaling="fixed"), box, source="ct")
    stretched = model_crop(even(attenuation, scaling="stretched"), box, source="ct")

    assert np.abs(fixed[:, 10] / 255 * 6 + 2 - attenuation).max() <= 3 / 255 + 1e-5
    assert np.abs(fixed[:, 90] / 255 * 6 + 2 - attenuation - 1).max() <= 3 / 255 + 1e-5
    assert (set(stretched[:, 10]), set(stretched[:, 90])) == ({0}, {255})


def test_other_sums_than_attenuation_have_no_fixed_scale() -> None:
    phantom = ct(Anatomy.random(1), spacing_mm=(6, 6, 6))

    for wrong in ({"window": (0, 100)}, {"transform": "hu"}, {"reduce": "mean"}):
        with pytest.raises(ParameterError, match="leave out window, reduce and transform"):
            rhoa.hips.extract(phantom.volume, pose=phantom.landmarks, scaling="fixed", **wrong)
    with pytest.raises(ParameterError, match="scaling must be one of"):
        rhoa.hips.extract(phantom.volume, pose=phantom.landmarks, scaling="full")


def unsearched(_: object) -> rhoa.Alignment:
    """Landmarks are not compared with a pose that is searched, which takes seconds."""
    raise PoseError("not searched")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest]:
    """The folder of a scan with its study, and the manifest of its crops of fixed scaling."""
    folder = tmp_path_factory.mktemp("scans")
    phantom = ct(Anatomy.random(8), spacing_mm=(4, 3, 3))
    write_dicom(phantom.volume, folder / "scan")
    phantom.landmarks.to_json(folder / "landmarks.json")
    rows = [f"P1,ct,scan,{hip},landmarks.json,,,," for hip in ("left,,0", "right,,3")]
    (folder / "scans.csv").write_text("\n".join([",".join(COLUMNS), *rows]) + "\n", "utf-8")
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("ignore", rhoa.RhoaWarning)
        patch.setattr("rhoa.hips.extraction.from_volume", unsearched)
        manifest = rhoa.cohort.build(folder / "scans.csv", folder / "study", scaling="fixed")
    return folder, Manifest(tuple(replace(hip, partition="train") for hip in manifest))


def test_levels_of_a_cohort_are_attenuation_again(built: tuple[Path, Manifest]) -> None:
    """The crop's level is the CT-AP's attenuation in its middle, where the femoral head lies."""
    folder, manifest = built
    image = rhoa.Radiograph.load(folder / "study" / "ct-ap" / "P1.npz")
    boxes = rhoa.hips.boxes(image)
    for hip in manifest:
        assert crop_label(hip.crop)["crop_scaling"] == "fixed"
        row, column = (int(at) for at in boxes[hip.side].centre)
        near = image.pixels[row - 1 : row + 2, column - 1 : column + 2].mean()
        level = levels_of(hip.crop)[48:52, 48:52].mean()
        assert level / 255 * 6 + 2 == pytest.approx(float(near), abs=0.15)


@pytest.fixture(scope="module")
def run(built: tuple[Path, Manifest]) -> Path:
    recipe = replace(QUICK, sources=("ct",), epochs=1)
    return rhoa.train(built[1], recipe, built[0] / "run", weights="none")


@pytest.mark.torch
class TestModels:
    def test_a_model_grades_scans_as_its_training_crops_were_scaled(
        self, run: Path, built: tuple[Path, Manifest], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("rhoa.hips.extraction.from_volume", unsearched)
        folder, manifest = built
        assert json.loads((run / "model.json").read_text())["crop_scaling"] == "fixed"
        model = rhoa.load_model(run, device="cpu")
        landmarks = rhoa.Landmarks.from_json(folder / "landmarks.json")

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", rhoa.RhoaWarning)
            rows = rhoa.predict(folder / "scan", model, pose=landmarks)

        crops = [rhoa.hips.read_crop(hip.crop) for hip in manifest]
        expected = model.predict_proba(crops)[:, 1]
        assert [row["probability"] for row in rows] == pytest.approx(expected, abs=2e-6)

    def test_crops_of_the_other_scaling_are_refused(
        self, run: Path, built: tuple[Path, Manifest], tmp_path: Path
    ) -> None:
        other = rhoa.hips.crop_files.encode_crop(
            levels_of(built[1].hips[0].crop), side="left", source="ct"
        )
        (tmp_path / "left.png").write_bytes(other)

        with pytest.raises(ViewError, match="a crop of stretched scaling, and the model knows fix"):
            rhoa.predict(tmp_path / "left.png", run, device="cpu")
        (row,) = rhoa.predict(tmp_path / "left.png", run, device="cpu", accept=("label",))
        assert row["usable"]

    def test_a_manifest_of_both_is_refused(
        self, built: tuple[Path, Manifest], tmp_path: Path
    ) -> None:
        left, right = built[1].hips
        file = tmp_path / "left.png"
        file.write_bytes(
            rhoa.hips.crop_files.encode_crop(levels_of(left.crop), side="left", source="ct")
        )
        mixed = Manifest((replace(left, image=file, sha256=None), right))

        with pytest.raises(ManifestError, match="CT-AP crops of both scalings"):
            rhoa.train(mixed, replace(QUICK, sources=("ct",)), tmp_path / "run", weights="none")
