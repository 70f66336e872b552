"""One mean pelvis: whatever needs a place that was not measured takes it from here."""

from __future__ import annotations

import ast

import numpy as np
import pytest

import rhoa
from rhoa.pose.population import HIP_CENTRE_MM, PARTS_MM, hip_centre
from tests.test_house import HOUSE

LANDMARKS = rhoa.Landmarks((130, 0, 93), (-130, 0, 93), (14, 0, 0), (-14, 0, 0))
FRAME = rhoa.pose.from_landmarks(LANDMARKS)
EMPTY = rhoa.Volume(
    np.full((60, 60, 120), -1000, np.int16),
    np.array([[0, 0, 4, -240], [0, 4, 0, -80], [4, 0, 0, -100], [0, 0, 0, 1]], float),
)


@pytest.mark.parametrize("side", ["left", "right"])
def test_joints_boxes_and_coverage_put_an_unmeasured_hip_in_one_place(side: str) -> None:
    """Also in a pelvis that is wider than the mean."""
    expected = hip_centre(FRAME, side)
    image = rhoa.ctap(EMPTY, pose=FRAME)

    joint = rhoa.hips.joints(EMPTY, FRAME)[side]
    covered = rhoa.pose.coverage(EMPTY, FRAME).hips[side]
    row, column = rhoa.hips.boxes(image)[side].centre

    assert not joint.found
    np.testing.assert_allclose(FRAME.to_ap(joint.centre_lps_mm), expected, atol=1e-9)
    np.testing.assert_allclose(covered.centre_mm, expected, atol=1e-9)
    np.testing.assert_allclose(
        image.to_mm(row - 0.5, column - 0.5), (expected[0], expected[2]), atol=1e-6
    )


def test_the_right_side_mirrors_the_left() -> None:
    left, right = hip_centre(FRAME, "left"), hip_centre(FRAME, "right")

    np.testing.assert_array_equal(left * (-1, 1, 1), right)
    assert left[0] > 0
    assert PARTS_MM["hip_centre"] == tuple(HIP_CENTRE_MM.tolist())


def test_no_other_module_states_where_hips_are() -> None:
    """Three numbers near the mean hip centre, in any other module, would be a second mean."""
    for name, module in HOUSE.modules.items():
        if name == "rhoa.pose.population" or HOUSE.room_of(name) == "phantom":
            continue
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Tuple | ast.List) and len(node.elts) == 3:
                values = [e.value for e in node.elts if isinstance(e, ast.Constant)]
                if len(values) == 3 and all(isinstance(v, int | float) for v in values):
                    assert np.abs(np.subtract(values, HIP_CENTRE_MM)).max() > 8, name
