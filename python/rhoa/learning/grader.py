"""Grading crops of hips: probabilities, and how far several samples differ; the model card.

Nothing here needs torch: what computes the probabilities of a batch is up to the model.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from rhoa.errors import ParameterError, WeightsError, require_count
from rhoa.files import printable, read_card, shown
from rhoa.learning.preprocessing import (
    draw_changes,
    prepare,
    preprocessing,
    require_grey,
    warp_levels,
)
from rhoa.learning.recipe import BACKBONE, Augmentation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray

    Levels = NDArray[np.uint8]
    Probabilities = NDArray[np.float64]


# Grading crops of hips: probabilities, and how far several samples of one hip differ.

CLASSES = ("no rHOA", "rHOA")
IMAGES_AT_ONCE = 64
AS_TRAINED = Augmentation()


@dataclass(frozen=True, slots=True, eq=False)
class Draws:
    """Probabilities of the same hips from augmented views, from several models, or from both.

    Examples
    --------
    >>> agreed = Draws(np.array([[[0.2, 0.8]], [[0.2, 0.8]]]))
    >>> torn = Draws(np.array([[[0.0, 1.0]], [[1.0, 0.0]]]))
    >>> agreed.spread, torn.spread
    (array([0.]), array([0.5]))
    >>> agreed.disagreement_nats.round(3), torn.disagreement_nats.round(3)
    (array([0.]), array([0.693]))
    """

    samples: NDArray[np.float64]
    """Probabilities ``(samples, hips, 2)`` of no rHOA and rHOA."""

    @property
    def probabilities(self) -> Probabilities:
        """Their mean, ``(hips, 2)``."""
        mean: Probabilities = self.samples.mean(axis=0)
        return mean

    @property
    def spread(self) -> NDArray[np.float64]:
        """Standard deviation of the probability of rHOA between samples, ``(hips,)``."""
        spread: NDArray[np.float64] = self.samples[:, :, 1].std(axis=0)
        return spread

    @property
    def disagreement_nats(self) -> NDArray[np.float64]:
        """Mutual information between the class and the sample, ``(hips,)``.

        Zero where all samples give one probability, ln 2 where half are sure of either class: the
        part of the uncertainty that is not in the hip but in the model.

        References
        ----------
        Houlsby et al. 2011, Bayesian active learning for classification and preference learning;
        Lakshminarayanan et al. 2017, Simple and scalable predictive uncertainty estimation using
        deep ensembles.
        """
        within = _entropy(self.samples).mean(axis=0)
        between: NDArray[np.float64] = np.maximum(_entropy(self.probabilities) - within, 0.0)
        return between


def _entropy(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of the last axis, in nats; 0 ln 0 is 0."""
    logs = np.log(np.where(probabilities > 0, probabilities, 1.0))
    entropy: NDArray[np.float64] = -(probabilities * logs).sum(axis=-1)
    return entropy


class Grader(ABC):
    """What grades crops of hips: a model of one run, or several models together."""

    __slots__ = ()

    @property
    @abstractmethod
    def members(self) -> Sequence[SingleModel]:
        """The models that grade together; of one model, itself."""

    @abstractmethod
    def predict_proba(
        self, images: Sequence[ArrayLike], *, batch: int = IMAGES_AT_ONCE
    ) -> Probabilities:
        """Probabilities ``(n, 2)`` of no rHOA and rHOA; each row sums to one.

        Parameters
        ----------
        images
            Crops of hips, each a square array of grey levels, 0 (black) to 255, of any size; right
            hips mirrored, as `rhoa.hips.model_crop` makes and `rhoa.hips.read_crop` reads them. At
            the network's size they are rounded to whole levels, as they were in training.
        batch
            Images computed at once.

        Raises
        ------
        ParameterError
            If an image is not square or its levels are not of that range.
        WeightsError
            If the model gives no finite number.
        """

    @abstractmethod
    def draws(
        self,
        images: Sequence[ArrayLike],
        *,
        views: int = 8,
        changes: Augmentation = AS_TRAINED,
        seed: int = 2020,
        batch: int = IMAGES_AT_ONCE,
    ) -> Draws:
        """Samples from ``views`` augmented views of each crop (test-time augmentation).

        The first view is the crop as it is; the others turn, shift and scale it as training did.
        The changes depend on the seed alone: a hip's draws are the same
        in any company.

        Parameters
        ----------
        images
            As `predict_proba` takes them.
        views
            Views of each crop; 1 is the crop as it is, and nothing else.
        changes
            The largest change of each kind, as in training; pixels are of the network's input.
        seed
            Of the changes.
        batch
            Images computed at once.

        Raises
        ------
        ParameterError
            If an image or a number is out of its range.
        WeightsError
            If the model gives no finite number.

        References
        ----------
        Wang et al. 2019, Aleatoric uncertainty estimation with test-time augmentation for medical
        image segmentation with convolutional neural networks.
        """


