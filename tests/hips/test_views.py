"""Results in a notebook: a table of escaped text, pictures in it, and one call that plots."""

from __future__ import annotations

import html
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import rhoa
from rhoa.hips.extraction import ExtractedHips
from rhoa.phantom import Anatomy, ct
from rhoa.pose import Alignment


@pytest.fixture(scope="module")
def found() -> ExtractedHips:
    patient = ct(Anatomy.random(1), spacing_mm=(4, 4, 4))
    pose = rhoa.pose.from_landmarks(patient.landmarks)
    return rhoa.hips.extract(patient.volume, pose=pose)


def cells(view: str) -> dict[str, str]:
    rows = re.findall("<tr><th>(.*?)</th><td>(.*?)</td></tr>", view)
    return {html.unescape(name): html.unescape(value) for name, value in rows}


def test_angles_and_flags_of_a_pose_are_a_table_of_escaped_text() -> None:
    view = Alignment(np.eye(3), np.zeros(3), flags=frozenset({"<script>"}))._repr_html_()

    assert cells(view) == {
        "tilt": "+0.0°",
        "obliquity": "+0.0°",
        "rotation": "+0.0°",
        "flags": "<script>",
    }
    assert "<script>" not in view


def test_hips_show_their_picture_and_each_crop(found: ExtractedHips) -> None:
    view = found._repr_html_()

    assert view.count("data:image/png;base64,") == 1 + len(found.hips)
    assert "right hip, mirrored" in view
    assert cells(found.coverage._repr_html_())["slices"].startswith(str(found.coverage.slice_count))


def test_the_picture_with_boxes_has_the_size_of_the_radiograph(
    found: ExtractedHips, tmp_path: Path
) -> None:
    found.save(tmp_path)
    square = found.image.square()
    wide_mm = square.shape[1] * square.pixel_mm[1]

    for name in ("boxes.png", "ct-ap.png"):
        with Image.open(tmp_path / name) as picture:
            across, down = picture.info["dpi"]
            assert picture.width / across * 25.4 == pytest.approx(wide_mm, rel=1e-3)
            assert down == across


def test_an_evaluation_shows_each_figure_with_its_interval() -> None:
    result = rhoa.evaluate([0, 0, 1, 1], [0.1, 0.6, 0.7, 0.9], resamples=50)

    shown = cells(result._repr_html_())

    assert shown["accuracy"].startswith("0.750 (95 % CI ")
    assert shown["confusion"] == "tn 1, fp 1, fn 0, tp 2"


def test_one_call_plots_the_image_and_each_crop(found: ExtractedHips) -> None:
    pytest.importorskip("matplotlib", reason="needs extra report")

    axes = found.plot().axes

    assert len(axes) == 1 + len(found.hips)
    drawn = [line.get_xdata()[0] + 0.5 for line in axes[0].lines]
    assert drawn == pytest.approx([box.left for box in found.boxes.values()])


def test_views_import_neither_matplotlib_nor_torch() -> None:
    code = (
        "import sys, numpy as np, rhoa\n"
        "rhoa.pose.Alignment(np.eye(3), np.zeros(3))._repr_html_()\n"
        "import rhoa.hips.extraction, rhoa.hips.detector_data\n"
        "print({'matplotlib', 'torch'} & set(sys.modules))"
    )
    call = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert call.stdout.strip() == "set()"
