"""An action is checked whole before anything becomes of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given

from rhoa.errors import ReviewError
from rhoa.review.events import as_action, as_fields
from tests.review.actions import DONE, KEYS, STARTED

if TYPE_CHECKING:
    from rhoa.review.events import Action

GRADE = {"do": "grade", "case": KEYS[0], "side": "left", "reading": 1, "kl": 2}
NOTE = {"do": "note", "case": KEYS[0], "side": "left", "reading": 1}
BOX = {"do": "box", "case": KEYS[0], "side": "left", "box": [0, 0, 9, 9]}
POSE = {"do": "pose", "case": KEYS[0], "landmarks": None}


@given(DONE | STARTED)
def test_an_action_survives_json(action: Action) -> None:
    assert as_action(json.loads(json.dumps(as_fields(action)))) == action


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"do": "delete"},
        {"do": "grade"},
        GRADE | {"kl": 5},
        GRADE | {"kl": True},
        GRADE | {"kl": 2.5},
        GRADE | {"kl": None},
        GRADE | {"kl": 2, "reason": "prosthesis"},
        GRADE | {"side": "up"},
        GRADE | {"reading": 3},
        GRADE | {"case": "../../etc/passwd"},
        GRADE | {"case": 7},
        GRADE | {"seconds": -1},
        GRADE | {"seconds": "long"},
        GRADE | {"notes": "of a hip, not of its grade"},
        NOTE | {"notes": "x" * 2001},
        NOTE | {"notes": 3},
        NOTE | {"features": {"narrowing_medial": 4}},
        NOTE | {"features": {"colour": 1}},
        NOTE | {"features": {"cysts_femoral": True}},
        NOTE | {"features": []},
        GRADE | {"more": 1},
        BOX | {"box": [9, 0, 0, 9]},
        BOX | {"box": [0, 0, 9]},
        BOX | {"box": [0, 0, 9, float("nan")]},
        BOX | {"box": [0, 0, 9, float("inf")]},
        BOX | {"box": "everywhere"},
        POSE | {"landmarks": {"asis_left": [0, 0, 0]}},
        POSE | {"landmarks": {"nose": [0, 0, 0]}},
        POSE | {"landmarks": [1, 2]},
        POSE | {"depth_mm": [9, 1]},
        POSE | {"depth_mm": [0, 1e9]},
        {"do": "judge", "case": KEYS[0], "verdict": "maybe"},
        {"do": "start", "seed": -1, "repeat": 0.1},
        {"do": "start", "seed": 1, "repeat": 0.9},
        {"do": "start", "seed": 1, "repeat": 0.1, "adjudicates": 1},
        {"do": "start", "seed": 1, "repeat": 0.1, "training": "yes"},
        {"do": "undo", "line": 0},
    ],
)
def test_what_makes_no_sense_is_refused(told: dict[str, Any]) -> None:
    with pytest.raises(ReviewError):
        as_action(told)
