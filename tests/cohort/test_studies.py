"""The tables of CHECK and the OAI: every row and every image is accounted for, none is mixed up."""

from __future__ import annotations

import csv
import itertools
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rhoa
from rhoa.cohort import (
    CheckColumns,
    Codes,
    ImageFlow,
    Intake,
    OaiColumns,
    TableFlow,
    check,
    oai,
    read,
)
from rhoa.cohort.study_import import CHECK, OAI, HipId, Study, side_of, subject_of
from rhoa.raster import encode_png
from tests.statistical import write_table

SUBJECTS = 1000
CHECK_VISITS = ("T00", "T02", "T05", "T08", "T10")
OAI_VISITS = ("V00", "V01", "V03", "V06", "V10")
GRADES = frozenset("01234")
Key = tuple[int, str, str]
Item = TypeVar("Item")
PAGE = Path(__file__).parents[2] / "docs" / "studies.md"


def shuffled(items: Sequence[Item], seed: int) -> list[Item]:
    return [items[at] for at in np.random.default_rng(seed).permutation(len(items))]


@dataclass
class Truth:
    """A cohort whose every hip has one known fate.

    ``fates`` are dealt to a shuffled deck of all hips, in fixed numbers: no count below is found by
    parsing anything.
    """

    first_subject: int
    visits: Sequence[str]
    codes: Mapping[str, int]
    """Of missing grades, and how many hips have each."""
    prosthesis: int = 300
    absent_images: int = 400
    fates: dict[Key, str] = field(default_factory=dict)
    without_image: set[Key] = field(default_factory=set)

    def __post_init__(self) -> None:
        subjects = range(self.first_subject, self.first_subject + SUBJECTS)
        deck = list(itertools.product(subjects, self.visits, ("left", "right")))
        deck = shuffled(deck, 1)
        dealt = ["prosthesis"] * self.prosthesis
        dealt += [code for code, count in self.codes.items() for _ in range(count)]
        shares = (0.4, 0.2, 0.25, 0.1, 0.05)
        grades = np.random.default_rng(2).choice(list("01234"), len(deck) - len(dealt), p=shares)
        self.fates = dict(zip(deck, [*dealt, *grades.tolist()], strict=True))
        graded = [hip for hip in deck if self.fates[hip] in GRADES]
        self.without_image = set(graded[: self.absent_images])

    def of(self, visits: Sequence[str], *fates: str) -> int:
        return sum(hip[1] in visits and fate in fates for hip, fate in self.fates.items())

    def kept(self, visits: Sequence[str]) -> list[tuple[Key, int]]:
        """The hips of the manifest in order, with their grades."""
        return [
            (hip, int(fate))
            for hip, fate in sorted(self.fates.items())
            if hip[1] in visits and fate in GRADES and hip not in self.without_image
        ]

    def images(self, folder: Path, name: Callable[[Key], str]) -> Path:
        """Images of all graded hips but 400, of 60 hips left out, of 70 strangers; 30 others."""
        left_out = [hip for hip, fate in self.fates.items() if fate not in GRADES][:60]
        imaged = [hip for hip, fate in self.fates.items() if fate in GRADES]
        strangers = [(self.first_subject + SUBJECTS + n, self.visits[0], "left") for n in range(70)]
        for at, hip in enumerate([*imaged, *left_out, *strangers]):
            if hip not in self.without_image:
                place = folder / f"part{at % 3}"
                place.mkdir(parents=True, exist_ok=True)
                (place / f"{name(hip)}{('.png', '.JPG', '.dcm')[at % 3]}").touch()
        for number in range(30):
            (folder / f"pelvis {number}.png").touch()
        (folder / "notes.txt").touch()
        return folder

    def flow(self, visits: Sequence[str], **counted: int | ImageFlow | None) -> TableFlow:
        """The counts that are true of every layout, with those that are not."""
        kept = self.kept(visits)
        codes = {code: self.of(visits, code) for code in sorted(self.codes)}
        others = {"repeated": 0, "other_readings": 0, "images": None} | counted
        absent = 0 if others["images"] is None else sum(h[1] in visits for h in self.without_image)
        if others["images"] is None:
            kept = [*kept, *((hip, int(self.fates[hip])) for hip in self.without_image)]
        return TableFlow(
            prosthesis=self.of(visits, "prosthesis"),
            ungraded_by_code=codes,
            without_image=absent,
            kept=len(kept),
            doubtful=sum(kl == 1 for _, kl in kept),
            **others,  # type: ignore[arg-type]  # counts by name
        )


