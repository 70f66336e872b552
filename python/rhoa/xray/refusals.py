"""What a film shows: both hips, one of them, or no frontal hip; and the words that tell.

Statements of a file are compared with each other and with the size of the image. Two that
contradict each other are an error that quotes both; nothing is guessed. Texts of a file are matched
with words of `rhoa.xray.refusals`, and only these are ever shown: free text may hold a name.
"""

from __future__ import annotations

import re
import unicodedata
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeGuard

from rhoa._types import SIDES
from rhoa.errors import ParameterError, ViewError, require_names
from rhoa.radiograph import UNKNOWN_SIZE, Radiograph
from rhoa.xray.grey_levels import DESCRIPTIONS
from rhoa.xray.margins import content

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from numpy.typing import ArrayLike

    from rhoa._types import Side
    from rhoa.errors import WarningCollector
    from rhoa.xray.grey_levels import Tags
    from rhoa.xray.margins import Content


# Words for hip, pelvis, sides, other parts and views in what films are called, in many languages.
#
# Words are matched whole. A side that is overlooked is asked for, and one that is misread is the
# wrong hip of a patient: letters such as L or R count only beside a word for the hip, and none in a
# text that names another part of the body.

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
    if any(pattern.search(" ".join(tokens)) for pattern in OTHER_PARTS.values()):
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
    known = _SPELT | _LETTERS
    joined = any(  # by an "and", which a slash may stand for
        first in known and second in _JOINING and third in known
        for first, second, third in zip(tokens, tokens[1:], tokens[2:], strict=False)
    )
    if len(sides) == 2 and joined:
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


# What is no frontal X-ray of a hip or the pelvis, as far as a file says.
#
# Elements that are empty or say nothing that is known are no reason to refuse. Texts of a file are
# matched with the words of `rhoa.xray.refusals`, and only names of this module are ever shown: free
# text may hold a name.

REFUSALS: Mapping[str, str] = MappingProxyType(
    {
        "modality": "is of CT, MR, ultrasound or whatever makes no X-rays",
        "part": "is said to be of another part of the body",
        "view": "is said to be a lateral, oblique or other view that is not frontal",
        "raw": "holds what the detector measured (FOR PROCESSING), not what is looked at",
        "text": "has text burned into its pixels (BurnedInAnnotation), perhaps a name",
        "size": "is tiny, very long, or of an impossible size in mm",
        "shutter": "shows what a circular shutter leaves, as fluoroscopy does",
        "colour": "is a colour picture, whose brightness is taken",
        "side": "contradicts itself on the side, or contradicts what is given",
        "half": "has the box of a hip in the half of the other side",
        "outside": "has the box of a hip that lies partly outside it",
        "box": "has the box of a hip of an implausible size",
    }
)
"""Every refusal that can be overruled by name, and what is read all the same."""

MODALITIES = frozenset(["", "CR", "DX", "DR", "RG", "RF", "XR", "XA", "OT", "SC", "HC", "FS"])
"""X-rays, and what digitised films and secondary captures call themselves."""
_OTHER_CLASSES = frozenset("CT MR Enhanced Legacy Ultrasound Nuclear Positron RT VL".split())  # noqa: SIM905
"""First words of the names of storage classes that hold no X-rays."""

LEAVE_OUT = "read_xray needs a frontal X-ray of a hip or the pelvis: leave the file out"
LEAST_PIXELS, MOST_ASPECT = 64, 2.5
LEAST_FIELD_MM, MOST_FIELD_MM = 50.0, 1600.0
"""Of the longer side: a hip fits into the first, a long-leg film into the second."""


def accepted(accept: str | Collection[str]) -> frozenset[str]:
    """The refusals that ``accept`` overrules: one, several with commas between, or a collection.

    Raises
    ------
    ParameterError
        If there is no refusal of such a name.
    """
    return require_names("accept", accept, REFUSALS, kind="refusals")


def refuse(kind: str, what: str, accept: Collection[str], *, remedy: str = LEAVE_OUT) -> None:
    """Raise a `ViewError` that tells ``what`` was found, unless its ``kind`` is accepted."""
    if kind not in accept:
        raise ViewError(f'{what}; {remedy}, or pass accept="{kind}" to read it all the same.')


