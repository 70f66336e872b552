"""Grades of hips: of CTs, of X-rays, and of crops that are ready."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from rhoa._core import __version__
from rhoa._types import SIDES
from rhoa.dicom.header import SkippedFileError, read_header
from rhoa.dicom.secondary_capture import write_dicom
from rhoa.errors import (
    MissingFileError,
    ParameterError,
    RhoaError,
    ViewError,
    require_names,
)
from rhoa.files import atomic_write, json_text, shown
from rhoa.hips import (
    ExtractedHips,
    extract,
    extract_xray,
    model_crop,
    read_xray,
    structured_report,
)
from rhoa.hips.bounding_boxes import SCALING, SCALINGS
from rhoa.hips.crop_files import CROP_REFUSALS, crop_label, read_crop, write_crops
from rhoa.hips.dicom_report import HipFinding
from rhoa.pose.scan_coverage import HIP_REFUSALS
from rhoa.radiograph import Radiograph
from rhoa.reading import read_ct, whole_volume
from rhoa.volume import Volume
from rhoa.xray.reader import picture_format
from rhoa.xray.refusals import REFUSALS, hips_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from os import PathLike

    from numpy.typing import NDArray

    from rhoa._types import Side
    from rhoa.dicom.secondary_capture import StudyIdentity
    from rhoa.hips import Box, HipDetector
    from rhoa.hips.bounding_boxes import Scaling
    from rhoa.hips.extraction import PoseOption
    from rhoa.learning import Grader
    from rhoa.xray.refusals import Hips

    Scan = Volume | Radiograph | str | PathLike[str]

Kind = Literal["ct", "xray", "crop"]
Rows = list[dict[str, Any]]
PREDICTION_FILE = "prediction.json"
KL_COLUMNS = tuple(f"kl_{grade}" for grade in range(5))

KNOWN_REFUSALS: Mapping[Kind, Mapping[str, str]] = {
    "ct": HIP_REFUSALS,
    "xray": REFUSALS,
    "crop": CROP_REFUSALS,
}
_HEAD_BYTES = 16


@dataclass(frozen=True, slots=True, eq=False)
class FoundHips:
    """The hips of one scan, X-ray or crop before they are graded."""

    source: Kind
    rows: Rows
    """One a hip: where it is, whether it is usable, or why not."""
    crops: Sequence[NDArray[Any] | None]
    """Of each row; None where the hip is refused."""
    image: Radiograph | None = None
    """What the hips were cut from; None of a ready crop."""
    boxes: Mapping[Side, Box] = field(default_factory=dict)
    extracted: ExtractedHips | None = None
    """Of a CT."""

    def save(
        self,
        folder: Path,
        rows: Rows,
        *,
        model: Mapping[str, Any],
        notes: Sequence[str] = (),
    ) -> list[Path]:
        """Write image, crops and ``prediction.json``, with the graded rows, into a folder.

        Parameters
        ----------
        folder
            Made where it is missing.
        rows
            As `graded` makes them of these hips.
        model, notes
            What graded, and what was warned of.

        Returns
        -------
        list of Path
            The files.
        """
        content: dict[str, Any] = {
            "rhoa": __version__,
            "research_use_only": True,
            "model": dict(model),
            "hips": rows,
            "notes": list(notes),
        }
        if self.extracted is not None:
            content["pose"] = self.extracted.as_dict()
        folder.mkdir(parents=True, exist_ok=True)
        files = [folder / PREDICTION_FILE]
        if self.image is not None and self.source != "crop":
            if self.source == "xray":
                content["shows"] = hips_of(self.image)._asdict()
            files.append(folder / ("ct-ap.png" if self.source == "ct" else "xray.png"))
            self.image.save(files[-1])
            crops = {row["side"]: crop for row, crop in zip(rows, self.crops, strict=True)}
            files += write_crops(folder, self.image, self.boxes, crops, source=self.source)
        atomic_write(folder / PREDICTION_FILE, json_text(content))
        return files

    def save_dicom(
        self,
        folder: Path,
        rows: Rows,
        *,
        models: Sequence[str],
        study: StudyIdentity,
    ) -> list[Path]:
        """Write ``image.dcm`` and ``findings.dcm``, the image and a structured report of its hips.

        Parameters
        ----------
        folder
            Exists.
        rows
            As `graded` makes them of these hips.
        models
            Checksums of the weights that graded.
        study
            Whose the files are to be.

        Returns
        -------
        list of Path
            The files; none where there is no image, or its pose is not used.
        """
        if self.image is None or (self.extracted is not None and not self.extracted.pose_used):
            return []
        hips = [
            HipFinding(
                side=row["side"],
                box=self.boxes.get(row["side"]),
                probability=row["probability"],
                spread=row.get("spread"),
                kl_probabilities=[row[name] for name in KL_COLUMNS if row.get(name) is not None],
                entropy_nats=row.get("entropy_nats"),
                flags=row["flags"],
                not_graded=row["refused"],
            )
            for row in rows
        ]
        modality = "CT" if self.source == "ct" else "XR"
        image, findings = structured_report(
            self.image, hips, models=models, modality=modality, study=study
        )
        write_dicom(image, folder / "image.dcm")
        write_dicom(findings, folder / "findings.dcm")
        return [folder / "image.dcm", folder / "findings.dcm"]


def predict(
    scans: Scan | Sequence[Scan],
    model: Grader | str | PathLike[str] | Sequence[str | PathLike[str]],
    *,
    pose: PoseOption = "auto",
    detector: HipDetector | str | PathLike[str] | None = None,
    accept: Collection[str] = (),
    side: Hips | None = None,
    views: int = 1,
    abstain: float | None = None,
    device: str = "auto",
    **reading: Any,  # noqa: ANN401  # as rhoa.read_ct checks them
) -> Rows:
    """The probability of hip osteoarthritis of every hip of scans, or why it has none.

    Parameters
    ----------
    scans
        One or several: a CT (a `Volume`, or the path of one), an X-ray (its path, or a `Radiograph`
        as `rhoa.hips.read_xray` makes it; both need ``detector``), or the path of a ready crop (a
        picture, right hips mirrored, as ``rhoa hips`` writes them).
    model
        A run folder of `rhoa.train`, several of them, which grade together, or what
        `rhoa.load_model` returns.
    pose
        Of CTs, as in `rhoa.hips.extract`, by which hips are found, judged and cropped.
    detector
        A `rhoa.hips.HipDetector` or its folder. With it, pictures are whole X-rays.
    accept
        Refusals to overrule, by name: of CTs as in `rhoa.hips.extract`, of X-rays as in
        `rhoa.hips.read_xray`.
    side
        Of X-rays: what they show, as in `rhoa.hips.read_xray`.
    views
        Each crop is graded that many times, turned, shifted and scaled a little; the probability is
        the mean (default: 1, as it is).
    abstain
        Share of the model's validation hips that would get no answer, such as 0.1: a hip whose
        entropy, of the crop as it is, is above the threshold chosen there gets none either.
    device
        Of torch: ``"auto"``, ``"cpu"``, ``"cuda"``.
    **reading
        Of CTs, keyword options of `rhoa.read_ct`: ``series``, ``repair`` and so on.

    Returns
    -------
    list of dict
        A row for each hip: ``scan``, ``side``, ``source``, ``probability`` (of rHOA, None where the
        hip is refused or the model abstains), ``spread`` and ``disagreement_nats`` (of several
        models or views), of target ``"kl"`` ``kl_0`` to ``kl_4`` and ``kl_expected`` (and those of
        Crowe), ``entropy_nats``,
        ``usable``, ``refused`` (why there is no probability), ``flags``, the box, and what was
        measured of joint, coverage and pose. Of several scans, one that cannot be read is a row
        without a side.

    Raises
    ------
    RhoaError
        If the only scan cannot be read.
    WeightsError
        If the model cannot be loaded.
    ParameterError
        If ``abstain`` is no share, or the model has no validation hips to choose a threshold from.

    Examples
    --------
    Grade both hips of a CT::

        rows = rhoa.predict("patient/ct", "study/runs/model-5")
        rows[0]["side"], rows[0]["probability"], rows[0]["refused"]
    """
    one = isinstance(scans, Volume | Radiograph | str | os.PathLike)
    every = cast("list[Scan]", [scans] if one else list(scans))  # type: ignore[arg-type]  # many
    grader = load_grader(model, device=device)
    if abstain is not None:
        grader.abstention_threshold(abstain)  # refused before a scan is read
    if isinstance(detector, str | os.PathLike):
        from rhoa.hips import HipDetector

        detector = HipDetector.load(detector, device=device)
    # Of several, what is accepted may be of one kind only.
    known = {name for refusals in KNOWN_REFUSALS.values() for name in refusals}
    named = require_names("accept", accept, sorted(known), kind="refusals")
    found: list[tuple[str, FoundHips]] = []
    for number, scan in enumerate(every, 1):
        is_path = isinstance(scan, str | os.PathLike)
        name = shown(Path(scan)) if is_path else f"{type(scan).__name__.lower()} {number}"  # type: ignore[arg-type]
        try:
            fitting = named & KNOWN_REFUSALS[_kind_of(scan, detector)].keys()
            hips = hips_in(
                scan,
                pose=pose,
                detector=detector,
                accept=named if len(every) == 1 else fitting,
                side=side,
                scaling=grader.ct_scaling,
                **reading,
            )
        except RhoaError as error:
            if len(every) == 1:
                raise
            failed: dict[str, Any] = {
                "side": None,
                "usable": False,
                "refused": str(error),
                "flags": [],
            }
            hips = FoundHips("crop", [failed], [None])
        found.append((name, hips))
    rows = graded([hips for _, hips in found], grader, views=views, abstain=abstain)
    names = [name for name, hips in found for _ in hips.rows]
    return [{"scan": name, **row} for name, row in zip(names, rows, strict=True)]


def load_grader(
    model: Grader | str | PathLike[str] | Sequence[str | PathLike[str]],
    *,
    device: str = "auto",
    runtime: Literal["auto", "torch", "onnx"] = "auto",
) -> Grader:
    """The model of a run folder, or of several that grade together."""
    from rhoa.learning import Grader, load_ensemble, load_model

    if isinstance(model, Grader):
        return model
    folders = [model] if isinstance(model, str | os.PathLike) else list(model)
    if len(folders) == 1:
        return load_model(folders[0], device=device, runtime=runtime)
    return load_ensemble(folders, device=device, runtime=runtime)


def hips_in(
    scan: Scan,
    *,
    pose: PoseOption = "auto",
    detector: HipDetector | None = None,
    accept: Collection[str] = (),
    side: Hips | None = None,
    scaling: Scaling = "stretched",
    threads: int | None = None,
    **reading: Any,  # noqa: ANN401  # as rhoa.read_ct checks them
) -> FoundHips:
    """The hips of one scan, X-ray or crop, as models see them; options as in `predict`.

    ``scaling`` is the models' `Grader.ct_scaling`.
    """
    kind = _kind_of(scan, detector)
    accepted = require_names("accept", accept, KNOWN_REFUSALS[kind], kind="refusals")
    if kind == "crop":
        crop = read_crop(scan, accept=accepted)  # type: ignore[arg-type]  # a path
        label = crop_label(scan)  # type: ignore[arg-type]
        own = label.get(SCALING, SCALINGS[0])
        if label.get("source") == "ct" and own != scaling and "label" not in accepted:
            raise ViewError(
                f"{_name(scan)}: rhoa wrote it as a crop of {own} scaling, and the model knows "
                f'{scaling} ones; crop it anew with scaling="{scaling}" (--scaling {scaling}), or '
                'pass accept="label" to take it all the same.'
            )
        return FoundHips("crop", [{"usable": True, "refused": "", "flags": []}], [crop])
    if kind == "xray":
        if detector is None:
            raise ParameterError(
                f"{_name(scan)}: the hips of an X-ray are found by a detector; pass detector= "
                "(--detector FOLDER; rhoa detector trains one), or grade crops."
            )
        image = scan
        if not isinstance(image, Radiograph):  # boxes are in pixels: their size need not be known
            image = read_xray(image, pixel_mm="optional", side=side, accept=accepted)  # type: ignore[arg-type]
        return _hips_of_xray(image, detector, _name(scan))
    volume = scan if isinstance(scan, Volume) else read_ct(scan, **reading)  # type: ignore[arg-type]
    found = extract(volume, pose=pose, accept=accepted, scaling=scaling, threads=threads)
    crops = [hip.crop for hip in found.hips.values()]
    return FoundHips("ct", found.rows, crops, found.image, found.boxes, found)


def kind_of(place: Path, *, has_detector: bool) -> Kind:
    """What a path holds: a CT, an X-ray, or a ready crop of a hip.

    Raises
    ------
    MissingFileError
        If there is nothing.
    ParameterError
        If it is none of these.
    """
    if place.is_dir() or whole_volume(place) is not None:
        return "ct"
    if not place.is_file():
        raise MissingFileError(f"{shown(place)}: no such file or folder.")
    if is_picture(place):
        return "xray" if has_detector else "crop"
    try:
        return "ct" if read_header(place).modality == "CT" else "xray"
    except SkippedFileError:
        raise ParameterError(
            f"{shown(place)}: neither a CT, an X-ray nor a picture; pass a folder of CT DICOM, a "
            "volume file, a DICOM X-ray (with --detector), or crops that `rhoa hips` wrote."
        ) from None


def is_picture(place: Path) -> bool:
    """Whether a file is a PNG, TIFF or JPEG picture, by its first bytes."""
    with place.open("rb") as file:
        return bool(picture_format(file.read(_HEAD_BYTES)))


def graded(
    found: Sequence[FoundHips], grader: Grader, *, views: int, abstain: float | None = None
) -> Rows:
    """The rows of all hips with what the model makes of their crops, all of them in batches."""
    threshold = math.inf if abstain is None else grader.abstention_threshold(abstain)
    crops = [crop for one in found for crop in one.crops if crop is not None]
    draws = grader.draws(crops, views=views)
    numbers = {"probability": draws.probabilities[:, 1], **draws.columns}
    if len(draws.samples) > 1:  # how far several models or views of one hip differ
        numbers |= {"spread": draws.spread, "disagreement_nats": draws.disagreement_nats}
    plain = draws if views == 1 or abstain is None else grader.draws(crops, views=1)
    entropy = plain.entropy_nats  # of the crop as it is, as validation hips were
    rows: Rows = []
    place = 0
    for one in found:
        for row, crop in zip(one.rows, one.crops, strict=True):
            unsure = crop is not None and bool(entropy[place] > threshold)
            scores = {
                name: None if crop is None or unsure else round(float(values[place]), 6)
                for name, values in numbers.items()
            }
            if draws.columns or abstain is not None:
                scores["entropy_nats"] = None if crop is None else round(float(entropy[place]), 6)
            own = row
            if unsure:
                own = row | {
                    "refused": f"unsure: entropy {entropy[place]:.3f} nats, above the "
                    f"{threshold:.3f} that at most {abstain:.0%} of the validation hips exceed; "
                    "have it read, or pass a smaller abstain=",
                    "flags": [*row["flags"], "unsure"],
                }
            place += crop is not None
            first = {"side": row["side"]} if "side" in row else {}
            rows.append({**first, "source": one.source, **scores, **own})
    return rows


def _hips_of_xray(image: Radiograph, detector: HipDetector, name: str) -> FoundHips:
    """The hips of an X-ray that a detector finds; a side without a box is refused."""
    found = extract_xray(image, detector=detector, name=name)
    rows: Rows = [
        {
            "usable": True,
            "refused": "",
            "flags": ["low_confidence"] if row["side"] in found.unsure else [],
            **row,
        }
        for row in found.rows
    ]
    why = "no hip was found by the detector"
    rows += [
        {"side": side, "usable": False, "refused": why, "flags": ["not_found"]}
        for side in found.missing
    ]
    rows.sort(key=lambda row: SIDES.index(row["side"]))
    boxes = found.boxes
    crops = [
        model_crop(image, boxes[row["side"]], source="xray") if row["side"] in boxes else None
        for row in rows
    ]
    return FoundHips("xray", rows, crops, image, boxes)


def _kind_of(scan: Scan, detector: HipDetector | None) -> Kind:
    if isinstance(scan, Volume):
        return "ct"
    if isinstance(scan, Radiograph):
        return "xray"
    return kind_of(Path(scan), has_detector=detector is not None)


def _name(scan: Scan) -> str:
    return "the X-ray" if isinstance(scan, Volume | Radiograph) else shown(Path(scan))