def all_images(truth: Truth, visits: Sequence[str]) -> ImageFlow:
    """The fate of `Truth.images` where ``visits`` are wanted."""
    graded = truth.of(truth.visits, *GRADES) - truth.absent_images
    used = len(truth.kept(visits))
    return ImageFlow(graded + 160, used, graded - used + 60, without_row=70, other_names=30)


def found(intake: Intake) -> list[tuple[Key, int | None]]:
    return [((int(hip.subject), hip.visit, hip.side), hip.kl) for hip in intake.manifest]


def reconciles(flow: TableFlow) -> bool:
    left_out = flow.other_readings + flow.other_visits + flow.repeated + flow.prosthesis
    left_out += flow.ungraded + flow.without_image
    seen = flow.images
    return flow.hips == left_out + flow.kept and (
        seen is None
        or seen.found == seen.used + seen.left_out + seen.without_row + seen.other_names
    )


@pytest.fixture(scope="module")
def check_truth() -> Truth:
    return Truth(8300, CHECK_VISITS, {"empty": 500, "9": 200})


@pytest.fixture(scope="module")
def oai_truth() -> Truth:
    return Truth(9000099, OAI_VISITS, {".": 350, ".T": 120, ".J": 80})


@pytest.fixture(scope="module")
def check_images(check_truth: Truth, tmp_path_factory: pytest.TempPathFactory) -> Path:
    def name(hip: Key) -> str:
        subject, visit, side = hip
        word = "Cropped_" if subject % 2 else ""
        return f"{word}{subject:07d}_{visit}_AP{side[0].upper()}"

    return check_truth.images(tmp_path_factory.mktemp("check"), name)


@pytest.fixture(scope="module")
def oai_images(oai_truth: Truth, tmp_path_factory: pytest.TempPathFactory) -> Path:
    def name(hip: Key) -> str:
        subject, visit, side = hip
        if subject % 2:
            return f"OI{visit[1:]}_{subject}_AP{side[0].upper()}"
        return f"{subject}_{visit}_{side}"

    return oai_truth.images(tmp_path_factory.mktemp("oai"), name)


def check_rows(truth: Truth, *, repeated: int, seed: int) -> list[list[str]]:
    """A row a hip, as CHECK's scores are spread in text: grades with decimals."""
    written = {"prosthesis": "5.0", "empty": "", "9": "9.0"}
    rows = []
    for (subject, visit, side), fate in truth.fates.items():
        grade = written.get(fate, f"{fate}.0")
        rows.append([f"{subject}_{visit}_AP{side[0].upper()}", "0.0", grade])
    rows += rows[:repeated]
    return shuffled(rows, seed)


def write_text(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> Path:
    separator = "|" if path.suffix == ".txt" else ","
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=separator).writerows([header, *rows])
    return path


@pytest.mark.parametrize("visits", [None, ("T00", "T10")])
def test_a_check_table_of_hips_reconciles_to_the_row(
    tmp_path: Path, check_truth: Truth, check_images: Path, visits: tuple[str, ...] | None
) -> None:
    rows = check_rows(check_truth, repeated=150, seed=3)
    table = write_text(tmp_path / "scores.csv", ["id", "BUT", "KL_def"], rows)
    wanted = visits or CHECK_VISITS
    again = sum(hip[1] in wanted for hip in list(check_truth.fates)[:150])

    intake = check(table, check_images, visits=visits)

    assert found(intake) == check_truth.kept(wanted)
    assert intake.flow == check_truth.flow(
        wanted,
        rows=10_150,
        hips=10_150,
        other_visits=0 if visits is None else 6000 + 150 - again,
        repeated=again,
        images=all_images(check_truth, wanted),
    )
    assert reconciles(intake.flow)
    assert {hip.source for hip in intake.manifest} == {"xray"}
    assert all((hip.label is None) == (hip.kl == 1) for hip in intake.manifest)


