"""Grading crops of hips: probabilities, and how far several samples differ; the model card.

Nothing here needs torch: what computes the probabilities of a batch is up to the model.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from rhoa.errors import ParameterError, WeightsError, require_count
from rhoa.files import printable, read_card, shown
from rhoa.hips.bounding_boxes import SCALING, SCALINGS
from rhoa.learning.preprocessing import (
    draw_changes,
    normalisation_of,
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

    from rhoa.hips.bounding_boxes import Scaling

    Levels = NDArray[np.uint8]
    Probabilities = NDArray[np.float64]


# Grading crops of hips: probabilities, and how far several samples of one hip differ.

CLASSES = ("no rHOA", "rHOA")
KL_GRADES = (0, 1, 2, 3, 4)
CROWE_GRADES = (1, 2, 3, 4)
RHOA_FROM = 2
"""The KL grade from which a hip has rHOA."""
OUTPUTS = {2: "rhoa", 4: "ordinal", 5: "softmax", 7: "ordinal", 9: "softmax"}
"""What a network's last layer gives, by how many outputs it has: of KL, or of KL and Crowe."""
IMAGES_AT_ONCE = 64
AS_TRAINED = Augmentation()


@dataclass(frozen=True, slots=True, eq=False)
class Draws:
    """Probabilities of the same hips from augmented views, from several models, or from both.

    Of models with target ``"kl"``, entropy and disagreement are those of the KL grade.

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
    grades: NDArray[np.float64] | None = None
    """Of KL 0 to 4, ``(samples, hips, 5)``; None of models that know none."""
    crowe_grades: NDArray[np.float64] | None = None
    """Of Crowe I to IV, ``(samples, hips, 4)``; None of models that know none."""

    @classmethod
    def of(cls, computed: NDArray[np.float64]) -> Draws:
        """Of what `SingleModel.compute` gave, ``(samples, hips, width)``."""
        if computed.shape[2] == len(CLASSES):
            return cls(computed)
        kl, crowe = np.split(computed, [len(KL_GRADES)], axis=2)
        classes = np.stack([kl[..., :RHOA_FROM].sum(2), kl[..., RHOA_FROM:].sum(2)], axis=2)
        return cls(classes, kl, crowe if crowe.shape[2] else None)

    @property
    def probabilities(self) -> Probabilities:
        """Their mean, ``(hips, 2)``."""
        mean: Probabilities = self.samples.mean(axis=0)
        return mean

    @property
    def columns(self) -> dict[str, NDArray[np.float64]]:
        """Mean probability of each grade and the expected grade, by their names in tables."""
        found: dict[str, NDArray[np.float64]] = {}
        for name, values, samples in (
            ("kl", KL_GRADES, self.grades),
            ("crowe", CROWE_GRADES, self.crowe_grades),
        ):
            if samples is not None:
                mean = samples.mean(axis=0)
                found |= {f"{name}_{grade}": mean[:, at] for at, grade in enumerate(values)}
                found[f"{name}_expected"] = mean @ np.array(values, np.float64)
        return found

    @property
    def spread(self) -> NDArray[np.float64]:
        """Standard deviation of the probability of rHOA between samples, ``(hips,)``."""
        spread: NDArray[np.float64] = self.samples[:, :, 1].std(axis=0)
        return spread

    @property
    def entropy_nats(self) -> NDArray[np.float64]:
        """Entropy of the mean probabilities, ``(hips,)``: 0 where sure, ln 5 (ln 2) where not."""
        return _entropy(self._finest.mean(axis=0))

    @property
    def disagreement_nats(self) -> NDArray[np.float64]:
        """Mutual information between the class (or KL grade) and the sample, ``(hips,)``.

        Zero where all samples give one probability, ln 2 where half are sure of either class: the
        part of the uncertainty that is not in the hip but in the model.

        References
        ----------
        Houlsby et al. 2011, Bayesian active learning for classification and preference learning;
        Lakshminarayanan et al. 2017, Simple and scalable predictive uncertainty estimation using
        deep ensembles.
        """
        within = _entropy(self._finest).mean(axis=0)
        between: NDArray[np.float64] = np.maximum(self.entropy_nats - within, 0.0)
        return between

    @property
    def _finest(self) -> NDArray[np.float64]:
        return self.samples if self.grades is None else self.grades


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

    def predict_proba(
        self, images: Sequence[ArrayLike], *, batch: int = IMAGES_AT_ONCE
    ) -> Probabilities:
        """Probabilities ``(n, 2)`` of no rHOA and rHOA; each row sums to one.

        Of several models, the mean of theirs.

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
        return self.draws(images, views=1, batch=batch).probabilities

    def predict_kl(
        self, images: Sequence[ArrayLike], *, batch: int = IMAGES_AT_ONCE
    ) -> Probabilities:
        """Probabilities ``(n, 5)`` of KL 0 to 4; each row sums to one.

        The last three sum to the probability of rHOA of `predict_proba`, whose images, batch and
        errors it shares.

        Raises
        ------
        ParameterError
            If the model (or one of several) was not trained with target ``"kl"``.
        """
        found = self.draws(images, views=1, batch=batch).grades
        if found is None:
            raise ParameterError(
                'the model knows rHOA and no grade; train one with target="kl" (rhoa train --set '
                "target=kl)."
            )
        mean: Probabilities = found.mean(axis=0)
        return mean

    @property
    def ct_scaling(self) -> Scaling:
        """How crops of CT-APs were scaled in training, see `rhoa.hips.extract`; of all models."""
        known = {member.card[SCALING] for member in self.members if member.card.get(SCALING)}
        if len(known) > 1:
            raise ParameterError(
                "the models know CT-AP crops of both scalings, stretched and fixed; let those of "
                "one grade together."
            )
        return cast("Scaling", next(iter(known), SCALINGS[0]))

    def abstention_threshold(self, share: float) -> float:
        """The entropy above which at most ``share`` of the validation hips lie, in nats.

        It lies half-way between two entropies that occur; as near to the share as hips allow.

        Raises
        ------
        ParameterError
            If the share is not between 0 and 1 or less than one hip, the model has no record of
            validation hips, or the models of several were validated on different ones.
        """
        if not (isinstance(share, int | float) and 0 < share < 1):
            raise ParameterError(f"abstain= must be a share between 0 and 1; got {share!r}.")
        cards = [member.card for member in self.members]
        if not all(VALIDATION in card for card in cards):
            raise ParameterError(
                "the model keeps no probabilities of validation hips, from which abstain= takes "
                "its threshold; train it again on a manifest with validation hips."
            )
        each = [Draws.of(_validated_probabilities(card, CARD_FILE)[None]) for card in cards]
        if len({card[VALIDATION]["hips_sha256"] for card in cards}) > 1:
            raise ParameterError(
                "the models were validated on different hips, and have no threshold in common; "
                "leave out abstain=, or pass models of one manifest and one kind of recipe."
            )
        entropies = np.sort(_together(each).entropy_nats)[::-1]
        left_out = int(share * len(entropies) + 1e-9)
        if not left_out:
            raise ParameterError(
                f"abstain= is less than one of {len(entropies)} validation hips; pass at least "
                f"{1 / len(entropies):.2g} (got {share:g})."
            )
        return float(entropies[left_out - 1 : left_out + 1].mean())

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
        The changes depend on the seed alone: a hip's draws are the same in any company.

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
        """Probabilities of grey levels ``(n, image_size, image_size)``, in any state.

        ``(n, 2)`` of no rHOA and rHOA, or ``(n, 5)`` of KL 0 to 4, or ``(n, 9)`` of KL and Crowe.
        """

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
        samples = np.empty((views, len(images), width_of(self.card.get("outputs", len(CLASSES)))))
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
        return Draws.of(samples)


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
        return _together(
            [
                member.draws(images, views=views, changes=changes, seed=seed, batch=batch)
                for member in self.members
            ]
        )


