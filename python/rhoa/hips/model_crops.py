"""The crop of a hip that models are trained on and applied to: one function for both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from rhoa.hips.boxes import crop
from rhoa.picture import stretch

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from rhoa.hips.boxes import Box
    from rhoa.radiograph import Radiograph

Source = Literal["xray", "ct"]
CT_CROP_PIXELS = 100
# Gebre et al. 2022, "contrast adjustment was done on the CHECK X-rays by saturating the bottom and
# the top 1% of the pixel values"; CT-APs were left as they are.
XRAY_SATURATION_PERCENT = 1.0


def model_crop(image: Radiograph | ArrayLike, box: Box, *, source: Source) -> NDArray[np.uint8]:
    """Grey levels of a hip as models see it: square, right hips mirrored.

    `rhoa.cohort.build` writes these crops, and ``rhoa predict`` grades them. Those of a CT-AP have
    100 x 100 pixels and their whole range of values; those of an X-ray have its own pixels, with
    1 % saturated at either end.

    Parameters
    ----------
    image
        A CT-AP through the pose of its pelvis, or an X-ray as `rhoa.hips.read_xray` makes it.
    box
        Of the hip, in the image's pixel edges; clipped to a square, as `rhoa.hips.crop` clips it.
    source
        What the image is: ``"ct"`` or ``"xray"``.

    Raises
    ------
    ParameterError
        If the image is not 2-D, or all of the box lies outside it.

    References
    ----------
    Gebre et al. 2022, "Cropping and contrast adjustment of hip joints".

    Examples
    --------
    >>> import numpy as np
    >>> from rhoa.hips import Box
    >>> model_crop(np.eye(4), Box("left", 0, 0, 4, 4), source="xray")[0]
    array([255,   0,   0,   0], dtype=uint8)
    """
    is_ct = source == "ct"
    pixels = crop(image, box, size=CT_CROP_PIXELS if is_ct else None)
    saturate = 0.0 if is_ct else XRAY_SATURATION_PERCENT
    return stretch(pixels, saturate_percent=saturate).astype(np.uint8, copy=False)
