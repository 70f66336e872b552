"""Texts that name a patient: planted wherever a patient's files hold text, and looked for."""

from __future__ import annotations

import base64
import gzip
import io
import re
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset

TEXTS: Mapping[str, str] = {
    "PatientName": "Vexholm^Odalrune",  # PN
    "PatientID": "QJ7-40921-KW",  # LO
    "OtherPatientNames": "Zwartkruis^Ymke",
    "PatientBirthDate": "19370709",  # DA
    "PatientBirthTime": "041753.271946",  # TM
    "PatientSex": "XQFEMININE",  # CS
    "PatientAge": "087Y",  # AS
    "PatientAddress": "Grubstrasse 881 Oberkwelt",
    "PatientTelephoneNumbers": "+49-7731-555219",  # SH
    "PatientComments": "recluse; breeds wyverns",  # LT
    "AccessionNumber": "ACX-66120-PD",
    "StudyID": "SID-93174",
    "StudyDate": "19991231",
    "AcquisitionDateTime": "19991230224407.118",  # DT
    "StudyDescription": "jubilee of Thessaly Brandt",
    "SeriesDescription": "pelvic hull of Kestrel",
    "ProtocolName": "mooring protocol Umber",
    "ReferringPhysicianName": "Dr^Quillfeather",
    "InstitutionName": "Spital zur Lerche",
    "InstitutionAddress": "Wildgasse 3, Untermoos",  # ST
    "StationName": "GANTRY-OWLET",
    "StationAETitle": "AE_MARZIPAN_9",  # AE
    "ImageComments": "burned toast remark",
    "RetrieveURL": "http://pacs.juniper.example/wado",  # UR
    "StudyInstanceUID": "1.2.826.0.1.3680043.77.40414",  # UI
    "nested UT": "unlimited tale of Barnaby Flood",
    "nested UC": "limitless code of Peregrine Oak",
    "private LO": "hidden ledger Saffron Vane",
    "private UN": "opaque bytes of Hollis Mewes",
    "file name": "Bramblewick_Ottoline",
}
"""Thirty: every value representation of DICOM that holds text, names of folders and files too.

Elements that only say how an image was made, and that readers need to tell series apart, are not
here: ConvolutionKernel and SeriesInstanceUID, which `rhoa inspect` shows. The standard's profile
(PS3.15 E) lets kernels stand.
"""

_PNG = b"\x89PNG\r\n\x1a\n"


def plant(image: Dataset) -> None:
    """Write every text but the file's name into a data set."""
    for keyword, text in TEXTS.items():
        if keyword.isalpha():
            setattr(image, keyword, text)
    item, code = Dataset(), Dataset()
    code.LongCodeValue, code.CodeMeaning = TEXTS["nested UC"], TEXTS["PatientComments"]
    item.TextValue = TEXTS["nested UT"]
    item.PersonName = TEXTS["PatientName"]
    item.ConceptNameCodeSequence = [code]
    image.ContentSequence = [item]
    block = image.private_block(0x0099, "NOBODY", create=True)
    block.add_new(0x01, "LO", TEXTS["private LO"])
    block.add_new(0x02, "UN", TEXTS["private UN"].encode())


def plant_files(folder: Path) -> None:
    """Write the texts into every DICOM file of a folder and name each file by a patient."""
    with pydicom.config.disable_value_validation():
        for number, path in enumerate(sorted(folder.rglob("*.dcm"))):
            image = pydicom.dcmread(path)
            plant(image)
            path.unlink()
            image.save_as(path.with_name(f"{TEXTS['file name']}-{number}.dcm"))


def found_in(contents: Iterable[bytes]) -> set[str]:
    """The names of the texts that are in some contents, in any usual coding or compression."""
    shapes = {name: {said.lower().encode() for said in _spellings(TEXTS[name])} for name in TEXTS}
    found: set[str] = set()
    for content in contents:
        for layer in layers(content):
            # UTF-16 and UTF-32 are these letters with zeros between them.
            words = b"\n".join(re.findall(rb"[ -~]{4,}", layer.replace(b"\0", b""))).lower()
            found |= {name for name, said in shapes.items() if any(one in words for one in said)}
    return found


def files_of(folder: Path) -> Iterator[bytes]:
    """Contents and names of all files and folders below a folder."""
    for path in sorted(folder.rglob("*")):
        yield str(path.relative_to(folder)).encode()
        if path.is_file():
            yield path.read_bytes()


def layers(content: bytes) -> Iterator[bytes]:
    """A content as it is, and what is packed in it: archives, PNG, deflated DICOM, data URLs."""
    yield content
    if content.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for name in archive.namelist():
                yield from layers(archive.read(name))
    elif content.startswith(b"\x1f\x8b"):
        yield from layers(gzip.decompress(content))
    elif content.startswith(_PNG):
        yield from _chunks(content)
    for coded in re.findall(rb"base64,([A-Za-z0-9+/=]+)", content):
        yield from layers(base64.b64decode(coded))


def _chunks(png: bytes) -> Iterator[bytes]:
    """Every chunk of a PNG; pixels and compressed texts inflated."""
    place, pixels = len(_PNG), b""
    while place + 8 <= len(png):
        length, kind = struct.unpack(">I4s", png[place : place + 8])
        body = png[place + 8 : place + 8 + length]
        if kind == b"IDAT":
            pixels += body
        elif kind in {b"zTXt", b"iTXt", b"iCCP"} and b"x\x9c" in body:
            yield zlib.decompress(body[body.index(b"x\x9c") :])
        place += length + 12
    yield zlib.decompress(pixels)


def _spellings(text: str) -> set[str]:
    """A text whole, a name also in parts, and as HTML and JSON escape it."""
    parts = {text, text.replace("^", " "), *(part for part in text.split("^") if len(part) > 5)}
    return parts | {one.replace("&", "&amp;") for one in parts} | {text.replace("/", "\\/")}
