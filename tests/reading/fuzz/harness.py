"""Inputs made from seeds, each read in a child process that may die without taking more with it."""

from __future__ import annotations

import faulthandler
import json
import os
import re
import resource
import selectors
import shutil
import signal
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from random import Random

import numpy as np

import rhoa
from rhoa.dicom.codec_worker import DECODERS
from rhoa.errors import MissingExtraError, RhoaError, RhoaWarning
from rhoa.reading import inspect, read_ct
from tests.reading.fuzz.mutations import DICOM
from tests.reading.fuzz.seeds import Seed
from tests.reading.fuzz.volumes import NIFTI

ADDRESS_SPACE = 2 << 30
SECONDS = 5
"""Of processor time, which other work on the machine does not lengthen."""
WAITING_SECONDS = 120
"""Of the clock: what waits for ever computes nothing."""
TIMERS = {signal.SIGPROF: signal.ITIMER_PROF, signal.SIGALRM: signal.ITIMER_REAL}
BUDGET = 256 << 20
MOST_RESIDENT = 3 * BUDGET
INPUTS_A_CHILD = 2000
LONGEST_MESSAGE = 4000
_DECODED_APART = [syntax.encode() for syntax in DECODERS]
_PACKAGE = str(Path(rhoa.__file__).parent)
_FRAME = re.compile(r'File "([^"]+)", line (\d+) in (\S+)')


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one input. ``kind`` is volume, refused, or finding."""

    index: int
    kind: str
    what: str
    where: str = ""
    resident: int = 0

    @property
    def key(self) -> tuple[str, str]:
        """What makes findings one."""
        return self.what, self.where


@dataclass(frozen=True, slots=True)
class Recipe:
    """How an input is made: the numbers of its seeds and of the steps that damage it."""

    seed: int
    donor: int
    steps: tuple[int, ...]
    salt: str


def recipe(seeds: Sequence[Seed], seed: int, index: int) -> Recipe:
    """The recipe of input ``index`` of a run."""
    random = Random(f"{seed}-{index}")  # noqa: S311  # repeatable on purpose
    chosen, donor = random.choices(range(len(seeds)), [_weight(one) for one in seeds], k=2)
    steps = range(random.choice((1, 1, 1, 2, 2, 3, 4, 6)))
    return Recipe(chosen, donor, tuple(steps), f"{seed}-{index}")


def make(seeds: Sequence[Seed], how: Recipe) -> Seed:
    """The input of a recipe. A step does not depend on the others being there."""
    base, donor = seeds[how.seed], seeds[how.donor]
    files = list(base.files)
    mutations = NIFTI if files[0][0].startswith("scan.nii") else DICOM
    for step in how.steps:
        random = Random(f"{how.salt}-{step}")  # noqa: S311
        files = _damaged(random, files, mutations, donor)
    return replace(base, files=tuple(files))


def outcome(index: int, given: Seed, folder: Path) -> Outcome:
    """Write the input to ``folder``, read it, and judge what comes back."""
    for name, content in given.files:
        (folder / name).write_bytes(content)
    path = folder / given.files[0][0] if given.is_volume_file else folder
    Path("/proc/self/clear_refs").write_text("5", "ascii")  # the largest size starts anew
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    signal.setitimer(signal.ITIMER_REAL, WAITING_SECONDS)
    try:
        kind, what, where = _judged(path)
    finally:
        for timer in TIMERS.values():
            signal.setitimer(timer, 0)
        for name, _ in given.files:
            (folder / name).unlink(missing_ok=True)  # two may share a name
    resident = _most_resident()
    if kind != "finding" and resident > MOST_RESIDENT:
        kind, what, where = "finding", "memory beyond three budgets", what
    return Outcome(index, kind, what, where, resident)


def run(
    seeds: Sequence[Seed],
    indices: Sequence[int],
    seed: int,
    *,
    jobs: int,
    tell: Callable[[Outcome], object],
) -> None:
    """Read the inputs ``indices`` of run ``seed`` in ``jobs`` children; ``tell`` each outcome."""
    with selectors.DefaultSelector() as ready:
        for n in range(min(jobs, len(indices))):
            child = _Child(seeds, list(indices[n::jobs]), seed)
            ready.register(child.pipe, selectors.EVENT_READ, child)
        while ready.get_map():
            for key, _ in ready.select():
                child = key.data
                for one in child.outcomes():
                    tell(one)
                if child.ended:
                    ready.unregister(key.fileobj)
                    if (last := child.close()) is not None:
                        tell(last)
                    if child.left:
                        again = _Child(seeds, child.left, seed)
                        ready.register(again.pipe, selectors.EVENT_READ, again)


def single(seeds: Sequence[Seed], how: Recipe, index: int = 0) -> Outcome:
    """The outcome of one recipe, in a child of its own."""
    child = _Child(seeds, [index], 0, how)
    found: list[Outcome] = []
    while not child.ended:
        found += child.outcomes()
    last = child.close()
    return last or found[-1]


def simplified(seeds: Sequence[Seed], how: Recipe, key: tuple[str, str]) -> Recipe:
    """The recipe without the steps that its finding does not need."""
    for step in how.steps:
        shorter = replace(how, steps=tuple(one for one in how.steps if one != step))
        if single(seeds, shorter).key == key:
            how = shorter
    return how


def _weight(seed: Seed) -> float:
    size = sum(len(content) for _, content in seed.files)
    readable = len(seed.files) > 1 or seed.is_volume_file
    if readable and any(syntax in seed.files[0][1][:1024] for syntax in _DECODED_APART):
        return 0.3  # every one of them starts a process
    return (4 if readable else 1) * min(1.0, 20_000 / size)


def _damaged(
    random: Random,
    files: list[tuple[str, bytes]],
    mutations: Sequence[Callable[[Random, bytes, bytes], bytes]],
    donor: Seed,
) -> list[tuple[str, bytes]]:
    """One step: a file, every file alike, or which files there are."""
    mutate = random.choice(mutations)
    other = random.choice(donor.files)[1]
    scope, number = random.random(), random.randrange(len(files))
    if len(files) > 1 and scope < 0.02:
        return files[:number] + files[number + 1 :]
    if len(files) > 1 and scope < 0.04:
        return [*files, (f"copy-{random.randrange(9)}.dcm", files[number][1])]
    if len(files) > 1 and scope < 0.06:
        return [*files, ("other.dcm", other)]
    state, alike = random.getstate(), scope < 0.5
    damaged = []
    for n, (name, content) in enumerate(files):
        random.setstate(state)
        wanted = content and (alike or n == number)
        changed = mutate(random, content, other) if wanted else content
        damaged.append((name, changed))
    return damaged


def _judged(path: Path) -> tuple[str, str, str]:
    """What reading gives: kind, what and where."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a NumPy warning is a number gone wrong
        warnings.simplefilter("ignore", RhoaWarning)
        for read in (inspect, read_ct):
            try:
                result = read_ct(path, max_bytes=BUDGET) if read is read_ct else inspect(path)
            except (RhoaError, MissingExtraError) as error:
                kind, what, where = "refused", type(error).__name__, ""
                if (wrong := _wrong_message(str(error), path)) is not None:
                    return "finding", wrong, what
            except Exception as error:  # noqa: BLE001  # which is what is looked for
                return "finding", type(error).__name__, _frames(error)
            else:
                kind, what, where = "volume", "volume", ""
                if isinstance(result, rhoa.Volume) and (wrong := _wrong_volume(result)):
                    return "finding", wrong, "Volume"
    return kind, what, where


