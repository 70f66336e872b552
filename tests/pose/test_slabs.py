"""What is done in slabs is what is done whole, to the bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter, uniform_filter

from rhoa.parallel import by_slabs
from rhoa.pose.bone import RANGE_HU, SMOOTHING_VOXELS, smoothed


@given(
    slices=st.integers(1, 40),
    width=st.integers(1, 9),
    threads=st.integers(1, 5),
    seed=st.integers(0, 99),
)
def test_a_filter_in_slabs_equals_the_filter(
    slices: int, width: int, threads: int, seed: int
) -> None:
    array = np.random.default_rng(seed).random((slices, 4, 5)) > 0.4

    def means(slab: np.ndarray) -> np.ndarray:
        return uniform_filter(slab.astype(np.float32), width)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RHOA_NUM_THREADS", str(threads))
        result = by_slabs(means, array, reach=width)

    np.testing.assert_array_equal(result, means(array))


def test_smoothing_does_not_depend_on_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    hu = np.random.default_rng(1).normal(100, 400, (37, 12, 11)).astype(np.float32)
    whole = gaussian_filter(np.clip(hu, *RANGE_HU), SMOOTHING_VOXELS, truncate=4.0)

    for threads in (1, 2, 7):
        monkeypatch.setenv("RHOA_NUM_THREADS", str(threads))

        np.testing.assert_array_equal(smoothed(hu), whole)
