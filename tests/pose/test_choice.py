"""The pose that a scan is looked at in, found where "auto" asks for it; how two poses differ."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rhoa
from rhoa.errors import ParameterError, RhoaWarning
from rhoa.phantom import Anatomy, Phantom, Surroundings, ct
from rhoa.pose import difference
from tests.pose.pelves import turn_deg
from tests.strategies import rotation

READ = rhoa.pose.from_landmarks(
    rhoa.Landmarks((120, 0, 90), (-120, 0, 90), (25, 0, 0), (-25, 0, 0))
)
angles = st.floats(-30, 30)


@cache
def phantom() -> Phantom:
    return ct(Anatomy.random(3), spacing_mm=(3, 3, 3), angles=(8, 2, -5))


@cache
def posed() -> rhoa.Alignment:
    return rhoa.pose.from_volume(phantom().volume)


@pytest.mark.usefixtures("poses_once")
class TestAuto:
    def test_a_ct_ap_equals_that_of_the_pose_found(self) -> None:
        volume = phantom().volume

        image = rhoa.ctap(volume, pose="auto", depth="hip")

        found = posed()
        assert np.array_equal(image, rhoa.ctap(volume, pose=found, depth="hip"))
        assert image.alignment is not None
        assert difference(image.alignment, rhoa.pose.from_landmarks(phantom().landmarks))[3] < 2

    def test_stacks_and_sweeps_take_it_too(self) -> None:
        volume = phantom().volume
        found = posed()

        assert np.array_equal(
            rhoa.coronal(volume, "auto").affine, rhoa.coronal(volume, found).affine
        )
        windows = [(-150, 600)]
        image = rhoa.sweep(volume, windows, pose="auto")[0]
        assert np.array_equal(image, rhoa.sweep(volume, windows, pose=found)[0])
        for stack in (
            lambda pose: rhoa.cumulative(volume, every=40, pose=pose),
            lambda pose: rhoa.thin_slab(volume, thickness_mm=30, step=20, pose=pose),
        ):
            assert np.array_equal(stack("auto"), stack(found))

    def test_a_flagged_one_warns_where_it_is_called_and_the_image_tells_it(self) -> None:
        end = ((-225, 225), (-95, 225), (-95, 80))  # below the spines
        cut = ct(Anatomy.random(3), spacing_mm=(3, 3, 3), surroundings=Surroundings(reach_mm=end))

        with pytest.warns(RhoaWarning, match="flagged: .*landmarks_outside") as told:
            image = rhoa.ctap(cut.volume, pose="auto")

        assert told[0].filename == __file__
        assert image.alignment is not None
        assert "landmarks_outside" in image.alignment.warnings

    def test_it_is_searched_once_for_all_masks(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Structures that overlap are summed one after the other."""
        pytest.importorskip("nibabel", reason="needs extra nifti")
        volume, found, searches = phantom().volume, posed(), []
        for name, least in (("bone", 200), ("cortex", 500)):
            mask = rhoa.Volume((volume.hu > least).astype(np.uint8), volume.affine)
            mask.to_nibabel().to_filename(tmp_path / f"{name}.nii.gz")
        monkeypatch.setattr(
            "rhoa.pose.automatic.from_volume", lambda _: searches.append(1) or found
        )

        images = rhoa.ctap(volume, pose="auto", mask=tmp_path)

        assert set(images) == {"bone", "cortex"}
        assert len(searches) == 1

    @pytest.mark.parametrize("pose", ["automatic", "landmarks.json"])
    def test_another_word_is_named(self, pose: str) -> None:
        with pytest.raises(ParameterError, match=f'"auto".*got {pose!r}.*from_json'):
            rhoa.ctap(phantom().volume, pose=pose)  # type: ignore[call-overload]

    def test_an_array_has_no_pelvis(self) -> None:
        with pytest.raises(ParameterError, match="where the voxels lie"):
            rhoa.ctap(phantom().volume.hu, pose="auto")  # type: ignore[call-overload]


class TestDifference:
    @given(angles, angles, angles)
    def test_it_is_the_turn_that_was_made(self, x: float, y: float, z: float) -> None:
        turn = rotation(x, y, z)
        turned = rhoa.pose.from_landmarks(
            rhoa.Landmarks(*(READ.landmarks.as_array() @ turn.T))  # type: ignore[union-attr]
        )

        found = difference(turned, READ)

        assert found.turn_deg == pytest.approx(turn_deg(turn, np.eye(3)), abs=1e-4)
        assert found.plane_deg <= found.turn_deg + 1e-4
        assert found.large == (found.turn_deg > 3)
        assert difference(READ, turned).tilt_deg == pytest.approx(-found.tilt_deg)

    def test_signs_are_those_of_the_angles(self) -> None:
        tipped = difference(rhoa.pose.tilted(READ, -4), READ)

        assert (round(tipped.tilt_deg, 6), tipped.obliquity_deg, tipped.rotation_deg) == (4, 0, 0)
        assert (round(tipped.turn_deg, 6), round(tipped.plane_deg, 6)) == (4, 4)
        assert tipped.large

    def test_a_turn_within_the_plane_leaves_the_plane(self) -> None:
        about_y = rhoa.Alignment(rotation(0, 5, 0), np.zeros(3))

        found = difference(about_y, rhoa.Alignment(np.eye(3), np.zeros(3)))

        assert found.turn_deg == pytest.approx(5)
        assert found.plane_deg == pytest.approx(0, abs=1e-6)
        assert found.landmarks_mm is None

    def test_landmarks_are_compared_one_by_one(self) -> None:
        points = READ.landmarks.as_array()  # type: ignore[union-attr]
        points[2] += (3, 0, 4)

        found = difference(rhoa.pose.from_landmarks(rhoa.Landmarks(*points)), READ)

        assert found.landmarks_mm == pytest.approx(5)
        assert "landmarks up to 5 mm" in str(found)
