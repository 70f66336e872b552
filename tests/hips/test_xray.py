"""X-ray files: one truth from every grey scale, orientation and encoding; size, sides, damage."""

from __future__ import annotations

import io
import tracemalloc
import warnings
from itertools import product
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom import uid
from pydicom.encaps import encapsulate
from pydicom.pixels.processing import apply_modality_lut, apply_voi, apply_windowing

import rhoa
from rhoa.errors import MissingExtraError, PixelDataError, ReadError
from rhoa.hips import halves, read_xray
from rhoa.phantom import Anatomy, write_xray, xray
from tests.hips.xrays import BITS, WHITE, dx, table, truth, write

TRUTH = truth()
LOW = -(1 << BITS - 1)  # of signed values
# 5 i + 7 modulo 4096 meets every level once, out of order: only looking up gives it.
SHUFFLED = (5 * np.arange(WHITE + 1) + 7) % (WHITE + 1)

TURNS = {
    ("L", "F"): lambda image: image,
    ("R", "F"): lambda image: image[:, ::-1],
    ("L", "H"): lambda image: image[::-1],
    ("R", "H"): lambda image: image[::-1, ::-1],
    ("F", "L"): lambda image: image.T,
    ("F", "R"): lambda image: image[:, ::-1].T,
    ("H", "L"): lambda image: image[::-1].T,
    ("H", "R"): lambda image: image[::-1, ::-1].T,
}
"""How an upright image lies in a file whose columns and rows run this way: each is written out of
what the letters mean, and is not undone by the same function (see `TestSides`)."""


def stored_of(levels: np.ndarray, kind: str, *, signed: bool) -> tuple[np.ndarray, dict]:
    """Values whose modality transform of this ``kind`` gives ``levels``, and its elements."""
    low = LOW if signed else 0
    if kind == "slope 1":
        return levels + low, {"RescaleSlope": "1", "RescaleIntercept": str(-low)}
    if kind == "slope -1":
        return WHITE - levels + low, {"RescaleSlope": "-1", "RescaleIntercept": str(WHITE + low)}
    lut = table(low, SHUFFLED, signed=signed)
    return np.argsort(SHUFFLED)[levels] + low, {"ModalityLUTSequence": lut}


KINDS = ("slope 1", "slope -1", "table")