def check_tags(tags: Tags, accept: Collection[str]) -> None:
    """Check that a header may be that of a frontal X-ray of a hip or the pelvis.

    Raises
    ------
    ViewError
        If it is said to be of something else.
    """
    circular = "CIRCULAR" in tags.words.get("ShutterShape", "")
    raw = tags.intent == "FOR PROCESSING"
    found = {
        "modality": _other_modality(tags),
        "part": _other_part(tags.words),
        "view": _other_view(tags),
        "shutter": "ShutterShape is CIRCULAR, as of fluoroscopy" if circular else "",
        "raw": "PresentationIntentType is FOR PROCESSING: raw values of the detector"
        if raw
        else "",
        "text": "BurnedInAnnotation is YES: its pixels hold text, perhaps a name"
        if tags.header.burned_in
        else "",
    }
    for kind, what in found.items():
        if what:
            refuse(kind, f"{tags.header.name}: {what}", accept)


def check_shape(
    name: str,
    shape: tuple[int, int],
    pixel_mm: tuple[float, float] | None,
    accept: Collection[str],
) -> None:
    """Check that an image has the size of an X-ray, in pixels and, where it says so, in mm.

    Raises
    ------
    ViewError
        If it has not.
    """
    rows, columns = shape
    if min(shape) < LEAST_PIXELS:
        what = f"{name}: {rows} x {columns} pixels, fewer than {LEAST_PIXELS} a side"
        refuse("size", what, accept)
    down, across = pixel_mm or (1.0, 1.0)
    height, width = rows * down, columns * across
    if max(height, width) > MOST_ASPECT * min(height, width):
        what = (
            f"{name}: {rows} x {columns} pixels: one side is more than {MOST_ASPECT:g} times the "
            "other"
        )
        refuse("size", what, accept)
    if pixel_mm is not None and not LEAST_FIELD_MM <= max(height, width) <= MOST_FIELD_MM:
        what = (
            f"{name}: its pixel size makes {height:.4g} x {width:.4g} mm of it, and the longer "
            f"side of an X-ray is {LEAST_FIELD_MM:g} to {MOST_FIELD_MM:g} mm"
        )
        refuse("size", what, accept)


def _other_modality(tags: Tags) -> str:
    from pydicom.uid import UID

    modality = tags.header.modality.upper()
    if modality not in MODALITIES:
        known = modality if re.fullmatch("[A-Z]{2,4}", modality) else "unknown"
        return f"modality {known}, not CR or DX"
    storage = UID(tags.header.sop_class, validation_mode=0).name.split()
    if not modality and storage and storage[0] in _OTHER_CLASSES:
        return f"no modality, but a storage class of {storage[0]} images"
    return ""


def _other_part(words: Mapping[str, str]) -> str:
    """What the first element that names a part says, where that is another than a hip."""
    formal = ("AnatomicRegionSequence", "BodyPartExamined", "ViewCodeSequence")
    for element in (*formal, *DESCRIPTIONS):
        text = plain(words.get(element, ""))
        if names_hip(text):
            return ""
        for part, pattern in OTHER_PARTS.items():
            if pattern.search(text):
                return f"{element} names another part ({part})"
    return ""


def _other_view(tags: Tags) -> str:
    """What says that the image is not frontal; descriptions count where no element does."""
    ahead = [part[:1] for part in tags.orientation[:2]]
    if len(ahead) == 2 and set(ahead) & {"A", "P"}:
        return "PatientOrientation is that of a view from the side or from above"
    said = [name for name in ("ViewPosition", "ViewCodeSequence") if name in tags.words]
    nearest = [name for name in DESCRIPTIONS[:3] if name in tags.words]
    for element in said or nearest:
        text = plain(tags.words[element])
        if not said and FRONTAL.search(text):
            continue
        for view, pattern in OTHER_VIEWS.items():
            if pattern.search(text):
                return f"{element} names another view ({view})"
    return ""


# Which hips a film shows: both, one of them, or what has to be asked; and what told it.

Hips = Literal["both", "left", "right"]
Shows = Literal["both", "left", "right", "unknown"]
HIPS: tuple[Hips, ...] = ("both", *SIDES)
PELVIS = "pelvis"
ONE_HIP_MM, BOTH_HIPS_MM = 250.0, 300.0
"""Widths: a narrower image cannot hold both hips of an adult; a landscape that is wider does."""
LANDSCAPE = 1.15
"""Width by height from which an image is a landscape, as pelves are taken."""

_OF_THE_STUDY = DESCRIPTIONS[3:]
_ELEMENTS = (
    *("ImageLaterality", "AnatomicRegionSequence", "BodyPartExamined", "Laterality"),
    *DESCRIPTIONS,
)
ASK = 'pass side="left", side="right" or, where it shows both hips, side="both"'


class FilmHips(NamedTuple):
    """The hips that a film shows, and what told it (where they are unknown: why)."""

    shows: Shows
    source: str

    @property
    def alone(self) -> Side | None:
        """The side of the only hip; None where there are two, or where nothing is known."""
        return next((side for side in SIDES if side == self.shows), None)


