"""Read damaged DICOM and NIfTI files, each in a child process, and name every input that hurts.

    python benches/fuzz_reader.py --inputs 200000 --seed 1 --seeds-from ../shared/data/dicom

An input is a small series or volume after one to six mutations. Its verdict is a volume, an error
of rhoa's own, or a finding: another exception, a signal, more than five seconds of the processor,
memory beyond three budgets, a volume that is not finite, a message that does not print. The same
seed makes the same inputs. Findings go to ``--out``, one folder each with a line that repeats it.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RHOA_NUM_THREADS"):
    os.environ[name] = "1"  # before NumPy starts threads: children are forked

from rhoa.cli.common import bar  # noqa: E402
from tests.reading.fuzz import harness  # noqa: E402
from tests.reading.fuzz.seeds import all_seeds  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.reading.fuzz.harness import Outcome
    from tests.reading.fuzz.seeds import Seed


def explore(
    seeds: Sequence[Seed], indices: Sequence[int], seed: int, jobs: int
) -> tuple[Counter[str], dict[tuple[str, str], list[int]], int]:
    """Verdicts, the inputs of every unique finding, and the largest resident memory."""
    show, verdicts = bar(), Counter[str]()
    findings: dict[tuple[str, str], list[int]] = {}
    largest = [0]

    def tell(one: Outcome) -> None:
        verdicts[one.what if one.kind == "refused" else one.kind] += 1
        largest[0] = max(largest[0], one.resident)
        if one.kind == "finding":
            findings.setdefault(one.key, []).append(one.index)
        done = sum(verdicts.values())
        show(done, len(indices), f"reading damaged files: {len(findings)} findings")

    harness.run(seeds, indices, seed, jobs=jobs, tell=tell)
    return verdicts, findings, largest[0]


def keep(seeds: Sequence[Seed], seed: int, index: int, key: tuple[str, str], folder: Path) -> str:
    """Write the simplest form of a finding; the line that repeats it."""
    how = harness.recipe(seeds, seed, index)
    how = harness.simplified(seeds, how, key)
    given = harness.make(seeds, how)
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in given.files:
        (folder / name).write_bytes(content)
    path = folder / given.files[0][0] if given.is_volume_file else folder
    line = f'python -c "import rhoa; rhoa.read_ct({str(path)!r})"'
    what = f"{key[0]} at {key[1]}, seed file {given.name}, steps {how.steps}"
    folder.with_suffix(".txt").write_text(
        f"{what}\n{line}\npython benches/fuzz_reader.py --seed {seed} --only {index}\n",
        encoding="utf-8",
    )
    return line


def main() -> int:
    """Run it; the exit status is 1 where there is a finding."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--inputs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seeds-from", type=Path, help="a folder of small real series")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--only", type=int, help="one input by its number")
    parser.add_argument("--out", type=Path, default=Path("fuzz-findings"))
    options = parser.parse_args()
    seeds = all_seeds(options.seeds_from)
    indices = range(options.first, options.first + options.inputs)
    if options.only is not None:
        indices = range(options.only, options.only + 1)
    start = time.monotonic()
    verdicts, findings, largest = explore(seeds, indices, options.seed, max(1, options.jobs))
    seconds = time.monotonic() - start
    print(
        f"{len(indices)} inputs from {len(seeds)} seeds in {seconds:.0f} s: "
        f"{len(indices) / seconds:.0f} a second on {options.jobs} cores, "
        f"at most {largest >> 20} MiB resident."
    )
    for verdict, count in verdicts.most_common():
        print(f"{count:8d}  {verdict}")
    for n, (key, inputs) in enumerate(findings.items()):
        line = keep(seeds, options.seed, inputs[0], key, options.out / f"{n:03d}")
        print(f"{len(inputs)} x {key[0]} at {key[1]}\n    input {inputs[0]}: {line}")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
