"""The house: who may import whom, what is public, and how light the light half is."""

from __future__ import annotations

import ast
import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import rhoa

LAYOUT = SimpleNamespace(
    **runpy.run_path(str(Path(__file__).parents[1] / "scripts" / "layout"), run_name="layout")
)
HOUSE = LAYOUT.Package(Path(rhoa.__file__).parent)
ROOMS: list[str] = LAYOUT.ROOMS
HEAVY = {
    *("numpy", "torch", "torchvision", "scipy", "sklearn", "pydicom", "matplotlib"),
    *("nibabel", "SimpleITK", "PIL", "jinja2"),
}
FORBIDDEN = (
    *("import pickle", "shell=True", "weights_only=False", "allow_pickle=True"),
    "warnings.warn(",  # rhoa.errors.warn_user names the user's line
)
IMPORT_THE_FACE = {"cli"}
"""Rooms that may use ``rhoa.NAME``; others import a name from where it is."""


def test_every_room_has_one_place_in_the_order() -> None:
    assert sorted(ROOMS) == sorted(HOUSE.rooms)


def test_a_room_imports_only_from_earlier_rooms() -> None:
    places = {room: place for place, room in enumerate(ROOMS)}
    rooms = {name: HOUSE.room_of(name) for name in HOUSE.modules}

    late = [
        f"{name} ({room}) imports {target}"
        for name, room in rooms.items()
        for target in sorted(HOUSE.imports_and_types[name])
        if room and rooms[target] and places[rooms[target]] > places[room]
    ]

    assert late == []


def test_only_the_command_line_imports_the_face() -> None:
    rooms = {
        HOUSE.room_of(name)
        for name, targets in HOUSE.imports_and_types.items()
        if "rhoa" in targets
    }

    assert rooms <= IMPORT_THE_FACE


def test_no_module_imports_itself_through_others() -> None:
    """Types aside: what is imported for a type checker does not run."""
    assert HOUSE.cycles() == []


def test_a_class_has_its_name_alone() -> None:
    assert HOUSE.doubled_classes() == {}


def test_no_module_bears_the_name_of_a_public_function_of_its_room_or_of_the_package() -> None:
    """Importing ``rhoa.train`` the module would overwrite ``rhoa.train`` the function."""
    assert HOUSE.named_like_functions() == {}


def test_a_small_module_has_more_than_one_importer() -> None:
    """One that a single module needs is a part of that module."""
    single = HOUSE.with_one_importer()

    assert [name for name in single if HOUSE.modules[name].lines < LAYOUT.SMALL] == []


def test_no_file_has_what_the_house_forbids() -> None:
    assert [
        f"{name}: {problem}"
        for name, module in HOUSE.modules.items()
        for problem in forbidden(module.path.read_text(encoding="utf-8"), module.tree)
    ] == []


def forbidden(source: str, tree: ast.Module) -> list[str]:
    """What a file must not have."""
    nodes = list(ast.walk(tree))
    called = {node.id for node in nodes if isinstance(node, ast.Name)}
    return [
        *([] if ast.get_docstring(tree) else ["no docstring"]),
        *(["assert"] if any(isinstance(node, ast.Assert) for node in nodes) else []),
        *(words for words in FORBIDDEN if words in source),
        *sorted(called & {"eval", "exec"}),
    ]


def test_all_lists_what_is_public_in_order() -> None:
    assert sorted(rhoa.__all__) == rhoa.__all__
    for name in rhoa.__all__:
        assert getattr(rhoa, name) is not None


def test_import_rhoa_stays_light() -> None:
    code = f"import sys, rhoa; print(*sorted({HEAVY} & set(sys.modules)))"

    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert run.stdout.split() == []


def test_every_error_is_a_rhoa_error() -> None:
    errors = [
        value
        for value in vars(rhoa.errors).values()
        if isinstance(value, type) and issubclass(value, Exception)
    ]

    assert all(issubclass(error, rhoa.RhoaError | ImportError | Warning) for error in errors)
    for error in errors:
        assert error.__name__ in rhoa.errors.__doc__
