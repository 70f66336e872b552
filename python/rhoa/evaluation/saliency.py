"""Which parts of a crop change a model's answer: occlusion, Grad-CAM, and maps over the image."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from rhoa.errors import ParameterError, require_choice, require_count, require_extra
from rhoa.raster import resize, stretch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from rhoa.learning import Model

    Images = Sequence[NDArray[np.float32]]


# Where a model looks: how much its score falls when a part of the image is hidden.


class Classifier(Protocol):
    """Anything that gives class probabilities ``(n, classes)`` of a sequence of 2-D images."""

    def predict_proba(self, images: Images, /) -> NDArray[np.floating]:
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
    spread: Literal["mean", "matlab"] = "mean",
) -> NDArray[np.float32]:
    """Occlusion sensitivity: how much hiding each pixel lowers the probability of a class.

    A square filled with the mean of the image is moved over it in steps of ``stride``, and the
    model scores the rest. The value of a square is the probability of the whole image minus that
    of the hidden one: positive where it hides what speaks for the class, negative where it hides
    what speaks against it.

    Parameters
    ----------
    model
        Its ``predict_proba`` takes a list of 2-D float32 images and returns ``(n, classes)``. For
        models of `rhoa.load_model` only what a square changes is computed.
    image
        2-D, as the model takes it.
    patch
        Edge of the square, in pixels.
    stride
        Step between squares, in pixels; at most ``patch``, so that every pixel is hidden once.
    target
        The class; the most probable one of the whole image by default.
    batch
        Images given to the model at once.
    spread
        How values of squares become values of pixels. ``"mean"``: the first square lies in the
        upper left corner, the last ones are cut where the image ends, and a pixel has the mean of
        the squares that cover it; this is captum's ``Occlusion``. ``"matlab"``: squares are
        centred on every ``stride``-th pixel, from the first one on, and cut at the edges; between
        the centres values are interpolated by cubic convolution, beyond the last one towards the
        last value. These are the defaults of MATLAB's ``occlusionSensitivity`` (mask clipping,
        bicubic upsampling), as its documentation states them.

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
    ``occlusionSensitivity``; Kokhlikyan et al. 2020, Captum.

    Examples
    --------
    >>> import numpy as np
    >>> from rhoa.evaluation.saliency import occlusion
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
    pixels = _require_image(image, patch, stride)
    require_count("batch", batch)
    require_choice("spread", spread, ("mean", "matlab"))
    centred = spread == "matlab"
    squares = [_spans(length, patch, stride, centred=centred) for length in pixels.shape]
    score = _for_variants(model).predict_proba
    whole = np.asarray(score([pixels]), np.float64)[0]
    chosen = int(whole.argmax()) if target is None else _require_class(target, whole.size)
    places = [(rows, columns) for rows in squares[0] for columns in squares[1]]
    mean = np.float32(pixels.mean(dtype=np.float64))
    scores = np.empty((len(places), whole.size))
    for some in _alike([len(spans) for spans in squares], batch):
        variants = [pixels.copy() for _ in some]
        for variant, number in zip(variants, some, strict=True):
            variant[places[number]] = mean
        scores[some] = score(variants)
    falls = (whole[chosen] - scores[:, chosen]).reshape([len(spans) for spans in squares])
    down, across = (
        _cubic(length, len(spans), stride) if centred else _means(length, spans)
        for length, spans in zip(pixels.shape, squares, strict=True)
    )
    values: NDArray[np.float32] = (down @ falls @ across.T).astype(np.float32)
    return values


