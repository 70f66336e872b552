from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__version__: str

_Triple: TypeAlias = tuple[float, float, float]

def clipped_sum(
    hu: NDArray[Any], low: float, high: float, *, axis: int, threads: int
) -> NDArray[np.float32]: ...
def running_sums(
    hu: NDArray[Any], low: float, high: float, *, axis: int, every: int, threads: int
) -> NDArray[np.float32]: ...
def sliding_slab(
    hu: NDArray[Any],
    low: float,
    high: float,
    *,
    axis: int,
    thickness: int,
    step: int,
    maximum: bool,
    threads: int,
) -> NDArray[np.float32]: ...
def oblique_sum(
    hu: NDArray[Any],
    low: float,
    high: float,
    *,
    shape: tuple[int, int, int],
    origin: _Triple,
    steps: tuple[_Triple, _Triple, _Triple],
    threads: int,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]: ...
def resliced(
    hu: NDArray[Any],
    *,
    shape: tuple[int, int, int],
    origin: _Triple,
    steps: tuple[_Triple, _Triple, _Triple],
    linear: bool,
    outside: float,
    threads: int,
) -> NDArray[np.float32]: ...
