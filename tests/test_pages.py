"""Every page's code runs, its commands are those that exist, and its lists are complete."""

from __future__ import annotations

import csv
import json
import re
import tomllib
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from unittest.mock import create_autospec

import numpy as np
import pytest

import rhoa
from rhoa import cli
from rhoa.phantom import Anatomy, Phantom, ct, write_dicom
from rhoa.raster import encode_png
from tests.pages import (
    NAMES,
    PAGES,
    ROOT,
    blocks,
    commands,
    help_of,
    inline_commands,
    objection,
)
from tests.test_cli import VERBS
from tests.test_house import ROOMS

API = "".join(page.read_text(encoding="utf-8") for page in sorted(ROOT.glob("docs/api/*.rst")))
LANGUAGES = {"", "sh", "python", "json", "toml", "{toctree}", "{rhoa-help}"}
ELSEWHERE = {
    "README.md": "tests/test_docs.py",
    "docs/evaluation.md": "tests/test_docs.py",
    "docs/studies.md": "tests/cohort/test_studies.py",
}
"""Pages whose Python is run by tests of their own."""


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return ct(Anatomy.random(6), spacing_mm=(4, 3, 3), angles=(4, 0, 0))


def a_patient(folder: Path, phantom: Phantom) -> None:
    """A scan and its landmarks, as the pages call them."""
    write_dicom(phantom.volume, folder / "patient" / "ct")
    phantom.landmarks.to_json(folder / "patient" / "landmarks.json")


def a_manifest(folder: Path) -> None:
    """A table of one hip, for what only passes it on."""
    folder.mkdir()
    (folder / "hip.png").write_bytes(encode_png(np.eye(8, dtype=np.uint8)))
    (folder / "manifest.csv").write_text(
        "image,subject,side,source,kl,visit,label\nhip.png,1,left,ct,2,,1\n"
    )


def run(page: str, names: dict[str, object]) -> str:
    """What the page's Python prints, with these names known to it."""
    said = StringIO()
    with warnings.catch_warnings(), redirect_stdout(said):
        warnings.simplefilter("ignore", rhoa.RhoaWarning)  # coarse voxels
        for block in blocks(page, "python"):
            exec(compile(block.text, page, "exec"), names)  # noqa: S102  # our own pages
    return said.getvalue()


class TestCommands:
    @pytest.mark.torch
    @pytest.mark.parametrize("page", NAMES)
    def test_every_command_of_a_block_would_run_as_printed(self, page: str) -> None:
        """By the parsers of rhoa and torchrun; files, extras and options of scripts exist."""
        shown = [command for block in blocks(page, "sh") for command in commands(block.text)]

        assert {" ".join(command): objection(command) for command in shown} == {
            " ".join(command): "" for command in shown
        }

    @pytest.mark.parametrize("page", NAMES)
    def test_every_command_in_a_sentence_has_a_verb_and_options_that_exist(self, page: str) -> None:
        for _, verb, *words in inline_commands(page):
            if verb == "VERB" or verb.startswith("--"):
                continue
            assert help_of(verb), verb
            for option in (word for word in words if word.startswith("-")):
                assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", help_of(verb)), option

    @pytest.mark.parametrize(
        ("line", "says"),
        [
            ("rhoa hips scan -o out --sideways", "unrecognized arguments: --sideways"),
            ("rhoa hips scan && rhoa bench", "required: -o/--out"),
            ("rhoa chop scan", "invalid choice: 'chop'"),
            ("pip install '.[everything]'", "no extra everything"),
            ("python benches/pose.py --slowly", "no option --slowly"),
            ("python -m pytest tests/test_nothing.py", "there is no tests/test_nothing.py"),
            ("curl -O weights", "no program"),
        ],
    )
    def test_a_command_that_does_not_exist_is_told(self, line: str, says: str) -> None:
        assert any(says in objection(command) for command in commands(line))

    def test_the_page_of_commands_shows_each(self) -> None:
        shown = re.findall(r"```\{rhoa-help\} ([\w-]+)", (ROOT / "docs/commands.md").read_text())

        assert sorted(shown) == sorted(VERBS)


