"""The last few things that were made, each made once even if several threads ask at once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Thing = TypeVar("Thing")


class Kept(Generic[Thing]):
    """Things by name; the one that was not asked for longest goes first.

    Examples
    --------
    >>> kept = Kept[int](most=1)
    >>> kept.get("a", lambda: 1), kept.get("a", lambda: 2)
    (1, 1)
    """

    def __init__(self, *, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._things: OrderedDict[str, Thing] = OrderedDict()
        self._makers: dict[str, threading.Lock] = {}

    def get(self, name: str, make: Callable[[], Thing]) -> Thing:
        """The thing of that name, made if it is not kept; other names need not wait for it."""
        with self._lock:
            if name in self._things:
                self._things.move_to_end(name)
                return self._things[name]
            maker = self._makers.setdefault(name, threading.Lock())
        with maker:
            with self._lock:
                if name in self._things:
                    return self._things[name]
            thing = make()
            with self._lock:
                self._things[name] = thing
                while len(self._things) > self._most:
                    self._things.popitem(last=False)
                self._makers.pop(name, None)
        return thing