def test_the_order_of_rows_makes_no_difference(
    tmp_path: Path, check_truth: Truth, check_images: Path
) -> None:
    intakes = [
        check(
            write_text(
                tmp_path / "scores.csv",
                ["id", "BUT", "KL_def"],
                check_rows(check_truth, repeated=40, seed=seed),
            ),
            check_images,
        )
        for seed in (5, 6)
    ]

    assert intakes[0] == intakes[1]


def test_a_manifest_of_images_that_exist_is_written_and_read_again(
    tmp_path: Path, check_truth: Truth, check_images: Path
) -> None:
    rows = check_rows(check_truth, repeated=0, seed=3)
    table = write_text(tmp_path / "scores.csv", ["id", "BUT", "KL_def"], rows)
    manifest = check(table, check_images).manifest

    manifest.write(tmp_path / "manifest.csv")
    again = read(tmp_path / "manifest.csv")

    assert [(hip.subject, hip.side, hip.visit, hip.kl, hip.label) for hip in again] == [
        (hip.subject, hip.side, hip.visit, hip.kl, hip.label) for hip in manifest
    ]
    assert again.excluded == {"KL 1": sum(kl == 1 for _, kl in check_truth.kept(CHECK_VISITS))}
    for hip in again:
        subject, visit, side = hip.image.stem.removeprefix("Cropped_").split("_")
        assert (int(subject), visit, side) == (
            int(hip.subject),
            hip.visit,
            {"left": "APL", "right": "APR"}[hip.side],
        )


def wide_columns() -> list[str]:
    return [
        f"T{number}_H_{side}_{name}"
        for name in ("KL_def", "OSTI_fem")
        for number in (0, 2, 5, 8, 10)
        for side in ("li", "re")
    ]


def wide_rows(truth: Truth, *, seed: int) -> list[list[float | str | None]]:
    """A row a subject: its number, ten grades, ten other scores; 20 subjects stand there twice."""
    written: dict[str, float | None] = {"prosthesis": 5.0, "empty": None, "9": 9.0}
    rows: list[list[float | str | None]] = []
    for subject in range(truth.first_subject, truth.first_subject + SUBJECTS):
        fates = [truth.fates[subject, v, side] for v in truth.visits for side in ("left", "right")]
        grades = [written[fate] if fate in written else float(fate) for fate in fates]
        rows.append([float(subject), *grades, *[3.0] * 10])
    rows += rows[:20]
    return shuffled(rows, seed)


@pytest.mark.parametrize("visits", [None, ("5",)])
def test_a_check_table_of_subjects_from_spss_reconciles_to_the_hip(
    tmp_path: Path, check_truth: Truth, check_images: Path, visits: tuple[str, ...] | None
) -> None:
    columns = wide_columns()
    table = write_table(
        tmp_path / "feature_scores.sav",
        ["nsin", *columns],
        wide_rows(check_truth, seed=4),
        missing={name: [9.0] for name in columns},
    )
    wanted = CHECK_VISITS if visits is None else ("T05",)

    intake = check(table, check_images, visits=visits, codes=Codes(prosthesis=(5,)))

    assert found(intake) == check_truth.kept(wanted)
    assert intake.flow == check_truth.flow(
        wanted,
        rows=1020,
        hips=10_200,
        other_visits=10_200 - 2040 * len(wanted),
        repeated=40 * len(wanted),
        images=all_images(check_truth, wanted),
    )
    assert reconciles(intake.flow)


OAI_GRADES = {"prosthesis": ".P: Prosthetic", ".": ".: Missing Form/Incomplete Workbook"}
OAI_LABELS = {"0": "Normal", "1": "Doubtful", "2": "Minimal", "3": "Moderate", "4": "Severe"}


