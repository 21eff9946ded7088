"""An IPFS node on this machine: adds files, and serves their blocks as a gateway."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.support.ipfs_dag import Dag, cid_text


@dataclass(slots=True, kw_only=True)
class IpfsNode:
    """Its blocks, and what it says when a file is added: nothing = the truth."""

    url: str
    dag: Dag = field(default_factory=Dag)
    answer: tuple[int, bytes] | None = None
    added: list[bytes] = field(default_factory=list)


class _Handler(BaseHTTPRequestHandler):
    node: IpfsNode

    def do_POST(self) -> None:
        """``/api/v0/add``: one file as multipart."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        boundary = self.headers["Content-Type"].partition("boundary=")[2].encode()
        content = body.partition(b"\r\n\r\n")[2].rpartition(b"\r\n--" + boundary)[0]
        self.node.added.append(content)
        cid = cid_text(self.node.dag.file(content, chunk=10_000))
        truth = (200, json.dumps({"Name": "artifact", "Hash": cid, "Size": "1"}).encode() + b"\n")
        status, answer = self.node.answer or truth
        self._send(status, answer)

    def do_GET(self) -> None:
        """A block."""
        block = self.node.dag.blocks.get(self.path.removeprefix("/ipfs/").removesuffix("?format=raw"))
        self._send(404 if block is None else 200, block or b"")

    def log_message(self, *args: object) -> None:
        """Keeps quiet."""

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def serving_node() -> Iterator[IpfsNode]:
    """A node while the block runs."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    node = IpfsNode(url=f"http://127.0.0.1:{server.server_address[1]}")
    server.RequestHandlerClass = type("Bound", (_Handler,), {"node": node})
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield node
    finally:
        server.shutdown()
        server.server_close()
