"""What many scans are called, so that none takes the place of another."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import pytest

from rhoa.cli.batch import name_scans
from rhoa.cli.common import distinct_names
from rhoa.cohort import Pseudonyms
from rhoa.errors import ParameterError
from rhoa.testing import make_series


@pytest.fixture
def visits(tmp_path: Path) -> list[Path]:
    """Two visits of one patient, in folders of one name."""
    folders = [tmp_path / visit / "ct" for visit in ("visit-1", "visit-2")]
    for folder in folders:
        make_series(folder)
    return folders


def test_visits_of_one_patient_in_folders_of_one_name_have_a_pseudonym_each(
    visits: list[Path], tmp_path: Path
) -> None:
    Pseudonyms.create(tmp_path / "study.key")
    options = Namespace(pseudonyms=tmp_path / "study.key")

    named = name_scans(distinct_names(visits), options)

    assert sorted(named.values()) == visits
    assert options.names == {path: name for name, path in named.items()}
    first, second = (name.partition("_") for name in named)
    assert first[0] == second[0]
    assert first[2] != second[2]


def test_scans_of_one_pseudonym_are_refused_and_none_is_lost(
    visits: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Pseudonyms.create(tmp_path / "study.key")
    monkeypatch.setattr(Pseudonyms, "of_scan", lambda *_: "P-x_y")

    with pytest.raises(ParameterError, match="would have one pseudonym: rename a folder"):
        name_scans(distinct_names(visits), Namespace(pseudonyms=tmp_path / "study.key"))
