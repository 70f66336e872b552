"""Hip boxes that people correct: `--review` writes them beside the page, `--boxes` takes them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rhoa.hips import Box, LabelledImage, write_coco
from rhoa.hips.corrections import CORRECTION_COLUMNS, boxes_table, in_picture, read_boxes
from rhoa.verbs.output import write_table
from rhoa.writing import atomic_write

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from rhoa import Radiograph
    from rhoa.hips.corrections import Correction
    from rhoa.pose.sides import Side

TABLE, COCO, CORRECTIONS = "boxes.csv", "boxes.coco.json", "corrections.csv"


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that was written, its boxes in its own pixel edges, and what was corrected."""

    labelled: LabelledImage
    changes: Sequence[Mapping[str, object]] = ()

    @classmethod
    def of(
        cls,
        name: str,
        image: Radiograph,
        boxes: Mapping[Side, Box],
        changes: Iterable[Correction] = (),
    ) -> Picture:
        """The picture ``name`` of an image."""
        drawn = in_picture(image, boxes.values())
        labelled = LabelledImage(Path(name), drawn, image.square().shape)
        return cls(labelled, [change.as_dict() for change in changes])

    def as_dict(self) -> dict[str, Any]:
        """Plain types, as `from_dict` takes them."""
        boxes = [
            [box.side, box.top, box.left, box.bottom, box.right, box.confidence]
            for box in self.labelled.boxes
        ]
        name, shape = self.labelled.path.as_posix(), self.labelled.shape
        return {"image": name, "shape": shape, "boxes": boxes, "changes": list(self.changes)}

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> Picture:
        """What `as_dict` told."""
        rows, columns = told["shape"]
        boxes = tuple(Box(*box) for box in told["boxes"])
        return cls(LabelledImage(Path(told["image"]), boxes, (rows, columns)), told["changes"])


def drawn_boxes(options: Namespace, names: Collection[str]) -> dict[str, LabelledImage]:
    """What ``--boxes`` gives, by the pictures' names; nothing without it.

    Raises
    ------
    ManifestError
        With the line, if the file names none of ``names``, or holds what is no box.
    """
    return {} if options.boxes is None else read_boxes(options.boxes, names)


def wants_review(options: Namespace) -> bool:
    """Whether boxes and page are to be written."""
    return bool(options.review) or options.boxes is not None


def write_review(
    out: Path, pictures: Sequence[Picture], options: Namespace, *, part: str = ""
) -> list[str]:
    """Write the boxes as CSV and COCO, and what was corrected; what there is to say of it."""
    table, coco, corrections = (
        out / f"{name.partition('.')[0]}{part}.{name.partition('.')[2]}"
        for name in (TABLE, COCO, CORRECTIONS)
    )
    labelled = [picture.labelled for picture in pictures]
    atomic_write(table, boxes_table(labelled))
    write_coco(labelled, coco)
    remedy = f"correct one of them, and cut the crops anew with --boxes {table}"
    lines = [f"wrote {table} and {coco.name}: {remedy}"]
    if options.boxes is None:
        return lines
    rows = [
        {"image": picture.labelled.path.as_posix(), **change}
        for picture in pictures
        for change in picture.changes
    ]
    write_table(corrections, CORRECTION_COLUMNS, rows)
    counts = Counter(str(row["change"]) for row in rows)
    told = ", ".join(f"{count} {change}" for change, count in sorted(counts.items()))
    return [*lines, f"wrote {corrections}: {told or 'nothing was changed'}"]
