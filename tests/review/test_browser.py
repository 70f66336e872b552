"""The whole path in a real browser: found, corrected, graded, killed, restarted, read back."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from typing import TYPE_CHECKING

import pytest

import rhoa
from rhoa.hips.contact_sheet import sheet
from rhoa.review import journals_in, read_cohort
from rhoa.review.events import Boxed, Graded, Judged, Posed
from tests.review.cohorts import PATIENT, make_cohort, make_manifest
from tests.review.serving import served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Locator, Page, Route

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
if CHROMIUM is None:
    pytest.skip("there is no Chromium: apt-get install chromium", allow_module_level=True)
pytest.importorskip("uvicorn", reason="the page needs extra review")

FLAGGED = 5
GRADES = [0, 2, 3, 4, 1, 0, 2, 2, 0, 3, 4, 0, 2, 0, 1, 3, 0, 0, 2, 4, 0, 2, 3, 0]


@pytest.fixture
def page() -> Iterator[Page]:
    with sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.set_default_timeout(60_000)
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on(
            "console",
            lambda told: problems.append(told.text) if "Content Security" in told.text else None,
        )
        yield page
        browser.close()
        assert problems == []


def pixels(page: Page, stage: int) -> str:
    """What the canvas of a stage shows, as text."""
    return page.evaluate("n => document.querySelectorAll('.stage canvas')[n].toDataURL()", stage)


def drag(page: Page, element: Locator, across: int, down: int) -> None:
    box = element.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + across / 2, y + down / 2)
    page.mouse.move(x + across, y + down)
    page.mouse.up()


def until(page: Page, what: str) -> None:
    """Wait until an expression of the page is true; its policy forbids the driver's own way."""
    for _ in range(5000):
        if page.evaluate(what):
            return
        page.wait_for_timeout(20)
    raise AssertionError(what)


def told(page: Page, where: str, text: str) -> None:
    until(page, f"document.getElementById('{where}').textContent.includes('{text}')")


def saved(page: Page) -> None:
    told(page, "status", "saved")
    page.evaluate("document.getElementById('status').textContent = ''")


def correct_the_flagged_pose(page: Page) -> None:
    page.keyboard.press("f")
    cards = page.locator(".card")
    assert cards.count() == 1
    assert cards.first.get_attribute("data-case") == str(FLAGGED)
    cards.first.get_by_role("button", name="Pose").click()
    page.wait_for_selector(f".stage[data-case='{FLAGGED}']")
    assert page.get_by_text("pose not used").is_visible()
    for stage in (0, 1):
        if stage == 1:
            page.wait_for_selector(".stage:nth-child(2) .grip", state="attached")
        before, remade = (
            pixels(page, 0),
            page.evaluate("Number(document.querySelector('.stage').dataset.remade ?? 0)"),
        )
        point = page.locator(".stage").nth(stage).locator(".grip[data-point=asis_left]")
        drag(page, point, *((0, -24) if stage == 0 else (30, 0)))
        until(page, f"Number(document.querySelector('.stage').dataset.remade) > {remade}")
        saved(page)
        assert pixels(page, 0) != before
    page.keyboard.press("a")
    saved(page)


def correct_a_box(page: Page) -> None:
    page.evaluate("location.hash = 'boxes/1'")
    page.wait_for_selector("rect.box.left.chosen")
    drag(page, page.locator("rect.box.left.movable"), 30, 12)
    saved(page)
    page.keyboard.press("m")
    saved(page)
    page.keyboard.press("a")
    saved(page)


def grade(page: Page, first: int, grades: list[int]) -> None:
    for number, kl in enumerate(grades, first):
        page.wait_for_selector(f".stage[data-hip='{number}']")
        page.keyboard.press(str(kl))
        saved(page)


def review_until_killed(page: Page, folder: Path, options: tuple[str, ...]) -> None:
    with served(folder, *options) as server:
        page.goto(server.address)
        page.wait_for_selector(".card img")
        assert page.url == f"http://127.0.0.1:{server.port}/"
        correct_the_flagged_pose(page)
        correct_a_box(page)
        page.keyboard.press("g")
        grade(page, 0, GRADES[:12])
        server.kill()
        page.keyboard.press("4")
        page.wait_for_selector("#status.wrong")
        told(page, "status", "does not answer")


