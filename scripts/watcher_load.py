"""Requests at will, and what became of them, for measuring a watcher: sent by a process that does nothing else."""

from __future__ import annotations

import multiprocessing
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import requests

from sworn.abi import interface
from sworn.chain.gateway import Log
from sworn.codec.hashing import request_id
from sworn.codec.structs import request_params_to_abi
from sworn.codec.trees import payload_root
from sworn.types import Assurance, Request, RequestId
from watcher_stage import WINDOW_S, Stage

#: Raw transactions in one JSON-RPC request.
_CHUNK: Final = 100
_FEE_WEI: Final = 10**15
_LIFETIME_S: Final = 36_000
_GAS: Final = 160_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A request that is signed and not sent."""

    request_id: RequestId
    request: Request
    payload: bytes
    raw: bytes


def signed(stage: Stage, count: int, *, first_salt: int) -> list[Ask]:
    """Requests to the operator, as transactions with consecutive nonces."""
    requester, chain_id = stage.requester, stage.deployment.chain_id
    nonce = stage.gateway.nonce(requester.address, block="pending")
    deadline = stage.gateway.block("latest").timestamp + _LIFETIME_S
    asks = []
    for number in range(count):
        payload = stage.payloads[number % len(stage.payloads)]
        request = Request(
            model_id=stage.model.model_id,
            input_root=payload_root(payload),
            requester=requester.address,
            operator=stage.operator.address,
            refund_to=requester.address,
            fee_wei=_FEE_WEI,
            value_at_risk_wei=0,
            callback_gas=0,
            window_s=WINDOW_S,
            deadline=deadline,
            assurance=Assurance.FINAL,
            salt=(first_salt + number).to_bytes(32),
        )
        raw = requester.sign_transaction(
            {
                "type": 2,
                "chainId": chain_id,
                "nonce": nonce + number,
                "to": stage.deployment.oracle,
                "data": interface("InferenceOracle").encode("request", request_params_to_abi(request), payload),
                "value": _FEE_WEI,
                "gas": _GAS,
                "maxFeePerGas": 10**12,
                "maxPriorityFeePerGas": 1,
            }
        )
        identity = request_id(request, chain_id=chain_id, oracle=stage.deployment.oracle)
        asks.append(Ask(request_id=identity, request=request, payload=payload, raw=raw))
    return asks


@contextmanager
def feeding(stage: Stage, asks: Sequence[Ask], *, per_s: float | None) -> Iterator[None]:
    """Sends requests from a process of its own: at a steady rate, or all at once."""
    raws = [ask.raw for ask in asks]
    feeder = multiprocessing.get_context("spawn").Process(target=_feed, args=(stage.url, raws, per_s), daemon=True)
    feeder.start()
    try:
        yield
        feeder.join()
    finally:
        feeder.kill()


def _feed(url: str, raws: list[bytes], per_s: float | None) -> None:
    session, begun = requests.Session(), time.monotonic()
    chunk = _CHUNK if per_s is None else max(int(per_s / 10), 1)
    for start in range(0, len(raws), chunk):
        if per_s is not None:
            time.sleep(max(begun + start / per_s - time.monotonic(), 0))
        body = [
            {"jsonrpc": "2.0", "id": number, "method": "eth_sendRawTransaction", "params": ["0x" + raw.hex()]}
            for number, raw in enumerate(raws[start : start + chunk])
        ]
        session.post(url, json=body, timeout=60).raise_for_status()


class Events:
    """What the oracle has emitted since a block, read as the chain grows."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._next = stage.gateway.block("latest").number + 1
        #: Block of each event, by name and request.
        self.blocks: dict[str, dict[bytes, int]] = {
            "InferenceRequested": {},
            "ResultProposed": {},
            "ResultFinalized": {},
        }

    def read(self) -> None:
        """Reads up to the newest block."""
        head = self._stage.gateway.block("latest").number
        if head < self._next:
            return
        oracle = interface("InferenceOracle")
        for name, found in self.blocks.items():
            for log in self._logs(oracle.topic(name), head):
                found[log.topics[1]] = log.block_number
        self._next = head + 1

    def _logs(self, topic: bytes, head: int) -> list[Log]:
        return self._stage.gateway.logs(
            addresses=[self._stage.deployment.oracle], topics=[topic], from_block=self._next, to_block=head
        )

    def wait(self, name: str, count: int, *, within_s: float) -> bool:
        """Waits until so many of an event are there; whether they came."""
        until = time.monotonic() + within_s
        while len(self.blocks[name]) < count and time.monotonic() < until:
            time.sleep(0.5)
            self.read()
        return len(self.blocks[name]) >= count

    def per_block(self, name: str) -> Counter[int]:
        """How many of an event each block has."""
        return Counter(self.blocks[name].values())
