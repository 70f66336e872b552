"""What a training run computes: every number, as one frozen recipe; the recipes by name."""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from rhoa.errors import ParameterError, require_choice, require_count, require_positive

if TYPE_CHECKING:
    from collections.abc import Mapping


# How much training images are changed at random.


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


# How training images are changed in grey levels and sharpness, so that sources resemble each other.


@dataclass(frozen=True, slots=True, kw_only=True)
class Appearance:
    """Random changes of a training image's grey levels and sharpness; by default there are none.

    Each is drawn anew, uniformly, each time an image is seen, and made in this order, before the
    image is turned, shifted and scaled (`Augmentation`). Millimetres are of a crop 70 mm wide, as a
    hip's is in the mean pelvis; no file needs to know its pixel size.

    Parameters
    ----------
    variants
        Chance that a CT-AP hip is seen as one of the variants that ``rhoa hips --variants`` stored
        beside its crop, each as likely; hips without any stay as they are.
    histogram
        Chance that an image gets, by rank, the grey levels of the mean histogram of the other
        source's training crops.
    gamma
        Levels, as shares of white, are raised to a power between these two, uniform in its
        logarithm.
    xray_pixel_mm
        X-rays are brought to pixels of a size between these two, as a CT-AP has them, and back;
        pixels that are smaller than the input's change nothing.
    blur_mm
        Images are blurred by a Gaussian whose standard deviation lies between these two.
    """

    variants: float = 0.0
    histogram: float = 0.0
    gamma: tuple[float, float] = (1.0, 1.0)
    xray_pixel_mm: tuple[float, float] = (0.0, 0.0)
    blur_mm: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        for name in ("variants", "histogram"):
            chance = getattr(self, name)
            if not (isinstance(chance, int | float) and 0 <= chance <= 1):
                raise ParameterError(f"{name} must be a chance from 0 to 1; got {chance!r}.")
        for name, lowest in (("gamma", 0.01), ("xray_pixel_mm", 0.0), ("blur_mm", 0.0)):
            given = getattr(self, name)
            try:
                least, most = (float(number) for number in given)
            except (TypeError, ValueError):
                least, most = 1.0, 0.0
            if not lowest <= least <= most < math.inf:
                raise ParameterError(
                    f"{name} must be (least, most), two numbers in order from {lowest:g} up; got "
                    f"{given!r}."
                )
            object.__setattr__(self, name, (least, most))

    @property
    def changes_nothing(self) -> bool:
        """Whether every image stays as it is."""
        return self == Appearance()


# What a training run computes: every number of it, as one frozen recipe.

