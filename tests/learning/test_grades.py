"""Target "kl": grades that can be seen are recovered, and everything that carries them agrees."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import rhoa
from rhoa.cohort import Manifest
from rhoa.errors import ManifestError, ParameterError, RhoaWarning, WeightsError
from rhoa.evaluation import evaluate_grades, risk_coverage
from rhoa.hips.crop_files import encode_crop
from rhoa.learning import Augmentation, Ensemble, load_ensemble, load_model
from tests.commands import run as command
from tests.learning.brightnesses import BRIGHT, CROWE, brief, bright, brightnesses
from tests.learning.runs import write_run
from tests.learning.squares import TINY

pytestmark = pytest.mark.torch

CLOSER = Augmentation(rotation_deg=0, translation_px=0, scale=(1.0, 1.3))
"""Changes that bring in no black, of which this model knows nothing."""
Images = list[NDArray[np.uint8]]


def table_of(file: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(file.read_text("utf-8").splitlines()))


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return brightnesses(tmp_path_factory.mktemp("crops"), crowe=True)


@pytest.fixture(scope="module")
def trained(cohort: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ordinal, with Crowe's grade and dropout, normalised by its training crops, exported."""
    recipe = replace(BRIGHT, head="ordinal", dropout=0.2, normalisation="training")
    folder = tmp_path_factory.mktemp("run") / "bright"
    rhoa.train(cohort, recipe, folder, weights="none", device="cpu", seed=1)
    rhoa.learning.export_onnx(folder)
    return folder


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of target "rhoa", without dropout and validation hips."""
    return write_run(tmp_path_factory.mktemp("untrained"))


@pytest.fixture(scope="module")
def unseen() -> tuple[NDArray[np.intp], Images]:
    """Five hundred more, of which one of eleven is nearer to another grade's brightness."""
    random = np.random.default_rng(7)
    grades = np.arange(500) % 5
    return grades, [bright(kl, random, spread=16) for kl in grades.tolist()]


