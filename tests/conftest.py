"""Fixtures shared by all tests, and what a machine without torch or real scans skips."""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import pickle
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest

import rhoa
from rhoa.dicom.header import read_header
from rhoa.errors import PoseError
from rhoa.testing import Series, make_series
from tests.pose.painted import Painted, painted
from tests.reading.series import SMALL

# A test fails for what was changed, never for what was drawn: each run draws the same examples.
# RHOA_HYPOTHESIS=random draws others, "full" many others; what fails there becomes an @example.
hypothesis.settings.register_profile("quick", deadline=None, max_examples=50, derandomize=True)
hypothesis.settings.register_profile("random", deadline=None, max_examples=50)
hypothesis.settings.register_profile("full", deadline=None, max_examples=10_000)
hypothesis.settings.load_profile(os.environ.get("RHOA_HYPOTHESIS", "quick"))

HAS_TORCH = all(importlib.util.find_spec(name) for name in ("torch", "timm"))
TORCH_REQUIRED = os.environ.get("RHOA_REQUIRE_TORCH") == "1"


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """The whole suite runs on every processor, a worker each; a file or a test that is named, here.

    Each worker computes with one thread: more would only wait for each other.
    """
    if hasattr(config, "workerinput"):  # this is a worker: it must start none of its own
        return
    options = config.option
    if not config.pluginmanager.hasplugin("xdist"):
        return
    whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    if whole and options.numprocesses is None and not (options.collectonly or options.usepdb):
        options.numprocesses, options.dist = "auto", "worksteal"
    if options.numprocesses:
        os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip torch tests without torch and timm, unless RHOA_REQUIRE_TORCH=1 makes that a failure."""
    if item.get_closest_marker("torch") and not HAS_TORCH:
        if TORCH_REQUIRED:
            pytest.fail("RHOA_REQUIRE_TORCH=1, but torch or timm is not installed")
        pytest.skip("torch or timm is not installed: pip install '.[timm]'")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real scans (RHOA_DATA, else shared/data beside the repository)."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("RHOA_DATA", beside))
    if not folder.is_dir():
        pytest.skip("no real scans: set RHOA_DATA to their folder")
    return folder


@pytest.fixture(scope="session")
def defective(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Series]:
    """``defective(name)``: a small series with this defect, written once, to be left as it is."""

    @cache
    def written(name: str) -> Series:
        return make_series(tmp_path_factory.mktemp(name) / "scan", defect=name, shape=SMALL)

    return written


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[], Any]], Any]:
    """``once(name, make)``: what ``make`` returns, made by one worker and read by the others."""
    base = tmp_path_factory.getbasetemp()
    folder = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def made(name: str, make: Callable[[], Any]) -> Any:  # noqa: ANN401
        file = folder / f"{name}.pickle"
        with (folder / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not file.exists():
                content = pickle.dumps(make())
                file.write_bytes(content)
        return pickle.loads(file.read_bytes())  # noqa: S301  # our own

    return made


@pytest.fixture
def poses_once(
    monkeypatch: pytest.MonkeyPatch, once: Callable[[str, Callable[[], Any]], Any]
) -> None:
    """The pose of equal voxels is searched once in a run: for tests of what is made of it."""

    def found(volume: rhoa.Volume, **options: Any) -> rhoa.Alignment:  # noqa: ANN401
        def search() -> PoseError | rhoa.Alignment:
            try:
                return rhoa.pose.from_volume(volume, **options)
            except PoseError as error:
                return error.with_traceback(None)

        if not isinstance(volume, rhoa.Volume):
            return rhoa.pose.from_volume(volume, **options)
        voxels = np.ascontiguousarray(volume.hu).tobytes()
        key = voxels + volume.affine.tobytes() + repr(options.get("pubis")).encode()
        made = once(f"pose-{hashlib.sha256(key).hexdigest()}", search)
        if isinstance(made, PoseError):
            raise made
        return made

    monkeypatch.setattr("rhoa.pose.automatic.from_volume", found)
    monkeypatch.setattr("rhoa.hips.extraction.from_volume", found)


@pytest.fixture(scope="session")
def colonography(
    real_data: Path, once: Callable[[str, Callable[[], Any]], Any]
) -> tuple[rhoa.Volume, list[str]]:
    """A real patient from the diaphragm to the thighs, and what is warned of as it is read.

    Every second slice, which is half the time.
    """
    folder = real_data / "real-ct" / "ct_colonography_02"
    if not folder.is_dir():
        pytest.skip("no ct_colonography_02 in RHOA_DATA")

    def read() -> tuple[rhoa.Volume, list[str]]:
        upwards = sorted(folder.iterdir(), key=lambda file: read_header(file).plane.position_mm[2])
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            volume = rhoa.read_ct(upwards[::2])
        return volume, [str(one.message) for one in caught]

    return once("colonography", read)


@pytest.fixture(scope="session")
def painted_pelves(
    real_data: Path, once: Callable[[str, Callable[[], Any]], Any]
) -> tuple[Painted, Painted]:
    """CTs painted from the experts' pelvis z013: with contrast and stool on its bone, without."""
    spacing_mm, angles = (2.0, 2.0, 2.0), (5.0, 2.0, -4.0)

    def paint() -> tuple[Painted, Painted]:
        bare = frozenset({"spine", "ribs", "table"})
        return (
            painted(real_data, "z013", 31),
            painted(real_data, "z013", 3, contents=bare, angles=angles, spacing_mm=spacing_mm),
        )

    return once("z013", paint)


@pytest.fixture(scope="session")
def painted_pelvis(painted_pelves: tuple[Painted, Painted]) -> Painted:
    """With contrast and stool against its bone."""
    return painted_pelves[0]
