"""How near the automatic pose comes to landmarks that others read, pelvis by pelvis.

    python benches/pose.py                      # RHOA_DATA, or shared/data beside the repository
    python benches/pose.py --trials 50          # and so many random poses of each pelvis
    python benches/pose.py --painted 40         # and so many CTs painted from the experts' pelves
    python benches/pose.py --phantoms 40        # and so many digital CTs, with their hips
    python benches/pose.py --speed              # and how long a CT of 600 x 512 x 512 takes

The experts' table is the test: five experts read each landmark four times. The atlas's landmarks
were carried over from a mean shape; they lie on the crest, not on the tubercles, so both planes are
compared with them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

import rhoa
from rhoa.errors import PoseError
from rhoa.phantom import ABDOMEN, Anatomy, ct
from rhoa.phantom.anatomy import PLAIN
from rhoa.pose import Landmarks, from_landmarks, from_points, from_volume

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from rhoa import Volume
    from rhoa.phantom import Phantom
    from rhoa.pose import Alignment

POINTS = ("asis_left", "asis_right", "pubic_tubercle_left", "pubic_tubercle_right")
HEAD = ("plane", "turn", "tilt", "obliq", "rotat", "ASIS mm", "PT mm", "tri", "mirror", "ms")
ROUNDS = 5
WRONG_DEG = 5.0


class Case(NamedTuple):
    """A pelvis and what was read on it."""

    name: str
    points: NDArray[np.float64]
    landmarks: Landmarks


def experts(data: Path) -> list[Case]:
    """The landmark benchmark: vertices of both hips, consensus of five experts."""
    read = json.loads((data / "pelvis-experts" / "landmarks.json").read_text(encoding="utf-8"))
    with np.load(data / "pelvis-experts" / "pelves.npz") as content:
        return [
            Case(
                name,
                np.concatenate([content[f"{name}/{side}_hip/vertices"] for side in SIDES]),
                Landmarks(*(entry["consensus_lps_mm"][point] for point in POINTS)),
            )
            for name, entry in read.items()
            if f"{name}/left_hip/vertices" in content.files
        ]


def atlas(data: Path) -> list[Case]:
    """Vertices of both hips, landmarks carried over from the mean shape."""
    with np.load(data / "pelvis-atlas" / "pelves.npz") as content:
        return [
            Case(
                name,
                np.concatenate([content[f"{name}/{side}_hip"] for side in SIDES]),
                Landmarks(*(content[f"{name}/{point}"] for point in POINTS)),
            )
            for name in sorted({key.partition("/")[0] for key in content.files})
        ]


SIDES = ("left", "right")


def row(case: Case, pubis: str) -> list[float]:
    """One line of the table, as `HEAD` names it."""
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        found = from_points(case.points, pubis=pubis)
        times.append(time.perf_counter() - start)
    read = from_landmarks(case.landmarks)
    away = np.linalg.norm(found.landmarks.as_array() - case.landmarks.as_array(), axis=1)
    return [
        plane_deg(found, read),
        turn_deg(found.matrix, read.matrix),
        *np.subtract(found.angles, read.angles),
        away[:2].mean(),
        away[2:].mean(),
        found.quality["triangle"],
        found.quality["mirror_mm"],
        1e3 * float(np.median(times)),
    ]


def table(title: str, cases: list[Case], pubis: str) -> None:
    """Print every pelvis, then means of absolute values and the 95th percentile."""
    rows = np.array([row(case, pubis) for case in cases])
    print(f"\n{title}, plane through the {pubis}; degrees")
    print(f"{'':8}" + "".join(f"{name:>9}" for name in HEAD))
    for case, values in zip(cases, rows, strict=True):
        print(f"{case.name:8}" + "".join(f"{value:9.2f}" for value in values))
    for name, values in (
        ("mean", np.abs(rows).mean(axis=0)),
        ("p95", np.quantile(np.abs(rows), 0.95, axis=0)),
        ("max", np.abs(rows).max(axis=0)),
        ("bias", rows.mean(axis=0)),
    ):
        print(f"{name:8}" + "".join(f"{value:9.2f}" for value in values))


def trials(title: str, cases: list[Case], count: int, orientation: str) -> None:
    """Count random poses in which the plane is lost."""
    random = np.random.default_rng(0)
    lost, errors, times = 0, [], []
    for case in cases:
        read, centre = from_landmarks(case.landmarks), case.points.mean(axis=0)
        for _ in range(count):
            turn = random_turn(random, orientation)
            points = (case.points - centre) @ turn.T + centre
            start = time.perf_counter()
            try:
                found = from_points(points, orientation=orientation)
            except PoseError:
                lost += 1
                continue
            times.append(time.perf_counter() - start)
            normal = turn @ read.matrix[1]
            errors.append(float(np.degrees(np.arccos(min(1.0, found.matrix[1] @ normal)))))
    lost += sum(error > WRONG_DEG for error in errors)
    print(
        f"{title}, {orientation}: {lost} of {count * len(cases)} lost or wrong by more than "
        f"{WRONG_DEG:g} deg; plane {np.mean(errors):.2f} deg on average, {max(errors):.2f} at "
        f"most; {1e3 * np.median(times):.0f} ms"
    )


def painted_cts(data: Path, names: list[str], count: int) -> Iterator[tuple[Volume, Alignment]]:
    """Whole CTs of the experts' pelves with stool, contrast, gas, bladder, spine, ribs, table."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from tests.pose.painted import painted  # noqa: PLC0415  # beside the package, not in it

    for seed in range(count):
        case = painted(data, names[seed % len(names)], seed)
        yield case.volume, case.reference


