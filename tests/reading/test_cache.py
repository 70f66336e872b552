"""Decoded volumes kept in a folder: the same volume, and only of the same files, options, rhoa."""

from __future__ import annotations

import json
import os
import re
import shutil
import warnings
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import rhoa
from rhoa import _core
from rhoa.phantom import Anatomy, ct, write_dicom
from rhoa.reading import reader
from rhoa.testing import make_nifti, make_series
from tests.commands import run

if TYPE_CHECKING:
    from collections.abc import Callable

READABLE = (
    *("j2k", "lossy", "localizer", "metal", "fov-truncated", "motion", "enhanced", "blank-end"),
    *("rescale-per-slice", "foreign-files", "padding", "no-preamble", "feetfirst"),
)
"""Defects of a series that is read all the same, most with a warning."""


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """An entry for every time that slices were decoded."""
    times: list[object] = []
    before_reading(monkeypatch, lambda: times.append("read"))
    return times


def before_reading(monkeypatch: pytest.MonkeyPatch, action: Callable[[], object]) -> None:
    """Do something whenever the files are listed and their slices are to be decoded."""
    decode = reader.read_series

    def read_series(plan: reader.SeriesPlan, **options: Any) -> rhoa.Volume:  # noqa: ANN401
        action()
        return decode(plan, **options)

    monkeypatch.setattr(reader, "read_series", read_series)


