"""The table of hips that models are trained on; why hips are left out, and how many."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from rhoa._types import SIDES, Side
from rhoa.cohort.partition import (
    NO_GROUP,
    PARTITIONS,
    balance,
    folds,
    require_disjoint,
    spellings_of_one_subject,
    split,
)
from rhoa.errors import ManifestError, require_count, warn_user
from rhoa.files import atomic_write, csv_text, listed, shown
from rhoa.tables import plain_name, read_rows, side_in_table, whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from os import PathLike

    from rhoa.cohort.partition import Balance


# Why hips are left out, and how many at each step: numbers that add up.

Exclusion = Literal["prosthesis", "quality", "kl1", "not graded", "not labelled"]


@dataclass(frozen=True, slots=True)
class Rule:
    """A reason to leave hips out: its name in tables, in words, and whose reason it is."""

    name: Exclusion
    words: str
    fits: Callable[[Hip], bool]


# In this order; the first that fits is the reason.
RULES = (
    Rule("prosthesis", "prosthesis", lambda hip: hip.exclusion == "prosthesis"),
    Rule("quality", "quality", lambda hip: hip.exclusion == "quality"),
    Rule("kl1", "KL 1", lambda hip: hip.kl == 1),
    Rule("not graded", "not graded", lambda hip: hip.kl is None),
    Rule("not labelled", "not labelled", lambda _: True),
)
# What a table may say; the other rules follow from the grade.
STATED = ("prosthesis", "quality")


def describing(hips: Iterable[Hip]) -> list[str]:
    """The columns that describe hips and go wherever they go, by their plain names."""
    named = dict.fromkeys(plain_name(name) for hip in hips for name, _ in hip.others)
    return [name for name in named if name in DESCRIBING or name.startswith("x_")]


def rule_of(hip: Hip) -> Rule | None:
    """The rule by which a hip is left out; None where it has a label."""
    if hip.label is not None:
        return None
    return next(rule for rule in RULES if rule.fits(hip))


@dataclass(frozen=True, slots=True)
class Flow:
    """Hips at the start, left out by each rule, and left: ``start`` is the sum of the others.

    Examples
    --------
    >>> print(Flow(start=12, excluded={"prosthesis": 1, "KL 1": 3}, left=8))
    12 hips
     1 excluded: prosthesis
     3 excluded: KL 1
     8 left
    """

    start: int
    excluded: Mapping[str, int]
    left: int

    @classmethod
    def of(cls, hips: Iterable[Hip]) -> Flow:
        """Of hips, each left out once, for the first rule that fits; idle rules are omitted."""
        reasons = [rule_of(hip) for hip in hips]
        counts = {rule.words: reasons.count(rule) for rule in RULES}
        return cls(
            start=len(reasons),
            excluded={words: count for words, count in counts.items() if count},
            left=reasons.count(None),
        )

    def as_dict(self) -> dict[str, object]:
        """Plain types, for JSON."""
        return {"start": self.start, "excluded": dict(self.excluded), "left": self.left}

    def __str__(self) -> str:
        width = len(str(self.start))
        lines = [f"{count:{width}} excluded: {words}" for words, count in self.excluded.items()]
        return "\n".join([f"{self.start} hips", *lines, f"{self.left:{width}} left"])


# The table of hips that models are trained and evaluated on.

Source = Literal["ct", "xray"]
Partition = Literal["train", "val", "test"]

SOURCES: tuple[Source, Source] = ("ct", "xray")
PARTITION_WORDS = {"training": "train", "validation": "val", "valid": "val", "testing": "test"}
REQUIRED = ("image", "subject", "side", "source", "kl", "visit", "label")
COLUMNS = (*REQUIRED, "partition", "exclusion", "refused", "sha256", "distinct")

VARIANTS = "variants"
"""Column, and folder, of other crops of the same hip, which training may be shown."""
DESCRIBING = ("age", "sex", "site", "scanner", "kernel", "reader", "year", "slice_thickness_mm")
"""Columns that describe hips, and any whose name begins with x_: they go wherever the hips go."""

# Gebre et al. 2022, "Data partitioning": X-rays (and all images together), and CT-APs.
PAPER_FRACTIONS: dict[str, tuple[float, float, float]] = {
    "xray": (0.55, 0.30, 0.15),
    "ct": (0.50, 0.25, 0.25),
}


@dataclass(frozen=True, slots=True)
class Hip:
    """One hip in one image.

    ``kl`` is the Kellgren-Lawrence grade or None; ``label`` is 0 (no rHOA), 1 (rHOA) or None where
    the hip is excluded (KL 1, ungraded, or for ``exclusion``); ``partition`` is None until the
    cohort is split.

    Raises
    ------
    ManifestError
        If a hip has both a label and an exclusion, or neither an image nor an exclusion.
    """

    image: Path | None
    """Its crop; None where it was refused one, which needs an exclusion."""
    subject: str
    side: Side
    source: Source
    kl: int | None
    visit: str
    label: int | None
    partition: Partition | None = None
    exclusion: Exclusion | None = None
    """Why the hip is left out, where its grade does not say: ``"prosthesis"``, ``"quality"``."""
    sha256: str | None = None
    """Of the image's file, in hexadecimal digits."""
    distinct: bool = False
    """Whether somebody has looked and said that the image is no copy of any other."""
    refused: str = ""
    """Why the hip has no crop, as `rhoa.hips.extract` says it."""
    others: tuple[tuple[str, str], ...] = ()
    """The other columns of its row, in order: name and text."""

    @property
    def crop(self) -> Path:
        """The image of a hip that has one, as every labelled hip does.

        Raises
        ------
        ManifestError
            If it has none.
        """
        if self.image is None:
            raise ManifestError(f"a {self.side} hip has no crop: {self.refused or self.exclusion}.")
        return self.image

    def value(self, column: str) -> str:
        """The text of a column of its row, rhoa's or another, empty where it has none.

        Examples
        --------
        >>> hip = Hip(Path("a.png"), "S1", "left", "ct", 2, "", 1, others=(("Sex", "F"),))
        >>> hip.value("sex"), hip.value("kl"), hip.value("site")
        ('F', '2', '')
        """
        if column in COLUMNS:
            own = getattr(self, column)
            return "" if own is None else str(own)
        named = plain_name(column)
        return next((text for name, text in self.others if plain_name(name) == named), "")

    def __post_init__(self) -> None:
        if str(self.subject).strip().casefold() in NO_GROUP:
            raise ManifestError("a hip has no subject; without it partitions would leak.")
        if self.image is None and self.exclusion is None:
            raise ManifestError("a hip without an image needs an exclusion: prosthesis, quality.")
        if self.exclusion is not None and self.label is not None:
            raise ManifestError(
                f"a hip has a label ({self.label}) and an exclusion ({self.exclusion}); "
                "one of them must be empty."
            )


