"""Pseudonyms: one for a patient and a key, no way back, never by accident another key."""

from __future__ import annotations

import base64
import hashlib
import os
import stat
from pathlib import Path

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rhoa
from rhoa.cohort import Pseudonyms
from rhoa.cohort.pseudonyms import patient_of, redact
from rhoa.errors import ManifestError, MissingFileError, ParameterError, WriteError
from rhoa.testing import make_series

KEY = bytes(range(32))


def hmac_by_hand(key: bytes, text: bytes) -> bytes:
    """RFC 2104, for keys of one block of SHA-256 or less."""
    padded = key.ljust(64, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in padded) + text).digest()
    return hashlib.sha256(bytes(byte ^ 0x5C for byte in padded) + inner).digest()


@given(st.text(min_size=1).filter(lambda text: text == text.strip() and text.isascii()))
def test_it_is_an_hmac_of_the_number(number: str) -> None:
    digest = hmac_by_hand(KEY, b"patient\0" + number.encode())

    assert Pseudonyms(KEY).of(number) == f"P-{base64.b32encode(digest[:10]).decode().lower()}"


def test_a_key_gives_one_name_and_another_key_another() -> None:
    first, again, other = Pseudonyms(KEY), Pseudonyms(KEY), Pseudonyms(bytes(32))

    assert first.of("4711") == again.of("4711") == again.of(" 4711 ")
    assert len({first.of("4711"), first.of("4712"), other.of("4711"), first.of("04711")}) == 4
    assert KEY.hex() not in repr(first)
    assert str(KEY) not in repr(first)


def test_a_new_key_is_random_the_owners_alone_and_replaces_none(tmp_path: Path) -> None:
    file = tmp_path / "study.key"

    made = Pseudonyms.create(file)

    assert len(file.read_bytes()) == 32
    assert Pseudonyms.load(file) == made != Pseudonyms.create(tmp_path / "other.key")
    if os.name == "posix":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with pytest.raises(WriteError, match=r"study\.key: no key was written there \(File exists\)"):
        Pseudonyms.create(file)
    assert Pseudonyms.load(file) == made


def test_a_key_that_is_absent_or_short_is_no_key(tmp_path: Path) -> None:
    (tmp_path / "short.key").write_bytes(b"secret")

    with pytest.raises(ParameterError, match="has 16 bytes or more; got 6"):
        Pseudonyms.load(tmp_path / "short.key")
    with pytest.raises(ParameterError, match=r"absent\.key: the key of pseudonyms cannot be read"):
        Pseudonyms.load(tmp_path / "absent.key")


def test_visits_of_a_patient_are_of_one_and_scans_have_names_of_their_own(tmp_path: Path) -> None:
    names = Pseudonyms(KEY)
    for visit, patient in (("first", "4711"), ("second", "4711 "), ("other", "4712")):
        rename(make_series(tmp_path / visit).path, patient)

    called = {place: names.of_scan(tmp_path / place) for place in ("first", "second", "other")}

    assert patient_of(tmp_path / "first") == "4711"
    assert len(set(called.values())) == 3
    subjects = {place: name.partition("_")[0] for place, name in called.items()}
    assert subjects["first"] == subjects["second"] == names.of("4711") != subjects["other"]


def rename(folder: Path, patient: str) -> None:
    for path in folder.iterdir():
        image = pydicom.dcmread(path)
        image.PatientID = patient
        image.save_as(path)


def test_where_no_file_names_a_patient_the_name_says_so(tmp_path: Path) -> None:
    (tmp_path / "scan.nii").write_bytes(bytes(400))

    assert patient_of(tmp_path / "scan.nii") is None
    assert Pseudonyms(KEY).of_scan(tmp_path / "scan.nii").startswith("unknown_")
    assert Pseudonyms(KEY).of_scan(tmp_path / "absent").startswith("unknown_")
    with pytest.raises(MissingFileError):
        patient_of(tmp_path / "absent")


def test_a_table_whose_subject_nobody_knows_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "scan.nii").write_bytes(bytes(400))
    columns = "subject,source,scan,side,visit,kl,landmarks,top,left,bottom,right"
    (tmp_path / "scans.csv").write_text(f"{columns}\n,ct,scan.nii,left,,2,,,,,\n")

    with pytest.raises(ManifestError, match="line 2: subject is empty, and so is PatientID"):
        rhoa.cohort.build(tmp_path / "scans.csv", tmp_path / "out", pseudonyms=Pseudonyms(KEY))
    with pytest.raises(ManifestError, match="subject or scan is empty"):
        rhoa.cohort.build(tmp_path / "scans.csv", tmp_path / "out")


def test_messages_call_a_scan_by_its_pseudonym_and_its_files_not_at_all(tmp_path: Path) -> None:
    scan = tmp_path / "Doe"
    (scan / "Jane").mkdir(parents=True)
    (scan / "Jane" / "Doe-1.dcm").touch()

    told = redact("Doe: Doe-1.dcm has no pixels; look into Jane.", scan, "P-x_y")

    assert told == "P-x_y: a file has no pixels; look into a file."
