"""What a scan holds besides a whole pelvis: each option does what it says, where it says."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

import rhoa
from rhoa._types import Side
from rhoa.phantom import ABDOMEN, LABELS, Anatomy, Phantom, Surroundings, ct, with_things
from rhoa.phantom.anatomy import Thing

SUBJECT = Anatomy.random(3)
ANGLES = (6.0, 1.0, -2.0)
VOXEL_MM = 3.0


def scan(surroundings: Surroundings | None = None) -> Phantom:
    options = {} if surroundings is None else {"surroundings": surroundings}
    return ct(
        SUBJECT, spacing_mm=(VOXEL_MM,) * 3, angles=ANGLES, noise_hu=0, table=False, **options
    )


@pytest.fixture(scope="module")
def plain() -> Phantom:
    return scan()


@cache
def frame() -> rhoa.Alignment:
    """Of the plain pelvis."""
    return rhoa.pose.from_landmarks(scan().landmarks)


def cm3(mask: NDArray[np.bool_]) -> float:
    return float(mask.sum()) * VOXEL_MM**3 / 1000


def ap(phantom: Phantom, mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Voxels of a mask in the frame of the plain pelvis, through the volume's affine."""
    return frame().to_ap(phantom.volume.to_lps(np.argwhere(mask)))


def on_side(side: Side, x: NDArray[np.float64]) -> NDArray[np.bool_]:
    return x > 0 if side == "left" else x < 0


def bone(phantom: Phantom, *names: str) -> NDArray[np.bool_]:
    return np.isin(phantom.labels, [LABELS[name] for name in names])


def test_nothing_is_added_unless_asked_for(plain: Phantom) -> None:
    assert np.array_equal(scan(Surroundings()).volume.hu, plain.volume.hu)
    assert plain.surroundings == Surroundings()
    assert plain.missing == frozenset()


def test_bones_are_labelled_with_totalsegmentators_values(plain: Phantom) -> None:
    assert set(np.unique(plain.labels)) == {0, *LABELS.values()}
    assert {name: LABELS[name] for name in ("hip_left", "hip_right")} == {
        "hip_left": 77,
        "hip_right": 78,
    }
    for side in ("left", "right"):
        for name in (f"hip_{side}", f"femur_{side}"):
            labelled = bone(plain, name)
            assert np.median(plain.volume.hu[labelled]) > 200
            assert on_side(side, ap(plain, labelled)[:, 0]).all()


def test_contrast_in_the_bowel_is_balls_of_300_to_700_hu(plain: Phantom) -> None:
    """Each of 8 to 16 mm in radius has 2 to 17 cm3; some of it may be hidden by bone."""
    phantom = scan(Surroundings(contrast_loops=6))
    added = phantom.volume.hu.astype(int) - plain.volume.hu > 150

    assert 4 < cm3(added) < 6 * 17
    in_the_open = added & (plain.volume.hu < 100)
    assert 300 < phantom.volume.hu[in_the_open].max() <= 700
    assert np.array_equal(phantom.labels, plain.labels)


@pytest.mark.parametrize("side", ["left", "right"])
def test_tagged_stool_lies_against_the_wing_of_its_side_below_gas(
    side: Side, plain: Phantom
) -> None:
    phantom = scan(Surroundings(tagged_stool=(side,)))
    changed = phantom.volume.hu.astype(int) - plain.volume.hu
    stool, gas = changed > 200, changed < -500
    from_bone = distance_transform_edt(~bone(plain, f"hip_{side}")) * VOXEL_MM

    assert 20 < cm3(stool) < 80
    assert 5 < cm3(gas) < 40
    assert on_side(side, ap(plain, stool)[:, 0]).all()
    assert from_bone[stool].min() <= VOXEL_MM
    assert 400 < phantom.volume.hu[stool].max() <= 1300
    levels = [plain.volume.to_lps(np.argwhere(what))[:, 1].mean() for what in (gas, stool)]
    assert levels[0] < levels[1]


def test_a_full_bladder_has_the_hu_it_is_given(plain: Phantom) -> None:
    """A ball of 26 mm: 73.6 cm3."""
    phantom = scan(Surroundings(bladder_hu=400))
    changed = phantom.volume.hu != plain.volume.hu

    half_full = phantom.volume.hu > 200
    assert cm3(half_full & changed) == pytest.approx(4 / 3 * np.pi * 2.6**3, rel=0.05)
    assert np.median(phantom.volume.hu[half_full & changed]) == 400
    assert np.abs(ap(plain, changed)[:, 0]).max() < 32


