"""Files are whole or as they were before."""

from __future__ import annotations

import csv
import io
import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rhoa.errors import WriteError
from rhoa.writing import atomic_write, csv_text, replacing

WRITER = """
import sys
from rhoa.writing import atomic_write
for number in range(10**9):
    atomic_write(sys.argv[1], bytes([number % 256]) * 200_000)
"""
KILLS = 20


def test_a_file_is_replaced_whole_and_nothing_else_is_left(tmp_path: Path) -> None:
    file = tmp_path / "report.html"

    atomic_write(file, "old")
    atomic_write(file, b"new \xe2\x82\xac\r\n")

    assert file.read_bytes() == "new €\r\n".encode()
    assert list(tmp_path.iterdir()) == [file]


def test_what_is_written_for_another_program_keeps_its_suffix(tmp_path: Path) -> None:
    with replacing(tmp_path / "image.nii.gz") as partial:
        partial.write_bytes(b"content")

        assert partial.name.endswith("image.nii.gz")
        assert partial.parent == tmp_path

    assert (tmp_path / "image.nii.gz").read_bytes() == b"content"


def test_a_failure_leaves_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "card.json"
    atomic_write(file, "old")

    with pytest.raises(UnicodeEncodeError), replacing(file) as partial:
        partial.write_text("half and \udcff", encoding="utf-8")

    assert file.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux' device that is full")
def test_a_full_disk_is_named_and_loses_nothing(tmp_path: Path) -> None:
    file = tmp_path / "history.csv"
    atomic_write(file, "old")

    with pytest.raises(WriteError, match=r"history\.csv: .*No space left"), replacing(file):
        Path("/dev/full").write_bytes(b"more than fits")

    assert file.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_an_absent_folder_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match=r"model\.json: could not be written \(No such file"):
        atomic_write(tmp_path / "absent" / "model.json", "{}")


def test_a_file_in_the_place_of_a_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "out").touch()

    with pytest.raises(WriteError, match=r"model\.json"):
        atomic_write(tmp_path / "out" / "model.json", "{}")


def test_threads_may_write_one_file(tmp_path: Path) -> None:
    file = tmp_path / "shared"
    contents = [bytes([letter]) * 50_000 for letter in b"abcdefgh"]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda content: atomic_write(file, content), contents * 10))

    assert file.read_bytes() in contents
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_killed_writer_leaves_one_whole_file(tmp_path: Path) -> None:
    file, dice = tmp_path / "weights", random.Random(5)  # noqa: S311  # moments, not secrets
    for _ in range(KILLS):
        file.write_bytes(b"\xff" * 200_000)
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(file)])
        while file.read_bytes()[0] == 255:  # until it writes
            time.sleep(0.001)
        time.sleep(dice.uniform(0, 0.02))
        writer.send_signal(signal.SIGKILL)
        writer.wait()

        content = file.read_bytes()

        assert len(content) == 200_000
        assert len(set(content)) == 1


@given(st.lists(st.lists(st.none() | st.text() | st.integers() | st.floats(), min_size=2)))
def test_a_table_reads_back(rows: list[list[object]]) -> None:
    text = csv_text(["a", "b"], rows)

    back = list(csv.reader(io.StringIO(text, newline="")))

    assert back[0] == ["a", "b"]
    assert back[1:] == [["" if cell is None else str(cell) for cell in row] for row in rows]
