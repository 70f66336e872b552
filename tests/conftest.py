"""Fixtures shared by all tests, and what a machine without torch or real scans skips."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import hypothesis
import pytest

# A test fails for what was changed, never for what was drawn: each run draws the same examples.
# RHOA_HYPOTHESIS=random draws others, "full" many others; what fails there becomes an @example.
hypothesis.settings.register_profile("quick", deadline=None, max_examples=50, derandomize=True)
hypothesis.settings.register_profile("random", deadline=None, max_examples=50)
hypothesis.settings.register_profile("full", deadline=None, max_examples=10_000)
hypothesis.settings.load_profile(os.environ.get("RHOA_HYPOTHESIS", "quick"))

HAS_TORCH = importlib.util.find_spec("torch") is not None
TORCH_REQUIRED = os.environ.get("RHOA_REQUIRE_TORCH") == "1"


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip torch tests without torch, unless RHOA_REQUIRE_TORCH=1 makes its absence a failure."""
    if item.get_closest_marker("torch") and not HAS_TORCH:
        if TORCH_REQUIRED:
            pytest.fail("RHOA_REQUIRE_TORCH=1, but torch is not installed")
        pytest.skip("torch is not installed: pip install '.[train]'")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real scans (RHOA_DATA, else shared/data beside the repository)."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("RHOA_DATA", beside))
    if not folder.is_dir():
        pytest.skip("no real scans: set RHOA_DATA to their folder")
    return folder
