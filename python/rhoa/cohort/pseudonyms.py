"""Names that stand for patients: the same for one patient and key, and no way back without it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rhoa.dicom.header import elements_of, text_of
from rhoa.errors import AmbiguousSeriesError, ParameterError, ReadError, WriteError
from rhoa.files import list_files, shown

if TYPE_CHECKING:
    from os import PathLike

LEAST_KEY_BYTES = 16
KEY_BYTES = 32
_LETTERS = 16  # of base 32: 80 bits, so that a million patients have a million names
_SHORT = 6  # letters that tell scans of one patient apart


@dataclass(frozen=True, slots=True)
class Pseudonyms:
    """Pseudonyms by a key that only you hold (HMAC-SHA-256).

    One patient has one pseudonym at every visit, in CTs and X-rays, in every run with this key;
    another key gives others. Who has the key can test whether a patient is in the data; without it
    nobody can, also not by trying all numbers that a hospital may give. Keep it apart from what you
    share, and keep it: it is never written anywhere.

    Examples
    --------
    >>> names = Pseudonyms(bytes(32))
    >>> names.of("4711"), names.of(" 4711 ") == names.of("4711"), names.of("4712")
    ('P-4kew3t25icuhsri4', True, 'P-emk3ie3swuzhjgp4')
    """

    key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.key) < LEAST_KEY_BYTES:
            raise ParameterError(
                f"a key of pseudonyms has {LEAST_KEY_BYTES} bytes or more; got {len(self.key)}. "
                "rhoa.cohort.Pseudonyms.create(FILE) makes one."
            )

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Pseudonyms:
        """By the key in a file, all of its bytes.

        Raises
        ------
        ParameterError
            If there is no such file, or it is too short.
        """
        try:
            return cls(Path(path).read_bytes())
        except OSError as error:
            raise ParameterError(
                f"{Path(path).name}: the key of pseudonyms cannot be read ({error.strerror}); "
                "rhoa.cohort.Pseudonyms.create(FILE) makes one."
            ) from None

    @classmethod
    def create(cls, path: str | PathLike[str]) -> Pseudonyms:
        """By a new random key, written to a file that only its owner can read.

        Raises
        ------
        WriteError
            If there is a file already, whose key would be lost, or it cannot be written.
        """
        key = secrets.token_bytes(KEY_BYTES)
        try:
            # Path.open has no opener.
            with open(path, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
                file.write(key)
        except OSError as error:
            raise WriteError(
                f"{Path(path).name}: no key was written there ({error.strerror}); name a new file."
            ) from None
        return cls(key)

    def of(self, identifier: str) -> str:
        """The pseudonym of a patient by the hospital's number, as DICOM's PatientID has it."""
        return f"P-{self._letters('patient', identifier)[:_LETTERS]}"

    def of_scan(self, path: str | PathLike[str], name: str | None = None) -> str:
        """The pseudonym of a scan's patient, and letters for the scan's name, by default its own.

        Where no file of the scan names a patient, or several are named, the pseudonym says so: it
        does not say whether two such scans are of one patient.
        """
        path = Path(path)
        try:
            patient = patient_of(path)
        except ReadError:
            patient = None
        known = "unknown" if patient is None else self.of(patient)
        return f"{known}_{self._letters('scan', path.name if name is None else name)[:_SHORT]}"

    def _letters(self, kind: str, text: str) -> str:
        content = f"{kind}\0{unicodedata.normalize('NFC', text).strip()}".encode()
        digest = hmac.new(self.key, content, hashlib.sha256).digest()
        return base64.b32encode(digest).decode().lower()


def patient_of(path: str | PathLike[str]) -> str | None:
    """The PatientID of a DICOM file, or of the files of a folder; None where there is none.

    Raises
    ------
    MissingFileError
        If there is nothing at the path.
    AmbiguousSeriesError
        If files of several patients lie in the folder.
    """
    found = elements_of(list_files(path), ["PatientID"])
    named = {text_of(elements, "PatientID") for elements in found} - {""}
    if len(named) > 1:
        raise AmbiguousSeriesError(
            f"{shown(path)}: its files are of {len(named)} patients; a scan is of one: part them."
        )
    return next(iter(named), None)


def redact(text: str, path: Path, name: str) -> str:
    """A message in which a scan is called ``name``, and its files are not called at all."""
    files = {file.name for file in path.rglob("*")} if path.is_dir() else set()
    for own in sorted(files - {path.name}, key=len, reverse=True):
        text = text.replace(own, "a file")
    return text.replace(path.name, name)
