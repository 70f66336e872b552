"""A crop, what a model says of it, and where the model looks: the paper's Figure 4."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rhoa.errors import ParameterError

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class OcclusionExample:
    """A crop, what a model says of it, and where the model looks.

    Parameters
    ----------
    caption
        What it is; no patient data.
    image
        2-D crop.
    map
        Of the image's shape: positive where a pixel speaks for the predicted class.
    label
        Ground truth: 1 rHOA, 0 no rHOA.
    probability
        Of rHOA, as predicted.

    Raises
    ------
    ParameterError
        If image and map are not 2-D of one shape, or label or probability are out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from rhoa.evaluation.occlusions import OcclusionExample
    >>> blank = np.zeros((100, 100))
    >>> OcclusionExample("KL 3", blank, blank, label=1, probability=0.2).misclassified
    True
    """

    caption: str
    image: NDArray[np.float32]
    map: NDArray[np.float32]
    label: int
    probability: float

    def __post_init__(self) -> None:
        image, influence = np.asarray(self.image, np.float32), np.asarray(self.map, np.float32)
        if image.ndim != 2 or image.shape != influence.shape:
            raise ParameterError(
                f"image and map must be 2-D of one shape; got {image.shape} and {influence.shape}."
            )
        if self.label not in {0, 1} or not 0 <= self.probability <= 1:
            raise ParameterError(
                "label must be 0 or 1 and probability in [0, 1]; "
                f"got {self.label!r} and {self.probability!r}."
            )
        object.__setattr__(self, "image", image)
        object.__setattr__(self, "map", influence)

    @property
    def misclassified(self) -> bool:
        """Whether the ground truth and the call at a threshold of 0.5 differ."""
        return (self.probability >= 0.5) != bool(self.label)
