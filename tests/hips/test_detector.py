"""The hip detector: it learns discs, repeats by seed, and reads nothing but its own files."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import rhoa
from rhoa.errors import ParameterError, WeightsError
from rhoa.hips import Box
from rhoa.hips.detector_data import Example

pytestmark = pytest.mark.torch

SMALL = "mobilenet_v3_large_fpn"

SIZE = 64
BACKBONES = [SMALL, "alexnet", "mobilenet_v3_large_320_fpn"]


def disc(random: np.random.Generator, group: str) -> Example:
    """Noise and a bright disc as large as a hip in its half."""
    radius = random.uniform(10, 14)
    row, column = random.uniform(25, 65), random.uniform(20, 44)
    rows, columns = np.indices((90, SIZE)) + 0.5
    image = random.integers(0, 80, (90, SIZE))
    image[np.hypot(rows - row, columns - column) < radius] += 120
    box = Box("left", row - radius, column - radius, row + radius, column + radius)
    return Example(image.astype(np.uint8), box, group)


def discs(count: int, seed: int = 0) -> list[Example]:
    random = np.random.default_rng(seed)
    return [disc(random, f"{number // 2}") for number in range(count)]


class TestLearning:
    def test_it_learns_where_discs_are(self) -> None:
        from rhoa.hips.detector_training import DetectorOptions, measure, train_detector

        options = DetectorOptions(
            SMALL, image_size=SIZE, epochs=8, batch=5, learning_rate=3e-3, test_share=0
        )

        detector = train_detector(discs(20), options, device="cpu")
        result = measure(detector, discs(12, seed=1))

        assert result["iou_mean"] is not None
        assert result["iou_mean"] > 0.7
        assert result["average_precision"] is not None
        assert result["average_precision"] > 0.9

    def test_a_seed_repeats_to_the_bit_and_another_does_not(self) -> None:
        from rhoa.hips.detector_training import DetectorOptions, train_detector

        options = DetectorOptions(SMALL, image_size=SIZE, epochs=1, batch=2, test_share=0.5)
        steps: list[tuple[int, int, str]] = []

        first, second, other = (
            train_detector(
                discs(8),
                options,
                seed=seed,
                device="cpu",
                progress=lambda *step: steps.append(step),
            )
            for seed in (1, 1, 2)
        )

        weights = [list(one.network.state_dict().values()) for one in (first, second, other)]
        assert all((a == b).all() for a, b in zip(weights[0], weights[1], strict=True))
        assert not all((a == b).all() for a, b in zip(weights[0], weights[2], strict=True))
        assert first.notes["halves"] == {"train": 4, "test": 4}
        assert steps[:2] == [(1, 2, "training: epoch 1 of 1"), (2, 2, "training: epoch 1 of 1")]

    def test_a_gpu_repeats_too(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What torch is set to while it trains there; afterwards it is as it was."""
        import torch

        from rhoa.hips import detector_training
        from rhoa.hips.detector_training import DetectorOptions, train_detector

        def build_detector(*_: object, **__: object) -> None:
            assert torch.are_deterministic_algorithms_enabled()
            assert not torch.backends.cudnn.benchmark
            raise NotImplementedError

        monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
        monkeypatch.setattr(detector_training, "choose_device", torch.device)
        monkeypatch.setattr(detector_training, "build_detector", build_detector)
        options = DetectorOptions(SMALL, image_size=SIZE, test_share=0)
        with pytest.raises(NotImplementedError):
            train_detector(discs(2), options, device="cuda")

        assert torch.backends.cudnn.benchmark
        assert not torch.are_deterministic_algorithms_enabled()

    def test_groups_are_split_whole(self) -> None:
        """10 groups of 2 halves: a tenth is one group."""
        from rhoa.hips.detector_training import split

        kept, held_out = split(discs(20), 0.1, seed=3)

        assert (len(kept), len(held_out)) == (18, 2)
        assert len({e.group for e in held_out}) == 1
        assert not {e.group for e in kept} & {e.group for e in held_out}

    def test_anchors_have_the_sizes_of_the_boxes(self) -> None:
        """Boxes of 20 x 20 and 40 x 20: the 5, 50 and 95 % of sizes 20 and 28.3."""
        from rhoa.hips.detector_training import DetectorOptions, fitted

        boxes = [Box("left", 0, 0, 20, 20), Box("left", 0, 0, 40, 20)]
        examples = [Example(np.zeros((90, SIZE), np.uint8), box, "") for box in boxes]

        made = fitted(examples, DetectorOptions(SMALL, image_size=SIZE))

        assert made.anchors_px == (20, 24, 28)
        assert made.aspects == (1.5,)

    def test_what_cannot_be_trained_on_is_refused(self) -> None:
        from rhoa.hips.detector_training import DetectorOptions, train_detector

        with pytest.raises(ParameterError, match="no labelled half is left"):
            train_detector([])
        with pytest.raises(ParameterError, match="example 1: its shorter side has 64 pixels"):
            train_detector(discs(2), DetectorOptions(SMALL, image_size=96))
        with pytest.raises(ParameterError, match="backbone must be one of"):
            train_detector(discs(2), DetectorOptions("vgg", image_size=SIZE))  # type: ignore[arg-type]
        with pytest.raises(ParameterError, match="test_share must be"):
            DetectorOptions(test_share=1)

    def test_the_default_is_torchvisions_at_the_size_it_was_made_for(self) -> None:
        from rhoa.hips.detector import Architecture
        from rhoa.hips.detector_training import DetectorOptions

        options, architecture = DetectorOptions(), Architecture()

        assert options.backbone == architecture.backbone == "mobilenet_v3_large_320_fpn"
        assert options.side_px == architecture.image_size == 320
        assert DetectorOptions(SMALL).side_px == DetectorOptions("alexnet").side_px == 128
        assert DetectorOptions(image_size=96).side_px == 96


