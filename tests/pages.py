"""The pages of this repository, their code blocks, and the commands they show."""

from __future__ import annotations

import re
import shlex
import tomllib
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from io import StringIO
from itertools import groupby
from pathlib import Path
from string import Template
from typing import NamedTuple

from rhoa import cli

ROOT = Path(__file__).parents[1]
BUILT = ROOT / "docs" / "_build"
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md")),
    *(page for page in sorted(ROOT.glob("docs/**/*.md")) if BUILT not in page.parents),
]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]

BLOCK = re.compile(r"^```([\w{}-]*)[^\n]*\n(.*?)^```$", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"(?<!`)`(rhoa [^`]+)`(?!`)")
OTHER_PROGRAMS = {"cargo", "export", ".venv/bin/maturin"}
CLUSTER = {"SLURM_ARRAY_TASK_ID": "1"}


class Block(NamedTuple):
    """A fenced block of a page."""

    language: str
    text: str


def blocks(name: str, *languages: str) -> list[Block]:
    """The blocks of a page in these languages; of all where none is named."""
    found = (Block(*match) for match in BLOCK.findall((ROOT / name).read_text(encoding="utf-8")))
    return [block for block in found if not languages or block.language in languages]


def commands(shell: str) -> Iterator[list[str]]:
    """The commands of a shell block, as words, without comments and redirections."""
    for line in shell.replace("\\\n", " ").splitlines():
        words = shlex.split(Template(line).safe_substitute(CLUSTER), comments=True)
        for joined, part in groupby(words, key=lambda word: word == "&&"):
            if not joined:
                command = list(part)
                yield command[: command.index(">")] if ">" in command else command


def objection(command: list[str]) -> str:
    """Why a command would not run as it is printed; empty if it would."""
    program, *words = command
    checks = {
        "srun": objection,
        "rhoa": _refused_by_rhoa,
        "torchrun": _refused_by_torchrun,
        "pip": _unknown_extra,
        "python": _refused_by_python,
        "python3": _refused_by_python,
    }
    check = checks.get(program.rpartition("/")[2])
    if check is not None:
        return check(words)
    known = program in OTHER_PROGRAMS or (ROOT / program).is_file()
    return "" if known else f"{program} is no program that pages may use"


@cache
def _parser() -> ArgumentParser:
    return cli.parser()


def _refused_by_rhoa(words: list[str]) -> str:
    said = StringIO()
    try:
        with redirect_stderr(said), redirect_stdout(StringIO()):
            _parser().parse_args(words)
    except SystemExit as leave:
        return said.getvalue() if leave.code else ""
    return ""


def _refused_by_torchrun(words: list[str]) -> str:
    from torch.distributed.run import get_args_parser

    options = get_args_parser().parse_args(words)
    if not (options.module and options.training_script == "rhoa"):
        return "torchrun is to start -m rhoa"
    return _refused_by_rhoa(options.training_script_args)


def _unknown_extra(words: list[str]) -> str:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = re.findall(r"(?:rhoa|\.)\[([\w,-]+)\]", " ".join(words))
    extras = {extra for group in wanted for extra in group.split(",")}
    return "".join(f"no extra {name}; " for name in extras - set(project["optional-dependencies"]))


def _refused_by_python(words: list[str]) -> str:
    if words[:2] == ["-m", "venv"]:
        return ""
    if words[:2] == ["-m", "rhoa"]:
        return _refused_by_rhoa(words[2:])
    script = words[2:] if words[:2] == ["-m", "pytest"] else words[:1]
    files = [word for word in script if not word.startswith("-")]
    missing = [word for word in files if not (ROOT / word).exists()]
    if missing:
        return f"there is no {', '.join(missing)}"
    source = (ROOT / files[0]).read_text(encoding="utf-8") if words[0] != "-m" else ""
    options = [word for word in words if word.startswith("--")]
    return "".join(f"no option {one}; " for one in options if f'"{one}"' not in source)


@cache
def help_of(verb: str) -> str:
    """What ``rhoa VERB --help`` prints; empty where there is no such verb."""
    said = StringIO()
    try:
        with redirect_stdout(said), redirect_stderr(StringIO()):
            cli.main([verb, "--help"])
    except SystemExit as leave:
        return "" if leave.code else said.getvalue()
    return said.getvalue()


def inline_commands(name: str) -> list[list[str]]:
    """The words of every ``rhoa ...`` in the sentences of a page."""
    prose = BLOCK.sub("", (ROOT / name).read_text(encoding="utf-8"))
    return [shlex.split(text.replace("\n", " ")) for text in INLINE.findall(prose)]
