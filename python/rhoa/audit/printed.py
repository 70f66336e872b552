"""Figures as papers print them: the numbers that round to what is printed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

from rhoa.errors import ParameterError

_NUMBER = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))\s*(%?)")
_INTERVAL = re.compile(
    r"(?P<value>[^\[(]+?)\s*[\[(]\s*(?P<low>[^\s,;\u2013-]+)\s*(?:,|;|-|\u2013|to)\s*"
    r"(?P<high>[^\s\])]+)\s*[\])]"
)


@dataclass(frozen=True, slots=True)
class Printed:
    """A printed number as a fraction of one, and half a unit of its last digit.

    ``twice`` is half a unit of the last digit before trailing zeros, where the number is a
    percentage that ends with them: 79.0 may be .7889 rounded to .79 first. It equals ``half`` where
    that cannot be. ``percent`` says whether it is a percentage; ``interval`` holds the printed
    confidence bounds, if any.
    """

    text: str
    value: float
    half: float
    twice: float
    percent: bool
    interval: tuple[Printed, Printed] | None = None


def parse(figure: str, printed: float | str | Printed) -> Printed:
    """``printed`` of ``figure`` as a `Printed`.

    A number above one is a percentage with one decimal, any other a fraction with two. Text carries
    its own decimals, may end in ``%``, and may be followed by its interval, as in
    ``"0.93 [0.72-0.99]"``.

    Raises
    ------
    ParameterError
        If it is no number, or no share.

    Examples
    --------
    >>> parse("accuracy", 79.0)
    Printed(text='79.0', value=0.79, half=0.0005, twice=0.005, percent=True, interval=None)
    >>> parse("f1", "0.785").half
    0.0005
    """
    if isinstance(printed, Printed):
        return printed
    if isinstance(printed, bool) or not isinstance(printed, str | float | int):
        raise ParameterError(f"{figure} must be a printed number; got {printed!r}.")
    text = printed.strip() if isinstance(printed, str) else _as_printed(printed)
    bounds = _INTERVAL.fullmatch(text)
    if bounds is None:
        return _number(figure, text)
    value = _number(figure, bounds["value"])
    low, high = (_number(figure, bounds[name]) for name in ("low", "high"))
    return Printed(text, value.value, value.half, value.twice, value.percent, (low, high))


def _as_printed(number: float) -> str:
    return f"{number:.1f}" if number > 1 else f"{number:.2f}"


def _number(figure: str, text: str) -> Printed:
    found = _NUMBER.fullmatch(text.strip().replace("\u2212", "-"))
    if found is None:
        raise ParameterError(
            f"{figure} must be a number as printed, such as 79.2, 79.2% or 0.79; got {text!r}."
        )
    number, sign = Decimal(found[1]), found[2]
    percent = bool(sign) or number > 1
    last = int(number.as_tuple().exponent)
    kept = min(0, int(number.normalize().as_tuple().exponent)) if percent else last
    scale = Decimal("0.01") if percent else Decimal(1)
    value, half, twice = number * scale, scale * _half(last), scale * _half(max(last, kept))
    if not -1 <= value <= 1:
        raise ParameterError(
            f"{figure} must be a share: 0 to 1, or a percentage to 100; got {text!r}."
        )
    return Printed(text.strip(), float(value), float(half), float(twice), percent)


def _half(exponent: int) -> Decimal:
    return Decimal(5).scaleb(exponent - 1)