def oai_rows(truth: Truth, *, seed: int) -> list[list[object]]:
    """A row a hip with five columns of grades; 500 rows of another project, with other grades."""
    rows: list[list[object]] = []
    for subject in range(truth.first_subject, truth.first_subject + SUBJECTS):
        for side, word in (("left", "2: Left"), ("right", "1: Right")):
            fates = [truth.fates[subject, visit, side] for visit in truth.visits]
            grades = [
                OAI_GRADES.get(fate) or (f"{fate}: {OAI_LABELS[fate]}" if fate.isdigit() else fate)
                for fate in fates
            ]
            rows.append([subject, word, 40, *grades])
    rows += [[row[0], row[1], 37, *["4: Severe"] * 5] for row in rows[:500]]
    return shuffled(rows, seed)


@pytest.mark.parametrize("visits", [None, ("V00", "V06")])
def test_an_oai_table_of_text_reconciles_to_the_hip(
    tmp_path: Path, oai_truth: Truth, oai_images: Path, visits: tuple[str, ...] | None
) -> None:
    header = ["ID", "SIDE", "READPRJ", *(f"{visit}HKL" for visit in OAI_VISITS)]
    table = write_text(tmp_path / "hxr.txt", header, oai_rows(oai_truth, seed=7))
    wanted = visits or OAI_VISITS

    intake = oai(
        table,
        oai_images,
        grade="V{visit}HKL",
        visits=visits,
        columns=OaiColumns(only={"READPRJ": 40}),
    )

    assert found(intake) == oai_truth.kept(wanted)
    assert intake.flow == oai_truth.flow(
        wanted,
        rows=2500,
        hips=12_500,
        other_readings=2500,
        other_visits=10_000 - 2000 * len(wanted),
        images=all_images(oai_truth, wanted),
    )
    assert reconciles(intake.flow)


def test_an_oai_table_of_sas_with_a_column_of_visits_gives_the_same(
    tmp_path: Path, oai_truth: Truth, oai_images: Path
) -> None:
    rows: list[list[float | str | None]] = []
    for (subject, visit, side), fate in oai_truth.fates.items():
        special = {"prosthesis": ".P", ".": None, ".T": ".T", ".J": ".J"}
        grade = special[fate] if fate in special else float(fate)
        rows.append([subject, side[0].upper(), float(visit[1:]), grade])
    table = write_table(tmp_path / "hxr.sas7bdat", ["id", "hip", "visit", "hkl"], rows)

    intake = oai(table, oai_images, grade="HKL", columns=OaiColumns(visit="VISIT"))

    images = all_images(oai_truth, OAI_VISITS)
    expected = oai_truth.flow(OAI_VISITS, rows=10_000, hips=10_000, other_visits=0, images=images)
    assert found(intake) == oai_truth.kept(OAI_VISITS)
    assert {**intake.flow.ungraded_by_code} == {".J": 80, ".T": 120, "empty": 350}
    assert str(intake.flow) == str(expected).replace(".: 350, .J: 80, .T: 120", "X").replace(
        "X", ".J: 80, .T: 120, empty: 350"
    )


def test_without_a_folder_the_manifest_has_the_names_that_images_should_have(
    tmp_path: Path, check_truth: Truth
) -> None:
    rows = check_rows(check_truth, repeated=0, seed=1)
    table = write_text(tmp_path / "scores.csv", ["id", "BUT", "KL_def"], rows)

    intake = check(table)

    assert intake.flow == check_truth.flow(CHECK_VISITS, rows=10_000, hips=10_000, other_visits=0)
    assert intake.flow.images is None
    assert intake.flow.without_image == 0
    for hip in intake.manifest:
        assert hip.image.name == (
            f"{int(hip.subject):07d}_{hip.visit}_AP{'L' if hip.side == 'left' else 'R'}.png"
        )


# What is refused. Subjects' numbers are four or seven digits: none may be in a message.