class TestDetecting:
    @pytest.mark.parametrize("backbone", BACKBONES)
    def test_an_untrained_network_finds_a_box_in_each_half(self, backbone: str) -> None:
        from rhoa.hips.detector import Architecture, HipDetector

        detector = HipDetector.untrained(Architecture(backbone, 64))  # type: ignore[arg-type]
        image = rhoa.Radiograph(np.random.default_rng(0).random((90, 141)), (1.5, 1.0))

        found = detector.detect(image)
        again = detector.detect(image)
        alone = detector.detect(np.asarray(image)[:, :70], shows="half")

        assert found == again
        assert set(found) == {"left", "right"}
        assert set(alone) == {"left"}
        for side, box in found.items():
            assert box.side == side
            assert box.confidence is not None
            assert 0.05 <= box.confidence <= 1
            assert box.height * 1.5 == pytest.approx(box.width)
            assert (box.left >= 70) == (side == "left")
            assert rhoa.hips.crop(image, box, size=32).shape == (32, 32)

    def test_a_mirrored_pelvis_has_mirrored_boxes(self) -> None:
        """What is found on the left of an image is found on the right of its mirror image."""
        from rhoa.hips.detector import Architecture, HipDetector

        detector = HipDetector.untrained(Architecture(SMALL, 64))
        image = np.random.default_rng(1).random((90, 140))

        left = detector.detect(image)["left"]
        right = detector.detect(image[:, ::-1])["right"]

        assert (right.left, right.right) == pytest.approx((140 - left.right, 140 - left.left))
        assert (right.top, right.bottom) == pytest.approx((left.top, left.bottom))


