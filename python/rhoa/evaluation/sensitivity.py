"""Where a model looks: how much its score falls when a part of the image is hidden."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from rhoa.errors import ParameterError, require_count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray


class Classifier(Protocol):
    """Anything that gives class probabilities ``(n, classes)`` of a sequence of 2-D images."""

    def predict_proba(self, images: Sequence[NDArray[np.float32]], /) -> NDArray[np.floating]:
        """Probabilities, one row per image."""
        ...


def occlusion(
    model: Classifier,
    image: ArrayLike,
    *,
    patch: int,
    stride: int,
    target: int | None = None,
    batch: int = 64,
) -> NDArray[np.float32]:
    """Occlusion sensitivity: how much hiding each pixel lowers the probability of a class.

    A square patch filled with the image's mean is moved over the image in steps of ``stride``; a
    last position at each far edge covers what is left. A pixel's value is the mean, over the
    patches that cover it, of the probability of the whole image minus that of the hidden one:
    positive where the pixel speaks for the class.

    Parameters
    ----------
    model
        Its ``predict_proba`` takes a list of 2-D float32 images and returns ``(n, classes)``.
    image
        2-D, as the model takes it.
    patch
        Edge of the patch, in pixels.
    stride
        Step between patches, in pixels; at most ``patch``, so that every pixel is hidden once.
    target
        The class; the most probable one of the whole image by default.
    batch
        Images given to the model at once.

    Returns
    -------
    numpy.ndarray
        float32, of the image's shape.

    Raises
    ------
    ParameterError
        If the image is not 2-D, the patch does not fit in it, the stride exceeds the patch, or the
        target is no class of the model.

    References
    ----------
    Zeiler and Fergus 2014, Visualizing and understanding convolutional networks; MATLAB's
    ``occlusionSensitivity``.

    Examples
    --------
    >>> import numpy as np
    >>> from rhoa.evaluation.sensitivity import occlusion
    >>> class Corner:
    ...     def predict_proba(self, images):
    ...         bright = np.array([image[0, 0] for image in images])
    ...         return np.stack([1 - bright, bright], axis=1)
    >>> image = np.zeros((2, 2))
    >>> image[0, 0] = 1.0
    >>> occlusion(Corner(), image, patch=1, stride=1)
    array([[0.75, 0.  ],
           [0.  , 0.  ]], dtype=float32)
    """
    pixels = np.asarray(image, np.float32)
    if pixels.ndim != 2:
        raise ParameterError(f"image must be a 2-D array; got {pixels.ndim}-D.")
    require_count("patch", patch)
    require_count("stride", stride)
    require_count("batch", batch)
    if patch > min(pixels.shape):
        raise ParameterError(
            f"patch must fit in the image of shape {pixels.shape}; got {patch} pixels."
        )
    if stride > patch:
        raise ParameterError(
            f"stride must be at most the patch of {patch} pixels, to leave no gaps; got {stride}."
        )
    whole = np.asarray(model.predict_proba([pixels]), np.float64)[0]
    chosen = int(whole.argmax()) if target is None else _require_class(target, whole.size)
    corners = [
        (row, column)
        for row in _starts(pixels.shape[0], patch, stride)
        for column in _starts(pixels.shape[1], patch, stride)
    ]
    fall, covered = np.zeros(pixels.shape), np.zeros(pixels.shape)
    for start in range(0, len(corners), batch):
        some = corners[start : start + batch]
        hidden = [_hide(pixels, corner, patch) for corner in some]
        scores = np.asarray(model.predict_proba(hidden), np.float64)[:, chosen]
        for (row, column), score in zip(some, scores, strict=True):
            fall[row : row + patch, column : column + patch] += whole[chosen] - score
            covered[row : row + patch, column : column + patch] += 1
    return (fall / covered).astype(np.float32)


def _starts(length: int, patch: int, stride: int) -> list[int]:
    last = length - patch
    return sorted({*range(0, last + 1, stride), last})


def _hide(pixels: NDArray[np.float32], corner: tuple[int, int], patch: int) -> NDArray[np.float32]:
    row, column = corner
    hidden = pixels.copy()
    hidden[row : row + patch, column : column + patch] = pixels.mean(dtype=np.float64)
    return hidden


def _require_class(target: object, classes: int) -> int:
    number = require_count("target", target, least=0)
    if number >= classes:
        raise ParameterError(f"target must be one of the model's {classes} classes; got {number}.")
    return number
