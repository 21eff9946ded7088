"""A JSON-RPC proxy in front of a node that does wrong what it is told to do wrong.

In the test's own process::

    with FaultyRpc(anvil.url, seed=1) as proxy:        # proxy.url is what the code under test gets
        proxy.faults = Faults(limited=0.2, retry_after_s=1, drop_answer=0.1)
        ...
        proxy.faults = Faults()                        # honest again
        proxy.counts["limited"]                        # how often something was done, also by method

From another process, by HTTP: ``POST /faults`` with a JSON object of `Faults`' fields replaces them, ``GET /faults``
shows them, ``GET /counts`` the counters. ``python -m tests.support.faulty_rpc UPSTREAM [SEED]`` runs one alone and
prints its URL.

Shares are probabilities per request (per item for what concerns single answers of a batch), drawn from a seeded
generator: the same requests in the same order meet the same faults. What no fault concerns is passed on as it is.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from types import TracebackType
from typing import Any

import requests
from eth_utils.crypto import keccak

_HEAD_TAGS = ("latest", "pending")
#: Where the block parameter stands in the parameters of a method.
_BLOCK_PARAMETER = {
    "eth_getBlockByNumber": 0,
    "eth_call": 1,
    "eth_getBalance": 1,
    "eth_getCode": 1,
    "eth_getTransactionCount": 1,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What goes wrong. All zeros = nothing."""

    #: Seconds that every request takes longer.
    slow_s: float = 0.0
    #: Requests that are never answered: the connection is held for ``hang_s`` and cut.
    hang: float = 0.0
    hang_s: float = 60.0
    #: Connections that are cut before the request reaches the node.
    drop: float = 0.0
    #: Connections that are cut after the node has done what was asked: the answer is lost.
    drop_answer: float = 0.0
    #: Answers that are the previous one once more, with its id.
    duplicate: float = 0.0
    #: Requests that are answered with 429, and with ``Retry-After`` unless it is None.
    limited: float = 0.0
    retry_after_s: float | None = None
    #: Requests that are answered with 503.
    unavailable: float = 0.0
    #: Requests that are answered with an error page.
    garbage: float = 0.0
    #: Blocks by which everything the node says is old.
    lag: int = 0
    #: Number above which the node has no blocks: its head stands still; None = it moves.
    frozen_at: int | None = None
    #: Blocks by which the newest block is made up ahead of the real one.
    ahead: int = 0
    #: Headers that come with another hash.
    wrong_hash: float = 0.0
    #: Newest blocks that have no logs yet.
    stale_logs: int = 0
    #: Logs that are left out, that come twice, and that name another block.
    omitted_logs: float = 0.0
    repeated_logs: float = 0.0
    moved_logs: float = 0.0
    #: Longest range of a log query, and most logs of an answer; 0 = any.
    max_log_range: int = 0
    max_logs: int = 0
    #: Whether batches are refused.
    refuses_batches: bool = False
    #: Most requests of a batch; 0 = any.
    max_batch: int = 0
    #: Answers that a batch leaves out.
    omitted_answers: float = 0.0
    #: Transactions that are taken and go nowhere.
    swallowed: float = 0.0
    #: Methods that are concerned; empty = all.
    methods: tuple[str, ...] = ()


