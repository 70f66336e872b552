"""Folders of models: what is read is bounded, lies in the folder itself, and is what was sealed."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rhoa.errors import WeightsError
from rhoa.files import read_bounded, read_card, read_checksummed, read_inside

KINDS = {"size": int, "name": str, "most": int | None}
CARD = {"size": 3, "name": "a", "most": None}


def write_card(folder: Path, content: object) -> Path:
    (folder / "card.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def test_a_card_is_read_with_all_it_has(tmp_path: Path) -> None:
    card = CARD | {"more": [1, 2]}

    assert read_card(write_card(tmp_path, card), "card.json", KINDS, what="a run") == card


@pytest.mark.parametrize(
    ("change", "lacking"),
    [
        ({"size": True}, "size"),
        ({"size": "3"}, "size"),
        ({"name": 4}, "name"),
        ({"most": 1.5}, "most"),
        ({"size": None, "name": None}, "size, name"),
    ],
)
def test_entries_of_another_kind_are_named(
    tmp_path: Path, change: dict[str, object], lacking: str
) -> None:
    with pytest.raises(WeightsError, match=f"lacks {lacking}; pass a run"):
        read_card(write_card(tmp_path, CARD | change), "card.json", KINDS, what="a run")


def test_an_absent_card_says_what_to_pass(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"no card\.json in it; pass a run folder"):
        read_card(tmp_path, "card.json", KINDS, what="a run folder")


@given(content=st.binary(max_size=60))
def test_any_bytes_are_a_card_or_a_weights_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    folder = tmp_path_factory.mktemp("card")
    (folder / "card.json").write_bytes(content)

    with pytest.raises(WeightsError, match=r"/card\.json: "):
        read_card(folder, "card.json", KINDS, what="a run")


def test_a_file_of_the_limit_is_read_and_a_byte_more_is_not(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")

    assert read_inside(tmp_path, "file", most_bytes=5) == b"12345"
    with pytest.raises(WeightsError, match="5 bytes; rhoa reads at most 4"):
        read_inside(tmp_path, "file", most_bytes=4)


def test_links_are_refused_also_those_that_lead_nowhere(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (tmp_path / "secret").write_text("secret")
    (folder / "file").symlink_to("../secret")
    (folder / "gone").symlink_to("nothing")

    for name in ("file", "gone"):
        with pytest.raises(WeightsError, match="a link to somewhere else"):
            read_inside(folder, name, most_bytes=100)
        with pytest.raises(WeightsError, match="a link to somewhere else"):
            read_checksummed(folder, name, "", card="card.json")


def test_a_folder_that_is_reached_by_a_link_is_the_users_choice(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "file").write_text("content")
    (tmp_path / "link").symlink_to("run")

    assert read_inside(tmp_path / "link", "file", most_bytes=100) == b"content"


def test_a_folder_and_a_pipe_are_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()

    for name in ("pipe", "folder"):
        with pytest.raises(WeightsError, match="a file is needed"):
            read_inside(tmp_path, name, most_bytes=100)
    with pytest.raises(WeightsError, match="cannot be opened"):
        read_bounded(tmp_path / "gone", where="gone", most_bytes=100)


def test_a_sealed_file_is_read_and_another_one_is_not(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()

    assert read_checksummed(tmp_path, "file", digest, card="card.json") == b"weights"
    (tmp_path / "file").write_bytes(b"Weights")
    with pytest.raises(WeightsError, match=r"not the file that card\.json describes"):
        read_checksummed(tmp_path, "file", digest, card="card.json")
    (tmp_path / "file").unlink()
    with pytest.raises(WeightsError, match="no file in it; restore the folder"):
        read_checksummed(tmp_path, "file", digest, card="card.json")
