"""Many requests at once: what the gateway makes of nodes that answer batches badly, or not at all."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from sworn import abi
from sworn.chain.gateway import Call
from sworn.chain.web3_gateway import Web3Gateway, connect_gateway
from sworn.chain.web3_gateway_async import async_connect_gateway
from sworn.chain.web3_gateway_batches import FORGET_S, BatchSize
from sworn.errors import ChainError, ContractRevert, NonceTooLow, TransactionKnown, TransientChainError
from sworn.types import Address

TARGET = Address("0x" + "77" * 20)
CREDIT_MISSING = abi.REVERTS["CreditMissing"].selector + bytes(32)

Item = dict[str, Any]
#: What becomes of a body: a status and what is sent.
Script = Callable[[list[Item], bool], tuple[int, Any]]


def _answer(item: Item) -> Item:
    """Calls answer with their data, others with what a healthy node says."""
    method, params = item["method"], item["params"]
    value: Any = "0x5208" if method == "eth_estimateGas" else params[0]
    value = value["data"] if method == "eth_call" else value
    return {"jsonrpc": "2.0", "id": item["id"], "result": value}


def _error(item: Item | None, code: int, message: str, data: str | None = None) -> Item:
    error = {"code": code, "message": message} | ({} if data is None else {"data": data})
    return {"jsonrpc": "2.0", "id": item and item["id"], "error": error}


class Node:
    """An HTTP server that answers as its script says, and counts."""

    def __init__(self) -> None:
        self.script: Script = lambda items, batched: (200, [_answer(item) for item in items])
        self.sizes: list[int] = []
        node = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                items = asked if isinstance(asked, list) else [asked]
                node.sizes.append(len(items))
                status, answer = node.script(items, isinstance(asked, list))
                if not isinstance(asked, list) and isinstance(answer, list):
                    answer = answer[0]
                body = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: Any) -> None:
                """Says nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    @property
    def gateway(self) -> Web3Gateway:
        """A fresh gateway, which knows nothing of the node yet."""
        return connect_gateway(f"http://127.0.0.1:{self.server.server_port}/secret", timeout_s=5)

    def close(self) -> None:
        """Ends the server."""
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def node() -> Iterator[Node]:
    """A node that takes batches, until a test says otherwise."""
    node = Node()
    yield node
    node.close()


def _calls(count: int) -> list[Call]:
    return [Call(to=TARGET, data=number.to_bytes(2, "big")) for number in range(count)]


def _expected(count: int) -> list[bytes]:
    return [number.to_bytes(2, "big") for number in range(count)]


def test_batch_of_many_goes_in_few_requests_in_order(node: Node) -> None:
    """Hundreds of reads must not be hundreds of round trips; answers belong to their questions."""
    assert node.gateway.calls(_calls(250)) == _expected(250)
    assert node.sizes == [100, 100, 50]
    assert node.gateway.calls([]) == []


async def test_async_batch_answers_as_the_blocking_one(node: Node) -> None:
    """Both colours send batches."""
    gateway = async_connect_gateway(f"http://127.0.0.1:{node.server.server_port}", timeout_s=5)
    assert await gateway.calls(_calls(120)) == _expected(120)
    assert await gateway.estimates(_calls(3)) == [21_000] * 3
    assert node.sizes == [100, 20, 3]
    await gateway.close()


def test_batch_answered_in_any_order_and_twice_is_put_in_order(node: Node) -> None:
    """The specification allows any order; proxies duplicate."""
    node.script = lambda items, batched: (200, [_answer(item) for item in reversed(items + items[:3])])
    assert node.gateway.calls(_calls(20)) == _expected(20)


@pytest.mark.parametrize("lost", [0, 7, 19])
def test_batch_with_a_lost_answer_shifts_nothing(node: Node, lost: int) -> None:
    """An answer that is missing must not hand the next one's to the wrong question."""
    node.script = lambda items, batched: (200, [_answer(item) for item in items if item is not items[lost]])
    with pytest.raises(TransientChainError, match="19 of 20"):
        node.gateway.calls(_calls(20))


def test_batch_item_errors_stand_in_the_place_of_their_results(node: Node) -> None:
    """One refusal says nothing about the others."""

    def script(items: list[Item], batched: bool) -> tuple[int, Any]:
        answers = [_answer(item) for item in items]
        answers[1] = _error(items[1], 3, "execution reverted", "0x" + CREDIT_MISSING.hex())
        answers[2] = _error(items[2], -32005, "limit exceeded")
        answers[3] = {"jsonrpc": "2.0", "id": items[3]["id"]}
        answers[4]["result"] = None
        return 200, answers

    node.script = script
    first, *others, last = node.gateway.calls(_calls(6))
    assert (first, last) == (_expected(6)[0], _expected(6)[5])
    assert [type(item) for item in others[:1]] == [abi.REVERTS["CreditMissing"]]
    assert all(isinstance(item, TransientChainError) for item in others[1:])


