"""Which hips a film shows: both, one of them, or what has to be asked; and what told it.

Statements of a file are compared with each other and with the size of the image. Two that
contradict each other are an error that quotes both; nothing is guessed. Texts of a file are matched
with words of `rhoa.hips.wording`, and only these are ever shown: free text may hold a name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, TypeGuard

from rhoa.errors import ParameterError, ViewError
from rhoa.hips.borders import content
from rhoa.hips.refusals import refuse
from rhoa.hips.tags import DESCRIPTIONS
from rhoa.hips.wording import Named, named_in, side_of_value
from rhoa.pose.sides import SIDES
from rhoa.radiograph import UNKNOWN_SIZE, Radiograph

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from numpy.typing import ArrayLike

    from rhoa.hips.borders import Content
    from rhoa.pose.sides import Side
    from rhoa.reading.findings import Findings

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
    findings: Findings,
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
    name: str, said: _Claim, both: Sequence[_Claim], extent: Extent, findings: Findings
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
