"""The digital pelvis: its truth, its tissues and its joints."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

import rhoa
from rhoa.phantom import Anatomy, Phantom, Surroundings, ct


@pytest.fixture(scope="module")
def pelvis() -> Phantom:
    return ct(Anatomy.random(7, kl_left=4, kl_right=0), spacing_mm=(2, 2, 2), angles=(6, -2, 3))


@pytest.mark.parametrize("angles", [(0, 0, 0), (12, 0, 0), (0, 3, 0), (0, 0, -5), (-9, 2, 4)])
def test_its_landmarks_have_the_pose_asked_for(angles: tuple[float, float, float]) -> None:
    phantom = ct(Anatomy.random(1), spacing_mm=(12, 12, 12), angles=angles)

    alignment = rhoa.pose.from_landmarks(phantom.landmarks)

    np.testing.assert_allclose(alignment.angles, angles, atol=1e-6)
    assert alignment.ok


def test_the_pelvis_rests_on_its_spines_and_its_pubic_crest(pelvis: Phantom) -> None:
    """As real ones: the crest stands 0 to 4 mm in front of the tubercles, nothing else does."""
    volume = pelvis.volume
    alignment = rhoa.pose.from_landmarks(pelvis.landmarks)
    hu = ndimage.gaussian_filter(volume.hu.astype(np.float32), 0.7)
    bone = alignment.to_ap(volume.to_lps(np.argwhere(hu > 350)))
    bone = bone[bone[:, 2] < 120]
    crest = (np.abs(bone[:, 0]) < 30) & (np.abs(bone[:, 2]) < 15)

    assert bone[~crest, 1].min() > -1.5
    assert bone[crest, 1].min() == pytest.approx(-pelvis.anatomy.crest_before, abs=1.5)
    for point in alignment.to_ap(pelvis.landmarks.as_array()):
        assert np.linalg.norm(bone - point, axis=1).min() < 3.0


def test_hip_centres_are_the_middles_of_round_heads_inside_their_sockets(pelvis: Phantom) -> None:
    """Around each centre, bone fills the ball of the head and a gap surrounds it above."""
    hu = pelvis.volume.hu
    for side, centre in pelvis.hip_centres.items():
        radius = pelvis.anatomy.head_radius
        points = np.random.default_rng(0).normal(size=(500, 3))
        points *= (radius - 6) / np.linalg.norm(points, axis=1, keepdims=True)
        index = np.round(pelvis.volume.to_index(centre + points)).astype(int)
        values = hu[tuple(index.T)]
        assert np.median(values) > 200, side


def test_left_is_on_the_left() -> None:
    """Grade 4 changes the half of the patient it is on, and only that."""
    healthy = ct(Anatomy.random(3), spacing_mm=(3, 3, 3), noise_hu=0)
    left = ct(Anatomy.random(3, kl_left=4), spacing_mm=(3, 3, 3), noise_hu=0)
    right = ct(Anatomy.random(3, kl_right=4), spacing_mm=(3, 3, 3), noise_hu=0)

    def changed_x(other: Phantom) -> np.ndarray:
        voxels = np.argwhere(np.abs(other.volume.hu - healthy.volume.hu) > 100)
        middle = healthy.landmarks.as_array()[:2, 0].mean()
        return other.volume.to_lps(voxels)[:, 0] - middle

    assert len(changed_x(left)) > 200
    assert changed_x(left).min() > 0
    assert changed_x(right).max() < 0
    assert left.kl == {"left": 4, "right": 0}


def test_superior_is_up_and_the_patient_lies_on_the_table(pelvis: Phantom) -> None:
    """Axes: k superior, j posterior, i left; the spine is above, the table behind."""
    assert pelvis.volume.axes == (0, 1, 2, (1, 1, 1))
    hu = pelvis.volume.hu
    bone = np.argwhere(hu[:, :, 80:112] > 600)
    assert (bone[:, 0] > hu.shape[0] * 0.6).sum() > (bone[:, 0] < hu.shape[0] * 0.3).sum()
    table = (hu > -250) & (hu < -100)
    assert table[:, -20:, :].mean() > table[:, :20, :].mean()


def test_tissues_have_their_hounsfield_units(pelvis: Phantom) -> None:
    hu = pelvis.volume.hu
    histogram, edges = np.histogram(hu, np.arange(-1050, 1500, 20))
    peaks = {
        name: edges[:-1][(edges[:-1] >= low) & (edges[:-1] < high)][
            histogram[(edges[:-1] >= low) & (edges[:-1] < high)].argmax()
        ]
        for name, low, high in (("air", -1050, -900), ("fat", -200, -40), ("muscle", 0, 120))
    }

    assert peaks["air"] == pytest.approx(-1000, abs=40)
    assert peaks["fat"] == pytest.approx(-100, abs=40)
    assert peaks["muscle"] == pytest.approx(55, abs=40)
    assert (hu > 800).sum() > 2000
    assert hu.dtype == np.int16


def test_the_superior_joint_space_narrows_with_the_grade() -> None:
    """Measured on noiseless voxels: length without bone along a ray up from the head's middle."""
    joint = Surroundings(reach_mm=((50, 130), (0, 100), (-20, 100)))

    def space_mm(kl: int) -> float:
        widths = []
        for seed in range(3):
            anatomy = Anatomy.random(20 + seed, kl_left=kl)
            phantom = ct(anatomy, spacing_mm=(0.8, 3, 3), noise_hu=0, surroundings=joint)
            centre = phantom.hip_centres["left"]
            up = np.arange(10, 45, 0.2)
            points = centre + np.outer(up, np.array([0.3, 0, 0.95]))
            index = phantom.volume.to_index(points).T
            hu = ndimage.map_coordinates(phantom.volume.hu.astype(float), index, order=1)
            widths.append((hu < 330).sum() * 0.2)
        return float(np.mean(widths))

    healthy, moderate, severe = space_mm(0), space_mm(3), space_mm(4)

    assert healthy > moderate > severe
    assert healthy - severe > 1.5


