"""The leak audit: copies are found whatever was done to them, other hips are not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import rhoa
from rhoa import evaluation
from rhoa.cohort import Hip, Manifest, leaks, require_no_leaks
from rhoa.cohort.leakage import DISTANCE, likenesses, sketch, strictness
from rhoa.errors import ManifestError
from rhoa.raster import encode_png
from tests.cohort.copies import CHANGES, Picture, changed, hips, texture


@pytest.fixture(scope="module")
def originals() -> list[Picture]:
    """28 hips of 14 digital subjects and 72 textures, all different."""
    return [hip for seed in range(14) for hip in hips(seed)] + [texture(n) for n in range(72)]


def manifest(folder: Path, parts: dict[str, list[Picture]]) -> Manifest:
    """A subject an image."""
    rows = []
    for part, images in parts.items():
        for number, image in enumerate(images):
            file = folder / f"{part}{number}.png"
            file.write_bytes(encode_png(image))
            name = f"Miller-{part}-{number}"
            rows.append(Hip(file, name, "left", "xray", 0, "", 0, part))
    return Manifest(tuple(rows))


def found(firsts: list[Picture], seconds: list[Picture]) -> set[tuple[int, int, bool]]:
    images = [*firsts, *seconds]
    sketches = np.array([sketch(image) for image in images])
    sides = np.array([min(image.shape) for image in images])
    numbers = np.arange(len(sketches))
    pairs = likenesses(sketches, sides, numbers[: len(firsts)], numbers[len(firsts) :])
    return {(pair.first, pair.second - len(firsts), pair.mirrored) for pair in pairs}


@pytest.mark.parametrize("name", CHANGES)
def test_planted_copies_are_found_and_nothing_else(originals: list[Picture], name: str) -> None:
    """Recall of at least 0.95, at most one false pair per 1000 images."""
    copies = [changed(image, CHANGES[name], seed) for seed, image in enumerate(originals)]

    pairs = found(originals, copies)

    planted = {(n, n, "mirrored" in name or name.startswith("all")) for n in range(len(originals))}
    assert len(pairs & planted) >= 0.95 * len(planted)
    assert {pair for pair in pairs if pair[0] != pair[1]} == set()


def test_hips_of_different_subjects_are_no_copies(originals: list[Picture]) -> None:
    firsts, seconds = originals[:14] + originals[28:64], originals[14:28] + originals[64:]

    assert found(firsts, seconds) == set()


@given(st.integers(0, 2**32 - 1), st.booleans())
def test_a_sketch_is_the_same_under_any_rising_change(seed: int, wide: bool) -> None:  # noqa: FBT001
    """On the sketch's own grid, where nothing is resampled; ties stay ties."""
    random = np.random.default_rng(seed)
    levels = random.integers(0, 40, (48, 48))
    table = np.cumsum(random.uniform(0.1, 50 if wide else 2, 40)) - 30

    np.testing.assert_array_equal(sketch(table[levels]), sketch(levels.astype(np.uint8)))


def test_copies_of_large_images_must_be_more_alike() -> None:
    """Noise and compression average out over the pixels of a sketch's pixel; to 150 a side."""
    strict = strictness(np.array([20, 50, 100, 150, 600]))

    assert strict[:2].tolist() == [1, 1]
    assert strict[2] == pytest.approx(2**1.5)
    assert strict[3] == strict[4] == pytest.approx(3**1.5)


def test_images_without_contrast_are_like_nothing() -> None:
    flat = [np.full((30, 30), level, np.uint8) for level in (0, 90)]

    assert found(flat, [*flat, texture(1)]) == set()


def test_each_kind_of_leak_is_told_with_its_lines(tmp_path: Path) -> None:
    a, b, c = (texture(seed) for seed in range(3))
    cohort = manifest(
        tmp_path,
        {
            "train": [a, b, c],
            "val": [texture(3), a],
            "test": [changed(b, CHANGES["compressed"], 0), c[:, ::-1], texture(4)],
        },
    )
    rows = list(cohort.hips)
    rows[7] = replace(rows[7], subject=rows[3].subject)

    result = leaks(Manifest(tuple(rows)))

    assert [(leak.kind, leak.lines) for leak in result] == [
        ("identical", (2, 6)),
        ("copy", (3, 7)),
        ("mirrored copy", (4, 8)),
        ("subject", (5, 9)),
    ]
    assert [leak.partitions for leak in result][1:3] == [("train", "test")] * 2
    assert result.pairs[1].images == (rows[1].image, rows[5].image)
    assert 0 < result.pairs[1].distance < DISTANCE
    assert str(result).splitlines()[0] == "lines 2 and 6 (train and val): identical"
    assert result.as_dict()["images"] == 8
    assert result.as_dict()["leaks"][3] == {
        "kind": "subject",
        "lines": [5, 9],
        "partitions": ["val", "test"],
        "distance": 0.0,
    }


def test_leaks_are_refused_by_line_without_names(tmp_path: Path) -> None:
    cohort = manifest(tmp_path, {"train": [texture(0)] * 12, "test": [texture(0)[:, ::-1]] * 11})

    with pytest.raises(ManifestError, match=r"pairs of rows leak .*; and \d+ more\.") as error:
        require_no_leaks(cohort)

    assert "lines 2 and 14 (train and test): mirrored copy" in str(error.value)
    assert "Miller" not in str(error.value)
    assert ".png" not in str(error.value)


