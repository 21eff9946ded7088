"""A bucket on this machine: what of S3's HTTP interface reading and writing one object needs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_NO_SUCH_KEY = b'<?xml version="1.0"?><Error><Code>NoSuchKey</Code><Message>no such key</Message></Error>'
_DENIED = b'<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>no, AKIASECRETKEY</Message></Error>'


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """Objects by path, and what was asked."""

    url: str
    objects: dict[str, bytes] = field(default_factory=dict)
    #: Method, path, and whether the request was signed.
    asked: list[tuple[str, str, bool]] = field(default_factory=list)
    #: Paths that are not served to anybody.
    denied: set[str] = field(default_factory=set)
    #: Set to make bodies drip.
    slow: threading.Event = field(default_factory=threading.Event)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    bucket: Bucket

    def do_HEAD(self) -> None:
        """What is known about an object."""
        self._serve(body=False)

    def do_GET(self) -> None:
        """An object, or a range of it."""
        self._serve(body=True)

    def do_PUT(self) -> None:
        """Stores an object."""
        self._note()
        length = int(self.headers["Content-Length"])
        data = self.rfile.read(length)
        if "aws-chunked" in self.headers.get("Content-Encoding", ""):
            data = _joined(data)
        self.bucket.objects[self.path.partition("?")[0]] = data
        self._answer(200, b"", ETag='"0"')

    def log_message(self, *args: object) -> None:
        """Keeps quiet."""

    def _serve(self, *, body: bool) -> None:
        self._note()
        path = self.path.partition("?")[0]
        if path in self.bucket.denied:
            self._answer(403, _DENIED if body else b"")
            return
        content = self.bucket.objects.get(path)
        if content is None:
            self._answer(404, _NO_SUCH_KEY if body else b"")
            return
        if not body:
            self._answer(200, b"", Content_Length=len(content), ETag='"0"')
            return
        first, _, last = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
        part = content[int(first) : int(last) + 1 if last else None]
        if self.bucket.slow.is_set():
            self._drip(len(part))
        else:
            self._answer(206, part, ETag='"0"')

    def _drip(self, length: int) -> None:
        self.send_response(206)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        while self.bucket.slow.wait(0.02) and self.bucket.slow.is_set():
            try:
                self.wfile.write(b"a")
            except OSError:
                return
            threading.Event().wait(0.02)

    def _answer(self, status: int, body: bytes, **headers: object) -> None:
        self.send_response(status)
        for name, value in ({"Content_Length": len(body), "Last_Modified": _DATE} | headers).items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(body)

    def _note(self) -> None:
        self.bucket.asked.append((self.command, self.path.partition("?")[0], "Authorization" in self.headers))


_DATE = "Sat, 21 Nov 2026 12:00:00 GMT"


def _joined(data: bytes) -> bytes:
    """The content of a body in signed chunks."""
    content, rest = b"", data
    while rest:
        head, _, rest = rest.partition(b"\r\n")
        size = int(head.split(b";")[0], 16)
        if not size:
            break
        content, rest = content + rest[:size], rest[size + 2 :]
    return content


@contextmanager
def serving_bucket() -> Iterator[Bucket]:
    """A bucket while the block runs."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    bucket = Bucket(url=f"http://127.0.0.1:{server.server_address[1]}")
    server.RequestHandlerClass = type("Bound", (_Handler,), {"bucket": bucket})
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield bucket
    finally:
        bucket.slow.clear()
        server.shutdown()
        server.server_close()
