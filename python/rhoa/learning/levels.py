"""Grey levels of a crop, at the size and in the range that a network takes; without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rhoa.errors import ParameterError
from rhoa.picture import resize

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

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
            "rhoa.picture.stretch makes them."
        )
    if levels.dtype.kind == "f" and 0 < most <= 1:
        raise ParameterError(
            f"{where}: grey levels must lie in 0 to 255, these in 0 to {most:g}; "
            "multiply shares of white by 255."
        )
    return grey


def preprocessing(*, image_size: int, xray_size: int | None) -> dict[str, object]:
    """What becomes of a crop before the first layer, as a model's card tells it."""
    return {
        "input": "one square grey crop of a hip, levels 0 (black) to 255; right hips mirrored",
        "seen_through_px": xray_size,
        "resized_to_px": image_size,
        "resampling": "bilinear over the covered pixels (antialiased), rounded to whole levels",
        "divided_by": WHITE,
        "channels": 3,
        "mean": list(IMAGENET_MEAN),
        "std": list(IMAGENET_STD),
    }
