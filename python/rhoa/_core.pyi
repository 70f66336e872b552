from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__version__: str

_Window: TypeAlias = tuple[float, float]
_Triple: TypeAlias = tuple[float, float, float]
_Channel: TypeAlias = tuple[_Window, float, int | None]

def reduced(
    hu: NDArray[Any], bounds: list[_Window], *, axis: int, maximum: bool, threads: int
) -> NDArray[np.float32]: ...
def running_sums(
    hu: NDArray[Any],
    window: _Window,
    out: NDArray[np.float32],
    *,
    axis: int,
    every: int,
    threads: int,
) -> None: ...
def sliding_slab(
    hu: NDArray[Any],
    window: _Window,
    out: NDArray[np.float32],
    *,
    axis: int,
    thickness: int,
    step: int,
    maximum: bool,
    threads: int,
) -> None: ...
def masked_sums(
    hu: NDArray[Any],
    labels: NDArray[np.uint8],
    channels: list[_Channel],
    *,
    axis: int,
    threads: int,
) -> NDArray[np.float32]: ...
def sheared(
    hu: NDArray[Any],
    channels: list[_Channel],
    *,
    labels: NDArray[np.uint8] | None,
    shape: tuple[int, int],
    origin: _Triple,
    steps: tuple[_Triple, _Triple, _Triple],
    depth_mm: tuple[float, float],
    threads: int,
) -> NDArray[np.float32]: ...
def inside_mm(
    hu: NDArray[Any],
    *,
    shape: tuple[int, int],
    origin: _Triple,
    steps: tuple[_Triple, _Triple, _Triple],
    depth_mm: tuple[float, float],
    threads: int,
) -> NDArray[np.float32]: ...
def projected(
    hu: NDArray[Any],
    window: _Window,
    out: NDArray[np.float32],
    *,
    shape: tuple[int, int, int],
    origin: _Triple,
    steps: tuple[_Triple, _Triple, _Triple],
    order: int,
    depth: tuple[str, int, int],
    threads: int,
) -> None: ...
def resliced(
    hu: NDArray[Any],
    out: NDArray[np.float32],
    *,
    shape: tuple[int, int, int],
    origin: _Triple,
    steps: tuple[_Triple, _Triple, _Triple],
    order: int,
    outside: float,
    threads: int,
) -> None: ...
def decoded(
    stream: bytes, *, codec: str, rows: int, columns: int, bits: int
) -> NDArray[np.unsignedinteger[Any] | np.int16]: ...
def read_once(words: NDArray[np.int64], *, threads: int) -> int: ...
def instruction_set() -> str: ...