class TestNetworks:
    """Built as torchvision builds them, so that its weights can be used."""

    def test_it_is_torchvisions_but_for_classes_and_anchors(self) -> None:
        """91 classes and 15 anchors a place there; here 2 classes, 3 anchors."""
        from torchvision.models import detection

        from rhoa.hips.detector import Architecture, build_detector

        backbone = "mobilenet_v3_large_320_fpn"
        theirs = getattr(detection, f"fasterrcnn_{backbone}")(weights=None, weights_backbone=None)
        ours = build_detector(Architecture(backbone, 64))

        shapes, own = (
            {name: value.shape for name, value in network.state_dict().items()}
            for network in (theirs, ours)
        )
        assert shapes.keys() == own.keys()
        other = {name for name in own if own[name] != shapes[name]}
        heads = ("rpn.head.cls_logits", "rpn.head.bbox_pred", "roi_heads.box_predictor")
        assert all(name.startswith(heads) for name in other)
        assert all(parameter.requires_grad for parameter in ours.parameters())

    def test_coco_weights_go_everywhere_but_into_the_heads(self, tmp_path: Path) -> None:
        import torch
        from safetensors.torch import save_file
        from torchvision.models.detection import fasterrcnn_mobilenet_v3_large_320_fpn as build

        from rhoa.hips.detector import Architecture, build_detector

        theirs = build(weights=None, weights_backbone=None).state_dict()
        file = tmp_path / "coco.safetensors"
        save_file(theirs, file)

        architecture = Architecture("mobilenet_v3_large_320_fpn", 64)
        ours = build_detector(architecture, weights=file).state_dict()
        fresh = build_detector(architecture).state_dict()

        heads = ("rpn.head.cls_logits", "rpn.head.bbox_pred", "roi_heads.box_predictor")
        for name, value in ours.items():
            source = fresh if name.startswith(heads) else theirs
            assert torch.equal(value, source[name]), name

    @pytest.mark.parametrize(
        ("backbone", "classifier"),
        [
            ("mobilenet_v3_large_fpn", "mobilenet_v3_large"),
            ("mobilenet_v3_large_320_fpn", "mobilenet_v3_large"),
            ("alexnet", "alexnet"),
        ],
    )
    def test_weights_of_a_classifier_go_into_the_backbone(
        self, tmp_path: Path, backbone: str, classifier: str
    ) -> None:
        """Its first convolution is theirs, what comes after the backbone is not."""
        import torch
        from torchvision import models

        from rhoa.hips.detector import Architecture, build_detector

        theirs = getattr(models, classifier)(weights=None).state_dict()
        for name in theirs:  # of its last layers, most of the file, nothing is taken
            theirs[name] = theirs[name][:1].clone() if "classifier" in name else theirs[name]
        torch.save(theirs, tmp_path / "imagenet.pth")
        architecture = Architecture(backbone, 64)  # type: ignore[arg-type]

        ours = build_detector(architecture, weights=tmp_path / "imagenet.pth").state_dict()
        fresh = build_detector(architecture).state_dict()

        body = next(name for name in ours if name.startswith("backbone.") and ours[name].ndim == 4)
        assert torch.equal(ours[body], theirs[next(iter(theirs))])
        assert not torch.equal(ours[body], fresh[body])
        last = "roi_heads.box_predictor.cls_score.weight"
        assert torch.equal(ours[last], fresh[last])

    def test_weights_of_another_network_or_none_are_refused(self, tmp_path: Path) -> None:
        import torch
        from torchvision import models

        from rhoa.hips.detector import Architecture, build_detector

        file = tmp_path / "resnet.pth"
        torch.save(models.resnet18(weights=None).state_dict(), file)
        with pytest.raises(
            WeightsError, match=r"resnet\.pth: [0-9]+ of [0-9]+ tensors are missing"
        ):
            build_detector(Architecture(SMALL, 64), weights=file)
        with pytest.raises(WeightsError, match=r"none\.pth: no such weights file"):
            build_detector(Architecture(SMALL, 64), weights=tmp_path / "none.pth")
        file.write_bytes(b"cos\nsystem\n(S'true'\ntR.")
        with pytest.raises(WeightsError, match=r"resnet\.pth: not a state dict"):
            build_detector(Architecture(SMALL, 64), weights=file)