ID_LEAK = re.compile(r"3088|9000099")


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(rhoa.RhoaError) as caught:
        call()
    assert not ID_LEAK.search(str(caught.value))
    return str(caught.value)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["3088_T00_APL,7"], r"line 3: grade '7'\); grades are 0 to 4; .* codes="),
        (["3088_T00_APL,3.5"], r"line 3: grade '3\.5'"),
        (["3088_T00_APL,3088"], r"line 3: grade \(not shown\)"),
        (["3088_T00_APL,two"], r"line 3: grade 'two'"),
        (["3088_T00_APX,2"], r"line 3: id\)"),
        (["3088_T11_APL,2"], r"line 3: id\)"),
        (["X3088_T00_APL,2"], r"line 3: id\)"),
        (["Cropped_3088_T00_APL,2"], r"line 3: id\)"),
        ([",2"], r"line 3: id\)"),
        (["3088_T00_APL,2", "", "003088_T00_APL,3"], r"1 times .*\(line 3 and line 5\); a hip has"),
        (["3088_T00_APL,2", "3088_T00_APL,5"], r"line 3 and line 4"),
        (["3088_T00_APL,9", "3088_T00_APL,5", "3088_T00_APL,2"], r"line 4 and line 5"),
        (["3088_T00_APL,7"] * 7, r"7 values are wrong \(line 3: .*; line 7: grade '7'; \.\.\.\)"),
    ],
)
def test_wrong_values_of_check_are_named_by_their_lines(
    tmp_path: Path, rows: list[str], message: str
) -> None:
    table = tmp_path / "scores.csv"
    table.write_text("\n".join(["id,KL_def", "1_T00_APR,0", *rows]), encoding="utf-8")

    assert re.search(rf"scores\.csv: .*{message}", refusal(lambda: check(table)), re.DOTALL)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("9000099|X|0|2", "line 3: side 'X'"),
        ("9000099|3|0|2", "line 3: side '3'"),
        ("9000099|1: Left|0|2", "line 3: side '1'"),
        ("9000099|L|12|2", "line 3: visit '12'"),
        ("9000099|L||2", "line 3: visit ''"),
        ("nobody|L|0|2", r"line 3: subject\)"),
        ("90000990|L|0|2", r"line 3: subject\)"),
        ("9000099|L|0|5", "line 3: grade '5'"),
        ("9000099|9000099|0|1", r"line 3: side \(not shown\)"),
    ],
)
def test_wrong_values_of_the_oai_are_named_by_their_lines(
    tmp_path: Path, row: str, message: str
) -> None:
    table = tmp_path / "hxr.txt"
    table.write_text(f"ID|SIDE|VISIT|HKL\n9000001|1: Right|V00|0\n{row}\n", encoding="utf-8")

    told = refusal(lambda: oai(table, grade="HKL", columns=OaiColumns(visit="VISIT")))

    assert re.search(rf"hxr\.txt: 1 values are wrong .*{message}", told)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("id,KL", "no layout; it needs id and KL_def .* or nsin and T.visit._H_.*; it has id, KL;"),
        ("nsin,T0_H_li_FLA,T0_H_re_FLA", "no layout"),
        ("nsin,T0_H_li_KL_def", "visit T00 has 1 columns of grades of left hips and 0 of right"),
        ("nsin,T0_H_li_KL_def,T0_H_re_KL_def,T0_H_links_KL_def", "2 columns .* left .* 1 of right"),
        ("id,KL_def,nsin,T0_H_li_KL_def,T0_H_re_KL_def", "both layouts"),
    ],
)
def test_columns_that_are_absent_or_one_sided_are_listed(
    tmp_path: Path, header: str, message: str
) -> None:
    (tmp_path / "scores.csv").write_text(f"{header}\n", encoding="utf-8")

    assert re.search(message, refusal(lambda: check(tmp_path / "scores.csv")))


def test_other_names_of_columns_and_other_codes_can_be_given(tmp_path: Path) -> None:
    table = tmp_path / "scores.csv"
    table.write_text(
        "subject,KLre8,KLli8,KLre2,KLli2\n3088,0,6,3.5,4\n3089,1,2,0,-1\n", encoding="utf-8"
    )

    intake = check(
        table,
        columns=CheckColumns(subject="Subject", wide="KL{side}{visit}"),
        codes=Codes(prosthesis=("6",), missing=(3.5, -1)),
    )

    assert found(intake) == [
        ((3088, "T02", "left"), 4),
        ((3088, "T08", "right"), 0),
        ((3089, "T02", "right"), 0),
        ((3089, "T08", "left"), 2),
        ((3089, "T08", "right"), 1),
    ]
    assert intake.flow.prosthesis == 1
    assert intake.flow.ungraded_by_code == {"-1": 1, "3.5": 1}


