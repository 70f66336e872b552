"""A CT-AP of one scan."""

from __future__ import annotations

import warnings
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import rhoa
from rhoa import projection
from rhoa.errors import ParameterError, RhoaWarning
from rhoa.progress import bar
from rhoa.verbs.output import Result
from rhoa.verbs.pelvis import Pelvis, Request, pelvis_of

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Mapping
    from pathlib import Path

    from rhoa import Radiograph, Volume

IMAGE_SUFFIXES = (".png", ".npz", ".nii", ".nii.gz")
OTHER_IMAGE_SUFFIXES = (".tif", ".tiff", ".jpg", ".jpeg", ".bmp", ".gif", ".dcm", ".mha", ".nrrd")


def ctap(options: Namespace) -> Result:
    """A CT-AP."""
    out: Path = options.out
    if out.suffix.lower() in OTHER_IMAGE_SUFFIXES:
        raise ParameterError(
            f"{out.name}: rhoa writes {', '.join(IMAGE_SUFFIXES)}, or all it can into a folder."
        )
    style = {name: getattr(options, name) for name in ("method", "order", "reduce", "transform")}
    alone = out.name.lower().endswith(IMAGE_SUFFIXES)
    files = [out] if alone else [out / "ct-ap.png", out / "ct-ap.npz"]
    pelvis = None
    if options.pose is None:
        image = _as_scanned(options, style)
    else:
        request = Request.of(options.pose, options.tilt_offset)
        volume = volume_of(options, options.scan)
        pelvis = pelvis_of(volume, request)
        image = projected(volume, pelvis, options, style)
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        image.save(file)
    if pelvis is not None and not alone:
        files.append(out / "pose.json")
        pelvis.save(files[-1])
    return Result([_described(image, pelvis)], [*_told(pelvis), *(f"wrote {f}" for f in files)])


def volume_of(options: Namespace, scan: str | Path, *, quiet: bool = False) -> Volume:
    """The volume of a scan, read as the options say."""
    progress = None if quiet else bar()
    return rhoa.read_ct(scan, series=options.series, repair=options.repair, progress=progress)


def _as_scanned(options: Namespace, style: Mapping[str, Any]) -> Radiograph:
    """The image that needs no pelvis; slices are projected while they are read."""
    from rhoa.reading.slices import open_scan

    if _measured(options):
        raise ParameterError(
            "--depth, --pixel-mm and --tilt-offset are measured in the AP frame: pass --pose."
        )
    scan = open_scan(options.scan, series=options.series, repair=options.repair, progress=bar())
    image: Radiograph = projection.ctap(
        scan, window=_window(options), threads=options.threads, **style
    )
    return image


def projected(
    volume: Volume,
    pelvis: Pelvis,
    options: Namespace,
    style: Mapping[str, Any] = MappingProxyType({}),
) -> Radiograph:
    """The image through the pose; as scanned where that is not to be used."""
    style = {"window": _window(options), "threads": options.threads, **style}
    if pelvis.used:
        style |= {"depth": _depth(options.depth), "pixel_mm": options.pixel_mm}
        posed: Radiograph = projection.ctap(volume, pose=pelvis.alignment, **style)
        return posed
    if _measured(options):
        warnings.warn(
            "--depth, --pixel-mm and --tilt-offset were left out, for they are measured in the AP "
            "frame.",
            RhoaWarning,
            stacklevel=2,
        )
    image: Radiograph = projection.ctap(volume, **style)
    return image


def _measured(options: Namespace) -> bool:
    """Whether an option needs the AP frame."""
    return options.depth != ["all"] or options.pixel_mm is not None or bool(options.tilt_offset)


def _window(options: Namespace) -> tuple[float, float] | None:
    return None if options.window is None else (options.window[0], options.window[1])


def _depth(words: list[str]) -> Any:  # noqa: ANN401  # checked by ctap
    if len(words) == 1:
        return words[0]
    try:
        return tuple(float(word) for word in words)
    except ValueError:
        return tuple(words)


def _told(pelvis: Pelvis | None) -> list[str]:
    return [] if pelvis is None else ["", *str(pelvis).splitlines(), ""]


def _described(image: Radiograph, pelvis: Pelvis | None) -> dict[str, Any]:
    described: dict[str, Any] = {"pixels": list(image.shape), "pixel_mm": list(image.pixel_mm)}
    if image.alignment is not None:
        angles = image.alignment.angles._asdict()
        described |= {f"{name}_deg": round(value, 2) for name, value in angles.items()}
    described["black"], described["white"] = float(image.pixels.min()), float(image.pixels.max())
    if pelvis is not None:
        described["pose"] = image.provenance["pose"]
    return described