def _together(draws: Sequence[Draws]) -> Draws:
    """The samples of all; grades where all have them."""

    def joined(samples: list[NDArray[np.float64] | None]) -> NDArray[np.float64] | None:
        known = [one for one in samples if one is not None]
        return np.concatenate(known) if len(known) == len(samples) else None

    return Draws(
        np.concatenate([one.samples for one in draws]),
        joined([one.grades for one in draws]),
        joined([one.crowe_grades for one in draws]),
    )


def width_of(outputs: int) -> int:
    """How many probabilities a hip has of a network with so many outputs."""
    kl, crowe = len(KL_GRADES), len(CROWE_GRADES)
    return {2: len(CLASSES), 4: kl, 5: kl, 7: kl + crowe, 9: kl + crowe}[outputs]


# The card of a run folder, ``model.json``: what a model is, read without trusting it.

CARD_FILE, WEIGHTS_FILE = "model.json", "model.safetensors"
VALIDATION = "validation"
"""Entry of the card: probabilities of the validation hips, in no order that names them."""
MOST_VALIDATED = 4000
"""Hips that are kept there, evenly spaced of more."""
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
    stated = card.get("preprocessing")
    normalisation = normalisation_of(stated)
    applied = preprocessing(image_size=size, xray_size=xray_size, normalisation=normalisation)
    if stated not in (None, applied):
        raise WeightsError(f"{where}: its preprocessing is not the one that rhoa applies.")
    outputs = card.get("outputs", len(CLASSES))
    if not (type(outputs) is int and outputs in OUTPUTS):
        raise WeightsError(
            f"{where}: outputs must be one of {', '.join(map(str, OUTPUTS))}; got "
            f"{printable(str(outputs), most=20)}."
        )
    if card.get(SCALING) not in (None, *SCALINGS):
        raise WeightsError(f"{where}: {SCALING} must be one of {', '.join(SCALINGS)}.")
    if VALIDATION in card:
        _validated_probabilities(card, where)
    return card


def validation_record(computed: NDArray[np.float64], hips_sha256: str) -> dict[str, Any]:
    """What a card keeps of the validation hips, for `Grader.abstention_threshold`.

    Parameters
    ----------
    computed
        As of `SingleModel.compute`.
    hips_sha256
        The same where the hips are, in their order.
    """
    step = -(-len(computed) // MOST_VALIDATED)
    lines = [" ".join(f"{share:.6f}" for share in hip) for hip in computed[::step]]
    return {"hips_sha256": hips_sha256, "probabilities": lines}


def _validated_probabilities(card: Mapping[str, Any], where: str) -> Probabilities:
    """Those of a card's record of validation hips, ``(hips, width)``, if they are probabilities."""
    try:
        record = card[VALIDATION]
        values = np.array([line.split() for line in record["probabilities"]], np.float64)
        width = width_of(card.get("outputs", len(CLASSES)))
        sound = values.ndim == 2 and len(values) > 0 and values.shape[1] == width
        if (
            sound
            and ((values >= 0) & (values <= 1)).all()
            and isinstance(record["hips_sha256"], str)
        ):
            return values
    except (TypeError, KeyError, ValueError, AttributeError):
        pass
    raise WeightsError(f"{where}: its record of validation hips is damaged; train again.")