def _most_resident() -> int:
    """The largest resident memory since it was last cleared, in bytes."""
    status = Path("/proc/self/status").read_text("ascii")
    return int(status.partition("VmHWM:")[2].split(maxsplit=1)[0]) << 10


def _wrong_volume(volume: rhoa.Volume) -> str | None:
    """What no volume may be."""
    if volume.hu.dtype not in {np.dtype(np.int16), np.dtype(np.float32)}:
        return f"a volume of {volume.hu.dtype}"
    if not np.isfinite(volume.hu).all() or not np.isfinite(volume.affine).all():
        return "a volume that is not finite"
    if volume.hu.nbytes > BUDGET or abs(np.linalg.det(volume.affine)) == 0:
        return "a volume beyond its budget, or flat"
    return None


def _wrong_message(message: str, path: Path) -> str | None:
    """What no message may be."""
    if len(message) > LONGEST_MESSAGE:
        return "a message of thousands of characters"
    if not message.replace("\n", "").isprintable():
        return "a message that does not print"
    if "MemoryError" in message:
        return "memory asked for before it was checked"
    return "a message with a path" if str(path.parent) in message else None


def _frames(error: BaseException) -> str:
    """The innermost frame, and the innermost of rhoa."""
    frames = [(frame.filename, frame.name) for frame in traceback.extract_tb(error.__traceback__)]
    return _named(frames[::-1])