class TestPython:
    @pytest.mark.parametrize("page", NAMES)
    def test_every_block_is_of_a_language_that_is_checked(self, page: str) -> None:
        assert {block.language for block in blocks(page)} <= LANGUAGES
        for block in blocks(page, "json"):
            json.loads(block.text)
        for block in blocks(page, "toml"):
            tomllib.loads(block.text)

    def test_every_page_with_python_is_run_by_a_test(self) -> None:
        here = Path(__file__).read_text(encoding="utf-8")
        for page in NAMES:
            if blocks(page, "python"):
                source = (ROOT / ELSEWHERE[page]).read_text() if page in ELSEWHERE else here
                assert Path(page).name in source, page

    def test_landmarks(self, phantom: Phantom, chdir: Path) -> None:
        a_patient(chdir, phantom)

        said = run("docs/how-to/landmarks.md", {"mask": phantom.labels})

        assert "frozenset()" in said  # the points that the page invents are those of a pelvis
        (file,) = blocks("docs/how-to/landmarks.md", "json")
        Path("printed.json").write_text(file.text)
        printed = rhoa.Landmarks.from_json("printed.json")
        written = rhoa.Landmarks.from_json("landmarks.json")
        assert not rhoa.pose.from_landmarks(printed).flags
        assert not rhoa.pose.from_landmarks(written).flags

    @pytest.mark.usefixtures("chdir")
    def test_pseudonyms(self) -> None:
        names: dict[str, object] = {}

        run("docs/privacy.md", names)

        assert names["names"].of("4711").startswith("P-")

    def test_boxes(self, phantom: Phantom, chdir: Path) -> None:
        a_patient(chdir, phantom)
        names: dict[str, object] = {}

        run("docs/how-to/boxes.md", names)

        assert names["crop"].shape == (100, 100)

    def test_geometry(self) -> None:
        names: dict[str, object] = {}

        said = run("docs/geometry.md", names)

        assert said.startswith("tilt +14.0, obliquity +4.0, rotation -5.0 deg")
        assert (names["x"], names["z"]) == pytest.approx((0, 0))

    @pytest.mark.usefixtures("chdir")
    def test_a_reader_check(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The defect that the page makes up is written, and read with a warning."""
        from rhoa.testing.synthetic import CATALOGUE, Draft, VoxelGrid

        monkeypatch.setitem(CATALOGUE, "lossy-flag", CATALOGUE["lossy"])  # and out again
        names: dict[str, object] = {"Grid": VoxelGrid, "Draft": Draft}

        said = run("docs/how-to/reader-check.md", names)

        (says,) = re.findall(r"# (error .*)", (ROOT / "docs/how-to/reader-check.md").read_text())
        assert said.strip() == says
        assert CATALOGUE["lossy-flag"].verdict == "warn"
        monkeypatch.setattr("rhoa.testing.series.DEFECTS", {"lossy-flag": "as the page says"})
        with pytest.warns(rhoa.RhoaWarning, match="compressed with loss"):
            rhoa.read_ct(rhoa.testing.make_series("lossy", defect="lossy-flag").path)

    @pytest.mark.torch
    @pytest.mark.parametrize(
        ("page", "runs"), [("docs/training.md", 3), ("docs/how-to/recipe.md", 1)]
    )
    def test_training_is_asked_for_with_arguments_that_exist(
        self, page: str, runs: int, chdir: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """`rhoa.train` itself is not run: its signature checks the calls."""
        train = create_autospec(rhoa.train)
        monkeypatch.setattr(rhoa, "train", train)
        a_manifest(chdir / "study")

        run(page, {})

        assert train.call_count == runs
        assert all(isinstance(call.args[1], rhoa.learning.Recipe) for call in train.mock_calls)

    @pytest.mark.torch
    def test_a_study_reads_the_plan_that_has_a_recipe_of_its_own(self, chdir: Path) -> None:
        (plan,) = blocks("docs/how-to/recipe.md", "toml")
        (chdir / "study.toml").write_text(plan.text)

        recipes = rhoa.study.read_plan("study.toml").recipes

        assert [recipe.name for recipe in recipes] == ["model-3", "model-3-small"]
        assert [recipe.image_size for recipe in recipes] == [224, 100]

    @pytest.mark.torch
    @pytest.mark.usefixtures("chdir")
    def test_a_detector(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Training and finding are not run: their signatures check the calls."""
        from rhoa import hips

        image = rhoa.phantom.xray(Anatomy.random(1), pixel_mm=1.0, voxel_mm=3.0)
        rhoa.phantom.write_xray(image, "pelvis.dcm")
        picture = image.radiograph.to_uint8()
        Path("pelvis.png").write_bytes(encode_png(picture))
        boxes = tuple(image.boxes.values())
        labelled = hips.LabelledImage(Path("pelvis.png"), boxes, picture.shape)
        hips.write_coco([labelled], "labels.json")
        trained = create_autospec(hips.train_detector, return_value=_a_detector())
        monkeypatch.setattr(hips, "train_detector", trained, raising=False)
        monkeypatch.setattr(hips.HipDetector, "load", lambda _: _a_detector())

        run("docs/detector.md", {"subjects": ["1"]})

        (examples, options), _ = trained.call_args
        assert [example.box.side for example in examples] == ["left", "left"]
        assert options.epochs == 20

    @pytest.mark.torch
    def test_an_ensemble(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Models are not loaded: their classes check the calls."""
        from rhoa import learning

        models = create_autospec(learning.Ensemble, instance=True)
        models.draws.return_value = create_autospec(learning.Draws, instance=True)
        loaded = create_autospec(learning.load_ensemble, return_value=models)
        monkeypatch.setattr(learning, "load_ensemble", loaded, raising=False)

        run("docs/prediction.md", {"crops": []})

        loaded.assert_called_once()
        models.draws.assert_called_once_with([], views=8)


@pytest.mark.torch
@pytest.mark.usefixtures("chdir")
@pytest.mark.slow
def test_the_tutorial_runs_as_it_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """Its Python, then each of its commands; three of them print what the page says they do."""
    page = "docs/tutorial.md"
    run(page, {})
    said = _said_by_commands(page, capsys, serves=_graded)

    outputs = [_trimmed(block.text) for block in blocks(page, "")]
    (agreed,) = (text for shell, text in said.items() if "--agreement" in shell)
    assert any(output and output in agreed for output in outputs)
    for verb in ("plan-size", "inspect", "split"):
        (out,) = (text for shell, text in said.items() if shell.startswith(f"rhoa {verb}"))
        assert out in outputs
    for line in Path("cohort/scans.csv").read_text().splitlines()[:3]:
        assert any(line in output.splitlines() for output in outputs)
    assert "<html" in Path("report/report.html").read_text(encoding="utf-8")
    assert Path("graded/where.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.usefixtures("chdir")
@pytest.mark.slow
def test_from_pacs_to_crops_runs_as_it_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """Its key, then each of its commands, on one patient and on a folder of two."""
    page = "docs/how-to/pacs.md"
    for n, name in enumerate(("patient/ct", "patients/A", "patients/B")):
        phantom = ct(Anatomy.random(6 + n), spacing_mm=(4, 3, 3))
        write_dicom(phantom.volume, name, subject=name[-1], seed=n)
        if n == 0:
            phantom.landmarks.to_json("patient/landmarks.json")
    run(page, {})

    said = _said_by_commands(page, capsys)

    (listed,) = (text for shell, text in said.items() if shell.startswith("rhoa inspect"))
    assert listed in [_trimmed(block.text) for block in blocks(page, "")]
    assert Path("as-scanned/preview.png").is_file()
    assert Path("crops/contact-sheet.html").is_file()
    assert not list(Path("crops").glob("[AB]"))  # pseudonyms
    assert Path("crops-reviewed/boxes.csv").is_file()
    for file in ("one/boxes.png", "corrected/hip-left.png", "crops/hips.csv"):
        assert Path(file).is_file()


def _said_by_commands(
    page: str,
    capsys: pytest.CaptureFixture[str],
    *,
    serves: Callable[[list[str]], bool] = lambda _: False,
) -> dict[str, str]:
    """What each block of commands prints; ``serves`` does the work of those that open a page."""
    said = {}
    for block in blocks(page, "sh"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", rhoa.RhoaWarning)
            for command in commands(block.text):
                assert command[0] == "rhoa"
                assert serves(command) or cli.main(command[1:]) == 0, command
        said[block.text] = _trimmed(capsys.readouterr().out)
    return said


def _graded(command: list[str]) -> bool:
    """Whether a command opens the review, whose reader then grades all hips: ben errs in one."""
    if command[1] != "review" or "--reader" not in command:
        return False
    from rhoa.review import Session, Sitting, read_cohort

    with Path("cohort/scans.csv").open(encoding="utf-8") as table:
        true = {(row["subject"], row["side"]): int(row["kl"]) for row in csv.DictReader(table)}
    reader = command[command.index("--reader") + 1]
    cohort = read_cohort("study")
    session = Session(
        cohort, Sitting(reader=reader, repeat=0.0, adjudicates="--adjudicate" in command)
    )
    hips = [(case, side) for case in cohort for side in ("left", "right")]
    for n, (case, side) in enumerate(hips):
        kl = true[case.name, side]
        if n == 3:
            kl += (1 if kl < 4 else -1) * (reader == "ben")
        elif "--adjudicate" in command:
            continue
        session.act({"do": "grade", "case": case.key, "side": side, "reading": 1, "kl": kl})
    return True


class TestLists:
    @pytest.mark.parametrize(
        "room",
        [
            *("reading", "pose", "hips", "cohort", "learning", "evaluation", "audit"),
            *("phantom", "review", "study", "testing"),
        ],
    )
    def test_the_api_pages_have_every_public_name_of_a_room(self, room: str) -> None:
        module = getattr(__import__(f"rhoa.{room}"), room)
        documented = set(re.findall(r"^\.\. (?:auto|py:)\w+:: (\S+)", API, re.MULTILINE))

        missing = {
            name
            for name in module.__all__
            if not documented & ({f"rhoa.{room}.{name}"} | ({f"rhoa.{name}"} & _short_names()))
        }

        assert not missing

    def test_the_api_pages_have_every_short_name_and_every_error(self) -> None:
        documented = set(re.findall(r"^\.\. (?:auto|py:)\w+:: (\S+)", API, re.MULTILINE))
        errors = {
            f"rhoa.errors.{name}"
            for name, value in vars(rhoa.errors).items()
            if isinstance(value, type) and value.__module__ == "rhoa.errors"
        }
        rooms = {"audit", "cohort", "errors", "hips", "phantom", "pose", "testing", "__version__"}

        assert errors <= documented
        told = {f"rhoa.{name}" for name in set(rhoa.__all__) - rooms}
        assert told - documented == {"rhoa.RhoaError", "rhoa.RhoaWarning"}  # as rhoa.errors

    def test_the_architecture_page_lists_the_rooms_in_their_order(self) -> None:
        page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
        table = page.partition("| Room |")[2].partition("\n\n")[0]

        assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == ROOMS

    @pytest.mark.parametrize("page", NAMES)
    def test_links_to_files_lead_somewhere(self, page: str) -> None:
        text = (ROOT / page).read_text(encoding="utf-8")
        for link in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
            if not link.startswith(("http", "mailto")):
                assert ((ROOT / page).parent / link).exists(), link

    def test_every_page_is_in_a_table_of_contents(self) -> None:
        listed = {"docs/index.md"}
        for page in (*PAGES, ROOT / "docs/api/index.rst"):
            text = page.read_text(encoding="utf-8")
            trees = re.findall(r"```\{toctree\}\n(.*?)```", text, re.DOTALL)
            for name in re.findall(r"^(?:.*<)?([\w./-]+)>?$", "\n".join(trees), re.MULTILINE):
                listed.add(str((page.parent / f"{name}.md").resolve().relative_to(ROOT)))

        assert {name for name in NAMES if name.startswith("docs/")} <= listed


@pytest.mark.slow
@pytest.mark.torch
def test_the_pictures_of_the_pages_can_be_drawn_again(tmp_path: Path) -> None:
    """At a coarse size, with the same shape as those that are kept."""
    names: dict[str, Callable[..., None]] = {"__name__": "figures"}
    source = (ROOT / "docs" / "figures.py").read_text(encoding="utf-8")
    exec(compile(source, "figures.py", "exec"), names)  # noqa: S102  # our own script

    names["draw"](tmp_path, 5.0)

    for kept in (ROOT / "docs" / "figures").glob("*.png"):
        assert (tmp_path / kept.name).read_bytes()[:24] == kept.read_bytes()[:24]  # IHDR: its size


@pytest.fixture
def chdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _trimmed(text: str) -> str:
    """Without spaces at the ends of lines, nor empty lines around."""
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def _short_names() -> set[str]:
    return {f"rhoa.{name}" for name in rhoa.__all__}


def _a_detector() -> object:
    from rhoa.hips import HipDetector

    detector = create_autospec(HipDetector, instance=True)
    detector.notes = {"test": None}
    return detector
