"""How long a reader waits: the next hip after a key, a CT-AP after a landmark was moved.

    python benches/review.py --slices 500

Chromium drives the page of `rhoa review`; times are the page's own, from the key to the frame in
which the image is shown. Beside them, in the same run: what the server needs for such an image, and
an action that is written to the disk, alone.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from playwright.sync_api import sync_playwright

import rhoa
from rhoa.phantom import Anatomy, ct, write_dicom
from rhoa.review.events import Graded, Journal
from rhoa.review.images import shown_image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENTS = 12
EDGES = ("top", "left", "bottom", "right")
# The key is pressed, and the time taken when the frame after the change is drawn.
WAIT = """([key, where, mark]) => new Promise(resolve => {
  const stage = document.querySelector(where);
  const before = stage.dataset[mark], start = performance.now();
  const look = () => requestAnimationFrame(
    stage.dataset[mark] === before ? look : () => resolve(performance.now() - start));
  document.body.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true}));
  look();
})"""


def main() -> None:
    """Make a cohort, open the page, and print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", type=int, default=500)
    parser.add_argument("--moves", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cohort, scans = Path(folder) / "hips", Path(folder) / "scans"
        for number in range(PATIENTS):
            make_case(number, cohort, scans, options.slices)
        print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}; ms: median (largest)")
        alone(cohort, scans)
        on_the_page(cohort, scans, options.moves)


def make_case(number: int, cohort: Path, scans: Path, slices: int) -> None:
    """One patient; the first has a CT of that many slices of 512 x 512."""
    phantom = ct(Anatomy.random(number), spacing_mm=(4.0, 3.0, 3.0))
    volume = phantom.volume
    if number == 0:
        volume = enlarged(volume, (slices, 512, 512))
    name = f"case-{number:02d}"
    write_dicom(volume, scans / name, subject=name, seed=number)
    place = cohort / name
    place.mkdir(parents=True)
    image = rhoa.ctap(volume, pose=phantom.landmarks)
    image.save(place / "ct-ap.npz")
    pose = {"used": True, "flags": [], **phantom.landmarks.as_dict()}
    (place / "pose.json").write_text(json.dumps(pose))
    found = rhoa.hips.boxes(image, phantom.landmarks)
    rows = [{"side": side, **{e: getattr(box, e) for e in EDGES}} for side, box in found.items()]
    (place / "boxes.json").write_text(json.dumps(rows))


def enlarged(volume: rhoa.Volume, shape: tuple[int, int, int]) -> rhoa.Volume:
    """The same scan with so many voxels, each the nearest of the old ones."""
    steps = [old / new for old, new in zip(volume.shape, shape, strict=True)]
    index = [(np.arange(new) * step).astype(int) for new, step in zip(shape, steps, strict=True)]
    affine = volume.affine.copy()
    affine[:3, :3] *= steps
    return rhoa.Volume(volume.hu[np.ix_(*index)], affine)


def alone(cohort: Path, scans: Path) -> None:
    """The image and the write that the page waits for, without server and page."""
    volume = rhoa.read_ct(scans / "case-00")
    landmarks = rhoa.Landmarks.from_json(cohort / "case-00" / "pose.json")
    told("the CT-AP alone", timed(lambda: rhoa.ctap(volume, pose=landmarks)))
    image = rhoa.ctap(volume, pose=landmarks)
    told("its grey levels alone", timed(lambda: shown_image(image)))
    journal = Journal(cohort / "review", "bench")
    grade = Graded("0" * 16, "left", 1, kl=2)
    told("an action on the disk", timed(lambda: journal.append(grade)))
    journal.close()


def on_the_page(cohort: Path, scans: Path, moves: int) -> None:
    """What a reader waits for."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with served(cohort, scans) as address, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(address)
        page.wait_for_selector(".card img")
        page.evaluate("location.hash = 'grading'")
        page.wait_for_selector(".stage[data-hip]")
        keys = []
        for number in range(2 * PATIENTS - 1):
            page.wait_for_timeout(300)  # a reader looks, too
            key = str(number % 5)
            keys.append(page.evaluate(WAIT, [key, ".stage[data-hip]", "hip"]))
        told("next hip after a key", keys)
        page.evaluate("location.hash = 'pose/1'")
        page.wait_for_selector(".stage[data-case] .grip", state="attached", timeout=120_000)
        page.wait_for_selector(".stage:nth-child(2) .grip", state="attached", timeout=120_000)
        dragged = []
        for _ in range(moves):
            page.wait_for_timeout(300)
            dragged.append(page.evaluate(WAIT, ["ArrowUp", ".stage[data-case]", "remade"]))
        told("CT-AP after a landmark moved", dragged)
        browser.close()


@contextmanager
def served(cohort: Path, scans: Path) -> Iterator[str]:
    """The address of the running command."""
    command = [sys.executable, "-m", "rhoa", "review", str(cohort), "--scans", str(scans)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)  # noqa: S603  # our own
    with process:
        for line in process.stderr or ():
            if address := re.search(r"http://\S+", line):
                yield address[0]
                break
        process.terminate()


def timed(what: Callable[[], object], rounds: int = 15) -> list[float]:
    """Milliseconds of each call, after one that does not count."""
    what()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        what()
        times.append(1000 * (time.perf_counter() - start))
    return times


def told(what: str, times: list[float]) -> None:
    """A line of the table."""
    print(f"{what:32} {statistics.median(times):7.1f} ({max(times):.1f})")


if __name__ == "__main__":
    main()
