"""Crops of hips as picture files: what rhoa writes beside the pixels, and what it refuses to read.

A crop that rhoa writes says in text fields of its PNG that it is one (``kind``), of what
(``source``), of which ``side``, whether it is ``mirrored``, its ``pixel_mm`` where that is known,
and its ``crop_scaling`` where that is ``fixed``. Other pictures of rhoa say what they are, too
(`rhoa.raster.picture_label`).
"""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from rhoa._types import SIDES
from rhoa.errors import PixelDataError, ViewError, require_choice, require_names
from rhoa.files import atomic_write, shown
from rhoa.hips.bounding_boxes import SCALING, SCALINGS, scaling_of
from rhoa.radiograph import squared
from rhoa.raster import KIND, SOFTWARE, encode_png, picture_label, stretch
from rhoa.xray.preparation import SATURATION_PERCENT
from rhoa.xray.reader import DisplayedImage, read_picture, read_xray
from rhoa.xray.refusals import REFUSALS, is_measured

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from os import PathLike

    from numpy.typing import NDArray

    from rhoa._types import Side
    from rhoa.hips.bounding_boxes import Source
    from rhoa.radiograph import Box, Radiograph

CROP_REFUSALS: Mapping[str, str] = MappingProxyType(
    {
        "label": "was written by rhoa as a whole image, as another side's crop, or not mirrored",
        "size": "is larger than a crop of a hip",
        "shape": "is not square: it is padded to a square with the median of its border",
        "colour": "is a colour picture, whose brightness is taken",
    }
)
"""Every refusal of a crop that can be overruled by name, and what is read all the same."""
MOST_CROP_PIXELS = 1600
"""Of a side: 70 mm of the finest film (0.05 mm) have 1400, the smallest detector of a pelvis 2000.
"""
WHITE = 255.0
_CROP = "crop"
_KINDS = {"ct-ap": "a whole CT-AP", "xray": "an X-ray or half of one", "picture": "a picture"}
_FIELDS = (SOFTWARE, KIND, "source", "side", "mirrored", "pixel_mm", SCALING)
_YES, _NO = "yes", "no"


def encode_crop(
    pixels: NDArray[np.uint8],
    *,
    side: Side,
    source: Source,
    mirrored: bool | None = None,
    pixel_mm: float | None = None,
    scaling: str = SCALINGS[0],
) -> bytes:
    r"""A PNG file of a crop that says what it is.

    Parameters
    ----------
    pixels
        Square grey levels.
    side
        Of the patient.
    source
        What it was cut from: ``"ct"`` (a CT-AP) or ``"xray"``.
    mirrored
        Whether left and right are turned around; by default those of right hips are.
    pixel_mm
        Edge of a pixel; None where it is not known.
    scaling
        Of a CT-AP: ``"stretched"`` or ``"fixed"``, as `rhoa.hips.extract` says.

    Examples
    --------
    >>> file = encode_crop(np.zeros((4, 4), np.uint8), side="right", source="ct", pixel_mm=0.7)
    >>> b"mirrored\0yes" in file
    True
    """
    require_choice("side", side, SIDES)
    turned = side == "right" if mirrored is None else mirrored
    facts = {"source": source, "side": side, "mirrored": _YES if turned else _NO}
    if pixel_mm is not None:
        facts["pixel_mm"] = f"{pixel_mm:.6g}"
    if scaling != SCALINGS[0]:
        facts[SCALING] = scaling
    return encode_png(pixels, pixel_mm=pixel_mm, text=picture_label(_CROP, **facts))


def write_crop(
    path: str | PathLike[str],
    pixels: NDArray[np.uint8],
    box: Box,
    image: Radiograph,
    *,
    source: Source,
) -> None:
    """Write ``pixels``, the crop of ``box`` in ``image``, as a PNG that says what it is.

    Its pixel size is that of the box in the image, where the image's own is known.

    Raises
    ------
    WriteError
        If it cannot be written.
    """
    step = None
    if is_measured(image):
        step = squared(box, image.pixel_mm).height * image.pixel_mm[0] / len(pixels)
    scaling = scaling_of(image) if source == "ct" else SCALINGS[0]
    content = encode_crop(pixels, side=box.side, source=source, pixel_mm=step, scaling=scaling)
    atomic_write(path, content)


