"""The plan of a study: what is trained on which images, how often; and its TOML file."""

from __future__ import annotations

import difflib
import re
import tomllib
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rhoa.errors import MissingFileError, ParameterError, require_count, require_names
from rhoa.hips.crop_files import CROP_REFUSALS
from rhoa.learning import Recipe, recipes
from rhoa.learning.recipe import GROUPED

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from os import PathLike


LEAST_FOLDS = 3  # one to test on, one to validate on, one to train on
NAMED_WEIGHTS = ("imagenet", "none")
RECIPE_OPTIONS = tuple(
    field.name for field in fields(Recipe) if field.name not in {"name", "first"}
)
GROUPED_OPTIONS = {
    name: tuple(field.name for field in fields(kind)) for name, kind in GROUPED.items()
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a study trains, on which images, how often, and where it writes.

    Parameters
    ----------
    out
        Folder of the study.
    recipes
        Trained in this order, which is that of the report's rows.
    manifest, scans
        One of the two: a manifest of crops, or a table of scans whose hips are cropped first.
    weights
        To begin with, as of `rhoa.train`.
    seeds
        Each recipe is trained once for each.
    folds
        Cross-validation instead: each recipe is trained once for each fold, with the only seed.
    split_seed
        Of folds, and of the partitions of a manifest that has none.
    device
        As of `rhoa.train`.
    notes
        Caveats for the top of the report.
    accept
        Refusals of crops to overrule, as of `rhoa.train`.

    Raises
    ------
    ParameterError
        If neither or both of manifest and scans are given, recipes share a name or it is no
        folder's, seeds are repeated, or folds are fewer than three or have several seeds.
    """

    out: Path
    recipes: tuple[Recipe, ...]
    manifest: Path | None = None
    scans: Path | None = None
    weights: str | Path = "imagenet"
    seeds: tuple[int, ...] = (2020,)
    folds: int | None = None
    split_seed: int = 2020
    device: str = "auto"
    notes: tuple[str, ...] = ()
    accept: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if (self.manifest is None) == (self.scans is None):
            raise ParameterError("a study needs a manifest or a table of scans; name one of them.")
        names = [recipe.name for recipe in self.recipes]
        if not names or len({name.casefold() for name in names}) < len(names):
            raise ParameterError(f"recipes must name one or more, each once; got {names}.")
        for name in names:
            if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name):
                raise ParameterError(
                    f"a recipe's name is made of letters, digits, '.', '_' and '-'; got {name!r}."
                )
        for seed in self.seeds:
            require_count("seeds", seed, least=0)
        require_count("split_seed", self.split_seed, least=0)
        require_names("accept", self.accept, CROP_REFUSALS, kind="refusals")
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ParameterError(f"seeds must name one or more, each once; got {list(self.seeds)}.")
        if self.folds is not None:
            require_count("folds", self.folds, least=LEAST_FOLDS)
            if len(self.seeds) > 1:
                raise ParameterError("a study has several seeds or folds, not both; drop one.")


def read_plan(path: str | PathLike[str]) -> Plan:
    """The plan that a TOML file describes; `rhoa.study.TEMPLATE` is one with comments.

    Raises
    ------
    MissingFileError
        If there is no such file.
    ParameterError
        If it is no TOML, or a key or a value is not one that a study knows; the message names the
        key, and the nearest one that there is.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(
            f"{path.name}: no such file; `rhoa study --template > study.toml` begins one."
        )
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        return _plan(table, path.parent)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ParameterError(f"{path.name}: not a TOML file ({error}).") from None
    except ParameterError as error:
        raise ParameterError(f"{path.name}: {error}") from None


def _plan(table: Mapping[str, Any], folder: Path) -> Plan:
    known = [field.name for field in fields(Plan)]
    _require_known(table, [*known, "every-recipe", "recipe"])
    for key in ("out", "recipes"):
        if key not in table:
            raise ParameterError(f"{key} is missing.")
    given = {key: table[key] for key in known if key in table}
    for key, kind in (("seeds", int), ("notes", str), ("recipes", str), ("accept", str)):
        values = given.pop(key, [])
        if not isinstance(values, list) or any(type(value) is not kind for value in values):
            what = "whole numbers" if kind is int else "texts in quotes"
            raise ParameterError(f"{key} must be a list of {what}; got {values!r}.")
        if values:
            given[key] = tuple(values)
    for key in ("out", "manifest", "scans", "weights", "device"):
        _require_kind(key, given.get(key, ""), str)
    for key in ("out", "manifest", "scans"):
        if key in given:
            given[key] = folder / given[key]
    if given.get("weights", "none") not in NAMED_WEIGHTS:
        given["weights"] = folder / given["weights"]
    names = given.get("recipes", ())
    own, every = table.get("recipe", {}), table.get("every-recipe", {})
    _require_kind("recipe", own, dict)
    _require_kind("every-recipe", every, dict)
    unused = [name for name in own if name not in names]
    if unused:
        raise ParameterError(
            f"recipe.{unused[0]}: recipes does not name it{_nearest(unused[0], names)}."
        )
    given["recipes"] = tuple(_recipe(name, own.get(name, {}), every) for name in names)
    return Plan(**given)


def _recipe(name: str, own: Mapping[str, Any], every: Mapping[str, Any]) -> Recipe:
    where = f"recipe.{name}"
    _require_kind(where, own, dict)
    like = own.get("like", name)
    if like not in recipes:
        raise ParameterError(
            f"there is no recipe {like!r}{_nearest(str(like), recipes)}; "
            f"choose among {', '.join(recipes)}, or begin like one of them: "
            f'like = "model-3" in [recipe.{name}].'
        )
    recipe = _changed(replace(recipes[like], name=name), every, "every-recipe")
    if recipe.first is not None:
        first = _changed(recipe.first, every, "every-recipe")
        _require_kind(f"{where}.first", own.get("first", {}), dict)
        recipe = replace(recipe, first=_changed(first, own.get("first", {}), f"{where}.first"))
    elif "first" in own:
        raise ParameterError(f"{where}: {like} has no first stage.")
    rest = {key: value for key, value in own.items() if key not in {"like", "first"}}
    return _changed(recipe, rest, where)


def _changed(recipe: Recipe, changes: Mapping[str, Any], where: str) -> Recipe:
    _require_known(changes, RECIPE_OPTIONS, where=where)
    values = dict(changes)
    for name in GROUPED_OPTIONS.keys() & values.keys():
        options = values[name]
        _require_kind(f"{where}.{name}", options, dict)
        _require_known(options, GROUPED_OPTIONS[name], where=f"{where}.{name}")
        values[name] = replace(getattr(recipe, name), **options)
    try:
        return replace(recipe, **values)
    except ParameterError as error:
        raise ParameterError(f"{where}: {error}") from None


def _require_kind(key: str, value: object, kind: type) -> None:
    if not isinstance(value, kind):
        what = "a table" if kind is dict else "a text in quotes"
        raise ParameterError(f"{key} must be {what}; got {value!r}.")


def _require_known(
    given: Mapping[str, Any], known: Collection[str], *, where: str = "a study"
) -> None:
    for key in given:
        if key not in known:
            raise ParameterError(
                f"{where} has no option {key!r}{_nearest(key, known)}; it has {', '.join(known)}."
            )


def _nearest(name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


# A plan to begin with, as ``rhoa study --template`` prints it.

TEMPLATE = """\
# A study of models of hip osteoarthritis. Train, measure and report all of it:
#
#   rhoa study study.toml
#
# Started again, it does what is not done. Paths are relative to this file.

# What to train on: a manifest (rhoa hips scans.csv, rhoa.cohort.check, rhoa.cohort.oai) ...
manifest = "study/manifest.csv"
# ... or a table of scans, whose hips are cropped first:
# scans = "scans.csv"

# A manifest without partitions is parted by subject, with this seed.
split_seed = 2020

# Gets runs/, report.html, metrics.json, results.csv and results.json.
out = "results"

# Models 1 to 5 are the paper's; model 6 is trained on X-rays, then on CT-APs.
recipes = ["model-1", "model-2", "model-3", "model-4", "model-5", "model-6"]

# Each recipe is trained once for each seed ...
seeds = [2020, 2021, 2022]
# ... or once for each fold of a cross-validation, with the one seed there is then; the headline is
# the mean of the areas within folds, and each fold's threshold is of its own validation hips:
# folds = 5

# "imagenet", "none" (random), or a file of weights.
weights = "imagenet"

# "auto" (a GPU where there is one), "cpu", "cuda".
device = "auto"

# Caveats for the top of the report.
notes = []

# Crops that are refused by default: "shape" pads those that are not square; label, size, colour.
# accept = ["shape"]

# Options of every recipe that differ from the paper's.
[every-recipe]
# epochs = 30
# image_size = 128
# learning_rate = 1e-4
# batch = 32
# augmentation = { rotation_deg = 5, translation_px = 5, scale = [0.75, 1.2] }
# appearance = { histogram = 0.5, gamma = [0.7, 1.4], xray_pixel_mm = [0.3, 1.5] }

# Options of one recipe. Of model 6 they are about its last stage, on CT-APs; those of the first
# stage, on X-rays, follow below.
# [recipe.model-5]
# epochs = 60
#
# [recipe.model-6.first]
# epochs = 30

# A recipe of your own begins like another one; name it in recipes, too.
# [recipe.model-3-small]
# like = "model-3"
# image_size = 100
"""