@dataclass(frozen=True, slots=True)
class Manifest:
    """All hips of a cohort."""

    hips: tuple[Hip, ...]

    def __len__(self) -> int:
        return len(self.hips)

    def __iter__(self) -> Iterator[Hip]:
        return iter(self.hips)

    @property
    def labelled(self) -> Manifest:
        """The hips with a label."""
        return Manifest(tuple(hip for hip in self.hips if hip.label is not None))

    @property
    def excluded(self) -> Mapping[str, int]:
        """How many hips have no label, by reason."""
        return dict(sorted(self.flow().excluded.items()))

    def flow(self) -> Flow:
        """Hips at the start, excluded by each of ``RULES`` in turn, and left."""
        return Flow.of(self.hips)

    def hashed(self) -> Manifest:
        """The manifest with the SHA-256 of each image as it is now."""
        return Manifest(
            tuple(
                hip if hip.image is None else replace(hip, sha256=sha256_of(hip.image))
                for hip in self.hips
            )
        )

    def counts(self) -> Mapping[tuple[str, str, int], int]:
        """Labelled hips by (source, partition, label), as in Table 1 of the paper."""
        return Counter(
            (hip.source, hip.partition, hip.label)
            for hip in self.labelled
            if hip.partition is not None and hip.label is not None
        )

    def split(self, *, seed: int = 2020) -> Manifest:
        """The manifest with its hips in partitions, each source by the paper's fractions.

        CT-APs are split 50 / 25 / 25, X-rays 55 / 30 / 15, each class by itself. A subject with
        both stays in one partition. Hips without a label follow their subject; `balance` says how
        near the others come.

        Raises
        ------
        ManifestError
            If there is no labelled hip.
        """
        labels, strata, subjects = self._labels()
        if not labels:
            raise ManifestError("no hip has a label: there is nothing to split.")
        assigned = split(
            labels,
            groups=self._together(subjects),
            fractions=PAPER_FRACTIONS,
            seed=seed,
            strata=strata,
        )
        return self._placed(dict(zip(subjects, assigned.tolist(), strict=True)))

    def balance(self) -> Balance:
        """Labelled hips that the paper's fractions want in each partition, and that are there.

        Raises
        ------
        ManifestError
            If there is no labelled hip, or one has no partition.
        """
        labels, strata, _ = self._labels()
        partitions = [hip.partition for hip in self.labelled if hip.partition is not None]
        if not labels or len(partitions) < len(labels):
            raise ManifestError("the labelled hips have no partitions yet; split the manifest.")
        return balance(labels, partitions, fractions=PAPER_FRACTIONS, strata=strata)

    def folds(self, count: int = 5, *, seed: int = 2020) -> tuple[Manifest, ...]:
        """Manifests for cross-validation: in each another fold is test, and the next one val.

        Folds are those of `rhoa.cohort.folds`, with sources spread alike. Hips without a label
        follow their subject.

        Raises
        ------
        ManifestError
            If there is no labelled hip.
        ParameterError
            If there are fewer than three folds, which leaves none to train on, or too many.
        """
        require_count("count", count, least=3)
        labels, strata, subjects = self._labels()
        if not labels:
            raise ManifestError("no hip has a label: there is nothing to split into folds.")
        groups = self._together(subjects)
        assigned = folds(labels, groups=groups, count=count, seed=seed, strata=strata)
        fold_of = dict(zip(subjects, assigned.tolist(), strict=True))
        return tuple(
            self._placed(
                {
                    subject: {0: "test", 1: "val"}.get((fold - test) % count, "train")
                    for subject, fold in fold_of.items()
                }
            )
            for test in range(count)
        )

    def _placed(self, partitions: Mapping[str, str]) -> Manifest:
        """With the partition of each subject; of others, whose hips have no label, train."""
        placed = dict(partitions)
        for names in spellings_of_one_subject(
            hip.subject for hip in self.hips
        ):  # the unlabelled too
            known = next((placed[name] for name in names if name in placed), "train")
            placed |= dict.fromkeys(names, known)
        hips = [
            replace(hip, partition=cast("Partition", placed.get(hip.subject, "train")))
            for hip in self.hips
        ]
        require_disjoint([hip.subject for hip in hips], [str(hip.partition) for hip in hips])
        return Manifest(tuple(hips))

    def _labels(self) -> tuple[list[str], list[str], list[str]]:
        """Label, source and subject of each labelled hip."""
        hips = self.labelled.hips
        return (
            [str(hip.label) for hip in hips],
            [hip.source for hip in hips],
            [hip.subject for hip in hips],
        )

    def _together(self, subjects: list[str]) -> list[str]:
        """The subjects, each by the first of the names that differ in zeros or case alone."""
        first = {name: one[0] for one in spellings_of_one_subject(subjects) for name in one}
        return [first.get(subject, subject) for subject in subjects]

    def write(self, path: str | PathLike[str]) -> None:
        """Write the table as `read` reads it; image paths relative to it where possible.

        Other columns of the hips come last, in the order in which hips have them.
        """
        path = Path(path)
        others = list(dict.fromkeys(name for hip in self.hips for name, _ in hip.others))
        rows = []
        for hip in self.hips:
            rule = rule_of(hip)
            texts = dict(hip.others)
            cells = (
                None if hip.image is None else _path_from(path.parent, hip.image),
                *(hip.subject, hip.side, hip.source, hip.kl, hip.visit, hip.label, hip.partition),
                None if rule is None else rule.name,
                hip.refused or None,
                hip.sha256,
                "yes" if hip.distinct else None,
                *(texts.get(name) for name in others),
            )
            rows.append(cells)  # None is an empty cell
        atomic_write(path, csv_text((*COLUMNS, *others), rows))


