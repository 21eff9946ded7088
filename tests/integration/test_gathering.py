"""Many states in one call: the same answers as one by one, from every node, at every size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import cast

import pytest
from tests.support.watcher_world import WatcherWorld, open_world

from sworn.chain.gateway import BlockRef, Call, Gateway
from sworn.chain.gathering import LEAST, Gathering
from sworn.errors import ChainError, ConfigurationError, RateLimited, SwornError, TransientChainError
from sworn.testing.local_chain import ChainKind, start_chain
from sworn.types import Address, RequestId, Status
from sworn.watcher import calldata


@pytest.fixture(scope="module", params=[ChainKind.EMBEDDED, pytest.param(ChainKind.ANVIL, marks=pytest.mark.anvil)])
def world(request: pytest.FixtureRequest) -> Iterator[WatcherWorld]:
    """Contracts on either chain."""
    with start_chain(request.param) as chain:
        yield open_world(chain)


@dataclass(slots=True)
class Node:
    """A gateway to a chain that counts what it is asked, and answers calls that create something as it is told."""

    world: WatcherWorld
    refusal: ChainError | bytes | None = None
    #: What all of a request ends with that has such a call in it, as over HTTP.
    raised: SwornError | None = None
    asked: list[Call] = field(default_factory=list)

    def calls(self, calls: Sequence[Call], *, block: BlockRef = "latest") -> list[bytes | ChainError]:
        """Each call's answer."""
        self.asked += calls
        if self.raised is not None and self.asked[-1].to is None:
            raise self.raised
        answers = self.world.chain.gateway.calls(calls, block=block)
        if self.refusal is None:
            return answers
        return [self.refusal if call.to is None else answer for call, answer in zip(calls, answers, strict=True)]

    @property
    def gathered(self) -> int:
        """How many calls asked for many states."""
        return sum(call.to is None for call in self.asked)


def _gathering(node: Node, contract: Address | None = None, *, clock: float = 0.0) -> Gathering:
    return Gathering(
        cast(Gateway, node),
        contract or node.world.deployment.oracle,
        ask_bytes=calldata.STATE_DATA_BYTES,
        answer_bytes=calldata.STATE_BYTES,
        clock=lambda: clock,
    )


def _ids(known: Sequence[RequestId], count: int) -> list[bytes]:
    """The calldata of questions about so many requests, the known ones spread among others that nobody made."""
    strange = [number.to_bytes(32) for number in range(count - len(known))]
    return [calldata.state_data(RequestId(each)) for each in [known[0], *strange, *known[1:]]]


@pytest.mark.parametrize("count", [LEAST, 110])
def test_states_of_a_crowd_are_those_read_one_by_one(world: WatcherWorld, count: int) -> None:
    """A state that slipped to its neighbour would have a job proposed that is over, or dropped that is open."""
    payload = world.payload(1.0, 2.0)
    known = [world.request(payload, salt=1_000 * count + salt).request_id for salt in range(2)]
    asked = _ids(known, count)
    singly = [world.chain.gateway.call(Call(to=world.deployment.oracle, data=data), block="latest") for data in asked]
    assert _gathering(Node(world)).ask(asked, block="latest") == singly
    states = world.contracts.states_of([RequestId(data[4:]) for data in asked])
    requested = [state for state in states if not isinstance(state, ChainError) and state.status is Status.REQUESTED]
    assert len(requested) == len(known)


def test_node_with_many_questions_is_asked_few_times(world: WatcherWorld) -> None:
    """Otherwise a watcher with hundreds of results a second would mostly wait for its node."""
    node = Node(world)
    asked = _ids([world.request(world.payload(1.0, 3.0), salt=7).request_id], 120)
    _gathering(node).ask(asked, block="latest")
    few = world.chain.kind is ChainKind.ANVIL
    assert node.gathered == 2 and (len(node.asked) == 2 if few else True)


@pytest.mark.parametrize("refusal", [b"", bytes(31), ChainError("no creation here")], ids=["empty", "short", "error"])
def test_node_that_does_not_answer_so_is_asked_one_by_one(world: WatcherWorld, refusal: ChainError | bytes) -> None:
    """A provider that forbids it must not stop the node; and it is not asked for it again in every turn."""
    node, asked = Node(world, refusal), _ids([RequestId(b"\x08" * 32)], LEAST)
    gathering = _gathering(node)
    answers = gathering.ask(asked, block="latest")
    assert all(isinstance(answer, bytes) and len(answer) == calldata.STATE_BYTES for answer in answers)
    before = node.gathered
    assert gathering.ask(asked, block="latest") == answers
    assert node.gathered == before


@pytest.mark.parametrize(
    "raised", [ChainError("400"), ConfigurationError("403"), TransientChainError("500")], ids=["400", "403", "500"]
)
def test_node_that_refuses_it_by_an_http_status_is_asked_one_by_one(world: WatcherWorld, raised: SwornError) -> None:
    """Some nodes and proxies refuse the whole request: with twenty jobs in hand every turn would fail for ever."""
    node, asked = Node(world, raised=raised), _ids([RequestId(b"\x09" * 32)], LEAST)
    gathering = _gathering(node)
    assert all(isinstance(answer, bytes) for answer in gathering.ask(asked, block="latest"))
    gathering.ask(asked, block="latest")
    assert node.gathered == 1


def test_node_that_wants_fewer_requests_is_not_asked_for_more_of_them(world: WatcherWorld) -> None:
    """Twenty calls in the place of one would answer a limit by breaking it further."""
    node, asked = Node(world, raised=RateLimited("429")), _ids([RequestId(b"\x09" * 32)], LEAST)
    with pytest.raises(RateLimited):
        _gathering(node).ask(asked, block="latest")
    assert len(node.asked) == 1


def test_node_in_passing_trouble_is_asked_for_many_again(world: WatcherWorld) -> None:
    """One lost answer says nothing about what a node can do."""
    node, asked = Node(world, TransientChainError("away")), _ids([RequestId(b"\x07" * 32)], LEAST)
    gathering = _gathering(node)
    gathering.ask(asked, block="latest")
    gathering.ask(asked, block="latest")
    assert node.gathered == 2


def test_contract_that_is_not_there_gives_no_states(world: WatcherWorld) -> None:
    """Zeros in place of no answer would read as requests that nobody made."""
    asked = _ids([RequestId(b"\x07" * 32)], LEAST)
    assert _gathering(Node(world), Address("0x" + "77" * 20)).ask(asked, block="latest") == [b""] * LEAST
