"""The run folder: what was run and what came of it, learning curves, checkpoints."""

from __future__ import annotations

import hashlib
import json
import platform
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import metadata
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from rhoa._core import __version__
from rhoa.cohort.manifest import describing, sha256_of, variants_of
from rhoa.errors import ManifestError, WeightsError, WriteError, require_extra, warn_user
from rhoa.files import atomic_write, csv_text, printable, replacing, writing
from rhoa.hips.bounding_boxes import SCALING, SCALINGS
from rhoa.hips.crop_files import crop_label
from rhoa.learning.recipe import RESNET18
from rhoa.tables import plain_name, whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from torch import Tensor, nn
    from torch.amp import GradScaler

    from rhoa.cohort import Hip
    from rhoa.learning.grader import Draws
    from rhoa.learning.recipe import Recipe


# What a run folder holds beside the weights: what was run, on what, and what came of it.

RUN_FILE = "run.json"
FILES = "files_sha256"
"""Entry of ``run.json``: the SHA-256 of other files of its folder."""
OF_THE_MACHINE = ("versions", "threads", "devices", FILES)
"""Entries that say with what a run was made, not what was asked for."""
HIP_COLUMNS = ("image", "subject", "side", "source", "visit", "partition", "kl", "label")
_LIBRARIES = ("torch", "torchvision", "numpy", "safetensors")


def run_record(
    recipe: Recipe,
    hips: Sequence[Hip],
    *,
    weights: str,
    weights_sha256: str,
    seed: int,
    device: torch.device,
    devices: Sequence[str],
    precision: str,
) -> dict[str, Any]:
    """What ``run.json`` holds: two runs with the same record compute the same, to the bit.

    On one machine's CPU with as many threads; a GPU's last digits may differ. Names of patients
    are in no part of it. ``devices`` are what each process of the team computed on, by name.
    """
    counts: dict[str, dict[str, dict[str, int]]] = {}
    for hip in hips:
        labels = counts.setdefault(str(hip.partition), {}).setdefault(hip.source, {})
        name = "KL 1" if hip.label is None else str(hip.label)
        labels[name] = labels.get(name, 0) + 1
    also: dict[str, Any] = {}
    crops = [crop_label(hip.crop) for hip in hips if hip.source == "ct"]
    scalings = {label.get(SCALING, SCALINGS[0]) for label in crops}
    if len(scalings) > 1:
        raise ManifestError(
            "the manifest has CT-AP crops of both scalings, stretched and fixed; make all of them "
            "with one (rhoa hips scans.csv --scaling)."
        )
    also[SCALING] = next(iter(scalings), None)
    if recipe.target == "kl":
        crowe = json.dumps([crowe_of(hip) for hip in hips])
        also["crowe_sha256"] = hashlib.sha256(crowe.encode()).hexdigest()
    if recipe.appearance.variants:
        files = [one for hip in hips if hip.partition == "train" for one in variants_of(hip)]
        variants = json.dumps([sha256_of(file) for file in files])
        also["variants_sha256"] = hashlib.sha256(variants.encode()).hexdigest()
    libraries = _LIBRARIES if recipe.backbone == RESNET18 else (*_LIBRARIES, "timm")
    return {
        "recipe": recipe.as_dict(),
        "seed": seed,
        "weights": weights,
        "weights_sha256": weights_sha256,
        "device": device.type,
        "precision": precision,
        "processes": len(devices),
        "devices": list(devices),
        "threads": torch.get_num_threads(),
        **run_hashes(hips),
        **also,
        "hips": counts,
        "versions": {
            "rhoa": __version__,
            "python": platform.python_version(),
            **{library: metadata.version(library) for library in libraries},
        },
    }