def review_the_rest(page: Page, folder: Path, options: tuple[str, ...]) -> list[dict[str, str]]:
    """The hips in the order in which they were graded."""
    with served(folder, *options) as server:
        page.goto(server.address)
        page.wait_for_selector(".card")
        told(page, "progress", "12 of 24 graded")
        page.keyboard.press("g")
        grade(page, 12, GRADES[12:23])
        page.wait_for_selector(".stage[data-hip='23']")
        page.keyboard.press("x")
        page.get_by_role("button", name="prosthesis").click()
        told(page, "progress", "24 of 24 graded")
        page.keyboard.press("u")
        told(page, "progress", "23 of 24 graded")
        until(page, "document.querySelector('[aria-pressed=true]') === null")
        page.keyboard.press(str(GRADES[23]))
        told(page, "progress", "24 of 24 graded")
        assert PATIENT not in page.content()
        page.get_by_role("button", name="Export").click()
        told(page, "status", "written")
        order = page.evaluate("fetch('/api/cohort').then(r => r.json()).then(c => c.order)")
    assert PATIENT not in "".join(server.told)
    return order


def test_a_reader_reviews_a_cohort_and_what_was_made_is_read_back(
    page: Page, tmp_path: Path
) -> None:
    folder, scans = make_cohort(tmp_path, patients=12, flagged=FLAGGED)
    options = ("--scans", str(scans), "--reader", "anna", "--repeat", "0", "--seed", "7")

    review_until_killed(page, folder, options)
    order = review_the_rest(page, folder, options)

    actions = [entry.action for entry in journals_in(folder / "review")["anna"]]
    counts = Counter(type(action) for action in actions)
    assert (counts[Graded], counts[Posed], counts[Boxed]) == (25, 2, 2)
    assert [one.verdict for one in actions if isinstance(one, Judged)] == ["accepted"]
    cohort = read_cohort(folder)
    names = {case.key: case.name for case in cohort}
    manifest = rhoa.cohort.read(folder / "review" / "anna" / "manifest.csv")
    assert {(hip.subject, hip.side): hip.kl for hip in manifest} == {
        (names[one["case"]], one["side"]): kl for one, kl in zip(order, GRADES, strict=True)
    }
    (moved,) = (folder / "review" / "anna" / "landmarks").glob(f"*-{FLAGGED:02d}-*.json")
    away = (
        rhoa.Landmarks.from_json(moved).asis_left
        - cohort.cases[FLAGGED - 1].found.landmarks.asis_left
    )
    assert away[2] > 5  # up, in the front view
    assert away[1] > 5  # back, in the side view
    assert {hip.partition for hip in manifest.split(seed=3)} == {"train", "val", "test"}


def test_what_files_say_of_a_case_is_text_on_the_page(page: Page, tmp_path: Path) -> None:
    """Flags and refusals come from files that anyone may have written."""
    hostile = "<img src=x onerror=alert(1)></span><script>alert(1)</script>\"'&lt;"
    folder, _ = make_cohort(tmp_path, patients=1)
    (place,) = (file.parent for file in folder.glob("*/boxes.json"))
    rows = json.loads((place / "boxes.json").read_text())
    rows[0] |= {"refused": f"refusal {hostile}", "flags": [f"mark {hostile}"]}
    (place / "boxes.json").write_text(json.dumps(rows))
    pose = json.loads((place / "pose.json").read_text())
    (place / "pose.json").write_text(json.dumps(pose | {"flags": [f"flag {hostile}"]}))

    with served(folder, "--reader", "anna") as server:
        page.goto(server.address)
        page.wait_for_selector(".card")
        texts = page.evaluate("document.querySelector('.overview').innerText")
        parts = page.evaluate("[...document.querySelectorAll('[onerror], img[src=x]')].length")

    assert parts == 0
    for name in ("refusal", "mark", "flag"):
        assert f"{name} {hostile}" in texts


