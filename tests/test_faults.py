"""Threads, forks and Ctrl-C: what surrounds a computation neither breaks nor changes it."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import rhoa
from rhoa.parallel import side_by_side

THREADS, CALLS = 8, 1000
WINDOWS = [(-150.0, 600.0), (0.0, 1000.0)]
SMALL = (6, 7, 8)
SPLIT = (64, 72, 80)
"""Above the size from which work is split over threads."""
SOON_S = 2.0  # of computing by two threads; to their end, the calls take 6 s and more


def noise(shape: tuple[int, int, int]) -> np.ndarray:
    return np.random.default_rng(3).integers(-1024, 3071, shape).astype(np.int16)


def landmarks() -> rhoa.Landmarks:
    """Of a pelvis in a volume of `SPLIT` voxels of 1 mm, turned a little."""
    return rhoa.Landmarks((30.0, 5.0, 30.0), (-30.0, 6.0, 31.0), (3.0, 9.0, 0.0), (-3.0, 9.0, 0.0))


def test_8_threads_call_1000_times_on_one_array() -> None:
    hu = noise(SMALL)
    volume = rhoa.Volume.from_array(hu, (1.0, 1.0, 1.0))
    clipped = np.clip(hu.astype(np.int64), -150, 600)
    swept = [np.clip(hu.astype(np.int64), *window).sum(1) for window in WINDOWS]

    def call(number: int) -> bool:
        axis = number % 3
        same = np.array_equal(rhoa.ctap(hu, axis=axis, threads=1 + number % 2), clipped.sum(axis))
        if number % 10 == 0:
            images = rhoa.sweep(volume, WINDOWS)
            same &= all(
                np.array_equal(image.pixels, truth[::-1])
                for image, truth in zip(images, swept, strict=True)
            )
        return same

    with ThreadPoolExecutor(THREADS) as pool:
        results = list(pool.map(call, range(THREADS * CALLS)))

    assert len(results) == THREADS * CALLS
    assert all(results)


@pytest.mark.filterwarnings("ignore:the alignment is flagged:rhoa.RhoaWarning")  # small landmarks
def test_threads_that_split_one_array_over_threads_give_the_same_bits() -> None:
    volume = rhoa.Volume.from_array(noise(SPLIT), (1.0, 1.0, 1.0))
    kinds = {"plain": None, "posed": landmarks()}
    truth = {kind: rhoa.ctap(volume, pose=pose, threads=1).pixels for kind, pose in kinds.items()}

    def call(number: int) -> bool:
        kind = ("plain", "posed")[number % 2]
        image = rhoa.ctap(volume, pose=kinds[kind], threads=1 + number % 5)
        return np.array_equal(image.pixels, truth[kind])

    with ThreadPoolExecutor(THREADS) as pool:
        assert all(pool.map(call, range(160)))


def ctap_sum(hu: np.ndarray) -> float:
    """For another process: a sum that is split over threads there."""
    return float(rhoa.ctap(hu, threads=4).sum())


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(
            "fork", marks=pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
        ),
        "spawn",
    ],
)
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_other_processes_compute_after_this_one_has(start: str) -> None:
    hu = noise(SPLIT)
    truth = ctap_sum(hu)

    with multiprocessing.get_context(start).Pool(2) as pool:
        results = pool.map_async(ctap_sum, [hu] * 4).get(timeout=300)

    assert results == [truth] * 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_fork_while_threads_compute_can_compute_too() -> None:
    """No lock of the kernels can be held by a thread that the child does not have."""
    hu = noise(SPLIT)
    truth = ctap_sum(hu)
    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(ctap_sum, hu) for _ in range(60)]
        codes = []
        for _ in range(5):
            child = os.fork()
            if child == 0:
                signal.alarm(120)
                os._exit(0 if ctap_sum(hu) == truth else 1)
            codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        assert {one.result() for one in running} == {truth}
    assert codes == [0] * 5


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_workers_of_a_data_loader_compute() -> None:
    torch = pytest.importorskip("torch")
    hu = noise(SPLIT)
    truth = ctap_sum(hu)

    class Scans(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return 4

        def __getitem__(self, _: int) -> float:
            return ctap_sum(hu)

    loader = torch.utils.data.DataLoader(Scans(), num_workers=2, timeout=300)

    assert [batch.item() for batch in loader] == [truth] * 4


def test_ctrl_c_does_not_wait_for_what_other_threads_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RHOA_NUM_THREADS", "2")
    go, begun, ended = threading.Event(), [], []

    def work(number: int) -> int:
        begun.append(number)
        if number:
            go.wait(60)
            ended.append(number)
        return number

    made = side_by_side(work, range(100))
    assert next(made) == 0
    with pytest.raises(KeyboardInterrupt):
        made.throw(KeyboardInterrupt)
    before = list(ended)
    go.set()

    assert before == []
    assert len(begun) < 10


INTERRUPTED = """
import json, os, signal, sys, threading, time
import numpy as np
import rhoa
from rhoa import _core, cli