def _named(frames: list[tuple[str, str]]) -> str:
    """The innermost of (file, function) and the innermost inside rhoa; the first is innermost."""
    own = [frame for frame in frames if frame[0].startswith(_PACKAGE)]
    chosen = dict.fromkeys([*frames[:1], *own[:1]])
    return " < ".join(f"{Path(name).name}:{function}" for name, function in chosen)


class _Child:
    """A forked process that reads inputs one after the other and tells what became of them."""

    def __init__(
        self, seeds: Sequence[Seed], indices: list[int], seed: int, how: Recipe | None = None
    ) -> None:
        self.left, self.ended, self._text = indices, False, b""
        self.home = Path(tempfile.mkdtemp(prefix="rhoa-fuzz-"))
        self.pipe, end = os.pipe()
        self.process = os.fork()
        if self.process == 0:
            os.close(self.pipe)
            try:
                _serve(seeds, indices, seed, how, self.home, end)
            except BaseException:  # noqa: BLE001  # told by the parent
                (self.home / "trace").write_text(traceback.format_exc())
                os._exit(1)
            os._exit(0)
        os.close(end)

    def outcomes(self) -> Iterator[Outcome]:
        """What has come through the pipe."""
        got = os.read(self.pipe, 1 << 16)
        self.ended = not got
        *lines, self._text = (self._text + got).split(b"\n")
        for line in lines:
            one = Outcome(**json.loads(line))
            self.left = self.left[1:]
            yield one

    def close(self) -> Outcome | None:
        """Wait for its end; the outcome of the input that killed it, if one did."""
        os.close(self.pipe)
        _, status = os.waitpid(self.process, 0)
        trace = self.home / "trace"
        text = trace.read_text(errors="replace") if trace.is_file() else ""
        shutil.rmtree(self.home, ignore_errors=True)
        if not os.WIFSIGNALED(status):
            if status:
                raise RuntimeError(f"the harness failed at input {self.left[0]}:\n{text}")
            return None
        number = os.WTERMSIG(status)
        what = "timeout" if number in TIMERS else signal.Signals(number).name
        index, self.left = self.left[0], self.left[1:]
        return Outcome(index, "finding", what, _dumped(text))


def _dumped(text: str) -> str:
    """The frames of a dump of `faulthandler`, as `_frames` names them."""
    return _named([(name, function) for name, _, function in _FRAME.findall(text)])


def _serve(
    seeds: Sequence[Seed],
    indices: list[int],
    seed: int,
    how: Recipe | None,
    home: Path,
    pipe: int,
) -> None:
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    trace = (home / "trace").open("w")
    faulthandler.enable(trace)
    for number in TIMERS:
        signal.signal(number, signal.SIG_DFL)
        faulthandler.register(number, trace, all_threads=True, chain=True)
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    folder = home / "input"
    folder.mkdir()
    for index in indices[:INPUTS_A_CHILD]:
        given = make(seeds, how or recipe(seeds, seed, index))
        one = outcome(index, given, folder)
        os.write(pipe, json.dumps(asdict(one)).encode() + b"\n")
