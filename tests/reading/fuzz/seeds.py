"""What the fuzzer starts from: small series and volumes, right or nearly so, of every kind."""

from __future__ import annotations

import gzip
import struct
import tempfile
import warnings
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataset import Dataset, FileDataset
from pydicom.sequence import Sequence

from tests.reading.series import ROOT, VoxelGrid, decimals, save, set_pixels, write_series

SYNTAXES = {
    "implicit": uid.ImplicitVRLittleEndian,
    "explicit": uid.ExplicitVRLittleEndian,
    "big": uid.ExplicitVRBigEndian,
    "deflated": uid.DeflatedExplicitVRLittleEndian,
    "rle": uid.RLELossless,
    "jpegls": uid.JPEGLSLossless,
    "j2k": uid.JPEG2000Lossless,
}
GRID = VoxelGrid(shape=(2, 33, 34))  # JPEG 2000 needs 32 pixels a side
LARGEST_FILE = 48 << 10
"""Larger files are slow to damage and to read."""
MOST_SLICES = 4


@dataclass(frozen=True, slots=True)
class Seed:
    """One input: the files of a folder (name to content), or a NIfTI file alone."""

    name: str
    files: tuple[tuple[str, bytes], ...]

    @property
    def is_volume_file(self) -> bool:
        """Whether it is given to the reader as a file, not as a folder."""
        return len(self.files) == 1 and not self.files[0][0].endswith(".dcm")


