"""Blades of a collimator, uneven with scatter, and circular shutters: planted, real, and absent."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import rhoa
from rhoa.errors import ViewError
from rhoa.hips import blades, content, halves, prepare, read_xray
from rhoa.phantom import Anatomy, xray
from rhoa.raster import encode_png
from tests.hips.films import MarkerFinder, pelvis, planted
from tests.hips.xrays import dx, write

SHARES = [
    (0.28, 0, 0, 0),
    (0, 0.28, 0, 0),
    (0.15, 0.2, 0, 0),
    (0, 0, 0.2, 0.15),
    (0.1, 0.1, 0.1, 0.1),
]
"""Of the image, behind blades at left, right, top and bottom."""


def behind_blades(
    film: NDArray[np.float64], shares: tuple[float, ...], turned_deg: float = 0
) -> NDArray[np.float64]:
    """The film with blades: a half-shadow of six pixels, then a ramp that grows brighter."""
    rows, columns = film.shape
    row, column = np.mgrid[:rows, :columns]
    slope = math.tan(math.radians(turned_deg))
    along, across = (row - rows / 2) * slope, (column - columns / 2) * slope
    left, right, top, bottom = shares
    depth = np.full(film.shape, -1e9)
    for share, inside in (
        (left, left * columns - column + along),
        (right, column - (1 - right) * columns - along),
        (top, top * rows - row - across),
        (bottom, row - (1 - bottom) * rows + across),
    ):
        depth = np.maximum(depth, inside) if share else depth
    shadow = np.clip((depth + 3) / 6, 0, 1)
    scatter = film.max() * (1 + 0.3 * np.clip(depth / 80, 0, 1))
    return film * (1 - shadow) + scatter * shadow


@pytest.fixture(scope="module")
def film() -> NDArray[np.float64]:
    return xray(Anatomy.random(2), pixel_mm=1.0, voxel_mm=3.0).radiograph.pixels.astype(float)


@pytest.mark.parametrize("turned_deg", [0, 1.5, -3])
@pytest.mark.parametrize("shares", SHARES)
def test_planted_blades_are_found_by_their_edges(
    film: NDArray[np.float64], shares: tuple[float, ...], turned_deg: float
) -> None:
    """The rectangle inside them, within 2 % of the image; nothing of a blade's ramp is in it."""
    rows, columns = film.shape
    left, right, top, bottom = shares
    slope = abs(math.tan(math.radians(turned_deg))) / 2

    found = blades(behind_blades(film, shares, turned_deg))

    across, along = rows * slope, columns * slope
    truth = (
        top * rows + along if top else 0,
        left * columns + across if left else 0,
        rows - (bottom * rows + along if bottom else 0),
        columns - (right * columns + across if right else 0),
    )
    np.testing.assert_allclose(found, truth, atol=0.02 * columns)


def test_films_without_blades_are_whole(film: NDArray[np.float64]) -> None:
    """Also parts of them, and of the film turned around: bones have straight edges, too."""
    random = np.random.default_rng(0)
    for number in range(40):
        side = int(random.uniform(200, 300))
        top, left = (int(random.uniform(0, size - side + 1)) for size in film.shape)
        part = film[top : top + side, left : left + side]
        part = np.rot90(part, number)

        assert tuple(blades(part)) == (0, 0, side, side)
    assert tuple(blades(film)) == (0, 0, *film.shape)


@pytest.mark.parametrize("shares", [(0.3, 0, 0, 0), (0, 0.25, 0, 0), (0.1, 0.2, 0, 0)])
def test_halves_are_cut_between_the_blades_and_have_none(
    tmp_path: Path, shares: tuple[float, ...]
) -> None:
    """A film on a wider plate: the blade of one side would move the midline into a hip."""
    wide = [round(share * 400 / (1 - sum(shares))) for share in shares[:2]]
    plate = np.pad(pelvis().astype(float), ((0, 0), wide), mode="edge")
    columns = plate.shape[1]
    stored = behind_blades(plate, (wide[0] / columns, wide[1] / columns, 0, 0)) / 2
    image = read_xray(write(tmp_path, dx(np.rint(stored).astype(int)), PixelSpacing=["1", "1"]))

    both = halves(image)

    assert image.provenance["hip"] == ""
    for side, half in both.items():
        assert half.shape[1] == pytest.approx(200, abs=6)
        assert half.pixels.max() <= 2000
        inward = 90  # of the heads from the midline, as planted
        assert planted(half.pixels[105:195, inward - 45 : inward + 45]) == side
    left_x, _ = image.to_mm(0, round(wide[0] + 200))
    assert both["left"].to_mm(0, 0)[0] == pytest.approx(left_x, abs=4)
    for side, box in MarkerFinder().detect(image).items():
        assert planted(rhoa.hips.crop(image, box)) == side
        head = wide[0] + (290 if side == "left" else 110)
        assert box.centre[1] == pytest.approx(head, abs=8)


