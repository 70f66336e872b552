"""Many cases: each once, wholly, or with a reason; also when processes die or the run is killed."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rhoa.cohort import Case, Outcome, Pool, dask, processes, run_cases
from rhoa.errors import MissingExtraError, ParameterError, RhoaError
from tests.cohort.works import dies_once, measure, slow

ROOT = Path(__file__).resolve().parents[2]
KILLS = int(os.environ.get("RHOA_KILLS", "4"))
"""More by hand: RHOA_KILLS=20."""


def cases(folder: Path, *names: str) -> list[Case]:
    return [Case(name, folder / name) for name in names]


def content(folder: Path) -> dict[str, str]:
    """Every file below a folder, by its digest."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def alone(pool: str) -> Pool | None:
    return None if pool == "here" else processes(2)


@pytest.mark.parametrize("pool", ["here", "processes"])
def test_three_of_ten_fail_and_the_rest_is_done(tmp_path: Path, pool: str) -> None:
    names = [f"case {n}" + (" broken" if n in {2, 5, 9} else "") for n in range(10)]

    found = run_cases(measure, cases(tmp_path, *names), tmp_path / "out", pool=alone(pool))

    assert [one.name for one in found] == names
    for one in found:
        if "broken" in one.name:
            assert one.failure == f"{one.name}: no CT."
            assert not (tmp_path / "out" / one.name).exists()
        else:
            assert one == Outcome(one.name, {"letters": len(one.name)})
            assert (tmp_path / "out" / one.name / "a.txt").read_text() == one.name
            assert (tmp_path / "out" / one.name / "deep" / "b.bin").stat().st_size == 10_000
    assert len(list((tmp_path / "out").iterdir())) == 7


class TestAgain:
    def test_what_is_done_is_not_done_again(self, tmp_path: Path) -> None:
        run_cases(measure, cases(tmp_path, "a", "b"), tmp_path / "out")
        before = (tmp_path / "out" / "a" / "a.txt").stat().st_mtime_ns

        again = run_cases(measure, cases(tmp_path, "a", "b", "c"), tmp_path / "out")

        assert [one.earlier for one in again] == [True, True, False]
        assert [one.record["letters"] for one in again] == [1, 1, 1]
        assert (tmp_path / "out" / "a" / "a.txt").stat().st_mtime_ns == before

    def test_failures_are_tried_again(self, tmp_path: Path) -> None:
        for _ in range(2):
            (found,) = run_cases(measure, cases(tmp_path, "broken"), tmp_path / "out")

            assert (found.failure, found.earlier) == ("broken: no CT.", False)

    def test_another_key_replaces_what_is_there(self, tmp_path: Path) -> None:
        run_cases(measure, [Case("a", tmp_path / "a", "one")], tmp_path / "out")
        (tmp_path / "out" / "a" / "stale.txt").write_text("of the first run")

        (found,) = run_cases(measure, [Case("a", tmp_path / "a", "two")], tmp_path / "out")

        assert not found.earlier
        assert not (tmp_path / "out" / "a" / "stale.txt").exists()

    @pytest.mark.parametrize("record", ["", "{", "[]", '{"key": ""}', '{"record": {}}'])
    def test_a_damaged_record_is_none(self, tmp_path: Path, record: str) -> None:
        (tmp_path / "out" / "a").mkdir(parents=True)
        (tmp_path / "out" / "a" / "case.json").write_text(record)

        (found,) = run_cases(measure, cases(tmp_path, "a"), tmp_path / "out")

        assert (found.earlier, found.failure) == (False, "")

    def test_leftovers_of_these_cases_are_removed_and_no_others(self, tmp_path: Path) -> None:
        for name in (".a.xyz.partial", ".other.xyz.partial"):
            (tmp_path / "out" / name).mkdir(parents=True)

        run_cases(measure, cases(tmp_path, "a"), tmp_path / "out")

        assert {path.name for path in (tmp_path / "out").iterdir()} == {"a", ".other.xyz.partial"}


