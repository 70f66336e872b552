"""Bombs and traps: refused before much is read, allocated or waited for.

Every bomb is read in a child process whose address space, time and largest resident memory are
limited or measured; the limit of time is generous, because machines differ.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
from pydicom import uid
from pydicom.dataset import FileDataset

from rhoa import errors, files
from rhoa.files import shown
from rhoa.reading import inspect, read_ct
from tests.reading.bombs import BOMBS, GRID, LONG_EXTENSION, Bomb, nifti_file, with_value
from tests.reading.series import write_series

MOST_RESIDENT = 256 << 20
ADDRESS_SPACE = 2 << 30

READ = f"""
import contextlib, json, os, resource, sys
import rhoa, pydicom
from rhoa.reading import volume_files as nifti, reader as series
with contextlib.suppress(ImportError):
    import nibabel
resource.setrlimit(resource.RLIMIT_AS, ({ADDRESS_SPACE}, {ADDRESS_SPACE}))
for line in sys.stdin:
    if os.fork() == 0:
        try:
            rhoa.read_ct(line[:-1])
            told = "volume", ""
        except (rhoa.RhoaError, ImportError) as error:
            told = type(error).__name__, str(error)
        with open("/proc/self/status") as status:
            resident = int(status.read().partition("VmHWM:")[2].split()[0]) << 10
        print(json.dumps([*told, resident]), flush=True)
        os._exit(0)
    if os.wait()[1]:
        print(json.dumps(["died", "", 0]), flush=True)