@pytest.mark.parametrize("grade", ["V{visit}XRKL", "V00XRKL", "v06xrkl", "XRKL"])
def test_grades_of_knees_never_pass_for_hips(tmp_path: Path, grade: str) -> None:
    table = tmp_path / "kxr_sq_bu00.txt"
    table.write_text("ID|SIDE|V00XRKL\n9000099|1: Right|2\n", encoding="utf-8")

    told = refusal(lambda: oai(table, grade=grade))

    assert "must name a column of hips" in told


def test_two_columns_of_one_visit_must_agree(tmp_path: Path) -> None:
    table = tmp_path / "hxr.txt"
    table.write_text("ID|SIDE|V06HKL|V6HKL\n9000099|1|2|3\n9000100|1|2|2\n", encoding="utf-8")

    assert "1 times a hip is stated again" in refusal(lambda: oai(table, grade="V{visit}HKL"))


def test_a_table_of_features_without_grades_is_refused_with_its_columns(tmp_path: Path) -> None:
    table = tmp_path / "hxr_sq00.txt"
    table.write_text("ID|hip|V00HFLAT|V00HJSNSM\n9000099|L|0: No|1: Mild\n", encoding="utf-8")

    told = refusal(lambda: oai(table, grade="V{visit}HKL"))

    assert "lacks the columns V{visit}HKL; it has ID, hip, V00HFLAT, V00HJSNSM" in told


def test_the_visit_must_be_told_once(tmp_path: Path) -> None:
    table = tmp_path / "hxr.txt"
    table.write_text("ID|SIDE|VISIT|V00HKL\n9000099|1|0|2\n", encoding="utf-8")

    assert "not by neither" in refusal(lambda: oai(table, grade="V00HKL"))
    told = refusal(lambda: oai(table, grade="V{visit}HKL", columns=OaiColumns(visit="VISIT")))
    assert "not by both" in told


def test_visits_that_the_study_or_the_table_lacks_are_refused(tmp_path: Path) -> None:
    table = tmp_path / "scores.csv"
    table.write_text("id,KL_def\n3088_T02_APL,2\n", encoding="utf-8")

    told = refusal(lambda: check(table, visits=("T02", "T05")))
    assert "has no hips of the visits T05; it has T02" in told
    assert "T00 to T10 of CHECK" in refusal(lambda: check(table, visits=("V00",)))
    assert "got []" in refusal(lambda: check(table, visits=()))
    assert len(check(table, visits="T02").manifest) == 1


def test_two_images_of_a_hip_and_no_image_at_all_are_refused(tmp_path: Path) -> None:
    table = tmp_path / "scores.csv"
    table.write_text("id,KL_def\n3088_T02_APL,2\n3088_T02_APR,5\n", encoding="utf-8")
    folder = tmp_path / "images"

    assert "images: no such folder" in refusal(lambda: check(table, folder))
    folder.mkdir()
    (folder / "3088_T02_APR.png").touch()
    told = refusal(lambda: check(table, folder))
    assert "no hip is left" in told
    assert "- 1 with a prosthesis\n- 1 without an image" in told
    assert "1 images: 0 used, 1 of hips left out, 0 without a row, 0 with other names" in told
    for name in ("3088_T02_APL.png", "0003088_T02_APL.jpg"):
        (folder / name).touch()
    assert "images: 1 images are of hips and visits" in refusal(lambda: check(table, folder))


@pytest.mark.parametrize(("prosthesis", "missing"), [((2,), ()), ((), ("1.0",)), ((9,), ("9",))])
def test_codes_that_are_grades_or_mean_two_things_are_refused(
    prosthesis: tuple[float, ...], missing: tuple[str, ...]
) -> None:
    with pytest.raises(rhoa.errors.ParameterError, match="codes must be no grades"):
        Codes(prosthesis, missing)


# Ids.

SUBJECT_NUMBERS = st.integers(0, 9_999_999)
SIDE_SPELLINGS = {"left": ("APL", "L", "left", "apl", "li"), "right": ("APR", "R", "right", "re")}