def digital_cts(count: int) -> Iterator[tuple[Volume, Alignment]]:
    """The CTs of `phantoms`."""
    for case in phantoms(count):
        yield case.volume, from_landmarks(case.landmarks)


def phantoms(count: int) -> Iterator[Phantom]:
    """Digital pelves of any grade, turned by up to 25 deg, in voxels of 0.7 to 2.5 mm.

    Every other one in a whole abdomen with ribs, contrast and tagged stool.
    """
    for seed in range(count):
        random = np.random.default_rng([seed, 5])
        spacing = tuple(random.uniform((0.7, 1.3, 1.3), 2.5))
        angles = tuple(random.uniform((-25, -12, -20), (25, 12, 20)))
        left, right = (int(grade) for grade in random.integers(5, size=2))
        yield ct(
            Anatomy.random(seed, kl_left=left, kl_right=right),
            spacing_mm=spacing,
            angles=angles,
            surroundings=ABDOMEN if seed % 2 else PLAIN,
        )


def hips(count: int) -> None:
    """Say how near the femoral heads and boxes of digital CTs come to the truth, no hands used."""
    errors, overlaps, least = [], [], []
    for case in phantoms(count):
        pose = from_volume(case.volume)
        image = rhoa.ctap(case.volume, pose=pose)
        joints = rhoa.hips.joints(case.volume, pose)
        for side, box in rhoa.hips.boxes(image, joints=joints).items():
            errors.append(
                float(np.linalg.norm(joints[side].centre_lps_mm - case.hip_centres[side]))
            )
            x, _, z = pose.to_ap(case.hip_centres[side])
            row, column = image.to_pixel(x, z)
            half = case.half_boxes_mm[side] / image.pixel_mm[0]
            edges = (row - half, column - half, row + half, column + half)
            overlaps.append(box.iou(rhoa.hips.Box(side, *(edge + 0.5 for edge in edges))))
            least.append(joints[side].confidence)
    print(
        f"Hips of {count} digital CTs: centres {np.mean(errors):.2f} mm from the truth, "
        f"{max(errors):.2f} at most; boxes overlap with those a reader draws by "
        f"{np.mean(overlaps):.3f} (IoU), {min(overlaps):.3f} at least; confidence {min(least):.2f} "
        "at least"
    )


def speed() -> None:
    """Say how long a CT of 600 x 512 x 512 takes."""
    case = ct(Anatomy.random(1), spacing_mm=(0.9155, 0.6265, 0.881), surroundings=ABDOMEN)
    pose = from_landmarks(case.landmarks)
    for name, run in (
        ("from_volume", lambda: from_volume(case.volume)),
        ("hips.joints", lambda: rhoa.hips.joints(case.volume, pose)),
        ("coverage", lambda: rhoa.pose.coverage(case.volume, pose)),
    ):
        times = []
        for _ in range(ROUNDS):
            start = time.perf_counter()
            run()
            times.append(time.perf_counter() - start)
        shape = " x ".join(map(str, case.volume.shape))
        print(f"{name} of {shape}: {np.median(times):.2f} s, {min(times):.2f} at least")


