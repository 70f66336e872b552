"""The table of hips: what it accepts, what it excludes and counts, what it refuses."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rhoa
from rhoa.cohort import Hip, Manifest, read

HEAD = "image,subject,side,source,kl,visit,label"
FULL_HEAD = HEAD + ",partition,exclusion,sha256"


def table(folder: Path, *lines: str, head: str = HEAD) -> Path:
    for line in lines:
        (folder / line.partition(",")[0]).write_bytes(b"image")
    (folder / "manifest.csv").write_text("\n".join([head, *lines]) + "\n", encoding="utf-8")
    return folder / "manifest.csv"


def cohort(subjects: int = 40) -> Manifest:
    random = np.random.default_rng(0)
    hips = []
    for n in range(subjects):
        source = "ct" if n % 2 else "xray"
        for side in ("left", "right"):
            kl = int(random.integers(0, 5))
            label = None if kl == 1 else int(kl >= 2)
            hips.append(Hip(Path(f"{n}-{side}.png"), f"S{n}", side, source, kl, "", label))
    return Manifest(tuple(hips))


def test_the_label_follows_the_grade_and_kl_1_is_excluded_and_counted(tmp_path: Path) -> None:
    file = table(
        tmp_path,
        "a.png,S1,left,ct,0,,",
        "b.png,S1,right,ct,1,,",
        "c.png,S2,left,xray,2,T00,",
        "d.png,S2,right,xray,4,T00,1",
        "e.png,S3,right,xray,,T00,",
        "f.png,S3,left,xray,,T00,0",
    )

    manifest = read(file)

    assert [hip.label for hip in manifest] == [0, None, 1, 1, None, 0]
    assert manifest.excluded == {"KL 1": 1, "not graded": 1}
    assert len(manifest.labelled) == 4
    assert manifest.hips[0].image == tmp_path / "a.png"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("b.png,S9,left,ct,5,,", "line 3: kl must be 0 to 4 or empty; got '5'"),
        ("b.png,S9,left,ct,0,,1", "line 3: label 1 contradicts KL 0"),
        ("b.png,S9,left,ct,0,,2", "line 3: label must be 0 or 1; got '2'"),
        ("b.png,S9,links,ct,0,,", "line 3: side must be left or right; got 'links'"),
        ("b.png,S9,left,mr,0,,", "line 3: source must be ct or xray; got 'mr'"),
        ("b.png,,left,ct,0,,", "line 3: subject is empty"),
        ("b.png,S1,left,ct,2,,", "line 2: this hip .* is repeated"),
    ],
)
def test_a_wrong_row_is_named_by_its_line(tmp_path: Path, line: str, message: str) -> None:
    file = table(tmp_path, "a.png,S1,left,ct,0,,", line)

    with pytest.raises(rhoa.errors.ManifestError, match=message):
        read(file)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("b.png,S9,left,ct,0,,,,metal,", "line 3: exclusion must be prosthesis or quality or kl1"),
        ("b.png,S9,left,ct,2,,1,,quality,", "line 3: a hip has a label or an exclusion, not both"),
        ("b.png,S9,left,ct,2,,,,kl1,", "line 3: exclusion kl1 contradicts KL 2"),
        ("b.png,S9,left,ct,1,,,,not graded,", "line 3: exclusion not graded contradicts KL 1"),
        (f"b.png,S9,left,ct,1,,,,kl1,{'0' * 64}", r"1 images are not those .*\(lines 3\)"),
    ],
)
def test_a_wrong_exclusion_or_hash_is_named_by_its_line(
    tmp_path: Path, line: str, message: str
) -> None:
    file = table(tmp_path, "a.png,S1,left,ct,0,,,,,", line, head=FULL_HEAD)

    with pytest.raises(rhoa.errors.ManifestError, match=message):
        read(file)


def test_each_hip_is_excluded_once_for_the_first_rule_that_fits(tmp_path: Path) -> None:
    file = table(
        tmp_path,
        "a.png,S1,left,ct,0,,,,,",
        "b.png,S1,right,ct,1,,,,,",
        "c.png,S2,left,ct,1,,,,prosthesis,",
        "d.png,S2,right,ct,,,,,quality,",
        "e.png,S3,left,ct,,,,,,",
        "f.png,S3,right,ct,4,,,,prosthesis,",
        "g.png,S4,left,ct,1,,,,kl1,",
        head=FULL_HEAD,
    )

    flow = read(file).flow()

    assert flow.as_dict() == {
        "start": 7,
        "excluded": {"prosthesis": 2, "quality": 1, "KL 1": 2, "not graded": 1},
        "left": 1,
    }
    assert str(flow).splitlines()[:2] == ["7 hips", "2 excluded: prosthesis"]


@given(
    st.lists(
        st.tuples(
            st.sampled_from([None, 0, 1, 2, 3, 4]),
            st.sampled_from([None, "prosthesis", "quality"]),
            st.booleans(),
        )
    )
)
def test_the_flow_adds_up(rows: list[tuple[int | None, str | None, bool]]) -> None:
    """The paper's does not: 10 020 - 4 360 is 5 660, and 5 659 are used."""
    hips = [
        Hip(
            *(Path("a.png"), "S", "left", "ct", kl, ""),
            label=None if kl in {None, 1} or why or not labelled else int(kl >= 2),
            exclusion=why,
        )
        for kl, why, labelled in rows
    ]

    flow = Manifest(tuple(hips)).flow()

    assert flow.start == len(rows) == sum(flow.excluded.values()) + flow.left
    assert flow.left == len(Manifest(tuple(hips)).labelled)
    assert flow.excluded.get("quality", 0) == sum(why == "quality" for _, why, _ in rows)


