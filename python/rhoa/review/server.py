"""The local server of the page: addresses, what they answer, and who may ask."""

from __future__ import annotations

import json
import secrets
import socket
import threading
import traceback
import warnings
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from rhoa.errors import MissingExtraError, ReviewError, RhoaError, RhoaWarning, WriteError
from rhoa.review.events import Posed, as_action
from rhoa.review.exporting import export
from rhoa.review.images import Shown, shown_image
from rhoa.review.session import place_of
from rhoa.xray.preparation import SATURATION_PERCENT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from rhoa._types import Side
    from rhoa.radiograph import Radiograph
    from rhoa.review.cohort import ReviewCase
    from rhoa.review.events import CaseState
    from rhoa.review.images import Lateral
    from rhoa.review.session import Session

    Answer = Callable[[Request], Awaitable[Response]]


# Who may talk to the server: this machine, through its own page, with the printed token.

MOST_BYTES = 64 * 1024
"""Of a request's body: an action is some hundred bytes."""
COOKIE = "rhoa_review"
LOOPBACK = ("127.0.0.1", "localhost")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Doorkeeper:
    """Tokens that open the page once each, and the session that the page then has.

    Parameters
    ----------
    port
        That the server listens on.
    tell
        Called with each address that opens the page: at first, and again when one was used, for the
        next browser.
    """

    def __init__(self, port: int, tell: Callable[[str], None]) -> None:
        self.port, self._tell = port, tell
        self._lock = threading.Lock()
        self._session = secrets.token_urlsafe(32)
        self.renew()

    def renew(self) -> None:
        """Make a token and announce its address."""
        self._token = secrets.token_urlsafe(32)
        self._tell(f"http://{LOOPBACK[0]}:{self.port}/?token={self._token}")

    def open(self, token: str) -> str | None:
        """The session, for the token that is valid; it is not valid any more. None for others."""
        with self._lock:
            if not secrets.compare_digest(token.encode(), self._token.encode()):
                return None
            self.renew()
            return self._session

    def knows(self, session: str) -> bool:
        """Whether that is the session."""
        return secrets.compare_digest(session.encode(), self._session.encode())

    @property
    def hosts(self) -> set[str]:
        """What a request may name as its host."""
        return {f"{name}:{self.port}" for name in LOOPBACK}


