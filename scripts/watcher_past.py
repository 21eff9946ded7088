"""A node with a long past: it makes up the logs of a million requests and passes everything else on to a real one."""

from __future__ import annotations

import json
import multiprocessing
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import psutil
import requests

from sworn.abi import interface
from sworn.chain.gathering import CODE_BYTES
from sworn.watcher.calldata import STATE_DATA_BYTES
from watcher_stage import Stage, rpc, watching

#: Requests in each block, and logs that the node gives at once, as providers bound them.
PER_BLOCK: Final = 1_000
MOST_LOGS: Final = 10_000
#: Of a thousand requests: so many name nobody, and so many could still be answered by their deadline.
_OPEN: Final = 90
_LIVE: Final = 10
_DAY_S: Final = 86_400


def past(stage: Stage, count: int) -> dict[str, Any]:
    """Seconds from the start of `sworn watch` until its cursor is at the head, with so many requests behind it."""
    begun = stage.gateway.block("latest").number + 1
    blocks = -(-count // PER_BLOCK)
    rpc(stage.url, "anvil_mine", hex(blocks))
    with _serving(stage, begun, blocks) as (url, node):
        started = time.monotonic()
        with watching(stage, "past", url=url) as watcher:
            ready = time.monotonic()
            while (behind := _behind(watcher.folder / "log", begun + blocks - 1)) and time.monotonic() - ready < 600:
                time.sleep(0.2)
            ended = time.monotonic()
            spent = {"watcher": _processor_s(watcher.pid), "node": _processor_s(node)}
            peak = _peak_mib(watcher.pid)
    if behind:
        raise SystemExit(f"{behind} blocks are left\n{(watcher.folder / 'log').read_text()[-3000:]}")
    return {
        "requests": count,
        "startup_s": round(ended - started, 1),
        "of_it_reading_the_past_s": round(ended - ready, 1),
        "processor_s": spent,
        "peak_memory_mib": peak,
        "made_up_by": "a node in front of anvil that serves generated logs and states",
    }


def _processor_s(pid: int) -> float:
    spent = psutil.Process(pid).cpu_times()
    return round(spent.user + spent.system, 1)


def _peak_mib(pid: int) -> int:
    told = Path(f"/proc/{pid}/status").read_text()
    return int(told.split("VmHWM:")[1].split()[0]) // 1024


def _behind(log: Any, last: int) -> int:
    passed = [json.loads(line)["block"] for line in log.read_text().splitlines() if '"requests_passed_over"' in line]
    return max(last - max(passed, default=0), 0)


@contextmanager
def _serving(stage: Stage, begun: int, blocks: int) -> Iterator[tuple[str, int]]:
    """The node's URL and process."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    past = _Past(
        operator=stage.operator.address[2:].lower().rjust(64, "0"),
        model=stage.model.model_id.hex(),
        oracle=stage.deployment.oracle,
        now=stage.gateway.block("latest").timestamp,
        # Whoever reads logs compares their blocks with the chain's.
        hashes=_hashes(stage.url, range(begun, begun + blocks)),
    )
    node = context.Process(target=_serve, args=(sender, stage.url, past), daemon=True)
    node.start()
    try:
        yield f"http://127.0.0.1:{receiver.recv()}", node.pid or 0
    finally:
        node.kill()


def _hashes(url: str, numbers: range) -> dict[int, str]:
    body = [
        {"jsonrpc": "2.0", "id": number, "method": "eth_getBlockByNumber", "params": [hex(number), False]}
        for number in numbers
    ]
    answers = requests.post(url, json=body, timeout=60).json()
    return {answer["id"]: answer["result"]["hash"] for answer in answers}


def _serve(sender: Any, url: str, past: _Past) -> None:
    session = requests.Session()

    class Node(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # An answer leaves at once, in one piece.
        disable_nagle_algorithm = True
        wbufsize = -1

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            many = asked if isinstance(asked, list) else [asked]
            own = {each["id"]: text for each in many if (text := past.answer(each)) is not None}
            rest = [each for each in many if each["id"] not in own]
            if rest:
                answers = session.post(url, json=rest, timeout=60).json()
                own |= {each["id"]: json.dumps(each).encode() for each in answers}
            texts = [own[each["id"]] for each in many]
            body = b"[%b]" % b",".join(texts) if isinstance(asked, list) else texts[0]
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Node)
    sender.send(server.server_address[1])
    server.serve_forever()


class _Past:
    """What the node makes up. All blocks have the same logs but for numbers and hashes, which are put in when asked."""

    def __init__(self, *, operator: str, model: str, oracle: str, now: int, hashes: dict[int, str]) -> None:
        contract = interface("InferenceOracle")
        self._topic = "0x" + contract.topic("InferenceRequested").hex()
        self._state = "0x" + contract.selector("stateOf").hex()
        self._hashes = hashes
        logs = [
            _log(index, operator=operator, model=model, oracle=oracle, now=now, topic=self._topic)
            for index in range(PER_BLOCK)
        ]
        parts = re.split("<(identity|number|hash)>", ",".join(logs))
        self._names = parts[1::2]
        self._parts = [part.encode() for part in parts]

    def answer(self, asked: dict[str, Any]) -> bytes | None:
        """The answer to a question about the past; None for any other."""
        if asked["method"] == "eth_getLogs" and self._topic in json.dumps(asked["params"][0]["topics"]):
            return self._logs(asked)
        if asked["method"] == "eth_call" and (count := self._states_asked(asked["params"][0])):
            # Finalized long ago, as most requests of the past are.
            states = (b"%064x%0384x" % (3, 0)) * count
            return b'{"jsonrpc":"2.0","id":%d,"result":"0x%b"}' % (asked["id"], states)
        return None

    def _states_asked(self, call: dict[str, Any]) -> int:
        """How many states of made up requests a call asks for, be it one or many at once."""
        questions = call["data"][2:] if "to" in call else call["data"][2 + 2 * CODE_BYTES :]
        if not questions.startswith(self._state[2:] + "ff"):
            return 0
        return len(questions) // (2 * STATE_DATA_BYTES)

    def _logs(self, asked: dict[str, Any]) -> bytes:
        first, last = (int(asked["params"][0][name], 16) for name in ("fromBlock", "toBlock"))
        numbers = range(max(first, min(self._hashes)), min(last, max(self._hashes)) + 1)
        if len(numbers) * PER_BLOCK > MOST_LOGS:
            error = {"code": -32005, "message": f"query returned more than {MOST_LOGS} results"}
            return json.dumps({"jsonrpc": "2.0", "id": asked["id"], "error": error}).encode()
        blocks = b",".join(self._block(number) for number in numbers)
        return b'{"jsonrpc":"2.0","id":%d,"result":[%b]}' % (asked["id"], blocks)

    def _block(self, number: int) -> bytes:
        told = {"identity": b"%031x" % number, "number": b"%#x" % number, "hash": self._hashes[number].encode()}
        parts = self._parts.copy()
        parts[1::2] = [told[name] for name in self._names]
        return b"".join(parts)


def _log(index: int, *, operator: str, model: str, oracle: str, now: int, topic: str) -> str:
    identity = f"ff<identity>{index:031x}"
    named = "0" * 64 if index < _OPEN else operator
    deadline = now + (_DAY_S if index >= PER_BLOCK - _LIVE else -7 * _DAY_S)
    fields = f"{model}{'22' * 32}{operator}{named}{operator}{1:064x}{0:064x}{0:064x}{60:064x}{deadline:064x}"
    data = f"{fields}{0:064x}{index:064x}{0x1A0:064x}{64:064x}{'33' * 64}"
    return (
        f'{{"address":"{oracle}","topics":["{topic}","0x{identity}","0x{model}","0x{named}"],"data":"0x{data}",'
        f'"blockNumber":"<number>","blockHash":"<hash>","transactionHash":"0x{identity}",'
        f'"transactionIndex":"{index:#x}","logIndex":"{index:#x}","removed":false}}'
    )
