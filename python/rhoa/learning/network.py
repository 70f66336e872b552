"""The network of a recipe: backbone, last layer, loss, optimizer, and weights to start from."""

from __future__ import annotations

import difflib
import hashlib
import os
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional
from torchvision.models import ResNet18_Weights, resnet18

from rhoa.errors import ParameterError, WeightsError, require_extra, warn_user
from rhoa.files import MOST_WEIGHTS_BYTES, listed, printable, read_bounded, read_inside, shown
from rhoa.learning.grader import (
    CLASSES,
    CROWE_GRADES,
    KL_GRADES,
    OUTPUTS,
    RHOA_FROM,
    WEIGHTS_FILE,
)
from rhoa.learning.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from rhoa.learning.recipe import RESNET18, TIMM
from rhoa.torch_runtime import sent
from rhoa.weights import read_safetensors, read_state_dict, read_tensors

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from os import PathLike

    from torch import Tensor

    from rhoa.learning.recipe import Recipe


# Networks of timm by name, with the last layer that rhoa's ResNet18 has.

MOST_PARAMETERS = 500_000_000
"""Four bytes each, they fill the largest file of weights that is read."""
TRIED_PX = 64
HEAD = ("fc.weight", "fc.bias")


class Backbone(nn.Module):
    """A convolutional network of timm up to its pooled features, then one layer of outputs.

    Parameters
    ----------
    name
        Of a recipe: ``"timm/"`` and timm's name.
    outputs
        Of the last layer.

    Raises
    ------
    MissingExtraError
        If timm is not installed.
    ParameterError
        If timm has no such network, or it is not convolutional or too large.
    """

    def __init__(self, name: str, outputs: int = len(CLASSES)) -> None:
        super().__init__()
        timm = require_extra("timm", extra="timm", purpose=f"the network {name}")
        own = _require_known(timm, name.removeprefix(TIMM))
        self.body = timm.create_model(own, pretrained=False, num_classes=0)
        self.maps = nn.Identity()  # the output that Grad-CAM weighs
        self.fc = nn.Linear(self.body.head_hidden_size, outputs)

    def forward(self, images: Tensor) -> Tensor:
        """Outputs ``(n, outputs)`` of ``images`` ``(n, 3, rows, columns)``."""
        features = self.body.forward_head(self.maps(self.body.forward_features(images)))
        outputs: Tensor = self.fc(features)
        return outputs


@cache
def _require_known(timm: Any, name: str) -> str:  # noqa: ANN401  # a module
    """``name``, if timm knows it as a convolutional network of bearable size."""
    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), n=3)
        like = f"; it has {', '.join(near)}" if near else ""
        raise ParameterError(f"timm has no network {name!r}{like}: see timm.list_models().")
    with torch.device("meta"):
        network = timm.create_model(name, pretrained=False).train(mode=False)
        if sum(parameter.numel() for parameter in network.parameters()) > MOST_PARAMETERS:
            raise ParameterError(f"{name!r} has over {MOST_PARAMETERS} weights; choose a smaller.")
        try:
            maps = network.forward_features(torch.zeros(1, 3, TRIED_PX, TRIED_PX)).shape
        except (AssertionError, RuntimeError, ValueError):
            maps = ()
    if len(maps) != 4 or maps[1] != network.num_features:
        raise ParameterError(
            f"{name!r} is no convolutional network for images of any size; choose one, "
            "such as convnext_tiny or efficientnet_b0."
        )
    return name


# The last layer: classes, or grades in order; their losses.

ORDINAL_GRADES = (2, 3, 4)
"""Thresholds of KL; the first divides rHOA from no rHOA. No labelled hip has KL 1."""
UNGRADED = -1