kind, folder, sent = sys.argv[1], sys.argv[2], []
pose = rhoa.Landmarks((30, 50, 130), (-30, 60, 131), (3, 90, 0), (-3, 90, 0))


def interrupt():
    time.sleep(0.2)
    sent.append((time.monotonic(), time.process_time()))
    os.kill(os.getpid(), signal.SIGINT)


def timed(kernel):
    def call(*given, **options):
        threading.Thread(target=interrupt, daemon=True).start()
        return kernel(*given, **options)

    return call


def scan(k, j, i):  # a scan of air that takes no memory, however large it is
    air = np.broadcast_to(np.zeros((1, 1, i), np.int16), (k, j, i))
    return rhoa.Volume.from_array(air, (1.0, 1.0, 1.0))


small = rhoa.Volume.from_array(np.zeros((160, 160, 160), np.int16), (1.0, 1.0, 1.0))
fine = ["--pose", f"force:{folder}/pose.json", "--method", "reslice", "--order", "3"]
calls = {
    "as scanned": lambda: rhoa.ctap(scan(40000, 512, 512).hu, axis=0, threads=2),
    "posed": lambda: rhoa.ctap(scan(1500, 3000, 512), pose=pose, threads=2),
    "resliced": lambda: rhoa.ctap(
        small, pose=pose, method="reslice", order=3, pixel_mm=0.1, threads=2
    ),
    "command": lambda: cli.main(
        ["ctap", f"{folder}/scan.nii", "-o", f"{folder}/out", *fine, "--pixel-mm", "0.1"]
    ),
}
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job may ignore it
pose.to_json(f"{folder}/pose.json")
if kind == "command":
    small.to_nibabel().to_filename(f"{folder}/scan.nii")
kernel = {"as scanned": "reduced", "posed": "sheared"}.get(kind, "projected")
setattr(_core, kernel, timed(getattr(_core, kernel)))
code = None
try:
    code = calls[kind]()
except KeyboardInterrupt:
    pass
now = time.monotonic(), time.process_time()
assert (_core.read_once(np.ones(8, np.int64), threads=2)) == 8
told = {"code": code if kind == "command" else None if code is None else "came to its end"}
print(json.dumps(told | {"s": [after - before for before, after in zip(sent[0], now)]}))
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no signals to a process")
@pytest.mark.parametrize("kind", ["as scanned", "posed", "resliced", "command"])
def test_ctrl_c_ends_a_long_computation_at_once(kind: str, tmp_path: Path) -> None:
    """Measured in seconds of computing, which a busy machine does not lengthen."""
    pytest.importorskip("nibabel", reason="needs extra nifti")

    run = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, kind, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )

    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout.splitlines()[-1])
    assert told["code"] == (130 if kind == "command" else None)
    _, computed_s = told["s"]
    assert computed_s < SOON_S
    if kind == "command":
        assert "rhoa ctap: interrupted" in run.stderr
        assert "Traceback" not in run.stderr
        assert not list((tmp_path / "out").glob("*"))


def test_the_exception_of_a_handler_of_signals_is_the_one_that_is_raised() -> None:
    """Whatever a program does about a signal: a time limit, say."""
    if not hasattr(signal, "setitimer"):
        pytest.skip("no timers here")
    air = np.broadcast_to(np.zeros((1, 1, 512), np.int16), (40_000, 512, 512))

    def late(*_: object) -> None:
        raise TimeoutError("the time is over")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        with pytest.raises(TimeoutError, match="the time is over"):
            rhoa.ctap(air, axis=0, threads=2)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert rhoa.ctap(noise(SMALL)).shape == (6, 8)