def read(path: object, **options: Any) -> tuple[rhoa.Volume, list[str]]:  # noqa: ANN401  # of read_ct
    """The volume and the warnings of it."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", rhoa.errors.RhoaWarning)
        volume = rhoa.read_ct(path, **options)  # type: ignore[arg-type]
    return volume, [str(one.message) for one in caught]


def assert_same(one: tuple[rhoa.Volume, list[str]], other: tuple[rhoa.Volume, list[str]]) -> None:
    (volume, warned), (again, warned_again) = one, other
    assert again.hu.dtype == volume.hu.dtype
    assert again.hu.shape == volume.hu.shape
    assert again.hu.tobytes() == volume.hu.tobytes()
    assert again.affine.tobytes() == volume.affine.tobytes()
    assert json.dumps(dict(again.report or {})) == json.dumps(dict(volume.report or {}))
    assert dict(again.report or {}) == dict(volume.report or {})
    assert warned_again == warned


@pytest.mark.parametrize("defect", [None, *READABLE])
def test_the_second_reading_gives_the_same_volume_report_and_warnings_and_decodes_nothing(
    tmp_path: Path, decoded: list[object], defect: str | None
) -> None:
    series = make_series(tmp_path / "CANARY", defect=defect).path
    plain = read(series)
    first = read(series, cache=tmp_path / "cache")
    times = len(decoded)
    second = read(series, cache=tmp_path / "cache")

    assert len(decoded) == times == 2
    assert_same(plain, first)
    assert_same(plain, second)
    second[0].hu[0, 0, 0] += 1  # memory of one's own: the file stays as it is
    assert_same(plain, read(series, cache=tmp_path / "cache"))
    (kept,) = (tmp_path / "cache").iterdir()
    assert "CANARY" not in kept.name


def test_a_file_of_one_whole_volume_is_kept_with_its_order_in_memory(tmp_path: Path) -> None:
    pytest.importorskip("nibabel")
    file = make_nifti(tmp_path / "scan.nii.gz").path
    plain, first, second = (read(file, **o) for o in ({}, *2 * [{"cache": tmp_path / "cache"}]))

    assert_same(plain, first)
    assert_same(plain, second)
    assert second[0].hu.strides == plain[0].hu.strides


def _touch(folder: Path) -> None:
    file = min(folder.iterdir())
    os.utime(file, (1, 1))


def _replace(folder: Path) -> None:
    """Another file of the same name, size and time."""
    file = min(folder.iterdir())
    state = file.stat()
    content = file.read_bytes()
    file.unlink()
    file.write_bytes(content[:-2] + bytes([content[-2] ^ 1, content[-1]]))
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))


def _add(folder: Path) -> None:
    (folder / "notes.txt").write_text("no image", encoding="utf-8")


def _remove(folder: Path) -> None:
    max(folder.iterdir()).unlink()


def _move(folder: Path) -> None:
    file = min(folder.iterdir())
    file.rename(folder / "another-name")


@pytest.mark.parametrize("change", [_touch, _replace, _add, _remove, _move])
def test_any_change_of_the_files_is_read_anew(
    tmp_path: Path, decoded: list[object], change: Callable[[Path], None]
) -> None:
    series = make_series(tmp_path / "scan").path
    read(series, cache=tmp_path / "cache")
    change(series)
    again = read(series, cache=tmp_path / "cache")

    assert len(decoded) == 2
    assert_same(read(series), again)


@pytest.mark.parametrize(
    "options",
    [
        {"series": 0},
        {"series": "auto"},
        {"repair": "gaps"},
        {"strict": True},
        {"join": True},
        {"accept": "mono"},
        {"max_bytes": 1 << 30},
    ],
)
def test_other_options_are_read_anew(
    tmp_path: Path, decoded: list[object], options: dict[str, Any]
) -> None:
    series = make_series(tmp_path / "scan").path
    read(series, cache=tmp_path / "cache")
    again = read(series, cache=tmp_path / "cache", **options)
    read(series, cache=tmp_path / "cache", **options)

    assert len(decoded) == 2
    assert_same(read(series, **options), again)


def test_another_version_of_rhoa_reads_anew(
    tmp_path: Path, decoded: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    series = make_series(tmp_path / "scan").path
    read(series, cache=tmp_path / "cache")
    monkeypatch.setattr(_core, "__version__", "0.0.0")
    read(series, cache=tmp_path / "cache")

    assert len(decoded) == 2


def test_the_voxels_beside_a_header_count_too(tmp_path: Path) -> None:
    sitk = pytest.importorskip("SimpleITK")
    volume = rhoa.Volume.from_array(
        np.arange(60, dtype=np.int16).reshape(3, 4, 5), spacing_mm=(2, 1, 1)
    )
    file = tmp_path / "scan.mhd"
    sitk.WriteImage(volume.to_sitk(), str(file))
    read(file, cache=tmp_path / "cache")
    voxels = tmp_path / "scan.raw"
    voxels.write_bytes(voxels.read_bytes()[::-1])

    assert_same(read(file), read(file, cache=tmp_path / "cache"))


def _cut(content: bytes, share: float) -> bytes:
    return content[: int(share * len(content))]


def _flipped(content: bytes, share: float) -> bytes:
    at = int(share * (len(content) - 1))
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


@pytest.mark.parametrize("share", [0, 0.001, 0.01, 0.3, 0.999])
@pytest.mark.parametrize("damage", [_cut, _flipped])
def test_a_damaged_entry_is_none_and_is_written_again(
    tmp_path: Path, decoded: list[object], damage: Callable[[bytes, float], bytes], share: float
) -> None:
    series = make_series(tmp_path / "scan").path
    plain = read(series, cache=tmp_path / "cache")
    (kept,) = (tmp_path / "cache").iterdir()
    content = kept.read_bytes()
    kept.write_bytes(damage(content, share))

    assert_same(plain, read(series, cache=tmp_path / "cache"))
    assert len(decoded) == 2
    assert kept.read_bytes() == content


def _read_elsewhere(series: Path, cache: Path) -> bytes:
    return rhoa.read_ct(series, cache=cache).hu.tobytes()


def test_two_processes_at_once_give_and_leave_the_same(tmp_path: Path) -> None:
    series = make_series(tmp_path / "scan").path
    cache = tmp_path / "cache"
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        found = [pool.submit(_read_elsewhere, series, cache) for _ in range(8)]
        values = {one.result() for one in found}

    assert values == {rhoa.read_ct(series).hu.tobytes()}
    assert len(list(cache.iterdir())) == 1
    assert read(series, cache=cache)[0].hu.tobytes() in values


def test_files_that_change_while_they_are_read_are_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    series = make_series(tmp_path / "scan").path
    before_reading(monkeypatch, lambda: _touch(series))
    read(series, cache=tmp_path / "cache")

    assert not list((tmp_path / "cache").iterdir())


def test_a_cache_that_cannot_be_written_is_a_warning_and_one_that_is_a_file_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    series = make_series(tmp_path / "scan").path
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(rhoa.errors.ParameterError, match="^file: .*cache="):
        rhoa.read_ct(series, cache=tmp_path / "file")
    with pytest.raises(rhoa.errors.ParameterError, match="^kept: .*among the files of the scan"):
        rhoa.read_ct(series, cache=series / "kept")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    volume, warned = read(series, cache=tmp_path / "cache")

    assert volume.hu.tobytes() == rhoa.read_ct(series).hu.tobytes()
    assert len(warned) == 1
    assert "not kept" in warned[0]
    assert not list((tmp_path / "cache").iterdir())


def _contents(folder: Path) -> dict[str, bytes]:
    files = [file for file in folder.rglob("*") if file.is_file() and file.name != "case.json"]
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


@pytest.mark.usefixtures("poses_once")
@pytest.mark.parametrize("verb", ["ctap", "hips"])
def test_verbs_write_and_say_the_same_with_and_without(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    verb: str,
) -> None:
    phantom = ct(Anatomy.random(8), spacing_mm=(4, 3, 3))
    write_dicom(phantom.volume, tmp_path / "ct")
    monkeypatch.chdir(tmp_path)
    seen = []
    for name in ("without", "first", "second"):
        shutil.rmtree("out", ignore_errors=True)
        if name == "first":
            Path("rhoa.toml").write_text(f'[{verb}]\ncache = "cache"\n', encoding="utf-8")
        code, out, err = run(capsys, verb, "ct", "-o", "out")
        said = [line for line in err.splitlines() if not re.search(r"sets cache$|done in", line)]
        seen.append((code, out, said))
        shutil.move("out", name)
    plain = _contents(tmp_path / "without")

    assert seen[0][0] in {0, 4}
    assert seen[0] == seen[1] == seen[2]
    assert len(plain) >= 3
    assert plain == _contents(tmp_path / "first") == _contents(tmp_path / "second")
    assert len(list((tmp_path / "cache").iterdir())) == 1