class OrdinalHead(nn.Module):
    """Logits ``(n, 3)`` of KL >= 2, 3 and 4: a weight for each feature, a bias for each threshold.

    It begins with the difference of a two-class layer's outputs, which is the logit of rHOA.
    """

    def __init__(self, classes: nn.Linear) -> None:
        super().__init__()
        weight, bias = (parameter.detach() for parameter in (classes.weight, classes.bias))
        self.weight = nn.Parameter(weight[1:] - weight[:1])
        self.bias = nn.Parameter((bias[1] - bias[0]).repeat(len(ORDINAL_GRADES)))

    def forward(self, features: Tensor) -> Tensor:
        """Logits of features ``(n, f)``."""
        return functional.linear(features, self.weight) + self.bias

    def as_classes(self) -> nn.Linear:
        """The two-class layer whose softmax gives the same probability of KL >= 2."""
        layer = nn.Linear(self.weight.shape[1], 2)
        with torch.no_grad():
            layer.weight.copy_(torch.cat([torch.zeros_like(self.weight), self.weight]))
            layer.bias.copy_(torch.stack([torch.zeros_like(self.bias[0]), self.bias[0]]))
        return layer.to(self.weight.device)


def with_head(network: nn.Module, recipe: Recipe) -> nn.Module:
    """``network``, in place, with the head, the dropout and the frozen layers of ``recipe``."""
    if (recipe.target, recipe.head) == ("rhoa", "ordinal") and isinstance(network.fc, nn.Linear):
        network.fc = OrdinalHead(network.fc)
    if recipe.dropout:
        network.get_submodule("fc").register_forward_pre_hook(
            lambda layer, given: functional.dropout(given[0], recipe.dropout, layer.training)
        )
    if recipe.frozen_stem:
        for layer in ("conv1", "bn1"):
            getattr(network, layer).requires_grad_(requires_grad=False)
    return network


def with_classes(network: nn.Module) -> nn.Module:
    """``network``, in place, with two classes: the inverse of `with_head`."""
    if isinstance(network.fc, OrdinalHead):
        network.fc = network.fc.as_classes()
    return network.requires_grad_()


def outputs_of(recipe: Recipe, *, with_crowe: bool) -> int:
    """Outputs of the last layer of a saved network; see `OUTPUTS`."""
    if recipe.target == "rhoa":
        return len(CLASSES)
    fewer = int(recipe.head == "ordinal")  # a question between two grades, or an output each
    return len(KL_GRADES) - fewer + with_crowe * (len(CROWE_GRADES) - fewer)


def grade_logits(outputs: Tensor) -> tuple[Tensor, ...]:
    """Logits of KL 0 to 4, ``(n, 5)``, then of Crowe I to IV, ``(n, 4)``, where a network has it.

    An ordinal output is the logit of going beyond a grade once it is reached; the log-probability
    of a grade is the sum over the questions up to it, which adds up to one whatever the outputs.
    """
    ordinal = OUTPUTS[outputs.shape[1]] == "ordinal"
    parts = outputs.tensor_split([len(KL_GRADES) - ordinal], dim=1)
    found = []
    for part in parts[: 1 + bool(parts[1].shape[1])]:
        if ordinal:
            reached = functional.pad(functional.logsigmoid(part).cumsum(dim=1), (1, 0))
            found.append(reached + functional.pad(functional.logsigmoid(-part), (0, 1)))
        else:
            found.append(part)
    return tuple(found)


def class_logits(outputs: Tensor) -> Tensor:
    """Logits ``(n, 2)`` of no rHOA and rHOA, of the outputs of any head."""
    if outputs.shape[1] == len(CLASSES):
        return outputs
    if outputs.shape[1] == len(ORDINAL_GRADES):
        rhoa = outputs[:, 0]
        return torch.stack([torch.zeros_like(rhoa), rhoa], dim=1)
    kl = grade_logits(outputs)[0]
    return torch.stack([kl[:, :RHOA_FROM].logsumexp(1), kl[:, RHOA_FROM:].logsumexp(1)], dim=1)


