"""Build the statistical shape model of the pelvis that `rhoa.pose.from_volume` registers.

    python scripts/pelvis_model.py ../shared/data/pelvis-atlas/pelves.npz

Input: ten pelves of the atlas of Han et al. (Phys. Med. Biol. 2019, doi 10.1088/1361-6560/ab1456,
CC BY 4.0), 5 000 vertices a bone in correspondence between the bodies. Output, in
`python/rhoa/pose/pelvis_model.npz`: the mean surface of the bodies and their mirror images, its
principal modes, and smooth deformations which ten bodies do not span; then modes toward the
digital pelvis (`rhoa.phantom`), whose wings are simpler than any of theirs. No surface of a single
person is in it. Coordinates are those of the mean pelvis' AP frame, mm: x left, y posterior,
z superior, origin midway between the pubic tubercles.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes, gaussian_filter, map_coordinates
from scipy.spatial import cKDTree

import rhoa
from rhoa.phantom import Anatomy, ct
from rhoa.pose import Landmarks, from_landmarks, from_points
from rhoa.pose.automatic import BoneEdges, Fit, PelvisModel
from rhoa.pose.bone import bone_of

Points = NDArray[np.float64]

VERTICES = 5000
"""Of each bone of the atlas."""
BONES = ("left_hip", "right_hip", "sacrum")
KEPT_MM = (5.0, 5.0, 8.0)
"""Between the points of each bone that are kept."""
MODES = 14
JOINT_MM, SOCKET_MM = 7.0, 30.0
"""Bone that close to another one of the pelvis, or to a hip centre, faces a joint."""
SMOOTH_MM, SMOOTH_SD_MM, SMOOTH_COUNT = 45.0, 4.0, 40
"""Length, standard deviation in each direction, and number of the smooth deformations."""
DIGITAL, DIGITAL_MODES, DIGITAL_SD = range(500, 508), 2, 1.5
"""Seeds of digital pelves; modes of theirs; how unusual their mean counts as."""
DIGITAL_MM = tuple(np.linspace(22, 6, 24))
MIRROR = np.array([-1.0, 1.0, 1.0])


def bodies(file: Path) -> Points:
    """Every body in its AP frame: vertices of its bones, its landmarks, its hip centres."""
    found = []
    with np.load(file) as content:
        for name in sorted({key.partition("/")[0] for key in content.files}):
            bones = [content[f"{name}/{bone}"].astype(float) for bone in BONES]
            frame = from_points(np.concatenate(bones[:2]))
            centres = [
                [frame.quality[f"hip_{side}_{axis}_mm"] for axis in "xyz"]
                for side in ("left", "right")
            ]
            marks = frame.to_ap(frame.landmarks.as_array())
            found.append(np.concatenate([frame.to_ap(np.concatenate(bones)), marks, centres]))
    return np.array(found)


def mirrored(shapes: Points) -> Points:
    """The mirror images of the bodies, their vertices in correspondence with the bodies'."""
    mean = shapes.mean(axis=0)
    image = mean * MIRROR
    images = np.empty_like(shapes)
    for number, other in ((0, 1), (1, 0), (2, 2)):
        here, there = _rows(number), _rows(other)
        near, weight = _correspondence(mean[here], image[there])
        flipped = shapes[:, there] * MIRROR
        images[:, here] = (flipped[:, near] * weight[..., None]).sum(axis=2)
    end = len(BONES) * VERTICES
    swapped = end + np.array([1, 0, 3, 2, 5, 4])
    images[:, end:] = shapes[:, swapped] * MIRROR
    return images


def _rows(bone: int) -> slice:
    return slice(bone * VERTICES, (bone + 1) * VERTICES)


def _correspondence(bone: Points, image: Points) -> tuple[NDArray[np.intp], Points]:
    """For each vertex of a bone the vertices of the other's image about it, and their weights.

    The image is laid on the bone rigidly, then drawn to it by smooth displacements.
    """
    laid = image
    for _ in range(30):
        turn, shift = rigid(laid, bone[cKDTree(bone).query(laid)[1]])
        laid = laid @ turn.T + shift
    for width in (40.0, 25.0, 15.0, 10.0):
        pull = bone[cKDTree(bone).query(laid)[1]] - laid
        near, at = cKDTree(laid).query(laid, k=200)
        weight = np.exp(-0.5 * (near / width) ** 2)
        laid = laid + (pull[at] * weight[..., None]).sum(axis=1) / weight.sum(axis=1)[:, None]
    away, near = cKDTree(laid).query(bone, k=4)
    weight = 1 / (away + 0.5) ** 2
    return near, weight / weight.sum(axis=1, keepdims=True)