class Guarded:
    """An application behind a `Doorkeeper`: whoever is not let in learns nothing but that.

    421 for another host name (as of a page that rebinds its name to this machine), 403 for a
    request that another site's page sends, for a wrong token and for none, 413 for a large body,
    415 for one that is not JSON.
    """

    def __init__(self, app: ASGIApp, doorkeeper: Doorkeeper) -> None:
        self.app, self.doorkeeper = app, doorkeeper

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return

        async def hardened(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
            await send(message)

        answer = self._entrance(scope) or self._refusal(scope)
        if answer is not None:
            await answer(scope, receive, hardened)
            return
        if scope["method"] != "POST":
            await self.app(scope, receive, hardened)
            return
        body = await _body(receive)
        if body is None:
            await _refused(413, "too much was sent.")(scope, receive, hardened)
            return

        async def again() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        await self.app(scope, again, hardened)

    def _entrance(self, scope: Scope) -> ASGIApp | None:
        """The answer to a printed address: a cookie that no script and no other site can use."""
        request = HTTPConnection(scope)
        if scope["path"] != "/" or "token" not in request.query_params:
            return None
        if request.headers.get("host") not in self.doorkeeper.hosts:
            return None
        session = self.doorkeeper.open(request.query_params["token"])
        if session is None:
            return _refused(403, "this address was used before; the terminal has a new one.")
        answer = RedirectResponse("/", status_code=303)
        answer.set_cookie(COOKIE, session, httponly=True, samesite="strict", path="/")
        return answer

    def _refusal(self, scope: Scope) -> ASGIApp | None:
        """Why a request is not let through; None where it is."""
        headers = Headers(scope=scope)
        host = headers.get("host")
        if host not in self.doorkeeper.hosts:
            return _refused(421, "this server is 127.0.0.1 alone.")
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        posted = scope["method"] not in {"GET", "HEAD"}
        if (origin is None and posted) or origin not in {None, f"http://{host}"}:
            return _refused(403, "only its own page may use this server.")
        if site not in {None, "same-origin", "none"}:
            return _refused(403, "only its own page may use this server.")
        if not self.doorkeeper.knows(HTTPConnection(scope).cookies.get(COOKIE, "")):
            return _refused(403, "open the address that the terminal shows.")
        if posted and headers.get("content-type", "").partition(";")[0] != "application/json":
            return _refused(415, "send application/json.")
        return None


async def _body(receive: Receive) -> bytes | None:
    """The body of a request; None where it is larger than any that the page sends."""
    parts = bytearray()
    while True:
        message: dict[str, Any] = dict(await receive())
        parts += message.get("body", b"")
        if len(parts) > MOST_BYTES:
            return None
        if not message.get("more_body"):
            return bytes(parts)


def _refused(status: int, reason: str) -> ASGIApp:
    return PlainTextResponse(f"rhoa review: {reason}\n", status_code=status)


# The local server of the page: addresses, and what they answer.

# Every file that the page consists of: nothing else of the package, and no path, is ever served.
PAGE = {
    "index.html": "text/html",
    "style.css": "text/css",
    "icon.svg": "image/svg+xml",
    **dict.fromkeys(
        (
            *("main.js", "server.js", "canvas.js", "marks.js", "keys.js", "overview.js"),
            *("grading.js", "schematic.js", "boxes.js", "pose.js"),
        ),
        "text/javascript",
    ),
}


def application(session: Session, doorkeeper: Doorkeeper) -> ASGIApp:
    """The server's application: the page, what it shows, and what it does."""
    pictures = session.pictures

    def lateral(view: Lateral) -> Response:
        place = {
            "affine": view.affine.tolist(),
            "across": view.across,
            "down": view.down,
            "pixel_mm": view.image.pixel_mm[0],
        }
        return _levels(shown_image(view.image), place)

    def write_export() -> Response:
        out = session.cohort.journals / session.reader
        done = export(session.cohort, {session.reader: session.state}, out)
        return JSONResponse({"folder": f"{out.parent.name}/{out.name}", "hips": len(done.manifest)})

    async def cohort(_: Request) -> Response:
        return await _answered(lambda: JSONResponse(session.snapshot()))

    of_case = {
        "": lambda case, _: JSONResponse(session.detail(case)),
        "/image": lambda case, state: _image(pictures.image(case, state)),
        "/lateral": lambda case, _: lateral(pictures.lateral(case)),
        "/thumbnail": lambda case, state: Response(
            pictures.thumbnail(case, state), media_type="image/png"
        ),
        "/hip/left": lambda case, state: _hip(session, case, "left", state),
        "/hip/right": lambda case, state: _hip(session, case, "right", state),
    }
    posts: dict[str, Callable[[dict[str, Any]], Response]] = {
        "act": lambda body: JSONResponse(session.act(body)),
        "undo": lambda body: JSONResponse(session.undo(body.get("kind"), body.get("case"))),
        "preview": lambda body: _preview(session, body),
        "export": lambda _: write_export(),
    }
    routes = [
        Route("/", _file("index.html"), methods=["GET"]),
        *(Route(f"/page/{name}", _file(name), methods=["GET"]) for name in PAGE),
        Route("/api/cohort", cohort, methods=["GET"]),
        *(
            Route(f"/api/cases/{{key}}{what}", _shown(session, show), methods=["GET"])
            for what, show in of_case.items()
        ),
        *(Route(f"/api/{name}", _done(do), methods=["POST"]) for name, do in posts.items()),
    ]
    return Guarded(Starlette(routes=routes), doorkeeper)


def serve(session: Session, *, port: int, tell: Callable[[str], None]) -> None:
    """Serve the page on this machine alone until it is interrupted.

    Parameters
    ----------
    session
        Of the reader.
    port
        0 for one that is free.
    tell
        Called with each address that opens the page.
    """
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((LOOPBACK[0], port))
            listener.listen()  # the announced address can be opened from then on
        except OSError as error:
            raise ReviewError(
                f"port {port} cannot be used ({error.strerror}); pass another --port, or none."
            ) from None
        doorkeeper = Doorkeeper(listener.getsockname()[1], tell)
        config = uvicorn.Config(
            application(session, doorkeeper),
            access_log=False,  # addresses hold tokens
            log_level="warning",
            lifespan="off",
            server_header=False,
            date_header=False,
            ws="none",
            timeout_graceful_shutdown=2,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RhoaWarning)  # of flags, which the page shows
            uvicorn.Server(config).run(sockets=[listener])


def _file(name: str) -> Answer:
    content = files("rhoa.review").joinpath("static", name).read_bytes()

    async def answer(_: Request) -> Response:
        return Response(content, media_type=PAGE[name])

    return answer


def _shown(session: Session, show: Callable[[ReviewCase, CaseState], Response]) -> Answer:
    """An answer about the case that the address names."""

    async def answer(request: Request) -> Response:
        try:
            case = session.cohort.case(request.path_params["key"])
        except ReviewError as error:
            return JSONResponse({"reason": str(error)}, 404)
        return await _answered(lambda: show(case, session.state.case(case.key)))

    return answer


def _done(do: Callable[[dict[str, Any]], Response]) -> Answer:
    """An answer to what the page asks to be done."""

    async def answer(request: Request) -> Response:
        try:
            body = json.loads(await request.body())
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict):
            return JSONResponse({"reason": "this is no JSON object."}, 400)
        return await _answered(lambda: do(body))

    return answer


