"""`rhoa review` as a user starts it: a process of its own, spoken to over HTTP."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass
class Served:
    process: subprocess.Popen[str]
    port: int
    token: str
    told: list[str] = field(default_factory=list)
    cookie: str = ""

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/?token={self.token}"

    def request(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body; the page's own headers unless others are given."""
        sent = {"Host": f"127.0.0.1:{self.port}", "Cookie": self.cookie}
        if method != "GET":
            sent |= {
                "Origin": f"http://127.0.0.1:{self.port}",
                "Content-Type": "application/json",
            }
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in sent.items():
                if value:
                    connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            response = connection.getresponse()
            return (
                response.status,
                {k.lower(): v for k, v in response.getheaders()},
                response.read(),
            )
        finally:
            connection.close()

    def enter(self) -> None:
        """Use the printed address, as a browser does."""
        status, headers, _ = self.request("GET", f"/?token={self.token}")
        assert status == 303
        self.cookie = headers["set-cookie"].partition(";")[0]

    def get(self, path: str) -> Any:  # noqa: ANN401  # whatever JSON holds
        status, _, body = self.request("GET", f"/api/{path}")
        assert status == 200, body
        return json.loads(body)

    def post(self, path: str, told: object) -> tuple[int, Any]:
        status, _, body = self.request("POST", f"/api/{path}", json.dumps(told).encode())
        return status, json.loads(body)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(30)


@contextmanager
def served(folder: Path, *options: str) -> Iterator[Served]:
    """The running command; ended by Ctrl-C, where it is still there."""
    process = subprocess.Popen(
        [sys.executable, "-m", "rhoa", "review", str(folder), *options],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "RHOA_NUM_THREADS": "2"},
    )
    told = []
    for line in process.stderr or ():
        told.append(line)
        if found := re.search(r"http://127\.0\.0\.1:(\d+)/\?token=(\S+)", line):
            server = Served(process, int(found[1]), found[2], told)
            break
    else:
        raise AssertionError("".join(told))
    try:
        yield server
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        output, rest = process.communicate(timeout=60)
        server.told += [output, rest]