@pytest.mark.parametrize(("study", "letters"), [(CHECK, ["T", "t"]), (OAI, ["V", "v", "OI"])])
@given(data=st.data())
def test_an_id_reads_the_same_however_it_is_padded_and_spelled(
    study: Study, letters: list[str], data: st.DataObject
) -> None:
    number, visit = data.draw(SUBJECT_NUMBERS), data.draw(st.integers(0, study.last_visit))
    side = data.draw(st.sampled_from(["left", "right"]))
    subject = str(number).zfill(data.draw(st.integers(1, 9)))
    when = data.draw(st.sampled_from(letters)) + str(visit).zfill(data.draw(st.integers(1, 2)))
    where = data.draw(st.sampled_from(SIDE_SPELLINGS[side]))
    orders = st.sampled_from([(subject, when, where), (when, subject, where)])
    spelled = "_".join(data.draw(orders))

    hip = study.hip(spelled)

    assert hip == (str(number), f"{study.letter}{visit:02d}", side)
    assert study.hip(study.image_name(hip)) == hip
    assert study.image(f"Cropped_{spelled}") == study.image(spelled) == hip


@given(st.lists(st.tuples(SUBJECT_NUMBERS, st.integers(0, 10), st.booleans()), unique=True))
def test_different_hips_have_different_names(hips: list[tuple[int, int, bool]]) -> None:
    names = [
        CHECK.image_name(HipId(str(number), f"T{visit:02d}", "left" if is_left else "right"))
        for number, visit, is_left in hips
    ]

    assert not [name for name, count in Counter(names).items() if count > 1]


@given(st.text(max_size=20))
def test_any_other_text_is_no_id(text: str) -> None:
    documented = re.compile(
        r"(0*[0-9]{1,7}_T(0?[0-9]|10)|T(0?[0-9]|10)_0*[0-9]{1,7})_(AP)?(L|R|left|right|li|re|links"
        r"|rechts)",
        re.IGNORECASE,
    )
    is_id = documented.fullmatch(text.strip()) is not None

    assert (CHECK.hip(text) is not None) == is_id
    assert subject_of(text) is None or text.strip().isdecimal()
    assert side_of(text) in {None, "left", "right"}