def _path_from(folder: Path, file: Path) -> str:
    """The path of a file from a folder, which may be a link to elsewhere."""
    file, folder = file.absolute(), folder.absolute()
    if file.is_relative_to(folder):
        return os.path.relpath(file, folder)
    try:
        return os.path.relpath(file, folder.resolve() if folder.is_symlink() else folder)
    except ValueError:  # on another drive
        return os.fspath(file)


def read(path: str | PathLike[str]) -> Manifest:
    """Read a manifest: a table of one row per hip and image, in any dialect of CSV.

    Columns: ``image`` (path, relative to the table; empty where ``exclusion`` says why there is
    none), ``subject``, ``side`` (left, right),
    ``source`` (ct, xray), ``kl`` (0-4 or empty), ``visit``, ``label`` (0, 1 or empty: then KL
    decides, 0 for KL 0, 1 for KL >= 2, excluded for KL 1 and for no grade), and optionally
    ``partition`` (train, val, test), ``exclusion`` (prosthesis, quality, or kl1, not graded, not
    labelled, which the grade and the label must bear out), ``refused`` (why `build` made no crop),
    ``sha256`` (of the image) and
    ``distinct`` (yes where somebody has looked and it is no copy of another image). Other columns
    (age, sex, site) are kept as they are (`Hip.others`). Subjects that differ in zeros, capitals or
    blanks alone are a warning.

    Raises
    ------
    ManifestError
        With the line, if a value is none of these, a label contradicts its grade or an exclusion, a
        hip is listed twice, an image is of two subjects or sides, is absent or not the one that was
        hashed, or a subject lies in two partitions.
    """
    path = Path(path)
    rows = read_rows(path, REQUIRED, known=COLUMNS)
    hips = tuple(_hip(row, path, line) for line, row in rows)
    if not hips:
        raise ManifestError(f"{path.name}: the table has no rows.")
    keys = Counter((hip.subject, hip.side, hip.visit, hip.source) for hip in hips)
    for (line, _), hip in zip(rows, hips, strict=True):
        if keys[hip.subject, hip.side, hip.visit, hip.source] > 1:
            raise ManifestError(
                f"{path.name}, line {line}: this hip (subject, side, visit, source) is repeated."
            )
    _require_own_images(path, [line for line, _ in rows], hips)
    warn_of_spellings((hip.subject for hip in hips), path)
    absent = [
        line
        for (line, _), hip in zip(rows, hips, strict=True)
        if hip.image is not None and not hip.image.is_file()
    ]
    if absent:
        raise ManifestError(
            f"{path.name}: {len(absent)} images do not exist (lines {listed(absent, most=5)}); "
            "paths are relative to the table."
        )
    changed = [
        line
        for (line, _), hip in zip(rows, hips, strict=True)
        if hip.image is not None and hip.sha256 not in {None, sha256_of(hip.image)}
    ]
    if changed:
        raise ManifestError(
            f"{path.name}: {len(changed)} images are not those that were hashed (lines "
            f"{listed(changed, most=5)}); restore them, or empty their sha256."
        )
    partitions = [hip.partition for hip in hips]
    if any(partitions):
        if not all(partitions):
            raise ManifestError(f"{path.name}: some hips have a partition and some have none.")
        require_disjoint(
            [hip.subject for hip in hips], [str(partition) for partition in partitions]
        )
    return Manifest(hips)