def test_a_hip_is_zoomed_measured_inverted_and_windowed(page: Page, tmp_path: Path) -> None:
    """The ruler against the box of the hip in the image, whose size in mm is known."""
    folder, _ = make_cohort(tmp_path, patients=1)
    (case,) = read_cohort(folder)
    image = rhoa.Radiograph.load(case.image)
    box = case.found.boxes["left"]

    with served(folder, "--reader", "anna", "--repeat", "0") as server:
        page.goto(server.address)
        page.wait_for_selector(".card")
        order = page.evaluate("fetch('/api/cohort').then(r => r.json()).then(c => c.order)")
        page.keyboard.press("g")
        page.wait_for_selector(".stage[data-hip='0']")
        if order[0]["side"] == "right":
            page.keyboard.press("ArrowRight")
            page.wait_for_selector(".stage[data-hip='1']")
        stage = page.locator(".work > .stage")
        place = stage.bounding_box()
        middle = (place["x"] + place["width"] / 2, place["y"] + place["height"] / 2)
        page.mouse.move(*middle)
        bar = stage.locator(".bar")
        mm_a_px = int(bar.get_attribute("data-mm")) / bar.bounding_box()["width"]
        page.mouse.wheel(0, -600)
        until(page, "document.querySelector('.work > .stage canvas').style.width !== '100%'")
        page.keyboard.press("d")
        canvas = stage.locator("canvas").first.bounding_box()
        page.mouse.move(*middle)
        page.mouse.down()
        page.mouse.move(middle[0] + 150, middle[1])
        page.mouse.up()
        length = float(stage.locator(".length").inner_text().split()[0])
        side_px = min(canvas["width"], canvas["height"])  # the square hip, as zoomed
        truth = 150 / side_px * box.height * image.pixel_mm[0]
        assert length == pytest.approx(truth, rel=0.01)
        zoomed_bar = int(bar.get_attribute("data-mm")) / bar.bounding_box()["width"]
        assert zoomed_bar * 150 == pytest.approx(truth, rel=0.02)
        assert zoomed_bar < mm_a_px / 1.5
        before = pixels(page, 0)
        page.keyboard.press("i")
        assert pixels(page, 0) != before
        page.keyboard.press("i")
        assert pixels(page, 0) == before
        page.keyboard.press("v")
        page.keyboard.press("v")
        assert pixels(page, 0) != before
        page.keyboard.press("w")
        until(page, "document.querySelector('.work > .stage canvas').style.width === '100%'")
        assert stage.locator(".end.right").inner_text() == "L"


def test_notes_and_features_without_a_grade_survive_a_reload(page: Page, tmp_path: Path) -> None:
    folder, _ = make_cohort(tmp_path, patients=1)

    with served(folder, "--reader", "anna", "--repeat", "0") as server:
        page.goto(server.address)
        page.wait_for_selector(".card")
        page.keyboard.press("g")
        page.wait_for_selector(".stage[data-hip='0']")
        page.keyboard.press("n")
        page.keyboard.type("a faint line")
        saved(page)
        page.keyboard.press("Escape")
        page.keyboard.press("t")
        page.keyboard.press("+")
        saved(page)
        page.keyboard.press("+")
        saved(page)
        page.reload()
        page.wait_for_selector(".stage[data-hip='0']")
        assert page.locator("textarea").input_value() == "a faint line"
        pressed = page.locator(".feature button[aria-pressed=true]").get_attribute("aria-label")
        assert pressed == "osteophytes superior acetabular: 1 mild"
        assert page.locator(".grades button[aria-pressed=true]").count() == 0
        told(page, "progress", "0 of 2 graded")
        page.wait_for_timeout(400)
        page.keyboard.press("3")
        told(page, "progress", "1 of 2 graded")
    grade = next(one.action for one in journals_in(folder / "review")["anna"]
                 if isinstance(one.action, Graded))  # fmt: skip
    assert 0.3 < grade.seconds < 60


def test_thirty_hips_are_graded_by_keyboard_on_a_page_of_400_px(page: Page, tmp_path: Path) -> None:
    table = make_manifest(tmp_path, 30)
    page.set_viewport_size({"width": 400, "height": 800})

    with served(table, "--reader", "anna", "--repeat", "0") as server:
        page.goto(server.address)
        page.wait_for_selector(".card")
        page.keyboard.press("g")
        for number in range(30):
            page.wait_for_selector(f".stage[data-hip='{number}']")
            page.keyboard.press(str(number % 5))
        told(page, "progress", "30 of 30 graded")
        wide = page.evaluate("document.documentElement.scrollWidth")

    assert wide <= 400
    kls = [entry.action.kl for entry in journals_in(tmp_path / "review")["anna"]
           if isinstance(entry.action, Graded)]  # fmt: skip
    assert kls == [number % 5 for number in range(30)]


