"""Who may talk to the server: this machine, through its own page, with the printed token."""

from __future__ import annotations

import secrets
import threading
from typing import TYPE_CHECKING, Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, RedirectResponse

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

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
        """Make a token and tell its address."""
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