class _Server(ThreadingHTTPServer):
    """Says nothing of clients that were killed while it answered them."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Cut(Exception):
    """The connection ends here."""


class FaultyRpc:
    """The proxy; listens on a free port of 127.0.0.1 at ``url`` until it is closed."""

    def __init__(self, upstream: str, *, seed: int = 0, faults: Faults | None = None) -> None:
        self.faults = faults or Faults()
        #: Requests by method, and faults by name.
        self.counts: Counter[str] = Counter()
        self._upstream = upstream
        self._random = Random(seed)
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._local = threading.local()
        self._last: dict[str, Any] | None = None
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> FaultyRpc:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends it, and every connection that it holds."""
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def head(self) -> int:
        """The newest block of the node behind."""
        return int(self._forward({"jsonrpc": "2.0", "id": 0, "method": "eth_blockNumber", "params": []})["result"], 16)

    def freeze(self) -> None:
        """Lets the head stand still at the block that it shows now."""
        self.faults = _changed(self.faults, frozen_at=self.head())

    def answer(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body for a request. Raises `_Cut` when there is none."""
        try:
            asked = json.loads(body)
        except json.JSONDecodeError as error:
            # Whoever asked was killed while it did.
            raise _Cut from error
        faults = self.faults
        items = asked if isinstance(asked, list) else [asked]
        self.counts.update(item["method"] for item in items)
        concerned = not faults.methods or any(item["method"] in faults.methods for item in items)
        if concerned:
            if faults.slow_s:
                self._closing.wait(faults.slow_s)
            early = self._refused(faults, asked)
            if early is not None:
                return early
        answers = [answer for item in items if (answer := self._one(item, faults, batch=len(items) > 1)) is not None]
        if concerned and self._happens("drop_answer", faults.drop_answer):
            raise _Cut
        return 200, {}, json.dumps(answers if isinstance(asked, list) else answers[0]).encode()

    def _refused(self, faults: Faults, asked: Any) -> tuple[int, dict[str, str], bytes] | None:
        if self._happens("hang", faults.hang):
            self._closing.wait(faults.hang_s)
            raise _Cut
        if self._happens("drop", faults.drop):
            raise _Cut
        if self._happens("limited", faults.limited):
            wait = {} if faults.retry_after_s is None else {"Retry-After": f"{faults.retry_after_s:g}"}
            return 429, wait, b"too many requests"
        if self._happens("unavailable", faults.unavailable):
            return 503, {}, b"unavailable"
        if self._happens("garbage", faults.garbage):
            return 200, {}, b"<html>busy</html>"
        if isinstance(asked, list) and (faults.refuses_batches or 0 < faults.max_batch < len(asked)):
            self.counts["refused_batch"] += 1
            return 200, {}, json.dumps(_error(None, -32600, "batches are not supported")).encode()
        return None

    def _one(self, item: dict[str, Any], faults: Faults, *, batch: bool) -> dict[str, Any] | None:
        """The answer to one request; None = it is left out."""
        if faults.methods and item["method"] not in faults.methods:
            return self._forward(item)
        with self._lock:
            last = self._last
        if last is not None and self._happens("duplicate", faults.duplicate):
            return last
        if batch and self._happens("omitted_answers", faults.omitted_answers):
            return None
        answer = self._bent(item, faults)
        with self._lock:
            self._last = answer
        return answer

    def _bent(self, item: dict[str, Any], faults: Faults) -> dict[str, Any]:
        method, params = item["method"], list(item.get("params") or [])
        if method == "eth_sendRawTransaction" and self._happens("swallowed", faults.swallowed):
            return {"jsonrpc": "2.0", "id": item["id"], "result": "0x" + keccak(hexstr=params[0]).hex()}
        top = self._top(faults)
        if top is not None:
            place = _BLOCK_PARAMETER.get(method)
            if place is not None and len(params) > place:
                if params[place] in _HEAD_TAGS:
                    params[place] = hex(top)
                elif str(params[place]).startswith("0x") and int(params[place], 16) > top:
                    missing = method == "eth_getBlockByNumber"
                    return _result(item, None) if missing else _error(item["id"], -32000, "header not found")
        if method == "eth_getLogs" and (refusal := self._log_refusal(item, faults)):
            return refusal
        answer = self._forward({**item, "params": params})
        if answer.get("result") is not None:
            answer["result"] = self._lied(method, params, answer["result"], faults, top)
        return answer

    def _top(self, faults: Faults) -> int | None:
        """The newest block that the node admits to; None = the real one."""
        if not faults.lag and faults.frozen_at is None:
            return None
        head = self.head()
        return max(min(head - faults.lag, head if faults.frozen_at is None else faults.frozen_at), 0)

    def _log_refusal(self, item: dict[str, Any], faults: Faults) -> dict[str, Any] | None:
        asked = item["params"][0]
        if not faults.max_log_range or not all(
            str(asked.get(end)).startswith("0x") for end in ("fromBlock", "toBlock")
        ):
            return None
        if int(asked["toBlock"], 16) - int(asked["fromBlock"], 16) + 1 <= faults.max_log_range:
            return None
        self.counts["refused_range"] += 1
        return _error(item["id"], -32005, f"query exceeds the maximum block range of {faults.max_log_range}")

    def _lied(self, method: str, params: list[Any], result: Any, faults: Faults, top: int | None) -> Any:
        if method == "eth_blockNumber":
            return hex((int(result, 16) if top is None else top) + faults.ahead)
        if method == "eth_getBlockByNumber":
            if faults.ahead and params[0] in _HEAD_TAGS:
                self.counts["ahead"] += 1
                made_up = {name: _hash_of(result[name]) for name in ("hash", "parentHash")}
                return {**result, **made_up, "number": hex(int(result["number"], 16) + faults.ahead)}
            if self._happens("wrong_hash", faults.wrong_hash):
                return {**result, "hash": _hash_of(result["hash"])}
        if method == "eth_getTransactionReceipt" and top is not None and int(result["blockNumber"], 16) > top:
            return None
        return self._bent_logs(result, faults, top) if method == "eth_getLogs" else result

    def _bent_logs(self, logs: list[dict[str, Any]], faults: Faults, top: int | None) -> Any:
        last = self.head() - faults.stale_logs if faults.stale_logs else None
        bounds = [bound for bound in (top, last) if bound is not None]
        bent: list[dict[str, Any]] = []
        for log in logs:
            if any(int(log["blockNumber"], 16) > bound for bound in bounds):
                self.counts["hidden_log"] += 1
            elif not self._happens("omitted_logs", faults.omitted_logs):
                moved = self._happens("moved_logs", faults.moved_logs)
                bent.append({**log, "blockHash": _hash_of(log["blockHash"])} if moved else log)
                if self._happens("repeated_logs", faults.repeated_logs):
                    bent.append(log)
        return bent

    def _happens(self, name: str, share: float) -> bool:
        if not share:
            return False
        with self._lock:
            happens = self._random.random() < share
            self.counts[name] += happens
        return happens

    def _forward(self, item: dict[str, Any]) -> dict[str, Any]:
        session = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = requests.Session()
            # No proxy settings from the environment: the node is on this machine.
            session.trust_env = False
        try:
            answer: dict[str, Any] = session.post(self._upstream, json=item, timeout=60).json()
        except requests.RequestException as error:
            # The node behind is gone or starts again: so is what stands before it.
            raise _Cut from error
        return answer


def _handler(proxy: FaultyRpc) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Small answers must not wait for the acknowledgement of their headers.
        wbufsize = -1
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            found: dict[str, Callable[[], Any]] = {
                "/faults": lambda: asdict(proxy.faults),
                "/counts": lambda: dict(proxy.counts),
            }
            self._reply(200, {}, json.dumps(found[self.path]()).encode())

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/faults":
                proxy.faults = _changed(Faults(), **json.loads(body))
                self._reply(200, {}, b"{}")
                return
            try:
                self._reply(*proxy.answer(body))
            except (_Cut, BrokenPipeError, ConnectionResetError):
                self.close_connection = True

        def _reply(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in {
                "Content-Type": "application/json",
                "Content-Length": str(len(body)),
                **headers,
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            """Says nothing."""

    return Handler


def _changed(faults: Faults, **changes: Any) -> Faults:
    values = asdict(faults) | changes
    return Faults(**values | {"methods": tuple(values["methods"])})


def _hash_of(text: str) -> str:
    return "0x" + sha256(text.encode()).hexdigest()


def _result(item: dict[str, Any], result: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": item["id"], "result": result}


def _error(number: Any, code: int, message: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "error": {"code": code, "message": message}}


if __name__ == "__main__":
    with FaultyRpc(sys.argv[1], seed=int(sys.argv[2]) if len(sys.argv) > 2 else 0) as alone:
        print(alone.url, flush=True)  # noqa: T201
        while True:
            time.sleep(3600)