def test_what_a_reader_does_is_written_down_and_shown_in_that_order(
    page: Page, tmp_path: Path
) -> None:
    """However long the first request is on its way: a grade, another, an undo, another view."""
    held: list[Route] = []
    page.route("**/api/act", lambda route: route.continue_() if held else held.append(route))

    def let_through() -> None:
        while not held:
            page.wait_for_timeout(20)
        page.wait_for_timeout(300)
        held[0].continue_()

    with served(make_manifest(tmp_path, 3), "--reader", "anna", "--repeat", "0") as server:
        page.goto(server.address)
        page.wait_for_selector(".card")
        page.keyboard.press("g")
        for number, kl in enumerate("13"):
            page.wait_for_selector(f".stage[data-hip='{number}']")
            page.keyboard.press(kl)
        page.wait_for_selector(".stage[data-hip='2']")
        page.keyboard.press("u")
        let_through()
        told(page, "progress", "1 of 3 graded")
        page.wait_for_selector(".stage[data-hip='1']")
        held.clear()
        page.keyboard.press("4")
        page.keyboard.press("o")
        let_through()
        page.wait_for_selector(".card")
        told(page, "progress", "2 of 3 graded")

    done = [entry.action for entry in journals_in(tmp_path / "review")["anna"]][1:]
    assert [getattr(one, "kl", one.do) for one in done] == [1, 3, "undo", 4]


def test_keys_open_the_boxes_of_the_case_that_is_open(page: Page, tmp_path: Path) -> None:
    folder, scans = make_cohort(tmp_path, patients=3)

    with served(folder, "--scans", str(scans), "--reader", "anna") as server:
        page.goto(server.address)
        page.wait_for_selector(".card")
        page.locator(".card[data-case='2']").get_by_role("button", name="Pose").click()
        page.wait_for_selector(".stage[data-case='2']")
        page.keyboard.press("b")
        page.wait_for_selector("rect.box.left.chosen")
        assert page.locator("h2").first.inner_text() == "Case 2"


def test_a_hip_is_drawn_for_each_grade_and_its_joint_space_narrows(
    page: Page, tmp_path: Path
) -> None:
    table = make_manifest(tmp_path, 2)
    with served(table, "--reader", "anna") as server:
        page.goto(server.address)
        page.wait_for_selector(".card")
        page.keyboard.press("g")
        page.wait_for_selector(".stage[data-hip='0']")
        page.keyboard.press("k")
        page.wait_for_selector(".atlas figure:nth-child(5) svg")
        drawn = page.evaluate("""[...document.querySelectorAll(".atlas svg")].map((hip) => {
            const [pelvis, femur] = hip.querySelectorAll(".bone");
            const free = (y) => {
                const point = new DOMPoint(58, y / 10);
                return ![pelvis, femur].some((bone) => bone.isPointInFill(point));
            };
            let high = 600; // from the middle of the socket up, in tenths of a unit
            while (!free(high) && high > 0) high -= 1;
            let space = 0;
            while (free(high - space) && space < 600) space += 1;
            const count = (sign) => hip.querySelectorAll(sign).length;
            return {
                title: hip.querySelector("title").textContent,
                space: space < 600 ? space / 10 : 0,
                signs: [".osteophyte", ".sclerosis", ".cyst"].map(count),
                open: [...hip.querySelectorAll("path:not([d$=Z])")].length,
            };
        })""")

    assert [one["title"][:5] for one in drawn] == [f"KL {kl}:" for kl in range(5)]
    assert not any(one["open"] for one in drawn)
    spaces = [one["space"] for one in drawn]
    assert spaces[0] > 5
    assert spaces[0] > 2 * spaces[3] > 2 * spaces[4]
    assert spaces[4] < 1.5
    signs = [one["signs"] for one in drawn]
    assert signs[0] == [0, 0, 0]
    assert signs == sorted(signs)
    assert all(signs[4])


def test_pages_of_a_dark_screen_are_printed_in_ink_on_white_paper(
    page: Page, tmp_path: Path
) -> None:
    (tmp_path / "sheet.html").write_text(sheet([], title="Hips"), encoding="utf-8")
    look = """[getComputedStyle(document.body).backgroundColor,
               getComputedStyle(document.body).color].map((c) => c.match(/[0-9]+/g).map(Number))"""
    page.emulate_media(color_scheme="dark")

    def printed() -> None:
        page.emulate_media(color_scheme="dark", media="print")
        paper, ink = page.evaluate(look)
        assert min(paper) == 255
        assert max(ink) < 60
        page.emulate_media(color_scheme="dark", media="screen")

    page.goto((tmp_path / "sheet.html").as_uri())
    assert max(page.evaluate(look)[0]) < 60
    printed()
    with served(make_manifest(tmp_path / "crops", 40), "--reader", "anna") as server:
        page.goto(server.address)
        page.wait_for_selector(".card")
        page.evaluate("document.documentElement.dataset.theme = 'dark'")
        printed()
        page.emulate_media(media="print")
        high = page.evaluate("document.body.scrollHeight")
        assert page.evaluate("document.documentElement.scrollHeight") >= high
        assert page.evaluate("document.querySelector('main').scrollHeight") <= high
        assert high > 1000  # more than one page: no case is cut off
