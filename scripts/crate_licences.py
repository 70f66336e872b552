#!/usr/bin/env python3
"""Write THIRD-PARTY-LICENSES.txt: the licences of the Rust crates compiled into ``rhoa._core``.

Run it after a change of Cargo.lock: ``tests/test_licences.py`` fails while the file is behind.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "Cargo.lock"
NOTICES = ROOT / "THIRD-PARTY-LICENSES.txt"
RULE = "=" * 100
HEAD = """\
What is compiled into the extension module rhoa._core, and under which licence.

rhoa itself is under the Apache License 2.0: see LICENSE. A crate that may be taken under several
licences is taken under MIT. Rust's standard library is compiled in, too: Copyright (c) The Rust
Project Contributors, MIT OR Apache-2.0, taken under MIT, whose text is the same as below.

The shape model of the pelvis (rhoa/pose/pelvis_model.npz) is adapted from the pelvis atlas of
Han et al., Phys. Med. Biol. 2019, doi 10.1088/1361-6560/ab1456, published at
https://github.com/rhan93/Altas-of-Pelvis-Segmentation-and-Trajectory-Planning under the Creative
Commons Attribution 4.0 International License (https://creativecommons.org/licenses/by/4.0/),
without warranty. Changed: it holds the mean surface of ten bodies and of their mirror images,
thinned, its principal modes, landmarks, and deformations that are no body's; it holds no surface of
a single body. scripts/pelvis_model.py makes it.
The sacrum in rhoa/phantom/solids.py is two polynomials fitted to the mean of the same ten bodies.
"""


def crates() -> list[dict[str, Any]]:
    """Every crate that Cargo.lock names, as ``cargo metadata`` describes it."""
    return json.loads(_cargo("metadata", "--format-version", "1"))["packages"]


def linked() -> list[dict[str, Any]]:
    """Those that end up inside the extension, on whatever platform, without rhoa's own."""
    inside = _cargo(
        *("tree", "--package", "rhoa-python", "--target", "all", "--edges"),
        *("normal,no-proc-macro", "--prefix", "none", "--no-dedupe", "--format", "{p}"),
    )
    names = {tuple(line.split()[:2]) for line in inside.splitlines()}
    found = [crate for crate in crates() if (crate["name"], f"v{crate['version']}") in names]
    return [crate for crate in found if crate["source"] is not None]


def notices() -> str:
    """The text of the file: a list of crates, then each licence text with those it is of."""
    found = linked()
    listed = [f"{crate['name']} {crate['version']}: {crate['license']}" for crate in found]
    texts: dict[str, list[str]] = {}
    for crate in found:
        texts.setdefault(_text(crate), []).append(crate["name"])
    parts = [f"{RULE}\n{', '.join(names)}\n\n{text}\n" for text, names in texts.items()]
    return "\n".join([HEAD, *listed, "", *parts])


def _text(crate: dict[str, Any]) -> str:
    """The licence text that a crate carries: MIT's if it has one, else its only one."""
    files = sorted(Path(crate["manifest_path"]).parent.glob("LICENSE*"))
    chosen = [file for file in files if file.name.startswith("LICENSE-MIT")] or files
    if len(chosen) != 1:
        raise SystemExit(f"{crate['name']}: {len(chosen)} licence texts; needed is one")
    lines = chosen[0].read_text(encoding="utf-8").strip().splitlines()
    return "\n".join(line.rstrip() for line in lines)


def _cargo(*words: str) -> str:
    command = ["cargo", *words, "--locked"]
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    NOTICES.write_text(notices(), encoding="utf-8")
    print(f"{NOTICES.name}: {len(linked())} crates")
