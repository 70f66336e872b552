"""The training recipes of the paper's models: every number of a training run."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from rhoa.errors import ParameterError, require_choice, require_count, require_positive

if TYPE_CHECKING:
    from collections.abc import Mapping

Source = Literal["xray", "ct"]
SMALLEST_IMAGE = 32  # ResNet18 halves its input five times
SMALLEST_BATCH = 2  # batch normalisation compares the images of a batch


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """Random changes of a training image, drawn anew, uniformly, each time it is seen.

    Parameters
    ----------
    rotation_deg
        Turned by up to this angle either way.
    translation_px
        Shifted by up to this many pixels of the network's input, down and across independently.
    scale
        Enlarged by a factor between these two.
    """

    rotation_deg: float = 5.0
    translation_px: float = 5.0
    scale: tuple[float, float] = (0.75, 1.2)

    def __post_init__(self) -> None:
        for name in ("rotation_deg", "translation_px"):
            value = getattr(self, name)
            if not (isinstance(value, int | float) and math.isfinite(value) and value >= 0):
                raise ParameterError(f"{name} must be a finite number >= 0; got {value!r}.")
        try:
            least, most = (require_positive("scale", factor) for factor in self.scale)
        except (TypeError, ValueError):
            least, most = 1.0, 0.0
        if least > most:
            raise ParameterError(
                f"scale must be (least, most), two positive factors in order; got {self.scale!r}."
            )
        object.__setattr__(self, "scale", (least, most))

    @property
    def changes_nothing(self) -> bool:
        """Whether every image stays as it is."""
        return self.rotation_deg == self.translation_px == 0 and self.scale == (1.0, 1.0)


NO_AUGMENTATION = Augmentation(rotation_deg=0.0, translation_px=0.0, scale=(1.0, 1.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Every number of a training run; the defaults are what the paper's five models share.

    Adam (moments 0.9 and 0.999) lowers the cross-entropy; the learning rate is multiplied by
    ``drop_factor`` every ``drop_period`` epochs. `dataclasses.replace` makes variants.

    Parameters
    ----------
    name, description
        What the model is called, and one line about it.
    sources
        Whose hips it is trained and validated on: ``"xray"``, ``"ct"`` or both.
    xray_size
        Crops larger than this many pixels a side are first downsampled to it, as the paper did with
        X-rays (CT-AP crops are that small already); None leaves them as cropped.
    image_size
        Side of the network's square input, in pixels; at least 32.
    batch
        Images per iteration; at least 2.
    learning_rate, drop_factor, drop_period, epochs
        Of Adam; the period is in epochs.
    validation_every
        Iterations between validations; the last iteration is always validated.
    augmentation
        Random changes of the training images.
    augment_validation
        Whether validation images are changed too when ``history.csv`` is written. The paper did,
        which made its validation figures random; the predictions of a run are never augmented.
    drop_last
        Whether the images that do not fill a batch sit out the epoch. Where they would be all
        images, the batch shrinks to the set. A single image left over joins the batch before it.
    first
        A recipe trained before this one, on the same manifest; this one begins with its weights.
        Everything else of the recipe is about the last stage. `varied` changes all stages.

    Raises
    ------
    ParameterError
        If a number is out of its range.

    References
    ----------
    Gebre et al. 2022, Training the deep learning model.

    Examples
    --------
    >>> from rhoa.learning import recipes
    >>> recipes["model-1"].iterations(3112)
    8245
    """

    name: str
    description: str
    sources: tuple[Source, ...]
    epochs: int
    validation_every: int
    drop_factor: float
    drop_period: int = 10
    learning_rate: float = 1e-4
    batch: int = 32
    xray_size: int | None = None
    image_size: int = 224
    augmentation: Augmentation = Augmentation()
    augment_validation: bool = False
    drop_last: bool = True
    first: Recipe | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "sources", tuple(self.sources))
        if not self.sources or len(set(self.sources)) < len(self.sources):
            raise ParameterError(f"sources must name each source once; got {self.sources!r}.")
        for source in self.sources:
            require_choice("sources", source, ("xray", "ct"))
        for name in ("epochs", "validation_every", "drop_period"):
            require_count(name, getattr(self, name))
        require_count("batch", self.batch, least=SMALLEST_BATCH)
        require_count("image_size", self.image_size, least=SMALLEST_IMAGE)
        if self.xray_size is not None:
            require_count("xray_size", self.xray_size)
        require_positive("learning_rate", self.learning_rate)
        if require_positive("drop_factor", self.drop_factor) > 1:
            raise ParameterError(f"drop_factor must be at most 1; got {self.drop_factor!r}.")
        if not isinstance(self.augmentation, Augmentation):
            raise ParameterError(
                f"augmentation must be an Augmentation; got {self.augmentation!r}."
            )
        if self.first is not None and not isinstance(self.first, Recipe):
            raise ParameterError(f"first must be a Recipe or None; got {self.first!r}.")

    def varied(self, **changes: Any) -> Recipe:  # noqa: ANN401  # any field's type
        """The recipe with these fields changed, in each of its stages.

        Examples
        --------
        >>> from rhoa.learning import recipes
        >>> quick = recipes["model-6"].varied(epochs=2)
        >>> quick.epochs, quick.first.epochs
        (2, 2)
        """
        first = None if self.first is None else self.first.varied(**changes)
        return replace(self, first=first, **changes)

    def batch_sizes(self, images: int) -> list[int]:
        """Sizes of the batches of one epoch over ``images`` training images."""
        full, left = divmod(images, self.batch)
        if full == 0:
            return [images]
        sizes = [self.batch] * full
        if left and not self.drop_last:
            if left < SMALLEST_BATCH:
                sizes[-1] += left
            else:
                sizes.append(left)
        return sizes

    def iterations(self, images: int) -> int:
        """Iterations of a whole run on ``images`` training images."""
        return len(self.batch_sizes(images)) * self.epochs

    def learning_rate_in(self, epoch: int) -> float:
        """Learning rate in ``epoch`` (the first is 1)."""
        return self.learning_rate * self.drop_factor ** ((epoch - 1) // self.drop_period)

    def as_dict(self) -> dict[str, Any]:
        """Every field, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Recipe:
        """The recipe that `as_dict` describes.

        Raises
        ------
        ParameterError
            If a field is missing, unknown or out of its range.
        """
        try:
            augmentation = Augmentation(**fields["augmentation"])
            first = None if fields.get("first") is None else cls.from_dict(fields["first"])
            return cls(**{**fields, "augmentation": augmentation, "first": first})
        except (AttributeError, KeyError, TypeError) as error:
            raise ParameterError(f"recipe: not the fields of a recipe ({error}).") from None


_XRAY = Recipe(
    name="model-1",
    description="ResNet18 trained on X-rays",
    sources=("xray",),
    epochs=85,
    validation_every=53,
    drop_factor=0.05,
)
_CT = Recipe(
    name="model-5",
    description="ResNet18 trained on CT-APs",
    sources=("ct",),
    epochs=100,
    validation_every=8,
    drop_factor=0.1,
)
_BOTH = replace(
    _XRAY,
    name="model-3",
    description="ResNet18 trained on CT-APs and X-rays",
    sources=("xray", "ct"),
    epochs=40,
)
_MODELS = (
    _XRAY,
    replace(
        _XRAY,
        name="model-2",
        description="ResNet18 trained on X-rays downsampled to the size of CT-AP crops",
        xray_size=100,
    ),
    _BOTH,
    replace(
        _BOTH,
        name="model-4",
        description="ResNet18 trained on CT-APs and X-rays downsampled to their size",
        xray_size=100,
    ),
    _CT,
    replace(
        _CT,
        name="model-6",
        description="ResNet18 trained on X-rays as model 1, then on CT-APs as model 5",
        first=_XRAY,
    ),
)

recipes: Mapping[str, Recipe] = MappingProxyType({recipe.name: recipe for recipe in _MODELS})
"""The paper's five models, and the sixth that it proposes: ``"model-1"`` to ``"model-6"``."""