def test_the_page_on_studies_runs_as_it_is_printed(
    tmp_path: Path,
    check_truth: Truth,
    check_images: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    columns = wide_columns()
    write_table(tmp_path / "feature_scores.sav", ["nsin", *columns], wide_rows(check_truth, seed=4))
    (tmp_path / "hips").symlink_to(check_images)
    table = "ID|SIDE|V00HKL|V06HKL\n9000099|1: Right|3: Moderate|.P: Prosthetic\n"
    (tmp_path / "hips.txt").write_text(table, encoding="utf-8")
    (tmp_path / "oai-hips").mkdir()
    (tmp_path / "oai-hips" / "9000099_V00_APR.png").touch()
    page = PAGE.read_text(encoding="utf-8")
    examples = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (flow,) = re.findall(r"```\n(\d+ rows: .*?)```", page, re.DOTALL)
    monkeypatch.chdir(tmp_path)

    for example in examples:
        assert len(example.strip().splitlines()) <= 10
        exec(compile(example, PAGE.name, "exec"), {})  # noqa: S102  # our own page

    assert len(examples) == 2
    assert flow in capsys.readouterr().out
    assert len(read(tmp_path / "check.csv")) == len(check_truth.kept(CHECK_VISITS))
    assert [hip.kl for hip in read(tmp_path / "oai.csv")] == [3]


@pytest.mark.parametrize(
    ("text", "visit"),
    [("00m", "V00"), ("12m", "V01"), ("48", "V06"), ("48 months", "V06"), ("96m", "V10"),
     ("6", "V06"), ("6m", None), ("12", None), ("13", None), ("V06", "V06")],
)  # fmt: skip
def test_visits_of_the_oai_may_be_months(text: str, visit: str | None) -> None:
    assert OAI.visit(text) == visit


@pytest.mark.parametrize(
    ("text", "visit"),
    [("00m", "T00"), ("24m", "T02"), ("60", "T05"), ("120m", "T10"), ("8", "T08")],
)
def test_visits_of_check_may_be_months(text: str, visit: str) -> None:
    assert CHECK.visit(text) == visit


def test_a_missing_reading_beside_a_valid_one_is_no_contradiction(tmp_path: Path) -> None:
    rows = ["ID,SIDE,V00HKL", "1,1,.", "1,1,3", "2,2,2", "2,2,NA", "3,1,.M", "3,1,"]
    (tmp_path / "t.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")

    intake = oai(tmp_path / "t.csv", grade="V{visit}HKL")

    assert [(hip.subject, hip.kl) for hip in intake.manifest] == [("1", 3), ("2", 2)]
    assert (intake.flow.repeated, intake.flow.ungraded, intake.flow.kept) == (3, 1, 2)


@pytest.mark.parametrize(
    ("readings", "grades"),
    [("first", [4, 0]), ("median", [2, 2]), ("highest", [4, 2]), ("same", None)],
)
def test_several_readers_need_a_named_rule(
    tmp_path: Path, readings: str, grades: list[int] | None
) -> None:
    rows = ["ID,SIDE,V00HKL", "1,1,4", "1,1,0", "1,1,2", "2,1,0", "2,1,2", "2,1,."]
    (tmp_path / "t.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")

    if grades is None:
        told = refusal(lambda: oai(tmp_path / "t.csv", grade="V{visit}HKL"))
        assert "2 times a hip is stated again with another grade" in told
    else:
        intake = oai(tmp_path / "t.csv", grade="V{visit}HKL", readings=readings)  # type: ignore[arg-type]
        assert [hip.kl for hip in intake.manifest] == grades
    with pytest.raises(rhoa.RhoaError, match="readings must be one of"):
        oai(tmp_path / "t.csv", grade="V{visit}HKL", readings="any")  # type: ignore[arg-type]


@pytest.mark.parametrize("mirrored", [False, True])
def test_the_intake_mirrors_right_hips_whatever_the_pictures_are(
    tmp_path: Path, *, mirrored: bool
) -> None:
    """A left hip in 8 bits, a right one in 16; a film of both hips is no crop."""
    images = tmp_path / "images"
    images.mkdir()
    row, column = np.mgrid[:20, :20]
    grey = (10 * column + row).astype(np.uint8)
    (images / "1_V00_APL.png").write_bytes(encode_png(grey))
    (images / "1_V00_APR.png").write_bytes(encode_png(grey.astype(np.uint16) * 257))
    (images / "1_V00.png").write_bytes(encode_png(grey))
    (tmp_path / "t.csv").write_text("ID,SIDE,V00HKL\n1,1,3\n1,2,0\n", encoding="utf-8")

    intake = oai(
        tmp_path / "t.csv", images, grade="V{visit}HKL", out=tmp_path / "crops", mirrored=mirrored
    )
    intake.manifest.write(tmp_path / "m.csv")

    left, right = read(tmp_path / "m.csv").hips
    assert (left.side, right.side) == ("left", "right")
    np.testing.assert_array_equal(rhoa.hips.read_crop(left.crop, side="left"), grey)
    expected = grey if mirrored else grey[:, ::-1]
    np.testing.assert_array_equal(rhoa.hips.read_crop(right.crop, side="right"), expected)
    assert intake.flow.images is not None
    assert intake.flow.images.films == 1
    assert "1 of those are films of both hips: crop their hips first" in str(intake.flow)


@pytest.mark.parametrize("out", ["images/crops", "{here}/images/crops"])
@pytest.mark.parametrize("images", ["images", "{here}/images", "link"])
def test_crops_among_the_images_are_no_images_of_a_second_intake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, images: str, out: str
) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "link").symlink_to("images")
    (tmp_path / "images" / "1_V00_APL.png").write_bytes(encode_png(np.eye(20, dtype=np.uint8)))
    (tmp_path / "t.csv").write_text("ID,SIDE,V00HKL\n1,2,3\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    images, out = (path.format(here=tmp_path) for path in (images, out))

    first, second = (oai("t.csv", images, grade="V{visit}HKL", out=out) for _ in range(2))

    assert len(first.manifest) == 1
    assert second == first
