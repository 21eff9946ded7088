"""A server that repeats in its answers all that it was asked with, as error pages of providers do."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True, slots=True, kw_only=True)
class Echo:
    """Files by path, which are served; whatever else is asked for is repeated, with its headers."""

    #: Where it is, without a scheme.
    host: str
    files: dict[str, bytes] = field(default_factory=dict)
    #: Methods and paths, queries included.
    asked: list[tuple[str, str]] = field(default_factory=list)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    echo: Echo

    def do_GET(self) -> None:
        """A file, or wrong bytes."""
        self.echo.asked.append(("GET", self.path))
        self._answer(200, self.echo.files.get(self.path.partition("?")[0]) or self._repeated().encode())

    def do_HEAD(self) -> None:
        """As if it were there, and large."""
        self.echo.asked.append(("HEAD", self.path))
        self._answer(200, self._repeated().encode())

    def do_POST(self) -> None:
        """A JSON-RPC error, as of a node that does not know the key."""
        self.echo.asked.append(("POST", self.path))
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        error = {"code": -32002, "message": f"unknown key {self.path}: {self._repeated()}", "data": self._repeated()}
        answers = [{"jsonrpc": "2.0", "id": each.get("id"), "error": error} for each in _listed(asked)]
        self._answer(200, json.dumps(answers if isinstance(asked, list) else answers[0]).encode())

    def log_message(self, *args: object) -> None:
        """Keeps quiet."""

    def _repeated(self) -> str:
        return f"http://{self.echo.host}{self.path} with {dict(self.headers)}"

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _listed(asked: object) -> list[dict[str, object]]:
    return asked if isinstance(asked, list) else [asked] if isinstance(asked, dict) else []


@contextmanager
def serving_echo() -> Iterator[Echo]:
    """An echo while the block runs."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    echo = Echo(host=f"127.0.0.1:{server.server_address[1]}")
    server.RequestHandlerClass = type("Bound", (_Handler,), {"echo": echo})
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield echo
    finally:
        server.shutdown()
        server.server_close()
