from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import cast

import pytest
from tests.support import store_rows
from tests.support.store_rows import OPERATOR, ORACLE

from sworn.chain.follower import BlockId, Step
from sworn.chain.gateway import Block, BlockRef, Gateway, Log
from sworn.errors import ChainError, TransientChainError
from sworn.types import ZERO_ADDRESS, Address, CallbackKind, Deployment, Request, RequestId, RequestState, Status
from sworn.watcher import calldata
from sworn.watcher.contracts import Contracts
from sworn.watcher.intake import LONG_AGO_S, MAX_EXTENSION_S, REQUESTS, Intake
from sworn.watcher.logs import make_logger
from sworn.watcher.store.database import open_database
from sworn.watcher.store.jobs import JobStore
from sworn.watcher.store.tables import METADATA

NOW = 10**9
HEAD = Block(number=100, hash=b"\x01" * 32, parent_hash=b"\x02" * 32, timestamp=NOW, base_fee=1)


@dataclass(slots=True)
class Past:
    """A chain whose logs are given, and a follower that brings them all in one step."""

    logs: list[Log] = field(default_factory=list)
    states: dict[RequestId, Status | ChainError] = field(default_factory=dict)
    extension_s: int = 0
    caught_up: bool = False
    asked: list[RequestId] = field(default_factory=list)

    def step(self, history: Sequence[BlockId]) -> Step:
        """Everything at once."""
        return Step(logs=tuple(self.logs), history=(BlockId(number=90, hash=b"\x03" * 32),), caught_up=self.caught_up)

    def block(self, ref: BlockRef) -> Block:
        """The head, whatever is asked for."""
        return HEAD

    def add(self, number: int, *, deadline: int, operator: Address = OPERATOR) -> RequestId:
        """A request with a deadline."""
        plain = store_rows.job(number).request
        request = replace(plain, deadline=deadline, operator=operator, salt=number.to_bytes(32), callback_gas=0)
        identity = calldata.request_id(request, chain_id=1, oracle=ORACLE)
        self.logs.append(_log(identity, request))
        return identity


class _Reader(Contracts):
    """Contracts whose states are given."""

    def states_of(
        self, requests: Sequence[RequestId], *, block: BlockRef = "latest"
    ) -> list[RequestState | ChainError]:
        past = cast(Past, self.gateway)
        past.asked += requests
        return [_state(past.states.get(request, Status.REQUESTED), past.extension_s) for request in requests]


def _state(status: Status | ChainError, extension_s: int) -> RequestState | ChainError:
    if isinstance(status, ChainError):
        return status
    return RequestState(
        status=status,
        pending=CallbackKind.NONE,
        round=0,
        has_barred=False,
        extension_s=extension_s,
        proposed_at=0,
        result_tag=bytes(20),
    )


def _log(identity: RequestId, request: Request) -> Log:
    data = calldata.request_words(request) + (13 * 32).to_bytes(32) + (2).to_bytes(32) + b"\x01\x02".ljust(32, b"\0")
    operator = bytes(12) + bytes.fromhex(request.operator[2:])
    return Log(
        address=ORACLE,
        topics=(calldata.topic(), identity, request.model_id, operator),
        data=data,
        block_number=7,
        block_hash=b"\x04" * 32,
        transaction_hash=b"\x05" * 32,
        log_index=0,
    )


@pytest.fixture
def past() -> Past:
    """A chain without requests."""
    return Past()


def _followed(past: Past) -> tuple[set[RequestId], str]:
    database = open_database("sqlite://")
    METADATA.create_all(database.engine)
    store = JobStore(database=database)
    logs = io.StringIO()
    deployment = cast(Deployment, _Deployment())
    intake = Intake(
        follower=past,
        contracts=_Reader(gateway=cast(Gateway, past), deployment=deployment),
        store=store,
        log=make_logger(logs),
        checkpoint=lambda point: None,
    )
    assert intake.follow()
    assert store.history(REQUESTS) == (BlockId(number=90, hash=b"\x03" * 32),)
    return {job.request_id for job in store.jobs()}, logs.getvalue()


class _Deployment:
    chain_id = 1
    oracle = ORACLE


def test_named_request_of_long_ago_makes_no_job_and_no_question(past: Past) -> None:
    """Nothing can bring it back: a million of them cost neither a row nor a read."""
    for number in range(20):
        past.add(number, deadline=NOW - LONG_AGO_S - 1)
    jobs, logs = _followed(past)
    assert (jobs, past.asked) == (set(), [])
    assert '"requests_passed_over"' in logs and '"count": 20' in logs


def test_named_request_of_yesterday_is_looked_at(past: Past) -> None:
    """A deadline that has only just passed is judged by the chain, not by our view of time."""
    past.caught_up = True
    identity = past.add(1, deadline=NOW - LONG_AGO_S + 1)
    assert _followed(past)[0] == {identity}


def test_open_request_whose_rival_result_may_be_refuted_is_kept(past: Past) -> None:
    """It can come back to life long after its deadline, and then its fee is there to be earned."""
    standing, ended, reopened = (
        past.add(number, deadline=NOW - 5 * LONG_AGO_S, operator=ZERO_ADDRESS) for number in range(3)
    )
    past.states = {standing: Status.PROPOSED, ended: Status.FINALIZED, reopened: Status.REQUESTED}
    assert _followed(past)[0] == {standing}
    past.extension_s = 6 * LONG_AGO_S
    assert _followed(past)[0] == {standing, reopened}


def test_open_request_beyond_every_extension_is_not_even_asked_about(past: Past) -> None:
    """Two months after its deadline nobody can answer it any more."""
    past.add(1, deadline=NOW - MAX_EXTENSION_S - LONG_AGO_S - 1, operator=ZERO_ADDRESS)
    assert (_followed(past)[0], past.asked) == (set(), [])


def test_request_that_ended_before_its_deadline_is_passed_over_behind_the_head(past: Past) -> None:
    """Catching up, what is already final makes no job; what waits for an answer does."""
    final, waiting = (past.add(number, deadline=NOW + 1000) for number in (1, 2))
    past.states = {final: Status.FINALIZED}
    assert _followed(past)[0] == {waiting}


def test_request_at_the_head_becomes_a_job_without_a_question(past: Past) -> None:
    """New requests are stored at once: states are read when they are worked on."""
    past.caught_up = True
    identity = past.add(1, deadline=NOW + 1000)
    past.states = {identity: Status.FINALIZED}
    assert (_followed(past)[0], past.asked) == ({identity}, [])


def test_crowd_of_new_requests_becomes_jobs_without_a_question(past: Past) -> None:
    """A question for each of them would keep the engine waiting for seconds, just when there is the most to do."""
    new = {past.add(number, deadline=NOW + 1000) for number in range(3)}
    past.logs = [replace(log, block_number=HEAD.number - 1) for log in past.logs]
    assert (_followed(past)[0], past.asked) == (new, [])


def test_request_whose_state_cannot_be_read_is_kept(past: Past) -> None:
    """Silence of a node is no reason to forget a request."""
    identity = past.add(1, deadline=NOW + 1000)
    past.states = {identity: TransientChainError("away")}
    assert _followed(past)[0] == {identity}
