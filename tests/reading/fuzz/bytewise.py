"""Ways to damage any file, byte by byte.

A mutation is a function ``(random, data, donor) -> bytes`` of a file and of another one. It decides
with ``random`` alone, so a seed repeats it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from random import Random

Mutation = Callable[[Random, bytes, bytes], bytes]

INTEGERS = (
    0, 1, 2, 3, 7, 8, 9, 12, 15, 16, 17, 31, 32, 33, 64, 127, 128, 255, 256, 512, 4095, 4096, 8191,
    8192, 8193, 16384, 30000, 32767, 32768, 65534, 65535, 65536, 1 << 24, (1 << 31) - 1, 1 << 31,
    0xFFFFFFF0, 0xFFFFFFFE, 0xFFFFFFFF,
)  # fmt: skip


def flip_bits(random: Random, data: bytes, _donor: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 4, 16))):
        changed[place_in(random, data)] ^= 1 << random.randrange(8)
    return bytes(changed)


def overwrite(random: Random, data: bytes, _donor: bytes) -> bytes:
    """A byte, word or long word becomes an interesting number."""
    size, code = random.choice(((1, "B"), (2, "H"), (4, "I"), (8, "Q")))
    number = random.choice(INTEGERS) & ((1 << 8 * size) - 1)
    place = place_in(random, data)
    return data[:place] + struct.pack(random.choice("<>") + code, number) + data[place + size :]


def truncate(random: Random, data: bytes, _donor: bytes) -> bytes:
    return data[: place_in(random, data)]


def cut_end(random: Random, data: bytes, _donor: bytes) -> bytes:
    return data[: -random.choice((1, 2, 4, 8, 16, 64))]


def remove_span(random: Random, data: bytes, _donor: bytes) -> bytes:
    place = place_in(random, data)
    return data[:place] + data[place + random.choice((1, 2, 4, 8, 12, 100)) :]


def repeat_span(random: Random, data: bytes, _donor: bytes) -> bytes:
    place, size = place_in(random, data), random.choice((1, 2, 8, 64, 500))
    return (
        data[:place]
        + data[place : place + size] * random.choice((2, 3, 20))
        + (data[place + size :])
    )


def fill_span(random: Random, data: bytes, _donor: bytes) -> bytes:
    place, size = place_in(random, data), random.choice((2, 4, 8, 32, 200))
    filling = random.choice((b"\0", b"\xff", b" ", b"\\", b"9", random.randbytes(1)))
    return data[:place] + filling * size + data[place + size :]


def splice(random: Random, data: bytes, donor: bytes) -> bytes:
    return data[: place_in(random, data)] + donor[place_in(random, donor) :]


def append(random: Random, data: bytes, donor: bytes) -> bytes:
    return data + random.choice((b"\0" * 9, donor[:600], random.randbytes(33)))


def place_in(random: Random, data: bytes) -> int:
    """A place in the data, more often near the start, where headers are."""
    reach = random.choice((400, 2000, len(data), len(data)))
    return random.randrange(max(1, min(reach, len(data))))


BYTES: tuple[Mutation, ...] = (
    flip_bits, flip_bits, overwrite, overwrite, truncate, cut_end, remove_span, repeat_span,
    fill_span, splice, append,
)  # fmt: skip
