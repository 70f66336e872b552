"""Words for hip, pelvis, sides, other parts and views in what films are called, in many languages.

Words are matched whole. A side that is overlooked is asked for, and one that is misread is the
wrong hip of a patient: letters such as L or R count only beside a word for the hip, and none in a
text that names another part of the body.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Literal, NamedTuple

from rhoa.pose.sides import SIDES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rhoa.pose.sides import Side

_GLUED = r"\b(?:LT|RT|LE|RI|L|R|BI|BOTH)?"
_PELVIS = re.compile(rf"PELVI|BEKKEN|LANTIO|BECKEN|{_GLUED}(?:BASSIN|BACINO)\b")
_JOINT = (
    r"HIPS?|COXAE?|HEUP\w*|HUE?FT\w*|HOE?FT\w*|HANCHES?|CADERAS?|ANCHE|ANCA|BIODR\w*|"
    r"FEMUR|FEMOR\w*|ACETABUL\w*|LONKK\w*|LONKA\w*|COXARTHR\w*"
)
_HIP = re.compile(rf"ACETABUL|LONKK|LONKA|COXARTHR|{_GLUED}(?:{_JOINT})\b")
_PARTS = {
    "knee": "KNEES?|KNIE\\w*|POLVI|POLVET|POLVEN|GENOUX?|PATELLA\\w*|TIBIA\\w*|TIB|FIBULA\\w*",
    "foot or ankle": "FOOT|FEET|ANKLES?|TOES?|CALCANE\\w*|HEELS?|VOET\\w*|ENKELS?|TARS\\w*",
    "hand or wrist": "HANDS?|WRISTS?|FINGERS?|THUMBS?|CARP\\w*|METACARP\\w*|POLS|HAENDE",
    "arm or shoulder": "SHOULDERS?|ELBOWS?|FOREARMS?|HUMERUS|CLAVICLES?|SCAPULAE?|SCHOUDERS?|"
    "UPPER ?ARM|SCHULTER\\w*|RADIUS|ULNA",
    "chest": "CHEST\\w*|THORAX\\w*|LUNGS?|RIBS?|STERNUM|KEUHKO\\w*",
    "spine": "[CTL]?SPINES?|[CTL]SSPINE|LUMBAR|THORACIC|CERVICAL|SPINAL|WERVEL\\w*|WIRBEL\\w*|"
    "SCOLIOSIS|LUMB\\w*SPINE",
    "abdomen": "ABDOMEN|ABDOMINAL|KUB|BUIK\\w*|VATSA",
    "head or neck": "SKULL|HEAD|FACE|FACIAL|ORBITS?|SINUS\\w*|JAW|MANDIB\\w*|TEETH|DENTAL|NECK",
    "breast": "BREASTS?|MAMMO?\\w*",
}
OTHER_PARTS = {part: re.compile(_GLUED + rf"(?:{stems})\b") for part, stems in _PARTS.items()}
_VIEWS = {
    "frog-leg": r"FROG\w*|LAUENSTEIN",
    "false profile": r"FALSE ?PROFILE|FAUX ?PROFIL|LEQUESNE",
    "decubitus": r"[RL]LD|DECUB\w*",
    "oblique": r"OBL|OBLI|OBLIQUE|[RL]LO|[LR][AP]O|JUDET",
    "lateral": r"LATERAL|LAT|LATS|[RL]L|[LR]LAT|LATERALE?N?|PROFIL|SIVUKUVA|SEITLICH|SAGITTAL|"
    r"MEDIOLATERAL|LATEROMEDIAL|X ?TABLE|CROSS ?TABLE|DUNN",
    "axial, inlet or outlet": r"AXIAL|AXIOLATERAL|INLET|OUTLET|TANGENTIAL|SUNRISE|SKYLINE|"
    r"CRANIO ?CAUDAL|CAUDO ?CRANIAL",
}
OTHER_VIEWS = {view: re.compile(rf"\b(?:{stems})\b") for view, stems in _VIEWS.items()}
FRONTAL = re.compile(r"\b(?:AP|PA|FRONTAL|ANTERO ?POSTERIOR|POSTERO ?ANTERIOR|VOORACHTERW\w*)\b")


def _sides(left: str, right: str) -> dict[str, Side]:
    return dict.fromkeys(left.split(), SIDES[0]) | dict.fromkeys(right.split(), SIDES[1])


_SPELT = _sides(
    "LEFT LINKS LINKE LINKER LINKES GAUCHE IZQUIERDA IZQUIERDO SINISTRA ESQUERDA ESQUERDO VASEN "
    "VASEMMAN VANSTER VENSTRE LEWE LEWEGO",
    "RIGHT RECHTS RECHTE RECHTER RECHTES DROITE DERECHA DESTRA DIREITA DIREITO OIKEA OIKEAN "
    "HOJRE HOYRE PRAWE PRAWEGO",
)
"""Sides wherever they stand in a text."""
_LETTERS = _sides("L LT LFT", "R RT RGT")
_BESIDE: Sequence[tuple[re.Pattern[str], dict[str, Side]]] = [
    (re.compile(pattern), letters)
    for pattern, letters in (
        (r"HIPS?|FEMUR|FEMOR\w*|ACETABUL\w*|COX\w*", _LETTERS),
        (r"HUE?FT\w*|HEUP\w*|BIODR\w*", _LETTERS | _sides("LI LKS", "RE RTS")),
        (r"HANCHES?", _sides("G GCHE", "D DTE DROIT")),
        (r"CADERAS?", _sides("IZQ IZDA", "DER DCHA DERECHO")),
        (r"ANCA|ANCHE", _sides("SX SIN", "DX DS")),
        (r"HOE?FT\w*", _sides("V VA SIN", "H HO HOGER DXT DX")),
        (r"LONKK\w*|LONKA\w*", _sides("V VAS", "O OIK")),
    )
]
"""Sides beside such a word for the hip alone; DX also means the modality, and counts behind it."""
_PREFIXED = re.compile(rf"(LT|RT|LE|RI|L|R)(?:{_JOINT})")
_SUFFIXED = re.compile(r"(?:HIP|FEMUR)(LT|RT|L|R)")
_BOTH = re.compile(
    r"(?:BI|BOTH)(?:HIPS?|FEMUR)|BOTH|BILAT|BILATERAL\w*|BEIDE\w*|BEIDSEIT\w*|BEIDERSEITS|BDS|"
    r"AMBAS|ENTRAMBE|MOLEMMAT|BADA|BEGGE|OBU"
)
_SEVERAL = re.compile(r"HIPS|HANCHES|CADERAS|HEUPEN|HUE?FTEN|HOFTER|LONKAT")
_NEUTRAL = re.compile(
    r"AP|PA|FACE|JOINT|GELENK|UNI|UNILAT|UNILATERAL|WB|SUPINE|STANDING|VIEWS?|\d+V?"
)
"""What may stand between a hip and its side; "face" is French for frontal here."""
_JOINING = frozenset(["AND", "UND", "ET", "Y", "E", "EN", "JA", "OCH", "OG", "I"])
_SIGNS = str.maketrans({"Ø": "O", "左": " LEFT ", "右": " RIGHT ", "両": " BOTH ", "双": " BOTH "})


class Named(NamedTuple):
    """What a text names."""

    side: Side | Literal["both"] | None
    word: str
    """The word for the side, of this module; empty where there is none."""
    pelvis: bool
    """Whether it names the pelvis, or hips."""
    hip: bool


def plain(text: str) -> str:
    """Upper-case letters and single blanks; accents are taken off."""
    return " ".join(re.sub(r"[^A-Z]+", " ", _bare(text)).split())


def names_hip(text: str) -> bool:
    """Whether a text as `plain` makes it names a hip or the pelvis."""
    return bool(_HIP.search(text) or _PELVIS.search(text))


def named_in(text: str) -> Named:
    """The parts and the side that a description names.

    Examples
    --------
    >>> named_in("XR Hip AP, L").side, named_in("Hüfte re. ap").side
    ('left', 'right')
    >>> named_in("L5 and hip").side is None
    True
    """
    letters = plain(text)
    tokens = [one for one in re.findall(r"[A-Z0-9]+", _bare(text)) if not _NEUTRAL.fullmatch(one)]
    several = next((one for one in tokens if _SEVERAL.fullmatch(one)), "")
    parts = bool(_PELVIS.search(letters) or several), bool(_HIP.search(letters)) and not several
    kept = " ".join(tokens)
    if any(pattern.search(kept) for pattern in OTHER_PARTS.values()):
        return Named(None, "", *parts)
    both = next((one for one in tokens if _BOTH.fullmatch(one)), "")
    if both:
        return Named("both", both, *parts)
    is_frontal = not any(pattern.search(letters) for pattern in OTHER_VIEWS.values())
    found = _beside_hips(tokens)
    if is_frontal:  # else "left lateral" may be how the beam went
        found += [(_SPELT[one], one) for one in tokens if one in _SPELT]
    sides = {side for side, _ in found}
    if len(sides) == 1:
        return Named(*found[0], *parts)
    if len(sides) == 2 and _are_joined(tokens):
        return Named("both", " AND ".join(dict.fromkeys(word for _, word in found)), *parts)
    return Named("both", several, *parts) if several and not sides else Named(None, "", *parts)


def side_of_value(text: str) -> Side | Literal["both"] | None:
    """The side that a value of Laterality states: a letter, or a word for it."""
    tokens = re.findall(r"[A-Z]+", _bare(text))
    if any(one == "B" or _BOTH.fullmatch(one) for one in tokens):
        return "both"
    sides = {(_SPELT | _LETTERS).get(one) for one in tokens} - {None}
    return "both" if len(sides) == 2 else next(iter(sides), None)


def _bare(text: str) -> str:
    letters = unicodedata.normalize("NFKD", text.upper().translate(_SIGNS))
    return "".join(sign for sign in letters if not unicodedata.combining(sign))


def _beside_hips(tokens: Sequence[str]) -> list[tuple[Side, str]]:
    """Sides, and the words for them, in the runs of such words before and behind each hip."""
    found = []
    for place, token in enumerate(tokens):
        glued = _PREFIXED.fullmatch(token) or _SUFFIXED.fullmatch(token)
        if glued:
            found.append((SIDES[0] if glued[1][0] == "L" else SIDES[1], glued[1]))
            continue
        for pattern, letters in _BESIDE:
            if not pattern.fullmatch(token):
                continue
            known = _SPELT | letters
            for run, step in ((tokens[:place][::-1], -1), (tokens[place + 1 :], 1)):
                for word in run:
                    if word in known and not (word == "DX" and step < 0):
                        found.append((known[word], word))
                    elif word not in _JOINING:
                        break
    return found


def _are_joined(tokens: Sequence[str]) -> bool:
    """Whether two sides have an "and" between them: a slash may stand for either."""
    known = _SPELT | _LETTERS
    return any(
        first in known and second in _JOINING and third in known
        for first, second, third in zip(tokens, tokens[1:], tokens[2:], strict=False)
    )
