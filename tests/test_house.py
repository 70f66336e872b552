"""The house: who may import whom, what is public, and how light the light half is."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import rhoa

PACKAGE = Path(rhoa.__file__).parent
ROOMS = [
    *(
        "errors",
        "devices",
        "threads",
        "writing",
        "picture",
        "exchange",
        "preview",
        "volume",
        "reading",
        "capture",
        "sealed",
        "state_dicts",
        "weights",
    ),
    *("testing", "pose", "radiograph", "sampling"),
    *(
        "channels",
        "straight",
        "projection",
        "stacks",
        "hips",
        "structured",
        "cohort",
        "learning",
        "evaluation",
        "audit",
        "phantom",
        "review",
        "versions",
        "study",
        "demo",
    ),
    *("progress", "bench", "verbs", "cli"),
]
LONG = {"pose/registration.py"}
"""Modules of one idea that is longer than 400 lines."""
SOURCES = sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(source: str) -> set[str]:
    rooms = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module] + [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        rooms |= {name.split(".")[1] for name in names if name.startswith("rhoa.")}
    return rooms & set(ROOMS)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_room_imports_only_from_earlier_rooms(path: Path) -> None:
    room = room_of(path)
    if room in {"__init__", "__main__"}:
        pytest.skip("the package's face imports every room")

    rooms = imported_rooms(path.read_text(encoding="utf-8")) - {room}

    assert {ROOMS.index(other) for other in rooms} <= set(range(ROOMS.index(room)))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_is_short_and_free_of_what_the_house_forbids(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)

    if path.relative_to(PACKAGE).as_posix() not in LONG:
        assert len(source.splitlines()) <= 400
    assert ast.get_docstring(tree) is not None
    assert not any(isinstance(node, ast.Assert) for node in ast.walk(tree))
    for name in ("import pickle", "shell=True", "weights_only=False", "allow_pickle=True"):
        assert name not in source
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert not names & {"eval", "exec"}


def test_all_lists_what_is_public_in_order() -> None:
    assert sorted(rhoa.__all__) == rhoa.__all__
    for name in rhoa.__all__:
        assert getattr(rhoa, name) is not None


def test_no_module_bears_the_name_of_a_public_function() -> None:
    modules = {room_of(path) for path in SOURCES}
    functions = {name for name in rhoa.__all__ if callable(getattr(rhoa, name))}

    assert not modules & functions


@pytest.mark.parametrize(
    "module",
    [
        *("numpy", "torch", "torchvision", "scipy", "sklearn", "pydicom", "matplotlib"),
        *("nibabel", "SimpleITK"),
    ],
)
def test_import_rhoa_stays_light(module: str) -> None:
    code = f"import sys, rhoa; sys.exit({module!r} in sys.modules)"

    run = subprocess.run([sys.executable, "-c", code], check=False)

    assert run.returncode == 0


def test_every_error_is_a_rhoa_error() -> None:
    errors = [
        value
        for value in vars(rhoa.errors).values()
        if isinstance(value, type) and issubclass(value, Exception)
    ]

    assert all(issubclass(error, rhoa.RhoaError | ImportError | Warning) for error in errors)
    for error in errors:
        assert error.__name__ in rhoa.errors.__doc__