class SingleModel(Grader):
    """A model that computes probabilities of grey levels at one size."""

    __slots__ = ()

    @property
    def members(self) -> Sequence[SingleModel]:
        """The model itself."""
        return (self,)

    @property
    @abstractmethod
    def card(self) -> Mapping[str, Any]:
        """What ``model.json`` says."""

    @abstractmethod
    def compute(self, levels: Levels) -> Probabilities:
        """Probabilities ``(n, 2)`` of grey levels ``(n, image_size, image_size)``, in any state."""

    def predict_proba(
        self, images: Sequence[ArrayLike], *, batch: int = IMAGES_AT_ONCE
    ) -> Probabilities:
        """Probabilities ``(n, 2)`` of no rHOA and rHOA, see `Grader.predict_proba`."""
        only: Probabilities = self.draws(images, views=1, batch=batch).samples[0]
        return only

    def draws(
        self,
        images: Sequence[ArrayLike],
        *,
        views: int = 8,
        changes: Augmentation = AS_TRAINED,
        seed: int = 2020,
        batch: int = IMAGES_AT_ONCE,
    ) -> Draws:
        """Samples from augmented views of each crop, see `Grader.draws`."""
        require_count("batch", batch)
        rows = draw_changes(changes, require_count("views", views), seed=seed)
        samples = np.empty((views, len(images), len(CLASSES)))
        sizes = {name: self.card[name] for name in ("image_size", "xray_size")}
        for start in range(0, len(images), batch):
            numbered = enumerate(images[start : start + batch], start)
            levels = np.stack(
                [prepare(require_grey(one, where=f"image {n}"), **sizes) for n, one in numbered]
            )
            for view, change in enumerate(rows):
                found = self.compute(levels if view == 0 else warp_levels(levels, change))
                if not np.isfinite(found).all():
                    raise WeightsError(
                        "the model gives no finite probability; its weights are damaged, or "
                        "training did not end well: train again."
                    )
                samples[view, start : start + batch] = found
        return Draws(samples)


@dataclass(frozen=True, slots=True, eq=False)
class Ensemble(Grader):
    """Several models that grade together: a deep ensemble, such as one recipe of several seeds.

    Parameters
    ----------
    members
        At least one; their inputs may differ in size.

    References
    ----------
    Lakshminarayanan et al. 2017, Simple and scalable predictive uncertainty estimation using deep
    ensembles.
    """

    members: Sequence[SingleModel] = field(repr=False)

    def __post_init__(self) -> None:
        if not self.members:
            raise ParameterError("an ensemble needs at least one model.")

    def predict_proba(
        self, images: Sequence[ArrayLike], *, batch: int = IMAGES_AT_ONCE
    ) -> Probabilities:
        """The mean of the members' probabilities, see `Grader.predict_proba`."""
        return self.draws(images, views=1, batch=batch).probabilities

    def draws(
        self,
        images: Sequence[ArrayLike],
        *,
        views: int = 1,
        changes: Augmentation = AS_TRAINED,
        seed: int = 2020,
        batch: int = IMAGES_AT_ONCE,
    ) -> Draws:
        """The samples of all members, ``views`` of each, see `Grader.draws`."""
        found = [
            member.draws(images, views=views, changes=changes, seed=seed, batch=batch)
            for member in self.members
        ]
        return Draws(np.concatenate([one.samples for one in found]))


# The card of a run folder, ``model.json``: what a model is, read without trusting it.

CARD_FILE, WEIGHTS_FILE = "model.json", "model.safetensors"
LARGEST_INPUT = 2048
_LARGEST_XRAY = 16384


def read_model_card(folder: Path) -> dict[str, Any]:
    """What ``model.json`` of a run folder says.

    Raises
    ------
    WeightsError
        If it is absent or damaged, or describes another network or preparation than rhoa's.
    """
    kinds = {
        "architecture": str,
        "image_size": int,
        "xray_size": int | None,
        "weights_sha256": str,
    }
    card = read_card(folder, CARD_FILE, kinds, what="a run folder")
    where = f"{shown(folder)}/{CARD_FILE}"
    size, xray_size = card["image_size"], card["xray_size"]
    sizes_fit = 1 <= size <= LARGEST_INPUT and 1 <= (xray_size or 1) <= _LARGEST_XRAY
    if not BACKBONE.fullmatch(card["architecture"]) or not sizes_fit:
        raise WeightsError(
            f"{where}: a resnet18, or a network of timm, with sizes in pixels, at most "
            f"{LARGEST_INPUT}, is needed; got "
            f"{printable(card['architecture'], most=40)!r}, image_size "
            f"{printable(str(size), most=20)}, xray_size {printable(str(xray_size), most=20)}."
        )
    applied = preprocessing(image_size=size, xray_size=xray_size)
    if card.get("preprocessing", applied) != applied:
        raise WeightsError(f"{where}: its preprocessing is not the one that rhoa applies.")
    return card
