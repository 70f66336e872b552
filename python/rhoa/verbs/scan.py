"""A CT-AP of one scan."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import rhoa
from rhoa import projection
from rhoa.errors import ParameterError, warn_user
from rhoa.hips.sheet import Entry, Verdict, write_card
from rhoa.hips.views import frontal, lateral
from rhoa.pose.functional import pelvis_angles
from rhoa.progress import bar
from rhoa.verbs.folder import captured_warnings, each, refuse_landmarks, veil
from rhoa.verbs.output import Result
from rhoa.verbs.pelvis import REMEDIES, PoseRequest, write_pose

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Mapping
    from pathlib import Path

    from rhoa import Radiograph, Volume
    from rhoa.hips import ExtractedHips

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
    asked = _asked(options)
    alone = out.name.lower().endswith(IMAGE_SUFFIXES)
    if options.each:
        if alone:
            raise ParameterError(f"{out.name}: --each writes many images; name a folder.")
        if asked is not None:
            refuse_landmarks(asked)
        return each(options, partial(_case, options), table="ct-aps.csv", columns=COLUMNS)
    image, found, _ = _made(options, options.scan, asked)
    if alone:
        out.parent.mkdir(parents=True, exist_ok=True)
        image.save(out)
        files = [out]
    else:
        files = [out / name for name in _written(out, image, found)]
    lines = [] if found is None else ["", *str(found).splitlines(), ""]
    if found is not None and not found.pose_used:
        lines.append(f"the pose was not used: {found.note} ({REMEDIES['pose_not_used']})")
    return Result([_described(image, found)], [*lines, *(f"wrote {f}" for f in files)])


def _asked(options: Namespace) -> PoseRequest | None:
    """What the options ask of the pose; None where the image is to be as scanned."""
    if options.pose is None:
        return None
    return PoseRequest.of(options.pose, options.tilt_offset)


def _made(
    options: Namespace, scan: str | Path, asked: PoseRequest | None, *, quiet: bool = False
) -> tuple[Radiograph, ExtractedHips | None, Volume | None]:
    """The image; the hips and the volume where a pose is asked for."""
    style = {name: getattr(options, name) for name in ("method", "order", "reduce", "transform")}
    if asked is None:
        return _as_scanned(options, scan, style, quiet=quiet), None, None
    volume = volume_of(options, scan, quiet=quiet)
    found = extracted(volume, asked, options, **style)
    return found.image, found, volume


def _written(folder: Path, image: Radiograph, found: ExtractedHips | None) -> list[str]:
    """The names of the files that were written into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    names = ["ct-ap.png", "ct-ap.npz"]
    for name in names:
        image.save(folder / name)
    if found is not None:
        names.append("pose.json")
        write_pose(folder / "pose.json", found)
    return names


def _case(options: Namespace, scan: Path, folder: Path) -> dict[str, Any]:
    """One scan of a folder: its files, its row, and its part of the page."""
    with captured_warnings(veil(scan, options)) as warned:
        image, found, volume = _made(options, scan, _asked(options), quiet=True)
    _written(folder, image, found)
    alignment = None if found is None else found.alignment
    views, flags, facts = [frontal(image, alignment, {}, {})], list[str](), list[tuple[str, str]]()
    verdict: Verdict = "look" if warned else "fine"
    if found is not None and volume is not None:
        views.append(lateral(volume, alignment, found.joints))
        verdict = verdict if found.pose_used else "not used"
    if alignment is not None:
        flags, facts = sorted(alignment.flags), [("pose", str(pelvis_angles(alignment)))]
    card = write_card(Entry(options.names[scan], verdict, facts, flags, warned, views), folder)
    row = _described(image, found) | {"pose_flags": flags}
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


def extracted(
    volume: Volume,
    asked: PoseRequest,
    options: Namespace,
    **style: Any,  # noqa: ANN401  # options of the image
) -> ExtractedHips:
    """The hips of a scan as the options ask for them."""
    found = rhoa.hips.extract(
        volume,
        pose=asked.pose,
        accept=asked.accept,
        tilt_offset_deg=asked.tilt_offset_deg,
        window=_window(options),
        depth=_depth(options.depth),
        pixel_mm=options.pixel_mm,
        threads=options.threads,
        **style,
    )
    if not found.pose_used and _measured(options):
        warn_user(
            "--depth, --pixel-mm and --tilt-offset were left out, for they are measured in the AP "
            "frame."
        )
    return found


def _measured(options: Namespace) -> bool:
    """Whether an option needs the AP frame."""
    return (
        options.depth != ["all"] or options.pixel_mm is not None or options.tilt_offset is not None
    )


def _window(options: Namespace) -> tuple[float, float] | None:
    return None if options.window is None else (options.window[0], options.window[1])


def _depth(words: list[str]) -> Any:  # noqa: ANN401  # checked by ctap
    if len(words) == 1:
        return words[0]
    try:
        return tuple(float(word) for word in words)
    except ValueError:
        return tuple(words)


def _described(image: Radiograph, found: ExtractedHips | None) -> dict[str, Any]:
    described: dict[str, Any] = {"pixels": list(image.shape), "pixel_mm": list(image.pixel_mm)}
    if image.alignment is not None:
        angles = pelvis_angles(image.alignment)._asdict()
        described |= {f"{name}_deg": round(value, 2) for name, value in angles.items()}
    described["black"], described["white"] = float(image.pixels.min()), float(image.pixels.max())
    if found is not None:
        described["pose"] = image.provenance["pose"]
    return described
