"""Why hips are left out, and how many at each step: numbers that add up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from rhoa.cohort.manifest import Hip

Exclusion = Literal["prosthesis", "quality", "kl1", "not graded", "not labelled"]


@dataclass(frozen=True, slots=True)
class Rule:
    """A reason to leave hips out: its name in tables, in words, and whose reason it is."""

    name: Exclusion
    words: str
    fits: Callable[[Hip], bool]


# In this order; the first that fits is the reason.
RULES = (
    Rule("prosthesis", "prosthesis", lambda hip: hip.exclusion == "prosthesis"),
    Rule("quality", "quality", lambda hip: hip.exclusion == "quality"),
    Rule("kl1", "KL 1", lambda hip: hip.kl == 1),
    Rule("not graded", "not graded", lambda hip: hip.kl is None),
    Rule("not labelled", "not labelled", lambda _: True),
)
# What a table may say; the other rules follow from the grade.
STATED = ("prosthesis", "quality")


def rule_of(hip: Hip) -> Rule | None:
    """The rule by which a hip is left out; None where it has a label."""
    if hip.label is not None:
        return None
    return next(rule for rule in RULES if rule.fits(hip))


@dataclass(frozen=True, slots=True)
class Flow:
    """Hips at the start, left out by each rule, and left: ``start`` is the sum of the others.

    Examples
    --------
    >>> print(Flow(start=12, excluded={"prosthesis": 1, "KL 1": 3}, left=8))
    12 hips
     1 excluded: prosthesis
     3 excluded: KL 1
     8 left
    """

    start: int
    excluded: Mapping[str, int]
    left: int

    @classmethod
    def of(cls, hips: Iterable[Hip]) -> Flow:
        """Of hips, each left out once, for the first rule that fits; idle rules are not told."""
        reasons = [rule_of(hip) for hip in hips]
        counts = {rule.words: reasons.count(rule) for rule in RULES}
        return cls(
            start=len(reasons),
            excluded={words: count for words, count in counts.items() if count},
            left=reasons.count(None),
        )

    def as_dict(self) -> dict[str, object]:
        """Plain types, for JSON."""
        return {"start": self.start, "excluded": dict(self.excluded), "left": self.left}

    def __str__(self) -> str:
        width = len(str(self.start))
        lines = [f"{count:{width}} excluded: {words}" for words, count in self.excluded.items()]
        return "\n".join([f"{self.start} hips", *lines, f"{self.left:{width}} left"])
