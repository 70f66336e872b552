"""A CT-AP of one scan."""

from __future__ import annotations

from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import rhoa
from rhoa import projection
from rhoa.errors import ParameterError, warn_user
from rhoa.hips.sheet import Entry, Verdict, write_card
from rhoa.hips.views import frontal, lateral
from rhoa.progress import bar
from rhoa.verbs.folder import each, refuse_landmarks, told_warnings, veil
from rhoa.verbs.output import Result
from rhoa.verbs.pelvis import Pelvis, Request, pelvis_of

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Mapping
    from pathlib import Path

    from rhoa import Radiograph, Volume

IMAGE_SUFFIXES = (".png", ".npz", ".nii", ".nii.gz")
COLUMNS = (
    *("pixels", "pixel_mm", "tilt_deg", "obliquity_deg", "rotation_deg", "black", "white"),
    *("pose", "pose_flags"),
)
OTHER_IMAGE_SUFFIXES = (".tif", ".tiff", ".jpg", ".jpeg", ".bmp", ".gif", ".dcm", ".mha", ".nrrd")


def ctap(options: Namespace) -> Result:
    """A CT-AP, or one of every scan in a folder."""
    out: Path = options.out
    if out.suffix.lower() in OTHER_IMAGE_SUFFIXES:
        raise ParameterError(
            f"{out.name}: rhoa writes {', '.join(IMAGE_SUFFIXES)}, or all it can into a folder."
        )
    request = None if options.pose is None else Request.of(options.pose, options.tilt_offset)
    alone = out.name.lower().endswith(IMAGE_SUFFIXES)
    if options.each:
        if alone:
            raise ParameterError(f"{out.name}: --each writes many images; name a folder.")
        if request is not None:
            refuse_landmarks(request)
        return each(options, partial(_case, options), table="ct-aps.csv", columns=COLUMNS)
    image, pelvis, _ = _made(options, options.scan, request)
    if alone:
        out.parent.mkdir(parents=True, exist_ok=True)
        image.save(out)
        files = [out]
    else:
        files = [out / name for name in _written(out, image, pelvis)]
    return Result([_described(image, pelvis)], [*_told(pelvis), *(f"wrote {f}" for f in files)])


def _made(
    options: Namespace, scan: str | Path, request: Request | None, *, quiet: bool = False
) -> tuple[Radiograph, Pelvis | None, Volume | None]:
    """The image; the pelvis and the volume where a pose is asked for."""
    style = {name: getattr(options, name) for name in ("method", "order", "reduce", "transform")}
    if request is None:
        return _as_scanned(options, scan, style, quiet=quiet), None, None
    volume = volume_of(options, scan, quiet=quiet)
    pelvis = pelvis_of(volume, request)
    return projected(volume, pelvis, options, style), pelvis, volume


def _written(folder: Path, image: Radiograph, pelvis: Pelvis | None) -> list[str]:
    """The names of the files that were written into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    names = ["ct-ap.png", "ct-ap.npz"]
    for name in names:
        image.save(folder / name)
    if pelvis is not None:
        names.append("pose.json")
        pelvis.save(folder / "pose.json")
    return names


def _case(options: Namespace, scan: Path, folder: Path) -> dict[str, Any]:
    """One scan of a folder: its files, its row, and its part of the page."""
    request = None if options.pose is None else Request.of(options.pose, options.tilt_offset)
    with told_warnings(veil(scan, options)) as told:
        image, pelvis, volume = _made(options, scan, request, quiet=True)
    _written(folder, image, pelvis)
    alignment = None if pelvis is None else pelvis.alignment
    views, flags, facts = [frontal(image, alignment, {}, {})], list[str](), list[tuple[str, str]]()
    verdict: Verdict = "look" if told else "fine"
    if pelvis is not None and volume is not None:
        views.append(lateral(volume, alignment, pelvis.joints))
        verdict = verdict if pelvis.used else "not used"
    if alignment is not None:
        flags, facts = sorted(alignment.flags), [("pose", str(alignment.angles))]
    card = write_card(Entry(options.names[scan], verdict, facts, flags, told, views), folder)
    row = _described(image, pelvis) | {"pose_flags": flags}
    return {"verdict": verdict, "rows": [row], "card": card}


def volume_of(options: Namespace, scan: str | Path, *, quiet: bool = False) -> Volume:
    """The volume of a scan, read as the options say."""
    progress = None if quiet else bar()
    return rhoa.read_ct(scan, series=options.series, repair=options.repair, progress=progress)


def _as_scanned(
    options: Namespace, path: str | Path, style: Mapping[str, Any], *, quiet: bool
) -> Radiograph:
    """The image that needs no pelvis; slices are projected while they are read."""
    from rhoa.reading.slices import open_scan

    if _measured(options):
        raise ParameterError(
            "--depth, --pixel-mm and --tilt-offset are measured in the AP frame: pass --pose."
        )
    progress = None if quiet else bar()
    scan = open_scan(path, series=options.series, repair=options.repair, progress=progress)
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
        warn_user(
            "--depth, --pixel-mm and --tilt-offset were left out, for they are measured in the AP "
            "frame."
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