class TestHeads:
    @pytest.mark.parametrize(
        ("head", "outputs"), [("ordinal", [0.5, -1.0, 2.0, 0.3]), ("classes", [1.0, 2, 3, 4, 5])]
    )
    def test_five_probabilities_by_hand(self, head: str, outputs: list[float]) -> None:
        import torch

        from rhoa.learning.network import class_logits, loss_of
        from rhoa.learning.torch_model import as_probabilities

        if head == "ordinal":  # to go beyond each grade that was reached
            onward = [1 / (1 + math.exp(-z)) for z in outputs]
            hand = [math.prod(onward[:k]) * (1 - onward[k]) for k in range(4)]
            hand.append(math.prod(onward))
        else:
            hand = [math.exp(z) / sum(map(math.exp, outputs)) for z in outputs]
        given = torch.tensor([outputs])

        assert sum(hand) == pytest.approx(1)
        np.testing.assert_allclose(as_probabilities(given)[0], hand, rtol=1e-6)
        np.testing.assert_allclose(class_logits(given).softmax(1)[0, 1], sum(hand[2:]), rtol=1e-5)
        for kl, share in enumerate(hand):
            label, grade = torch.tensor([int(kl >= 2)]), torch.tensor([kl])
            loss = loss_of(given, label, grade, brief(head=head))
            assert float(loss) == pytest.approx(-math.log(share), rel=1e-5)

    def test_the_loss_of_crowe_is_added_for_hips_that_have_it(self) -> None:
        import torch

        from rhoa.learning.network import UNGRADED, loss_of

        outputs, kl = torch.zeros(2, 7), torch.tensor([0, 4])
        crowe = torch.tensor([0, UNGRADED])

        # Each question costs ln 2: of KL 0 one and of KL 4 four, of Crowe I one.
        loss = loss_of(outputs, kl // 2, kl, brief(head="ordinal"), crowe=crowe)
        assert float(loss) == pytest.approx((1 + 4 + 1) * math.log(2) / 2)
        none = torch.tensor([UNGRADED, UNGRADED])
        loss = loss_of(outputs, kl // 2, kl, brief(head="ordinal"), crowe=none)
        assert float(loss) == pytest.approx(5 * math.log(2) / 2)


class TestModel:
    def test_grades_that_can_be_seen_are_recovered(
        self, trained: Path, unseen: tuple[NDArray[np.intp], Images]
    ) -> None:
        """Nobody can be right of more than 90 %; the answer of the other hips is a grade off."""
        grades, images = unseen
        model = load_model(trained, runtime="torch", device="cpu")

        probabilities = model.predict_kl(images)
        found = evaluate_grades(grades, probabilities)

        assert probabilities.shape == (500, 5)
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-12)
        np.testing.assert_allclose(
            probabilities[:, 2:].sum(axis=1), model.predict_proba(images)[:, 1], atol=1e-12
        )
        assert found.exact.value > 0.75
        assert found.within_one.value > 0.98
        assert found.kappa.value > 0.9
        crowe = model.draws(images, views=1).crowe_grades
        assert crowe is not None
        right = (crowe[0].argmax(axis=1) == grades)[grades < 4]
        assert right.mean() > 0.75

    def test_wrong_answers_are_less_sure(
        self, trained: Path, unseen: tuple[NDArray[np.intp], Images]
    ) -> None:
        """By entropy of the model, of views and of dropout: wrong hips are near the borders."""
        grades, images = unseen
        model = load_model(trained, runtime="torch", device="cpu")
        draws = {
            "alone": model.draws(images, views=1),
            "views": model.draws(images, views=4, changes=CLOSER),
            "dropout": rhoa.learning.monte_carlo_dropout(model, samples=6).draws(images),
        }
        for name, drawn in draws.items():
            assert drawn.grades is not None
            wrong = drawn.grades.mean(axis=0).argmax(axis=1) != grades
            found = risk_coverage(wrong, drawn.entropy_nats)
            assert found.error_auc.low > 0.55, name
            assert found.best < found.aurc.value < wrong.mean(), name
        assert draws["dropout"].disagreement_nats.min() >= 0

    def test_dropout_depends_on_the_seed_and_on_no_company(
        self, trained: Path, unseen: tuple[NDArray[np.intp], Images]
    ) -> None:
        import torch

        model = load_model(trained, runtime="torch", device="cpu")
        before = model.network.fc.weight.detach().clone()

        together = rhoa.learning.monte_carlo_dropout(model, samples=3, seed=1).draws(unseen[1][:4])
        alone = rhoa.learning.monte_carlo_dropout(model, samples=3, seed=1).draws(unseen[1][3:4])
        other = rhoa.learning.monte_carlo_dropout(model, samples=3, seed=2).draws(unseen[1][:4])

        np.testing.assert_allclose(together.samples[:, 3], alone.samples[:, 0], atol=1e-6)
        assert np.ptp(together.samples[:, :, 1], axis=0).min() > 0
        assert not np.allclose(together.samples, other.samples)
        assert torch.equal(model.network.fc.weight, before)

    def test_onnx_equals_torch(
        self, trained: Path, unseen: tuple[NDArray[np.intp], Images]
    ) -> None:
        """Of a network of timm, whose normalisation is in its graph."""
        images = unseen[1][:9]
        one, other = (load_model(trained, runtime=name, device="cpu") for name in ("torch", "onnx"))

        np.testing.assert_allclose(one.predict_kl(images), other.predict_kl(images), atol=1e-5)
        np.testing.assert_allclose(
            one.predict_proba(images), other.predict_proba(images), atol=1e-5
        )
        here, there = (model.draws(images, views=1).crowe_grades for model in (one, other))
        np.testing.assert_allclose(here, there, atol=1e-5)
        assert other.predict_kl([]).shape == (0, 5)
        card = json.loads((trained / "model.json").read_text("utf-8"))
        assert card["onnx"]["outputs"] == {"probabilities": 2, "kl": 5, "crowe": 4}

    def test_predictions_have_the_grades_of_every_hip_also_of_kl_1(
        self, trained: Path, cohort: Manifest
    ) -> None:
        rows = table_of(trained / "predictions.csv")

        assert [row["kl"] for row in rows] == [str(hip.kl) for hip in cohort]
        assert {row["label"] for row in rows if row["kl"] == "1"} == {""}
        assert [row["crowe"] for row in rows[:5]] == ["1", "2", "3", "4", ""]
        for row in rows:
            kl = [float(row[f"kl_{grade}"]) for grade in range(5)]
            assert float(row["score"]) == pytest.approx(sum(kl[2:]))
            expected = sum(grade * share for grade, share in enumerate(kl))
            assert float(row["kl_expected"]) == pytest.approx(expected)

    def test_maps_of_where_it_looks_are_of_the_class(self, trained: Path) -> None:
        from rhoa.evaluation.saliency import grad_cam

        model = load_model(trained, runtime="torch", device="cpu")
        image = bright(3, np.random.default_rng(0), spread=0)

        assert rhoa.occlusion(model, image, patch=8, stride=8, target=1).shape == image.shape
        assert np.isfinite(grad_cam(model, image, target=1)).all()  # type: ignore[arg-type]
        with pytest.raises(ParameterError, match="2 classes"):
            grad_cam(model, image, target=2)  # type: ignore[arg-type]

    def test_a_model_of_rhoa_knows_no_grade_and_no_dropout(self, untrained: Path) -> None:
        model = load_model(untrained, device="cpu")

        with pytest.raises(ParameterError, match='train one with target="kl"'):
            model.predict_kl([np.zeros((32, 32), np.uint8)])
        with pytest.raises(ParameterError, match="trained without dropout"):
            rhoa.learning.monte_carlo_dropout(model)  # type: ignore[arg-type]


class TestAbstention:
    def test_it_leaves_out_the_asked_share_of_the_validation_hips(
        self, trained: Path, cohort: Manifest
    ) -> None:
        crops = [rhoa.hips.read_crop(hip.crop) for hip in cohort if hip.partition == "val"]
        for model in (load_model(trained, device="cpu", runtime="torch"), load_model(trained)):
            entropy = model.draws(crops, views=1).entropy_nats

            for share in (0.025, 0.1, 0.25, 0.5, 0.9):
                left_out = (entropy > model.abstention_threshold(share)).sum()
                assert left_out == math.floor(share * len(crops))

    def test_several_models_have_the_threshold_of_their_mean(
        self, trained: Path, cohort: Manifest, tmp_path: Path
    ) -> None:
        other = rhoa.train(cohort, brief(), tmp_path / "r", weights="none", device="cpu", seed=5)
        both = load_ensemble([trained, other], device="cpu", runtime="torch")
        crops = [rhoa.hips.read_crop(hip.crop) for hip in cohort if hip.partition == "val"]

        entropy = both.draws(crops).entropy_nats

        assert (entropy > both.abstention_threshold(0.2)).sum() == 8
        fewer = Manifest(cohort.hips[5:])
        third = rhoa.train(fewer, brief(), tmp_path / "s", weights="none", device="cpu")
        unlike = Ensemble([load_model(trained), load_model(third, device="cpu")])
        with pytest.raises(ParameterError, match="validated on different hips"):
            unlike.abstention_threshold(0.2)

    def test_shares_that_are_none_are_refused(self, trained: Path) -> None:
        model = load_model(trained)
        for share in (0, 1, -0.1, 2, float("nan"), "0.1", 0.001):
            with pytest.raises(ParameterError, match="abstain="):
                model.abstention_threshold(share)  # type: ignore[arg-type]

    def test_a_model_without_validation_hips_has_no_threshold(self, untrained: Path) -> None:
        with pytest.raises(ParameterError, match="no probabilities of validation hips"):
            load_model(untrained, device="cpu").abstention_threshold(0.1)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            *(
                ({"validation": record}, "record of validation hips is damaged")
                for record in (
                    *(1, {}, {"probabilities": [], "hips_sha256": "a"}),
                    {"probabilities": ["0.5 0.5"]},
                    *(
                        {"probabilities": [text], "hips_sha256": "a"}
                        for text in ("1 x", "nan 1", "2 0", "1")
                    ),
                )
            ),
            *(
                ({"outputs": outputs}, "outputs must be one of 2, 4, 5, 7, 9")
                for outputs in (3, 0, True, "2", 1e9)
            ),
        ],
    )
    def test_a_card_that_no_training_wrote_is_refused(
        self, untrained: Path, tmp_path: Path, changes: dict[str, object], message: str
    ) -> None:
        card = json.loads((untrained / "model.json").read_text("utf-8"))
        (tmp_path / "model.json").write_text(json.dumps(card | changes))

        with pytest.raises(WeightsError, match=message):
            load_model(tmp_path, device="cpu")

    def test_the_shell_says_why_there_is_no_answer(
        self,
        trained: Path,
        unseen: tuple[NDArray[np.intp], Images],
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        images = unseen[1][:40]
        files = []
        for number, pixels in enumerate(images):
            files.append(tmp_path / f"{number}.png")
            files[-1].write_bytes(encode_crop(pixels, side="left", source="ct"))
        model = load_model(trained)
        draws = model.draws(images, views=1)
        threshold = model.abstention_threshold(0.3)

        words = ("predict", *files, "--model", trained, "--abstain", 0.3)
        code, printed, _ = command(capsys, *words, "-o", tmp_path / "out", "--json")

        rows = json.loads(printed)
        assert code == 4
        for row, entropy, kl in zip(rows, draws.entropy_nats, draws.grades[0], strict=True):  # type: ignore[index]
            assert row["entropy_nats"] == pytest.approx(entropy, abs=2e-6)
            if entropy > threshold:
                assert row["probability"] is None
                assert row["kl_expected"] is None
                assert row["refused"].startswith("unsure: entropy")
                assert row["refused"].endswith("pass a smaller --abstain")
                assert "unsure" in row["flags"]
            else:
                assert row["refused"] == ""
                assert [row[f"kl_{n}"] for n in range(5)] == pytest.approx(kl.tolist(), abs=2e-6)
        table = table_of(tmp_path / "out" / "predictions.csv")
        assert {"kl_0", "kl_4", "kl_expected", "crowe_4", "entropy_nats"} <= table[0].keys()

    def test_an_unknown_threshold_is_an_error_before_anything_is_read(
        self, untrained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "a.png").write_bytes(
            encode_crop(np.zeros((50, 50), np.uint8), side="left", source="ct")
        )
        words = ("predict", tmp_path / "a.png", "--model", untrained, "--abstain", 0.1)
        code, _, err = command(capsys, *words)

        assert code == 2
        assert "from which --abstain takes its threshold" in err


class TestManifest:
    def test_labels_without_a_grade_are_an_error_that_names_their_lines(
        self, cohort: Manifest, tmp_path: Path
    ) -> None:
        hips = list(cohort.hips)
        for at in (0, 7):
            hips[at] = replace(hips[at], kl=None)

        with pytest.raises(ManifestError, match=r"2 hips .*lines 2, 9 of the manifest"):
            rhoa.train(Manifest(tuple(hips)), brief(), tmp_path / "run", weights="none")

    @pytest.mark.parametrize("text", ["5", "V", "1.5", "none"])
    def test_a_crowe_grade_that_is_none_names_its_line(
        self, cohort: Manifest, tmp_path: Path, text: str
    ) -> None:
        first = replace(cohort.hips[0], others=(("crowe", text),))

        with pytest.raises(ManifestError, match="line 2 of the manifest: crowe must be 1 to 4"):
            rhoa.train(
                Manifest((first, *cohort.hips[1:])), brief(), tmp_path / "run", weights="none"
            )

    def test_hips_left_out_for_a_reason_stay_out_and_absent_grades_are_said(
        self, cohort: Manifest, tmp_path: Path
    ) -> None:
        hips = [
            replace(hip, label=None, exclusion="quality") if hip.kl == 1 else hip
            for hip in cohort.hips
        ]

        with pytest.warns(RhoaWarning, match="no training hip has KL 1"):
            run = rhoa.train(
                Manifest(tuple(hips)), brief(), tmp_path / "run", weights="none", device="cpu"
            )

        rows = table_of(run / "predictions.csv")
        assert {row["kl"] for row in rows} == {"0", "2", "3", "4"}

    def test_copies_among_hips_of_kl_1_are_leaks(self, cohort: Manifest, tmp_path: Path) -> None:
        hips = list(cohort.hips)
        doubtful = [at for at, hip in enumerate(hips) if hip.kl == 1]
        first, last = doubtful[0], doubtful[-1]
        hips[last] = replace(hips[last], image=hips[first].image)

        with pytest.raises(ManifestError, match="leak"):
            rhoa.train(Manifest(tuple(hips)), brief(), tmp_path / "run", weights="none")

    def test_another_crowe_grade_is_another_run(self, cohort: Manifest, tmp_path: Path) -> None:
        run = rhoa.train(cohort, brief(), tmp_path / "run", weights="none", device="cpu")
        before = (run / "run.json").read_bytes()
        rhoa.train(cohort, brief(), run, weights="none", device="cpu")
        assert (run / "run.json").read_bytes() == before
        assert CROWE[0] == "I"
        changed = (replace(cohort.hips[0], others=(("crowe", "II"),)), *cohort.hips[1:])

        with pytest.raises(ParameterError, match="the hips of the manifest differ"):
            rhoa.train(Manifest(changed), brief(), run, weights="none", device="cpu")


def test_a_stopped_run_goes_on_to_the_same_bits(cohort: Manifest, tmp_path: Path) -> None:
    from rhoa.learning import Execution

    recipe = brief(head="ordinal", dropout=0.3)
    each = Execution(checkpoint_minutes=0)

    def stop(done: int, *_: object) -> None:
        if done == 3:
            raise KeyboardInterrupt

    options = {"weights": "none", "device": "cpu", "execution": each}
    with pytest.raises(KeyboardInterrupt):
        rhoa.train(cohort, recipe, tmp_path / "a", progress=stop, **options)
    runs = [rhoa.train(cohort, recipe, tmp_path / name, **options) for name in ("a", "b")]
    cards = [json.loads((run / "model.json").read_text("utf-8")) for run in runs]

    assert cards[0]["weights_sha256"] == cards[1]["weights_sha256"]
    assert cards[0]["validation"] == cards[1]["validation"]


def test_a_stage_of_grades_begins_with_that_of_grades_or_of_classes(
    cohort: Manifest, trained: Path, tmp_path: Path
) -> None:
    """The last layer is taken where it is of as many outputs, else it starts at random."""
    import torch

    from rhoa.learning.network import build_network, read_weights

    given = read_weights(trained)
    same = build_network(trained, outputs=7, backbone=TINY)
    assert torch.equal(same.fc.weight, given["fc.weight"])
    with pytest.warns(RhoaWarning, match="its last layer starts at random"):
        other = build_network(trained, outputs=2, seed=3, backbone=TINY)
    stem = "body.conv1.0.weight"
    assert torch.equal(other.get_parameter(stem), given[stem])
    assert torch.equal(other.fc.weight, build_network(seed=3, backbone=TINY).fc.weight)
    staged = replace(brief(), name="second", first=brief(target="rhoa"))
    with pytest.warns(RhoaWarning, match="its last layer starts at random"):
        run = rhoa.train(cohort, staged, tmp_path / "run", weights="none", device="cpu")
    rows = table_of(run / "first" / "predictions.csv")
    assert "1" not in {row["kl"] for row in rows}


def test_evaluate_prints_and_reports_the_grades_of_the_model_that_knows_them(
    cohort: Manifest, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And how uncertainty ranks its errors; beside it a model of classes, which has no grades."""
    classes = rhoa.train(
        cohort, brief(target="rhoa"), tmp_path / "run", weights="none", device="cpu"
    )
    cohort.write(tmp_path / "manifest.csv")
    out = tmp_path / "out"

    words = ("evaluate", trained, classes, "--manifest", tmp_path / "manifest.csv", "-o", out)
    code, printed, err = command(capsys, *words)

    assert code in {0, 4}, err
    assert "within_one" in printed
    val, test = json.loads((out / "metrics.json").read_text("utf-8"))["grading"]
    assert (val["source"], val["partition"], val["hips"]) == ("ct", "val", 40)
    assert (test["source"], test["partition"], test["hips"]) == ("ct", "test", 10)
    assert np.array(val["confusion"]).sum(axis=1).tolist() == [8] * 5
    (row,) = table_of(out / "tables" / "grading.csv")
    for head, name in (("Exact", "exact"), ("Quadratic kappa", "kappa"), ("AURC", "aurc")):
        assert row[head] == f"{test[name]['value']:.2f}"
        ends = [test[name][end] for end in ("low", "high")]
        given = [row.get(f"{head}, {end}", "") for end in ("low", "high")]
        assert given == ["" if end is None else f"{end:.2f}" for end in ends]
    answered = table_of(out / "tables" / "answered-grades.csv")
    counts = [[int(row[f"Answered KL {kl}"]) for kl in range(5)] for row in answered]
    assert counts == test["confusion"]
    assert sum(map(sum, counts)) == test["hips"]
    assert len(list((out / "figures").glob("risk-*.svg"))) == 1
    page = (out / "report.html").read_text("utf-8")
    assert "share of grades that are not exact among the surest hips" in page


def test_another_cohort_is_graded_with_its_hips_of_kl_1(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "others").mkdir()
    brightnesses(tmp_path / "others", seed=3).write(tmp_path / "manifest.csv")

    words = ("evaluate", trained, "--manifest", tmp_path / "manifest.csv", "-o", tmp_path / "out")
    code, printed, err = command(capsys, *words)

    assert code == 0, err
    assert "external validation" in printed
    (one,) = json.loads((tmp_path / "out" / "metrics.json").read_text("utf-8"))["grading"]
    assert (one["partition"], np.array(one["confusion"]).sum(axis=1).tolist()) == ("test", [20] * 5)
    assert one["exact"]["value"] > 0.75