async def _answered(what: Callable[[], Response]) -> Response:
    """The response; an error is reported without any data of a patient."""
    try:
        return await run_in_threadpool(what)
    except WriteError as error:
        return JSONResponse({"reason": str(error)}, 507)
    except RhoaError as error:
        return JSONResponse({"reason": str(error)}, 422)
    except MissingExtraError as error:
        return JSONResponse({"reason": str(error)}, 501)
    except Exception as error:  # noqa: BLE001  # its text, and a log of it, may hold a patient's data
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(last.filename).name}, line {last.lineno}"
        reason = f"unexpected {type(error).__name__} ({place}); please report it."
        return JSONResponse({"reason": reason}, 500)


def _hip(session: Session, case: ReviewCase, side: Side, state: CaseState) -> Response:
    pixels = session.pictures.hip(case, side, state)
    saturate = SATURATION_PERCENT if case.source == "xray" else 0.0
    pixel_mm = session.pictures.hip_pixel_mm(case, side, state, len(pixels))
    return _levels(Shown.of(pixels, saturate), {"pixel_mm": pixel_mm})


def _image(image: Radiograph) -> Response:
    place = place_of(image)
    return _levels(
        shown_image(image), {"pixel_mm": place["pixel_mm"] if place["size_known"] else None}
    )


def _preview(session: Session, body: dict[str, Any]) -> Response:
    """The CT-AP through landmarks that are being moved; nothing is written down."""
    posed = as_action({"do": Posed.do, **body})
    if not isinstance(posed, Posed):
        raise ReviewError("a preview is of landmarks.")
    image = session.pictures.preview(session.cohort.case(posed.case), posed)
    return _levels(shown_image(image), place_of(image))


def _levels(shown: Shown, place: Mapping[str, Any] | None = None) -> Response:
    """Grey levels of 16 bits, little endian, row by row; a header has their shape and place."""
    rows, columns = shown.levels.shape
    about = {"rows": rows, "columns": columns, "black": shown.black, "white": shown.white}
    return Response(
        shown.levels.astype("<u2").tobytes(),
        media_type="application/octet-stream",
        headers={"X-Rhoa-Image": json.dumps({**about, **(place or {})})},
    )
