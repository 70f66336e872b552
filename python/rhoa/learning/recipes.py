"""What a training run computes: every number of it, as one frozen recipe."""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from rhoa.errors import ParameterError, require_choice, require_count, require_positive
from rhoa.learning.augmentations import Augmentation

if TYPE_CHECKING:
    from collections.abc import Mapping

Source = Literal["xray", "ct"]
SMALLEST_IMAGE = 32  # ResNet18 halves its input five times
SMALLEST_BATCH = 2  # batch normalisation compares the images of a batch
RESNET18, TIMM = "resnet18", "timm/"
BACKBONE = re.compile(rf"{RESNET18}|{TIMM}[a-z0-9_]+")
_CHOICES = {
    "head": ("classes", "ordinal"),
    "optimizer": ("adam", "adamw"),
    "schedule": ("steps", "cosine"),
    "best_by": ("val_loss", "val_auc"),
    "keep": ("last", "best"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Every number of a training run; the defaults are what the paper's five models share.

    `dataclasses.replace` makes variants, `varied` those of all stages.

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
    backbone
        ``"resnet18"``, the paper's; ``"timm/NAME"``: a convolutional network of timm
        (``rhoa[timm]``), such as ``"timm/convnext_tiny"``. All take ImageNet's colours.
    head
        ``"classes"``: one output a class, cross-entropy. ``"ordinal"``: one line through the
        features with a threshold for each of KL >= 2, 3 and 4 (Cao et al. 2020, CORAL), so that
        grades teach more than classes; saved, it is a two-class model as any other.
    frozen_stem
        Whether the weights of the first convolution and of its batch normalisation stay as they
        are; what batch normalisation counts still moves.
    head_weight_factor, head_bias_factor
        The last layer's learning rates are these times the others'.
    batch
        Images per iteration; at least 2.
    drop_last
        Whether the images that do not fill a batch sit out the epoch. Where they would be all
        images, the batch shrinks to the set. A single image left over joins the batch before it.
    epochs
        How often all images are seen.
    epoch_iterations
        Iterations of an epoch, of full batches, from as many shuffles as that takes; None: as many
        as one shuffle fills.
    optimizer
        ``"adam"`` or ``"adamw"``, both with moments 0.9 and 0.999.
    weight_decay
        Of weights, not of biases nor of batch normalisation; Adam adds it to the gradient (L2).
    learning_rate
        In the first epoch.
    schedule
        ``"steps"``: times ``drop_factor`` every ``drop_period`` epochs. ``"cosine"``: down to
        nearly zero along half a cosine.
    drop_factor, drop_period
        Of ``"steps"``.
    label_smoothing
        Share of each training label that is spread evenly; validation losses have none.
    augmentation
        Random changes of the training images.
    augment_validation
        Whether validation images are changed too where the run validates itself. Predictions of a
        run are never of changed images.
    validation_every
        Iterations between validations; the last iteration is always validated.
    best_by
        A validation is the best so far by a lower ``"val_loss"``, or by a higher ``"val_auc"``
        (area under the ROC curve; of equal ones, by the lower loss).
    keep
        Whether the run's model is that of the ``"last"`` iteration or of the ``"best"`` validation;
        the other one is kept in a folder of that name inside.
    patience
        Validations in a row, none of them the best so far, after which training stops; None: never.
    first
        A recipe trained before this one, on the same manifest; this one begins with its weights.
        Everything else of the recipe is about the last stage.

    Raises
    ------
    ParameterError
        If a number is out of its range.

    References
    ----------
    Gebre et al. 2022, Training the deep learning model. Cao, Mirjalili and Raschka 2020, Rank
    consistent ordinal regression for neural networks.

    Examples
    --------
    >>> from rhoa.learning import recipes
    >>> recipes["model-1"].iterations(3112)
    8245
    """

    name: str
    description: str
    sources: tuple[Source, ...]
    xray_size: int | None = None
    image_size: int = 224
    backbone: str = RESNET18
    head: Literal["classes", "ordinal"] = "classes"
    frozen_stem: bool = False
    head_weight_factor: float = 1.0
    head_bias_factor: float = 1.0
    batch: int = 32
    drop_last: bool = True
    epochs: int
    epoch_iterations: int | None = None
    optimizer: Literal["adam", "adamw"] = "adam"
    weight_decay: float = 0.0
    learning_rate: float = 1e-4
    schedule: Literal["steps", "cosine"] = "steps"
    drop_factor: float = 0.1
    drop_period: int = 10
    label_smoothing: float = 0.0
    augmentation: Augmentation = Augmentation()  # noqa: RUF009  # frozen
    augment_validation: bool = False
    validation_every: int
    best_by: Literal["val_loss", "val_auc"] = "val_loss"
    keep: Literal["last", "best"] = "last"
    patience: int | None = None
    first: Recipe | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "sources", tuple(self.sources))
        if not self.sources or len(set(self.sources)) < len(self.sources):
            raise ParameterError(f"sources must name each source once; got {self.sources!r}.")
        for source in self.sources:
            require_choice("sources", source, ("xray", "ct"))
        for name, choices in _CHOICES.items():
            require_choice(name, getattr(self, name), choices)
        self._require_numbers()
        if not isinstance(self.augmentation, Augmentation):
            raise ParameterError(
                f"augmentation must be an Augmentation; got {self.augmentation!r}."
            )
        if self.first is not None and not isinstance(self.first, Recipe):
            raise ParameterError(f"first must be a Recipe or None; got {self.first!r}.")
        self._require_backbone()

    def _require_backbone(self) -> None:
        if not (isinstance(self.backbone, str) and BACKBONE.fullmatch(self.backbone)):
            raise ParameterError(
                f"backbone must be {RESNET18!r} or {TIMM!r} and a name of timm's, such as "
                f'"{TIMM}convnext_tiny"; got {self.backbone!r}.'
            )
        if self.frozen_stem and self.backbone != RESNET18:
            raise ParameterError(f"frozen_stem is of {RESNET18}; {self.backbone} has none.")
        if self.first is not None and self.first.backbone != self.backbone:
            raise ParameterError(
                f"a stage begins with the weights of the one before it: backbone must be "
                f"{self.first.backbone!r} as in first; got {self.backbone!r}."
            )

    def _require_numbers(self) -> None:
        for name in ("epochs", "validation_every", "drop_period"):
            require_count(name, getattr(self, name))
        for name in ("xray_size", "epoch_iterations", "patience"):
            if getattr(self, name) is not None:
                require_count(name, getattr(self, name))
        require_count("batch", self.batch, least=SMALLEST_BATCH)
        require_count("image_size", self.image_size, least=SMALLEST_IMAGE)
        for name in ("learning_rate", "head_weight_factor", "head_bias_factor"):
            require_positive(name, getattr(self, name))
        if require_positive("drop_factor", self.drop_factor) > 1:
            raise ParameterError(f"drop_factor must be at most 1; got {self.drop_factor!r}.")
        for name, most in (("weight_decay", math.inf), ("label_smoothing", 1.0)):
            value = getattr(self, name)
            if not (isinstance(value, int | float) and 0 <= value < most):
                raise ParameterError(f"{name} must be at least 0 and below {most}; got {value!r}.")

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
        if self.epoch_iterations is not None:
            return [min(self.batch, images)] * self.epoch_iterations
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
        """Iterations of a whole run on ``images`` training images; of the last stage alone."""
        return len(self.batch_sizes(images)) * self.epochs

    def learning_rate_in(self, epoch: int) -> float:
        """Learning rate in ``epoch`` (the first is 1)."""
        if self.schedule == "cosine":
            return self.learning_rate * 0.5 * (1 + math.cos(math.pi * (epoch - 1) / self.epochs))
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
