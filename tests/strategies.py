"""What hypothesis draws: arrays of every type and layout, windows, rotations; small volumes."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy import ndimage

import rhoa

DTYPES = ["i1", "u1", "i2", "u2", "i4", "f4", "f8", ">i2", ">f4"]
INTEGER_DTYPES = [dtype for dtype in DTYPES if np.dtype(dtype).kind in "iu"]


@st.composite
def arrays(draw: st.DrawFn, dtypes: list[str] = DTYPES, least: int = 0) -> NDArray[np.generic]:
    """3-D arrays, contiguous or not: transposed, stepped, reversed, read-only."""
    dtype = np.dtype(draw(st.sampled_from(dtypes)))
    shape = draw(hnp.array_shapes(min_dims=3, max_dims=3, min_side=max(least, 0), max_side=7))
    bound = 5000 if dtype.itemsize > 1 else 127
    low = 0 if dtype.kind == "u" else -bound
    elements = st.floats(-bound, bound, width=32) if dtype.kind == "f" else st.integers(low, bound)
    array = draw(hnp.arrays(dtype, shape, elements=elements, fill=elements))
    array = array.transpose(draw(st.permutations(range(3))))
    steps = [draw(st.sampled_from([1, -1, 2, -2])) for _ in range(3)]
    view = array[tuple(slice(None, None, step) for step in steps)]
    view.flags.writeable = draw(st.booleans()) and view.flags.writeable
    return view


def windows() -> st.SearchStrategy[tuple[float, float]]:
    """Ascending windows, mostly whole numbers, sometimes fractional."""
    bounds = st.one_of(st.integers(-6000, 6000), st.floats(-6000, 6000, allow_nan=False, width=32))
    return (
        st.tuples(bounds, bounds)
        .map(lambda pair: (float(min(pair)), float(max(pair))))
        .filter(lambda pair: pair[0] < pair[1])
    )


def rotations(limit_deg: float) -> st.SearchStrategy[NDArray[np.float64]]:
    """Rotation matrices of up to ``limit_deg`` about each patient axis."""
    angle = st.floats(-limit_deg, limit_deg)
    return st.tuples(angle, angle, angle).map(lambda angles: rotation(*angles))


def rotation(x_deg: float, y_deg: float, z_deg: float) -> NDArray[np.float64]:
    """Right-hand turns about x, then y, then z."""
    x, y, z = np.radians([x_deg, y_deg, z_deg])
    about_x = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_z = np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def clipped(hu: NDArray[np.generic], window: tuple[float, float]) -> NDArray[np.float64]:
    return np.clip(hu.astype(np.float64), *window)


def stored(volume: rhoa.Volume, order: tuple[int, ...], flips: tuple[int, ...]) -> rhoa.Volume:
    """The same scan with its array axes permuted by ``order``, then reversed where ``flips`` is."""
    turn = np.eye(4)
    turn[:3, :3] = np.eye(3)[:, list(order)]
    for axis, flip in enumerate(flips):
        if flip:
            step = np.eye(4)
            step[axis, axis], step[axis, 3] = -1, volume.shape[order[axis]] - 1
            turn = turn @ step
    steps = tuple(slice(None, None, -1 if flip else 1) for flip in flips)
    return rhoa.Volume(volume.hu.transpose(order)[steps], volume.affine @ turn)


def marked_volume(order: tuple[int, ...], flips: tuple[int, ...]) -> rhoa.Volume:
    """Air with one bright voxel left, superior and posterior in the patient, in any order."""
    hu = np.full((5, 6, 7), -1000, np.int16)
    hu[4, 5, 6] = 600
    return stored(rhoa.Volume.from_array(hu, (2, 1.5, 1)), order, flips)


def noise_volume(shape: tuple[int, int, int] = (20, 24, 22)) -> rhoa.Volume:
    smooth = ndimage.gaussian_filter(np.random.default_rng(2).normal(0, 1, shape), 2)
    return rhoa.Volume.from_array((smooth * 3000).astype(np.float32), (1.3, 0.9, 0.8))


def posed(volume: rhoa.Volume, matrix: NDArray[np.float64]) -> rhoa.Alignment:
    """An AP frame about the middle of the volume."""
    return rhoa.Alignment(matrix, volume.to_lps((np.array(volume.shape) - 1) / 2))


def drawn_boxes() -> st.SearchStrategy[rhoa.hips.Box]:
    """Boxes of either side within a few hundred pixels, with or without a confidence."""
    return st.builds(
        lambda side, top, left, high, wide, confidence: rhoa.hips.Box(
            side, top, left, top + high, left + wide, confidence
        ),
        st.sampled_from(["left", "right"]),
        *(st.floats(-50, 400),) * 2,
        *(st.floats(1, 200),) * 2,
        st.none() | st.floats(0, 1),
    )
