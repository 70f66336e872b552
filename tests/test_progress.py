"""The progress bar: what a terminal shows, and what a log keeps."""

from __future__ import annotations

import io

import pytest

from rhoa.cli import common


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(common.time, "monotonic", lambda: now[0])
    return now


def test_a_terminal_shows_how_long_the_rest_takes_at_the_pace_so_far(clock: list[float]) -> None:
    """Five were done before; then two in ten seconds: the 13 that are left take 65."""
    terminal = Terminal()
    show = common.bar(terminal)

    show(5, 20, "cases")
    clock[0] += 10
    show(7, 20, "cases")

    assert terminal.getvalue().endswith("7/20 cases  65 s left")


def test_minutes_are_told_as_minutes(clock: list[float]) -> None:
    terminal = Terminal()
    show = common.bar(terminal)

    show(0, 100, "cases")
    clock[0] += 60
    show(10, 100, "cases")

    assert terminal.getvalue().endswith("9 min left")


def test_the_end_tells_how_long_it_took(clock: list[float]) -> None:
    terminal = Terminal()
    show = common.bar(terminal)

    show(0, 2, "cases")
    clock[0] += 4
    show(2, 2, "cases")

    assert terminal.getvalue().endswith("2/2 cases  4 s\n")


def test_a_log_keeps_one_line_a_stage(clock: list[float]) -> None:
    log = io.StringIO()
    show = common.bar(log)

    for done in range(4):
        show(done, 3, "reading: one file")
        clock[0] += 1

    assert log.getvalue() == "reading: 3 done in 3 s\n"


def test_a_log_keeps_a_line_for_each_part_of_a_stage(clock: list[float]) -> None:
    log = io.StringIO()
    show = common.bar(log)

    for done in range(1, 5):
        show(done, 4, f"training: model-{(done + 1) // 2}")
        clock[0] += 2

    assert log.getvalue().splitlines() == [
        "training: model-1: done in 4 s",
        "training: model-2: done in 2 s",
        "training: 4 done in 6 s",
    ]
