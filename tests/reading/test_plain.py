"""Headers parsed in one go: what they give is what pydicom gives, or they are left to pydicom."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import uid

from rhoa.dicom.header import ELEMENTS as PLAIN
from rhoa.dicom.header import HEAD_BYTES, WANTED, Header, NotPlainError, plain_elements, read_header
from rhoa.testing import DEFECTS, Series
from tests.reading.series import write_series


def by_pydicom(path: Path, monkeypatch: pytest.MonkeyPatch) -> Header:
    """The header of a file as if none were plain."""

    def never(_: bytes) -> None:
        raise NotPlainError

    with monkeypatch.context() as patched:
        patched.setattr("rhoa.dicom.header.plain_elements", never)
        return read_header(path)


def outcome(read: Any) -> object:  # noqa: ANN401  # a function without arguments
    """What a function returns, in words (NaN is not NaN), or the class of its error."""
    try:
        return repr(read())
    except Exception as error:  # noqa: BLE001  # whatever it is, the other must raise it too
        return type(error)


def test_it_looks_at_the_same_elements() -> None:
    assert {keyword for keyword, _ in PLAIN.values()} == set(WANTED)
    for tag, (keyword, readers) in PLAIN.items():
        assert pydicom.datadict.keyword_for_tag(tag) == keyword
        standard = pydicom.datadict.dictionary_VR(tag).split(" or ")
        assert sorted(kind.decode() for kind in readers) == sorted(standard)


@pytest.mark.parametrize("name", sorted(DEFECTS))
def test_every_series_with_a_defect_has_the_headers_that_pydicom_finds(
    name: str, defective: Callable[[str], Series], monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in defective(name).paths:
        if path.is_file():
            assert outcome(lambda path=path: read_header(path)) == outcome(
                lambda path=path: by_pydicom(path, monkeypatch)
            )


@pytest.mark.parametrize("undefined", [False, True], ids=["lengths", "end marks"])
@pytest.mark.parametrize(
    "syntax", [uid.ExplicitVRLittleEndian, uid.RLELossless], ids=lambda syntax: syntax.name
)
def test_sequences_and_private_elements_are_stepped_over(
    syntax: uid.UID,
    undefined: bool,  # noqa: FBT001  # a parameter
    tmp_path: Path,
) -> None:
    path = write_series(tmp_path, syntax=syntax)[0]
    data = pydicom.dcmread(path)
    inner, outer = pydicom.Dataset(), pydicom.Dataset()
    inner.Rows, inner.Modality = 7, "XX"
    outer.ReferencedImageSequence = [inner, pydicom.Dataset(inner)]
    outer["ReferencedImageSequence"].is_undefined_length = undefined
    data.SourceImageSequence = [outer, pydicom.Dataset()]
    data["SourceImageSequence"].is_undefined_length = undefined
    for item in (inner, outer):
        item.is_undefined_length_sequence_item = undefined
    data.private_block(0x0029, "RHOA", create=True).add_new(1, "OB", bytes(range(255)) * 100)
    data.save_as(path)

    elements = plain_elements(path.read_bytes()[:HEAD_BYTES])
    values = elements.values()

    assert (values["Rows"], values["Modality"]) == (data.Rows, ["CT"])
    content = path.read_bytes()
    assert content[elements.pixels_offset - 12 : elements.pixels_offset - 8] == b"\xe0\x7f\x10\x00"


def test_what_is_as_in_a_header_before_is_not_parsed_again(tmp_path: Path) -> None:
    known: dict[Hashable, Header] = {}

    headers = [read_header(path, known) for path in write_series(tmp_path)]

    assert len(known) == 1
    assert all(header.format is headers[0].format for header in headers)
    assert len({header.plane.position_mm for header in headers}) == len(headers)


@pytest.fixture(scope="module")
def contents(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, bytes]:
    """The files of a series, each as it was before a test damaged it."""
    return {path: path.read_bytes() for path in write_series(tmp_path_factory.mktemp("s"))}


@given(random=st.randoms(use_true_random=False))
def test_headers_read_before_change_nothing(random: Random, contents: dict[Path, bytes]) -> None:
    """Files like the one before, with a byte changed in some."""
    known: dict[Hashable, Header] = {}
    for path, whole in contents.items():
        content = bytearray(whole)
        if random.random() < 0.6:
            place = random.randrange(132, content.index(b"\xe0\x7f\x10\x00") + 12)
            content[place] = random.choice([*b"0123456789.\\ -", random.randrange(256)])
        path.write_bytes(content)

        assert outcome(lambda path=path: read_header(path, known)) == outcome(
            lambda path=path: read_header(path)
        )


@given(random=st.randoms(use_true_random=False))
def test_damage_never_makes_it_find_what_pydicom_does_not(
    random: Random, contents: dict[Path, bytes]
) -> None:
    """Bytes of the header are changed, taken out or put in; what is still plain reads the same."""
    monkeypatch = pytest.MonkeyPatch()
    path = min(contents)
    content = bytearray(contents[path])
    end = content.index(b"\xe0\x7f\x10\x00")
    for _ in range(random.randint(1, 3)):
        place = random.randrange(132, end)
        change = random.choice(["set", "cut", "put", "digit"])
        if change == "cut":
            del content[place : place + random.choice([1, 2, 8])]
        elif change == "put":
            content[place:place] = random.randbytes(random.choice([1, 2, 8]))
        else:
            content[place] = (
                random.choice(b"0123456789.\\ -+eE")
                if change == "digit"
                else (random.randrange(256))
            )
    path.write_bytes(content)
    try:
        plain_elements(bytes(content[:HEAD_BYTES])).values()
    except NotPlainError:
        return

    found, expected = (
        outcome(lambda: read_header(path)),
        outcome(lambda: by_pydicom(path, monkeypatch)),
    )

    assert found == expected or not isinstance(expected, str)


@pytest.mark.parametrize(
    "value", [b"1.5\\2 ", b" 1.5\\ 2", b"1_0\\2", b"1e400\\2", b"nan\\inf", b"\xff1\\2", b"", b"\\"]
)
def test_odd_numbers_are_those_of_pydicom(
    value: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_series(tmp_path)[0]
    content = path.read_bytes()
    start = content.index(b"\x28\x00\x30\x00DS")
    length = int.from_bytes(content[start + 6 : start + 8], "little")
    value += b" " * (len(value) % 2)
    path.write_bytes(
        content[: start + 6]
        + len(value).to_bytes(2, "little")
        + value
        + content[start + 8 + length :]
    )

    found, expected = read_header(path), by_pydicom(path, monkeypatch)

    np.testing.assert_equal(found.plane.pixel_mm, expected.plane.pixel_mm)
