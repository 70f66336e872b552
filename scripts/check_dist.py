#!/usr/bin/env python3
"""Examine what is in ``dist/``: wheels and source distributions, before anybody installs them.

Names, size, contents, what installing it brings, licence texts and the list of Rust crates (SBOM).
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tarfile
import tomllib
import zipfile
from email import message_from_string
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from email.message import Message

ROOT = Path(__file__).resolve().parent.parent
LARGEST_WHEEL = 3_000_000
NEEDED = ["numpy", "pillow", "pydicom", "scipy"]
LICENCES = ("LICENSE", "THIRD-PARTY-LICENSES.txt")


class WrongFileError(Exception):
    """What must not be published, and why."""


def require(right: bool, problem: str) -> None:  # noqa: FBT001  # reads like an assertion
    """Stop at the first thing that is wrong."""
    if not right:
        raise WrongFileError(problem)


def version() -> str:
    """The one place where rhoa's version is written."""
    cargo = tomllib.loads((ROOT / "Cargo.toml").read_text(encoding="utf-8"))
    return str(cargo["workspace"]["package"]["version"])


def sources() -> set[str]:
    """Every file of the package in the source tree, as a wheel names it."""
    files = (path for path in (ROOT / "python").rglob("*") if path.is_file())
    compiled = {".pyc", ".so", ".pyd"}
    return {
        path.relative_to(ROOT / "python").as_posix()
        for path in files
        if path.suffix not in compiled
    }


def check_wheel(path: Path) -> str:
    """One line about a wheel that is fit to be published."""
    size = path.stat().st_size
    tag = "cp314-cp314t" if "cp314t" in path.name else "cp311-abi3"
    require(path.name.startswith(f"rhoa_ct-{version()}-{tag}-"), f"its name is not of {tag}")
    require(size < LARGEST_WHEEL, f"{size} bytes; the limit is {LARGEST_WHEEL}")
    with zipfile.ZipFile(path) as wheel:
        texts = {name: wheel.read(name) for name in wheel.namelist() if not name.endswith("/")}
    info = f"rhoa_ct-{version()}.dist-info"
    package = {name for name in texts if not name.startswith(f"{info}/")}
    extension = {name for name in package if re.fullmatch(r"rhoa/_core\..*(so|pyd)", name)}
    require(len(extension) == 1, f"extension modules: {sorted(extension)}")
    differing = sorted((package - extension) ^ sources())
    require(not differing, f"not in the wheel, or not in the source tree: {differing[:5]}")
    check_metadata(message_from_string(texts[f"{info}/METADATA"].decode()))
    for name in LICENCES:
        own = (ROOT / name).read_bytes()
        require(texts.get(f"{info}/licenses/{name}") == own, f"{name} is not in it as it is here")
    crates = check_sbom([text for name, text in texts.items() if name.startswith(f"{info}/sboms/")])
    return f"{size / 1e6:.2f} MB, {len(package)} files, {crates} crates in its SBOM"


def check_metadata(about: Message) -> None:
    """The version, and that installing rhoa brings the light half only."""
    require(about["Version"] == version(), f"it says version {about['Version']}")
    needs = [line for line in about.get_all("Requires-Dist", []) if "extra ==" not in line]
    names = sorted(re.split(r"[^\w.-]", line)[0].lower() for line in needs)
    require(names == NEEDED, f"it brings {names}; wanted are {NEEDED}")


def check_sbom(documents: list[bytes]) -> int:
    """How many crates the CycloneDX documents list; each linked crate must be among them."""
    listed = {
        f"{part['name']} {part['version']}"
        for document in documents
        for part in json.loads(document).get("components", [])
    }
    notices = (ROOT / "THIRD-PARTY-LICENSES.txt").read_text(encoding="utf-8")
    linked = set(re.findall(r"^(\S+ \d\S*): ", notices, re.MULTILINE))
    absent = sorted(linked - listed)
    require(not absent, f"not in the SBOM: {absent}")
    return len(listed)


def check_sdist(path: Path) -> str:
    """One line about a source distribution from which all can be built."""
    top = f"rhoa_ct-{version()}"
    require(path.name == f"{top}.tar.gz", f"its name is not {top}.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.removeprefix(f"{top}/") for name in archive.getnames()}
        about = archive.extractfile(f"{top}/PKG-INFO")
        check_metadata(message_from_string(about.read().decode() if about else ""))
    wanted = {f"python/{name}" for name in sources()}
    wanted |= {"Cargo.toml", "Cargo.lock", "pyproject.toml", "README.md", *LICENCES}
    absent = sorted(wanted - names)
    require(not absent, f"not in it: {absent[:5]}")
    return f"{path.stat().st_size / 1e6:.2f} MB, {len(names)} files"


def main() -> int:
    """Examine the files that are named, or all of ``dist/``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--tag", help="examine no file: only whether this tag is the version")
    options = parser.parse_args()
    if options.tag is not None:
        right = options.tag == f"v{version()}"
        print(f"the tag is {options.tag}, the version in Cargo.toml {version()}")
        return 0 if right else 1
    paths = options.files or sorted((ROOT / "dist").glob("rhoa_ct-*"))
    if not paths:
        print("dist/ is empty: build first, with scripts/wheel", file=sys.stderr)
        return 1
    for path in paths:
        try:
            line = check_wheel(path) if path.suffix == ".whl" else check_sdist(path)
        except WrongFileError as problem:
            print(f"{path.name}: {problem}", file=sys.stderr)
            return 1
        print(f"{path.name}: {line}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