def test_a_label_beside_an_exclusion_is_refused() -> None:
    with pytest.raises(
        rhoa.errors.ManifestError, match=r"a label \(1\) and an exclusion \(quality"
    ):
        Hip(Path("a.png"), "S", "left", "ct", 3, "", 1, exclusion="quality")


def test_exclusions_and_hashes_are_written_and_read_back(tmp_path: Path) -> None:
    file = table(
        tmp_path, "a.png,S1,left,ct,1,,,,,", "b.png,S1,right,ct,3,,,,quality,", head=FULL_HEAD
    )

    manifest = read(file).hashed()
    manifest.write(file)
    again = read(file)

    assert again == manifest
    assert {hip.sha256 for hip in again} == {hashlib.sha256(b"image").hexdigest()}
    with file.open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["exclusion"] for row in rows] == ["kl1", "quality"]
    (tmp_path / "b.png").write_bytes(b"another")
    with pytest.raises(rhoa.errors.ManifestError, match=r"\(lines 3\); restore them"):
        read(file)


def test_absent_images_and_columns_and_tables_are_named(tmp_path: Path) -> None:
    file = table(tmp_path, "a.png,S1,left,ct,0,,")
    (tmp_path / "a.png").unlink()

    with pytest.raises(rhoa.RhoaError, match=r"1 images do not exist \(lines 2\)"):
        read(file)
    with pytest.raises(rhoa.RhoaError, match="lacks the columns kl, label"):
        read(table(tmp_path, head="image,subject,side,source,visit"))
    with pytest.raises(rhoa.RhoaError, match="the table has no rows"):
        read(table(tmp_path))
    with pytest.raises(rhoa.RhoaError, match=r"none\.csv: no such table"):
        read(tmp_path / "none.csv")


def test_partitions_that_share_a_subject_are_refused(tmp_path: Path) -> None:
    file = table(
        tmp_path,
        "a.png,S1,left,ct,0,,,train",
        "b.png,S1,right,ct,0,,,test",
        head=HEAD + ",partition",
    )

    with pytest.raises(rhoa.RhoaError, match="1 of 1 subjects lie in more than one partition"):
        read(file)


def test_a_written_manifest_reads_the_same(tmp_path: Path) -> None:
    (tmp_path / "crops").mkdir()
    manifest = Manifest(
        tuple(
            Hip(tmp_path / "crops" / hip.image, *list(hip_fields(hip))) for hip in cohort(6).split()
        )
    )
    for hip in manifest:
        hip.image.write_bytes(b"image")
    (tmp_path / "tables").mkdir()

    manifest.write(tmp_path / "tables" / "manifest.csv")
    again = read(tmp_path / "tables" / "manifest.csv")

    assert "../crops/" in (tmp_path / "tables" / "manifest.csv").read_text()
    assert [hip_fields(hip) for hip in again] == [hip_fields(hip) for hip in manifest]
    assert [hip.image.resolve() for hip in again] == [hip.image for hip in manifest]


