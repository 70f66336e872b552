"""A short run of the fuzzer: whatever a file holds is a volume or an error of rhoa's own."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path
from random import Random

import pydicom
import pytest
from pydicom import uid
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate, generate_frames

from rhoa import errors
from rhoa.reading import inspect, read_ct
from tests.reading.fuzz import harness
from tests.reading.fuzz.elements import elements, replaced
from tests.reading.fuzz.mutations import DICOM
from tests.reading.fuzz.seeds import LARGEST_FILE, Seed, all_seeds, nifti
from tests.reading.fuzz.volumes import NIFTI
from tests.reading.series import VoxelGrid, write_series

ENDLESS = bytes.fromhex(
    "ffd8fff7000b08002d000a01011100ffda000801010002000057fdff7f00000071ff7fe0b7ff7c1c807f052f"
    "fbe097ff7fc117fdff40ff01"
)
FUZZER = Path(__file__).parents[2] / "benches" / "fuzz_reader.py"


@pytest.mark.skipif(sys.platform != "linux", reason="children are forked and measured")
@pytest.mark.parametrize("inputs", ["200", pytest.param("1000", marks=pytest.mark.slow)])
def test_damaged_files_are_volumes_or_errors_of_our_own(tmp_path: Path, inputs: str) -> None:
    run = subprocess.run(
        [sys.executable, str(FUZZER), "--inputs", inputs, "--jobs", "1", "--out", "findings"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )

    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.startswith(f"{inputs} inputs from ")
    assert "ReadError" in run.stdout
    assert "  volume\n" in run.stdout
    assert not (tmp_path / "findings").exists()


@pytest.fixture(scope="module")
def seeds() -> list[Seed]:
    return all_seeds()


def test_the_same_seed_makes_the_same_inputs(seeds: list[Seed]) -> None:
    first, again, other = (
        [harness.make(seeds, harness.recipe(seeds, seed, n)).files for n in range(30)]
        for seed in (7, 7, 8)
    )

    assert first == again
    assert first != other


def test_there_are_seeds_of_every_kind(seeds: list[Seed]) -> None:
    assert len(seeds) >= 60
    assert len({seed.name for seed in seeds}) > 60
    assert max(len(content) for seed in seeds for _, content in seed.files) <= LARGEST_FILE * 2


@pytest.mark.parametrize("mutate", dict.fromkeys(DICOM), ids=lambda mutate: mutate.__name__)
def test_every_mutation_of_dicom_changes_something_and_repeats(mutate, tmp_path: Path) -> None:  # noqa: ANN001
    path = write_series(tmp_path, VoxelGrid(shape=(2, 5, 6)))[0]
    data = path.read_bytes()
    results = [
        [mutate(Random(n), data, data[::-1]) for n in range(20)]  # noqa: S311
        for _ in range(2)
    ]

    assert results[0] == results[1]
    assert any(result != data for result in results[0])


@pytest.mark.parametrize("mutate", dict.fromkeys(NIFTI), ids=lambda mutate: mutate.__name__)
def test_every_mutation_of_nifti_changes_something(mutate) -> None:  # noqa: ANN001
    data = nifti("i2")

    assert any(mutate(Random(n), data, data[::-1]) != data for n in range(20))  # noqa: S311


def test_the_elements_of_a_file_are_those_that_pydicom_reads(tmp_path: Path) -> None:
    for syntax in (
        uid.ImplicitVRLittleEndian,
        uid.ExplicitVRLittleEndian,
        uid.ExplicitVRBigEndian,
        uid.JPEGLSLossless,
    ):
        path = write_series(tmp_path / syntax.name, VoxelGrid(shape=(2, 33, 34)), syntax=syntax)[0]
        found = {element.tag for element in elements(path.read_bytes())}
        image = pydicom.dcmread(path)

        assert {*map(int, image.keys()), *map(int, image.file_meta.keys())} <= found


class TestFindings:
    """What the fuzzer found, each in its smallest form."""

    @pytest.mark.parametrize("number", ["1e300", "1e16"])
    def test_coordinates_whose_squares_overflow(self, number: str, tmp_path: Path) -> None:
        def far(k: int, image: FileDataset) -> None:
            image.ImagePositionPatient = ["0", "0", number if k else "0"]

        write_series(tmp_path, VoxelGrid(shape=(2, 4, 5)), edit=far)

        assert "a number that no scan has" in inspect(tmp_path)[0].reason
        with pytest.raises(errors.GeometryError, match="a number that no scan has"):
            read_ct(tmp_path)

    def test_a_pixel_size_whose_product_underflows(self, tmp_path: Path) -> None:
        write_series(
            tmp_path, edit=lambda _, image: setattr(image, "PixelSpacing", ["1e-200", "1e-200"])
        )

        with pytest.raises(errors.GeometryError, match="above zero"):
            read_ct(tmp_path)

    @pytest.mark.parametrize("tag", ["RescaleSlope", "RescaleIntercept"])
    def test_a_rescaling_that_float32_does_not_hold(self, tag: str, tmp_path: Path) -> None:
        write_series(tmp_path, edit=lambda _, image: setattr(image, tag, "1e300"))

        with pytest.raises(errors.PixelDataError, match=f"{tag}.* is 1e\\+300"):
            read_ct(tmp_path)

    @pytest.mark.parametrize("syntax", [b"1.2.\xff40.10008.1.2", b"1.2.x", b"9" * 64])
    def test_a_transfer_syntax_that_is_no_uid(self, syntax: bytes, tmp_path: Path) -> None:
        for path in write_series(tmp_path, VoxelGrid(shape=(2, 4, 5))):
            data = path.read_bytes()
            (element,) = [one for one in elements(data) if one.tag == 0x00020010]
            path.write_bytes(replaced(data, element, syntax))

        assert inspect(tmp_path)[0].verdict == "refused"
        with pytest.raises(errors.PixelDataError, match="is not supported"):
            read_ct(tmp_path)

    def test_a_nifti_unit_that_does_not_exist(self, tmp_path: Path) -> None:
        data = nifti("i2")
        (tmp_path / "s.nii").write_bytes(data[:123] + b"\x07" + data[124:])

        assert "code 7" in inspect(tmp_path / "s.nii")[0].reason
        with pytest.raises(errors.GeometryError, match="its unit is code 7"):
            read_ct(tmp_path / "s.nii")

    def test_a_nifti_affine_whose_determinant_overflows(self, tmp_path: Path) -> None:
        data = nifti("i2", codes=(1, 1))
        (tmp_path / "s.nii").write_bytes(data[:280] + b"\xff\xff\x7f\x7f" * 12 + data[328:])

        with pytest.raises(errors.GeometryError, match="a number that no scan has"):
            read_ct(tmp_path / "s.nii")

    def test_a_stream_of_several_components_or_in_no_known_form(self, tmp_path: Path) -> None:
        for path in write_series(
            tmp_path, VoxelGrid(shape=(2, 33, 34)), syntax=uid.JPEG2000Lossless
        ):
            data = bytearray(path.read_bytes())
            place = data.index(b"\xff\x4f\xff\x51")
            data[place + 40 : place + 42] = b"\x40\x00"  # 16384 components
            path.write_bytes(bytes(data))

        with pytest.raises(errors.PixelDataError, match="are no sound JPEG 2000"):
            read_ct(tmp_path)

    def test_a_header_of_nothing_but_zeros(self, tmp_path: Path) -> None:
        """They are empty elements to a parser: thirty megabytes of them took it many seconds."""
        for path in write_series(tmp_path, VoxelGrid(shape=(2, 4, 5))):
            path.write_bytes(path.read_bytes()[:400] + bytes(4 << 20))

        with pytest.raises(errors.ReadError, match="more or longer elements"):
            read_ct(tmp_path)

    def test_a_stream_whose_parameters_the_standard_forbids(self, tmp_path: Path) -> None:
        """CharLS took six seconds for 50 x 10 pixels of 10 bits with a largest value of 65535."""
        for path in write_series(tmp_path, VoxelGrid(shape=(2, 33, 34)), syntax=uid.JPEGLSLossless):
            image = pydicom.dcmread(path)
            (frame,) = generate_frames(image.PixelData, number_of_frames=1)
            place = frame.index(b"\xff\xda")
            segment = b"\xff\xf8" + struct.pack(">HB5H", 13, 1, 0xFFFF, 24, 77, 290, 64)
            frame = frame[:place] + segment + frame[place:]
            sound = b"\xff\xf7\x00\x0b\x10"  # 16 bits
            image.PixelData = encapsulate([frame.replace(sound, sound[:-1] + b"\x0a")])
            image.save_as(path)

        with pytest.raises(errors.PixelDataError, match="are no sound JPEG-LS"):
            read_ct(tmp_path)

    def test_a_decoder_that_does_not_end_is_ended(self, tmp_path: Path) -> None:
        """A damaged stream of sound parameters on which CharLS takes five seconds."""
        for path in write_series(tmp_path, VoxelGrid(shape=(2, 45, 8)), syntax=uid.JPEGLSLossless):
            image = pydicom.dcmread(path)
            image.Rows, image.Columns = 45, 10
            image.BitsAllocated = image.BitsStored = 8
            image.HighBit = 7
            image.file_meta.TransferSyntaxUID = uid.JPEGLSNearLossless
            image.PixelData = encapsulate([ENDLESS])
            image.save_as(path)

        with pytest.raises(errors.PixelDataError, match="did not end"):
            read_ct(tmp_path)