def test_gas_is_as_many_bubbles_as_asked_for() -> None:
    few, many = (
        cm3(scan(Surroundings(gas_bubbles=count)).volume.hu[:, 10:-10, 20:-20] < -850)
        for count in (0, 20)
    )

    assert many - few > 10


@pytest.mark.parametrize("side", ["left", "right"])
def test_an_implant_is_metal_in_the_hip_of_its_side(side: Side, plain: Phantom) -> None:
    phantom = scan(Surroundings(implant=side))
    metal = phantom.volume.hu > 2500
    where = phantom.volume.to_lps(np.argwhere(metal))

    assert phantom.surroundings.implant == side
    assert not (plain.volume.hu > 2500).any()
    assert 40 < cm3(metal) < 150
    assert on_side(side, ap(plain, metal)[:, 0]).all()
    assert np.linalg.norm(where - phantom.hip_centres[side], axis=1).max() < 160
    assert np.linalg.norm(where - phantom.hip_centres[side], axis=1).min() < VOXEL_MM


@pytest.mark.parametrize("side", ["left", "right"])
def test_an_absent_hip_is_absent_and_the_other_is_as_it_was(side: Side, plain: Phantom) -> None:
    other = "right" if side == "left" else "left"
    phantom = scan(Surroundings(absent=side))

    assert phantom.missing == {f"asis_{side}", f"pubic_tubercle_{side}", f"hip_{side}"}
    assert not bone(phantom, f"hip_{side}", f"femur_{side}").any()
    names = (f"hip_{other}", f"femur_{other}")
    assert np.array_equal(bone(phantom, *names), bone(plain, *names))


def test_a_displaced_hip_slides_whole_with_its_landmarks(plain: Phantom) -> None:
    phantom = scan(Surroundings(displaced="left", displacement_mm=(3, 12, 18)))
    moved, still = (frame().to_ap(one.landmarks.as_array()) for one in (phantom, plain))
    moved -= still

    np.testing.assert_allclose(moved[[0, 2]], [[3, 12, 18]] * 2, atol=1e-6)
    np.testing.assert_allclose(moved[[1, 3]], 0, atol=1e-6)
    bones = ("hip_left", 3.0), ("hip_right", 1.5)
    for (name, within), shift in zip(bones, ((3, 12, 18), (0, 0, 0)), strict=True):
        centres = [ap(each, bone(each, name)).mean(axis=0) for each in (phantom, plain)]
        np.testing.assert_allclose(centres[0] - centres[1], shift, atol=within)


def test_a_scan_that_ends_early_is_the_same_scan_cut_off(plain: Phantom) -> None:
    """From 35 mm below the tubercles to 76 above; the spines at 91 are lost."""
    reach = ((-225.0, 225.0), (-95.0, 225.0), (-35.0, 76.0))
    phantom = scan(Surroundings(reach_mm=reach))

    assert phantom.missing == {"asis_left", "asis_right"}
    first = (-35 + 95) / VOXEL_MM
    kept = plain.labels[round(first) : round(first) + len(phantom.labels)]
    assert np.array_equal(phantom.labels, kept)
    assert len(phantom.labels) == 111 / VOXEL_MM + 1
    middle = phantom.landmarks.as_array()[2:].mean(axis=0)
    assert phantom.volume.to_lps((0, 0, 0))[2] - middle[2] == pytest.approx(-35)


@pytest.mark.parametrize(("side", "across"), [("left", (-225.0, 60.0)), ("right", (-60.0, 225.0))])
def test_beyond_a_side_there_can_be_padding(
    side: Side, across: tuple[float, float], plain: Phantom
) -> None:
    reach = (across, (-95.0, 225.0), (-95.0, 205.0))
    phantom = scan(Surroundings(reach_mm=reach, beyond="padding"))
    middle = phantom.landmarks.as_array()[2:].mean(axis=0)
    x = phantom.volume.to_lps(np.argwhere(np.ones(phantom.volume.shape, bool)))[:, 0] - middle[0]
    beyond = (x < across[0] - 1e-3) | (x > across[1] + 1e-3)
    beyond = beyond.reshape(phantom.volume.shape)

    assert phantom.volume.shape == plain.volume.shape
    assert phantom.missing == {f"asis_{side}", f"hip_{side}"}
    assert (phantom.volume.hu[beyond] == -1024).all()
    assert not phantom.labels[beyond].any()
    assert np.array_equal(phantom.volume.hu[~beyond], plain.volume.hu[~beyond])