class TestWhatGoesWrong:
    def test_the_text_of_an_unexpected_error_is_not_told(self, tmp_path: Path) -> None:
        (found,) = run_cases(measure, cases(tmp_path, "bug"), tmp_path / "out")

        assert found.failure.startswith("unexpected KeyError (works.py, line ")
        assert "patient" not in found.failure

    @pytest.mark.parametrize("pool", ["here", "processes"])
    def test_a_missing_package_ends_the_run(self, tmp_path: Path, pool: str) -> None:
        with pytest.raises(MissingExtraError, match="nifti"):
            run_cases(measure, cases(tmp_path, "a", "extra"), tmp_path / "out", pool=alone(pool))

    def test_a_case_that_kills_its_process_is_told_and_the_others_are_done(
        self, tmp_path: Path
    ) -> None:
        names = ["a", "b", "killer", "c", "d"]

        found = run_cases(measure, cases(tmp_path, *names), tmp_path / "out", pool=processes(2))

        assert {one.name for one in found if one.failure} == {"killer"}
        assert "its process died" in found[2].failure
        assert {path.name for path in (tmp_path / "out").iterdir()} == {"a", "b", "c", "d"}

    def test_a_process_that_dies_once_costs_no_case(self, tmp_path: Path) -> None:
        names = ["a", "fragile", "b"]

        found = run_cases(dies_once, cases(tmp_path, *names), tmp_path / "out", pool=processes(2))

        assert [one.failure for one in found] == ["", "", ""]

    @pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/a"])
    def test_a_name_is_that_of_a_folder(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(ParameterError, match="the name of a folder"):
            Case(name, tmp_path)

    def test_names_are_different(self, tmp_path: Path) -> None:
        with pytest.raises(ParameterError, match="two cases have one name"):
            run_cases(measure, cases(tmp_path, "a", "a"), tmp_path / "out")


def test_a_run_killed_at_random_moments_ends_with_the_bytes_of_one_that_was_not(
    tmp_path: Path,
) -> None:
    names = [f"case {n}" for n in range(20)]
    run_cases(slow, cases(tmp_path, *names), tmp_path / "undisturbed")
    script = (
        "import sys; from pathlib import Path\n"
        "from rhoa.cohort import Case, run_cases; from tests.cohort.works import slow\n"
        "root = Path(sys.argv[1])\n"
        "run_cases(slow, [Case(f'case {n}', root / f'case {n}') for n in range(20)], root / 'out')"
    )
    words = [sys.executable, "-c", script, str(tmp_path)]
    moments = random.Random(3)  # noqa: S311  # moments to kill at
    whole = content(tmp_path / "undisturbed")
    for _ in range(KILLS):
        process = subprocess.Popen(words, cwd=ROOT, start_new_session=True)
        begun = time.monotonic()
        while not list((tmp_path / "out").glob(".*")) and time.monotonic() < begun + 60:
            time.sleep(0.005)
        time.sleep(moments.uniform(0, 0.4))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for folder in (tmp_path / "out").glob("case*"):  # what is there is whole
            kept = {f"{folder.name}/{name}": digest for name, digest in content(folder).items()}
            assert kept.items() <= whole.items()

    assert subprocess.run(words, cwd=ROOT, check=False).returncode == 0

    assert content(tmp_path / "out") == whole


class TestDask:
    def test_a_worker_killed_in_the_middle_loses_nothing(self, tmp_path: Path) -> None:
        distributed = pytest.importorskip("distributed", reason="needs extra dask")
        names = [f"case {n}" for n in range(12)]
        run_cases(slow, cases(tmp_path, *names), tmp_path / "undisturbed")
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
        # A cluster in processes of its own, as it would be on other machines.
        with distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            dashboard_address=None,
            host="127.0.0.1",
            env=environment,
        ) as cluster:
            with distributed.Client(cluster) as client:
                pids = list(client.run(os.getpid).values())
            killed = []

            def kill_one(done: int, total: int, what: str) -> None:
                del total, what
                if done == 3:
                    os.kill(pids[0], signal.SIGKILL)
                    killed.append(pids[0])

            found = run_cases(
                slow,
                cases(tmp_path, *names),
                tmp_path / "out",
                pool=dask(cluster.scheduler_address),
                progress=kill_one,
            )

        assert killed
        assert [one.failure for one in found] == [""] * 12
        assert content(tmp_path / "out") == content(tmp_path / "undisturbed")

    def test_an_address_without_a_scheduler_is_told(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pytest.importorskip("distributed", reason="needs extra dask")
        monkeypatch.setattr("rhoa.cohort.batch.CONNECT_SECONDS", 2)

        with pytest.raises(RhoaError, match=r"tcp://127\.0\.0\.1:9: no Dask scheduler answers"):
            run_cases(measure, cases(tmp_path, "a"), tmp_path, pool=dask("tcp://127.0.0.1:9"))