def test_a_person_who_has_looked_at_both_images_has_the_last_word(tmp_path: Path) -> None:
    image = texture(1)
    likely = manifest(
        tmp_path, {"train": [image], "test": [changed(image, CHANGES["mirrored"], 1)]}
    )
    one, both = (
        Manifest(tuple(replace(hip, distinct=n < count) for n, hip in enumerate(likely)))
        for count in (1, 2)
    )

    assert len(leaks(one)) == 1
    assert len(leaks(both)) == 0
    both.write(tmp_path / "manifest.csv")
    assert [hip.distinct for hip in rhoa.cohort.read(tmp_path / "manifest.csv")] == [True, True]


def test_the_same_file_is_a_leak_whatever_somebody_says(tmp_path: Path) -> None:
    twice = manifest(tmp_path, {"train": [texture(1)], "test": [texture(1)]})

    told = leaks(Manifest(tuple(replace(hip, distinct=True) for hip in twice)))

    assert [leak.kind for leak in told] == ["identical"]


def test_copies_within_a_partition_are_no_leak(tmp_path: Path) -> None:
    cohort = manifest(tmp_path, {"train": [texture(0), texture(0)], "val": [texture(1)]})

    result = leaks(cohort)

    assert len(result) == 0
    assert str(result) == "no leaks among 3 images"
    require_no_leaks(cohort)


def test_before_a_split_copies_of_different_subjects_are_told(tmp_path: Path) -> None:
    images = [texture(0), texture(1), texture(0)[:, ::-1], texture(1)]
    cohort = manifest(tmp_path, {"train": images})
    rows = [replace(hip, partition=None) for hip in cohort]
    rows[3] = replace(rows[3], subject=rows[1].subject)

    result = leaks(Manifest(tuple(rows)))

    assert [(leak.kind, leak.lines) for leak in result] == [("mirrored copy", (2, 4))]


def test_hips_without_a_label_are_neither_read_nor_counted(tmp_path: Path) -> None:
    """Lines are those of the whole table all the same."""
    cohort = manifest(tmp_path, {"train": [texture(1), texture(0)], "test": [texture(0)]})
    doubtful = replace(cohort.hips[0], kl=1, label=None, partition=None)
    cohort.hips[0].image.unlink()

    result = leaks(Manifest((doubtful, *cohort.hips[1:])))

    assert result.images == 2
    assert [(leak.kind, leak.lines) for leak in result] == [("identical", (3, 4))]


def test_images_that_cannot_be_read_are_named_by_line(tmp_path: Path) -> None:
    cohort = manifest(tmp_path, {"train": [texture(0)], "test": [texture(1)]})
    cohort.hips[1].image.unlink()

    with pytest.raises(ManifestError, match=r"line 3: the image cannot be read \(No such file"):
        leaks(cohort)
    cohort.hips[1].image.write_bytes(b"not a picture")
    with pytest.raises(ManifestError, match="line 3: the image is no readable picture"):
        leaks(cohort)


def test_pictures_of_other_kinds_are_read(tmp_path: Path) -> None:
    """A JPEG in colours and a 16-bit PNG of one image."""
    cohort = manifest(tmp_path, {"train": [texture(0)], "test": [texture(1)]})
    Image.fromarray(texture(0)).convert("RGB").save(cohort.hips[0].image, "JPEG")
    deep = (texture(0).astype(np.uint16) * 200)[:, ::-1]
    cohort.hips[1].image.write_bytes(encode_png(deep))

    assert [leak.kind for leak in leaks(cohort)] == ["mirrored copy"]


def test_progress_ends_with_all_images(tmp_path: Path) -> None:
    seen: list[tuple[int, int, str]] = []
    cohort = manifest(tmp_path, {"train": [texture(0)], "test": [texture(1)]})

    rhoa.cohort.leaks(cohort, progress=lambda *step: seen.append(step))

    assert seen == [(0, 2, "looking for leaks"), (2, 2, "looking for leaks")]


class TestNothing:
    """A cohort without hips, or without labels: an empty answer or a `rhoa.RhoaError`."""

    @pytest.mark.parametrize(
        "hips_of",
        [(), (Hip(Path("a.png"), "S1", "left", "xray", 1, "", None),)],
        ids=["no hips", "no labels"],
    )
    def test_it_has_no_leaks(self, hips_of: tuple[Hip, ...]) -> None:
        nothing = Manifest(hips_of)

        assert (len(leaks(nothing)), leaks(nothing).images) == (0, 0)
        require_no_leaks(nothing)
        assert nothing.counts() == {}
        assert len(nothing.labelled) == 0

    @pytest.mark.parametrize("ask", [Manifest.split, Manifest.folds, Manifest.balance])
    def test_it_cannot_be_split(self, ask: Callable[[Manifest], object]) -> None:
        with pytest.raises(ManifestError):
            ask(Manifest(()))

    @pytest.mark.parametrize(
        "ask",
        [
            evaluation.evaluate,
            evaluation.choose_threshold,
            evaluation.decision_curve,
            evaluation.fit_temperature,
            evaluation.reliability,
            lambda labels, scores: evaluation.compare(labels, scores, scores),
            lambda labels, groups: rhoa.cohort.split(labels, groups=groups),
            lambda labels, groups: rhoa.cohort.folds(labels, groups=groups),
        ],
    )
    def test_nothing_can_be_measured_on_it(
        self, ask: Callable[[list[int], list[int]], object]
    ) -> None:
        with pytest.raises(rhoa.RhoaError, match=r"labels"):
            ask([], [])