def _require_own_images(path: Path, lines: Iterable[int], hips: Iterable[Hip]) -> None:
    """Refuse one image under two subjects or under both sides."""
    first: dict[Path, tuple[int, Hip]] = {}
    for line, hip in zip(lines, hips, strict=True):
        if hip.image is None:
            continue
        before, other = first.setdefault(hip.image.resolve(), (line, hip))
        for what in ("subject", "side"):
            if getattr(other, what) != getattr(hip, what):
                raise ManifestError(
                    f"{path.name}, line {line}: line {before} has the same image and another "
                    f"{what}; an image shows one hip of one subject; correct one of them."
                )


def warn_of_spellings(subjects: Iterable[str], path: Path) -> None:
    """Warn of subjects that are likely one; their names stay out of the message."""
    if groups := spellings_of_one_subject(subjects):
        names = sum(map(len, groups))
        warn_user(
            f"{path.name}: {names} names of subjects differ in zeros, capitals or blanks alone, "
            f"and are likely {len(groups)} subjects; write each in one way."
        )


def grade(text: str, where: str) -> int | None:
    """A Kellgren-Lawrence grade from its text; None where it is empty."""
    if not text:
        return None
    if whole(text) not in {"0", "1", "2", "3", "4"}:
        raise ManifestError(f"{where}: kl must be 0 to 4 or empty; got {text!r}.")
    return int(whole(text))


def label_of(kl: int | None) -> int | None:
    """0 for KL 0, 1 for KL >= 2; None (excluded) for the doubtful KL 1 and for no grade."""
    return None if kl is None or kl == 1 else int(kl >= 2)