def test_blades_do_not_take_the_range_of_grey_levels(film: NDArray[np.float64]) -> None:
    """What lies between them has the levels that it has without them, but for the cut itself."""
    collimated = behind_blades(film, (0.28, 0, 0, 0))
    inner = blades(collimated)

    seen = prepare(collimated)[inner.slices].astype(int)
    alone = prepare(film[inner.slices]).astype(int)

    assert np.abs(seen - alone).max() <= 8
    assert content(collimated).left == inner.left


class TestShutters:
    def disc(self, film: NDArray[np.float64], share: float, level: float) -> NDArray[np.float64]:
        rows, columns = film.shape
        row, column = np.mgrid[:rows, :columns]
        apart = np.hypot(row - rows / 2, column - columns / 2)
        return np.where(apart < share * rows, film, level)

    @pytest.mark.parametrize("share", [0.3, 0.45, 0.5, 0.6])
    @pytest.mark.parametrize("level", [0, 4095])
    def test_a_disc_is_no_film(
        self, tmp_path: Path, film: NDArray[np.float64], share: float, level: float
    ) -> None:
        stored = self.disc(film, share, level)
        tags = {"Modality": "RF", "PixelSpacing": ["1", "1"]}
        path = write(tmp_path, dx(np.rint(stored).astype(int)), **tags)

        with pytest.raises(ViewError, match=r"xray\.dcm: a disc, as a circular shutter") as error:
            read_xray(path)

        assert 'accept="shutter"' in str(error.value)
        assert read_xray(path, accept="shutter").shape == film.shape

    def test_so_is_a_picture_of_one(self, tmp_path: Path, film: NDArray[np.float64]) -> None:
        pytest.importorskip("PIL", reason="needs Pillow to read pictures")
        levels = (self.disc(film, 0.5, 0) / 16).astype(np.uint8)
        (tmp_path / "a.png").write_bytes(encode_png(levels))

        with pytest.raises(ViewError, match="a disc"):
            read_xray(tmp_path / "a.png", pixel_mm=1)

    def test_the_header_may_say_so(self, tmp_path: Path) -> None:
        path = write(tmp_path, ShutterShape=["RECTANGULAR", "CIRCULAR"])

        with pytest.raises(ViewError, match="ShutterShape is CIRCULAR"):
            read_xray(path)
        assert read_xray(path, accept="shutter").shape == (70, 90)
        assert read_xray(write(tmp_path, ShutterShape="RECTANGULAR")).shape == (70, 90)

    @pytest.mark.parametrize(("rows", "columns"), [(400, 600), (200, 100), (300, 300)])
    @pytest.mark.parametrize("radius", [20, 50, 90])
    @pytest.mark.parametrize("background", [0, 60, 255])
    def test_something_round_on_an_even_film_is_no_shutter(
        self, rows: int, columns: int, radius: int, background: int
    ) -> None:
        """A femoral head, a ball for the scale, a cup: even, or small."""
        from rhoa.xray.margins import is_round

        row, column = np.mgrid[:rows, :columns]
        apart = np.hypot(row - rows / 2, column - 0.6 * columns)
        even = np.where(apart < radius, 150.0, background)
        grained = even + (apart < radius) * 40 * np.sin(row / 7) * np.cos(column / 9)

        assert not is_round(even)
        if radius == 20 and min(rows, columns) > 100:
            assert not is_round(grained)

    def test_films_with_corners_of_air_are_films(self, film: NDArray[np.float64]) -> None:
        from rhoa.xray.margins import is_round

        framed = np.pad(film, 30)
        ellipse = self.disc(film[:, ::2], 0.5, 0).repeat(2, axis=1)

        for image in (film, framed, ellipse, np.zeros((80, 90)), np.ones((3, 3)), pelvis()):
            assert not is_round(image)


@pytest.mark.real
@pytest.mark.filterwarnings("ignore:.*patient's left:rhoa.RhoaWarning")
def test_the_blades_of_a_real_film_are_found(real_data: Path) -> None:
    """Their edges are about columns 187 and 1440; between them little is white."""
    image = read_xray(real_data / "xray" / "RG2_rle.dcm", side="left")

    found = blades(image)

    assert (found.top, found.bottom) == (0, 2140)
    assert found.left == pytest.approx(195, abs=25)
    assert found.right == pytest.approx(1425, abs=30)
    _, left, _, right = image.provenance["content_px"]
    assert (left, right) == (found.left, found.right)
    inside = image.pixels[found.slices]
    assert np.mean(inside >= image.pixels.max()) < 0.001
    levels = prepare(image)[found.slices]
    assert 0.005 < np.mean(levels == 255) < 0.03
