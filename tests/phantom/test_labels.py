"""Labels that nobody had to draw lie where the phantom's hips are."""

from __future__ import annotations

import pytest

from rhoa.errors import ParameterError
from rhoa.phantom import Anatomy, ct, phantom_labels
from rhoa.pose import from_landmarks


def test_boxes_of_a_ctap_are_centred_on_the_femoral_heads() -> None:
    """Within 3 mm of the phantom's own centres; AP millimetres are the image's."""
    (label,) = phantom_labels(1, seed=3, kind="ctap", pixel_mm=3)

    patient = ct(Anatomy.random(3), spacing_mm=(3, 3, 3))
    pose = from_landmarks(patient.landmarks)
    for side, box in label.boxes.items():
        x, _, z = pose.to_ap(patient.hip_centres[side])
        row, column = label.radiograph.to_pixel(float(x), float(z))
        assert box.centre == pytest.approx((row + 0.5, column + 0.5), abs=1)
    assert label.subject == "phantom-3"


def test_an_xray_has_the_boxes_of_its_phantom() -> None:
    (label,) = phantom_labels(1, seed=4, pixel_mm=2)

    assert label.radiograph.shape == (150, 200)
    assert label.boxes["left"].left > 100 > label.boxes["right"].right
    for box in label.boxes.values():
        assert 60 < 2 * box.width < 120


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(ParameterError, match="kind must be one of"):
        next(phantom_labels(1, kind="mr"))  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match="pixel_mm must be a positive"):
        next(phantom_labels(1, pixel_mm=0))