def choice(text: str, choices: tuple[str, ...], where: str) -> str:
    """``text`` if it is one of ``choices``."""
    if text not in choices:
        raise ManifestError(f"{where} must be {' or '.join(choices)}; got {text!r}.")
    return text


def plain_row(row: dict[str, str]) -> dict[str, str]:
    """A row whose sides, sources, partitions and whole numbers are spelt as rhoa spells them."""
    plain = row | {"side": side_in_table(row["side"]), "visit": whole(row["visit"])}
    plain["source"] = re.sub(r"[\W_]", "", row["source"].casefold()) or row["source"]
    for name in ("label", "kl"):
        plain[name] = whole(row.get(name, ""))
    for name in ("partition", "exclusion", "distinct"):
        plain[name] = row.get(name, "").casefold()
    plain["partition"] = PARTITION_WORDS.get(plain["partition"], plain["partition"])
    return plain


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def ct_ap_of(hip: Hip) -> Path:
    """Where `rhoa.cohort.build` keeps the CT-AP that the crop of ``hip`` was taken from."""
    name = hip.crop.stem.removesuffix(f"_{hip.side}")
    return hip.crop.parents[2] / "ct-ap" / f"{name}.npz"


def variants_of(hip: Hip) -> list[Path]:
    """The files of the hip's variants, whose names its column ``variants`` has with blanks between.

    `rhoa.cohort.build` keeps them in a folder of that name beside the crop.

    Raises
    ------
    ManifestError
        If one does not exist.
    """
    names = hip.value(VARIANTS).split()
    files = [hip.crop.parent / VARIANTS / f"{hip.crop.stem}_{name}.png" for name in names]
    for file in files:
        if not file.is_file():
            raise ManifestError(
                f"{shown(file)}: no such variant; make it again (rhoa hips --variants), or take it "
                "out of the column variants of the manifest."
            )
    return files


def exclusion_of(text: str, where: str) -> Exclusion | None:
    """The exclusion that a table states; None where it is empty or follows from the grade."""
    if not text:
        return None
    choice(text, tuple(rule.name for rule in RULES), f"{where}: exclusion")
    return cast("Exclusion", text) if text in STATED else None


def _hip(row: dict[str, str], path: Path, line: int) -> Hip:
    where = f"{path.name}, line {line}"
    others = tuple((name, text) for name, text in row.items() if name not in COLUMNS)
    row = plain_row(row)
    kl = grade(row["kl"], where)
    exclusion = exclusion_of(row.get("exclusion", ""), where)
    label = None if exclusion is not None else label_of(kl)
    if row["label"]:
        if row.get("exclusion"):
            raise ManifestError(
                f"{where}: a hip has a label or an exclusion, not both; got label {row['label']} "
                f"and {row['exclusion']}."
            )
        stated = int(choice(row["label"], ("0", "1"), f"{where}: label"))
        if kl is not None and label is not None and stated != label:
            raise ManifestError(f"{where}: label {stated} contradicts KL {kl}.")
        label = stated
    if not row["subject"]:
        raise ManifestError(f"{where}: subject is empty; without it partitions would leak.")
    if not row["image"] and exclusion is None:
        raise ManifestError(
            f"{where}: image is empty; a hip without a crop needs an exclusion (prosthesis, "
            "quality)."
        )
    partition = row.get("partition", "")
    hip = Hip(
        image=path.parent / row["image"] if row["image"] else None,
        subject=row["subject"],
        side=cast("Side", choice(row["side"], SIDES, f"{where}: side")),
        source=cast("Source", choice(row["source"], SOURCES, f"{where}: source")),
        kl=kl,
        visit=row["visit"],
        label=label,
        partition=cast("Partition", choice(partition, PARTITIONS, f"{where}: partition"))
        if partition
        else None,
        exclusion=exclusion,
        sha256=row.get("sha256", "").lower() or None,
        distinct=choice(row.get("distinct", ""), ("", "yes"), f"{where}: distinct") == "yes",
        refused=row.get("refused", ""),
        others=others,
    )
    rule = rule_of(hip)
    if row.get("exclusion") not in {None, "", *STATED, rule.name if rule is not None else ""}:
        raise ManifestError(
            f"{where}: exclusion {row['exclusion']} contradicts KL {row['kl'] or '(none)'}."
        )
    return hip
