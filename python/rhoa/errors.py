"""Every error rhoa raises about a user's data, and the checks that raise them.

* RhoaError (a ValueError)
  x ParameterError        an argument is out of its range, or options contradict each other
    - MaskError           a mask that is no label map, or does not fit the scan
  x VolumeError           an array or affine that is no CT volume
  x ReadError             a file or folder that cannot be read as one CT volume
    - MissingFileError    nothing at that path
    - NoSeriesError       no CT image in it
    - AmbiguousSeriesError  more than one CT volume in it
    - GeometryError       slices whose positions or orientations do not form a volume
    - PixelDataError      pixels that are short, undecodable or not Hounsfield units
    - ViewError           an image that is no frontal X-ray of a hip or the pelvis, or no crop
  x LandmarkError         landmarks that span no anterior pelvic plane
  x PoseError             an alignment that cannot be used for this volume
  x ManifestError         a table of images that cannot be used
  x WeightsError          model weights that are absent or do not fit
  x WriteError            a file that could not be written
  x ReviewError           a cohort that cannot be reviewed, a damaged journal, an action refused

``MissingExtraError`` (an ImportError) names what to install; ``RhoaWarning`` marks results that are
usable but should be checked.
A message says where, what was found, what is needed and what to do. It never holds patient data.
"""

from __future__ import annotations

import importlib
import math
import sys
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray


class RhoaError(ValueError):
    """Base of all errors about the user's data.

    Examples
    --------
    >>> import numpy as np, rhoa
    >>> try:
    ...     rhoa.ctap(np.zeros((4, 4)))
    ... except rhoa.RhoaError as error:
    ...     print(error)
    hu must be a 3-D array (slices, rows, columns); got 2-D, shape (4, 4).
    """


class ParameterError(RhoaError):
    """An argument is out of its range, or options contradict each other."""


class MaskError(ParameterError):
    """A mask that is no label map, or does not fit the scan that it is laid over."""


class VolumeError(RhoaError):
    """An array or affine that is no CT volume."""


class ReadError(RhoaError):
    """A file or folder that cannot be read as one CT volume."""


class MissingFileError(ReadError):
    """Nothing at the given path."""


class NoSeriesError(ReadError):
    """No CT image in the given files."""


class AmbiguousSeriesError(ReadError):
    """More than one CT volume in the given files."""


class GeometryError(ReadError):
    """Slices whose positions or orientations do not form a volume."""


class PixelDataError(ReadError):
    """Pixels that are short, undecodable or not Hounsfield units."""


class ViewError(ReadError):
    """An image that is no frontal X-ray of a hip or the pelvis, or no crop, as its file says."""


class LandmarkError(RhoaError):
    """Landmarks that span no anterior pelvic plane."""


class PoseError(RhoaError):
    """An alignment that cannot be used for this volume."""


class ManifestError(RhoaError):
    """A table of images that cannot be used."""


class WeightsError(RhoaError):
    """Model weights that are absent or do not fit."""


class WriteError(RhoaError):
    """A file that could not be written; what was there before is unchanged."""


class ReviewError(RhoaError):
    """A cohort that cannot be reviewed, a damaged journal, or an action that makes no sense."""


class MissingExtraError(ImportError):
    """Something that is not installed; the message is the pip line that brings it."""


class RhoaWarning(UserWarning):
    """A result that is usable but should be checked."""


def warn_user(message: str, category: type[Warning] = RhoaWarning) -> None:
    """Warn at the line outside rhoa that called it, however many calls lie between.

    In a thread that runs a function of rhoa and nothing else, this is the line that started it.
    """
    frame = sys._getframe(1)  # noqa: SLF001  # inspect.stack reads every source file
    while (
        frame.f_back is not None
        and str(frame.f_globals.get("__name__")).partition(".")[0] == __package__
    ):
        frame = frame.f_back
    # Generated code counts by its module: a dataclass's __init__ has no file.
    warnings.warn_explicit(
        message,
        category,
        frame.f_code.co_filename,
        frame.f_lineno,
        module=frame.f_globals.get("__name__", "sys"),
        registry=frame.f_globals.setdefault("__warningregistry__", {}),
    )


def require_volume(hu: object) -> NDArray[Any]:
    """``hu`` as a 3-D real numeric array, without a copy."""
    array = np.asarray(hu)
    if array.dtype == bool or array.dtype.kind not in "iuf":
        raise VolumeError(
            f"hu must hold integers or floating-point numbers; got dtype {array.dtype}."
        )
    if array.ndim != 3:
        raise VolumeError(
            "hu must be a 3-D array (slices, rows, columns); "
            f"got {array.ndim}-D, shape {array.shape}."
        )
    return array