def run_hashes(hips: Iterable[Hip]) -> dict[str, str]:
    """SHA-256 of the labelled hips, images and all, and of who is in which partition."""
    manifest, split = hashlib.sha256(), set()
    for hip in hips:
        names = ("subject", "side", "source", "visit", "kl", "label", "partition")
        row = [sha256_of(hip.crop), *(getattr(hip, name) for name in names)]
        manifest.update(json.dumps(row).encode() + b"\n")
        split.add(json.dumps([hip.subject, hip.partition]))
    parted = hashlib.sha256("\n".join(sorted(split)).encode())
    return {"manifest_sha256": manifest.hexdigest(), "split_sha256": parted.hexdigest()}


def tensors_sha256(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of all numbers and their names."""
    digest = hashlib.sha256()
    for name, value in tensors.items():
        numbers = value.detach().cpu().contiguous()
        digest.update(f"{name} {numbers.dtype} {tuple(numbers.shape)}\n".encode())
        digest.update(numbers.numpy().tobytes())
    return digest.hexdigest()


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """What two records ask for differently: ``recipe.epochs was 30, is 20``."""
    here = json.loads(json.dumps(here))
    found = []
    for name in dict.fromkeys([*there, *here]):
        before, now = there.get(name), here.get(name)
        if before == now or name in OF_THE_MACHINE:
            continue
        if name == "recipe" and isinstance(before, dict) and isinstance(now, dict):
            keys = [
                key for key in dict.fromkeys([*before, *now]) if before.get(key) != now.get(key)
            ]
            simple = [key for key in keys if not isinstance(now.get(key), dict | list)]
            found += [
                f"recipe.{key} was {before.get(key)!r}, is {now.get(key)!r}" for key in simple
            ]
            found += [f"recipe.{key} differs" for key in keys if key not in simple]
        elif isinstance(now, str | int | None) and "sha256" not in name:
            found.append(f"{name} was {before!r}, is {now!r}")
        else:
            found.append(f"{_NAMES.get(name, name)} differ")
    return list(dict.fromkeys(found))


_NAMES = {
    "manifest_sha256": "the hips of the manifest",
    "crowe_sha256": "the hips of the manifest",
    "split_sha256": "the partitions",
    "variants_sha256": "the variants of its crops",
    "weights_sha256": "the first weights",
    "hips": "the hips of the manifest",
}


def predictions_table(hips: Sequence[Hip], draws: Draws) -> str:
    """``predictions.csv``: `HIP_COLUMNS`, the score, grades, and the columns that describe hips."""
    others = describing(hips)
    computed = {"score": draws.probabilities[:, 1], **draws.columns}
    crowe = ["crowe"] if draws.crowe_grades is not None else []
    rows = [
        [
            *(getattr(hip, name) for name in HIP_COLUMNS),
            *(float(values[at]) for values in computed.values()),
            *(crowe_of(hip) for _ in crowe),
            *(hip.value(name) for name in others),
        ]
        for at, hip in enumerate(hips)
    ]
    return csv_text((*HIP_COLUMNS, *computed, *crowe, *others), rows)


def is_doubtful(hip: Hip) -> bool:
    """Whether a hip has no label for its KL 1 alone, which target ``"kl"`` learns as any grade."""
    return hip.kl == 1 and hip.label is None and hip.exclusion is None


def crowe_of(hip: Hip, where: str = "a hip") -> int | None:
    """Crowe's grade, 1 to 4, of the hip's column ``crowe``; None where it has none.

    Raises
    ------
    ManifestError
        If it is something else.
    """
    text = next((text for name, text in hip.others if plain_name(name) == "crowe"), "").strip()
    if not text:
        return None
    grade = {"i": 1, "ii": 2, "iii": 3, "iv": 4}.get(text.casefold(), whole(text))
    if str(grade) not in {"1", "2", "3", "4"}:
        raise ManifestError(
            f"{where}: crowe must be 1 to 4, I to IV, or empty; got {printable(text, most=20)!r}."
        )
    return int(grade)


# Learning curves: a row for each iteration, readable while the run goes on.

HISTORY_CSV, HISTORY_JSONL = "history.csv", "history.jsonl"


class Step(NamedTuple):
    """One iteration: a row of ``history.csv``; validation is None between validations.

    ``val_loss`` and so on are of the hips that `Recipe.validate_on` names; those of each source are
    beside them, None where there are no such hips.
    """

    iteration: int
    epoch: int
    learning_rate: float
    train_loss: float
    train_accuracy: float
    val_loss: float | None = None
    val_accuracy: float | None = None
    val_auc: float | None = None
    val_loss_ct: float | None = None
    val_accuracy_ct: float | None = None
    val_auc_ct: float | None = None
    val_loss_xray: float | None = None
    val_accuracy_xray: float | None = None
    val_auc_xray: float | None = None


def write_curves(folder: Path, history: Sequence[Step]) -> None:
    """``history.csv`` and ``history.jsonl``, whole."""
    atomic_write(folder / HISTORY_CSV, csv_text(Step._fields, history))
    atomic_write(folder / HISTORY_JSONL, "".join(map(_json_line, history)))


@contextmanager
def growing(
    folder: Path, history: Sequence[Step], *, tensorboard: Path | None
) -> Iterator[Callable[[Step], None]]:
    """A function that adds a step to the curves of ``folder``, which begin with ``history``."""
    write_curves(folder, history)
    board: Any = None
    if tensorboard is not None:
        for package in ("tensorboard", "torch.utils.tensorboard"):
            board = require_extra(
                package, extra="tensorboard", purpose="Execution(tensorboard=True)"
            )
        board = board.SummaryWriter(tensorboard, purge_step=len(history) + 1)
    with (
        (folder / HISTORY_CSV).open("a", encoding="utf-8", newline="") as table,
        (folder / HISTORY_JSONL).open("a", encoding="utf-8") as lines,
    ):

        def add(step: Step) -> None:
            with writing(HISTORY_CSV):
                table.write(csv_text(["" if value is None else repr(value) for value in step], []))
                lines.write(_json_line(step))
                table.flush()
                lines.flush()
            if board is not None:
                for name, value in step._asdict().items():
                    if value is not None and name != "iteration":
                        board.add_scalar(name, value, step.iteration)

        try:
            yield add
        finally:
            if board is not None:
                board.close()


def _json_line(step: Step) -> str:
    return json.dumps(step._asdict(), allow_nan=False) + "\n"


# Checkpoints: all that a run needs to go on to the bit, in one safetensors file.
#
# The tensors are those of the network, of its best validation so far, of the optimizer and of the
# random number generators; the header holds the rest as JSON. Nothing in the file can run code.

CHECKPOINT_FILE = "checkpoint.safetensors"
_HEADER, _DIGEST = "rhoa", "sha256"
_NETWORK, _BEST, _OPTIMIZER, _RANDOM = "network.", "best.", "optimizer.", "random."


class Best(NamedTuple):
    """The best validation so far."""

    iteration: int
    val_loss: float
    val_auc: float | None


@dataclass(slots=True)
class TrainingState:
    """How far a run has come."""

    history: list[Step] = field(default_factory=list)
    best: Best | None = None
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    stale: int = 0
    """Validations since the best one."""

    @property
    def iteration(self) -> int:
        """Iterations done."""
        return len(self.history)


class Learner(NamedTuple):
    """What a step changes."""

    network: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: GradScaler


def save_checkpoint(
    path: Path, learner: Learner, state: TrainingState, *, identity: Mapping[str, Any]
) -> None:
    """Write a checkpoint of the run that ``identity`` describes."""
    moments = {
        f"{number}.{name}": value
        for number, values in learner.optimizer.state_dict()["state"].items()
        for name, value in values.items()
    }
    random = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available() and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        random["cuda"] = torch.cuda.get_rng_state()
    tensors = {
        **_named(_NETWORK, learner.network.state_dict()),
        **_named(_BEST, state.best_weights),
        **_named(_OPTIMIZER, moments),
        **_named(_RANDOM, random),
    }
    header = {
        "identity": identity,
        "history": state.history,
        "best": state.best,
        "stale": state.stale,
        "scaler": learner.scaler.state_dict(),
    }
    text = json.dumps(header)
    digest = _checkpoint_sha256(text, tensors)
    with replacing(path) as partial:
        try:
            save_file(tensors, partial, metadata={_HEADER: text, _DIGEST: digest})
        except SafetensorError as error:  # a full disk is none of Python's errors there
            raise WriteError(
                f"{path.name}: could not be written ({error}); the one before is unchanged. Check "
                "the space on its disk."
            ) from None


def _checkpoint_sha256(header: str, tensors: Mapping[str, Tensor]) -> str:
    named = {name: tensors[name] for name in sorted(tensors)}
    return hashlib.sha256(f"{header}\n{tensors_sha256(named)}".encode()).hexdigest()


def load_checkpoint(path: Path, learner: Learner, *, identity: Mapping[str, Any]) -> TrainingState:
    """Put ``learner`` and torch's random generators where the checkpoint left them.

    Raises
    ------
    WeightsError
        If the file is damaged, a link, or of another run.
    """
    if path.is_symlink():
        raise WeightsError(f"{path.name}: is a link; a checkpoint is a file of its own. Remove it.")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no dict
        header = json.loads(metadata[_HEADER])
        if metadata[_DIGEST] != _checkpoint_sha256(metadata[_HEADER], tensors):
            raise ValueError("not what was written")
        _require_same(header["identity"], identity, path)
        _restore(learner, tensors, header["scaler"])
        best_weights = _under(_BEST, tensors)
        best_shapes, shapes = (
            {name: value.shape for name, value in some.items()}
            for some in (best_weights, learner.network.state_dict())
        )
        if best_weights and best_shapes != shapes:
            raise ValueError("other tensors than the network has")
        return TrainingState(
            history=[Step(*row) for row in header["history"]],
            best=None if header["best"] is None else Best(*header["best"]),
            best_weights=best_weights,
            stale=int(header["stale"]),
        )
    except WeightsError:
        raise
    except (
        *(OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError),
        *(AttributeError, IndexError, RecursionError),
    ) as error:
        raise WeightsError(
            f"{path.name}: not a checkpoint of this run ({type(error).__name__}); remove it, or "
            "begin anew with resume=False (--restart)."
        ) from None


def _require_same(there: Mapping[str, Any], here: Mapping[str, Any], path: Path) -> None:
    here = json.loads(json.dumps(here))
    if there.get("threads") != here.get("threads"):
        warn_user(
            f"{path.name}: was made with {there.get('threads')} threads, and goes on with "
            f"{here.get('threads')}: the weights are not the same to the bit as those of a run "
            "that was not interrupted."
        )
    different = sorted(
        name
        for name in {*there, *here} - {"threads", "devices"}
        if there.get(name, ...) != here.get(name, ...)
    )
    if different:
        raise WeightsError(
            f"{path.name}: is of another run ({', '.join(different)} differ); choose another "
            "folder, or begin anew with resume=False (--restart)."
        )


def _named(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}{name}": value.detach().contiguous() for name, value in tensors.items()}


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }


def _restore(learner: Learner, tensors: Mapping[str, Tensor], scaler: dict[str, Any]) -> None:
    learner.network.load_state_dict(_under(_NETWORK, tensors))
    optimizer = learner.optimizer
    moments: dict[int, dict[str, Tensor]] = {}
    for key, value in _under(_OPTIMIZER, tensors).items():
        number, _, name = key.partition(".")
        moments.setdefault(int(number), {})[name] = value
    optimizer.load_state_dict(
        {"state": moments, "param_groups": optimizer.state_dict()["param_groups"]}
    )
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            for name, value in optimizer.state.get(parameter, {}).items():
                if value.ndim > 0:  # in the weight's own memory order
                    optimizer.state[parameter][name] = torch.empty_like(parameter).copy_(value)
    learner.scaler.load_state_dict(scaler)
    random = _under(_RANDOM, tensors)
    torch.set_rng_state(random["cpu"])
    if "cuda" in random:
        torch.cuda.set_rng_state(random["cuda"])