def rigid(points: Points, onto: Points) -> tuple[Points, Points]:
    """The turn and the shift that bring points nearest to others."""
    here, there = points.mean(axis=0), onto.mean(axis=0)
    left, _, right = np.linalg.svd((points - here).T @ (onto - there))
    proper = np.diag([1, 1, np.linalg.det(left @ right)])
    turn = (left @ proper @ right).T
    return turn, there - turn @ here


def aligned(shapes: Points) -> Points:
    """Every body laid on their mean by its hips (generalised Procrustes, size kept)."""
    shapes, hips = shapes.copy(), slice(0, 2 * VERTICES)
    for _ in range(6):
        mean = shapes.mean(axis=0)
        for number, shape in enumerate(shapes):
            turn, shift = rigid(shape[hips], mean[hips])
            shapes[number] = shape @ turn.T + shift
    mean = shapes.mean(axis=0)
    frame = from_landmarks(Landmarks(*mean[3 * VERTICES : 3 * VERTICES + 4]))
    return frame.to_ap(shapes)


def normals(vertices: Points) -> Points:
    """Outward unit normals of one bone, from the gradient of its filled and smoothed volume."""
    step, margin = 1.5, 12.0
    low = vertices.min(axis=0) - margin
    shape = np.ceil((vertices.max(axis=0) + margin - low) / step).astype(int)
    grid = np.moveaxis(np.indices(shape), 0, -1).reshape(-1, 3) * step + low
    near = cKDTree(vertices).query(grid, distance_upper_bound=2.6)[0].reshape(shape)
    solid = gaussian_filter(binary_fill_holes(np.isfinite(near)).astype(float), 1.6)
    slope = [
        map_coordinates(along, ((vertices - low) / step).T, order=1)
        for along in np.gradient(solid, step)
    ]
    outward = -np.stack(slope, axis=1)
    return outward / np.maximum(np.linalg.norm(outward, axis=1, keepdims=True), 1e-9)


def kept(vertices: Points, apart_mm: float, random: np.random.Generator) -> list[int]:
    """Vertices of which no two lie closer than ``apart_mm``, and none is left out needlessly."""
    tree, alive, chosen = cKDTree(vertices), np.ones(len(vertices), bool), []
    for vertex in random.permutation(len(vertices)):
        if alive[vertex]:
            chosen.append(int(vertex))
            alive[tree.query_ball_point(vertices[vertex], apart_mm)] = False
    return sorted(chosen)


def smooth_deformations(points: Points, random: np.random.Generator) -> Points:
    """Eigenfunctions of a Gaussian covariance at the points (Nystroem), ``(count, points)``."""

    def covariance(one: Points, other: Points) -> Points:
        square = ((one[:, None] - other[None]) ** 2).sum(axis=-1)
        return SMOOTH_SD_MM**2 * np.exp(-square / (2 * SMOOTH_MM**2))

    centres = points[random.choice(len(points), 700, replace=False)]
    values, vectors = np.linalg.eigh(covariance(centres, centres))
    values, vectors = values[::-1][:SMOOTH_COUNT], vectors[:, ::-1][:, :SMOOTH_COUNT]
    return (covariance(points, centres) @ vectors / np.sqrt(values)).T


def digital(model: PelvisModel) -> Points:
    """The model's points on digital pelves, in the AP frame of each."""
    shapes = []
    bendy = replace(model, smooth=2.5 * model.smooth)
    for seed in DIGITAL:
        case = ct(Anatomy.random(seed), spacing_mm=(2, 2, 2), noise_hu=0, table=False)
        frame = from_landmarks(case.landmarks)
        bone = bone_of(case.volume)
        scan = BoneEdges.of(bone.grid, case.volume)
        centres = np.stack([case.hip_centres[side] for side in ("left", "right")])
        turn, shift = rigid(model.mean[-6:], np.concatenate([frame.landmarks.as_array(), centres]))
        fit = Fit(bendy, turn, turn @ model.middle + shift)
        fit = scan.registered(fit, model.every, DIGITAL_MM, modes=True, smooth=True)
        shape = frame.to_ap(fit.lps(slice(None)))
        shape[-6:-2], shape[-2:] = frame.to_ap(frame.landmarks.as_array()), frame.to_ap(centres)
        shapes.append(shape)
    return np.array(shapes)