def write_crops(
    folder: Path,
    image: Radiograph,
    boxes: Mapping[Side, Box],
    crops: Mapping[Side, NDArray[np.uint8] | None],
    *,
    source: Source,
) -> list[Path]:
    """Write ``hip-left.png`` and ``hip-right.png`` of the crops that there are; the files.

    The file of a side without a crop, of an earlier run, is removed.
    """
    files = []
    for side in SIDES:
        file, pixels = folder / f"hip-{side}.png", crops.get(side)
        if pixels is None or side not in boxes:
            file.unlink(missing_ok=True)
        else:
            write_crop(file, pixels, boxes[side], image, source=source)
            files.append(file)
    return files


def read_crop(
    path: str | PathLike[str], *, side: Side | None = None, accept: str | Collection[str] = ()
) -> NDArray[np.float32]:
    """The grey levels of a crop of a hip, 0 (black) to 255, square: as models see it.

    Training, prediction, reports and the review read crops by this function. 8-bit levels are those
    of the file; 16-bit levels are divided by 257, so that 65535 is 255.

    Parameters
    ----------
    path
        A PNG, TIFF or JPEG file of grey levels: `rhoa.hips.read_xray` tells which; or DICOM, whose
        values are spread over 0 to 255 with 1 % saturated at either end, as rhoa's own X-ray crops.
    side
        Of the patient, where a table says it: a crop that says otherwise is refused.
    accept
        Refusals to overrule, by name: in a collection, or in a string with commas between.

        * ``"label"``: rhoa wrote the picture, and not as a crop (but as a CT-AP or an X-ray), or as
          a crop of the other side, or as one of a right hip that is not mirrored.
        * ``"size"``: more than 1600 pixels a side.
        * ``"shape"``: not square. It is padded to a square with the median of its border, the
          picture in the middle; it is never stretched.
        * ``"colour"``: not grey. Its brightness is taken.

    Raises
    ------
    MissingFileError
        If there is nothing at that path.
    PixelDataError
        If it is no picture, damaged, of several frames, or its values are no grey levels: floats
        and 32-bit integers outside 0 to 255 or all within 0 to 1, or 16-bit levels of which the
        brighter half is not used.
    ViewError
        If it is refused for what it shows.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "hip.png"
    >>> levels = np.array([[0, 10], [20, 255]], np.uint8)
    >>> _ = file.write_bytes(encode_crop(levels, side="left", source="xray"))
    >>> read_crop(file)
    array([[  0.,  10.],
           [ 20., 255.]], dtype=float32)
    """
    path = Path(path)
    name, overruled = shown(path), require_names("accept", accept, CROP_REFUSALS, kind="refusals")
    picture = crop_picture(path, overruled)
    if "label" not in overruled:
        _check_label(name, rhoa_label(picture.text), side)
    levels = _levels(name, picture)
    rows, columns = levels.shape
    what = f"{name}: {rows} x {columns} pixels"
    if max(rows, columns) > MOST_CROP_PIXELS and "size" not in overruled:
        raise ViewError(
            f"{what}, too many for a crop of a hip (at most {MOST_CROP_PIXELS} a side): crop its "
            'hips first (`rhoa xray --detector` finds them), or pass accept="size" if it is a crop.'
        )
    if rows != columns and "shape" not in overruled:
        raise ViewError(
            f"{what}; a crop of a hip is square, and is not stretched to be: cut it to a square "
            'about the femoral head, or pass accept="shape" to pad it with the median of its '
            "border. A whole X-ray needs its hips found first (`rhoa xray --detector`)."
        )
    return padded(levels)


