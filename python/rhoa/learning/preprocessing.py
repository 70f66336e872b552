"""Grey levels of a crop as a network takes them, and changed for augmentation; no torch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from rhoa.errors import ParameterError
from rhoa.raster import resize

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from rhoa.learning.recipe import Augmentation


# Grey levels of a crop, at the size and in the range that a network takes; without torch.

# Mean and spread of ImageNet's red, green and blue, which the pretrained weights expect.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
WHITE = 255


def prepare(
    image: NDArray[np.float32], *, image_size: int, xray_size: int | None
) -> NDArray[np.uint8]:
    """Grey levels of a square image at ``image_size``, a larger one through ``xray_size`` first.

    Without ``xray_size`` nothing but the network's input limits its resolution.
    """
    if xray_size is not None and max(image.shape) > xray_size:
        image = resize(image, xray_size, xray_size)
    if image.shape != (image_size, image_size):
        image = resize(image, image_size, image_size)
    return (np.clip(image, 0, WHITE) + 0.5).astype(np.uint8)


def require_grey(image: ArrayLike, *, where: str) -> NDArray[np.float32]:
    """``image`` as square float32 grey levels of 0 to 255.

    Raises
    ------
    ParameterError
        If it is not 2-D and square, empty, not finite, or its levels lie outside 0 to 255 or all in
        0 to 1.
    """
    levels = np.asarray(image)
    if levels.ndim != 2 or levels.size == 0 or levels.dtype.kind not in "uif":
        raise ParameterError(
            f"{where}: a 2-D grey image is needed; got dtype {levels.dtype}, shape {levels.shape}."
        )
    if levels.shape[0] != levels.shape[1]:
        raise ParameterError(
            f"{where}: a crop of a hip is square, and is not stretched to be; got shape "
            f"{levels.shape}: cut it to a square about the femoral head, or pad it "
            "(rhoa.hips.crop_files.padded)."
        )
    grey = levels.astype(np.float32)
    least, most = float(grey.min()), float(grey.max())
    if not (least > -0.5 and most < WHITE + 0.5):  # half a level of rounding; true for NaN too
        raise ParameterError(
            f"{where}: grey levels must lie in 0 to 255; got {least:g} to {most:g}; "
            "rhoa.raster.stretch makes them."
        )
    if levels.dtype.kind == "f" and 0 < most <= 1:
        raise ParameterError(
            f"{where}: grey levels must lie in 0 to 255, these in 0 to {most:g}; "
            "multiply shares of white by 255."
        )
    return grey


def preprocessing(
    *, image_size: int, xray_size: int | None, normalisation: tuple[float, float] | None = None
) -> dict[str, object]:
    """What becomes of a crop before the first layer, as a model's card states it.

    ``normalisation``: mean and spread of the training crops, where they are not ImageNet's.
    """
    imagenet = (IMAGENET_MEAN, IMAGENET_STD)
    mean, std = imagenet if normalisation is None else ((own,) * 3 for own in normalisation)
    return {
        "input": "one square grey crop of a hip, levels 0 (black) to 255; right hips mirrored",
        "seen_through_px": xray_size,
        "resized_to_px": image_size,
        "resampling": "bilinear over the covered pixels (antialiased), rounded to whole levels",
        "divided_by": WHITE,
        "channels": 3,
        "mean": list(mean),
        "std": list(std),
    }


def normalisation_of(stated: object) -> tuple[float, float] | None:
    """Mean and spread of the training crops, where a card's `preprocessing` states one of all."""
    match stated:
        case {"mean": [float() as mean, *means], "std": [float() as std, *stds]} if (
            {*means} == {mean} and {*stds} == {std} and math.isfinite(mean) and 0 < std < math.inf
        ):
            return mean, std
    return None


# Small changes of crops for test-time augmentation: those of training, without torch.


def draw_changes(changes: Augmentation, views: int, *, seed: int) -> NDArray[np.float64]:
    """Rows (angle in degrees, pixels down, across, scale), uniform; the first changes nothing."""
    turn, shift = changes.rotation_deg, changes.translation_px
    least, most = changes.scale
    low, high = np.array([-turn, -shift, -shift, least]), np.array([turn, shift, shift, most])
    shares = np.random.default_rng(seed).random((views, 4))
    rows: NDArray[np.float64] = low + (high - low) * shares
    rows[0] = (0.0, 0.0, 0.0, 1.0)
    return rows


def warp_levels(levels: NDArray[np.uint8], change: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Grey levels ``(n, rows, columns)`` scaled and turned about their centre, then shifted.

    One bilinear resampling; what enters from outside the picture is black. The angle is
    anticlockwise as seen.
    """
    from scipy.ndimage import affine_transform

    angle, down, across, scale = change
    cosine, sine = np.cos(np.deg2rad(angle)) / scale, np.sin(np.deg2rad(angle)) / scale
    # From output to input (rows run down): undo the shift, then turn and scale back.
    matrix = np.array([[cosine, sine], [-sine, cosine]])
    centre = (np.array(levels.shape[1:]) - 1) / 2
    offset = centre - matrix @ (centre + np.array([down, across]))
    warped = [
        affine_transform(
            one.astype(np.float32), matrix, offset, order=1, mode="grid-constant", cval=0.0
        )
        for one in levels
    ]
    rounded: NDArray[np.uint8] = (np.clip(np.stack(warped), 0, 255) + 0.5).astype(np.uint8)
    return rounded
