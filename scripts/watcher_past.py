"""A node with a long past: it makes up the logs of a million requests and passes everything else on to a real one."""

from __future__ import annotations

import json
import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import requests

from sworn.abi import interface
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
    with _serving(stage, begun, blocks) as url:
        started = time.monotonic()
        with watching(stage, "past", url=url) as watcher:
            ready = time.monotonic()
            while (behind := _behind(watcher.folder / "log", begun + blocks - 1)) and time.monotonic() - ready < 600:
                time.sleep(0.2)
            ended = time.monotonic()
    if behind:
        raise SystemExit(f"{behind} blocks are left\n{(watcher.folder / 'log').read_text()[-3000:]}")
    return {
        "requests": count,
        "startup_s": round(ended - started, 1),
        "of_it_reading_the_past_s": round(ended - ready, 1),
        "made_up_by": "a node in front of anvil that serves generated logs and states",
    }


def _behind(log: Any, last: int) -> int:
    passed = [json.loads(line)["block"] for line in log.read_text().splitlines() if '"requests_passed_over"' in line]
    return max(last - max(passed, default=0), 0)


@contextmanager
def _serving(stage: Stage, begun: int, blocks: int) -> Iterator[str]:
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    words = {
        "oracle": stage.deployment.oracle,
        "operator": stage.operator.address[2:].lower().rjust(64, "0"),
        "model": stage.model.model_id.hex(),
        "topic": "0x" + interface("InferenceOracle").topic("InferenceRequested").hex(),
        "state": "0x" + interface("InferenceOracle").selector("stateOf").hex(),
        "now": stage.gateway.block("latest").timestamp,
        # Whoever reads logs compares their blocks with the chain's.
        "hashes": _hashes(stage.url, range(begun, begun + blocks)),
    }
    node = context.Process(target=_serve, args=(sender, stage.url, words, begun, blocks), daemon=True)
    node.start()
    try:
        yield f"http://127.0.0.1:{receiver.recv()}"
    finally:
        node.kill()


def _hashes(url: str, numbers: range) -> dict[int, str]:
    body = [
        {"jsonrpc": "2.0", "id": number, "method": "eth_getBlockByNumber", "params": [hex(number), False]}
        for number in numbers
    ]
    answers = requests.post(url, json=body, timeout=60).json()
    return {answer["id"]: answer["result"]["hash"] for answer in answers}


def _serve(sender: Any, url: str, words: dict[str, Any], begun: int, blocks: int) -> None:
    session = requests.Session()

    class Node(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            many = asked if isinstance(asked, list) else [asked]
            own = {each["id"]: text for each in many if (text := _answer(each, words, begun, blocks)) is not None}
            rest = [each for each in many if each["id"] not in own]
            if rest:
                answers = session.post(url, json=rest, timeout=60).json()
                own |= {each["id"]: json.dumps(each) for each in answers}
            texts = [own[each["id"]] for each in many]
            body = (f"[{','.join(texts)}]" if isinstance(asked, list) else texts[0]).encode()
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


def _answer(asked: dict[str, Any], words: dict[str, Any], begun: int, blocks: int) -> str | None:
    if asked["method"] == "eth_getLogs" and words["topic"] in json.dumps(asked["params"][0]["topics"]):
        first, last = (int(asked["params"][0][name], 16) for name in ("fromBlock", "toBlock"))
        numbers = range(max(first, begun), min(last, begun + blocks - 1) + 1)
        if len(numbers) * PER_BLOCK > MOST_LOGS:
            error = {"code": -32005, "message": f"query returned more than {MOST_LOGS} results"}
            return json.dumps({"jsonrpc": "2.0", "id": asked["id"], "error": error})
        logs = ",".join(_log(number, index, words) for number in numbers for index in range(PER_BLOCK))
        return f'{{"jsonrpc":"2.0","id":{asked["id"]},"result":[{logs}]}}'
    if asked["method"] == "eth_call" and asked["params"][0]["data"].startswith(words["state"] + "ff"):
        # Finalized long ago, as most requests of the past are.
        state = "3".rjust(64, "0") + 64 * 6 * "0"
        return json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": "0x" + state})
    return None


def _log(number: int, index: int, words: dict[str, Any]) -> str:
    names_nobody, lives = index < _OPEN, index >= PER_BLOCK - _LIVE
    identity = "ff" + f"{number:031x}{index:031x}"
    operator = "0" * 64 if names_nobody else words["operator"]
    deadline = words["now"] + (_DAY_S if lives else -7 * _DAY_S)
    someone = words["operator"]
    fields = f"{words['model']}{'22' * 32}{someone}{operator}{someone}{1:064x}{0:064x}{0:064x}{60:064x}{deadline:064x}"
    data = f"{fields}{0:064x}{index:064x}{0x1A0:064x}{64:064x}{'33' * 64}"
    return (
        f'{{"address":"{words["oracle"]}","topics":["{words["topic"]}","0x{identity}","0x{words["model"]}",'
        f'"0x{operator}"],"data":"0x{data}","blockNumber":"{number:#x}","blockHash":"{words["hashes"][number]}",'
        f'"transactionHash":"0x{identity}","transactionIndex":"{index:#x}","logIndex":"{index:#x}","removed":false}}'
    )