class TestSecondLooks:
    def test_a_pale_or_dark_half_is_looked_at_again(self) -> None:
        """A network that is sure between levels of 100 and 150 alone, as trained ones are."""
        import torch

        from rhoa.hips.detector import Architecture, HipDetector

        seen: list[float] = []

        class Narrow(torch.nn.Module):
            def forward(self, images: list[torch.Tensor]) -> list[dict[str, torch.Tensor]]:
                seen.append(255 * float(images[0].mean()))
                score = 0.9 if 100 < seen[-1] < 150 else 0.1
                return [{"boxes": torch.tensor([[1.0, 2, 3, 4]]), "scores": torch.tensor([score])}]

        detector = HipDetector(Narrow(), Architecture(SMALL, 128), {}, torch.device("cpu"))

        for level, looks in ((120, 1), (170, 2), (80, 3), (250, 3)):
            seen.clear()
            (box,) = detector.candidates(np.full((90, 64), level, np.uint8))
            assert len(seen) == looks
            assert box.confidence == pytest.approx(0.1 if level == 250 else 0.9)
            assert (box.left, box.top) == (1, 2)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from rhoa.hips.detector import Architecture, HipDetector

    detector = HipDetector.untrained(Architecture(SMALL, 64))
    return detector.save(tmp_path_factory.mktemp("saved") / "run")


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A copy of it, which a test may change."""
    return shutil.copytree(saved, tmp_path / "run")


class TestFiles:
    def test_what_is_saved_finds_the_same(self, tmp_path: Path) -> None:
        from rhoa.hips.detector import Architecture, HipDetector

        image = np.random.default_rng(0).random((90, 140))
        first = HipDetector.untrained(Architecture("alexnet", 64, (20, 30), (0.9, 1.1)), seed=7)
        first.save(tmp_path)

        second = HipDetector.load(tmp_path, device="cpu")
        card = json.loads((tmp_path / "detector.json").read_text())

        assert second.architecture == first.architecture
        assert second.notes == {"seed": 7}
        assert second.detect(image) == first.detect(image)
        assert card["versions"]["rhoa"] == rhoa.__version__
        assert card["architecture"]["image_size"] == 64

    def test_weights_that_are_absent_or_damaged_are_refused(
        self, folder: Path, tmp_path: Path
    ) -> None:
        from rhoa.hips.detector import HipDetector

        weights = folder / "detector.safetensors"
        weights.write_bytes(weights.read_bytes()[:-1] + b"\xff")

        with pytest.raises(WeightsError, match="sha256 differs"):
            HipDetector.load(folder)
        weights.unlink()
        with pytest.raises(WeightsError, match=r"run: no detector\.safetensors"):
            HipDetector.load(folder)
        with pytest.raises(WeightsError, match=r"no detector\.json"):
            HipDetector.load(tmp_path)

    def test_weights_of_another_network_are_refused(self, folder: Path) -> None:
        """A card that tells another backbone, number of anchors, or tensors than the weights."""
        from safetensors.torch import load_file, save_file

        from rhoa.hips.detector import HipDetector

        weights = folder / "detector.safetensors"
        card = json.loads((folder / "detector.json").read_text())

        def write(**architecture: object) -> None:
            digest = hashlib.sha256(weights.read_bytes()).hexdigest()
            told = card["architecture"] | architecture
            text = json.dumps(card | {"architecture": told, "weights_sha256": digest})
            (folder / "detector.json").write_text(text)

        write(backbone="alexnet")
        with pytest.raises(WeightsError, match="run: [0-9]+ tensors are missing"):
            HipDetector.load(folder)
        write(anchors_px=[20])
        with pytest.raises(WeightsError, match="run: 4 tensors are misshapen .first: rpn.head"):
            HipDetector.load(folder)
        save_file(
            load_file(weights) | {"more": load_file(weights)["roi_heads.box_head.fc6.bias"]},
            weights,
        )
        write()
        with pytest.raises(WeightsError, match="1 tensors are unknown .first: more"):
            HipDetector.load(folder)
        weights.write_bytes(b"not safetensors")
        write()
        with pytest.raises(WeightsError, match="not a safetensors file"):
            HipDetector.load(folder)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"architecture": None}, "lacks architecture"),
            ({"architecture": {"backbone": "alexnet"}}, "its architecture must tell anchors_px"),
            ({"weights_sha256": 7}, "lacks weights_sha256"),
            ({"normalisation": {"mean": [0, 0, 0], "std": [1, 1, 1]}}, "its normalisation"),
        ],
    )
    def test_a_damaged_card_is_refused(
        self, folder: Path, change: dict[str, object], message: str
    ) -> None:
        from rhoa.hips.detector import HipDetector

        card = json.loads((folder / "detector.json").read_text())
        (folder / "detector.json").write_text(json.dumps(card | change))

        with pytest.raises(WeightsError, match=f"run/detector.json: {message}"):
            HipDetector.load(folder)
