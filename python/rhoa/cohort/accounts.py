"""What became of every row of a study's table and of every image beside it, in counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rhoa.cohort.manifest import Manifest


@dataclass(frozen=True, slots=True)
class ImageFlow:
    """Images of a folder: those found are those used and the three kinds that are not."""

    found: int
    used: int
    """In the manifest."""
    left_out: int
    """Of hips that the table has and the manifest does not."""
    without_row: int
    """Of hips that the table does not have."""
    other_names: int
    """Whose names are no hip's."""


@dataclass(frozen=True, slots=True)
class TableFlow:
    """Hips of a table: each is counted once, by the first reason that leaves it out, or as kept.

    ``hips`` is ``other_readings + other_visits + repeated + prosthesis + ungraded + without_image +
    kept``, and ``kept`` is the length of the manifest.
    """

    rows: int
    """Rows of the table."""
    hips: int
    """Hips at visits that the rows tell of: one a row, or one a row and column of grades."""
    other_readings: int
    """In rows that ``only`` leaves out."""
    other_visits: int
    repeated: int
    """Stated again, with the same grade."""
    prosthesis: int
    ungraded_by_code: Mapping[str, int]
    """Without a grade, by the code in its place; "empty" where there is none."""
    without_image: int
    kept: int
    doubtful: int
    """Kept hips of KL 1, which have no label."""
    images: ImageFlow | None
    """None where no folder of images was given."""

    @property
    def ungraded(self) -> int:
        """Hips without a grade."""
        return sum(self.ungraded_by_code.values())

    def __str__(self) -> str:
        codes = ", ".join(f"{code}: {count}" for code, count in self.ungraded_by_code.items())
        steps = [
            (self.other_readings, "of other readings"),
            (self.other_visits, "of other visits"),
            (self.repeated, "repeated"),
            (self.prosthesis, "with a prosthesis"),
            (self.ungraded, f"without a grade ({codes})"),
            (self.without_image, "without an image"),
        ]
        lines = [f"{self.rows} rows: {self.hips} hips"]
        lines += [f"- {count} {reason}" for count, reason in steps if count]
        lines.append(f"= {self.kept} in the manifest, {self.doubtful} of them KL 1 without a label")
        if self.images is not None:
            seen = self.images
            lines.append(
                f"{seen.found} images: {seen.used} used, {seen.left_out} of hips left out, "
                f"{seen.without_row} without a row, {seen.other_names} with other names"
            )
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Intake:
    """What a study's table became: the manifest, and the counts of what did not come along."""

    manifest: Manifest
    flow: TableFlow