def hip_fields(hip: Hip) -> tuple[object, ...]:
    return (hip.subject, hip.side, hip.source, hip.kl, hip.visit, hip.label, hip.partition)


def test_splitting_keeps_both_hips_and_both_sources_of_a_subject_together() -> None:
    both = [
        Hip(Path("x.png"), hip.subject, hip.side, "xray", hip.kl, "T00", hip.label)
        for hip in cohort()
        if hip.source == "ct"
    ]
    manifest = Manifest(cohort().hips + tuple(both)).split()

    partitions: dict[str, set[str | None]] = {}
    for hip in manifest:
        partitions.setdefault(hip.subject, set()).add(hip.partition)
    assert all(len(parts) == 1 for parts in partitions.values())


def test_sources_are_split_by_the_papers_fractions() -> None:
    manifest = cohort(400).split()

    for source, fractions in (("xray", (0.55, 0.30, 0.15)), ("ct", (0.5, 0.25, 0.25))):
        hips = [hip for hip in manifest.labelled if hip.source == source]
        shares = [
            sum(hip.partition == part for hip in hips) / len(hips)
            for part in ("train", "val", "test")
        ]
        np.testing.assert_allclose(shares, fractions, atol=0.02)
    assert sum(manifest.counts().values()) == len(manifest.labelled)


def test_the_balance_of_a_manifest_is_by_source_and_class() -> None:
    manifest = cohort(60).split()

    result = manifest.balance()

    assert sum(share.reached for share in result.shares) == len(manifest.labelled)
    assert {(share.stratum, share.label) for share in result.shares} == {
        (source, label) for source in ("ct", "xray") for label in ("0", "1")
    }
    assert result.largest_difference <= 1
    with pytest.raises(rhoa.RhoaError, match="no partitions yet"):
        cohort(4).balance()


def test_every_labelled_hip_is_in_the_test_set_of_one_fold() -> None:
    manifest = cohort(60)

    parts = manifest.folds(4)

    tests = Counter(hip.image for fold in parts for hip in fold if hip.partition == "test")
    assert set(tests.values()) == {1}
    assert set(tests) >= {hip.image for hip in manifest.labelled}
    for fold, following in zip(parts, [*parts[1:], parts[0]], strict=True):
        validated = {hip.image for hip in fold.labelled if hip.partition == "val"}
        assert validated == {hip.image for hip in following.labelled if hip.partition == "test"}
        rhoa.cohort.require_disjoint([h.subject for h in fold], [str(h.partition) for h in fold])
        assert abs(len(validated) - len(manifest.labelled) / 4) <= 2
    with pytest.raises(rhoa.RhoaError, match="count must be a whole number >= 3"):
        manifest.folds(2)


def test_nothing_labelled_cannot_be_split() -> None:
    hip = Hip(Path("a.png"), "S1", "left", "ct", 1, "", None)

    with pytest.raises(rhoa.RhoaError, match="no hip has a label"):
        Manifest((hip,)).split()
    with pytest.raises(rhoa.RhoaError, match="no hip has a label"):
        Manifest((hip,)).folds()


def test_a_manifest_of_a_german_spreadsheet_is_the_plain_one(tmp_path: Path) -> None:
    """Semicolons, decimal commas, Windows-1252, capitals, L and R, 2.0 for 2, NA."""
    for name in "abc":
        (tmp_path / f"{name}.png").write_bytes(name.encode())
    lines = [
        "Image;Subject;Side;Source;KL;Visit;Label;Partition;Age;Sex;Ort",
        "a.png;S1;L;X-ray;2,0;0,0;;Train;63,5;W;Köln",
        "b.png;S1;Right;XRAY;NA;;0,0;train;63,5;W;Köln",
        "c.png;S2;R;CT;1;NaN;;Validation;70;M;",
        ";;;;;;;;;;",
    ]
    (tmp_path / "m.csv").write_bytes("\r\n".join(lines).encode("cp1252"))

    hips = read(tmp_path / "m.csv").hips

    assert [hip_fields(hip) for hip in hips] == [
        ("S1", "left", "xray", 2, "0", 1, "train"),
        ("S1", "right", "xray", None, "", 0, "train"),
        ("S2", "right", "ct", 1, "", None, "val"),
    ]
    assert hips[0].others == (("Age", "63.5"), ("Sex", "W"), ("Ort", "Köln"))


