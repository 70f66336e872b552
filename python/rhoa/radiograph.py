"""A radiograph-like image: pixels, their size, where they lie in the patient; boxes in it."""

from __future__ import annotations

import json
import math
import tokenize
import zipfile
import zlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from rhoa._types import SIDES, Frozen, Side
from rhoa.dicom.secondary_capture import secondary_capture, write_dicom
from rhoa.errors import (
    MissingFileError,
    ParameterError,
    ReadError,
    require_choice,
    require_count,
    require_extra,
    require_positive,
)
from rhoa.files import atomic_write, replacing
from rhoa.pose import Alignment, Landmarks
from rhoa.raster import (
    encode_png,
    encode_tiff,
    grey_range,
    picture_label,
    resampling_matrix,
    stretch,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike

    from numpy.typing import ArrayLike, DTypeLike, NDArray


DISPLAY_SATURATION_PERCENT = 0.5
_KINDS = {"CT-AP": "ct-ap", "X-ray": "xray"}
"""What a PNG says that it is, so that nothing takes it for a crop of a hip."""
UNKNOWN_SIZE = "unknown"
"""Of ``provenance["pixel_mm_from"]``: nothing states the size of pixels; 1 mm stands for it."""
DAMAGED = (zipfile.BadZipFile, zlib.error, tokenize.TokenError)


@dataclass(frozen=True, slots=True, eq=False)
class Radiograph(Frozen):
    """A 2-D image: row 0 superior, column 0 the patient's right (radiological convention).

    Parameters
    ----------
    pixels
        2-D float32 array.
    pixel_mm
        Pixel size (row, column) in mm.
    origin_mm
        ``(x, z)`` of the centre of pixel (0, 0) in the image's ``frame``.
    alignment
        The AP frame the image was projected in; None for an image as scanned.
    provenance
        How it was made: window, method, depth, software.
    coverage_mm
        Millimetres of each pixel's ray that lie inside the scan; None where all of it does.
    scan_frame
        The scan's own axes, for an image as scanned: where the scan is not oblique, patient LPS.

    Examples
    --------
    >>> import numpy as np, rhoa
    >>> image = rhoa.Radiograph(np.eye(3, dtype=np.float32), (1.0, 1.0), origin_mm=(-1.0, 1.0))
    >>> image.to_mm(0, 2)
    (1.0, 1.0)
    """

    pixels: NDArray[np.float32]
    pixel_mm: tuple[float, float]
    origin_mm: tuple[float, float] = (0.0, 0.0)
    alignment: Alignment | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict, repr=False)
    coverage_mm: NDArray[np.float32] | None = field(default=None, repr=False)
    scan_frame: Alignment | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        pixels = np.asarray(self.pixels, np.float32)
        if pixels.ndim != 2:
            raise ParameterError(f"pixels must be a 2-D array; got {pixels.ndim}-D.")
        try:
            (down, across), (x, z) = self.pixel_mm, self.origin_mm
        except (TypeError, ValueError):
            raise ParameterError(
                "pixel_mm must be (row, column) and origin_mm (x, z); "
                f"got {self.pixel_mm!r} and {self.origin_mm!r}."
            ) from None
        down, across = require_positive("pixel_mm", down), require_positive("pixel_mm", across)
        object.__setattr__(self, "pixels", pixels)
        object.__setattr__(self, "pixel_mm", (down, across))
        object.__setattr__(self, "origin_mm", (float(x), float(z)))
        object.__setattr__(self, "provenance", MappingProxyType(dict(self.provenance)))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        rows, columns = self.pixels.shape
        return rows, columns

    @property
    def frame(self) -> Alignment | None:
        """What `to_mm` refers to: the AP frame, the scan's own axes, or (None) patient LPS."""
        return self.alignment or self.scan_frame

    def to_mm(self, row: float, column: float) -> tuple[float, float]:
        """``(x, z)`` in mm of a pixel position; whole numbers are pixel centres."""
        (down, across), (x, z) = self.pixel_mm, self.origin_mm
        return x + column * across, z - row * down

    def to_pixel(self, x_mm: float, z_mm: float) -> tuple[float, float]:
        """``(row, column)`` of a position in mm; the inverse of `to_mm`."""
        (down, across), (x, z) = self.pixel_mm, self.origin_mm
        return (z - z_mm) / down, (x_mm - x) / across

    def square(self) -> Radiograph:
        """The same image with square pixels, the smaller of the two sizes.

        The field stays centred; it may grow or shrink by less than half a pixel at each border.
        """
        down, across = self.pixel_mm
        size = min(down, across)
        if down == across or not self.pixels.size:
            return self
        rows, columns = (
            max(1, round(count * step / size))
            for count, step in zip(self.shape, self.pixel_mm, strict=True)
        )
        over = (self.shape[0] - rows * size / down) / 2  # of old pixels left out above and below,
        aside = (self.shape[1] - columns * size / across) / 2  # and at either side
        lines = resampling_matrix(self.shape[0], rows, over, self.shape[0] - over)
        places = resampling_matrix(self.shape[1], columns, aside, self.shape[1] - aside)
        x, z = self.to_mm(over - 0.5, aside - 0.5)  # the corner of the field
        coverage = self.coverage_mm
        return Radiograph(
            (lines @ self.pixels @ places.T).astype(np.float32, copy=False),
            (size, size),
            (x + size / 2, z - size / 2),
            self.alignment,
            self.provenance,
            None
            if coverage is None
            else (lines @ coverage @ places.T).astype(np.float32, copy=False),
            self.scan_frame,
        )

    def to_uint8(
        self, *, saturate_percent: float = DISPLAY_SATURATION_PERCENT
    ) -> NDArray[np.uint8]:
        """Grey levels for the eye, linear, with ``saturate_percent`` of the pixels at each end."""
        return stretch(self.pixels, saturate_percent=saturate_percent).astype(np.uint8)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the image; the suffix picks the format.

        ``.png``: 16-bit grey with square pixels, linear from the smallest to the largest value
        (both are stored in the file, so that values can be computed back, and what the image is).
        ``.npz``: pixels, pixel size, alignment and provenance, without loss. ``.tif`` and
        ``.tiff``: float32 values with square pixels. ``.nii.gz`` and ``.nii``: one coronal slice in
        patient space (needs the extra ``nifti``). ``.dcm``: DICOM Secondary Capture of the PNG's
        grey levels, of no patient by name or number (needs the extra ``dicom-out``;
        ``rhoa.dicom.secondary_capture`` takes a name and a study).

        Raises
        ------
        ParameterError
            If the suffix is none of these.
        """
        path = Path(path)
        name = path.name.lower()
        if name.endswith(".png"):
            atomic_write(path, self._to_png())
        elif name.endswith(".npz"):
            with replacing(path) as partial:
                self._save_npz(partial)
        elif name.endswith((".tif", ".tiff")):
            image = self.square()
            atomic_write(path, encode_tiff(image.pixels, pixel_mm=image.pixel_mm[0]))
        elif name.endswith(".dcm"):
            image = self.square()
            made = secondary_capture(
                image.pixels, image.pixel_mm, said=self.made(), description=self.kind
            )
            write_dicom(made, path)
        elif name.endswith((".nii.gz", ".nii")):
            with replacing(path) as partial:
                self._save_nifti(partial)
        else:
            raise ParameterError(
                f"{path.name}: unknown image format; use .png, .npz, .tif, .nii.gz, .nii or .dcm."
            )

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Radiograph:
        """Read a ``.npz`` that `save` wrote.

        Raises
        ------
        ReadError
            If there is no such file, or it is no radiograph.
        """
        path = Path(path)
        if not path.is_file():
            raise MissingFileError(f"{path.name}: no such radiograph; check the path.")
        try:
            with np.load(path, allow_pickle=False) as file:
                content = dict(file)
            down, across = content["pixel_mm"].tolist()
            x, z = content["origin_mm"].tolist()
            return cls(
                content["pixels"],
                (down, across),
                (x, z),
                _frame(content, "alignment"),
                json.loads(str(content["provenance"])),
                content.get("coverage_mm"),
                _frame(content, "scan_frame"),
            )
        except (KeyError, ValueError, OSError, EOFError, TypeError, SyntaxError, *DAMAGED):
            raise ReadError(f"{path.name}: not a radiograph saved as .npz.") from None

    def made(self) -> str:
        """How the image was made, in a line."""
        facts = [f"{name} {value}" for name, value in self.provenance.items()]
        if self.kind != "CT-AP":
            return "; ".join([self.kind, *facts])
        pose = "as scanned" if self.alignment is None else "in the anterior pelvic plane"
        return "; ".join([f"CT-AP {pose}", *facts])

    @property
    def kind(self) -> str:
        """``"CT-AP"`` or ``"X-ray"``."""
        return str(self.provenance.get("kind", "CT-AP"))

    def _to_png(self) -> bytes:
        image = self.square()
        black, white = grey_range(image.pixels)
        kind = _KINDS.get(str(self.provenance.get("kind")), "picture")
        text = picture_label(kind, black=repr(black), white=repr(white))
        known = self.provenance.get("pixel_mm_from") != UNKNOWN_SIZE
        step = image.pixel_mm[1] if known else None
        return encode_png(stretch(image.pixels, bits=16), pixel_mm=step, text=text)

    def _save_npz(self, path: Path) -> None:
        content: dict[str, ArrayLike] = {
            "pixels": self.pixels,
            "pixel_mm": self.pixel_mm,
            "origin_mm": self.origin_mm,
            "provenance": json.dumps(dict(self.provenance), default=str),
        }
        if self.coverage_mm is not None:
            content["coverage_mm"] = self.coverage_mm
        for name in ("alignment", "scan_frame"):
            frame = getattr(self, name)
            if frame is not None:
                content[f"{name}_matrix"], content[f"{name}_origin_mm"] = frame.matrix, frame.origin
        if self.alignment is not None:
            findings = {
                "quality": dict(self.alignment.quality),
                "flags": sorted(self.alignment.flags),
            }
            content["alignment_findings"] = json.dumps(findings)
            if self.alignment.landmarks is not None:
                content["landmarks_lps_mm"] = self.alignment.landmarks.as_array()
        with path.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **content)

    def _save_nifti(self, path: Path) -> None:
        nibabel = require_extra("nibabel", extra="nifti", purpose="writing NIfTI")
        (down, across), (x, z) = self.pixel_mm, self.origin_mm
        image_to_frame = np.array(  # (column, 0, row, 1) to frame x, y, z
            [[across, 0, 0, x], [0, down, 0, 0], [0, 0, -down, z], [0, 0, 0, 1]], np.float64
        )
        frame_to_lps = np.eye(4)
        if self.frame is not None:
            frame_to_lps[:3, :3] = self.frame.matrix.T
            frame_to_lps[:3, 3] = self.frame.origin
        lps_to_ras = np.diag([-1.0, -1.0, 1.0, 1.0])
        affine = lps_to_ras @ frame_to_lps @ image_to_frame
        image = nibabel.Nifti1Image(self.pixels.T[:, None, :], affine)
        image.header.set_xyzt_units("mm")
        image.set_sform(affine, code="scanner")
        image.set_qform(affine, code="scanner")
        nibabel.save(image, path)

    def __array__(
        self,
        dtype: DTypeLike | None = None,
        copy: bool | None = None,  # noqa: FBT001  # NumPy's protocol
    ) -> NDArray[Any]:
        """The pixels."""
        pixels = np.asarray(self.pixels, dtype=dtype)
        return pixels.copy() if copy and pixels is self.pixels else pixels

    def __repr__(self) -> str:
        (rows, columns), (down, across) = self.shape, self.pixel_mm
        pose = "as scanned" if self.alignment is None else "in the AP frame"
        return f"Radiograph({rows} x {columns}, pixel_mm=({down:.4g}, {across:.4g}), {pose})"

    def _repr_png_(self) -> bytes:
        image = self.square()
        return encode_png(image.to_uint8(), pixel_mm=image.pixel_mm[1])


def _frame(content: Mapping[str, NDArray[Any]], name: str) -> Alignment | None:
    if f"{name}_matrix" not in content:
        return None
    landmarks: Landmarks | None = None
    findings: dict[str, Any] = {"quality": {}, "flags": ()}
    if name == "alignment":
        findings = json.loads(str(content["alignment_findings"]))
        if "landmarks_lps_mm" in content:
            landmarks = Landmarks(*content["landmarks_lps_mm"])
    return Alignment(
        content[f"{name}_matrix"],
        content[f"{name}_origin_mm"],
        landmarks,
        findings["quality"],
        frozenset(findings["flags"]),
    )


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle around the hip of one side, in pixel edges: pixel ``n`` covers [n, n + 1).

    Raises
    ------
    ParameterError
        If the side is neither "left" nor "right", or the rectangle is empty.

    Examples
    --------
    >>> Box("left", top=10, left=20, bottom=30, right=50).centre
    (20.0, 35.0)
    """

    side: Side
    top: float
    left: float
    bottom: float
    right: float
    confidence: float | None = None
    """From 0 to 1, of what found it; None where nothing was measured."""

    def __post_init__(self) -> None:
        require_choice("side", self.side, SIDES)
        edges = (self.top, self.left, self.bottom, self.right)
        if not all(map(math.isfinite, edges)) or not (
            self.top < self.bottom and self.left < self.right
        ):
            raise ParameterError(
                f"a box needs finite edges, top < bottom and left < right; got {edges}."
            )

    @property
    def height(self) -> float:
        """Pixels from top to bottom."""
        return self.bottom - self.top

    @property
    def width(self) -> float:
        """Pixels from left to right."""
        return self.right - self.left

    @property
    def centre(self) -> tuple[float, float]:
        """(row, column) of the middle, in pixel edges."""
        return (self.top + self.bottom) / 2, (self.left + self.right) / 2

    def iou(self, other: Box) -> float:
        """Intersection over union of two boxes."""
        high = min(self.bottom, other.bottom) - max(self.top, other.top)
        wide = min(self.right, other.right) - max(self.left, other.left)
        shared = max(high, 0.0) * max(wide, 0.0)
        return shared / (self.height * self.width + other.height * other.width - shared)

    def share_outside(self, shape: tuple[int, int]) -> float:
        """Share of the box's area that lies outside an image of ``shape`` (rows, columns)."""
        high = min(self.bottom, shape[0]) - max(self.top, 0.0)
        wide = min(self.right, shape[1]) - max(self.left, 0.0)
        return 1 - max(high, 0.0) * max(wide, 0.0) / (self.height * self.width)


