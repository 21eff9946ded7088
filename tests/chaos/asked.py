"""Requests of several requesters through a storm, and what has become of each."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any, Final

from tests.chaos.storm import Storm
from tests.support.watcher_world import ETHER, WINDOW_S, WatcherWorld

from sworn.abi import interface
from sworn.chain.signer import LocalSigner
from sworn.codec.hashing import request_id
from sworn.codec.structs import request_params_to_abi, request_to_abi
from sworn.types import Request, RequestId, Status

#: Accounts of the chain that ask.
REQUESTERS: Final = range(4, 9)
#: Every so many requests one cannot be answered (its output is infinite), and one leaves too little time.
BAD_EVERY, LATE_EVERY = 17, 23
_FEE_WEI = ETHER // 1000
_LIFE_S = 48 * 3600


@dataclass(slots=True, kw_only=True)
class Asked:
    """What was asked for, by id."""

    world: WatcherWorld
    storm: Storm
    #: Seconds until a request's deadline.
    life_s: int = _LIFE_S
    #: Every so many requests one leaves too little time; 0 = none does.
    late_every: int = LATE_EVERY
    requests: dict[RequestId, Request] = field(default_factory=dict)
    bad: set[RequestId] = field(default_factory=set)
    late: set[RequestId] = field(default_factory=set)
    _nonces: dict[str, int] = field(default_factory=dict)

    def ask(self, count: int) -> None:
        """Signs and sends so many requests more."""
        for _ in range(count):
            self._ask(len(self.requests))

    def expire(self) -> None:
        """Ends, as anybody may, what nobody answered in time."""
        now = self.world.chain.gateway.block("latest").timestamp
        for identity, request in self.requests.items():
            state = self.world.contracts.state_of(identity)
            if state.status is Status.REQUESTED and now > request.deadline + state.extension_s:
                data = interface("InferenceOracle").encode("expire", request_to_abi(request))
                self._send(self._requester(0), data, value_wei=0)

    def statuses(self) -> Counter[Status]:
        """How many requests are where."""
        return Counter(self.world.contracts.state_of(identity).status for identity in self.requests)

    def events(self, name: str) -> Counter[RequestId]:
        """How often the oracle emitted an event for each request, on the chain as it is now."""
        oracle, gateway = interface("InferenceOracle"), self.world.chain.gateway
        logs = gateway.logs(
            addresses=[self.world.deployment.oracle],
            topics=[oracle.topic(name)],
            from_block=self.world.deployment.block,
            to_block=gateway.block("latest").number,
        )
        found: list[dict[str, Any]] = [dict(oracle.decode_log(log.topics, log.data).arguments) for log in logs]
        return Counter(RequestId(event["requestId"]) for event in found)

    def _ask(self, number: int) -> None:
        world, requester = self.world, self._requester(number)
        is_bad = number % BAD_EVERY == BAD_EVERY - 1
        is_late = self.late_every > 0 and number % self.late_every == self.late_every - 1
        payload = world.payload(0.0 if is_bad else 2.0, number + 1.0)
        draft = world.draft(payload, salt=number, requester=requester.address)
        life = 40 if is_late else self.life_s
        request = replace(draft, fee_wei=_FEE_WEI, deadline=draft.deadline - 3600 + life, window_s=WINDOW_S)
        identity = request_id(request, chain_id=world.domain.chain_id, oracle=world.domain.oracle)
        self.requests[identity] = request
        if is_bad:
            self.bad.add(identity)
        if is_late:
            self.late.add(identity)
        data = interface("InferenceOracle").encode("request", request_params_to_abi(request), payload)
        self._send(requester, data, value_wei=request.fee_wei)

    def _requester(self, number: int) -> LocalSigner:
        return self.world.chain.signers[REQUESTERS[number % len(REQUESTERS)]]

    def _send(self, sender: LocalSigner, data: bytes, *, value_wei: int) -> None:
        if sender.address not in self._nonces:
            self._nonces[sender.address] = self.world.chain.gateway.nonce(sender.address)
        raw = sender.sign_transaction(
            {
                "type": 2,
                "chainId": self.world.deployment.chain_id,
                "nonce": self._nonces[sender.address],
                "to": self.world.deployment.oracle,
                "data": data,
                "value": value_wei,
                "gas": 300_000,
                # Mined at any base fee that a storm brings.
                "maxFeePerGas": 10**13,
                "maxPriorityFeePerGas": 10**9,
            }
        )
        self._nonces[sender.address] += 1
        self.storm.send(sender.address, raw)