def test_batch_of_broadcasts_types_each_refusal(node: Node) -> None:
    """A transaction that is known already is no reason to doubt the next."""

    def script(items: list[Item], batched: bool) -> tuple[int, Any]:
        answers = [_answer(item) for item in items]
        answers[0] = _error(items[0], -32000, "already known")
        answers[2] = _error(items[2], -32000, "nonce too low: next nonce 7, tx nonce 5")
        return 200, answers

    node.script = script
    known, taken, late = node.gateway.send_raws([b"\x02a", b"\x02b", b"\x02c"])
    assert isinstance(known, TransactionKnown) and isinstance(late, NonceTooLow)
    assert taken == b"\x02b"


@pytest.mark.parametrize(
    "refusal",
    [
        lambda items: (200, _error(None, -32600, "batch requests are not supported")),
        lambda items: (200, [_error(items[0], -32600, "batch too large")]),
        lambda items: (200, [_error(item, -32003, "response too large") for item in items]),
        lambda items: (400, {}),
        lambda items: (413, {}),
    ],
)
def test_batch_that_is_refused_is_asked_in_smaller_ones_and_remembered(
    node: Node, refusal: Callable[[list[Item]], tuple[int, Any]]
) -> None:
    """A node that takes ten at once serves as well; it is not tried with a hundred each time."""
    node.script = lambda items, batched: refusal(items) if len(items) > 10 else (200, [_answer(item) for item in items])
    gateway = node.gateway
    assert gateway.calls(_calls(30)) == _expected(30)
    assert node.sizes == [30, 7, 7, 7, 7, 2]
    assert gateway.calls(_calls(8)) == _expected(8)
    assert node.sizes[6:] == [7, 1]


def test_node_without_batches_is_asked_one_by_one(node: Node) -> None:
    """Batches are an offer: without them everything still works, slower."""

    def script(items: list[Item], batched: bool) -> tuple[int, Any]:
        if batched:
            return 200, _error(None, -32700, "parse error")
        bad = items[0]["params"][0]["data"] == "0x0003"
        return 200, [_error(items[0], 3, "execution reverted", "0x") if bad else _answer(items[0])]

    node.script = script
    answers = node.gateway.calls(_calls(5))
    assert isinstance(answers[3], ContractRevert)
    assert answers[:3] + answers[4:] == _expected(3) + _expected(5)[4:]


@pytest.mark.parametrize("answer", [(429, {}), (503, {}), (200, _error(None, -32005, "too many requests")), (200, 7)])
def test_batch_failing_as_a_whole_is_transient_and_not_repeated(node: Node, answer: tuple[int, Any]) -> None:
    """A node that is busy is left alone: asking again in smaller pieces would be many requests instead of one."""
    node.script = lambda items, batched: answer
    with pytest.raises(TransientChainError) as caught:
        node.gateway.receipts([bytes(32), b"\x01" * 32])
    assert "secret" not in str(caught.value)
    assert len(node.sizes) == 1


def test_batch_breaking_off_in_the_middle_keeps_what_was_answered(node: Node) -> None:
    """What the node took before it failed is known to be taken; the rest is known not to be known."""
    node.script = lambda items, batched: (200, [_answer(item) for item in items]) if len(node.sizes) < 2 else (503, {})
    answers = node.gateway.send_raws([bytes([2, number]) for number in range(150)])
    assert answers[:100] == [bytes([2, number]) for number in range(100)]
    assert len(answers) == 150 and all(isinstance(answer, TransientChainError) for answer in answers[100:])
    assert len(node.sizes) == 2


@pytest.mark.parametrize("fault", ["foreign", "garbage", "error"])
def test_receipts_that_cannot_be_trusted_are_no_receipts(node: Node, fault: str) -> None:
    """Another transaction's receipt would confirm what was never mined; an error is not the same as "not mined"."""

    def script(items: list[Item], batched: bool) -> tuple[int, Any]:
        answers = [{**_answer(item), "result": None} for item in items]
        if fault == "error":
            answers[1] = _error(items[1], -32000, "transaction indexing is in progress")
        elif fault == "garbage":
            answers[1]["result"] = {"blockHash": "0x01"}
        else:
            places = {"blockHash": "0x" + "01" * 32, "blockNumber": "0x1", "status": "0x1", "gasUsed": "0x1"}
            answers[1]["result"] = places | {"transactionHash": "0x" + "09" * 32, "logs": []}
        return 200, answers

    node.script = script
    with pytest.raises(ChainError):
        node.gateway.receipts([bytes(32), b"\x01" * 32])
    node.script = lambda items, batched: (200, [{**_answer(item), "result": None} for item in items])
    assert node.gateway.receipts([bytes(32), b"\x01" * 32]) == [None, None]


def test_batch_of_large_parameters_is_split_by_size(node: Node) -> None:
    """Nodes refuse bodies of some megabytes, and a hundred proposals may be more."""
    calls = [Call(to=TARGET, data=bytes(100_000)) for _ in range(10)]
    assert len(node.gateway.calls(calls)) == 10
    assert max(node.sizes) == 4 and sum(node.sizes) == 10


def test_batch_size_that_was_refused_is_tried_again_after_a_while() -> None:
    """The node behind a URL may be exchanged: small batches are not for good."""
    now = [0.0]
    sizes = BatchSize(clock=lambda: now[0])
    many = [("0x",)] * 500
    sizes.refused(100)
    assert sizes.take(many, 0) == 25
    sizes.refused(1)
    assert sizes.take(many, 499) == 1
    now[0] = FORGET_S + 1
    assert sizes.take(many, 0) == 100
