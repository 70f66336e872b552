"""What scripts/layout measures, on packages small enough to count by eye."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import rhoa
from tests.test_house import HOUSE, LAYOUT

SCRIPT = Path(__file__).parents[1] / "scripts" / "layout"


def package(folder: Path, sources: Mapping[str, str]) -> Any:  # noqa: ANN401  # a class of the script
    """A package ``p`` of these files, by their names without ``.py``."""
    for name, source in {"__init__": "", **sources}.items():
        path = folder / "p" / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(source)
    return LAYOUT.Package(folder / "p")


class TestImports:
    @pytest.mark.parametrize(
        "statement",
        [
            "import p.room.a",
            "from p.room import a",
            "from p.room.a import f",
            "from .room import a",
            "from .room.a import f as g",
            "def h():\n    from p.room.a import f",
            "from p.room import f",  # the room has it from there
            "from p import room\nroom.f()",
            "import p\np.room.f()",
            "import p\np.f()",
            "import p as q\nq.f()",
        ],
    )
    def test_each_way_to_import_a_module_is_seen(self, tmp_path: Path, statement: str) -> None:
        made = package(
            tmp_path,
            {
                "__init__": "from p.room import f",
                "room/__init__": "from p.room.a import f",
                "room/a": "def f(): ...",
                "b": statement,
            },
        )

        assert "p.room.a" in made.imports["p.b"]

    def test_what_is_of_other_packages_or_compiled_is_not(self, tmp_path: Path) -> None:
        made = package(
            tmp_path, {"a": "import os.path\nfrom p._core import x\nfrom p import _core"}
        )

        assert made.imports["p.a"] == set()

    def test_types_are_apart(self, tmp_path: Path) -> None:
        source = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import p.b\n"
        made = package(tmp_path, {"a": f"{source}else:\n    import p.c", "b": "", "c": ""})

        assert made.imports["p.a"] - {"p"} == {"p.c"}
        assert made.imports_and_types["p.a"] - {"p"} == {"p.b", "p.c"}

    def test_rooms_are_folders_and_files(self, tmp_path: Path) -> None:
        made = package(
            tmp_path,
            {"__main__": "import p.a", "a": "", "b/__init__": "", "b/c": "from p.a import x"},
        )

        assert made.rooms == {"a", "b"}
        assert made.room_imports(types=False) == {"a": set(), "b": {"a"}}


class TestCycles:
    def test_each_is_told_as_a_way_back(self, tmp_path: Path) -> None:
        made = package(
            tmp_path,
            {
                "a": "from p.b import x",
                "b": "def f():\n    from p.c import x",
                "c": "from p.a import x\nfrom p.d import x",
                "d": "from p.e import x",
                "e": "from p.d import x",
            },
        )

        ways = made.cycles()

        assert sorted(sorted(set(way)) for way in ways) == [["p.a", "p.b", "p.c"], ["p.d", "p.e"]]
        assert all(way[0] == way[-1] for way in ways)
        assert all(b in made.imports[a] for way in ways for a, b in pairwise(way))

    def test_a_way_through_types_is_none(self, tmp_path: Path) -> None:
        later = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from p.b import x"

        assert package(tmp_path, {"a": later, "b": "from p.a import y"}).cycles() == []


class TestImporters:
    def test_one_that_exports_or_starts_a_module_does_not_make_it_a_part(
        self, tmp_path: Path
    ) -> None:
        made = package(
            tmp_path,
            {
                "__main__": "from p.a import f",
                "a": "",
                "b": "from p.room.d import f",
                "room/__init__": "from p.room.c import f",
                "room/c": "def f(): ...",
                "room/d": "",
            },
        )

        assert made.with_one_importer() == {"p.room.d": "p.b"}

    def test_two_of_one_name_are_two(self, tmp_path: Path) -> None:
        made = package(tmp_path, {"a": "", "b": "import p.a", "c": "from p import a"})

        assert made.importers["p.a"] == ["p.b", "p.c"]


class TestNames:
    def test_classes_count_wherever_they_are(self, tmp_path: Path) -> None:
        nested = "def f():\n    class A: ..."

        doubled = package(
            tmp_path, {"a": "class A: ...", "b": nested, "c": "class B: ..."}
        ).doubled_classes()

        assert doubled == {"A": ["p.a", "p.b"]}

    def test_a_module_is_named_like_what_its_room_or_the_package_exports(
        self, tmp_path: Path
    ) -> None:
        made = package(
            tmp_path,
            {
                "__init__": 'from p.room import go\n__all__ = ["go"]',
                "room/__init__": (
                    'from p.room.a import go, b, C as c, _d\n__all__ = ["b", "c", "go"]'
                ),
                "room/a": "def b(): ...\ndef go(): ...\ndef _d(): ...\nclass C: ...",
                "room/b": "",
                "room/c": "",
                "room/_d": "",
                "other/__init__": "",
                "other/go": "",
            },
        )

        assert made.named_like_functions() == {"p.room.b": "p.room", "p.other.go": "p"}

    @pytest.mark.torch  # rhoa.train is asked for
    def test_public_functions_of_rhoa_are_those_it_has(self) -> None:
        functions = {name for name in rhoa.__all__ if callable(getattr(rhoa, name))}
        classes = {name for name in functions if isinstance(getattr(rhoa, name), type)}

        assert HOUSE.public_functions("rhoa") == functions - classes

    def test_private_and_public_functions(self, tmp_path: Path) -> None:
        source = (
            "def a():\n    def _inner(): ...\n"
            "def _b(): ...\n"
            "class _C:\n    def __init__(self): ...\n    def d(self): ...\n    def _e(self): ...\n"
            "async def f(): ...\n"
        )

        assert package(tmp_path, {"a": source}).functions() == (2, 3)


class TestRuns:
    def test_files_whose_functions_run_count_and_those_imported_do_not(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        package(
            tmp_path,
            {
                "a": "def f():\n    from p.b import g\n    return g()",
                "b": "from p.c import at_import\nX = [at_import() for _ in '.']\ndef g(): ...",
                "c": "def at_import(): ...\nclass C: ...",
            },
        )
        monkeypatch.syspath_prepend(tmp_path)
        module = _imported("p.a")

        assert LAYOUT.entered(module.f, tmp_path / "p") == ["a.py", "b.py"]

    def test_threads_count(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        package(
            tmp_path,
            {
                "a": (
                    "import threading\nfrom p import b\n"
                    "def f():\n    one = threading.Thread(target=b.g)\n"
                    "    one.start()\n    one.join()"
                ),
                "b": "def g(): ...",
            },
        )
        monkeypatch.syspath_prepend(tmp_path)

        assert LAYOUT.entered(_imported("p.a").f, tmp_path / "p") == ["a.py", "b.py"]


class TestGoals:
    @pytest.mark.parametrize(
        ("expected", "value", "options"),
        [
            (True, 10, {"goal": 10}),
            (False, 11, {"goal": 10}),
            (True, 11, {"goal": 10, "at_least": True}),
            (False, 9, {"goal": 10, "at_least": True}),
            (None, 9, {}),
            (None, None, {"goal": 10}),
        ],
    )
    def test_a_goal_is_reached_or_missed(
        self, expected: object, value: float | None, options: Mapping[str, Any]
    ) -> None:
        assert LAYOUT.Measure("figure", value, **options).met is expected

    @pytest.mark.skipif(
        not (SCRIPT.parents[1] / "python").is_dir(), reason="the package's sources are not here"
    )
    def test_the_table_reports_and_the_gate_decides(self) -> None:
        words = [sys.executable, str(SCRIPT), "--gate"]

        gate = subprocess.run(words, capture_output=True, text=True, check=False)

        assert gate.returncode == int("missed" in gate.stdout)
        assert "modules with code" in gate.stdout


def _imported(name: str) -> ModuleType:
    """A module of the package ``p`` that was made last."""
    import importlib

    for old in [one for one in sys.modules if one.partition(".")[0] == "p"]:
        del sys.modules[old]
    importlib.invalidate_caches()
    return importlib.import_module(name)