def digital_modes(shapes: Points, model: PelvisModel) -> Points:
    """From the mean pelvis toward the digital ones, and how these differ from each other."""
    laid = []
    for shape in shapes:
        turn, shift = rigid(
            shape[np.flatnonzero(model.bone < 2)], model.mean[np.flatnonzero(model.bone < 2)]
        )
        laid.append(shape @ turn.T + shift)
    mean = np.mean(laid, axis=0)
    _, spread, vectors = np.linalg.svd(
        (np.array(laid) - mean).reshape(len(laid), -1), full_matrices=False
    )
    own = (vectors * (spread / np.sqrt(len(laid) - 1))[:, None])[:DIGITAL_MODES]
    return np.concatenate([((mean - model.mean) / DIGITAL_SD)[None], own.reshape(-1, *mean.shape)])


def build(file: Path) -> dict[str, NDArray[np.generic]]:
    """The arrays of the model."""
    random = np.random.default_rng(0)
    shapes = bodies(file)
    shapes = aligned(np.concatenate([shapes, mirrored(shapes)]))
    mean = shapes.mean(axis=0)
    _, spread, vectors = np.linalg.svd(
        (shapes - mean).reshape(len(shapes), -1), full_matrices=False
    )
    modes = (vectors * (spread / np.sqrt(len(shapes) / 2 - 1))[:, None])[:MODES]
    print("share of the variance:", np.cumsum(spread**2 / (spread**2).sum())[:MODES].round(3))
    chosen, bone = [], []
    for number, apart in enumerate(KEPT_MM):
        some = kept(mean[_rows(number)], apart, random)
        chosen += [number * VERTICES + vertex for vertex in some]
        bone += [number] * len(some)
    index, bone = np.array(chosen), np.array(bone)
    outward = np.concatenate([normals(mean[_rows(number)]) for number in range(len(BONES))])
    end = len(BONES) * VERTICES
    hips, sacrum = mean[: 2 * VERTICES], mean[2 * VERTICES : end]
    facing = np.where(
        bone == 2, cKDTree(hips).query(mean[index])[0], cKDTree(sacrum).query(mean[index])[0]
    )
    from_hip = cKDTree(mean[end + 4 :]).query(mean[index])[0]
    weight = np.where(facing < JOINT_MM, 0.2, 1.0) * np.where(from_hip < SOCKET_MM, 0.5, 1.0)
    weight *= np.where(bone == 2, 0.4, 1.0)
    rows = np.concatenate([index, np.arange(end, end + 6)])
    modes = modes.reshape(MODES, -1, 3)[:, rows].astype(np.float32)
    smooth = smooth_deformations(mean[rows], random).astype(np.float32)
    model = PelvisModel(mean[rows], outward[index], weight, bone.astype(np.uint8), modes, smooth)
    modes = np.concatenate([modes, digital_modes(digital(model), model)])
    return {
        "mean": model.mean.astype(np.float32),
        "normals": model.normals.astype(np.float32),
        "weight": model.weight.astype(np.float32),
        "bone": model.bone,
        "modes": modes.astype(np.float16),
        "smooth": smooth.astype(np.float16),
    }


def main() -> None:
    """Write the model."""
    target = Path(rhoa.__file__).parent / "pose" / "pelvis_model.npz"
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("atlas", type=Path, help="pelves.npz of the atlas")
    parser.add_argument("--out", type=Path, default=target)
    options = parser.parse_args()
    model = build(options.atlas)
    np.savez_compressed(options.out, **model)
    size = options.out.stat().st_size
    print(f"{options.out.name}: {len(model['weight'])} points, {size / 1000:.0f} kB")
    print(model["mean"][-6:].round(1))


if __name__ == "__main__":
    main()