def require_window(window: object) -> tuple[float, float]:
    """``window`` as (low, high) in HU with low < high."""
    try:
        low, high = (float(bound) for bound in window)  # type: ignore[attr-defined]  # checked here
    except (TypeError, ValueError):
        raise ParameterError(
            f"window must be (low, high), two numbers in HU; got {window!r}."
        ) from None
    if not low < high:  # false for NaN too
        raise ParameterError(
            f"window must be (low, high) with low < high, in HU; got ({low:g}, {high:g})."
        )
    return low, high


def require_axis(axis: object) -> int:
    """``axis`` as one of 0, 1, 2; negative numbers count from the end."""
    if not isinstance(axis, int | np.integer) or isinstance(axis, bool) or not -3 <= axis < 3:
        raise ParameterError(f"axis must be 0, 1 or 2; got {axis!r}.")
    return int(axis) % 3


def require_count(name: str, value: object, *, least: int = 1) -> int:
    """``value`` as a whole number of at least ``least``."""
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
        raise ParameterError(f"{name} must be a whole number >= {least}; got {value!r}.")
    return int(value)


def require_positive(name: str, value: object) -> float:
    """``value`` as a finite number above zero."""
    try:
        number = float(value)  # type: ignore[arg-type]  # checked here
    except (TypeError, ValueError):
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise ParameterError(f"{name} must be a positive finite number; got {value!r}.")
    return number


def require_choice(name: str, value: object, choices: Collection[object]) -> None:
    """Check that ``value`` is one of ``choices``."""
    if value not in choices:
        listed = ", ".join(repr(choice) for choice in choices)
        raise ParameterError(f"{name} must be one of {listed}; got {value!r}.")


def require_names(
    name: str, given: str | Collection[str], known: Collection[str], *, kind: str
) -> frozenset[str]:
    """The names in ``given``: one, several with commas between, or a collection; all ``known``."""
    try:
        parts = given.split(",") if isinstance(given, str) else list(given)
        names = {part.strip() for part in parts} - {""}
    except (AttributeError, TypeError):
        raise ParameterError(
            f"{name} must be names of {kind} ({', '.join(known)}); got {given!r}."
        ) from None
    unknown = sorted(names - set(known))
    if unknown:
        raise ParameterError(
            f"{name} must name {kind} that exist ({', '.join(known)}); "
            f"got {', '.join(map(repr, unknown))}."
        )
    return frozenset(names)


def require_point(name: str, value: object) -> NDArray[np.float64]:
    """``value`` as a finite point (x, y, z) in millimetres, read-only."""
    try:
        point = np.array(value, dtype=np.float64)
    except (TypeError, ValueError):
        point = np.empty(0)
    if point.shape != (3,) or not np.isfinite(point).all():
        raise LandmarkError(f"{name} must be three finite numbers (x, y, z) in mm; got {value!r}.")
    point.flags.writeable = False
    return point


DISTRIBUTION = "rhoa-ct"
"""What pip calls rhoa; the distribution "rhoa" on PyPI is another project's."""
PUBLISHED = False
"""Whether PyPI has it. Until then pip installs it from a checkout of its repository."""


def install_line(extra: str) -> str:
    """The pip line that brings an extra.

    Examples
    --------
    >>> print(install_line("train"))
    pip install '.[train]' in a checkout of rhoa
    """
    if PUBLISHED:
        return f"pip install '{DISTRIBUTION}[{extra}]'"
    return f"pip install '.[{extra}]' in a checkout of rhoa"


def require_extra(module: str, *, extra: str, purpose: str) -> Any:  # noqa: ANN401  # a module
    """The optional ``module``, imported; its absence names the pip line that brings it.

    Raises
    ------
    MissingExtraError
        ``rhoa.train needs torch: pip install '.[train]' in a checkout of rhoa`` and the like.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        root = module.partition(".")[0]
        if error.name != root:
            raise
        raise MissingExtraError(f"{purpose} needs {root}: {install_line(extra)}") from None


# Warnings that are collected while a file is read.


@dataclass(slots=True)
class WarningCollector:
    """Warnings collected while reading; with ``strict`` each of them is an error."""

    strict: bool = False
    warnings: list[str] = field(default_factory=list)

    def warn(self, message: str, error: type[ReadError] = ReadError) -> None:
        """Keep ``message``, or raise it as ``error`` where reading is strict."""
        if self.strict:
            raise error(f"{message} (an error because strict=True)")
        if message not in self.warnings:
            self.warnings.append(message)
