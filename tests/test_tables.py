"""Tables of studies: what is read of SPSS, SAS and text, and what is refused."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rhoa
from rhoa.tables import Cell, number_text, open_table, read_rows, text_cell
from tests.statistical import write_table

MISSING = Cell("", missing=True)


def cells(path: Path, column: str) -> list[Cell]:
    return [row.cells[column] for row in open_table(path).rows([column])]


@pytest.mark.parametrize("separator", ["|", ",", ";", "\t"])
@pytest.mark.parametrize("suffix", [".txt", ".csv", ".tsv"])
def test_the_header_tells_the_separator_whatever_the_suffix(
    tmp_path: Path, separator: str, suffix: str
) -> None:
    path = tmp_path / f"table{suffix}"
    lines = ["ID, SIDE ,V00HKL", "1,2: Left,3", "", "2,1: Right,.P: Prosthetic"]
    path.write_text("\n".join(lines).replace(",", separator), encoding="utf-8")

    table = open_table(path)
    rows = list(table.rows(["V00HKL", "SIDE"]))

    assert table.columns == ("ID", "SIDE", "V00HKL")
    assert [row.where for row in rows] == ["line 2", "line 4"]
    assert rows[0].cells == {"V00HKL": Cell("3"), "SIDE": Cell("2", label="Left")}
    assert rows[1].cells["V00HKL"] == Cell(".P", missing=True, label="Prosthetic")


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("", MISSING),
        ("  ", MISSING),
        ("NaN", MISSING),
        ("#NULL!", MISSING),
        (".", Cell(".", missing=True)),
        (
            ".: Missing Form/Incomplete Workbook",
            Cell(".", missing=True, label="Missing Form/Incomplete Workbook"),
        ),
        (".a: Not Expected", Cell(".A", missing=True, label="Not Expected")),
        (".T", Cell(".T", missing=True)),
        ("0: None", Cell("0", label="None")),
        ("-1.5: Odd", Cell("-1.5", label="Odd")),
        (" 2.0 ", Cell("2.0")),
        ("3088_T02_APL", Cell("3088_T02_APL")),
        (".5", Cell(".5")),
    ],
)
def test_codes_labels_and_missing_values_of_text_are_told_apart(text: str, cell: Cell) -> None:
    assert text_cell(text) == cell


@given(
    st.lists(
        st.lists(
            st.text(
                st.characters(codec="utf-8", exclude_characters="\r\0", exclude_categories=["Cs"]),
                max_size=8,
            ),
            min_size=3,
            max_size=3,
        ),
        max_size=5,
    )
)
def test_values_with_quotes_separators_and_line_ends_stay_whole(rows: list[list[str]]) -> None:
    text = io.StringIO()
    csv.writer(text).writerows([["a", "b", "c"], *rows])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        path.write_bytes(text.getvalue().encode())

        read = [row.cells for row in open_table(path).rows(["a", "b", "c"])]

    full = [row for row in rows if any(field.strip() for field in row)]
    assert read == [dict(zip("abc", map(text_cell, row), strict=True)) for row in full]


def test_bytes_that_are_no_utf_8_and_a_byte_order_mark_do_no_harm(tmp_path: Path) -> None:
    latin, marked = tmp_path / "latin.txt", tmp_path / "marked.csv"
    latin.write_bytes("ID|NOTE\n1|r\xf6ntgen\n".encode("latin-1"))
    marked.write_bytes("\ufeffID,NOTE\n1,röntgen\n".encode())

    assert cells(latin, "NOTE") == cells(marked, "NOTE") == [Cell("röntgen")]
    assert cells(latin, "ID") == cells(marked, "ID") == [Cell("1")]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"ID,KL\n1,2\n1,2,3\n", r"a\.csv, line 3: 3 values under 2 columns"),
        ("a.csv", b"ID,KL,KL\n1,2,3\n", r"a\.csv: the columns KL are there twice"),
        ("a.csv", b"", r"a\.csv: has no columns"),
        ("a.csv", b"ID,KL\n1,\0\0\0\0", r"a\.csv: is no text; a table is a CSV in UTF-8, UTF-16"),
        ("a.csv", b"PK\3\4\0\0\0", r"a\.csv: is a workbook \(save it under a name in \.xlsx\)"),
        ("a.xlsx", b"PK", r"a\.xlsx: cannot be read as a \.xlsx table"),
        ("a.sav", b"ID,KL\n1,2\n", r"a\.sav: cannot be read as a \.sav table"),
        ("a.sas7bdat", b"ID,KL\n1,2\n", r"a\.sas7bdat: cannot be read as a \.sas7bdat table"),
    ],
)
def test_what_is_no_table_is_refused_by_name(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    if not name.endswith("csv"):
        package = "python_calamine" if name.endswith("xlsx") else "pyreadstat"
        pytest.importorskip(package, reason=f"needs {package} (extra tables)")
    (tmp_path / name).write_bytes(content)

    with pytest.raises(rhoa.errors.ManifestError, match=message):
        list(open_table(tmp_path / name).rows(["ID"]))


def test_an_absent_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(rhoa.errors.MissingFileError, match=r"none\.sav: no such table"):
        open_table(tmp_path / "none.sav")


def test_spss_missing_values_keep_their_codes_and_numbers_lose_their_decimals(
    tmp_path: Path,
) -> None:
    rows = [
        [3088, 2.0, "a"],
        [9, 9.0, ""],
        [3.5, None, "b: c"],
        [1e6, 7.5, "2: Left"],
        [-2, 5, "."],
    ]
    path = write_table(
        tmp_path / "table.sav", ["n", "KL", "s"], rows, missing={"KL": [9.0, (7.0, 8.0)]}
    )

    assert open_table(path).columns == ("n", "KL", "s")
    assert cells(path, "n") == [Cell(n) for n in ("3088", "9", "3.5", "1000000", "-2")]
    assert cells(path, "KL") == [
        Cell("2"),
        Cell("9", missing=True),
        MISSING,
        Cell("7.5", missing=True),
        Cell("5"),
    ]
    assert cells(path, "s") == [
        Cell("a"),
        MISSING,
        Cell("b: c"),
        Cell("2", label="Left"),
        Cell(".", missing=True),
    ]


def test_sas_special_missing_values_are_letters(tmp_path: Path) -> None:
    rows = [[9000099, 2.0, "L"], [9000100, ".P", "R"], [9000101, None, "L"], [9000102, ".T", "P"]]
    path = write_table(tmp_path / "table.sas7bdat", ["ID", "V00HKL", "hip"], rows)

    assert cells(path, "ID") == [Cell(str(number)) for number in range(9000099, 9000103)]
    assert cells(path, "V00HKL") == [
        Cell("2"),
        Cell(".P", missing=True),
        MISSING,
        Cell(".T", missing=True),
    ]
    assert cells(path, "hip") == [Cell(side) for side in "LRLP"]


def test_columns_are_found_in_any_case_and_absent_ones_listed(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("Id,V00HKL,x,X\n1,2,3,4\n", encoding="utf-8")

    table = open_table(tmp_path / "a.csv")

    assert table.require(["ID", "v00hkl", "X", "x"], "") == ["Id", "V00HKL", "X", "x"]
    with pytest.raises(
        rhoa.RhoaError,
        match=r"a\.csv: lacks the columns SIDE, hip; it has Id, V00HKL, x, X, separated by commas",
    ):
        table.require(["ID", "SIDE", "hip"], "do")


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_are_written_so_that_they_read_the_same(value: float) -> None:
    text = number_text(value)

    assert float(text) == value
    assert ("." in text or "e" in text) != value.is_integer()


def test_without_pyreadstat_the_message_is_the_line_that_brings_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.sav").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "pyreadstat", None)

    with pytest.raises(ImportError, match=r"pip install '\.\[tables\]'"):
        open_table(tmp_path / "a.sav")


def test_reading_spss_loads_no_data_frames(tmp_path: Path) -> None:
    path = write_table(tmp_path / "a.sav", ["n"], [[1.0], [2.0]])
    code = (
        "import sys; from rhoa.tables import open_table; "
        "print(len(list(open_table(sys.argv[1]).rows(['n']))), "
        "{'pandas', 'polars'} & set(sys.modules))"
    )

    run = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )

    assert run.stdout == "2 set()\n"


PLAIN = [
    ["subject", "side", "age", "sex", "site"],
    ["Müller-1", "left", "63.5", "F", "Oulu"],
    ["S2", "right", "70", "M", "Köln"],
]


def joined(separator: str, *, decimal: str = ".", rows: list[list[str]] = PLAIN) -> str:
    return "\r\n".join(
        separator.join(field.replace("63.5", f"63{decimal}5") for field in row) for row in rows
    )


DIALECTS = {
    "commas": joined(",").encode(),
    "commas, quoted decimal comma": joined(",").replace("63.5", '"63,5"').encode(),
    "German LibreOffice: semicolons, decimal commas, Windows-1252": joined(";", decimal=",").encode(
        "cp1252"
    ),
    "semicolons, decimal points, byte order mark": joined(";").encode("utf-8-sig"),
    "tabs, UTF-16 with a mark": joined("\t", decimal=",").encode("utf-16"),
    "tabs, UTF-16 little-endian without a mark": joined("\t").encode("utf-16-le"),
    "semicolons, UTF-16 big-endian without a mark": joined(";").encode("utf-16-be"),
    "Excel's line sep=;": ("sep=;\r\n" + joined(";", decimal=",")).encode(),
    "Excel's line sep= with a tab and a mark": ("sep=\t\r\n" + joined("\t")).encode("utf-8-sig"),
    "bars": joined("|").encode(),
    "rows of bare commas and trailing columns": (
        ",,,,,,\n" + joined(",").replace("\r\n", ",,\n") + ",,\n,,,,,,\n,,,,,,\n"
    ).encode(),
    "an index column of pandas": (
        ",subject,side,age,sex,site\n0,Müller-1,left,63.5,F,Oulu\n1,S2,right,70,M,Köln\n"
    ).encode(),
    "blanks about names and values": joined(" , ").encode(),
    "every value quoted": "\n".join(",".join(f'"{v}"' for v in row) for row in PLAIN).encode(),
}


@pytest.mark.parametrize("name", DIALECTS)
def test_a_table_is_the_same_in_every_dialect(tmp_path: Path, name: str) -> None:
    (tmp_path / "hips.csv").write_bytes(DIALECTS[name])

    rows = read_rows(tmp_path / "hips.csv", PLAIN[0])

    assert [row for _, row in rows] == [dict(zip(PLAIN[0], row, strict=True)) for row in PLAIN[1:]]


@pytest.mark.parametrize("name", ["Subject", " subject ", "SUBJECT"])
def test_columns_are_found_with_capitals_and_blanks(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.csv").write_text(f"{name},Slice thickness-MM,Note\n7,1.25,x\n", encoding="utf-8")

    ((line, row),) = read_rows(
        tmp_path / "a.csv", ["subject"], known=["slice_thickness_mm", "kernel"]
    )

    assert (line, row) == (2, {"subject": "7", "slice_thickness_mm": "1.25", "Note": "x"})


@pytest.mark.parametrize("nothing", ["", " ", "NA", "NaN", "nan", "#N/A", "NULL", "None", "<NA>"])
def test_values_that_say_nothing_are_empty(tmp_path: Path, nothing: str) -> None:
    (tmp_path / "a.csv").write_text(f"subject,kl\nS1,{nothing}\n", encoding="utf-8")

    assert read_rows(tmp_path / "a.csv", ["subject", "kl"])[0][1]["kl"] == ""


def test_a_thousand_is_no_decimal_and_a_value_too_many_is_no_value_fewer(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('a,b\n"1,234","1,23"\n', encoding="utf-8")
    (tmp_path / "long.csv").write_text("image,kl\nold, left.png,2\n", encoding="utf-8")

    assert read_rows(tmp_path / "a.csv", ["a", "b"])[0][1] == {"a": "1,234", "b": "1.23"}
    with pytest.raises(rhoa.RhoaError, match=r"long\.csv, line 2: 3 values under 2 columns; quote"):
        read_rows(tmp_path / "long.csv", ["image", "kl"])


def test_a_table_that_is_not_understood_is_shown_as_it_was_seen(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("patient;hip;grade\n1;L;2\n", encoding="utf-8")

    with pytest.raises(
        rhoa.RhoaError,
        match="lacks the columns subject, kl; it has patient, hip, grade, separated by semicolons; "
        "a table needs subject, kl",
    ):
        read_rows(tmp_path / "a.csv", ["subject", "kl"])


@pytest.mark.parametrize("header", ["kl,KL", "kl, kl", "Kl,kL "])
def test_two_columns_of_one_name_are_an_error(tmp_path: Path, header: str) -> None:
    (tmp_path / "a.csv").write_text(f"subject,{header}\nS1,0,4\n", encoding="utf-8")

    with pytest.raises(rhoa.RhoaError, match="are there twice|have one name"):
        read_rows(tmp_path / "a.csv", ["subject", "kl"])


def test_a_workbook_is_read_as_its_first_sheet(tmp_path: Path) -> None:
    """The least that XLSX is: a zip of XML, here of three rows, with numbers as numbers."""
    pytest.importorskip("python_calamine", reason="needs python-calamine (extra tables)")
    rows = [["subject", "kl", "age"], ["S1", 2, 63.5], ["S2", None, 70]]
    path = tmp_path / "hips.xlsx"
    write_workbook(path, rows)

    assert open_table(path).separator == ""
    assert [row for _, row in read_rows(path, ["subject", "kl", "age"])] == [
        {"subject": "S1", "kl": "2", "age": "63.5"},
        {"subject": "S2", "kl": "", "age": "70"},
    ]


def write_workbook(path: Path, rows: list[list[object]]) -> None:
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    lines = "".join(
        f'<row r="{r}">'
        + "".join(
            f'<c r="{column}{r}" t="inlineStr"><is><t>{value}</t></is></c>'
            if isinstance(value, str)
            else f'<c r="{column}{r}"><v>{value}</v></c>'
            for column, value in zip("ABC", row, strict=True)
            if value is not None
        )
        + "</row>"
        for r, row in enumerate(rows, 1)
    )
    files = {
        "[Content_Types].xml": f'<Types xmlns="{package}/content-types"/>',
        "_rels/.rels": f'<Relationships xmlns="{package}/relationships"><Relationship Id="a" '
        f'Type="{office}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{office}"><sheets>'
        '<sheet name="Hips" sheetId="1" r:id="b"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{package}/relationships">'
        f'<Relationship Id="b" Type="{office}/worksheet" Target="worksheets/sheet1.xml"/>'
        "</Relationships>",
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{main}"><sheetData>{lines}</sheetData>'
        "</worksheet>",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
