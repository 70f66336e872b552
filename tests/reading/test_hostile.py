"""Bombs and traps: refused before much is read, allocated or waited for.

Every bomb is read in a child process whose address space, time and largest resident memory are
limited or measured; the limit of time is generous, because machines differ.
"""

from __future__ import annotations

import gzip
import json
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pydicom
import pytest
from pydicom import uid
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate

from rhoa import errors
from rhoa.reading import files, inspect, read_ct
from rhoa.reading.bounded import shown
from tests.reading.fuzz.elements import elements, packed, replaced
from tests.reading.fuzz.seeds import nifti
from tests.reading.series import Grid, write_series

MOST_RESIDENT = 256 << 20
SECONDS = 20
GRID = Grid(shape=(2, 33, 34))  # JPEG 2000 needs 32 pixels a side
END = 0xFFFFFFFF

READ = """
import json, resource, sys, rhoa, pydicom
from rhoa.reading import series, nifti
limit = 2 << 30
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    rhoa.read_ct(sys.argv[1])
    told = "volume", ""
except (rhoa.RhoaError, ImportError) as error:
    told = type(error).__name__, str(error)
print(json.dumps([*told, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10]))
"""

Bomb = Callable[[Path], Path]


def zeros(mebibytes: int) -> bytes:
    """A raw deflate stream of so many zeros."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(bytes(mebibytes << 20)) + packer.flush()


def changed(change: Callable[[bytes], bytes], syntax: uid.UID = uid.ExplicitVRLittleEndian) -> Bomb:
    """A series whose files are all changed alike."""

    def write(folder: Path) -> Path:
        for path in write_series(folder, GRID, syntax=syntax):
            path.write_bytes(change(path.read_bytes()))
        return folder

    return write


def edited(edit: Callable[[int, FileDataset], object], syntax: uid.UID) -> Bomb:
    """A compressed series whose headers are changed afterwards."""

    def write(folder: Path) -> Path:
        for k, path in enumerate(write_series(folder, GRID, syntax=syntax)):
            image = pydicom.dcmread(path)
            edit(k, image)
            image.save_as(path)
        return folder

    return write


def with_value(data: bytes, tag: int, value: bytes) -> bytes:
    """The file with another value in one element."""
    (element,) = [element for element in elements(data) if element.tag == tag]
    return replaced(data, element, value)


def before_rows(data: bytes, inserted: bytes) -> bytes:
    """The file with elements before (0028,0010)."""
    (rows,) = [element for element in elements(data) if element.tag == 0x00280010]
    return data[: rows.start] + inserted + data[rows.start :]


def sized(side: int) -> Callable[[int, FileDataset], None]:
    def edit(_k: int, image: FileDataset) -> None:
        image.Rows = image.Columns = side

    return edit


def sized_stream(side: int, place: int, code: str) -> Callable[[int, FileDataset], None]:
    """Header and code stream agree on a false size."""

    def edit(_k: int, image: FileDataset) -> None:
        image.Rows = image.Columns = side
        frame = bytearray(
            next(iter(pydicom.encaps.generate_frames(image.PixelData, number_of_frames=1)))
        )
        struct.pack_into(code, frame, place, side, side)
        image.PixelData = encapsulate([bytes(frame)])

    return edit


def deflated(stream: bytes) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        return data[: 144 + struct.unpack("<I", data[140:144])[0]] + stream

    return change


def undeclared_deflate(data: bytes) -> bytes:
    """The group length hides the transfer syntax from who trusts it."""
    return data[:140] + struct.pack("<I", 0) + deflated(zeros(100))(data)[144:]


def four_gigabytes(data: bytes) -> bytes:
    """(0008,0060) as unlimited text that claims 4 GiB."""
    (modality,) = [element for element in elements(data) if element.tag == 0x00080060]
    head = data[modality.start : modality.start + 4] + b"UT\0\0" + struct.pack("<I", END - 1)
    return data[: modality.start] + head + data[modality.value :]


def nested(depth: int) -> Callable[[bytes], bytes]:
    head = struct.pack("<HH2sHIHHI", 0x0008, 0x1140, b"SQ", 0, END, 0xFFFE, 0xE000, END)
    return lambda data: before_rows(data, head * depth)


def flooded(items: int) -> Callable[[bytes], bytes]:
    """A sequence of empty items."""
    head = struct.pack("<HH2sHI", 0x0008, 0x1140, b"SQ", 0, END)
    item = struct.pack("<HHI", 0xFFFE, 0xE000, 0)
    return lambda data: before_rows(
        data, head + item * items + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    )


def numbered(data: bytes) -> bytes:
    """A position of half a million numbers."""
    (position,) = [element for element in elements(data) if element.tag == 0x00200032]
    new = struct.pack("<HH2sHI", 0x0020, 0x0032, b"UN", 0, 1_000_000) + b"1\\" * 500_000
    return data[: position.start] + new + data[position.end :]


def many_syntaxes(data: bytes) -> bytes:
    (syntax,) = [element for element in elements(data) if element.tag == 0x00020010]
    new = struct.pack("<HH2sHI", 2, 0x10, b"UN", 0, 1_000_000) + b"1\\" * 500_000
    return data[: syntax.start] + new + data[syntax.end :]


def sparse(folder: Path) -> Path:
    """An undefined length in a file of a tebibyte that takes no room on the disk."""
    head = struct.pack("<HH2sHI", 0x0009, 0x1001, b"OB", 0, END)
    for path in write_series(folder, GRID):
        path.write_bytes(before_rows(path.read_bytes(), head))
        os.truncate(path, 1 << 40)
    return folder


def sparse_copies(folder: Path) -> Path:
    """Two files at one position, whose pixels would have to be compared."""

    def together(_k: int, image: FileDataset) -> None:
        image.ImagePositionPatient = ["0", "0", "0"]

    for path in write_series(folder, GRID, syntax=uid.JPEG2000Lossless, edit=together):
        path.write_bytes(path.read_bytes()[:-8])
        os.truncate(path, 1 << 40)
    return folder


def sparse_pixels(folder: Path) -> Path:
    for path in write_series(folder, GRID, syntax=uid.JPEG2000Lossless):
        path.write_bytes(path.read_bytes()[:-8])
        os.truncate(path, 1 << 40)
    return folder


def nifti_file(name: str, content: bytes) -> Bomb:
    def write(folder: Path) -> Path:
        folder.mkdir(exist_ok=True)
        path = folder / name
        path.write_bytes(content)
        return path

    return write


def gzip_of(head: bytes, mebibytes: int) -> bytes:
    member = gzip.compress(bytes(8 << 20), mtime=0)
    return gzip.compress(head, mtime=0) + member * (mebibytes // 8)


def declared(shape: tuple[int, int, int]) -> bytes:
    header = nifti("i2")
    return header[:42] + struct.pack("<3h", *shape) + header[48:]


LONG_EXTENSION = nifti("i2", extension=struct.pack("<4B2i", 1, 0, 0, 0, 0x7FFFFFF0, 6))
FAR_VOXELS = declared((5, 4, 3))[:108] + struct.pack("<f", 4e9) + declared((5, 4, 3))[112:]

BOMBS: dict[str, Bomb] = {
    "65535 rows and columns": edited(sized(65535), uid.RLELossless),
    "8192 rows and columns in RLE": edited(sized(8192), uid.RLELossless),
    "30000 pixels a side in JPEG 2000": edited(sized_stream(30000, 8, ">II"), uid.JPEG2000Lossless),
    "8192 pixels a side in JPEG 2000": edited(sized_stream(8192, 8, ">II"), uid.JPEG2000Lossless),
    "8192 pixels a side in JPEG-LS": edited(sized_stream(8192, 7, ">HH"), uid.JPEGLSLossless),
    "2000000000 frames": changed(
        lambda data: before_rows(data, packed(0x00280008, b"IS", b"2000000000"))
    ),
    "a text of 4 GB": changed(four_gigabytes),
    "a deflate bomb": changed(deflated(zeros(300)), uid.DeflatedExplicitVRLittleEndian),
    "a deflate bomb below the limit": changed(
        deflated(zeros(3)), uid.DeflatedExplicitVRLittleEndian
    ),
    "a deflate bomb that hides its syntax": changed(undeclared_deflate, uid.DeflatedExplicitVRLittleEndian),
    "10000 nested sequences": changed(nested(10_000)),
    "4 million items": changed(flooded(4_000_000)),
    "half a million coordinates": changed(numbered),
    "half a million syntaxes": changed(many_syntaxes),
    "a sparse header of 1 TiB": sparse,
    "sparse pixels of 1 TiB": sparse_pixels,
    "sparse pixels of 1 TiB at one position": sparse_copies,
    "NIfTI of 32767 voxels a side": nifti_file("s.nii", declared((32767, 32767, 32767))),
    "NIfTI of 1000 voxels a side": nifti_file("s.nii", declared((1000, 1000, 1000))),
    "gzip of 1 GiB of zeros": nifti_file("s.nii.gz", gzip_of(declared((800, 800, 800)), 1024)),
    "gzip with an extension of 2 GiB": nifti_file("s.nii.gz", gzip_of(LONG_EXTENSION, 1024)),
    "gzip with voxels 4 GB later": nifti_file("s.nii.gz", gzip_of(FAR_VOXELS, 1024)),
}


@pytest.mark.skipif(sys.platform != "linux", reason="limits are those of Linux")
@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_a_bomb_is_refused_before_it_takes_memory(bomb: Bomb, tmp_path: Path) -> None:
    path = bomb(tmp_path / "scan")

    run = subprocess.run(
        [sys.executable, "-c", READ, str(path)],
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "RHOA_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=True,
    )

    told, message, resident = json.loads(run.stdout)
    assert told.endswith("Error") or bomb is BOMBS["gzip with an extension of 2 GiB"]
    assert "MemoryError" not in message
    assert resident < MOST_RESIDENT


def test_the_extension_of_a_nifti_file_is_not_read(tmp_path: Path) -> None:
    path = nifti_file("s.nii", LONG_EXTENSION)(tmp_path)

    assert read_ct(path).shape == (3, 4, 5)


def test_an_empty_slice_is_no_bomb(tmp_path: Path) -> None:
    """Air alone compresses a thousandfold."""

    def empty(_k: int, image: FileDataset) -> None:
        image.PixelData = bytes(2 * 512 * 512)
        image.Rows = image.Columns = 512

    for syntax in (uid.DeflatedExplicitVRLittleEndian, uid.JPEG2000Lossless, uid.RLELossless):
        folder = tmp_path / syntax.name
        paths = write_series(folder, GRID, edit=empty, syntax=syntax)
        assert paths[0].stat().st_size < 20_000

        assert (read_ct(folder).hu == -1024).all()


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

    @pytest.mark.timeout(20)
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

        monkeypatch.setattr("rhoa.reading.files.os.scandir", lambda _: Endless())

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

    @pytest.mark.parametrize("name", ["a\nb", "x" * 300, "a\0b", os.fsdecode(b"\xff")])
    @pytest.mark.parametrize("suffix", ["", ".dcm", ".nii", ".nii.gz"])
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