def crop_picture(path: Path, accept: Collection[str] = ()) -> DisplayedImage:
    """The picture of a crop: a PNG, TIFF or JPEG, or DICOM as grey levels of 0 to 255.

    Raises
    ------
    ReadError
        As `rhoa.xray.reader.read_picture` and `rhoa.hips.read_xray`; of DICOM, whose tags describe
        the film that the crop is of, no refusal is minded.
    """
    if not _is_dicom(path):
        return read_picture(path, accept)
    image = read_xray(path, pixel_mm="optional", accept=tuple(REFUSALS))
    levels = stretch(image.pixels, saturate_percent=SATURATION_PERCENT)
    return DisplayedImage(levels.astype(np.float32), "DICOM", "L", None, WHITE, {})


def _is_dicom(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False  # `read_picture` says why


def rhoa_label(text: Mapping[str, str]) -> dict[str, str]:
    """What rhoa wrote in the text fields of a picture; empty for that of another program."""
    if not text.get(SOFTWARE, "").startswith("rhoa"):
        return {}
    return {name: text[name] for name in _FIELDS if name in text}


def crop_label(path: str | PathLike[str]) -> dict[str, str]:
    """What rhoa wrote of the crop in a file, without reading its pixels; empty where it did not."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            text = {str(k): value for k, value in image.info.items() if isinstance(value, str)}
    except (OSError, ValueError, SyntaxError):
        return {}
    label = rhoa_label(text)
    return label if label.get(KIND) == _CROP else {}


def padded(levels: NDArray[np.float32]) -> NDArray[np.float32]:
    """An image in the middle of a square of the median of its border pixels.

    Examples
    --------
    >>> padded(np.array([[1, 2, 1]], np.float32))
    array([[1., 1., 1.],
           [1., 2., 1.],
           [1., 1., 1.]], dtype=float32)
    """
    rows, columns = levels.shape
    if rows == columns:
        return levels
    side = max(rows, columns)
    border = np.concatenate([levels[0], levels[-1], levels[1:-1, 0], levels[1:-1, -1]])
    square = np.full((side, side), np.median(border), np.float32)
    top, left = (side - rows) // 2, (side - columns) // 2
    square[top : top + rows, left : left + columns] = levels
    return square


def _check_label(name: str, label: Mapping[str, str], side: Side | None) -> None:
    """Check that what rhoa wrote of a picture is not that it is no such crop."""
    overrule = 'or pass accept="label" to take it all the same.'
    kind = label.get(KIND, _CROP)
    if kind != _CROP:
        raise ViewError(
            f"{name}: rhoa wrote it as {_KINDS.get(kind, _KINDS['picture'])}, not as a crop of a "
            "hip: crop its hips first (`rhoa hips` of a CT, `rhoa xray --detector` of an X-ray), "
            f"{overrule}"
        )
    own, mirrored = label.get("side"), label.get("mirrored")
    if side is not None and own in SIDES and own != side:
        raise ViewError(
            f"{name}: rhoa wrote it as a crop of the {own} hip, and it is listed as a {side} one: "
            f"correct the side, name the file of the other hip, {overrule}"
        )
    if own in SIDES and mirrored in {_YES, _NO} and (mirrored == _YES) != (own == "right"):
        raise ViewError(
            f"{name}: a crop of a {own} hip that is {'' if mirrored == _YES else 'not '}mirrored; "
            f"models take right hips mirrored and left ones as they are: mirror it, {overrule}"
        )


def _levels(name: str, picture: DisplayedImage) -> NDArray[np.float32]:
    """Grey levels of 0 to 255."""
    levels, most = picture.pixels, float(picture.pixels.max())
    if picture.white == WHITE:
        return levels
    if picture.white is None:
        if picture.pixels.min() < 0 or most > WHITE or (picture.mode == "F" and 0 < most <= 1):
            raise PixelDataError(
                f"{name}: values of {float(levels.min()):g} to {most:g} are no grey levels of 0 to "
                "255; a crop is a picture of those: save it as 8-bit grey."
            )
        return levels
    if most <= picture.white / 2:
        raise PixelDataError(
            f"{name}: a picture of levels up to {most:g} where white is {picture.white:g}: as it "
            "is, it is too dark; spread its levels over the whole range, or save it as 8-bit grey."
        )
    return levels / np.float32(picture.white / WHITE)
