"""What distributions and crates say of their licence, and whether rhoa may depend on them.

The rule: no copyleft of the GPL family (GPL, AGPL, LGPL) nor of SSPL, in what rhoa needs, in any of
its extras, and in the crates it is built of. LGPL is in the rule because crates are linked
statically, and because one rule for both halves is easier to keep. Weak copyleft by file (MPL) and
proprietary runtimes (CUDA, which torch brings) may stay: they ask nothing of those who use rhoa.
"""

from __future__ import annotations

import re
from collections import deque
from importlib import metadata
from typing import NamedTuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

COPYLEFT = re.compile(r"GPL|General Public Licen[cs]e|SSPL|Server Side Public", re.IGNORECASE)
EXCEPTIONS = {
    "docutils": "BSD and public domain; its GPL part is an Emacs mode that is not installed",
    "cuda-toolkit": "names the nvidia-* distributions, and holds no file of its own",
}


class Closure(NamedTuple):
    """What a distribution leads to: what is installed of it, and the names of what is not."""

    installed: dict[str, metadata.Distribution]
    missing: set[str]


def is_free(expression: str) -> bool:
    """Whether an SPDX expression has an alternative without copyleft (``/`` is an old ``OR``)."""
    words = deque(re.findall(r"[()]|[^\s()]+", expression.replace("/", " OR ")))
    return _any_of(words)


def _any_of(words: deque[str]) -> bool:
    free = _all_of(words)
    while words and words[0].upper() == "OR":
        words.popleft()
        free = _all_of(words) or free
    return free


def _all_of(words: deque[str]) -> bool:
    free = _one(words)
    while words and words[0].upper() in {"AND", "WITH"}:
        words.popleft()
        free = _one(words) and free
    return free


def _one(words: deque[str]) -> bool:
    word = words.popleft()
    if word != "(":
        return COPYLEFT.search(word) is None
    free = _any_of(words)
    words.popleft()
    return free


def objection(distribution: metadata.Distribution) -> str | None:
    """Why rhoa must not depend on a distribution; None where there is nothing against it.

    The expression, the classifiers and the first line of the old field each can object: the rest of
    that field is often the whole text of several licences.
    """
    if canonicalize_name(distribution.name) in EXCEPTIONS:
        return None
    about = distribution.metadata
    expression = about.get("License-Expression")
    classifiers = [line for line in about.get_all("Classifier", []) if line.startswith("License")]
    field = (about.get("License") or "").strip().splitlines()[:1]
    if expression is not None and not is_free(expression):
        return f"{distribution.name}: {expression}"
    bound = [line for line in (*classifiers, *field) if COPYLEFT.search(line)]
    if bound:
        return f"{distribution.name}: {bound[0]}"
    if expression is None and not classifiers and not field:
        return f"{distribution.name}: says nothing of its licence"
    return None


def closure(root: str) -> Closure:
    """Everything that ``root`` needs, with all of its extras, and what that needs in turn."""
    found = Closure({}, set())
    todo = deque((root, extra) for extra in ["", *_extras(root)])
    seen = set(todo)
    while todo:
        name, extra = todo.popleft()
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            found.missing.add(name)
            continue
        found.installed[name] = distribution
        for needed in map(Requirement, distribution.requires or []):
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                steps = {(canonicalize_name(needed.name), also) for also in ["", *needed.extras]}
                todo.extend(sorted(steps - seen))
                seen |= steps
    return found


def _extras(name: str) -> list[str]:
    return metadata.metadata(name).get_all("Provides-Extra", [])
