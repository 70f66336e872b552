"""Files are whole or as they were before."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rhoa.errors import WriteError
from rhoa.files import atomic_write, csv_text, replacing

KILLS = 200
SIZE = 200_000  # bytes, about as many as the weights of a small layer


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


def told_by(script: str, *words: object) -> Any:  # noqa: ANN401  # whatever JSON holds
    """What a script says in a process of its own, which has one thread and can fork."""
    run = subprocess.run(
        [sys.executable, "-c", script, *map(str, words)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
    )
    return json.loads(run.stdout)


KILLED = """
import json, os, random, signal, sys, time
from pathlib import Path
from rhoa.files import atomic_write

file, kills, size = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
atomic_write(file, b"\\xff" * size)
dice, found, left = random.Random(5), [], []
begun, begins = os.pipe()
for kill in range(kills):
    child = os.fork()
    if child == 0:
        atomic_write(file, bytes([kill]) * size)
        os.write(begins, b".")
        for number in range(10**9):
            atomic_write(file, bytes([number % 251]) * size)
    os.read(begun, 1)
    time.sleep(dice.uniform(0, 0.01))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    content = file.read_bytes()
    found.append([len(content), content[0], content == content[:1] * len(content)])
    others = [path for path in file.parent.iterdir() if path != file]
    left.append([path.name for path in others])
    for path in others:
        path.unlink()
print(json.dumps({"found": found, "left": left}))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no SIGKILL")
def test_200_kills_at_random_moments_leave_200_whole_files(tmp_path: Path) -> None:
    """Old or new, never a mixture, never nothing; and no more litter than one file a kill."""
    told = told_by(KILLED, tmp_path / "weights", KILLS, SIZE)

    assert len(told["found"]) == KILLS
    assert {size for size, _, _ in told["found"]} == {SIZE}
    assert all(is_whole for _, _, is_whole in told["found"])
    assert max(map(len, told["left"])) <= 1
    assert all(name.startswith(".") for names in told["left"] for name in names)
    assert len({first for _, first, _ in told["found"]}) > KILLS // 10  # children came to write,
    assert sum(map(len, told["left"])) > KILLS // 20  # and were killed while they wrote


FILLED = """
import json, resource, signal, sys
from pathlib import Path
import numpy as np
from rhoa.errors import WriteError
from rhoa.radiograph import Radiograph
from rhoa.files import atomic_write

folder, told = Path(sys.argv[1]), {}
image = Radiograph(np.random.default_rng(1).normal(size=(300, 300)), (1.0, 1.0))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
for name in ("image.png", "image.npz", "image.tif", "image.nii", "image.dcm", "table.csv"):
    try:
        image.save(folder / name) if "image" in name else atomic_write(folder / name, bytes(50_000))
    except WriteError as error:
        told[name] = str(error)
print(json.dumps(told))
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such limit")
def test_a_disk_that_fills_up_is_an_error_and_every_old_file_stays(tmp_path: Path) -> None:
    """Whatever the format and whichever library writes it."""
    pytest.importorskip("nibabel", reason="needs extra nifti")
    pytest.importorskip("highdicom", reason="needs extra dicom-out")
    names = {"image.png", "image.npz", "image.tif", "image.nii", "image.dcm", "table.csv"}
    for name in names:
        (tmp_path / name).write_bytes(b"old")

    told = told_by(FILLED, tmp_path)

    assert set(told) == names
    for name, message in told.items():
        assert f"{name}: could not be written (File too large)" in message
        assert (tmp_path / name).read_bytes() == b"old"
    assert {path.name for path in tmp_path.iterdir()} == names


@given(st.lists(st.lists(st.none() | st.text() | st.integers() | st.floats(), min_size=2)))
def test_a_table_reads_back(rows: list[list[object]]) -> None:
    text = csv_text(["a", "b"], rows)

    back = list(csv.reader(io.StringIO(text, newline="")))

    assert back[0] == ["a", "b"]
    assert back[1:] == [["" if cell is None else str(cell) for cell in row] for row in rows]
