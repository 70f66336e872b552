"""Learning curves: a row for each iteration, readable while the run goes on."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from rhoa.errors import require_extra
from rhoa.writing import atomic_write, csv_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

HISTORY_CSV, HISTORY_JSONL = "history.csv", "history.jsonl"


class Step(NamedTuple):
    """One iteration: a row of ``history.csv``; validation is None between validations."""

    iteration: int
    epoch: int
    learning_rate: float
    train_loss: float
    train_accuracy: float
    val_loss: float | None = None
    val_accuracy: float | None = None
    val_auc: float | None = None


def write_curves(folder: Path, history: Sequence[Step]) -> None:
    """``history.csv`` and ``history.jsonl``, whole."""
    atomic_write(folder / HISTORY_CSV, csv_text(Step._fields, history))
    atomic_write(folder / HISTORY_JSONL, "".join(map(_json_line, history)))


@contextmanager
def growing(
    folder: Path, history: Sequence[Step], *, tensorboard: Path | None
) -> Iterator[Callable[[Step], None]]:
    """A function that adds a step to the curves of ``folder``, which begin with ``history``."""
    write_curves(folder, history)
    board = None if tensorboard is None else _board(tensorboard, len(history))
    with (
        (folder / HISTORY_CSV).open("a", encoding="utf-8", newline="") as table,
        (folder / HISTORY_JSONL).open("a", encoding="utf-8") as lines,
    ):

        def add(step: Step) -> None:
            table.write(csv_text(map(_cell, step), []))
            lines.write(_json_line(step))
            table.flush()
            lines.flush()
            if board is not None:
                for name, value in step._asdict().items():
                    if value is not None and name != "iteration":
                        board.add_scalar(name, value, step.iteration)

        try:
            yield add
        finally:
            if board is not None:
                board.close()


def _board(folder: Path, done: int) -> Any:  # noqa: ANN401  # an optional package's class
    require_extra("tensorboard", extra="tensorboard", purpose="Execution(tensorboard=True)")
    board = require_extra(
        "torch.utils.tensorboard", extra="tensorboard", purpose="Execution(tensorboard=True)"
    )
    return board.SummaryWriter(folder, purge_step=done + 1)


def _cell(value: float | None) -> str:
    return "" if value is None else repr(value)


def _json_line(step: Step) -> str:
    return json.dumps(step._asdict(), allow_nan=False) + "\n"