def all_seeds(folder: Path | None = None) -> list[Seed]:
    """Every seed in a fixed order; ``folder`` adds the small series under it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the files of pydicom are odd on purpose
        found = [*generated(), *travelling(), *volumes()]
        return [*found, *(from_folder(folder) if folder else ())]


def generated() -> Iterator[Seed]:
    """Series written here, in every syntax and with what real scanners write."""
    for name, syntax in SYNTAXES.items():
        yield _series(f"{name}", syntax=syntax)
        yield _series(f"{name}-12-bit-signed", _twelve_bit_signed, syntax=syntax)
        yield _series(f"{name}-padded", _padded, syntax=syntax)
    yield _series("three-slices", grid=VoxelGrid(shape=(3, 5, 6)))
    yield _series("oblique", grid=VoxelGrid((0.8, 0.6, 0), (-0.6, 0.8, 0), shape=(2, 4, 5)))
    yield _series("sagittal", grid=VoxelGrid((0, 1, 0), (0, 0, -1), shape=(2, 4, 5)))
    yield _series("fractions", _fractional)
    yield _series("localizer", _localizer, grid=VoxelGrid(shape=(3, 5, 6)))
    yield _series("nested", _nested)
    yield _series("nested-implicit", _nested, syntax=uid.ImplicitVRLittleEndian)
    yield _series("eight-bit", _eight_bit)
    yield _series("enhanced", _enhanced, grid=VoxelGrid(shape=(1, 6, 7)))
    yield _series("two-series", _two_series, grid=VoxelGrid(shape=(4, 5, 6)))
    yield _series("coincident", _coincident, grid=VoxelGrid(shape=(3, 5, 6)))


def travelling() -> Iterator[Seed]:
    """The small files inside the pydicom wheel: as they are, and dressed as two slices of a CT."""
    root = Path(pydicom.__file__).parent / "data" / "test_files"
    alike = set()
    for path in sorted(root.rglob("*")):
        size = path.stat().st_size
        if not path.is_file() or size > LARGEST_FILE or (path.parent, size) in alike:
            continue
        alike.add((path.parent, size))  # dozens of directory records differ in a UID only
        content = path.read_bytes()
        if content[128:132] != b"DICM":
            continue
        yield Seed(path.name, (("0.dcm", content),))
        if path.suffix == ".dcm" and (dressed := _dressed(path)) is not None:
            yield dressed


def volumes() -> Iterator[Seed]:
    """NIfTI files of every voxel type and header, NRRD and MetaImage files."""
    kinds = ("i2", "u2", "u1", "i4", "f4", "f8", ">i2")
    for kind in kinds:
        yield Seed(f"nifti-{kind}", (("scan.nii", nifti(kind)),))
    for kind in ("i2", "f4"):
        packed = gzip.compress(nifti(kind), mtime=0)
        yield Seed(f"nifti-{kind}-gz", (("scan.nii.gz", packed),))
    yield Seed("nifti-scaled", (("scan.nii", nifti("i2", slope=0.5, intercept=-7.0)),))
    yield Seed("nifti-qform", (("scan.nii", nifti("i2", codes=(1, 0))),))
    yield Seed("nifti-both", (("scan.nii.gz", gzip.compress(nifti("i2", codes=(1, 1)))),))
    extension = struct.pack("<4B2i8s", 1, 0, 0, 0, 16, 6, b"comment\0")
    yield Seed("nifti-extended", (("scan.nii", nifti("i2", extension=extension)),))
    yield Seed("nrrd", (("scan.nrrd", _nrrd("raw")),))
    yield Seed("nrrd-gz", (("scan.nrrd", _nrrd("gzip")),))
    yield Seed("meta-image", (("scan.mha", _meta_image()),))


def from_folder(folder: Path) -> Iterator[Seed]:
    """Every folder below ``folder`` that holds few or small DICOM files; its first slices."""
    for place in sorted({path.parent for path in folder.rglob("*") if path.is_file()}):
        files = sorted(path for path in place.iterdir() if path.is_file())[:MOST_SLICES]
        contents = [path.read_bytes() for path in files if path.stat().st_size < 1 << 20]
        contents = [content for content in contents if content[128:132] == b"DICM"]
        if contents:
            named = tuple((f"{n}.dcm", content) for n, content in enumerate(contents))
            yield Seed(str(place.relative_to(folder)).replace("/", "-"), named)


def _series(
    name: str,
    edit: Callable[[int, FileDataset], object] | None = None,
    *,
    syntax: uid.UID = uid.ExplicitVRLittleEndian,
    grid: VoxelGrid = GRID,
) -> Seed:
    with tempfile.TemporaryDirectory() as folder:
        paths = write_series(Path(folder), grid, syntax=syntax, edit=edit)
        return Seed(name, tuple((f"{n}.dcm", path.read_bytes()) for n, path in enumerate(paths)))


def _twelve_bit_signed(k: int, image: FileDataset) -> None:
    set_pixels(image, _noise(k, image), bits=12, signed=True)
    image.RescaleIntercept = "0"


def _padded(k: int, image: FileDataset) -> None:
    stored = _noise(k, image)
    stored[:3] = 63536
    set_pixels(image, stored)
    image.add_new("PixelPaddingValue", "US", 63536)
    image.add_new("PixelPaddingRangeLimit", "US", 63540)


def _fractional(k: int, image: FileDataset) -> None:
    image.RescaleSlope, image.RescaleIntercept = f"{1.25 + k / 8}", "-1000.5"
    image.RescaleType, image.ConvolutionKernel = "HU", ["B30f", "3"]


def _localizer(k: int, image: FileDataset) -> None:
    if k == 2:
        image.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
        image.ImageOrientationPatient = decimals([1, 0, 0, 0, 0, -1])


def _nested(_k: int, image: FileDataset) -> None:
    inner, outer = Dataset(), Dataset()
    inner.CodeValue, inner.CodeMeaning = "113691", "dose"
    outer.ConceptNameCodeSequence = Sequence([inner, deepcopy(inner)])
    image.ContentSequence = Sequence([outer])
    image.ReferencedImageSequence = Sequence([inner])
    image["ContentSequence"].is_undefined_length = True
    block = image.private_block(0x0099, "RHOA TEST", create=True)
    block.add_new(1, "UN", b"\1\2\3\4" * 40)


def _eight_bit(k: int, image: FileDataset) -> None:
    image.BitsAllocated, image.BitsStored, image.HighBit = 8, 8, 7
    image.PixelData = _noise(k, image).astype("u1").tobytes()
    image["PixelData"].VR = "OB"


def _enhanced(_k: int, image: FileDataset) -> None:
    """Three frames in one enhanced CT image, as PS3.3 A.38 has them."""
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = uid.EnhancedCTImageStorage
    image.NumberOfFrames = 3
    image.PixelData = bytes(image.PixelData) * 3
    frames, shared = [], Dataset()
    for n in range(3):
        frame, position, content = Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient = decimals([-20, -30, 100 + 2 * n])
        content.StackID, content.InStackPositionNumber = "1", n + 1
        frame.PlanePositionSequence = Sequence([position])
        frame.FrameContentSequence = Sequence([content])
        frames.append(frame)
    measures, plane, values = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = image.PixelSpacing, "2"
    plane.ImageOrientationPatient = image.ImageOrientationPatient
    values.RescaleSlope, values.RescaleIntercept = "1", "-1024"
    values.RescaleType = "HU"
    shared.PixelMeasuresSequence = Sequence([measures])
    shared.PlaneOrientationSequence = Sequence([plane])
    shared.PixelValueTransformationSequence = Sequence([values])
    image.SharedFunctionalGroupsSequence = Sequence([shared])
    image.PerFrameFunctionalGroupsSequence = Sequence(frames)
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        delattr(image, name)


def _two_series(k: int, image: FileDataset) -> None:
    if k % 2:
        image.SeriesInstanceUID = uid.UID(f"{ROOT}77")


def _coincident(k: int, image: FileDataset) -> None:
    if k == 2:
        image.ImagePositionPatient = decimals([-20, -30, 102])


def _noise(k: int, image: FileDataset) -> NDArray[np.int64]:
    return np.random.default_rng(k).integers(0, 2000, (image.Rows, image.Columns))


def _dressed(path: Path) -> Seed | None:
    """A file's own pixels as two slices of a CT; None where it holds none that can be."""
    try:
        image = pydicom.dcmread(path)
        syntax = image.file_meta.TransferSyntaxUID
        ready = (
            image.PixelData
            and image.SamplesPerPixel == 1
            and (image.get("NumberOfFrames") or 1) == 1
        )
    except Exception:  # noqa: BLE001  # files that are broken on purpose
        return None
    if not ready:
        return None
    slices = []
    with tempfile.TemporaryDirectory() as folder:
        for k in range(2):
            one = deepcopy(image)
            one.Modality, one.SOPClassUID = "CT", uid.CTImageStorage
            one.file_meta.MediaStorageSOPClassUID = uid.CTImageStorage
            one.SOPInstanceUID = uid.UID(f"{ROOT}5.{k}")
            one.PhotometricInterpretation = "MONOCHROME2"
            one.ImagePositionPatient = decimals([0, 0, 2 * k])
            one.ImageOrientationPatient = decimals([1, 0, 0, 0, 1, 0])
            one.PixelSpacing = decimals([1, 1])
            one.RescaleSlope, one.RescaleIntercept = "1", "-1024"
            file = Path(folder) / f"{k}.dcm"
            try:
                if syntax == uid.ExplicitVRBigEndian:
                    save(one, file, syntax)
                else:
                    one.save_as(file)
            except Exception:  # noqa: BLE001  # what pydicom cannot write again
                return None
            slices.append((file.name, file.read_bytes()))
    return Seed(f"{path.stem}-as-ct", tuple(slices))