def loss_of(
    outputs: Tensor,
    labels: Tensor,
    grades: Tensor,
    recipe: Recipe,
    *,
    crowe: Tensor | None = None,
    smoothing: float = 0.0,
) -> Tensor:
    """Mean loss of a batch; ``labels`` are 0 or 1, ``grades`` KL or `UNGRADED`, both ``(n,)``.

    Of classes and of target ``"kl"``: cross-entropy, to which that of ``crowe`` (0 to 3, or
    `UNGRADED`) is added. Of the ordinal head of rHOA: binary cross-entropy of each threshold,
    averaged over the thresholds, of which a hip that has a label but no grade knows the first
    alone.
    """
    if recipe.target == "kl":
        truths = (grades, crowe)
        losses = [
            functional.cross_entropy(
                logits, truth, ignore_index=UNGRADED, label_smoothing=smoothing, reduction="sum"
            )
            for logits, truth in zip(grade_logits(outputs), truths, strict=False)
            if truth is not None
        ]
        return torch.stack(losses).sum() / len(outputs)
    if recipe.head == "classes":
        return functional.cross_entropy(outputs, labels, label_smoothing=smoothing)
    thresholds = torch.arange(ORDINAL_GRADES[0], ORDINAL_GRADES[-1] + 1, device=grades.device)
    ungraded = grades[:, None] == UNGRADED
    passed = torch.where(ungraded, labels[:, None] == 1, grades[:, None] >= thresholds)
    known = ~ungraded | (thresholds == ORDINAL_GRADES[0])
    targets = passed * (1 - smoothing) + smoothing / 2
    losses_of = functional.binary_cross_entropy_with_logits(outputs, targets, reduction="none")
    return ((losses_of * known).sum(dim=1) / known.sum(dim=1)).mean()


# What MATLAB computes of the training images: the normalisation of the input, and the statistics of
# batch normalisation.


class Normalisation(nn.Module):
    """From ImageNet's colours, which networks are given, to grey levels by ``mean`` and ``std``.

    Of levels of 0 to 1.
    """

    def __init__(self, mean: float, std: float) -> None:
        super().__init__()
        self.mean, self.std = mean, std

    def forward(self, colours: Tensor) -> Tensor:
        """Of ``(n, 3, rows, columns)``."""
        means, spreads = (
            sent(torch.tensor(c, dtype=colours.dtype), colours.device).view(1, 3, 1, 1)
            for c in (IMAGENET_MEAN, IMAGENET_STD)
        )
        return (colours * spreads + (means - self.mean)) / self.std


def with_normalisation(network: nn.Module, mean: float, std: float) -> nn.Module:
    """``network``, in place, whose child ``normalisation`` comes before all that it computes."""
    network.add_module("normalisation", Normalisation(mean, std))  # without tensors
    network.register_forward_pre_hook(lambda own, given: (own.normalisation(given[0]),))
    return network


def set_population_statistics(network: nn.Module, inputs: Iterable[Tensor]) -> None:
    """Batch normalisation gets mean and variance of all that reaches it of ``inputs``, in place.

    Batches go through as in training, each normalised by itself; of a layer's values, all of them
    count alike, whatever the size of their batch.
    """
    sums: dict[nn.Module, list[Any]] = {one: [0, 0.0, 0.0] for one in _normalising(network)}

    def count(layer: nn.Module, given: tuple[Tensor, ...]) -> None:
        values = given[0].detach().float().transpose(0, 1).flatten(1)  # a row a channel
        of_batch = torch.var_mean(values, dim=1, correction=0)
        variance, mean = (figure.cpu().double() for figure in of_batch)
        own, number = sums[layer], values.shape[1]
        own[0] += number
        own[1] += number * mean
        own[2] += number * (variance + mean**2)

    hooks = [layer.register_forward_pre_hook(count) for layer in sums]
    training = network.training
    network.train()
    with torch.no_grad():
        for batch in inputs:
            network(batch)
    network.train(mode=training)
    for hook in hooks:
        hook.remove()
    for layer, (number, total, squares) in sums.items():
        mean = total / number
        layer.get_buffer("running_mean").copy_(mean)
        layer.get_buffer("running_var").copy_((squares / number - mean**2).clamp(min=0))