def _spans(length: int, patch: int, stride: int, *, centred: bool) -> list[slice]:
    """The pixels that squares hide, along one axis."""
    if centred:
        starts = [centre - patch // 2 for centre in range(0, length, stride)]
    else:
        steps = -(-(length - patch) // stride)
        starts = [step * stride for step in range(steps + 1)]
    return [slice(max(0, start), min(length, start + patch)) for start in starts]


def _alike(shape: Sequence[int], batch: int) -> list[NDArray[np.intp]]:
    """Batches of the numbers of squares that are about as far from the edges.

    What a square changes ends where the image ends, so near an edge it is less.
    """
    step = max(1, round(np.sqrt(batch) / 2))  # at all four corners, as many as a batch has
    distances = [np.minimum(np.arange(count), np.arange(count)[::-1]) // step for count in shape]
    down, across = np.meshgrid(*distances, indexing="ij")
    order = np.lexsort((across.ravel(), down.ravel()))
    return np.split(order, range(batch, order.size, batch))


def _means(length: int, spans: Sequence[slice]) -> NDArray[np.float64]:
    """Weights ``(length, spans)`` of the mean over the squares that cover each pixel."""
    cover = np.zeros((length, len(spans)))
    for number, span in enumerate(spans):
        cover[span, number] = 1
    means: NDArray[np.float64] = cover / cover.sum(axis=1, keepdims=True)
    return means


def _cubic(length: int, count: int, step: int) -> NDArray[np.float64]:
    """Weights ``(length, count)`` of cubic convolution (Keys 1981) of values ``step`` apart."""
    places = np.arange(length) / step
    taps = np.floor(places).astype(int)[:, None] + np.arange(-1, 3)
    distance = np.abs(places[:, None] - taps)
    near = 1.5 * distance**3 - 2.5 * distance**2 + 1
    far = -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
    weights = np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))
    matrix = np.zeros((length, count))
    lines = np.broadcast_to(np.arange(length)[:, None], taps.shape)
    np.add.at(matrix, (lines, np.clip(taps, 0, count - 1)), weights)
    return matrix


def _for_variants(model: Classifier) -> Classifier:
    """The model, where it can with a network that computes what differs from its first image."""
    inference = sys.modules.get("rhoa.learning.torch_model")  # who has a model has imported it
    faster = model
    if inference is not None and isinstance(model, inference.Model):
        from rhoa.learning.incremental_inference import (
            Incremental,
            VariantsModel,
            can_be_incremental,
        )

        if can_be_incremental(model.network):
            faster = VariantsModel(Incremental(model.network), model.card, model.device)
    return faster


def _require_image(image: ArrayLike, patch: int, stride: int) -> NDArray[np.float32]:
    pixels = np.asarray(image, np.float32)
    if pixels.ndim != 2:
        raise ParameterError(f"image must be a 2-D array; got {pixels.ndim}-D.")
    require_count("patch", patch)
    require_count("stride", stride)
    if patch > min(pixels.shape):
        raise ParameterError(
            f"patch must fit in the image of shape {pixels.shape}; got {patch} pixels."
        )
    if stride > patch:
        raise ParameterError(
            f"stride must be at most the patch of {patch} pixels, to leave no gaps; got {stride}."
        )
    return pixels


def _require_class(target: int, classes: int) -> int:
    number = require_count("target", target, least=0)
    if number >= classes:
        raise ParameterError(f"target must be one of the model's {classes} classes; got {number}.")
    return number


# A cheap second view of where a model looks: Grad-CAM, from one pass forth and one back.


def grad_cam(model: Model, image: ArrayLike, *, target: int | None = None) -> NDArray[np.float32]:
    """Where the last maps of a network speak for a class; zero or more, of the image's shape.

    The maps of the last stage are weighed by the mean gradient of the class's output and summed;
    what is below zero is left out. It is coarser than `rhoa.occlusion` (a map of 224 pixels has
    7 x 7 values) and has no unit, but takes as long as one prediction.

    Parameters
    ----------
    model
        Of `rhoa.load_model`, on torch.
    image
        2-D grey levels, as the model takes them.
    target
        The class; the most probable one by default.

    Raises
    ------
    ParameterError
        If the image is not 2-D or no picture, or the target is no class of the model.

    References
    ----------
    Selvaraju et al. 2017, Grad-CAM: visual explanations from deep networks via gradient-based
    localization, ICCV.
    """
    torch = require_extra("torch", extra="train", purpose="Grad-CAM")
    from rhoa.learning.data import as_input
    from rhoa.learning.network import class_logits
    from rhoa.learning.preprocessing import WHITE, prepare, require_grey

    grey = require_grey(image, where="image")
    card, network = model.card, model.network
    stage = network.get_submodule("maps" if hasattr(network, "maps") else "layer4")
    levels = prepare(grey, image_size=card["image_size"], xray_size=card["xray_size"])
    inputs = as_input(torch.from_numpy(levels)[None].to(model.device).float() / WHITE)
    maps: list[Any] = []
    hook = stage.register_forward_hook(lambda *call: maps.append(call[2]))
    try:
        with torch.enable_grad():
            outputs = class_logits(model.network(inputs.requires_grad_()))[0]
            chosen = (
                int(outputs.argmax()) if target is None else _require_class(target, len(outputs))
            )
            (gradient,) = torch.autograd.grad(outputs[chosen], maps)
    finally:
        hook.remove()
    weights = gradient.mean(dim=(2, 3), keepdim=True)
    seen = (weights * maps[0]).sum(dim=1)[0].clamp(min=0).detach().cpu().numpy()
    return resize(np.asarray(seen, np.float32), *grey.shape)


# A crop, what a model says of it, and where the model looks: the paper's Figure 4.


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
    >>> from rhoa.evaluation.saliency import OcclusionExample
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


# A signed map over a grey image.

# Red where a part speaks for the shown class, blue where it speaks against it.
SUPPORTS = np.array([230, 40, 30], np.float64)
OPPOSES = np.array([40, 110, 230], np.float64)
MOST_OPAQUE = 0.7


def overlay(image: NDArray[np.float32], influence: NDArray[np.float32]) -> NDArray[np.uint8]:
    """RGB of a grey image under a signed map: red above zero, blue below, opaque with magnitude."""
    largest = float(np.abs(influence).max())
    strength = influence / largest if largest > 0 else np.zeros_like(influence)
    opacity = MOST_OPAQUE * np.abs(strength)[..., None]
    colour = np.where(strength[..., None] > 0, SUPPORTS, OPPOSES)
    grey = 255 * fraction(image)[..., None]
    pixels: NDArray[np.uint8] = np.rint((1 - opacity) * grey + opacity * colour).astype(np.uint8)
    return pixels


def fraction(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Grey levels from 0, the darkest pixel, to 1."""
    return (stretch(image) / 255).astype(np.float32)
