"""Printed numbers: which values they may stand for."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rhoa import RhoaError
from rhoa.audit.reconstruction import parse


@pytest.mark.parametrize(
    ("printed", "value", "half", "twice"),
    [
        (93.3, 0.933, 0.0005, 0.0005),
        (79.0, 0.79, 0.0005, 0.005),
        (79, 0.79, 0.0005, 0.005),
        (0.93, 0.93, 0.005, 0.005),
        (0.9, 0.90, 0.005, 0.005),
        (1, 1.0, 0.005, 0.005),
        ("0.785", 0.785, 0.0005, 0.0005),
        (".5", 0.5, 0.05, 0.05),
        ("79%", 0.79, 0.005, 0.005),
        ("79.00 %", 0.79, 0.00005, 0.005),
        ("79.50", 0.795, 0.00005, 0.0005),
        ("0.5%", 0.005, 0.0005, 0.0005),
        ("100", 1.0, 0.005, 0.005),
        ("-0.12", -0.12, 0.005, 0.005),
        ("\N{MINUS SIGN}0.12", -0.12, 0.005, 0.005),
    ],
)
def test_a_number_carries_its_decimals(
    printed: float | str, value: float, half: float, twice: float
) -> None:
    found = parse("accuracy", printed)

    assert (found.value, found.half, found.twice) == pytest.approx((value, half, twice), abs=1e-15)


@given(st.decimals(0, 1, places=6), st.integers(1, 4))
def test_a_value_lies_within_half_a_unit_of_how_it_is_printed(value: Decimal, places: int) -> None:
    text = str(value.quantize(Decimal(1).scaleb(-places), ROUND_HALF_EVEN))

    found = parse("f1", text)

    assert abs(float(value) - found.value) <= found.half + 1e-15


@pytest.mark.parametrize(
    "text",
    ["0.93 [0.72-0.99]", "0.93 (0.72, 0.99)", "0.93 [0.72\N{EN DASH}0.99]", ".93 [.72 to .99]"],
)
def test_an_interval_may_follow(text: str) -> None:
    found = parse("roc_auc", text)

    assert found.interval is not None
    assert [found.value, *(bound.value for bound in found.interval)] == [0.93, 0.72, 0.99]


@pytest.mark.parametrize("text", ["", "about 0.9", "0,9", "0.9 [0.7]", "nan", "101%", "-1.5"])
def test_what_is_no_printed_share_is_refused(text: str) -> None:
    with pytest.raises(RhoaError, match="roc_auc must be a"):
        parse("roc_auc", text)