class Extent(NamedTuple):
    """Height and width of what an image shows between its margins."""

    height: float
    width: float
    in_mm: bool

    @classmethod
    def of(cls, inner: Content, pixel_mm: tuple[float, float] | None) -> Extent:
        """Of the inner part of an image, whose pixels may be of unknown size."""
        down, across = pixel_mm or (1.0, 1.0)
        height, width = (inner.bottom - inner.top) * down, (inner.right - inner.left) * across
        return cls(height, width, pixel_mm is not None)

    @property
    def holds(self) -> Literal["one", "both", "unclear"]:
        """How many hips have room in it, where its size tells."""
        if self.in_mm and self.width < ONE_HIP_MM:
            return "one"
        wide = self.width >= LANDSCAPE * self.height
        return "both" if wide and (not self.in_mm or self.width >= BOTH_HIPS_MM) else "unclear"

    def __str__(self) -> str:
        unit = "mm" if self.in_mm else "pixels"
        return f"{self.width:.0f} x {self.height:.0f} {unit} (width x height)"


class _Claim(NamedTuple):
    """What one element says: a side, both hips or the pelvis, or a hip of no side."""

    element: str
    says: Literal["left", "right", "both", "a hip"]
    word: str

    def __str__(self) -> str:
        shown = f" ({self.word})" if self.word else ""
        return f"{self.element} says {self.says}{shown}"


def film_hips(
    name: str,
    words: Mapping[str, str],
    extent: Extent,
    *,
    side: Hips | None,
    accept: Collection[str],
    findings: WarningCollector,
) -> FilmHips:
    """Which hips a film shows, by what is given, by its elements and by its size, in this order.

    Parameters
    ----------
    name
        Of the file, for messages.
    words
        Texts of the file by element; of a picture none.
    extent
        Of what the image shows.
    side
        What the user says that it shows.
    accept
        With ``"side"``, the sides that the elements say are left aside.
    findings
        Takes the warning that a stray Laterality was not believed.

    Raises
    ------
    ViewError
        If elements contradict each other, or all of them contradict ``side``.
    """
    claims = _claims(words)
    if side is not None:
        if "side" not in accept:
            _check_given(name, claims, side, extent)
        return FilmHips(side, "given")
    if "side" in accept:
        claims = [one._replace(says="a hip") if one.says in SIDES else one for one in claims]
    sided = [claim for claim in claims if claim.says in SIDES]
    both = [claim for claim in _near(claims) if claim.says == "both"]
    if any(claim.element == "ImageLaterality" for claim in both):
        sided = [claim for claim in sided if claim.element != "Laterality"]  # it gives way
    other = next((claim for claim in sided if claim.says != sided[0].says), None)
    if other is not None:
        _contradict(name, sided[0], other)
    if sided and not _near(sided) and both and extent.holds != "one":
        sided = []  # a study of one hip has films of the pelvis, too
    if not sided:
        return _unsided(claims, extent)
    is_wide = extent.holds == "both" and all(claim.says != "a hip" for claim in claims)
    is_stray = is_wide and all(claim.element == "Laterality" for claim in sided)
    if is_stray:
        return _of_stray(name, sided[0], both, extent, findings)
    if both and (extent.holds != "one" or both[0].element == "ImageLaterality"):
        _contradict(name, sided[0], both[0])
    return FilmHips("left" if sided[0].says == "left" else "right", sided[0].element)


def is_measured(image: Radiograph | ArrayLike) -> TypeGuard[Radiograph]:
    """Whether an image knows the size of its pixels."""
    return isinstance(image, Radiograph) and image.provenance.get("pixel_mm_from") != UNKNOWN_SIZE


def hips_of(image: Radiograph | ArrayLike) -> FilmHips:
    """Which hips an image shows: both, unless it is an X-ray of which another is known."""
    told = image.provenance if isinstance(image, Radiograph) else {}
    shows, source = told.get("hip", ""), told.get("hip_from", "")
    return FilmHips("both" if shows == "" else shows, source)