def test_other_columns_stay_through_writing_and_splitting(tmp_path: Path) -> None:
    lines = [f"{n}.png,S{n},left,ct,{2 * (n % 2)},,,5{n},{'FM'[n % 2]},Oulu" for n in range(8)]
    file = table(tmp_path, *lines, head=HEAD + ",age,sex,site")

    read(file).split().write(file)

    with file.open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["age"], row["sex"], row["site"]) for row in rows] == [
        (f"5{n}", "FM"[n % 2], "Oulu") for n in range(8)
    ]
    assert {row["partition"] for row in rows} <= {"train", "val", "test"}


@pytest.mark.parametrize(
    ("first", "second"),
    [("7", "007"), ("7", "7.0"), ("P-001", "p-001"), ("P 1", "P1"), ("P-1", "P-01"), ("a", "A")],
)
def test_subjects_that_differ_in_zeros_capitals_or_blanks_are_one(
    tmp_path: Path, first: str, second: str
) -> None:
    same = [f"a.png,{first},left,ct,0,,,train", f"b.png,{second},right,ct,2,,,train"]
    apart = [same[0], same[1].replace("train", "test")]
    head = HEAD + ",partition"

    with pytest.warns(rhoa.errors.RhoaWarning, match="2 names of subjects differ in zeros"):
        manifest = read(table(tmp_path, *same, head=head))
    with (
        pytest.warns(rhoa.errors.RhoaWarning),
        pytest.raises(rhoa.RhoaError, match="1 of 1 subjects lie in more than one partition"),
    ):
        read(table(tmp_path, *apart, head=head))

    placed = Manifest(manifest.hips + cohort(30).hips).split()
    assert placed.hips[0].partition == placed.hips[1].partition


@pytest.mark.parametrize(
    ("second", "what"), [("a.png,S2,left", "subject"), ("./a.png,S1,right", "side")]
)
def test_one_image_under_two_subjects_or_sides_is_an_error(
    tmp_path: Path, second: str, what: str
) -> None:
    file = table(tmp_path, "a.png,S1,left,ct,0,,", f"{second},ct,0,,")

    with pytest.raises(
        rhoa.RhoaError, match=f"line 3: line 2 has the same image and another {what}"
    ):
        read(file)


@pytest.mark.parametrize("missing", [None, float("nan"), np.nan, "", " ", "NaN", "None", "<NA>"])
def test_a_missing_group_is_an_error_everywhere(missing: object) -> None:
    """Two hips without a subject would be one patient."""
    labels, groups = [0, 1, 0, 1], np.array(["A", missing, "B", missing], object)
    scores = [0.1, 0.9, 0.2, 0.8]

    for call in (
        lambda: rhoa.cohort.split(labels, groups=groups),
        lambda: rhoa.cohort.folds(labels, groups=groups, count=2),
        lambda: rhoa.evaluate(labels, scores, groups=groups),
        lambda: rhoa.evaluation.compare(labels, scores, scores, groups=groups),
        lambda: rhoa.cohort.require_disjoint(groups, ["train"] * 4),
    ):
        with pytest.raises(rhoa.RhoaError, match=r"2 of 4 are\s+missing"):
            call()
    with pytest.raises(rhoa.RhoaError, match="a hip has no subject"):
        Hip(Path("a.png"), missing, "left", "ct", 0, "", 0)  # type: ignore[arg-type]


def test_a_manifest_is_read_where_its_folder_is_a_link(tmp_path: Path) -> None:
    (tmp_path / "deep" / "real").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "deep" / "real")
    (tmp_path / "a.png").write_bytes(b"image")
    hip = Hip(tmp_path / "a.png", "S1", "left", "ct", 0, "", 0)

    Manifest((hip,)).write(tmp_path / "link" / "manifest.csv")

    assert read(tmp_path / "link" / "manifest.csv").hips[0].crop.read_bytes() == b"image"