def _normalising(network: nn.Module) -> list[nn.Module]:
    """The layers of batch normalisation."""
    return [one for one in network.modules() if getattr(one, "running_mean", None) is not None]


# The optimizer of a recipe, and what a learning rate is for each of its groups.


def build_optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Adam or AdamW over what is not frozen; a group for each learning rate and weight decay."""
    factors = {"fc.weight": recipe.head_weight_factor, "fc.bias": recipe.head_bias_factor}
    groups: dict[tuple[float, float], list[nn.Parameter]] = defaultdict(list)
    layers = _normalising(network) if recipe.decay_batch_norm else []
    normalising = {parameter for layer in layers for parameter in layer.parameters()}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            decays = parameter.ndim > 1 or parameter in normalising
            decay = recipe.weight_decay if decays else 0.0
            groups[factors.get(name, 1.0), decay].append(parameter)
    kind = torch.optim.AdamW if recipe.optimizer == "adamw" else torch.optim.Adam
    return kind(
        [
            {"params": members, "factor": factor, "weight_decay": decay}
            for (factor, decay), members in groups.items()
        ],
        lr=recipe.learning_rate,
    )


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every group its share."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["factor"]


# Weights to start a model from: ImageNet's, or those of a file or a run folder.

WEIGHTS_FOLDER_VARIABLE = "RHOA_WEIGHTS_DIR"


@dataclass(frozen=True, slots=True)
class Published:
    """A file of weights that anybody can fetch, and its sha256."""

    url: str
    sha256: str

    @property
    def file(self) -> str:
        """Its name."""
        return self.url.rpartition("/")[2]


IMAGENET = Published(
    url=ResNet18_Weights.IMAGENET1K_V1.url,
    sha256="f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec",
)


def read_weights(path: Path) -> Mapping[str, Tensor]:
    """The tensors of a ``.safetensors`` file, a run folder, or a PyTorch state dict.

    Raises
    ------
    WeightsError
        If there is no such file, it is damaged, larger than 2 GiB, or holds more than tensors.
    """
    if path.is_dir():
        where = f"{shown(path)}/{WEIGHTS_FILE}"
        if not (path / WEIGHTS_FILE).exists():
            raise WeightsError(f"{shown(path)}: no {WEIGHTS_FILE} in it; pass a run folder.")
        content = read_inside(path, WEIGHTS_FILE, most_bytes=MOST_WEIGHTS_BYTES)
        return read_safetensors(content, where=where)
    where = shown(path)
    if not path.is_file():
        raise WeightsError(
            f'{where}: no such weights file; pass "imagenet", "none", a .safetensors file, '
            "a run folder or a PyTorch state dict."
        )
    return read_tensors(path, where=where)


def imagenet(published: Published = IMAGENET) -> Mapping[str, Tensor]:
    """Weights from ImageNet: of RHOA_WEIGHTS_DIR, else of torch's cache, else downloaded into it.

    Raises
    ------
    WeightsError
        If they are nowhere, or the file is another one.
    """
    folder = os.environ.get(WEIGHTS_FOLDER_VARIABLE)
    if folder and (Path(folder) / published.file).is_file():
        return _verified(Path(folder) / published.file, published)
    cached = Path(torch.hub.get_dir()) / "checkpoints" / published.file
    if not cached.is_file():
        try:
            cached.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(
                published.url, str(cached), hash_prefix=published.sha256, progress=False
            )
        except (OSError, RuntimeError) as error:
            raise WeightsError(
                f"{published.file}: the ImageNet weights are neither in the folder "
                f"{folder or '(unset)'} of {WEIGHTS_FOLDER_VARIABLE} nor could they be downloaded "
                f"({error}); fetch {published.url} elsewhere and set {WEIGHTS_FOLDER_VARIABLE} to "
                f"the folder that holds {published.file}, pass weights=PATH, or train from nothing "
                'with weights="none".'
            ) from None
    return _verified(cached, published)


def _verified(path: Path, published: Published) -> Mapping[str, Tensor]:
    content = read_bounded(path, where=published.file, most_bytes=MOST_WEIGHTS_BYTES)
    digest = hashlib.sha256(content).hexdigest()
    if digest != published.sha256:
        raise WeightsError(
            f"{published.file}: its sha256 begins with {digest[:8]}, not {published.sha256[:8]}: "
            f"the file is damaged or another one; fetch {published.url} again."
        )
    return read_state_dict(content, where=published.file)


# The network of a recipe, with the outputs of its target, and its weights.


def build_network(
    weights: str | PathLike[str] = "none",
    *,
    seed: int = 2020,
    backbone: str = RESNET18,
    outputs: int = len(CLASSES),
    head_start: str = "torch",
) -> nn.Module:
    """A ResNet18, or another backbone, with two outputs (no rHOA, rHOA) or those of grades.

    Parameters
    ----------
    weights
        ``"none"``: random. ``"imagenet"``: torchvision's, from the folder that the environment
        variable RHOA_WEIGHTS_DIR names, else torchvision's own cache or download, sha256 verified.
        A path: a run folder of `rhoa.train`, or a ``.safetensors`` or PyTorch file as `start_from`
        takes it: with as many outputs whole, else without its last layer, which starts at random.
    seed
        Of random weights.
    backbone
        As of `Recipe`. Of timm's, ``"imagenet"`` is refused: pass the file that timm publishes.
    outputs
        As `outputs_of` counts them.
    head_start
        As of `Recipe`.

    Raises
    ------
    WeightsError
        If the weights are absent, damaged, not safe to load, or of another network.
    ParameterError
        If the backbone is none that rhoa can use.
    MissingExtraError
        If it is timm's, and timm is not installed.
    """
    if weights == "imagenet" and backbone != RESNET18:
        own = backbone.removeprefix(TIMM)
        raise WeightsError(
            f'weights "imagenet" are those of {RESNET18}; for {backbone} pass weights=PATH, a file '
            f'that timm publishes (https://huggingface.co/timm, {own}), or "none".'
        )
    given = None  # read before the network is made, which takes longer than to refuse a file
    if weights != "none":
        given = imagenet() if weights == "imagenet" else read_weights(Path(weights))
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        network: nn.Module = (
            resnet18(weights=None, num_classes=outputs)
            if backbone == RESNET18
            else Backbone(backbone, outputs)
        )
        if head_start == "glorot":
            nn.init.xavier_uniform_(network.get_parameter(HEAD[0]))
            nn.init.zeros_(network.get_parameter(HEAD[1]))
    if given is not None:
        of_rhoa = weights != "imagenet" and Path(weights).is_dir()
        others = {(known,) for known in OUTPUTS if known != outputs}
        whole = of_rhoa and _shape(given.get(HEAD[0]))[:1] not in others
        where = IMAGENET.file if weights == "imagenet" else shown(weights)
        (load_into if whole else start_from)(network, given, where=where)
    return network


NUMBERED = {"0": "conv1", "1": "bn1", **{str(n + 3): f"layer{n}" for n in range(1, 5)}}
"""Parts of a ResNet18 by their numbers in ``nn.Sequential(*network.children())``."""
_COPIES = ("ema", "momentum", "teacher", "target", "encoder_k")
"""Words in names of averaged copies, beside which the network itself is taken."""
_NESTED = 3
_DROPPED = 4  # named in a message
IMAGENET_CLASSES = 1000


@dataclass(frozen=True, slots=True)
class _Found:
    """Tensors of a file under the names of a network, and what was before the names."""

    prefix: str
    tensors: dict[str, Any]
    rest: dict[str, Any]
    """Tensors that are of no part of the network, by their names in the file."""


def start_from(network: nn.Module, given: Mapping[str, Any], *, where: str) -> None:
    """Copy what fits of a file of weights into ``network``; a warning says what was left out.

    The network may be in any dictionary of the file (``state_dict``, ``model_state_dict``, beside
    an optimizer), under any prefix (``module.``, ``_orig_mod.``, ``model.``, ``backbone.``,
    ``encoder_q.``), with its parts by name or, of a ResNet18, by number. Every tensor of its body
    must be there and fit. A last layer of as many outputs is taken; another one, projection heads,
    queues and averaged copies are not. A first layer of one channel is spread over three.

    Raises
    ------
    WeightsError
        If no network like this one is in the file, or a tensor is missing, unknown, misshapen, of
        another kind of number, or not finite.
    """
    own = network.state_dict()
    kind = "that network" if isinstance(network, Backbone) else "a ResNet18"
    candidates = [
        found
        for name, tensors in _dictionaries(given)
        for found in _under_prefixes(name, tensors, network)
    ]
    if not candidates:
        names = [key for _, tensors in _dictionaries(given) for key in tensors]
        first = f", {printable(names[0], most=80)} first," if names else ""
        raise WeightsError(
            f"{where}: none of its {len(names)} tensors{first} is the first layer of {kind} under "
            f"any prefix; the weights of {kind} with any last layer are needed."
        )

    def merit(found: _Found) -> tuple[int, bool]:
        fitting = sum(
            key in own and _shape(value) == own[key].shape for key, value in found.tensors.items()
        )
        return fitting, not any(word in found.prefix.lower() for word in _COPIES)

    best = max(candidates, key=merit)
    taken, dropped = dict(best.tensors), dict(best.rest)
    stem = next(iter(own))
    spread = _shape(taken[stem])[1:2] == (1,) and own[stem].shape[1] == 3
    if spread:
        taken[stem] = taken[stem].expand(-1, 3, -1, -1) / 3
    fits = _shape(taken.get(HEAD[0])) == own[HEAD[0]].shape
    if not fits:
        dropped |= {key: taken.pop(key) for key in HEAD if key in taken}
        taken |= {key: own[key] for key in HEAD}
    below = f"{where}, under {best.prefix!r}" if best.prefix else where
    load_into(network, taken, where=below)
    said = []
    classes = {_shape(tensor)[:1] for tensor in dropped.values()}
    if dropped and (len(dropped) > len(HEAD) or classes != {(IMAGENET_CLASSES,)}):
        sizes = [f"{key} ({' x '.join(map(str, _shape(t)))})" for key, t in dropped.items()]
        some = printable(listed(sizes, most=_DROPPED), most=200)
        said.append(f"{len(dropped)} tensors are not of its body and were left out: {some}")
    if not fits and (said or not dropped):
        said.append("its last layer starts at random")
    if spread:
        said.append("its first layer has one channel, which was spread over three")
    if said:
        warn_user(f"{below}: loaded; {'; '.join(said)}.")


def _dictionaries(given: Mapping[str, Any], name: str = "") -> list[tuple[str, dict[str, Any]]]:
    """The dictionaries of a file that hold tensors, with their names; not those of optimizers."""
    tensors = {k: v for k, v in given.items() if isinstance(k, str) and torch.is_tensor(v)}
    found = [(name, tensors)] if tensors else []
    if name.count(".") < _NESTED:
        for key, value in given.items():
            if isinstance(value, dict) and isinstance(key, str) and "optim" not in key.lower():
                found += _dictionaries(value, f"{name}{key}.")
    return found


def _under_prefixes(name: str, tensors: Mapping[str, Any], network: nn.Module) -> list[_Found]:
    """What a dictionary holds of a network, once for each prefix of its first layer."""
    stem = next(iter(network.state_dict()))
    found = []
    for key, value in tensors.items():
        if key == stem or key.endswith(f".{stem}"):
            prefix = key.removesuffix(stem)
            places = {other: other.removeprefix(prefix) for other in tensors}
        elif isinstance(network, Backbone):  # timm's own names
            inner = stem.removeprefix("body.")
            if key != inner and not key.endswith(f".{inner}"):
                continue
            prefix, last = key.removesuffix(inner), str(network.body.pretrained_cfg["classifier"])
            bare = {o: o.removeprefix(prefix) for o in tensors if o.startswith(prefix)}
            places = {o: f"body.{b}" for o, b in bare.items() if not b.startswith(f"{last}.")}
        elif key.endswith("0.weight") and _shape(value)[2:] == (7, 7):
            prefix = key.removesuffix("0.weight")
            split = {o: o.removeprefix(prefix).partition(".") for o in tensors}
            places = {
                o: f"{NUMBERED[number]}{dot}{tail}"
                for o, (number, dot, tail) in split.items()
                if number in NUMBERED and o.startswith(prefix)
            }
        else:
            continue
        roots = {own.partition(".")[0] for own in network.state_dict() if own not in HEAD}
        kept = {
            other: place
            for other, place in places.items()
            if other.startswith(prefix) and (place.partition(".")[0] in roots or place in HEAD)
        }
        rest = {other: tensor for other, tensor in tensors.items() if other not in kept}
        renamed = {place: tensors[other] for other, place in kept.items()}
        found.append(_Found(f"{name}{prefix}", renamed, rest))
    return found


def load_into(network: nn.Module, given: Mapping[str, Tensor], *, where: str) -> None:
    """Copy ``given`` into ``network``; every tensor must be there and fit.

    How many batches were seen (``num_batches_tracked``) is in no formula: old files lack it.

    Raises
    ------
    WeightsError
        If tensors are missing, unknown, of another shape or kind of number, or not finite.
    """
    own = network.state_dict()
    kind = "that network" if isinstance(network, Backbone) else "a ResNet18"
    taken = dict(given)
    needed = {key for key in own if not key.endswith("num_batches_tracked")}
    shared = taken.keys() & own.keys()
    problems = {
        "missing": needed - taken.keys(),
        "unknown": taken.keys() - own.keys(),
        "misshapen": {key for key in shared if _shape(taken[key]) != own[key].shape},
    }
    problems["not of this kind of number"] = {
        key for key in shared - problems["misshapen"] if not _is_like(taken[key], own[key])
    }
    like = shared - problems["misshapen"] - problems["not of this kind of number"]
    problems["not finite"] = {
        key for key in like if not bool(torch.isfinite(torch.as_tensor(taken[key])).all())
    }
    problems["variances below zero"] = {
        key
        for key in like
        if key.endswith("running_var") and bool((torch.as_tensor(taken[key]) < 0).any())
    }
    for problem, keys in problems.items():
        if keys:
            first = printable(min(keys), most=80)
            raise WeightsError(
                f"{where}: {len(keys)} tensors are {problem} (first: {first}); "
                f"the weights of {kind} with {len(own[HEAD[1]])} classes, or another last layer in "
                "a file of their own, are needed."
            )
    network.load_state_dict({**own, **taken})


def _shape(value: object) -> tuple[int, ...]:
    return tuple(value.shape) if isinstance(value, torch.Tensor) else (-1,)


def _is_like(value: object, own: torch.Tensor) -> bool:
    """Whether both are real floating-point numbers on the CPU, or both whole numbers."""
    return (
        isinstance(value, torch.Tensor)
        and value.layout is torch.strided
        and value.device.type == "cpu"
        and value.dtype in _KINDS[own.dtype.is_floating_point]
    )


_KINDS = {
    True: {torch.float16, torch.bfloat16, torch.float32, torch.float64},
    False: {torch.int32, torch.int64},
}
