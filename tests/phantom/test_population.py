"""Digital pelves against the population: where their bones lie, and whether a pose is found."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

import rhoa
from rhoa.phantom import LABELS, Anatomy, Phantom, ct

# Mean and spread in real pelves, AP mm: forty of them (specification of alignment, section 3), and
# the tubercles that five experts read in ten.
POPULATION = {
    "asis_to_asis": (224, 18),
    "height": (93, 9),
    "tubercle_to_tubercle": (52, 4.4),
    "hip_lateral": (81, 7),
    "hip_posterior": (51, 5),
    "hip_superior": (22, 9),
    "ischium_posterior": (81, 7),
    "ischium_superior": (-46, 7),
    "crest_superior": (164, 11),
    "most_posterior": (143, 11),
}


def _ap_points(phantom: Phantom, *names: str) -> NDArray[np.float64]:
    """Voxels of some bones in the phantom's true frame."""
    found = np.argwhere(np.isin(phantom.labels, [LABELS[name] for name in names]))
    frame = rhoa.pose.from_landmarks(phantom.landmarks)
    return frame.to_ap(phantom.volume.to_lps(found))


def _measured(phantom: Phantom) -> dict[str, float]:
    frame = rhoa.pose.from_landmarks(phantom.landmarks)
    heads = np.abs([frame.to_ap(centre) for centre in phantom.hip_centres.values()]).mean(axis=0)
    hips = _ap_points(phantom, "hip_left", "hip_right")
    low = hips[hips[:, 2] < hips[:, 2].min() + 3].mean(axis=0)
    half_voxel = phantom.volume.spacing_mm[0] / 2
    return {
        "asis_to_asis": frame.quality["asis_width_mm"],
        "height": frame.quality["height_mm"],
        "tubercle_to_tubercle": frame.quality["tubercle_distance_mm"],
        "hip_lateral": heads[0],
        "hip_posterior": heads[1],
        "hip_superior": heads[2],
        "ischium_posterior": low[1],
        "ischium_superior": hips[:, 2].min() - half_voxel,
        "crest_superior": hips[:, 2].max() + half_voxel,
        "most_posterior": hips[:, 1].max() + half_voxel,
    }


@pytest.fixture(scope="module")
def population() -> Mapping[str, NDArray[np.float64]]:
    """The measures of forty subjects."""
    rows = [
        _measured(ct(Anatomy.random(seed), spacing_mm=(4, 4, 4), noise_hu=0)) for seed in range(40)
    ]
    return {name: np.array([row[name] for row in rows]) for name in POPULATION}


@pytest.mark.parametrize("name", POPULATION)
def test_bones_lie_where_they_lie_in_real_pelves(
    name: str, population: Mapping[str, NDArray[np.float64]]
) -> None:
    mean, spread = POPULATION[name]

    assert population[name].mean() == pytest.approx(mean, abs=0.5 * spread)
    assert 0.4 * spread < population[name].std() < 1.4 * spread


def test_a_pelvis_is_as_wide_and_its_sacrum_as_far_back_as_real_ones() -> None:
    """Ten real pelves: 2 x 140 (10) mm between the crests, the sacrum to 161 (8) mm behind."""
    phantom = ct(Anatomy.random(2), spacing_mm=(3, 3, 3), noise_hu=0)
    scale = phantom.anatomy.width / 224

    hips = _ap_points(phantom, "hip_left", "hip_right")
    sacrum = _ap_points(phantom, "sacrum")

    assert np.ptp(hips[:, 0]) / scale == pytest.approx(272, abs=12)
    assert sacrum[:, 1].max() / phantom.anatomy.depth == pytest.approx(158, abs=8)


@pytest.mark.parametrize("subjects", [5, pytest.param(12, marks=pytest.mark.slow)])
def test_the_pose_that_is_found_is_the_true_one(subjects: int) -> None:
    """Subjects in any pose: normal within 0.7 deg (2 at most), tubercles within 4 mm."""
    errors, tubercles = [], []
    for seed in range(subjects):
        angles = tuple(np.random.default_rng(seed).uniform(-1, 1, 3) * (15, 5, 8))
        phantom = ct(Anatomy.random(seed), angles=angles, noise_hu=0, table=False)
        found = rhoa.pose.from_mask(phantom.labels, phantom.volume.affine)
        true = rhoa.pose.from_landmarks(phantom.landmarks)
        assert found.ok, seed
        errors.append(np.degrees(np.arccos(found.matrix[1] @ true.matrix[1])))
        apart = found.landmarks.as_array() - phantom.landmarks.as_array()
        tubercles += np.linalg.norm(apart[2:], axis=1).tolist()

    assert np.mean(errors) < 0.7
    assert np.max(errors) < 2
    assert np.max(tubercles) < 4