def test_a_seed_is_a_subject() -> None:
    first, again, other = (
        ct(Anatomy.random(seed, kl_left=2), spacing_mm=(8, 8, 8)).volume.hu for seed in (4, 4, 5)
    )

    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_subjects_have_the_spread_of_real_pelves() -> None:
    """Mean and SD: width 224 (18), height 93 (9) of 40 pelves, tubercles 52 (4) of ten experts'."""
    subjects = [Anatomy.random(seed) for seed in range(300)]

    assert np.mean([s.width for s in subjects]) == pytest.approx(224, abs=4)
    assert 12 < np.std([s.width for s in subjects]) < 22
    assert np.mean([s.height for s in subjects]) == pytest.approx(93, abs=3)
    assert np.mean([s.tubercle_distance for s in subjects]) == pytest.approx(52, abs=2)
    assert np.std([s.tubercle_distance for s in subjects]) == pytest.approx(4, abs=1)
    assert np.mean([s.crest_before for s in subjects]) == pytest.approx(1.6, abs=0.2)


def test_grades_overlap() -> None:
    """Some joints of grade 1 look worse than some of grade 2; 0 and 4 never meet."""

    def severities(kl: int) -> np.ndarray:
        return np.array([Anatomy.random(n, kl_left=kl).left.severity for n in range(200)])

    assert severities(1).max() > severities(2).min()
    assert severities(0).max() < severities(4).min()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Anatomy.random(1, kl_left=5), "kl must be one of 0, 1, 2, 3, 4; got 5"),
        (lambda: Anatomy.random(-1), "seed must not be negative"),
        (lambda: ct(Anatomy.random(1), spacing_mm=(0, 1, 1)), "spacing_mm must be a positive"),
        (lambda: ct(Anatomy.random(1), angles=(np.nan, 0, 0)), "angles must be"),
    ],
)
def test_bad_arguments_are_named(call: object, message: str) -> None:
    with pytest.raises(rhoa.RhoaError, match=message):
        call()
