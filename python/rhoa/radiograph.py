"""A radiograph-like image: pixels, their size, and where they lie in the patient."""

from __future__ import annotations

import json
import tokenize
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from rhoa.capture import secondary_capture, write_dicom
from rhoa.errors import (
    MissingFileError,
    ParameterError,
    ReadError,
    require_extra,
    require_positive,
)
from rhoa.picture import (
    encode_png,
    encode_tiff,
    grey_range,
    picture_label,
    resampling_matrix,
    stretch,
)
from rhoa.pose import Alignment, Landmarks
from rhoa.writing import atomic_write, replacing

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
class Radiograph:
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
        patient space (needs ``rhoa[nifti]``). ``.dcm``: DICOM Secondary Capture of the PNG's grey
        levels, of no patient by name or number (needs ``rhoa[dicom-out]``; ``rhoa.capture`` takes a
        name and a study).

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
            write_dicom(secondary_capture(image.pixels, image.pixel_mm, said=self.made()), path)
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
        pose = "as scanned" if self.alignment is None else "in the anterior pelvic plane"
        return "; ".join([f"CT-AP {pose}", *facts])

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
        nibabel.save(nibabel.Nifti1Image(self.pixels.T[:, None, :], affine), path)

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
