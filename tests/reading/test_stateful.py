"""Whatever happens to the slices of a scan, it is read as NumPy stacks them, or refused."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from numpy.typing import NDArray

import rhoa
from rhoa import errors
from rhoa.reading import read_ct
from rhoa.reading.repairs import REPAIRS
from rhoa.testing.synthetic import ROOT, VoxelGrid, decimals, image_dataset, save, set_pixels

SPACING_MM = 2.0
SHAPE = (4, 5)
SERIES = ("1", "2")
SAME_MM = (0.001, 0.051)
"""Copies nearer to each other than the first are one slice; nearer than the second, they may be."""
EVEN_MM = 0.04
"""A stack that is this even must be read."""
PLACE_MM = 0.25
"""A slice that is read lies within this of where its file says."""
SPOILED: dict[str, Callable[[Any, NDArray[np.int64]], object]] = {
    "position": lambda image, _: delattr(image, "ImagePositionPatient"),
    "slope": lambda image, _: delattr(image, "RescaleSlope"),
    "pixels": lambda image, _: setattr(image, "PixelData", image.PixelData[:-8]),
    "pixel size": lambda image, _: setattr(image, "PixelSpacing", ["1.1", "1.1"]),
    "orientation": lambda image, _: setattr(
        image, "ImageOrientationPatient", decimals([0.8, 0.6, 0, -0.6, 0.8, 0])
    ),
    "size": lambda image, stored: set_pixels(image, stored[:-1]),
}
"""What makes a slice unfit for the stack that the others form."""
UNIFORM = {"": 1.0, "orientation": 1.0, "size": 1.0, "pixel size": 1.1}
"""What all slices may have in common and be a volume still; and its pixel size in mm."""
WAYS = ((1.0, 0.0), (0.8, 0.6))
"""The direction of growing column index, as it should be and as "orientation" has it."""


@dataclass(frozen=True, eq=False)
class Slice:
    """One file as the model knows it."""

    path: Path
    series: str
    z_mm: float
    x_mm: float
    hu: NDArray[np.int64]
    intercept: int = -1024
    number: int = 1
    spoiled: str = ""

    def write(self) -> None:
        grid = VoxelGrid(
            spacing_mm=(0.0, 1.0, 1.0), origin_mm=(self.x_mm, 0.0, self.z_mm), shape=(1, *SHAPE)
        )
        image: Any = image_dataset(grid, 0, self.hu, series=self.series)
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = f"{ROOT}{self.number}"
        image.InstanceNumber = image.AcquisitionNumber = self.number
        set_pixels(image, self.hu - self.intercept)
        image.RescaleIntercept = str(self.intercept)
        if self.spoiled:
            SPOILED[self.spoiled](image, self.hu - self.intercept)
        save(image, self.path)

    def is_copy_of(self, other: Slice, apart_mm: float) -> bool:
        return (
            abs(self.z_mm - other.z_mm) < apart_mm
            and abs(self.x_mm - other.x_mm) < apart_mm
            and self.spoiled == other.spoiled
            and np.array_equal(self.hu, other.hu)
        )


class Scan(RuleBasedStateMachine):
    """A folder of slices of two series, and what happens to it."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.slices: list[Slice] = []
        self.made = 0

    def teardown(self) -> None:
        self.folder.cleanup()

    def next_path(self) -> Path:
        self.made += 1
        return Path(self.folder.name) / f"{self.made:04d}"

    def put(self, made: Slice) -> None:
        made.write()
        self.slices.append(made)

    def change(self, pick: int, **changes: object) -> None:
        n = pick % len(self.slices)
        self.slices[n] = replace(self.slices[n], **changes)
        self.slices[n].write()

    def new_slice(self, place: int, series: str) -> Slice:
        path = self.next_path()
        j, i = np.indices(SHAPE)
        return Slice(path, series, SPACING_MM * place, 0.0, 10 * self.made + 3 * j + i)

    @initialize(count=st.integers(2, 6))
    def start(self, count: int) -> None:
        for place in range(count):
            self.put(self.new_slice(place, SERIES[0]))

    @rule(place=st.integers(-2, 8), series=st.sampled_from(SERIES))
    def add(self, place: int, series: str) -> None:
        self.put(self.new_slice(place, series))

    @rule()
    def add_on_top(self) -> None:
        mine = [one.z_mm for one in self.slices if one.series == SERIES[0]]
        top = max(mine, default=0.0)
        self.put(replace(self.new_slice(0, SERIES[0]), z_mm=top + SPACING_MM))

    @precondition(lambda self: self.slices)
    @rule(pick=st.integers(0, 99))
    def drop(self, pick: int) -> None:
        self.slices.pop(pick % len(self.slices)).path.unlink()

    @precondition(lambda self: self.slices)
    @rule(pick=st.integers(0, 99))
    def duplicate(self, pick: int) -> None:
        self.put(replace(self.slices[pick % len(self.slices)], path=self.next_path()))

    @precondition(lambda self: self.slices)
    @rule(
        pick=st.integers(0, 99),
        z_mm=st.sampled_from([0.0, 0.01, -0.01, 0.3, SPACING_MM, -2 * SPACING_MM]),
        x_mm=st.sampled_from([0.0, 0.0, 0.01, 3.0]),
    )
    def shift(self, pick: int, z_mm: float, x_mm: float) -> None:
        old = self.slices[pick % len(self.slices)]
        self.change(pick, z_mm=old.z_mm + z_mm, x_mm=old.x_mm + x_mm)

    @precondition(lambda self: self.slices)
    @rule(pick=st.integers(0, 99), series=st.sampled_from(SERIES))
    def retag(self, pick: int, series: str) -> None:
        self.change(pick, series=series)

    @precondition(lambda self: self.slices)
    @rule(pick=st.integers(0, 99), number=st.integers(1, 9), intercept=st.integers(-2000, -1000))
    def renumber(self, pick: int, number: int, intercept: int) -> None:
        self.change(pick, number=number, intercept=intercept)

    @precondition(lambda self: self.slices)
    @rule(pick=st.integers(0, 99), how=st.sampled_from(["", *SPOILED]))
    def spoil(self, pick: int, how: str) -> None:
        self.change(pick, spoiled=how)

    @rule(random=st.randoms(use_true_random=False))
    def permute(self, random: Random) -> None:
        """New names in another order."""
        random.shuffle(self.slices)
        for n, one in enumerate(self.slices):
            path = self.next_path()
            one.path.rename(path)
            self.slices[n] = replace(one, path=path)

    @rule(repair=st.sets(st.sampled_from(sorted(REPAIRS)), min_size=1))
    def read_with_repairs(self, repair: set[str]) -> None:
        """Whatever a repair makes, a slice that nothing was done to is as it was, in its place."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", rhoa.RhoaWarning)
                volume = read_ct(self.folder.name, repair=repair)
        except errors.RhoaError:
            return
        report = volume.report or {}
        done = {record["name"] for record in report["repairs"]}
        assert done <= repair
        if done & {"tilt", "spacing"}:
            return
        filled = {k for one in report["repairs"] if one["name"] == "gaps" for k in one["slices"]}
        for k in sorted(set(range(volume.shape[0])) - filled):
            assert any(is_slice(volume, k, one) for one in self.slices), f"slice {k} is no file's"
        for k in filled:
            between = (volume.hu[k - 1].astype(int) + volume.hu[k + 1]) / 2
            assert np.abs(volume.hu[k] - between).max() <= 0.5

    @invariant()
    def what_is_read_is_what_numpy_stacks(self) -> None:
        strict, loose = (
            [stack for stack in (distinct(self.slices, series, mm) for series in SERIES) if stack]
            for mm in SAME_MM
        )
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", rhoa.RhoaWarning)
                volume = read_ct(self.folder.name)
        except errors.RhoaError:
            without_doubt = len(strict) == 1 and is_even(strict[0]) and alike(self.slices)
            assert not without_doubt, "a scan without fault was refused"
            return
        assert sum(is_even(stack) for stack in loose) <= 1, "one of two scans was read"
        assert any(agrees(volume, stack) for stack in (*strict, *loose))


def distinct(slices: list[Slice], series: str, apart_mm: float) -> list[Slice]:
    """The slices of one series in ascending order, copies once."""
    kept: list[Slice] = []
    for one in sorted((s for s in slices if s.series == series), key=lambda s: s.z_mm):
        if not any(one.is_copy_of(other, apart_mm) for other in kept):
            kept.append(one)
    return kept


def alike(slices: list[Slice]) -> bool:
    """Whether slices with the same values hold the same bytes at exactly one place."""
    return all(
        (one.z_mm, one.x_mm, one.intercept) == (other.z_mm, other.x_mm, other.intercept)
        for one, other in itertools.combinations(slices, 2)
        if np.array_equal(one.hu, other.hu)
    )


def is_even(stack: list[Slice]) -> bool:
    """Whether slices form a volume without any doubt."""
    if len(stack) < 2 or any(one.spoiled for one in stack):
        return False
    z, x = (np.array([getattr(one, name) for one in stack]) for name in ("z_mm", "x_mm"))
    steps = np.diff(z)
    return bool(steps.min() > 0.5 and np.ptp(steps) <= EVEN_MM and np.ptp(x) == 0)


def is_slice(volume: rhoa.Volume, k: int, one: Slice) -> bool:
    """Whether slice ``k`` of a volume is one of the files, at its place."""
    place = volume.to_lps([k, 0, 0])
    found: NDArray[np.int64] = volume.hu[k]
    return (
        np.array_equal(found, one.hu[: len(found)])
        and float(np.abs(place - (one.x_mm, 0.0, one.z_mm)).max()) < PLACE_MM
    )


def agrees(volume: rhoa.Volume, stack: list[Slice]) -> bool:
    """Whether a volume is exactly this stack, every slice at its place."""
    kinds = {one.spoiled for one in stack}
    if len(kinds) != 1 or not kinds <= set(UNIFORM):
        return False
    (kind,) = kinds
    hu = np.array([one.hu[:-1] if kind == "size" else one.hu for one in stack])
    true = np.array([(one.x_mm, 0.0, one.z_mm) for one in stack])
    return bool(
        np.array_equal(volume.hu, hu)
        and np.abs(volume.to_lps([(k, 0, 0) for k in range(len(hu))]) - true).max() < PLACE_MM
        and np.allclose(volume.spacing_mm[1:], UNIFORM[kind])
        and np.allclose(volume.affine[:2, 2] / UNIFORM[kind], WAYS[kind == "orientation"])
    )


TestScan = pytest.mark.filterwarnings("error")(Scan.TestCase)
TestScan.settings = settings(max_examples=60, stateful_step_count=12, deadline=None)
