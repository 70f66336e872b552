"""One label from several readers."""

from __future__ import annotations

from rhoa.review.events import Graded, Label, Reading, State, disputed_hips, labels

CASE = "0" * 16
HIP = (CASE, "left")


def reader(*grades: int | str | None, decided: int | None = None) -> State:
    """A reader of left hips of the first cases; text is a reason why there is no grade."""
    given = {}
    for number, grade in enumerate(grades):
        if grade is not None:
            at = Reading(f"{number:016x}", "left", 1)
            reason = grade if isinstance(grade, str) else ""
            given[at] = Graded(at.case, "left", 1, None if reason else grade, reason)
    decisions = {} if decided is None else {Reading(*HIP, 1): Graded(CASE, "left", 1, decided)}
    return State(given, decisions)


def label_of_first(**readers: State) -> tuple[Label | None, bool]:
    found, disputed = labels(readers)
    return found.get(HIP), HIP in disputed


def test_the_grade_of_one_reader_is_the_label() -> None:
    assert label_of_first(a=reader(3)) == (Label(3, "", "one reader"), False)


def test_more_than_half_of_the_readers_decide() -> None:
    assert label_of_first(a=reader(3), b=reader(3), c=reader(1)) == (
        Label(3, "", "majority"),
        False,
    )


def test_half_of_the_readers_do_not_decide() -> None:
    assert label_of_first(a=reader(3), b=reader(2)) == (None, True)
    assert label_of_first(a=reader(0), b=reader(2), c=reader(3)) == (None, True)
    assert label_of_first(a=reader(0), b=reader(0), c=reader(3), d=reader(3)) == (None, True)


def test_that_a_hip_cannot_be_graded_is_a_vote_with_its_commonest_reason() -> None:
    states = {"a": reader("prosthesis"), "b": reader("prosthesis"), "c": reader("other")}

    assert label_of_first(**states) == (Label(None, "prosthesis", "majority"), False)
    assert label_of_first(a=reader("prosthesis"), b=reader(0)) == (None, True)


def test_an_adjudicator_decides_and_the_hip_stays_one_that_was_disputed() -> None:
    states = {"a": reader(3), "b": reader(2), "judge": reader(decided=2)}

    assert label_of_first(**states) == (Label(2, "", "adjudication"), False)
    assert disputed_hips(states) == {HIP}


def test_readers_of_other_hips_have_no_vote() -> None:
    found, disputed = labels({"a": reader(3, 0), "b": reader(None, 0)})

    assert found[HIP].by == "one reader"
    assert found["0000000000000001", "left"].by == "majority"
    assert not disputed
