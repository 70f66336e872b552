"""A small cohort that tests of one session share; each gets a copy."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.review.cohorts import make_cohort


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_cohort(tmp_path_factory.mktemp("review"), patients=3, flagged=2)


@pytest.fixture
def cohort_folder(made: tuple[Path, Path], tmp_path: Path) -> Path:
    folder = tmp_path / "hips"
    shutil.copytree(made[0], folder)
    return folder


@pytest.fixture
def scans(made: tuple[Path, Path]) -> Path:
    return made[1]
