"""Tables of studies as they come: after pandas, after a spreadsheet, with other people's spelling.

The rows of each are those of one clean table; the manifest must be the same.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from rhoa.cohort import Codes, OaiColumns, check, oai
from rhoa.errors import ManifestError

CLEAN_OAI = """ID,SIDE,V00HKL,V06HKL
9000099,1,3,.
9000099,2,0,2
9000296,1,.P,1
9000296,2,.M,4
"""
CLEAN_CHECK = """nsin,T0_H_li_KL_def,T0_H_re_KL_def,T2_H_li_KL_def,T2_H_re_KL_def
88,0,1,2,9
3088,3,,5,0
"""


def written(folder: Path, content: str | bytes, name: str = "table.csv") -> Path:
    file = folder / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


def hips(manifest: object) -> list[tuple[object, ...]]:
    return [(h.subject, h.side, h.visit, h.kl, h.label) for h in manifest]  # type: ignore[attr-defined]


OAI_TABLES = {
    "upper and lower case, blanks, another order": (
        "v06hkl, v00HKL ,Side,id\n.,3,1,9000099\n2,0,2,9000099\n1,.p,1,9000296\n4,.m,2,9000296\n"
    ),
    "decimals of pandas": (
        "ID,SIDE,V00HKL,V06HKL\n9000099.0,1.0,3.0,\n9000099.0,2.0,0.0,2.0\n"
        "9000296.0,1.0,.P,1.0\n9000296.0,2.0,NaN,4.0\n"
    ),
    "byte order mark and CRLF": "\ufeff" + CLEAN_OAI.replace("\n", "\r\n"),
    "semicolons and decimal commas": (
        "ID;SIDE;V00HKL;V06HKL\n9000099;1;3,0;\n9000099;2;0,0;2,0\n9000296;1;.P;1,0\n"
        "9000296;2;n/a;4,0\n"
    ),
    "labels, bars and quotes": (
        'ID|SIDE|V00HKL|V06HKL\n"9000099"|1: Right|3: Moderate|.: Missing Form\n'
        "9000099|2: Left|0: None|2: Mild\n9000296|1: Right|.P: Prosthesis|1: Doubtful\n"
        "9000296|2: Left|.M: Missing|4: Severe\n"
    ),
    "a spreadsheet's Unicode text": CLEAN_OAI.replace(",", "\t").encode("utf-16"),
    "empty columns and lines at the end": (
        "ID,SIDE,V00HKL,V06HKL,,\n9000099,1,3,#N/A,,\n9000099,2,0,2,,\n\n9000296,1,.P,1,,\n"
        "9000296,2,NULL,4,,\n,,,,,\n"
    ),
}


@pytest.mark.parametrize("name", OAI_TABLES)
def test_oai_tables_are_read_however_they_were_saved(tmp_path: Path, name: str) -> None:
    clean = oai(written(tmp_path, CLEAN_OAI, "clean.csv"), grade="V{visit}HKL")

    intake = oai(written(tmp_path, OAI_TABLES[name]), grade="V{visit}HKL")

    assert hips(intake.manifest) == hips(clean.manifest)
    assert len(intake.manifest) == 5
    assert intake.flow.prosthesis == clean.flow.prosthesis == 1
    assert intake.flow.rows == 4


@pytest.mark.parametrize("visit", ["V06", "6", "6.0", "06", "v6"])
def test_a_column_of_visits_may_hold_names_or_numbers(tmp_path: Path, visit: str) -> None:
    table = written(tmp_path, f"id,hip,visit,kl\n9000099,R,{visit},2\n")

    intake = oai(table, grade="KL", columns=OaiColumns(subject="ID", visit="VISIT"))

    assert hips(intake.manifest) == [("9000099", "right", "V06", 2, 1)]


CHECK_TABLES = {
    "upper case and decimals of pandas": (
        "NSIN,t0_h_LI_kl_def,T0_H_RE_KL_DEF,T2_H_li_KL_def,T2_H_re_KL_def\n"
        "88.0,0.0,1.0,2.0,9.0\n3088.0,3.0,,5.0,0.0\n"
    ),
    "semicolons, decimal commas, byte order mark": (
        "\ufeffnsin;T0_H_li_KL_def;T0_H_re_KL_def;T2_H_li_KL_def;T2_H_re_KL_def\r\n"
        "0000088;0,0;1,0;2,0;9,0\r\n3088;3,0;;5,0;0,0\r\n"
    ),
    "tabs and Latin-1 in another column": (
        "nsin\tnaam\tT0_H_li_KL_def\tT0_H_re_KL_def\tT2_H_li_KL_def\tT2_H_re_KL_def\n"
        "88\tRen\u00e9e\t0\t1\t2\t9\n3088\tZo\u00eb\t3\tNA\t5\t0\n"
    ).encode("latin-1"),
}


@pytest.mark.parametrize("name", CHECK_TABLES)
def test_check_tables_are_read_however_they_were_saved(tmp_path: Path, name: str) -> None:
    clean = check(written(tmp_path, CLEAN_CHECK, "clean.csv"))

    intake = check(written(tmp_path, CHECK_TABLES[name]))

    assert hips(intake.manifest) == hips(clean.manifest)
    assert str(intake.flow) == str(clean.flow)


def test_ids_of_hips_may_have_any_case_and_zeros(tmp_path: Path) -> None:
    table = written(tmp_path, "ID;kl_DEF\n0003088_t00_apl;2,0\n3088_T00_APR;-9\n")

    intake = check(table, codes=Codes(prosthesis=(5,), missing=(9, -9)))

    assert hips(intake.manifest) == [("3088", "left", "T00", 2, 1)]


def test_one_subject_spelt_in_two_ways_is_one_subject(tmp_path: Path) -> None:
    """Stated again with another grade: an error, not a second subject."""
    table = written(tmp_path, "ID,SIDE,V00HKL\n9000099,1,3\n9000099.0,1.0,2\n")

    with pytest.raises(ManifestError, match="1 times a hip is stated again with another grade"):
        oai(table, grade="V{visit}HKL")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("ID,SIDE,V00HKL\n9000099.5,1,3\n", "1 values are wrong .line 2: subject"),
        ("ID,SIDE,V00HKL\n9000099,1.5,3\n", "1 values are wrong .line 2: side '1.5'"),
        ("ID,SIDE,V00HKL\n9000099,1,2.5\n", "line 2: grade '2.5'"),
        ("ID;SIDE;V00HKL\n9000099;1;2,5\n", "line 2: grade '2.5'"),
        ("ID,SIDE,V00HKL\n9000099,1\n", "line 2: 2 values under 3 columns"),
        ("ID,side,Side,V00HKL\n9000099,1,1,3\n", "the columns side and Side have one name"),
        ("ID,ID,SIDE,V00HKL\n9000099,1,1,3\n", "the columns ID are there twice"),
        ("", "has no columns"),
    ],
)
def test_what_cannot_be_meant_is_an_error_with_its_line(
    tmp_path: Path, content: str, message: str
) -> None:
    with pytest.raises(ManifestError, match=message):
        oai(written(tmp_path, content), grade="V{visit}HKL")