def test_a_whole_abdomen_reaches_from_ribs_to_shafts() -> None:
    """The ribs are the bone above the crests more than 90 mm from the midline."""
    phantom = scan(ABDOMEN)
    without = scan(Surroundings(reach_mm=ABDOMEN.reach_mm))
    shafts = ap(phantom, bone(phantom, "femur_left", "femur_right"))
    added = ap(phantom, phantom.volume.hu.astype(int) - without.volume.hu > 500)
    ribs = added[(added[:, 2] > 205) & (np.abs(added[:, 0]) > 90)]

    assert shafts[:, 2].min() < -150
    assert (ribs[:, 0] > 0).sum() == pytest.approx((ribs[:, 0] < 0).sum(), rel=0.2)
    assert len(ribs) > 500
    spine = phantom.volume.hu[-20:-2] > 400
    assert spine.any(axis=(1, 2)).all()


def test_the_same_seed_is_the_same_scan() -> None:
    first, again = (scan(ABDOMEN) for _ in range(2))

    assert np.array_equal(first.volume.hu, again.volume.hu)
    assert np.array_equal(first.labels, again.labels)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gas_bubbles": -1}, "gas_bubbles must be a whole number >= 0"),
        ({"implant": "both"}, "implant must be one of 'left', 'right'"),
        ({"tagged_stool": ("up",)}, "tagged_stool must be one of"),
        ({"displacement_mm": (1, 2)}, "displacement_mm must be three finite numbers"),
        ({"reach_mm": ((1, 0), (0, 1), (0, 1))}, "reach_mm must be three ranges"),
        ({"beyond": "air"}, "beyond must be one of 'cut', 'padding'"),
    ],
)
def test_bad_surroundings_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(rhoa.RhoaError, match=message):
        Surroundings(**options)


class TestThings:
    """Metal on the skin, and what is as dense as bone beside bone."""

    @pytest.mark.parametrize("thing", ["zip", "buckle", "clip", "coin", "wire", "ecg_leads"])
    def test_metal_lies_on_the_skin_before_the_pelvis(self, plain: Phantom, thing: Thing) -> None:
        phantom = scan(Surroundings(things=(thing,)))
        added = phantom.volume.hu > plain.volume.hu + 200
        # The first tissue from the front of each column of the plain scan is its skin.
        skin = np.where(plain.volume.hu > -300, 0, 1).cumprod(axis=1).sum(axis=1)

        k, j, i = np.nonzero(added)

        assert added.any()
        assert (np.abs(j - skin[k, i]) * VOXEL_MM < 20).all()

    @pytest.mark.parametrize(
        ("thing", "before_mm", "behind_mm"),
        [
            ("catheter", -10, 65),
            ("contrast_before_plane", -35, 8),
            ("contrast_at_spine", -30, 20),
            ("calcified_vessels", -5, 115),
        ],
    )
    def test_what_is_dense_in_the_body_lies_where_it_says_and_covers_no_bone(
        self, plain: Phantom, thing: Thing, before_mm: float, behind_mm: float
    ) -> None:
        phantom = scan(Surroundings(things=(thing,)))
        added = phantom.volume.hu > plain.volume.hu + 100

        y = ap(phantom, added)[:, 1]

        assert added.any()
        assert (y > before_mm).all()
        assert (y < behind_mm).all()
        bones = phantom.volume.hu[plain.volume.hu > 300]
        np.testing.assert_array_equal(bones, plain.volume.hu[plain.volume.hu > 300])

    def test_arms_lie_beside_the_body_on_both_sides(self, plain: Phantom) -> None:
        phantom = scan(Surroundings(things=("arms",)))
        added = (phantom.volume.hu > -300) & (plain.volume.hu < -300)
        x = ap(phantom, added)[:, 0]

        for side in ("left", "right"):
            assert on_side(side, x).sum() * VOXEL_MM**3 / 1000 > 100
        assert np.abs(x).min() > 100
        assert (phantom.volume.hu[added] > 600).any()

    def test_any_scan_of_known_pose_can_have_them_however_it_is_stored(
        self, plain: Phantom
    ) -> None:
        """The same things in the same places, whatever the order of the axes."""
        turned = rhoa.Volume(
            plain.volume.hu.transpose(2, 0, 1), plain.volume.affine[:, [2, 0, 1, 3]]
        )

        made, other = (
            with_things(volume, plain.landmarks, ["buckle", "arms", "catheter"])
            for volume in (plain.volume, turned)
        )

        np.testing.assert_array_equal(other.hu.transpose(1, 2, 0), made.hu)
        assert (made.hu != plain.volume.hu).sum() > 1000

    def test_an_unknown_thing_is_named(self) -> None:
        with pytest.raises(rhoa.RhoaError, match="buckle"):
            Surroundings(things=("belt",))  # type: ignore[arg-type]