class TestGreys:
    @pytest.mark.parametrize(
        ("photometric", "shape", "kind", "signed"),
        list(
            product(
                ["MONOCHROME1", "MONOCHROME2"], [None, "IDENTITY", "INVERSE"], KINDS, [False, True]
            )
        ),
    )
    def test_every_grey_scale_gives_the_same_levels(
        self, tmp_path: Path, *, photometric: str, shape: str | None, kind: str, signed: bool
    ) -> None:
        bright_is_small = photometric == "MONOCHROME1" or shape == "INVERSE"
        levels = WHITE - TRUTH if bright_is_small else TRUTH
        stored, tags = stored_of(levels, kind, signed=signed)
        path = write(
            tmp_path,
            dx(stored, signed=signed),
            PhotometricInterpretation=photometric,
            PresentationLUTShape=shape,
            **tags,
        )
        agree = {("MONOCHROME1", "INVERSE"), ("MONOCHROME2", "IDENTITY")}
        if shape is not None and (photometric, shape) not in agree:
            with pytest.warns(rhoa.RhoaWarning, match="contradict each other"):
                image = read_xray(path)
            with pytest.raises(PixelDataError, match="strict=True"):
                read_xray(path, strict=True)
        else:
            image = read_xray(path)

        assert np.array_equal(image, TRUTH)
        assert image.provenance["inverted"] == bright_is_small

    @settings(max_examples=30)
    @given(
        kind=st.sampled_from(KINDS),
        signed=st.booleans(),
        photometric=st.sampled_from(["MONOCHROME1", "MONOCHROME2"]),
        orientation=st.sampled_from(sorted(TURNS)),
        syntax=st.sampled_from(
            [
                uid.ImplicitVRLittleEndian,
                uid.ExplicitVRLittleEndian,
                uid.ExplicitVRBigEndian,
                uid.DeflatedExplicitVRLittleEndian,
                uid.RLELossless,
                uid.JPEGLSLossless,
                uid.JPEG2000Lossless,
            ]
        ),
    )
    def test_grey_scale_orientation_and_encoding_do_not_touch_each_other(
        self,
        tmp_path_factory: pytest.TempPathFactory,
        *,
        kind: str,
        signed: bool,
        photometric: str,
        orientation: tuple[str, str],
        syntax: uid.UID,
    ) -> None:
        levels = WHITE - TRUTH if photometric == "MONOCHROME1" else TRUTH
        lying = np.ascontiguousarray(TURNS[orientation](levels))
        stored, tags = stored_of(lying, kind, signed=signed)
        path = write(
            tmp_path_factory.mktemp("xray"),
            dx(stored, signed=signed),
            syntax=syntax,
            PhotometricInterpretation=photometric,
            PatientOrientation=list(orientation),
            **tags,
        )

        image = read_xray(path)

        assert np.array_equal(image, TRUTH)
        transposed = orientation[0] in "FH"
        assert image.pixel_mm == ((2.0, 1.5) if transposed else (1.5, 2.0))

    def test_stored_values_stay_where_nothing_changes_them(self, tmp_path: Path) -> None:
        image = read_xray(write(tmp_path, dx(TRUTH + LOW, signed=True)))

        assert np.array_equal(image, TRUTH + LOW)
        assert image.provenance["modality_lut"] == "none"

    @pytest.mark.parametrize("entries", [256, 255])
    @pytest.mark.parametrize("packed", [True, False])
    def test_tables_of_8_bits_lie_in_bytes_or_words(
        self, tmp_path: Path, *, entries: int, packed: bool
    ) -> None:
        falling = np.arange(entries)[::-1] % 256
        (item,) = table(0, falling, bits=8)
        content = falling.astype("u1" if packed else "<u2").tobytes()
        item.add_new("LUTData", "OW", content + b"\0" * (len(content) % 2))
        stored = np.arange(70 * 70).reshape(70, 70) % entries
        path = write(tmp_path, dx(stored), ModalityLUTSequence=[item])

        assert np.array_equal(read_xray(path), entries - 1 - stored)

    def test_values_beyond_a_table_are_as_its_ends(self, tmp_path: Path) -> None:
        lut = table(1000, 2 * np.arange(2000))

        image = read_xray(write(tmp_path, ModalityLUTSequence=lut))

        assert np.array_equal(image, 2 * np.clip(TRUTH - 1000, 0, 1999))

    def test_a_table_of_65536_entries_says_0(self, tmp_path: Path) -> None:
        lut = table(0, np.arange(65536)[::-1])
        path = write(tmp_path, dx(16 * TRUTH, bits=16), ModalityLUTSequence=lut)

        assert np.array_equal(read_xray(path), 65535 - 16 * TRUTH)

    def test_bits_outside_the_stored_ones_do_not_count(self, tmp_path: Path) -> None:
        image = dx(TRUTH | (np.indices(TRUTH.shape)[1] % 16 << 12), bits=16)
        image.BitsStored, image.HighBit = 12, 11

        assert np.array_equal(read_xray(write(tmp_path, image)), TRUTH)

    def test_8_bit_images_are_read(self, tmp_path: Path) -> None:
        image = dx()
        image.BitsAllocated, image.BitsStored, image.HighBit = 8, 8, 7
        image.PixelData = (TRUTH // 16).astype("u1").tobytes()

        assert np.array_equal(read_xray(write(tmp_path, image)), TRUTH // 16)

    @pytest.mark.parametrize("planar", [0, 1])
    def test_a_secondary_capture_in_colour_that_is_grey_is_read(
        self, tmp_path: Path, planar: int
    ) -> None:
        grey = (TRUTH // 16).astype("u1")
        image = dx()
        image.SamplesPerPixel, image.PhotometricInterpretation = 3, "RGB"
        image.BitsAllocated, image.BitsStored, image.HighBit = 8, 8, 7
        image.PlanarConfiguration, image.Modality = planar, "OT"
        image.PixelData = np.stack([grey] * 3, axis=0 if planar else 2).tobytes()

        assert np.array_equal(read_xray(write(tmp_path, image)), grey)
        image.PixelData = b"\xff" + image.PixelData[1:]
        with pytest.raises(PixelDataError, match="a colour image; an X-ray is grey"):
            read_xray(write(tmp_path, image))


class TestWindows:
    """Against pydicom, whose output has another scale."""

    @pytest.mark.parametrize("function", [None, "LINEAR", "LINEAR_EXACT", "SIGMOID"])
    @pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
    def test_a_window_shows_what_pydicom_shows(
        self, tmp_path: Path, function: str | None, photometric: str
    ) -> None:
        path = write(
            tmp_path,
            WindowCenter=["3000", "1"],
            WindowWidth=["2000", "1"],
            VOILUTFunction=function,
            RescaleSlope="1.5",
            RescaleIntercept="-200",
            PhotometricInterpretation=photometric,
        )
        dataset = pydicom.dcmread(path)
        theirs = apply_windowing(apply_modality_lut(dataset.pixel_array, dataset), dataset)

        image = read_xray(path, voi=True)

        ours = (image.pixels - image.pixels.min()) / np.ptp(image.pixels)
        wanted = (theirs - theirs.min()) / np.ptp(theirs)
        wanted = 1 - wanted if photometric == "MONOCHROME1" else wanted
        assert ours == pytest.approx(wanted, abs=1e-5)
        assert image.provenance["voi"] == "window"

    def test_a_window_keeps_the_scale_of_the_levels(self, tmp_path: Path) -> None:
        path = write(tmp_path, WindowCenter="1000.5", WindowWidth="1001")

        assert np.array_equal(read_xray(path, voi=True), TRUTH.clip(500, 1500))
        assert np.array_equal(read_xray(path), TRUTH)
        assert read_xray(path).provenance["voi"] == "window, not applied"

    @pytest.mark.parametrize("falls", [False, True])
    def test_a_table_is_preferred_and_looked_up(self, tmp_path: Path, *, falls: bool) -> None:
        curve = np.rint(4095 * (np.arange(3000) / 2999) ** 2).astype(int)
        lut = table(500, curve[::-1] if falls else curve, bits=12)
        tags = {"WindowCenter": "2048", "WindowWidth": "4096", "VOILUTSequence": lut}
        path = write(tmp_path, **tags)
        theirs = apply_voi(pydicom.dcmread(path).pixel_array, pydicom.dcmread(path))

        seen, plain = read_xray(path, voi=True), read_xray(path)

        assert np.array_equal(seen, theirs)
        assert (seen.provenance["voi"], plain.provenance["voi"]) == ("table", "table, not applied")
        # What the table turns around is turned around without it, too.
        assert np.array_equal(plain, WHITE - TRUTH if falls else TRUTH)
        assert np.all(np.diff(seen.pixels.ravel()) * np.diff(plain.pixels.ravel()) >= 0)

    def test_a_table_of_8_bits_may_have_thousands_of_entries(self, tmp_path: Path) -> None:
        """Where its index is kept in as many bits, most pixels are wrong."""
        lut = table(0, np.arange(WHITE + 1) // 16, bits=8)

        seen = read_xray(write(tmp_path, VOILUTSequence=lut), voi=True)

        assert np.array_equal(seen, TRUTH // 16)

    def test_a_table_is_looked_up_at_the_nearest_entry(self, tmp_path: Path) -> None:
        """Rescaled values need not be whole numbers (four tenths are never half way)."""
        lut = table(0, 2 * np.arange(2000), bits=12)
        path = write(tmp_path, RescaleSlope="0.4", RescaleIntercept="0", VOILUTSequence=lut)

        assert np.array_equal(read_xray(path, voi=True), 2 * ((4 * TRUTH + 5) // 10))

    def test_without_a_window_there_is_nothing_to_apply(self, tmp_path: Path) -> None:
        image = read_xray(write(tmp_path), voi=True)

        assert np.array_equal(image, TRUTH)
        assert image.provenance["voi"] == "none"

    def test_a_damaged_table_or_window_matters_where_it_is_applied(self, tmp_path: Path) -> None:
        short = table(0, [1, 2, 3])
        short[0].LUTDescriptor = [4, 0, 12]

        for tags, message in (
            ({"VOILUTSequence": short}, "VOILUTSequence holds 3 of 4 entries"),
            ({"WindowCenter": "5", "WindowWidth": "1"}, "is no window"),
            ({"WindowCenter": "5", "WindowWidth": "9", "VOILUTFunction": "ODD"}, "is no window"),
        ):
            path = write(tmp_path, **tags)
            assert np.array_equal(read_xray(path), TRUTH)
            with pytest.raises(PixelDataError, match=message):
                read_xray(path, voi=True)


class TestPadding:
    @pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
    @pytest.mark.parametrize("padding", [0, 4095])
    def test_padding_is_as_dark_as_the_image_and_ends_at_the_border(
        self, tmp_path: Path, photometric: str, padding: int
    ) -> None:
        stored = 1000 + TRUTH // 2
        inside = stored.copy()
        stored[:, :11] = stored[:4] = padding
        stored[30:33, 40:44] = padding  # metal, say
        path = write(
            tmp_path,
            dx(stored),
            PixelPaddingValue=padding,
            PhotometricInterpretation=photometric,
        )

        image = read_xray(path)

        expected = WHITE - stored if photometric == "MONOCHROME1" else stored
        outer = np.zeros(stored.shape, bool)
        outer[:, :11] = outer[:4] = True
        assert np.array_equal(image.pixels[~outer], expected[~outer])
        assert (image.pixels[outer] == expected[~outer].min()).all()
        assert image.provenance["padding_pixels"] == outer.sum()
        assert inside[31, 41] != padding

    def test_a_range_of_padding_counts(self, tmp_path: Path) -> None:
        path = write(tmp_path, PixelPaddingValue=0, PixelPaddingRangeLimit=99)

        image = read_xray(path)

        assert image.provenance["padding_pixels"] == (TRUTH <= 99).sum()
        assert image.pixels.min() == TRUTH[TRUTH > 99].min()

    def test_nothing_but_padding_is_no_image(self, tmp_path: Path) -> None:
        path = write(tmp_path, dx(np.full((70, 80), 5)), PixelPaddingValue=5)

        with pytest.raises(PixelDataError, match="every pixel is padding"):
            read_xray(path)


class TestSides:
    """Which way is left is told by the letters alone: a marker is put where they say it is."""

    @pytest.mark.parametrize("orientation", sorted(TURNS))
    def test_a_marker_at_the_patients_left_foot_lies_right_below_in_every_orientation(
        self, tmp_path: Path, orientation: tuple[str, str]
    ) -> None:
        lying = np.zeros((80, 96), np.int64)
        along, down = orientation
        at_end = {"L": True, "R": False, "F": True, "H": False}
        column = slice(80, 90) if at_end[along] else slice(6, 16)
        row = slice(64, 74) if at_end[down] else slice(6, 16)
        lying[row, column] = 1000  # towards the end of its axis where that runs to left or feet
        size = {"PatientOrientation": list(orientation), "PixelSpacing": ["4", "4"]}
        path = write(tmp_path, dx(lying), **size)

        image = read_xray(path)
        both = halves(image)

        rows, columns = image.shape
        assert image.pixels[rows // 2 :, columns // 2 :].sum() == 100_000
        assert both["left"].pixels.sum() == 100_000
        assert both["right"].pixels.sum() == 0
        assert both["left"].pixels[rows // 2 :, columns // 4 :].sum() == 100_000
        assert image.provenance["sides"] == "PatientOrientation"

    def test_the_first_letter_counts(self, tmp_path: Path) -> None:
        path = write(tmp_path, PatientOrientation=["RA", "FL"])

        assert np.array_equal(read_xray(path), TRUTH[:, ::-1])

    @pytest.mark.parametrize("orientation", [None, "", ["L"], ["L", "R"], ["X", "F"], ["L", ""]])
    def test_an_unknown_side_is_a_warning(self, tmp_path: Path, orientation: object) -> None:
        path = write(tmp_path, PatientOrientation=orientation)

        with pytest.warns(rhoa.RhoaWarning, match="does not say where the patient's left is"):
            image = read_xray(path)
        with pytest.raises(ReadError, match="strict=True"):
            read_xray(path, strict=True)

        assert np.array_equal(image, TRUTH)
        assert image.provenance["sides"] == "assumed"


PIXEL, IMAGER, SCANNED = "PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"
FACTOR = "EstimatedRadiographicMagnificationFactor"
CALIBRATED = "PixelSpacingCalibrationType"


class TestSpacing:
    @pytest.mark.parametrize(
        ("tags", "pixel_mm", "source"),
        [
            ({PIXEL: [2, 1.5]}, (2, 1.5), PIXEL),
            ({PIXEL: [2, 2], IMAGER: [2.4, 2.4]}, (2, 2), PIXEL),
            ({PIXEL: [2, 2], IMAGER: [2, 2]}, (2, 2), IMAGER),
            (
                {PIXEL: [2, 2], IMAGER: [2, 2], FACTOR: "1.25", CALIBRATED: "FIDUCIAL"},
                (2, 2),
                PIXEL,
            ),
            ({IMAGER: [2, 1.5], FACTOR: "1.25"}, (1.6, 1.2), f"{IMAGER} / {FACTOR}"),
            ({IMAGER: [2, 1.5], SCANNED: [1, 1]}, (2, 1.5), IMAGER),
            ({PIXEL: [0, 2], SCANNED: [1, 1.5]}, (1, 1.5), SCANNED),
        ],
    )
    def test_the_best_that_is_stated_is_taken(
        self, tmp_path: Path, tags: dict, pixel_mm: tuple[float, float], source: str
    ) -> None:
        path = write(tmp_path, **({"PixelSpacing": None} | tags))
        image = read_xray(path)

        assert image.pixel_mm == pytest.approx(pixel_mm)
        assert image.provenance["pixel_mm_from"] == source
        assert read_xray(path, pixel_mm="file").pixel_mm == image.pixel_mm
        given = read_xray(path, pixel_mm=0.7)
        assert (given.pixel_mm, given.provenance["pixel_mm_from"]) == ((0.7, 0.7), "given")

    def test_an_impossible_magnification_is_left_out(self, tmp_path: Path) -> None:
        for factor in ("0.5", "100"):
            tags = {"ImagerPixelSpacing": [2, 2], "PixelSpacing": None}
            path = write(tmp_path, **tags, EstimatedRadiographicMagnificationFactor=factor)

            with pytest.warns(rhoa.RhoaWarning, match="lies outside 1 to 3"):
                assert read_xray(path).pixel_mm == (2, 2)

    @pytest.mark.parametrize("spacing", [None, "0.2", ["0.2", "nan"], ["-1", "1"]])
    def test_an_unknown_size_is_an_error_that_says_what_to_pass(
        self, tmp_path: Path, spacing: object
    ) -> None:
        path = write(tmp_path, PixelSpacing=None)
        dataset = pydicom.dcmread(path)
        if spacing is not None:
            dataset.add_new("PixelSpacing", "LO", spacing)
            dataset["PixelSpacing"].VR = "LO"
        dataset.save_as(path)

        with pytest.raises(ReadError, match=r"xray\.dcm: its pixel size is unknown; pass pixel_mm"):
            read_xray(path)
        for wrong in (-1, 0, "wide", (0.2, 0.2)):
            with pytest.raises(rhoa.RhoaError, match="pixel_mm must be a positive"):
                read_xray(path, pixel_mm=wrong)


class TestDamage:
    @pytest.mark.parametrize(
        ("tags", "message"),
        [
            ({"PixelData": None}, "holds no pixel data"),
            ({"PixelData": b"\0\0"}, "2 bytes of pixel data; 70 x 90 pixels of 16 bits need 12600"),
            ({"NumberOfFrames": "2"}, "2 frames; an X-ray is one image"),
            ({"PhotometricInterpretation": "PALETTE COLOR"}, "PALETTE COLOR with 1 samples"),
            ({"PhotometricInterpretation": None}, "PhotometricInterpretation missing or unknown"),
            ({"PhotometricInterpretation": "YBR_FULL", "SamplesPerPixel": 3}, "YBR_FULL with 3"),
            ({"BitsStored": 13, "HighBit": 11}, "BitsStored 13, HighBit 11"),
            ({"BitsAllocated": 32}, "BitsAllocated 32"),
            ({"Rows": 0}, "0 x 90 pixels; an X-ray has 1"),
            ({"Rows": 65535, "Columns": 65535}, "65535 x 65535 pixels; an X-ray has 1"),
            ({"RescaleSlope": "0", "RescaleIntercept": "0"}, "RescaleSlope 0 and"),
            (
                {"ModalityLUTSequence": table(0, [1, 2, 3], bits=99)},
                "LUTDescriptor .* is no number",
            ),
        ],
    )
    def test_what_cannot_be_true_is_named(self, tmp_path: Path, tags: dict, message: str) -> None:
        path = write(tmp_path, **tags)

        with pytest.raises(PixelDataError, match=message) as error:
            read_xray(path)

        assert str(error.value).startswith("xray.dcm: ")
        assert "CANARY" not in str(error.value)
        assert "repair" not in str(error.value)

    def test_absent_and_foreign_files_are_named(self, tmp_path: Path) -> None:
        (tmp_path / "notes.txt").write_text("no image")
        (tmp_path / "empty.dcm").touch()
        directory = Path(pydicom.__file__).parent / "data/test_files/dicomdirtests/DICOMDIR"

        for path, message in (
            (tmp_path / "none.dcm", r"none\.dcm: no such X-ray file"),
            (tmp_path, "no such X-ray file"),
            (tmp_path / ("x" * 300), "no such X-ray file"),
            (tmp_path / "notes.txt", r"notes\.txt: not a DICOM file"),
            (tmp_path / "empty.dcm", r"empty\.dcm: not a DICOM file"),
            (Path("/proc/self/mem"), "mem: the file cannot be read"),
            (directory, "DICOMDIR, which is never followed"),
        ):
            with pytest.raises(ReadError, match=message):
                read_xray(path)

    def test_a_header_in_disorder_shows_nothing_of_it(self, tmp_path: Path) -> None:
        """Lengths that are off by one line turn a name into a modality."""
        path = write(tmp_path)
        content = path.read_bytes()
        headless = content[: content.index(b"\xe0\x7f\x10\x00OW")]
        for damaged in (
            content.replace(b"CS\x02\x00DX", b"LO\x60\x00DX"),
            headless.replace(b"\x02\x00\x02\x00UI", b"\x02\x00\x02\x00UY"),
            headless.replace(b"CS\x02\x00DX", b"LO\x60\x00DX"),
        ):
            path.write_bytes(damaged)

            with pytest.raises(ReadError, match=r"xray\.dcm: ") as error:
                read_xray(path)
            assert "CANARY" not in str(error.value)

    @given(share=st.floats(0, 1, exclude_max=True), compressed=st.booleans())
    def test_a_file_that_is_cut_short_is_never_half_an_image(
        self, tmp_path_factory: pytest.TempPathFactory, *, share: float, compressed: bool
    ) -> None:
        syntax = uid.JPEG2000Lossless if compressed else uid.ExplicitVRLittleEndian
        path = write(tmp_path_factory.mktemp("cut"), syntax=syntax)
        whole = path.read_bytes()
        path.write_bytes(whole[: int(share * len(whole))])

        try:
            image = read_xray(path)
        except ReadError as error:
            assert str(error).startswith("xray.dcm: ")  # noqa: PT017  # see below
        else:  # only the length that follows the end mark is lost
            assert compressed
            assert np.array_equal(image, TRUTH)

    @given(data=st.data())
    def test_whatever_a_file_holds_is_an_image_or_a_typed_error(
        self, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
    ) -> None:
        lut = table(0, SHUFFLED[:100])
        tags = {"ModalityLUTSequence": lut, "VOILUTSequence": lut, "WindowCenter": "5"}
        path = write(tmp_path_factory.mktemp("fuzz"), WindowWidth="9", **tags)
        content = bytearray(path.read_bytes())
        header = len(content) - TRUTH.size * 2
        for _ in range(data.draw(st.integers(1, 4))):
            place = data.draw(st.integers(0, header - 1))
            content[place] = data.draw(st.integers(0, 255))
        path.write_bytes(content)

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", rhoa.RhoaWarning)
            try:
                image = read_xray(path, voi=True, pixel_mm=1)
            except (rhoa.RhoaError, MissingExtraError) as error:
                assert "CANARY" not in str(error)  # noqa: PT017  # either outcome is right
            else:
                assert np.isfinite(image.pixels).all()

    def test_a_size_that_is_claimed_takes_no_memory(self, tmp_path: Path) -> None:
        path = write(tmp_path, syntax=uid.RLELossless)
        dataset = pydicom.dcmread(path)
        dataset.Rows = dataset.Columns = 8000
        dataset.PixelSpacing = ["0.1", "0.1"]
        dataset.save_as(path)

        tracemalloc.start()
        with pytest.raises(PixelDataError, match="cannot be 128000000 bytes of an image"):
            read_xray(path)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

        assert peak < 16 << 20

    def test_a_missing_decoder_is_named_with_its_remedy(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = write(tmp_path, syntax=uid.JPEGLSLossless)
        monkeypatch.setattr("rhoa.dicom.codec_worker.decoder_of", lambda _: None)

        with pytest.raises(MissingExtraError, match=r"xray\.dcm: .*pip install '\.\[codecs\]'"):
            read_xray(path)

    def test_a_jpeg_inside_dicom_is_read_as_a_picture_of_it_is(self, tmp_path: Path) -> None:
        grey = (TRUTH // 16).astype("u1")
        stream = io.BytesIO()
        Image.fromarray(grey).save(stream, "JPEG", quality=95)
        image = dx()
        image.BitsAllocated, image.BitsStored, image.HighBit = 8, 8, 7
        image.PixelData = encapsulate([stream.getvalue()])
        image["PixelData"].VR, image["PixelData"].is_undefined_length = "OB", True
        image.file_meta.TransferSyntaxUID = uid.JPEGBaseline8Bit
        path = write(tmp_path, image, syntax="")

        read = read_xray(path)
        assert np.abs(read.pixels - grey).max() <= 3
        assert read.provenance["lossy"]
        assert not read_xray(write(tmp_path)).provenance["lossy"]


class TestPhantoms:
    def test_an_xray_goes_through_files_unchanged(self, tmp_path: Path) -> None:
        made = xray(Anatomy.random(11, kl_left=4), pixel_mm=1.0, voxel_mm=3.0)
        write_xray(made, tmp_path / "a.dcm")
        dataset = pydicom.dcmread(tmp_path / "a.dcm")
        other = WHITE - dataset.pixel_array[:, ::-1]
        dataset.PixelData = other.astype("<u2").tobytes()
        dataset.PatientOrientation = ["R", "F"]
        dataset.PhotometricInterpretation, dataset.PresentationLUTShape = "MONOCHROME1", "INVERSE"
        dataset.save_as(tmp_path / "b.dcm")

        plain, turned = read_xray(tmp_path / "a.dcm"), read_xray(tmp_path / "b.dcm")

        assert np.array_equal(plain, made.radiograph)
        assert np.array_equal(turned, made.radiograph)
        assert plain.pixel_mm == turned.pixel_mm == (1, 1)

    def test_the_hips_lie_in_their_halves(self, tmp_path: Path) -> None:
        made = xray(Anatomy.random(3), pixel_mm=1.0, voxel_mm=3.0)
        write_xray(made, tmp_path / "a.dcm")
        image = read_xray(tmp_path / "a.dcm")

        both = halves(image)

        middle = image.shape[1] / 2
        for side, (row, column) in made.hip_centres_px.items():
            inward = column - middle if side == "left" else middle - column
            half = both[side].pixels
            window = slice(round(row) - 15, round(row) + 15)
            head = half[window, round(inward) - 15 : round(inward) + 15].mean()
            assert head > half[window].mean()


@pytest.mark.real
class TestRealFiles:
    """CR of a neck: MONOCHROME1, rescaled to optical density, imager spacing 0.1 mm."""

    def test_they_are_refused_for_what_they_show(self, real_data: Path) -> None:
        folder = real_data / "dicom" / "pydicom_dicomdir" / "77654033"

        for name in ("CR1/6154", "CR2/6247", "CR3/6278"):
            with pytest.raises(rhoa.errors.ViewError, match="another part .spine."):
                read_xray(folder / name)
        with pytest.raises(rhoa.errors.ViewError, match="another view .lateral."):
            read_xray(folder / "CR1/6154", accept="part,size")
        with pytest.raises(rhoa.errors.ViewError, match="16 x 16 pixels"):
            read_xray(folder / "CR2/6247", accept="part")

    def test_their_levels_are_those_of_the_film(self, real_data: Path) -> None:
        folder = real_data / "dicom" / "pydicom_dicomdir" / "77654033"
        for name in ("CR1/6154", "CR2/6247", "CR3/6278"):
            image = read_xray(folder / name, accept=["part", "view", "size"])

            dataset = pydicom.dcmread(folder / name)
            density = dataset.pixel_array * 0.684 + 200
            assert image.pixels == pytest.approx(200 + (4095 * 0.684 + 200) - density, rel=1e-6)
            assert image.pixel_mm == (0.1, 0.1)
            assert image.provenance["pixel_mm_from"] == "ImagerPixelSpacing"
            assert image.provenance["accepted"] == ["part", "size", "view"]
