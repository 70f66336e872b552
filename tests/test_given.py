"""What every function takes: a volume, or the path of one; and whose line a warning names."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest

import rhoa
from rhoa.cohort import build
from rhoa.errors import ParameterError, RhoaWarning, warn_user
from rhoa.evaluation.calibration import fit_temperature
from rhoa.phantom import Anatomy, Phantom, ct, write_dicom
from tests.cohort.test_build import LEFT, RIGHT, scans
from tests.hips.xrays import write
from tests.reading.series import write_series

Call = Callable[[Any], Any]


@cache
def phantom() -> Phantom:
    return ct(Anatomy.random(1), spacing_mm=(6, 6, 6))


def frame() -> rhoa.Alignment:
    return rhoa.pose.from_landmarks(phantom().landmarks)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The phantom as DICOM."""
    folder = tmp_path_factory.mktemp("scan") / "ct"
    write_dicom(phantom().volume, folder)
    return folder


TAKES_A_SCAN: dict[str, Call] = {
    "ctap": rhoa.ctap,
    "posed": lambda scan: rhoa.ctap(scan, pose=frame(), depth="hip"),
    "sweep": lambda scan: rhoa.sweep(scan, [(-150, 600)])[0],
    "cumulative": lambda scan: rhoa.cumulative(scan, every=40),
    "thin_slab": lambda scan: rhoa.thin_slab(scan, thickness_mm=20, step=40),
    "coronal": lambda scan: rhoa.coronal(scan, frame(), depth="hip"),
    "from_volume": lambda scan: rhoa.pose.from_volume(scan).matrix,
    "coverage": lambda scan: str(rhoa.pose.coverage(scan, frame())),
    "alignment_for": lambda scan: rhoa.pose.alignment_for(scan, "auto").matrix,
    "joints": lambda scan: rhoa.hips.joints(scan, frame())["left"].centre_lps_mm,
}


@pytest.mark.filterwarnings("ignore::rhoa.RhoaWarning")
class TestPaths:
    @pytest.mark.parametrize("name", sorted(TAKES_A_SCAN.keys() - {"alignment_for"}))
    def test_a_path_stands_for_the_volume_in_it(self, name: str, folder: Path) -> None:
        """`alignment_for` gives what it is given to `from_volume`, which takes two seconds."""
        call = TAKES_A_SCAN[name]
        whole = call(rhoa.read_ct(folder))
        paths = [folder, str(folder), sorted(folder.iterdir())]

        for path in paths[:1] if name == "from_volume" else paths:  # read_ct takes each form
            assert np.array_equal(call(path), whole)

    @pytest.mark.parametrize("call", TAKES_A_SCAN.values(), ids=TAKES_A_SCAN.keys())
    def test_what_is_at_no_path_is_named(self, call: Call) -> None:
        with pytest.raises(rhoa.errors.MissingFileError, match="nowhere"):
            call("nowhere")

    @pytest.mark.parametrize(
        "name", ["coronal", "from_volume", "coverage", "alignment_for", "joints"]
    )
    def test_an_array_has_no_place_in_the_patient(self, name: str) -> None:
        with pytest.raises(ParameterError, match="must be a rhoa.Volume.*from_array.*or pass the"):
            TAKES_A_SCAN[name](np.zeros((3, 3, 3)))

    @pytest.mark.parametrize("name", sorted(TAKES_A_SCAN))
    @pytest.mark.parametrize("axis", range(3))
    def test_a_volume_without_voxels_is_empty(self, name: str, axis: int) -> None:
        volume = phantom().volume
        nothing = rhoa.Volume(volume.hu.take([], axis), volume.affine)

        with pytest.raises(rhoa.RhoaError, match="the volume is empty"):
            TAKES_A_SCAN[name](nothing)


FLAGGED = rhoa.Landmarks((320, 0, 90), (-320, 0, 90), (25, 0, 0), (-25, 0, 0))


def doubtful_series(folder: Path) -> Path:
    """A series that is read with a warning."""
    write_series(folder, edit=lambda _, image: setattr(image, "PatientPosition", "HFDL"))
    return folder


def table_with_a_scan_to_reject(folder: Path) -> Path:
    rows = [("P1", "", "left", "2", LEFT), ("P2", "", "left", "2", RIGHT)]
    return scans(folder, *rows, ("P2", "", "right", "0", LEFT))


def poseless() -> rhoa.Volume:
    return rhoa.Volume.from_array(np.zeros((20, 20, 20), np.int16), (9, 9, 9))


class TestWarnings:
    """Each warning names the line of this file that called rhoa."""

    @pytest.mark.parametrize(
        "call",
        [
            lambda path: rhoa.read_ct(doubtful_series(path)),
            lambda path: rhoa.ctap(doubtful_series(path)),
            lambda path: rhoa.ctap(doubtful_series(path), pose=FLAGGED),
            lambda path: rhoa.sweep(doubtful_series(path), [(0, 1)]),
            lambda path: rhoa.cumulative(doubtful_series(path)),
            lambda path: rhoa.thin_slab(doubtful_series(path), thickness_mm=1),
            lambda path: rhoa.coronal(doubtful_series(path)),
            lambda path: rhoa.pose.coverage(doubtful_series(path)),
            lambda _: rhoa.ctap(poseless(), pose=FLAGGED),
            lambda _: rhoa.sweep(poseless(), [(0, 1)], pose=FLAGGED),
            lambda _: rhoa.cumulative(poseless(), pose=FLAGGED),
            lambda _: rhoa.coronal(poseless(), FLAGGED),
            lambda _: rhoa.pose.usable_alignment(FLAGGED),
            lambda _: rhoa.pose.alignment_for(poseless(), FLAGGED),
            lambda _: fit_temperature([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9]),
            lambda path: build(table_with_a_scan_to_reject(path), path / "out"),
            lambda path: rhoa.hips.read_xray(write(path, PatientOrientation=None)),
            lambda _: list(map(warn_user, ["one"])),
            lambda _: partial(warn_user, "one")(),
        ],
    )
    def test_a_warning_names_the_line_of_the_user(self, call: Call, tmp_path: Path) -> None:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            call(tmp_path)

        assert caught
        assert {one.filename for one in caught} == {__file__}
        assert all(issubclass(one.category, RhoaWarning) for one in caught)
        assert {one.lineno for one in caught} == {call.__code__.co_firstlineno}

    def test_it_is_shown_once_a_line(self) -> None:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("default")
            for _ in range(3):
                rhoa.pose.usable_alignment(FLAGGED)
            rhoa.pose.usable_alignment(FLAGGED)

        assert len(caught) == 2

    def test_a_filter_may_make_an_error_of_it(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error", RhoaWarning)
            with pytest.raises(RhoaWarning, match="one"):
                warn_user("one")

    def test_a_thread_of_the_user_is_the_users(self) -> None:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            thread = Thread(target=lambda: rhoa.pose.usable_alignment(FLAGGED))
            thread.start()
            thread.join()

        assert caught[0].filename == __file__

    def test_a_thread_that_runs_rhoa_alone_warns_at_its_start(self) -> None:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            thread = Thread(target=rhoa.pose.usable_alignment, args=(FLAGGED,))
            thread.start()
            thread.join()

        assert Path(caught[0].filename).name == "threading.py"
