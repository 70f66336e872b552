"""Who a hip is in a study: subject, visit and side, however a table or an image spells them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from rhoa.pose.sides import SIDES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rhoa.pose.sides import Side

SIDE_WORDS: Mapping[Side, tuple[str, ...]] = {
    "left": ("left", "l", "apl", "li", "links"),  # CHECK's tables are Dutch: links, rechts
    "right": ("right", "r", "apr", "re", "rechts"),
}
OAI_SIDES: Mapping[str, Side] = {"1": "right", "2": "left"}  # SIDE in the OAI's tables of readings
LONGEST_SUBJECT = 7  # digits


class HipId(NamedTuple):
    """A hip at a visit: subject without leading zeros, visit ("T02", "V00"), side."""

    subject: str
    visit: str
    side: Side


@dataclass(frozen=True, slots=True)
class Study:
    """How a study numbers its visits: the letter, others that images bear, and the last number."""

    name: str
    letter: str
    other_letters: tuple[str, ...]
    last_visit: int

    @property
    def _letters(self) -> str:
        return "|".join((self.letter, *self.other_letters))

    def visit(self, text: str) -> str | None:
        """``T02`` from T02, T2, 02, 2 or 2.0; None where it is no visit of the study.

        Examples
        --------
        >>> CHECK.visit("t2"), CHECK.visit("T11"), OAI.visit("6")
        ('T02', None, 'V06')
        """
        match = re.fullmatch(rf"(?:{self._letters})?([0-9]{{1,2}})", whole(text), re.IGNORECASE)
        if match is None or int(match[1]) > self.last_visit:
            return None
        return f"{self.letter}{int(match[1]):02d}"

    def hip(self, text: str) -> HipId | None:
        """The hip of an id such as 3088_T02_APL, zero-padded or not; None where it is no id.

        Subject, visit and side, or visit, subject and side (OI00_9000099_APL).

        Examples
        --------
        >>> CHECK.hip("0003088_T02_APL")
        HipId(subject='3088', visit='T02', side='left')
        """
        parts = text.strip().split("_")
        if len(parts) != 3:
            return None
        first, second, last = parts
        for subject, visit in ((first, second), (second, first)):
            # A bare number is no visit here: it may be the subject.
            named = self.visit(visit) if visit[:1].isalpha() else None
            found, side = subject_of(subject), side_of(last)
            if found and named and side:
                return HipId(found, named, side)
        return None

    def image(self, stem: str) -> HipId | None:
        """The hip of an image by its name, which may have a word before it: Cropped_3088_T00_APR.

        Examples
        --------
        >>> CHECK.image("Cropped_0003088_T00_APR")
        HipId(subject='3088', visit='T00', side='right')
        """
        bare = re.sub(r"^[A-Za-z]+_", "", stem.strip())
        return self.hip(stem) or self.hip(bare)

    def image_name(self, hip: HipId) -> str:
        """The name that an image of the hip has in the study.

        Examples
        --------
        >>> CHECK.image_name(HipId("3088", "T02", "left"))
        '0003088_T02_APL'
        """
        letter = "L" if hip.side == "left" else "R"
        return f"{hip.subject:0>{LONGEST_SUBJECT}}_{hip.visit}_AP{letter}"


CHECK = Study("CHECK", "T", (), 10)
OAI = Study("OAI", "V", ("OI",), 11)


def whole(text: str) -> str:
    """A text without blanks around it, and a whole number without decimals: "3088.0" is "3088".

    Programs that know of missing values write whole numbers so.
    """
    return re.sub(r"(?<=[0-9])\.0+$", "", text.strip())


def subject_of(text: str) -> str | None:
    """A subject's number without leading zeros; None where it is none."""
    match = re.fullmatch(rf"0*([0-9]{{1,{LONGEST_SUBJECT}}})", whole(text))
    return match and match[1]


def side_of(text: str, numbers: Mapping[str, Side] | None = None) -> Side | None:
    """The side that a word or, where a study has them, a number means; None where it is none."""
    word = whole(text).casefold()
    if numbers and word in numbers:
        return numbers[word]
    return next((side for side in SIDES if word in SIDE_WORDS[side]), None)


def in_order(hip: HipId) -> tuple[int, str, str]:
    """What hips are sorted by: the subject's number, visit, side."""
    return int(hip.subject), hip.visit, hip.side
