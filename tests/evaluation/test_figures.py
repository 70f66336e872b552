"""The report's figures: what is drawn is where and as large as the numbers say."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rhoa.cohort import Manifest
from rhoa.evaluation import evaluate, saliency
from rhoa.evaluation.calibration import reliability
from rhoa.evaluation.decision_curves import decision_curve
from rhoa.evaluation.intervals import benefit_band, curve_band
from rhoa.hips import Box
from rhoa.pose import Landmarks, from_landmarks
from rhoa.radiograph import Radiograph
from rhoa.raster import encode_png
from rhoa.report import charts, write
from rhoa.report.write import write_report
from tests.evaluation.studies import hips_of, radiograph

if TYPE_CHECKING:
    from rhoa.report.write import GalleryItem

pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install '.[train]'")


def test_an_overlay_mixes_grey_with_red_and_blue_by_strength() -> None:
    """Opacity is 0.7 |map| / max: the strongest pixel is 0.3 of its grey and 0.7 of the colour."""
    from matplotlib.image import imread

    grey = np.array([[255, 255], [255, 0]], np.float32)
    influence = np.array([[2.0, -1.0], [0.0, 0.0]], np.float32)

    pixels = np.rint(255 * imread(io.BytesIO(write.overlay_png(grey, influence))))[..., :3]

    red = 0.3 * 255 + 0.7 * saliency.SUPPORTS
    blue = 0.65 * 255 + 0.35 * saliency.OPPOSES
    expected = [[red, blue], [[255, 255, 255], [0, 0, 0]]]
    np.testing.assert_allclose(pixels, np.array(expected), atol=0.51)


def test_an_overlay_of_no_influence_is_the_grey_image() -> None:
    from matplotlib.image import imread

    grey = np.arange(16, dtype=np.float32).reshape(4, 4) * 17

    pixels = imread(io.BytesIO(write.overlay_png(grey, np.zeros_like(grey))))[..., :3]

    np.testing.assert_allclose(255 * pixels, np.repeat(grey[..., None], 3, axis=2), atol=1e-3)


def page_of(folder: Path, *gallery: GalleryItem) -> str:
    """The report of one hip and no model, with a gallery."""
    picture = folder / "hip.png"
    picture.write_bytes(encode_png(np.eye(20, dtype=np.uint8)))
    hips = Manifest(tuple(hips_of(picture, "ct", "test", 1, 0)))
    return write_report(folder, manifest=hips, runs=[], gallery=gallery).read_text("utf-8")


def test_boxes_are_drawn_in_millimetres(tmp_path: Path) -> None:
    """Rows of 2 mm and columns of 1 mm: edges (10, 20, 30, 60) span 40 x 40 mm."""
    box = Box("left", top=10, left=20, bottom=30, right=60)

    drawn = page_of(tmp_path, ("one", radiograph(), {"left": box}))

    assert 'viewBox="0 0 80.0 120.0"' in drawn
    assert '<rect x="20.0" y="20.0" width="40.0" height="40.0"/>' in drawn


def test_known_landmarks_give_both_boxes(tmp_path: Path) -> None:
    points = Landmarks((112, 0, 90), (-112, 0, 90), (15, 0, 0), (-15, 0, 0))
    image = Radiograph(
        np.zeros((200, 300), np.float32), (1.0, 1.0), (-150.0, 120.0), from_landmarks(points)
    )

    assert page_of(tmp_path, ("posed", image)).count("<rect") == 2
    assert page_of(tmp_path, ("unposed", radiograph())).count("<rect") == 0


@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(0, 8).map(lambda step: step / 8)), min_size=2
    ).filter(lambda pairs: len({positive for positive, _ in pairs}) == 2)
)
def test_the_areas_under_the_drawn_curves_are_the_printed_ones(
    pairs: list[tuple[bool, float]],
) -> None:
    truth = np.array([positive for positive, _ in pairs], int)
    score = np.array([value for _, value in pairs])
    curve = charts.RankCurve("", truth, score)

    false_positive, sensitivity = charts.rank_points(curve, "roc")
    recall, precision = charts.rank_points(curve, "pr")

    result = evaluate(truth, score, resamples=1)
    assert np.trapezoid(sensitivity, false_positive) == pytest.approx(result.roc_auc.value)
    # Steps keep the height of the point before: recall falls from 1 to 0.
    assert -np.sum(np.diff(recall) * precision[:-1]) == pytest.approx(result.pr_auc.value)


@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(0, 4).map(lambda step: step / 4)),
        min_size=4,
        max_size=12,
    ).filter(lambda pairs: len({positive for positive, _ in pairs}) == 2)
)
@settings(max_examples=20)
def test_bands_are_shares_in_order(pairs: list[tuple[bool, float]]) -> None:
    truth = np.array([positive for positive, _ in pairs], int)
    score = np.array([value for _, value in pairs])

    for kind in ("roc", "pr"):
        band = curve_band(truth, score, np.arange(truth.size), kind)
        assert band is not None
        assert (band.low >= 0).all()
        assert (band.low <= band.high).all()
        assert (band.high <= 1).all()


def test_the_band_of_hips_that_all_are_right_is_a_line() -> None:
    truth, score = np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.8, 0.9])

    for kind in ("roc", "pr"):
        band = curve_band(truth, score, np.arange(4), kind)
        assert band is not None
        np.testing.assert_array_equal(band.low, np.ones_like(band.x))


def test_the_band_of_a_decision_curve_is_that_of_resampled_patients_curves() -> None:
    """The curves of `decision_curve` itself, of patients drawn by another generator."""
    random = np.random.default_rng(4)
    truth = (random.random(60) < 0.4).astype(int)
    score = np.clip(0.3 * truth + 0.7 * random.random(60), 0, 1)
    groups, thresholds = np.arange(60) // 2, np.array([0.1, 0.3, 0.5, 0.7])
    drawn = []
    for _ in range(500):
        patients = random.integers(30, size=30)
        hips = np.r_[2 * patients, 2 * patients + 1]
        curve = decision_curve(truth[hips], score[hips], thresholds=thresholds)
        drawn.append([point.model for point in curve])

    band = benefit_band(truth, score, groups, thresholds)

    assert band is not None
    expected = np.percentile(drawn, (2.5, 97.5), axis=0)
    np.testing.assert_allclose([band.low, band.high], expected, atol=0.04)
    assert benefit_band(truth, score, 0 * groups, thresholds) is None


def test_one_patient_has_no_band() -> None:
    assert curve_band(np.array([0, 1]), np.array([0.1, 0.9]), np.array([0, 0]), "roc") is None


def test_every_validation_loss_is_inside_the_frame_and_epochs_are_on_the_second_axis() -> None:
    losses = np.array([np.nan, 7.5, np.nan, 0.3])
    history = {
        "iteration": np.array([5.0, 10, 15, 20]),
        "epoch": np.array([1.0, 2, 3, 4]),
        "train_loss": np.array([40.0, 0.4, 0.3, 0.2]),
        "train_accuracy": np.linspace(0.5, 1, 4),
        "val_loss": losses,
        "val_accuracy": np.where(np.isfinite(losses), 0.5, np.nan),
    }

    figure = charts.learning_curves(history)
    figure.draw_without_rendering()

    above = figure.axes[0]
    assert above.get_ylim()[1] > 7.5
    (epochs,) = above.child_axes
    assert epochs.get_xlabel() == "Epoch"
    limits = np.array(above.get_xlim())
    np.testing.assert_allclose(epochs.get_xlim(), limits / 5)


def test_a_panel_shows_one_model_its_band_and_the_others_thin() -> None:
    random = np.random.default_rng(2)
    truth = np.arange(40) % 2
    curves = [
        charts.RankCurve(name, truth, random.random(40), np.arange(40) // 2) for name in "abc"
    ]
    reader = charts.ReaderPoint("anna", specificity=0.75, recall=0.5, precision=2 / 3)

    figure = charts.rank_curves(curves[0], others=curves[1:], readers=[reader])

    roc, pr = figure.axes
    for axes, kind, point in ((roc, "roc", (0.25, 0.5)), (pr, "pr", (0.5, 2 / 3))):
        widths = sorted(line.get_linewidth() for line in axes.lines if line.get_marker() == "None")
        assert widths[-1] > 1.9 * widths[-2]
        thick = max(axes.lines, key=lambda line: line.get_linewidth())
        drawn = np.array(thick.get_data())
        np.testing.assert_allclose(drawn, charts.rank_points(curves[0], kind))
        assert len(axes.collections) == 1  # the band
        crosses = [line for line in axes.lines if line.get_marker() == "x"]
        assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in crosses] == [point]
        assert [text.get_text() for text in axes.texts] == ["anna"]


def test_consistency_bars_are_those_of_the_bins() -> None:
    truth, score = np.arange(60) % 2, np.repeat([0.12, 0.34, 0.81], 20)
    bins = reliability(truth, score)

    above = charts.reliability_diagram(bins).axes[0]

    grey = above.collections[0]
    drawn = [segment[:, 1].tolist() for segment in grey.get_segments()]
    assert drawn == [[tenth.expected_low, tenth.expected_high] for tenth in bins]
