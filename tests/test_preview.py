"""A volume in a notebook: the patient's right is on the left of the picture, the head is up."""

from __future__ import annotations

import base64
import re
from itertools import permutations, product

import numpy as np
import pytest

from rhoa.volume import Volume
from tests.pictures import levels_of
from tests.strategies import stored

NAMES = ("axial", "coronal", "sagittal")


def pictures(volume: Volume) -> dict[str, np.ndarray]:
    html = volume._repr_html_()
    found = re.findall(r'alt="(\w+) slice" src="data:image/png;base64,([^"]+)"', html)
    return {name: levels_of(base64.b64decode(content)) for name, content in found}


def octants() -> np.ndarray:
    """A patient of 12 x 12 x 12 voxels: dense at the left, behind, and at the head."""
    k, j, i = np.indices((12, 12, 12))
    return (200.0 * (k > 7) + 150 * (j > 7) + 100 * (i > 7)).astype(np.int16)


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("flips", list(product((0, 1), repeat=3)))
def test_slices_are_held_as_a_reader_holds_them(
    order: tuple[int, int, int], flips: tuple[int, int, int]
) -> None:
    shown = pictures(stored(Volume.from_array(octants(), (1.0, 1.0, 1.0)), order, flips))

    assert tuple(shown) == NAMES
    for name, (down, across) in {"axial": (150, 100), "coronal": (-200, 100)}.items():
        picture = shown[name].astype(float)
        middle = len(picture) // 2
        assert np.sign(picture[-9, middle] - picture[8, middle]) == np.sign(down)
        assert np.sign(picture[middle, -9] - picture[middle, 8]) == np.sign(across)
    sagittal = shown["sagittal"].astype(float)
    assert sagittal[8, 120] > sagittal[-9, 120]  # the head is up
    assert sagittal[120, -9] > sagittal[120, 8]  # the back is on the right


def test_pixels_are_square_and_the_text_has_size_and_spacing() -> None:
    volume = Volume.from_array(np.zeros((10, 40, 20), np.int16), (4.0, 0.5, 1.0))

    html = volume._repr_html_()

    assert "10 &times; 40 &times; 20 int16 voxels, 4 &times; 0.5 &times; 1 mm" in html
    assert {name: picture.shape for name, picture in pictures(volume).items()} == {
        "axial": (240, 240),
        "coronal": (240, 120),
        "sagittal": (240, 120),
    }


def test_a_volume_without_voxels_has_no_pictures() -> None:
    volume = Volume.from_array(np.zeros((0, 40, 20), np.int16), (4.0, 0.5, 1.0))

    assert "0 &times; 40 &times; 20 int16 voxels" in volume._repr_html_()
    assert pictures(volume) == {}
