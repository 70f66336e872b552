"""Actions that a reader might do, at random."""

from __future__ import annotations

from hypothesis import strategies as st

from rhoa.review.events import (
    FEATURES,
    REASONS,
    Boxed,
    BoxesAccepted,
    Graded,
    Judged,
    Noted,
    Posed,
    Started,
)

KEYS = [f"{number:016x}" for number in range(3)]
CASES = st.sampled_from(KEYS)
SIDES = st.sampled_from(["left", "right"])
MM = st.floats(-500, 500)
POINTS = st.tuples(MM, MM, MM)
NAMES = ("asis_left", "asis_right", "pubic_tubercle_left", "pubic_tubercle_right")
FEATURE_SCORES = st.one_of(
    st.none(),
    st.fixed_dictionaries({}, optional={n: st.integers(0, most) for n, most in FEATURES.items()}),
)
GRADED = st.builds(
    Graded,
    case=CASES,
    side=SIDES,
    reading=st.sampled_from([1, 2]),
    kl=st.integers(0, 4),
    seconds=st.none() | st.floats(0, 9000),
) | st.builds(
    Graded,
    case=CASES,
    side=SIDES,
    reading=st.sampled_from([1, 2]),
    kl=st.none(),
    reason=st.sampled_from(REASONS),
)
NOTED = st.builds(
    Noted,
    case=CASES,
    side=SIDES,
    reading=st.sampled_from([1, 2]),
    notes=st.text(max_size=20),
    features=FEATURE_SCORES,
)


@st.composite
def boxed(draw: st.DrawFn) -> Boxed:
    top, left = draw(st.floats(0, 50)), draw(st.floats(0, 50))
    edges = (top, left, top + draw(st.floats(1, 50)), left + draw(st.floats(1, 50)))
    return Boxed(draw(CASES), draw(SIDES), draw(st.sampled_from([edges, None])))


POSED = st.builds(
    Posed,
    case=CASES,
    landmarks=st.one_of(st.none(), st.fixed_dictionaries(dict.fromkeys(NAMES, POINTS))),
    depth_mm=st.sampled_from([None, (-20.0, 90.0)]),
)
JUDGED = st.builds(
    Judged,
    case=CASES,
    verdict=st.sampled_from(["accepted", "rejected"]),
    reason=st.text(max_size=5),
)
STARTED = st.builds(
    Started,
    seed=st.integers(0, 99),
    repeat=st.floats(0, 0.5),
    adjudicates=st.booleans(),
    training=st.booleans(),
)
DONE = st.one_of(GRADED, NOTED, boxed(), POSED, JUDGED, st.builds(BoxesAccepted, case=CASES))
