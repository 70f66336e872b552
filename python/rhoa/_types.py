"""Types of every room: the two sides of a patient, and results that nobody changes."""

from __future__ import annotations

from dataclasses import fields
from types import MappingProxyType
from typing import Any, Literal

Side = Literal["left", "right"]
SIDES: tuple[Side, Side] = ("left", "right")


class Frozen:
    """Base of a frozen dataclass whose copies, those of other processes too, are as read-only.

    A copy is made anew of the fields: a read-only mapping cannot be pickled, and an array that is
    read-only is not once it was.
    """

    __slots__ = ()

    def __reduce__(self) -> tuple[Any, ...]:
        values = (getattr(self, one.name) for one in fields(self))  # type: ignore[arg-type]
        plain = (dict(one) if isinstance(one, MappingProxyType) else one for one in values)
        return type(self), tuple(plain)
