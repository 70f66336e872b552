"""A journal holds every action that was confirmed, whatever becomes of its process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rhoa.errors import ReviewError, WriteError
from rhoa.review.events import Graded, Journal, journals_in, read_journal

GRADE = Graded("0123456789abcdef", "left", 1, kl=2)


def test_what_was_appended_is_read_back(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "anna")

    entries = [journal.append(GRADE) for _ in range(3)]

    assert read_journal(tmp_path / "anna.jsonl") == entries
    assert [entry.number for entry in entries] == [1, 2, 3]


def test_a_journal_goes_on_where_it_ended(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "anna")
    journal.append(GRADE)
    journal.close()

    again = Journal(tmp_path, "anna")

    assert again.append(GRADE).number == 2
    assert len(again.entries) == 2


@given(cut=st.integers(0, 200))
def test_a_line_that_was_cut_short_is_left_out_and_nothing_else(cut: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder), "anna")
        entries = [journal.append(GRADE) for _ in range(3)]
        journal.close()
        file = Path(folder) / "anna.jsonl"
        whole = file.read_bytes()
        left = max(0, len(whole) - cut)
        file.write_bytes(whole[:left])

        again = Journal(Path(folder), "anna")

        kept = whole[:left].count(b"\n")
        assert again.entries == entries[:kept]
        assert again.append(GRADE).number == kept + 1
        again.close()
        assert len(read_journal(file)) == kept + 1


@pytest.mark.parametrize(
    "line",
    [
        b"{}",
        b"nonsense",
        b"[1]",
        b'{"n":2,"at":"","do":"grade","case":"x","side":"left","reading":1,"kl":1}',
        b'{"n":7,"at":"","do":"undo","line":1}',
    ],
)
def test_a_damaged_line_is_named(tmp_path: Path, line: bytes) -> None:
    journal = Journal(tmp_path, "anna")
    journal.append(GRADE)
    journal.close()
    with (tmp_path / "anna.jsonl").open("ab") as file:
        file.write(line + b"\n")

    with pytest.raises(ReviewError, match=r"anna\.jsonl, line 2: damaged"):
        Journal(tmp_path, "anna")


def test_one_process_at_a_time_writes_a_journal(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "anna")

    with pytest.raises(ReviewError, match="anna has this folder open already"):
        Journal(tmp_path, "anna")

    journal.close()
    Journal(tmp_path, "anna").close()


def test_readers_have_their_own_journals(tmp_path: Path) -> None:
    for reader in ("anna", "ben"):
        Journal(tmp_path, reader).append(GRADE)

    assert set(journals_in(tmp_path)) == {"anna", "ben"}


@pytest.mark.parametrize("reader", ["", "../anna", "a/b", ".hidden", "x" * 41, "a b"])
def test_a_reader_is_no_path(tmp_path: Path, reader: str) -> None:
    with pytest.raises(ReviewError, match="a reader's name"):
        Journal(tmp_path, reader)

    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_told_and_leaves_the_journal_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path, "anna")
    journal.append(GRADE)
    before = (tmp_path / "anna.jsonl").read_bytes()
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, line: write(file, line[:7]))

    with pytest.raises(WriteError, match="could not be written"):
        journal.append(GRADE)

    monkeypatch.undo()
    assert (tmp_path / "anna.jsonl").read_bytes() == before
    assert journal.append(GRADE).number == 2


def test_what_was_confirmed_survives_a_kill(tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
from rhoa.review.events import Graded
from rhoa.review.events import Journal
journal = Journal(Path({str(tmp_path)!r}), "anna")
while True:
    entry = journal.append(Graded("0123456789abcdef", "left", 1, kl=2))
    print(entry.number, flush=True)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    confirmed = [int(process.stdout.readline()) for _ in range(20)]
    process.send_signal(signal.SIGKILL)
    confirmed += [int(line) for line in process.stdout.read().splitlines() if line]
    process.wait()
    process.stdout.close()

    journal = Journal(tmp_path, "anna")

    assert len(journal.entries) >= confirmed[-1] >= 20
