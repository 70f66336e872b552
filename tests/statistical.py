"""Tables of SPSS and SAS for tests, written by ReadStat, the C library that pyreadstat holds."""

from __future__ import annotations

import ctypes
import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

TEXT, NUMBER = 0, 5  # READSTAT_TYPE_STRING, READSTAT_TYPE_DOUBLE
TEXT_BYTES = 40

Value = float | str | None
POINTER = ctypes.c_void_p
WRITER = ctypes.CFUNCTYPE(ctypes.c_ssize_t, POINTER, ctypes.c_size_t, POINTER)
ARGUMENTS = {
    "set_data_writer": [POINTER, WRITER],
    "add_variable": [POINTER, ctypes.c_char_p, ctypes.c_int, ctypes.c_size_t],
    "variable_add_missing_double_value": [POINTER, ctypes.c_double],
    "variable_add_missing_double_range": [POINTER, ctypes.c_double, ctypes.c_double],
    "begin_writing_sav": [POINTER, POINTER, ctypes.c_long],
    "begin_writing_sas7bdat": [POINTER, POINTER, ctypes.c_long],
    "begin_row": [POINTER],
    "insert_string_value": [POINTER, POINTER, ctypes.c_char_p],
    "insert_double_value": [POINTER, POINTER, ctypes.c_double],
    "insert_missing_value": [POINTER, POINTER],
    "insert_tagged_missing_value": [POINTER, POINTER, ctypes.c_char],
    "end_row": [POINTER],
    "end_writing": [POINTER],
    "writer_free": [POINTER],
}


class _ReadStat:
    """The functions of the library, each of whose results but a pointer is an error if not 0."""

    def __init__(self) -> None:
        found = importlib.util.find_spec("pyreadstat")
        if found is None:
            pytest.skip("needs pyreadstat (extra tables)")
        writer = importlib.util.find_spec("pyreadstat._readstat_writer")
        self._library = ctypes.CDLL(str(writer.origin)) if writer else None
        if not hasattr(self._library, "readstat_writer_init"):
            pytest.skip("this build of pyreadstat keeps ReadStat's functions to itself")
        self._library.readstat_writer_init.restype = POINTER
        self._library.readstat_add_variable.restype = POINTER

    def writer(self) -> ctypes.c_void_p:
        return POINTER(self._library.readstat_writer_init())

    def variable(self, writer: ctypes.c_void_p, name: str, kind: int) -> ctypes.c_void_p:
        add = self._library.readstat_add_variable
        add.argtypes = ARGUMENTS["add_variable"]
        return POINTER(add(writer, name.encode(), kind, TEXT_BYTES if kind == TEXT else 8))

    def call(self, name: str, *arguments: object) -> None:
        function = getattr(self._library, f"readstat_{name}")
        function.argtypes = ARGUMENTS[name]
        if name == "writer_free":
            function.restype = None
        error = function(*arguments)
        if error:
            raise RuntimeError(f"readstat_{name}: error {error}")


def write_table(
    path: Path,
    columns: Sequence[str],
    rows: Sequence[Sequence[Value]],
    *,
    missing: Mapping[str, Sequence[float | tuple[float, float]]] | None = None,
) -> Path:
    """Write ``.sav`` or ``.sas7bdat``; None is missing, in numbers ".P" is a special missing value.

    ``missing`` are values or (low, high) that a column of a ``.sav`` declares missing.
    """
    readstat, content = _ReadStat(), bytearray()

    @WRITER
    def collect(data: int, length: int, _context: int) -> int:
        content.extend(ctypes.string_at(data, length))
        return length

    writer = readstat.writer()
    readstat.call("set_data_writer", writer, collect)
    kinds = [_kind([row[at] for row in rows]) for at in range(len(columns))]
    variables = [
        readstat.variable(writer, name, kind) for name, kind in zip(columns, kinds, strict=True)
    ]
    for name, declared in (missing or {}).items():
        variable = variables[columns.index(name)]
        for value in declared:
            if isinstance(value, tuple):
                readstat.call("variable_add_missing_double_range", variable, *value)
            else:
                readstat.call("variable_add_missing_double_value", variable, value)
    readstat.call(f"begin_writing_{path.suffix[1:]}", writer, None, len(rows))
    for row in rows:
        readstat.call("begin_row", writer)
        for variable, kind, value in zip(variables, kinds, row, strict=True):
            _insert(readstat, writer, variable, kind, value)
        readstat.call("end_row", writer)
    readstat.call("end_writing", writer)
    readstat.call("writer_free", writer)
    path.write_bytes(content)
    return path


def _kind(values: Sequence[Value]) -> int:
    texts = [value for value in values if isinstance(value, str)]
    return TEXT if any(not text.startswith(".") for text in texts) else NUMBER


def _insert(
    readstat: _ReadStat, writer: ctypes.c_void_p, variable: ctypes.c_void_p, kind: int, value: Value
) -> None:
    if value is None:
        readstat.call("insert_missing_value", writer, variable)
    elif kind == TEXT:
        readstat.call("insert_string_value", writer, variable, str(value).encode())
    elif isinstance(value, str):
        readstat.call("insert_tagged_missing_value", writer, variable, value[1:].encode())
    else:
        readstat.call("insert_double_value", writer, variable, value)
