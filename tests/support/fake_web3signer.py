"""A web3signer in eth1 mode, as far as we use it, and its hostile twins; plain http or mutual TLS."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_account.signers.local import LocalAccount

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


@dataclass(slots=True, kw_only=True)
class FakeWeb3Signer:
    """Holds one key; tests replace `answer` or `behave` to make it lie or fail."""

    account: LocalAccount
    #: Sees the transaction as asked for, before it is signed.
    tamper: Callable[[dict[str, Any]], dict[str, Any]] = lambda transaction: transaction
    #: Sees the hexadecimal result before it is sent.
    twist: Callable[[str], str] = lambda result: result
    #: Status, body and delay of the next answers, instead of what is right; the right ones come after.
    failures: list[tuple[int, bytes, float]] = field(default_factory=list)
    asked: list[tuple[str, list[Any]]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    url: str = ""
    #: Bytes sent at a time; 0 = all at once.
    drip: int = 0

    def result(self, method: str, params: list[Any]) -> Any:
        """What a web3signer would answer."""
        if method == "eth_accounts":
            return [self.account.address.lower()]
        if method == "eth_signTransaction":
            asked = self.tamper(dict(params[0]))
            fields: dict[str, Any] = {name: value for name, value in asked.items() if name != "from"} | {"type": "0x2"}
            return self.twist("0x" + self.account.sign_transaction(fields).raw_transaction.hex())
        if method == "eth_signTypedData":
            # Releases before 2025 take the document as text only.
            message = encode_typed_data(full_message=json.loads(params[1]))
            return self.twist("0x" + self.account.sign_message(message).signature.hex())
        raise ValueError(method)


@contextmanager
def serving(signer: FakeWeb3Signer, *, tls: ssl.SSLContext | None = None) -> Iterator[FakeWeb3Signer]:
    """Serves until the block ends; `signer.url` says where."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            signer.asked.append((request["method"], request["params"]))
            signer.headers.append(dict(self.headers))
            if signer.failures:
                status, body, delay = signer.failures.pop(0)
                time.sleep(delay)
                self._send(status, body)
                return
            result = signer.result(request["method"], request["params"])
            self._send(200, json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result}).encode())

        def _send(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            # A client that has stopped waiting is what some tests are about.
            with suppress(OSError):
                for start in range(0, len(body), signer.drip or len(body) or 1):
                    self.wfile.write(body[start : start + (signer.drip or len(body))])
                    time.sleep(0.05 if signer.drip else 0)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Nothing is printed."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    signer.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{server.server_address[1]}"
    try:
        yield signer
    finally:
        server.shutdown()
        server.server_close()


def fake(key: bytes) -> FakeWeb3Signer:
    """An honest one."""
    return FakeWeb3Signer(account=Account.from_key(key))


def high_s(result: str) -> str:
    """The other form of a signature: s in the upper half of the order, v turned."""
    raw = bytes.fromhex(result.removeprefix("0x"))
    s = ORDER - int.from_bytes(raw[32:64], "big")
    return "0x" + (raw[:32] + s.to_bytes(32, "big") + bytes([55 - raw[64]])).hex()
