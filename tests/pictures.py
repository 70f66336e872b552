"""Picture files of the tests, read by Pillow itself."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image


def levels_of(picture: Path | bytes) -> np.ndarray:
    """The values of a grey picture file, as it stores them."""
    with Image.open(picture if isinstance(picture, Path) else io.BytesIO(picture)) as image:
        return np.asarray(image)


def text_of(picture: Path) -> dict[str, str]:
    """The text fields of a PNG file."""
    with Image.open(picture) as image:
        image.load()
        return {key: str(value) for key, value in image.text.items()}
