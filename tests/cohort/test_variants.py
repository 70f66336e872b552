"""Other crops of the hips of a CT beside those that are graded: made, listed, trained on."""

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
from rhoa.cohort.manifest import variants_of
from rhoa.errors import ManifestError
from rhoa.hips.crop_files import crop_label
from rhoa.learning import Appearance
from rhoa.phantom import Anatomy, ct, write_dicom
from tests.commands import run
from tests.learning.squares import QUICK
from tests.pictures import levels_of

NAMES = ["bone", "attenuation", "joint", "tilted-forward", "tilted-back"]


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of one CT, whose left hip has no rHOA and whose right hip has."""
    folder = tmp_path_factory.mktemp("scans")
    phantom = ct(Anatomy.random(8), spacing_mm=(4, 3, 3))
    write_dicom(phantom.volume, folder / "scan")
    phantom.landmarks.to_json(folder / "landmarks.json")
    rows = [f"P1,ct,scan,{hip},landmarks.json,,,," for hip in ("left,,0", "right,,3")]
    (folder / "scans.csv").write_text("\n".join([",".join(COLUMNS), *rows]) + "\n", "utf-8")
    return folder / "scans.csv"


@pytest.fixture(scope="module")
def built(scans: Path, tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    out = tmp_path_factory.mktemp("study")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rhoa.RhoaWarning)
        rhoa.cohort.build(scans, out, variants=True)
    return rhoa.cohort.read(out / "manifest.csv")


def test_each_hip_of_a_ct_has_variants_beside_its_crop(built: Manifest) -> None:
    for hip in built:
        assert hip.value("variants").split() == NAMES
        plain = levels_of(hip.crop).astype(float)
        files = variants_of(hip)
        assert [file.parent for file in files] == [hip.crop.parent / "variants"] * len(NAMES)
        seen = [plain]
        for file in files:
            label, levels = crop_label(file), levels_of(file).astype(float)
            assert (label["kind"], label["source"], label["side"]) == ("crop", "ct", hip.side)
            assert levels.shape == (100, 100)
            assert np.corrcoef(levels.ravel(), plain.ravel())[0, 1] > 0.3  # the same hip
            assert all(np.abs(levels - other).mean() > 1 for other in seen)
            seen.append(levels)


def test_the_crops_and_the_rows_are_those_without_variants(
    built: Manifest, scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rhoa.RhoaWarning)
        run(capsys, "hips", scans, "-o", tmp_path / "study")
    plain = rhoa.cohort.read(tmp_path / "study" / "manifest.csv")

    assert len(plain) == len(built) == 2  # variants are no hips
    for one, other in zip(plain, built, strict=True):
        assert one.crop.read_bytes() == other.crop.read_bytes()
        assert variants_of(one) == []
        assert replace(other, image=one.image, others=()) == one
    assert not (tmp_path / "study" / "crops" / "ct" / "variants").exists()


def test_a_hip_takes_its_variants_into_its_partition(built: Manifest, tmp_path: Path) -> None:
    built.split().write(tmp_path / "split.csv")

    again = rhoa.cohort.read(tmp_path / "split.csv")

    for one, other in zip(again, built, strict=True):
        assert one.partition is not None
        assert [f.resolve() for f in variants_of(one)] == [f.resolve() for f in variants_of(other)]


def test_variants_are_of_a_table_of_scans(
    scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, said = run(capsys, "hips", scans.parent / "scan", "--variants", "-o", tmp_path / "out")

    assert code == 2
    assert "pass scans.csv" in said


@pytest.mark.torch
class TestTraining:
    RECIPE = replace(QUICK, sources=("ct",), epochs=1, appearance=Appearance(variants=1))

    def test_it_may_show_them_and_grades_the_crops(self, built: Manifest, tmp_path: Path) -> None:
        placed = Manifest(tuple(replace(hip, partition="train") for hip in built))
        one, other, plain = (
            rhoa.train(placed, recipe, tmp_path / name, weights="none")
            for name, recipe in (
                ("one", self.RECIPE),
                ("two", self.RECIPE),
                ("plain", replace(self.RECIPE, appearance=Appearance())),
            )
        )

        digests = [
            json.loads((folder / "model.json").read_text())["weights_sha256"]
            for folder in (one, other, plain)
        ]
        assert digests[0] == digests[1] != digests[2]
        assert len(json.loads((one / "run.json").read_text())["variants_sha256"]) == 64
        scores = (one / "predictions.csv").read_text(encoding="utf-8")
        assert scores.count("\n") == 3  # a head, and a row a hip
        assert "tilted" not in scores.replace("variants", "")

    def test_a_variant_that_is_gone_is_named(self, built: Manifest, tmp_path: Path) -> None:
        lost = [
            replace(hip, partition="train", others=(("variants", "bone frontal"),)) for hip in built
        ]

        with pytest.raises(ManifestError, match=r"P1_left_frontal.png: no such variant"):
            rhoa.train(Manifest(tuple(lost)), self.RECIPE, tmp_path / "run", weights="none")

    def test_without_any_it_says_so(self, built: Manifest, tmp_path: Path) -> None:
        bare = Manifest(tuple(replace(hip, partition="train", others=()) for hip in built))

        with pytest.warns(rhoa.RhoaWarning, match="no training hip has variants"):
            rhoa.train(bare, self.RECIPE, tmp_path / "run", weights="none")