def squared(box: Box, pixel_mm: tuple[float, float] = (1.0, 1.0)) -> Box:
    """The square about a box's middle whose side is the shorter side of the box.

    A box that is square already, but for rounding, is returned as it is.

    Parameters
    ----------
    box
        In pixel edges.
    pixel_mm
        Of the image: where pixels are not square, the square is one of millimetres.

    References
    ----------
    Gebre et al. 2022, "Cropping and contrast adjustment of hip joints": "the rectangular ROIs were
    made into squares by clipping the difference between their height and width".

    Examples
    --------
    >>> squared(Box("left", top=0, left=0, bottom=10, right=20))
    Box(side='left', top=0.0, left=5.0, bottom=10.0, right=15.0, confidence=None)
    """
    rows_mm, columns_mm = pixel_mm
    if math.isclose(box.height * rows_mm, box.width * columns_mm, abs_tol=1e-3 * min(pixel_mm)):
        return box  # so that a square that was written to a table and read again stays as it is
    half_mm = min(box.height * rows_mm, box.width * columns_mm) / 2
    down, across = half_mm / rows_mm, half_mm / columns_mm
    row, column = box.centre
    return replace(
        box, top=row - down, left=column - across, bottom=row + down, right=column + across
    )


def crop(
    image: Radiograph | ArrayLike, box: Box, *, size: int | None = 100, mirror: bool | None = None
) -> NDArray[np.float32]:
    """The part of an image inside ``box`` as a square of ``size`` pixels, float32.

    A box that is not square is clipped to the square about its middle (`squared`): what is round in
    the patient is round in the crop.

    Parameters
    ----------
    image
        A `Radiograph`, whose pixel size counts, or a 2-D array of square pixels.
    box
        In the image's pixel edges. Beyond the image its border pixels are repeated.
    size
        Rows and columns of the crop; None keeps about the image's own number of pixels.
    mirror
        Whether to turn left and right around. By default right hips are, so that every crop looks
        like a left hip.

    Raises
    ------
    ParameterError
        If the image is not 2-D, or all of the square lies outside it.

    References
    ----------
    Gebre et al. 2022, "Cropping and contrast adjustment of hip joints": "made into squares by
    clipping the difference between their height and width".
    """
    pixels = np.asarray(image, np.float32)
    if pixels.ndim != 2:
        raise ParameterError(f"image must be 2-D; got {pixels.ndim}-D, shape {pixels.shape}.")
    box = squared(box, getattr(image, "pixel_mm", (1.0, 1.0)))
    if box.share_outside((pixels.shape[0], pixels.shape[1])) >= 1:
        raise ParameterError(f"the {box.side} box lies outside the image of {pixels.shape} pixels.")
    if size is None:
        size = max(1, round(max(box.height, box.width)))
    size = require_count("size", size)
    down = resampling_matrix(pixels.shape[0], size, box.top, box.bottom)
    across = resampling_matrix(pixels.shape[1], size, box.left, box.right)
    if box.side == "right" if mirror is None else mirror:
        across = across[::-1]
    return (down @ pixels @ across.T).astype(np.float32)