def nifti(
    kind: str,
    shape: tuple[int, ...] = (5, 4, 3),
    *,
    slope: float = 1.0,
    intercept: float = 0.0,
    codes: tuple[int, int] = (0, 1),
    extension: bytes = b"\0\0\0\0",
) -> bytes:
    """A NIfTI-1 file of ``shape`` (x, y, z); ``codes`` are those of its qform and sform."""
    dtype = np.dtype(kind)
    order = ">" if kind.startswith(">") else "<"
    type_code = {"i2": 4, "u2": 512, "u1": 2, "i4": 8, "f4": 16, "f8": 64}[kind.lstrip(">")]
    dim = (3, *shape, 1, 1, 1, 1)
    start = 348 + len(extension)
    header = struct.pack(f"{order}i35xB8h", 348, 0, *dim)
    header += struct.pack(f"{order}3fhhhh", 0, 0, 0, 0, type_code, dtype.itemsize * 8, 0)
    header += struct.pack(f"{order}8f", 1, 2, 1.5, 3, 0, 0, 0, 0)  # pixdim, qfac first
    header += struct.pack(f"{order}3fhBB", start, slope, intercept, 0, 0, 2)
    header = header.ljust(252, b"\0")
    header += struct.pack(f"{order}2h6f", *codes, 0, 0, 0, 50, -40, 100)
    header += struct.pack(f"{order}12f", 2, 0, 0, 50, 0, 1.5, 0, -40, 0, 0, 3, 100)
    header = header.ljust(344, b"\0") + b"n+1\0" + extension
    values = np.arange(np.prod(shape)) * 7 - 200 * (dtype.kind != "u")
    return header + values.astype(dtype).tobytes()


def _nrrd(encoding: str) -> bytes:
    values = np.arange(60, dtype="<i2").tobytes()
    head = (
        "NRRD0004\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: 5 4 3\n"
        "space directions: (2,0,0) (0,1.5,0) (0,0,3)\nkinds: domain domain domain\n"
        f"endian: little\nencoding: {encoding}\nspace origin: (50,-40,100)\n\n"
    )
    return head.encode() + (values if encoding == "raw" else gzip.compress(values, mtime=0))


def _meta_image() -> bytes:
    head = (
        "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\n"
        "CompressedData = False\nTransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 50 -40 100\n"
        "ElementSpacing = 2 1.5 3\nDimSize = 5 4 3\nElementType = MET_SHORT\n"
        "ElementDataFile = LOCAL\n"
    )
    return head.encode() + np.arange(60, dtype="<i2").tobytes()
