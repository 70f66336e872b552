"""What a bug report says of the machine and the libraries, and of which version rhoa is."""

from __future__ import annotations

import getpass
import re
import socket
import tomllib
from contextlib import suppress
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

import rhoa
from rhoa import _core
from rhoa.versions import versions

ROOT = Path(__file__).parents[1]


def test_show_versions_prints_a_line_for_each_library(capsys: pytest.CaptureFixture[str]) -> None:
    rhoa.show_versions()

    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert lines["rhoa"] == rhoa.__version__
    assert lines["numpy"] == np.__version__
    assert {"threads", "instructions", "pydicom", "pyjpegls", "torch"} <= set(lines)


def test_versions_tell_how_many_threads_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RHOA_NUM_THREADS", "3")

    assert versions()["threads"] == "3"


def test_versions_tell_nothing_of_the_user_and_where_rhoa_lies() -> None:
    told = " ".join(str(value) for value in versions().values())

    assert str(Path(rhoa.__file__).parent) not in told
    for name in (socket.gethostname(), getpass.getuser()):
        assert re.search(rf"\b{re.escape(name)}\b", told) is None


def installed(folder: Path, name: str, version: str) -> None:
    """A distribution, as ``importlib.metadata`` finds it in ``folder``."""
    home = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    home.mkdir()
    head = f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n"
    (home / "METADATA").write_text(head, encoding="utf-8")


def test_halves_of_different_versions_are_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As after copying sources over an older installation."""
    installed(tmp_path, "rhoa-ct", "0.0.1")
    monkeypatch.syspath_prepend(tmp_path)

    told = versions()["rhoa"]

    assert told == f"{rhoa.__version__}, but its Python half is 0.0.1: install rhoa again"


def test_the_other_package_of_the_name_rhoa_is_noticed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """PyPI's rhoa is another project's; its files overwrite some of rhoa-ct's."""
    installed(tmp_path, "rhoa", "0.2.1")
    monkeypatch.syspath_prepend(tmp_path)

    rhoa.show_versions()

    out = capsys.readouterr().out
    assert "the distribution rhoa 0.2.1 is another project's" in out
    assert "pip uninstall rhoa, then install rhoa-ct again" in out


def test_no_message_or_page_names_the_other_package() -> None:
    """``pip install rhoa`` brings it, with an extra or without."""
    files = [
        path for folder in ("python", "docs", "benches") for path in (ROOT / folder).rglob("*")
    ]
    named = [
        path.name
        for path in [*files, *ROOT.glob("*.md")]
        if path.suffix in {".py", ".md"}
        and re.search(r"pip install '?rhoa(?!-ct)\b|\brhoa\[", path.read_text(encoding="utf-8"))
    ]

    assert named == []


def test_the_version_is_written_once() -> None:
    """Cargo.toml's; pip, Python and the extension take it from there. A citation repeats it."""
    assert rhoa.__version__ == _core.__version__
    with suppress(metadata.PackageNotFoundError):  # sources that are not installed
        assert metadata.version("rhoa-ct") == rhoa.__version__
    assert "version" in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dynamic"]
    if not (ROOT / "Cargo.toml").exists():
        pytest.skip("tests of an installed wheel: the sources are not here")
    cargo = tomllib.loads((ROOT / "Cargo.toml").read_text(encoding="utf-8"))
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert cargo["workspace"]["package"]["version"] == rhoa.__version__
    assert f"\nversion: {rhoa.__version__}\n" in citation
