"""Who is let in, and what is refused with which status; nothing that is refused is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.review.cohorts import PATIENT
from tests.review.serving import Served, served

if TYPE_CHECKING:
    from collections.abc import Iterator

for library in ("starlette", "uvicorn"):
    pytest.importorskip(library, reason="the page needs extra review")

FOREIGN = "http://evil.example"


@pytest.fixture(scope="module")
def server(made: tuple[Path, Path]) -> Iterator[Served]:
    with served(made[0], "--scans", str(made[1]), "--reader", "anna") as running:
        running.enter()
        yield running


@pytest.fixture
def untouched(made: tuple[Path, Path]) -> Iterator[None]:
    """Nothing in the folder may be another after the test."""

    def state() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in made[0].parent.rglob("*") if path.is_file()}

    before = state()
    yield
    assert state() == before


def first_case(server: Served) -> str:
    return server.get("cohort")["cases"][0]["key"]


def grade(server: Served) -> bytes:
    told = {"do": "grade", "case": first_case(server), "side": "left", "reading": 1, "kl": 2}
    return json.dumps(told).encode()


def test_every_file_of_the_page_is_served_with_a_strict_policy(server: Served) -> None:
    status, headers, page = server.request("GET", "/")

    assert status == 200
    assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"
    assert b'<script type="module" src="/page/main.js">' in page
    assert b"http://" not in page
    for name, kind in (("main.js", "text/javascript"), ("style.css", "text/css")):
        status, headers, _ = server.request("GET", f"/page/{name}")
        assert (status, headers["content-type"].split(";")[0]) == (200, kind)


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    "path",
    [
        "/page/../server.py",
        "/page/..%2fserver.py",
        "/page/%2e%2e/server.py",
        "/page/main.js/../../server.py",
        "/../../../../etc/passwd",
        "/api/cases/..%2f..%2fetc%2fpasswd",
        "/api/cases/../cohort",
        "/api/cases/%2e%2e",
        "/api/cases/0000000000000000",
        "/api/cases/0000000000000000/image",
        "/hips.csv",
        "/review/anna.jsonl",
    ],
)
def test_no_other_path_leads_anywhere(server: Served, path: str) -> None:
    status, _, body = server.request("GET", path)

    assert status == 404
    assert PATIENT.encode() not in body


@pytest.mark.usefixtures("untouched")
def test_without_the_cookie_or_with_another_nothing_is_told(server: Served) -> None:
    for cookie in ("", "rhoa_review=guess", "rhoa_review="):
        for method, path in (("GET", "/"), ("GET", "/api/cohort"), ("POST", "/api/act")):
            status, headers, body = server.request(method, path, grade(server), Cookie=cookie)
            assert status == 403
            assert body == b"rhoa review: open the address that the terminal shows.\n"
            assert "content-security-policy" in headers


def test_a_token_opens_the_page_once(made: tuple[Path, Path]) -> None:
    with served(made[0], "--reader", "ben") as server:
        assert server.request("GET", "/?token=wrong")[0] == 403

        status, headers, _ = server.request("GET", f"/?token={server.token}")

        assert (status, headers["location"]) == (303, "/")
        cookie = headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert server.token not in headers["set-cookie"]
        assert server.request("GET", f"/?token={server.token}")[0] == 403
    again = "".join(server.told[1:])
    assert again.count("/?token=") == 2  # the first, and one for the next browser
    assert PATIENT not in again


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": FOREIGN}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),
        ({"Host": "evil.example"}, 421),
        ({"Host": "127.0.0.1:1"}, 421),
        ({"Content_Type": "text/plain"}, 415),
        ({"Content_Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content_Type": ""}, 415),
    ],
)
def test_what_another_site_could_send_is_refused(
    server: Served, headers: dict[str, str], status: int
) -> None:
    for path in ("/api/act", "/api/undo", "/api/export", "/api/preview"):
        assert server.request("POST", path, grade(server), **headers)[0] == status


@pytest.mark.usefixtures("untouched")
def test_reads_from_another_site_are_refused(server: Served) -> None:
    assert server.request("GET", "/api/cohort", Origin=FOREIGN)[0] == 403
    assert server.request("GET", "/api/cohort", Sec_Fetch_Site="cross-site")[0] == 403
    assert server.request("GET", "/api/cohort", Host="evil.example")[0] == 421


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b" " * 70_000, 413),
        (b'{"notes": "' + b"x" * 70_000 + b'"}', 413),
        (b"", 400),
        (b"{", 400),
        (b"[]", 400),
        (b"null", 400),
        (b"\xff\xfe", 400),
        (b"[" * 60_000, 400),
        (b'{"do": "delete"}', 422),
        (b'{"do": "undo", "line": 1}', 422),
        (b'{"do": "start", "seed": 1, "repeat": 0.1}', 422),
        (b'{"do": "accept boxes", "case": "0000000000000000"}', 422),
        (
            b'{"do": "grade", "case": "0000000000000000", "side": "left", "reading": 1, "kl": 9}',
            422,
        ),
    ],
)
def test_bodies_that_make_no_sense_are_refused(server: Served, body: bytes, status: int) -> None:
    assert server.request("POST", "/api/act", body)[0] == status


@pytest.mark.usefixtures("untouched")
def test_other_methods_are_refused(server: Served) -> None:
    assert server.request("GET", "/api/act")[0] == 405
    assert server.request("POST", "/api/cohort", b"{}")[0] == 405
    assert server.request("PUT", "/api/act", b"{}")[0] == 405
    assert server.request("DELETE", "/", b"{}")[0] == 405


@pytest.mark.usefixtures("untouched")
def test_only_this_machine_is_listened_on(server: Served) -> None:
    sockets = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    listening = [one[1] for one in sockets if one[3] == "0A"]  # TCP_LISTEN

    assert f"0100007F:{server.port:04X}" in listening
    assert not [one for one in listening if one == f"00000000:{server.port:04X}"]


def test_an_action_is_in_the_journal_when_it_is_confirmed(
    server: Served, made: tuple[Path, Path]
) -> None:
    status, told = server.post("act", json.loads(grade(server)))

    assert (status, told["case"]["grades"]) == (200, {"left": 2})
    last = (made[0] / "review" / "anna.jsonl").read_text().splitlines()[-1]
    assert json.loads(last)["kl"] == 2
    status, told = server.post("undo", {"kind": "grade"})
    assert (status, told["case"]["grades"]) == (200, {})
    assert server.post("undo", {"kind": "grade"})[0] == 422
    assert server.post("undo", {"kind": "everything"})[0] == 422


def test_images_come_as_grey_levels(server: Served, made: tuple[Path, Path]) -> None:
    import numpy as np

    import rhoa

    key = first_case(server)
    for what in ("image", "lateral", "hip/left", "hip/right"):
        status, headers, body = server.request("GET", f"/api/cases/{key}/{what}")
        about = json.loads(headers["x-rhoa-image"])
        assert status == 200
        assert len(body) == 2 * about["rows"] * about["columns"]
    _, headers, body = server.request("GET", f"/api/cases/{key}/image")
    about = json.loads(headers["x-rhoa-image"])
    levels = np.frombuffer(body, "<u2").reshape(about["rows"], about["columns"]).astype(float)
    (folder,) = made[0].glob("*-01")
    pixels = rhoa.Radiograph.load(folder / "ct-ap.npz").pixels
    low, high = pixels.min(), pixels.max()
    assert np.abs(levels / 65535 * (high - low) + low - pixels).max() < (high - low) / 65000
    assert server.request("GET", f"/api/cases/{key}/hip/up")[0] == 404


@pytest.mark.usefixtures("untouched")
def test_a_preview_is_the_image_through_the_landmarks_and_writes_nothing(
    server: Served, made: tuple[Path, Path]
) -> None:
    import rhoa

    key = first_case(server)
    landmarks = server.get(f"cases/{key}")["landmarks"]
    landmarks["asis_left"][2] += 5
    told = {"case": key, "landmarks": landmarks, "depth_mm": [0, 100]}

    status, headers, _ = server.request("POST", "/api/preview", json.dumps(told).encode())

    (scan,) = made[1].glob("*-01")
    image = rhoa.ctap(rhoa.read_ct(scan), pose=rhoa.Landmarks(**landmarks), depth=(0, 100))
    about = json.loads(headers["x-rhoa-image"])
    assert status == 200
    assert (about["rows"], about["columns"]) == image.shape
    assert about["matrix"] == image.alignment.matrix.tolist()
    for wrong in ({"landmarks": None, "depth_mm": [3, 1]}, {"landmarks": {}}, {"case": "x"}):
        assert server.post("preview", told | wrong)[0] == 422
    swapped = {"asis_left": landmarks["asis_right"], "asis_right": landmarks["asis_left"]}
    status, told = server.post("preview", told | {"landmarks": landmarks | swapped})
    assert status == 422
    assert "swapped" in told["reason"]