def volumes(title: str, cases: Iterable[tuple[Volume, Alignment]]) -> None:
    """Say of every CT how wrong its plane is and what flags it, and count."""
    errors, flagged, times, refused = [], [], [], 0
    print(f"\n{title}")
    for number, (volume, reference) in enumerate(cases):
        start = time.perf_counter()
        try:
            found = from_volume(volume)
        except PoseError as error:
            refused += 1
            print(f"{number:4} refused: {str(error)[:60]}")
            continue
        times.append(time.perf_counter() - start)
        errors.append(plane_deg(found, reference))
        flagged.append(bool(found.hard_flags))
        print(
            f"{number:4}{errors[-1]:7.2f} deg {times[-1]:6.2f} s  "
            f"support {found.quality['support']:4.2f}  " + " ".join(sorted(found.hard_flags))
        )
    error, hard = np.array(errors), np.array(flagged)
    silent = error[~hard]
    print(
        f"{title}: {len(silent)} of {len(error) + refused} without a hard flag, {refused} refused; "
        f"of the unflagged {np.mean(silent <= 2):.0%} within 2 deg, {(silent > 3).sum()} wrong by "
        f"more than 3, {(silent > WRONG_DEG).sum()} by more than {WRONG_DEG:g}; mean "
        f"{silent.mean():.2f}, most {silent.max():.2f}; of the flagged {(error[hard] <= 3).sum()} "
        f"are right; {np.median(times):.2f} s"
    )


def random_turn(random: np.random.Generator, orientation: str) -> NDArray[np.float64]:
    """Up to 30 deg about each patient axis; or any rotation, evenly."""
    if orientation == "free":
        axes, upper = np.linalg.qr(random.normal(size=(3, 3)))
        axes = axes * np.sign(np.diag(upper))
        return axes * np.sign(np.linalg.det(axes))
    turn = np.eye(3)
    for axis, angle in enumerate(np.radians(random.uniform(-30, 30, 3))):
        one, other = (axis + 1) % 3, (axis + 2) % 3
        step = np.eye(3)
        step[one, one] = step[other, other] = np.cos(angle)
        step[other, one], step[one, other] = np.sin(angle), -np.sin(angle)
        turn = step @ turn
    return turn


def plane_deg(one: Alignment, other: Alignment) -> float:
    """Angle between the normals of both planes."""
    cross = np.linalg.norm(np.cross(one.matrix[1], other.matrix[1]))
    return float(np.degrees(np.arctan2(cross, one.matrix[1] @ other.matrix[1])))


def turn_deg(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Angle of the rotation between two matrices."""
    return float(np.degrees(2 * np.arcsin(min(np.linalg.norm(one - other) / np.sqrt(8), 1))))


def main() -> None:
    """Print the tables."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("RHOA_DATA", beside)))
    parser.add_argument("--trials", type=int, default=0, help="random poses of each pelvis")
    parser.add_argument("--painted", type=int, default=0, help="CTs painted from real pelves")
    parser.add_argument("--phantoms", type=int, default=0, help="digital CTs")
    parser.add_argument("--speed", action="store_true", help="time a CT of 600 x 512 x 512")
    options = parser.parse_args()
    read, carried = experts(options.data), atlas(options.data)
    from_points(read[0].points)  # imports
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print("One expert against the other four: plane 0.57, p95 1.26; 0.51 / 0.42 / 0.17; PT 1.6 mm")
    table("Experts", read, "tubercles")
    table("Atlas", carried, "crest")
    table("Atlas", carried, "tubercles")
    if options.trials:
        print()
        for title, cases in (("experts", read), ("atlas", carried)):
            for orientation in ("supine", "free"):
                trials(title, cases, options.trials, orientation)
    if options.painted:
        names = [case.name for case in read]
        volumes("Painted CTs", painted_cts(options.data, names, options.painted))
    if options.phantoms:
        volumes("Digital CTs", digital_cts(options.phantoms))
        hips(options.phantoms)
    if options.speed:
        speed()


if __name__ == "__main__":
    main()
