"""Ways to damage a NIfTI file, also inside its gzip stream; see `bytewise`."""

from __future__ import annotations

import gzip
import struct
import zlib
from functools import cache
from io import BytesIO
from random import Random

from tests.reading.fuzz.bytewise import BYTES, INTEGERS, Mutation

_FIELDS = (
    (0, "i"), (39, "B"), (40, "h"), (42, "h"), (44, "h"), (46, "h"), (48, "h"), (70, "h"),
    (72, "h"), (76, "f"), (80, "f"), (84, "f"), (88, "f"), (108, "f"), (112, "f"), (116, "f"),
    (123, "B"), (252, "h"), (254, "h"), (256, "f"), (260, "f"), (264, "f"), (268, "f"), (280, "f"),
    (284, "f"), (292, "f"), (300, "f"), (344, "I"), (348, "I"), (352, "i"), (356, "i"),
)  # fmt: skip  # offset and type in NIfTI-1
_TYPES = (0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 768, 1024, 1280, 1536, 1792, 2048, 2304, -1, 3)
_FLOATS = (0.0, -0.0, 1.0, -1.0, 1e-45, 1e38, 352.0, 353.0, 1e9, 5e-3, 200.0,
           float("nan"), float("inf"), float("-inf"))  # fmt: skip


def change_field(random: Random, data: bytes, _donor: bytes) -> bytes:
    """A field of a NIfTI header becomes an interesting number."""
    for _ in range(random.choice((1, 1, 2, 3))):
        place, code = random.choice(_FIELDS)
        if place == 70:
            number: float = random.choice(_TYPES)
        else:
            number = random.choice(_FLOATS if code == "f" else INTEGERS)
        order = ">" if data[:1] == b"\0" else "<"
        if code == "f":
            field = struct.pack(order + "f", number)
        else:
            size = struct.calcsize(code)
            field = (int(number) & ((1 << 8 * size) - 1)).to_bytes(
                size, "big" if order == ">" else "little"
            )
        data = data[:place] + field + data[place + len(field) :]
    return data


def grow_volume(random: Random, data: bytes, _donor: bytes) -> bytes:
    """The dimensions of a NIfTI header grow."""
    order = ">" if data[:1] == b"\0" else "<"
    size = random.choice((64, 300, 600, 2000, 32767))
    return data[:42] + struct.pack(order + "3h", size, size, size) + data[48:]


def zipped(change: Mutation) -> Mutation:
    """The mutation inside a gzip stream, where there is one."""

    def inside(random: Random, data: bytes, donor: bytes) -> bytes:
        if data[:2] != b"\x1f\x8b":
            return change(random, data, donor)
        try:
            with gzip.open(BytesIO(data)) as stream:
                content = stream.read(1 << 20)
        except (OSError, EOFError, zlib.error):
            return change(random, data, donor)
        return gzip.compress(change(random, content, donor), 1, mtime=0)

    inside.__name__ = change.__name__
    return inside


def gzip_bomb(random: Random, data: bytes, _donor: bytes) -> bytes:
    """Members of nothing but zeros follow."""
    if data[:2] != b"\x1f\x8b":
        return data + b"\0" * 4096
    return data + _zero_member() * random.choice((1, 8, 64))


@cache
def _zero_member() -> bytes:
    return gzip.compress(bytes(4 << 20), mtime=0)


NIFTI: tuple[Mutation, ...] = (
    *map(zipped, (change_field, change_field, change_field, grow_volume, *BYTES)), gzip_bomb,
    *BYTES,
)  # fmt: skip