def settled(
    image: Radiograph | ArrayLike, named: Mapping[Side, str], *, accept: Collection[str] = ()
) -> FilmHips:
    """Which hips an image shows, once a table or drawn boxes name hips on it.

    Parameters
    ----------
    image
        As `rhoa.hips.read_xray` reads it.
    named
        Where each of the sides was named: a line of a table, the name of a picture.
    accept
        With ``"side"``, what is named counts, whatever the film says.

    Raises
    ------
    ViewError
        If the film shows another hip alone, or has no room for two.
    """
    hips = hips_of(image)
    wrong = next((side for side in named if hips.alone not in {None, side}), None)
    remedy = "look which is true, and correct the side"
    if wrong is not None:
        told = f"the film shows the {hips.alone} hip alone ({hips.source})"
        refuse("side", f"{named[wrong]} has the {wrong} hip, and {told}", accept, remedy=remedy)
    elif hips.shows != "unknown" or not named:
        return hips
    if len(named) == 1:
        return FilmHips(*next(iter(named.items())))
    pixel_mm = image.pixel_mm if is_measured(image) else None
    extent = Extent.of(content(image), pixel_mm)
    if extent.holds == "one":
        told = f"the film has no room for both: {hips.source}, and it is {extent}"
        refuse(
            "side",
            f"{' and '.join(named.values())} have two hips, and {told}",
            accept,
            remedy=remedy,
        )
    return FilmHips("both", " and ".join(named.values()))


def require_known(image: Radiograph | ArrayLike, name: str = "the image") -> FilmHips:
    """Which hips an image shows.

    Raises
    ------
    ParameterError
        If that is unknown; the message asks for it.
    """
    hips = hips_of(image)
    if hips.shows == "unknown":
        raise ParameterError(
            f"{name}: whether it shows both hips or one, and which, is unknown ({hips.source}); "
            f"{ASK}."
        )
    return hips


def _claims(words: Mapping[str, str]) -> list[_Claim]:
    """What the elements of a file say of hips and sides, the nearest to the image first."""
    claims = []
    for element in _ELEMENTS:
        text = words.get(element, "")
        if element.endswith("Laterality"):
            named = Named(side_of_value(text), "", pelvis=False, hip=False)
        else:
            named = named_in(text)
        mixed = named.pelvis and named.hip and element in _OF_THE_STUDY
        if named.side in SIDES and not mixed:
            claims.append(_Claim(element, named.side, named.word))
        if (named.pelvis or named.side == "both") and not mixed:
            claims.append(_Claim(element, "both", named.word if named.side == "both" else PELVIS))
        if named.hip and named.side is None and not mixed:
            claims.append(_Claim(element, "a hip", ""))
    return claims


def _near(claims: Sequence[_Claim]) -> list[_Claim]:
    """Those of the image or its series; a study may have other films beside this one."""
    return [claim for claim in claims if claim.element not in _OF_THE_STUDY]


def _unsided(claims: Sequence[_Claim], extent: Extent) -> FilmHips:
    """What is shown where no element says a side."""
    near = _near(claims) or claims
    both, hip = ([c for c in near if c.says == says] for says in ("both", "a hip"))
    both = [claim for claim in both if claim.word != PELVIS] or ([] if hip else both)
    if both:
        if extent.holds == "one" and extent.height >= extent.width:
            return FilmHips("unknown", f"{both[0]}, and {extent} has no room for two")
        return FilmHips("both", both[0].element)
    if hip and not any(claim.says == "both" for claim in near):
        return FilmHips("unknown", f"{hip[0].element} names a hip, and nothing says of which side")
    if extent.holds == "both":
        return FilmHips("both", f"its size, {extent}")
    return FilmHips("unknown", f"nothing in the file says it, nor does its size, {extent}")


def _of_stray(
    name: str, said: _Claim, both: Sequence[_Claim], extent: Extent, findings: WarningCollector
) -> FilmHips:
    """What a film shows that has a Laterality and room for both hips, and names no hip."""
    size = f"its size, {extent}, holds both hips"
    if not both:
        refuse("side", f"{name}: {said}, and {size}", (), remedy=ASK)
    findings.warn(
        f"{name}: {both[0]}, and {size}; {said}, which was not believed, as a pelvis has no side: "
        f'pass side="{said.says}" if it shows that hip alone.',
        ViewError,
    )
    return FilmHips("both", both[0].element)


def _check_given(name: str, claims: Sequence[_Claim], side: Hips, extent: Extent) -> None:
    """Check that what is given is not what every element denies."""
    if any(claim.says == side for claim in claims):
        return
    for claim in claims:
        pelvis = claim.says == "both" and claim in _near(claims)
        firm = claim.element == "ImageLaterality" or extent.holds == "both"
        if claim.says in SIDES or (pelvis and firm):
            refuse(
                "side",
                f'{name}: side="{side}" was given, and {claim}',
                (),
                remedy="look which is true, and correct the side",
            )


def _contradict(name: str, first: _Claim, second: _Claim) -> None:
    refuse("side", f"{name}: {first}, and {second}, which contradict each other", (), remedy=ASK)