Source = Literal["xray", "ct"]
SMALLEST_IMAGE = 32  # ResNet18 halves its input five times
SMALLEST_BATCH = 2  # batch normalisation compares the images of a batch
RESNET18, TIMM = "resnet18", "timm/"
BACKBONE = re.compile(rf"{RESNET18}|{TIMM}[a-z0-9_]+")
SAMPLINGS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "by-source": ("ct", "xray"),
        "by-class": ("0", "1"),
        "by-source-and-class": ("ct-0", "ct-1", "xray-0", "xray-1"),
    }
)
"""Groups of hips that get the same share of the draws, by the name of the sampling."""
GROUPED: Mapping[str, type[Augmentation | Appearance]] = MappingProxyType(
    {"augmentation": Augmentation, "appearance": Appearance}
)
"""Fields of a recipe that have fields of their own."""
_CHOICES = {
    "validate_on": ("all", "ct", "xray"),
    "target": ("rhoa", "kl"),
    "head": ("classes", "ordinal"),
    "head_start": ("torch", "glorot"),
    "normalisation": ("imagenet", "training"),
    "bn_statistics": ("running", "population"),
    "augment_on": ("input", "crop"),
    "augment_validation": (False, True, "anew"),
    "decay_batch_norm": (False, True),
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
        (the extra ``timm``), such as ``"timm/convnext_tiny"``. All take ImageNet's colours.
    target
        ``"rhoa"``: no rHOA or rHOA; hips of KL 1 are left out. ``"kl"``: the KL grade, 0 to 4, of
        hips that all have one, KL 1 too; P(KL >= 2) is the probability of rHOA. Where hips have a
        column ``crowe`` (I to IV, or 1 to 4), Crowe's grade is learnt beside it.
    head
        ``"classes"``: one output a class (or grade), cross-entropy. ``"ordinal"``, of rHOA: one
        line through the features with a threshold for each of KL >= 2, 3 and 4 (Cao et al. 2020,
        CORAL), so that grades teach more than classes; saved, it is a two-class model as any other.
        Of KL: whether a hip goes beyond each grade that it has reached, each a line of its own
        (Shi et al. 2023, CORN).
    head_start
        How a last layer that no file gives begins: as ``"torch"`` begins it, or, as in MATLAB, by
        ``"glorot"``: uniform weights within sqrt(6 / (inputs + outputs)), biases of 0.
    dropout
        Share of the features that are dropped at random before the last layer in each training
        step, which `rhoa.learning.monte_carlo_dropout` needs; 0: none.
    normalisation
        Mean and spread by which grey levels are normalised: those of ``"imagenet"``, by colour, or
        of all pixels of the ``"training"`` crops, as MATLAB sets them anew. The model's card has
        them.
    bn_statistics
        Mean and variance by which batch normalisation of saved models divides. ``"running"``: an
        average over the last iterations, as torch keeps it. ``"population"``: those of each layer's
        inputs over one more epoch of changed training images, as MATLAB computes them at the end.
        Validations while the run goes on are by the running ones in any case.
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
    sampling
        How an epoch's hips are drawn; an epoch is always as many draws as there are training hips.
        ``"natural"``: each hip once. ``"by-source"``, ``"by-class"``, ``"by-source-and-class"``:
        each source, class, or class of a source gets the same share of the draws, to one draw;
        within it no hip is drawn twice before all are drawn once. So most hips of a large group sit
        out an epoch, and those of a small one come several times in it. Or the weight of each
        group, such as ``{"ct": 3, "xray": 1}``; `SAMPLINGS` has the names of groups.
    epochs
        How often as many images are seen as there are.
    epoch_iterations
        Iterations of an epoch, of full batches, from as many shuffles as that takes; None: as many
        as one shuffle fills.
    optimizer
        ``"adam"`` or ``"adamw"``, both with moments 0.9 and 0.999.
    weight_decay
        Of weights, not of biases nor of batch normalisation; Adam adds it to the gradient (L2).
    decay_batch_norm
        Whether scales and offsets of batch normalisation decay, too, as in MATLAB.
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
    augment_on
        What pixels ``augmentation.translation_px`` counts: those of the network's ``"input"``, or,
        as in MATLAB, those of the ``"crop"`` before it is resized (after ``xray_size``): 5 of a
        crop of 100 are 11.2 of 224.
    augment_validation
        Whether validation images are changed by ``augmentation`` too where the run validates
        itself: True, always in the same way, so that curves compare; ``"anew"``, in another way
        each time. Predictions of a run are never of changed images.
    appearance
        Random changes of the training images' grey levels and sharpness; of no others.
    validate_on
        Whose validation hips choose the best weights and stop the training: those of ``"all"`` of
        ``sources``, of ``"ct"``, or of ``"xray"``, even where the model is not trained on them.
        Figures of either source are recorded in any case.
    validation_every
        Iterations between validations, or, as a float of at most 1, a share of an epoch; the last
        iteration is always validated.
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
    consistent ordinal regression for neural networks. Shi, Cao and Raschka 2023, Deep neural
    networks for rank-consistent ordinal regression based on conditional probabilities.

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
    target: Literal["rhoa", "kl"] = "rhoa"
    head: Literal["classes", "ordinal"] = "classes"
    head_start: Literal["torch", "glorot"] = "torch"
    dropout: float = 0.0
    normalisation: Literal["imagenet", "training"] = "imagenet"
    bn_statistics: Literal["running", "population"] = "running"
    frozen_stem: bool = False
    head_weight_factor: float = 1.0
    head_bias_factor: float = 1.0
    batch: int = 32
    drop_last: bool = True
    sampling: str | tuple[tuple[str, float], ...] | Mapping[str, float] = "natural"
    epochs: int
    epoch_iterations: int | None = None
    optimizer: Literal["adam", "adamw"] = "adam"
    weight_decay: float = 0.0
    decay_batch_norm: bool = False
    learning_rate: float = 1e-4
    schedule: Literal["steps", "cosine"] = "steps"
    drop_factor: float = 0.1
    drop_period: int = 10
    label_smoothing: float = 0.0
    augmentation: Augmentation = Augmentation()  # frozen
    augment_on: Literal["input", "crop"] = "input"
    augment_validation: bool | Literal["anew"] = False
    appearance: Appearance = Appearance()  # frozen
    validate_on: Literal["all", "ct", "xray"] = "all"
    validation_every: int | float
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
        for name, kind in GROUPED.items():
            if not isinstance(getattr(self, name), kind):
                raise ParameterError(
                    f"{name} must be an {kind.__name__}; got {getattr(self, name)!r}."
                )
        self._require_sampling()
        if self.first is not None and not isinstance(self.first, Recipe):
            raise ParameterError(f"first must be a Recipe or None; got {self.first!r}.")
        self._require_backbone()

    def _require_sampling(self) -> None:
        """Check it; weights of groups become pairs in the order of `SAMPLINGS`."""
        if isinstance(self.sampling, str):
            require_choice("sampling", self.sampling, ("natural", *SAMPLINGS))
            return
        try:
            given = {str(name): float(weight) for name, weight in dict(self.sampling).items()}
        except (TypeError, ValueError):
            given = {}
        known = next((groups for groups in SAMPLINGS.values() if given.keys() <= set(groups)), ())
        fits = all(math.isfinite(weight) and weight >= 0 for weight in given.values())
        if not (known and fits and sum(given.values()) > 0):
            every = "; ".join(", ".join(groups) for groups in SAMPLINGS.values())
            raise ParameterError(
                f'sampling must be "natural", {", ".join(SAMPLINGS)}, or a weight >= 0 for each '
                f"of {every}; got {self.sampling!r}."
            )
        pairs = tuple((name, given[name]) for name in known if name in given)
        object.__setattr__(self, "sampling", pairs)

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
        for name in ("epochs", "drop_period"):
            require_count(name, getattr(self, name))
        every = self.validation_every
        if not (isinstance(every, float) and 0 < every <= 1):
            require_count("validation_every", every)
        for name in ("xray_size", "epoch_iterations", "patience"):
            if getattr(self, name) is not None:
                require_count(name, getattr(self, name))
        require_count("batch", self.batch, least=SMALLEST_BATCH)
        require_count("image_size", self.image_size, least=SMALLEST_IMAGE)
        for name in ("learning_rate", "head_weight_factor", "head_bias_factor"):
            require_positive(name, getattr(self, name))
        if require_positive("drop_factor", self.drop_factor) > 1:
            raise ParameterError(f"drop_factor must be at most 1; got {self.drop_factor!r}.")
        for name, most in (("weight_decay", math.inf), ("label_smoothing", 1.0), ("dropout", 1.0)):
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

    def validation_interval(self, images: int) -> int:
        """Iterations between validations of a run on ``images`` training images.

        Examples
        --------
        >>> from rhoa.learning import recipes
        >>> recipes["modern"].validation_interval(3158), recipes["modern"].validation_interval(46)
        (49, 1)
        """
        if isinstance(self.validation_every, float):
            return max(1, int(self.validation_every * len(self.batch_sizes(images))))
        return self.validation_every

    @property
    def group_weights(self) -> Mapping[str, float]:
        """The weight of each group of hips in the draws of an epoch; empty where it is natural."""
        if isinstance(self.sampling, str):
            return dict.fromkeys(SAMPLINGS.get(self.sampling, ()), 1.0)
        return dict(self.sampling)

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
            own = {name: kind(**fields.get(name, {})) for name, kind in GROUPED.items()}
            first = None if fields.get("first") is None else cls.from_dict(fields["first"])
            return cls(**{**fields, **own, "first": first})
        except (AttributeError, KeyError, TypeError) as error:
            raise ParameterError(f"recipe: not the fields of a recipe ({error}).") from None


# How a training run is carried out: speed, safety, what is written while it runs.

Precision = Literal["auto", "float32", "bfloat16", "float16"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """How a run is carried out; what it computes is in its `Recipe`.

    Parameters
    ----------
    precision
        Of the training steps' matrix products: ``"auto"`` is bfloat16 on GPUs that have it, float16
        with scaled losses on others, float32 on a CPU. Weights, validation and predictions are
        float32 always.
    compile
        Whether ``torch.compile`` makes the training step; it needs a C++ compiler, and its first
        iterations are slow.
    checkpoint_minutes
        Between checkpoints, which are all that a run which is killed can lose; 0: every iteration.
    resume
        Whether a run goes on from its checkpoint, and a finished run is left as it is. Otherwise it
        begins anew.
    tensorboard
        Whether curves are also written for TensorBoard (the extra ``tensorboard``).

    Raises
    ------
    ParameterError
        If a value is out of its range.
    """

    precision: Precision = "auto"
    compile: bool = False
    checkpoint_minutes: float = 5.0
    resume: bool = True
    tensorboard: bool = False

    def __post_init__(self) -> None:
        require_choice("precision", self.precision, ("auto", "float32", "bfloat16", "float16"))
        minutes = self.checkpoint_minutes
        if not (isinstance(minutes, int | float) and minutes >= 0):
            raise ParameterError(f"checkpoint_minutes must be a number >= 0; got {minutes!r}.")


# The recipes by name: the paper's five models, the sixth it proposes, and one of today.

_XRAY = Recipe(
    name="model-1",
    description="trained on X-rays",
    sources=("xray",),
    epochs=85,
    validation_every=53,
    drop_factor=0.05,
)
_CT = Recipe(
    name="model-5",
    description="trained on CT-APs",
    sources=("ct",),
    epochs=100,
    validation_every=8,
    drop_factor=0.1,
)
_BOTH = replace(
    _XRAY,
    name="model-3",
    description="trained on CT-APs and X-rays",
    sources=("xray", "ct"),
    epochs=40,
)
_MODELS = (
    _XRAY,
    replace(
        _XRAY,
        name="model-2",
        description="trained on X-rays downsampled to the size of CT-AP crops",
        xray_size=100,
    ),
    _BOTH,
    replace(
        _BOTH,
        name="model-4",
        description="trained on CT-APs and X-rays downsampled to their size",
        xray_size=100,
    ),
    _CT,
    replace(
        _CT,
        name="model-6",
        description="trained on X-rays as model 1, then on CT-APs as model 5",
        first=_XRAY,
    ),
)
_MODERN = Recipe(
    name="modern",
    description="trained on CT-APs and X-rays, stopped at the best validation AUC",
    sources=("xray", "ct"),
    epochs=30,
    optimizer="adamw",
    weight_decay=0.01,
    learning_rate=3e-4,
    schedule="cosine",
    label_smoothing=0.1,
    validation_every=0.5,
    best_by="val_auc",
    keep="best",
    patience=10,
)

_DOMAIN = replace(
    _BOTH,
    name="domain",
    description="trained on CT-APs and X-rays drawn equally often and made alike, chosen by CT-APs",
    sampling="by-source-and-class",
    appearance=Appearance(
        histogram=0.5, gamma=(0.7, 1.4), xray_pixel_mm=(0.3, 1.5), blur_mm=(0.0, 0.5)
    ),
    validate_on="ct",
    validation_every=0.5,
    keep="best",
)

recipes: Mapping[str, Recipe] = MappingProxyType(
    {recipe.name: recipe for recipe in (*_MODELS, _MODERN, _DOMAIN)}
)
"""``"model-1"`` to ``"model-5"`` of the paper, ``"model-6"``, which it proposes, ``"modern"``, and
``"domain"``, model 3 for cohorts of few CT-APs."""


def as_coded(recipe: Recipe) -> Recipe:
    """``recipe`` as the paper's published MATLAB code has it, where the code differs from the text.

    The code trains 10 epochs, keeps the first convolution, lets the last layer learn 1920 (weights)
    and 1000 (biases) times as fast, and validates on changed images, each time anew. By MATLAB's
    defaults it drops the learning rate to a tenth every 10 epochs; decays weights by 1e-4, those of
    batch normalisation too; changes crops before it resizes them; normalises by its training
    images, and batch normalisation by all of them at the end; and begins the last layer by Glorot's
    rule.

    Examples
    --------
    >>> coded = as_coded(recipes["model-3"])
    >>> coded.name, coded.epochs, coded.frozen_stem, coded.head_weight_factor
    ('model-3-as-coded', 10, True, 1920.0)
    """
    first = None if recipe.first is None else as_coded(recipe.first)
    return replace(
        recipe,
        name=f"{recipe.name}-as-coded",
        description=f"{recipe.description}, as the paper's code has it",
        epochs=10,
        drop_factor=0.1,
        drop_period=10,
        weight_decay=1e-4,
        frozen_stem=True,
        head_weight_factor=1920.0,
        head_bias_factor=1000.0,
        decay_batch_norm=True,
        augment_on="crop",
        augment_validation="anew",
        normalisation="training",
        bn_statistics="population",
        head_start="glorot",
        first=first,
    )