"""


@pytest.fixture(scope="module", name="reader")
def forking_reader() -> Iterator[subprocess.Popen[str]]:
    """A process that reads every path it is given in a child of its own."""
    with subprocess.Popen(
        [sys.executable, "-c", READ],
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "RHOA_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process


@pytest.mark.skipif(sys.platform != "linux", reason="limits are those of Linux")
@pytest.mark.timeout(120)
@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_a_bomb_is_refused_before_it_takes_memory(
    bomb: Bomb, reader: subprocess.Popen[str], tmp_path: Path
) -> None:
    print(bomb(tmp_path / "scan"), file=reader.stdin, flush=True)

    told, message, resident = json.loads(reader.stdout.readline())
    assert told.endswith("Error") or bomb is BOMBS["gzip with an extension of 2 GiB"]
    assert "MemoryError" not in message
    assert resident < MOST_RESIDENT


def test_the_extension_of_a_nifti_file_is_not_read(tmp_path: Path) -> None:
    path = nifti_file("s.nii", LONG_EXTENSION)(tmp_path)

    assert read_ct(path).shape == (3, 4, 5)


def test_an_empty_slice_is_no_bomb(tmp_path: Path) -> None:
    """Air alone compresses a thousandfold."""

    def empty(_k: int, image: FileDataset) -> None:
        image.PixelData = b"\1\0" + bytes(2 * 512 * 512 - 2)
        image.Rows = image.Columns = 512

    for syntax in (uid.DeflatedExplicitVRLittleEndian, uid.JPEG2000Lossless, uid.RLELossless):
        folder = tmp_path / syntax.name
        paths = write_series(folder, GRID, edit=empty, syntax=syntax)
        assert paths[0].stat().st_size < 20_000

        assert (read_ct(folder).hu.reshape(len(paths), -1)[:, 1:] == -1024).all()


@pytest.mark.parametrize("number", ["nan", "NaN", "inf", "-Infinity", "1e309", "1e300"])
@pytest.mark.parametrize(
    "tag", ["ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope"]
)
def test_a_number_that_no_scan_has_is_named(tag: str, number: str, tmp_path: Path) -> None:
    def edit(_k: int, image: FileDataset) -> None:
        count = image[tag].VM
        image.add_new(tag, "LO", [number] * count if count > 1 else number)
        image[tag].VR = "LO"

    write_series(tmp_path, edit=edit)

    with pytest.raises(errors.ReadError, match=tag):
        read_ct(tmp_path)


class TestFolders:
    """What a folder may hold besides files."""

    def test_pipes_sockets_devices_and_folders_named_like_slices_do_not_matter(
        self, tmp_path: Path
    ) -> None:
        write_series(tmp_path)
        os.mkfifo(tmp_path / "pipe.dcm")
        (tmp_path / "zero.dcm").symlink_to("/dev/zero")
        (tmp_path / "folder.dcm").mkdir()
        (tmp_path / "folder.nii").mkdir()
        (tmp_path / "lost.dcm").symlink_to(tmp_path / "nothing")

        assert read_ct(tmp_path).report["skipped"] == {}

    @pytest.mark.timeout(120)
    @pytest.mark.parametrize("name", ["pipe", "pipe.dcm", "pipe.nii", "pipe.nii.gz"])
    def test_a_pipe_is_no_file(self, name: str, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / name)

        for read in (read_ct, inspect):
            with pytest.raises(errors.MissingFileError, match=name):
                read(tmp_path / name)

    def test_links_that_go_round_end(self, tmp_path: Path) -> None:
        write_series(tmp_path / "scan")
        (tmp_path / "scan" / "again").symlink_to(tmp_path, target_is_directory=True)
        (tmp_path / "scan" / "self.dcm").symlink_to(tmp_path / "scan" / "self.dcm")

        assert read_ct(tmp_path).report["files"] == 5

    def test_a_folder_without_end_is_left(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Entries are counted while they are listed: a listing alone would fill the memory."""
        (tmp_path / "one").touch()
        with os.scandir(tmp_path) as scan:
            (entry,) = scan
        listed = []

        class Endless:
            def __enter__(self) -> Iterator[os.DirEntry[str]]:
                return iter(lambda: listed.append(1) or entry, None)

            def __exit__(self, *_: object) -> None:
                pass

        monkeypatch.setattr("rhoa.files.os.scandir", lambda _: Endless())

        with pytest.raises(errors.ReadError, match="more than 200000 files"):
            read_ct(tmp_path)
        assert len(listed) == files.MOST_FILES + 1

    def test_folders_count_as_files_do(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(files, "MOST_FILES", 20)
        for n in range(4):
            for m in range(5):
                (tmp_path / str(n) / str(m)).mkdir(parents=True)

        with pytest.raises(errors.ReadError, match="more than 20 files"):
            read_ct(tmp_path)

    def test_a_file_that_cannot_be_read_is_named(self, tmp_path: Path) -> None:
        """Reading one's own memory at address zero fails, also for root."""
        write_series(tmp_path)
        (tmp_path / "memory.dcm").symlink_to("/proc/self/mem")

        with pytest.raises(errors.ReadError, match="memory.dcm: the file cannot be read"):
            read_ct(tmp_path)

    def test_a_directory_of_media_is_never_followed(self, tmp_path: Path) -> None:
        """It names files of its choice, also outside the folder."""
        outside = write_series(tmp_path / "outside")
        inside = tmp_path / "inside"
        write_series(inside)
        source = Path(pydicom.__file__).parent / "data" / "test_files" / "dicomdirtests"
        content = (source / "DICOMDIR").read_bytes()
        (inside / "DICOMDIR").write_bytes(
            content.replace(b"77654033", b"../../..").replace(b"98892001", b"..\\\\outsd")
        )

        report = read_ct(inside).report

        assert report["skipped"] == {"DICOMDIR (never followed)": 1}
        assert report["files"] == len(outside) + 1


class TestNames:
    """A message is text that prints, whatever the name and the header hold."""

    @pytest.mark.parametrize("name", ["a\nb.dcm", "\x1b[31mred.dcm", os.fsdecode(b"\xff\xfe.dcm")])
    def test_of_files(self, name: str, tmp_path: Path) -> None:
        (tmp_path / name).write_bytes(bytes(128) + b"DICM" + b"\xff" * 200)

        with pytest.raises(errors.ReadError, match=r"\?") as caught:
            read_ct(tmp_path)
        assert str(caught.value).isprintable()
        assert str(caught.value).encode()

    @pytest.mark.parametrize("suffix", [".nrrd", ".nhdr", ".mha", ".mhd"])
    def test_of_files_of_itk(self, suffix: str, tmp_path: Path) -> None:
        (tmp_path / f"a\nb\x1b{suffix}").write_bytes(b"NRRD0004\n" if "n" in suffix else b"a\n")

        with pytest.raises(errors.ReadError, match=r"^a\?b\?") as caught:
            read_ct(tmp_path / f"a\nb\x1b{suffix}")
        assert str(caught.value).isprintable()

    @pytest.mark.parametrize("name", ["a\nb", "x" * 300, "a\0b", os.fsdecode(b"\xff")])
    @pytest.mark.parametrize("suffix", ["", ".dcm", ".nii", ".nii.gz", ".nrrd", ".mha"])
    def test_of_what_is_not_there(self, name: str, suffix: str, tmp_path: Path) -> None:
        with pytest.raises(errors.MissingFileError) as caught:
            read_ct(tmp_path / f"{name}{suffix}")
        assert str(caught.value).isprintable()

    def test_a_name_is_the_last_part_and_prints(self) -> None:
        assert shown("/home/me/a\tb\udcff.dcm") == "a?b?.dcm"

    @pytest.mark.parametrize(
        "tag", [0x00080060, 0x00280004, 0x00281054, 0x0020000E, 0x00080008, 0x00181210]
    )
    @pytest.mark.parametrize("value", [b"\x1b[31m\n\0\x07", b"A" * 4000])
    def test_of_headers(self, tag: int, value: bytes, tmp_path: Path) -> None:
        for path in write_series(
            tmp_path,
            edit=lambda _, image: (
                image.add_new(0x00281054, "LO", "HU"),
                image.add_new(0x00181210, "SH", "B30f"),
            ),
        ):
            path.write_bytes(with_value(path.read_bytes(), tag, value))

        for summary in inspect(tmp_path):
            assert all(len(text) < 500 for text in (summary.kernel, summary.uid, summary.reason))
            assert (summary.kernel + summary.uid + summary.reason).isprintable()
        message = refusal(tmp_path)
        assert message.isprintable()
        assert len(message) < 1000


def refusal(path: Path) -> str:
    """What reading says; nothing where it succeeds."""
    try:
        read_ct(path)
    except errors.ReadError as error:
        return str(error)
    return ""
