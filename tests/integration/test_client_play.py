"""Whole disputes played by the client: nothing is told to it but which answer is meant."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper
from tests.support import graphs
from tests.support.client_world import ETHER, World, open_world
from tests.support.lying_operator import Lie, compiled, swear, tell_lie

import sworn
from sworn.client import Client, DisputeHandle
from sworn.errors import ConfigurationError, RequestTimeout
from sworn.testing.local_chain import ChainKind
from sworn.types import DisputeStatus, Status
from sworn.verification import CompiledModel, Trace

CHALLENGER, FRIEND = 5, 6
VALUE_AT_RISK = ETHER // 4
#: x: float32[1, 4] → y: float32[1, 2], a product of matrices.
PRODUCT = graphs.build(
    [helper.make_node("MatMul", ["x", "w"], ["y"])],
    [("x", TensorProto.FLOAT, (1, 4))],
    [("y", TensorProto.FLOAT, (1, 2))],
    [helper.make_tensor("w", TensorProto.FLOAT, [4, 2], [0.1 * number for number in range(1, 9)])],
)
INPUTS = {"x": np.array([[0.3, 1.7, -2.9, 0.7]], np.float32)}


@pytest.fixture(scope="module")
def stage() -> Iterator[World]:
    """A deployment whose operator takes on high risks."""
    with open_world(ChainKind.EMBEDDED) as world:
        world.enrol(stake_wei=2 * ETHER)
        world.client(1).operator.set_offer(
            world.model_id, price_wei=ETHER // 1000, max_value_at_risk_wei=ETHER, max_window_s=3600, max_callback_gas=0
        )
        yield world


@pytest.fixture
def world(stage: World) -> Iterator[World]:
    """The stage for one test."""
    mark = stage.chain.snapshot()
    yield stage
    stage.chain.revert(mark)


@pytest.fixture
def lie(world: World) -> Lie:
    """A false answer with ten minutes to challenge it."""
    return tell_lie(world, window=600, value_at_risk=VALUE_AT_RISK)


def player(world: World, *, pause: Callable[[], None] = lambda: None, step_s: int = 300) -> Client:
    """A client for whom waiting is a journey: five blocks, some minutes, and whatever others do meanwhile."""

    def sleep(seconds: float) -> None:
        pause()
        world.chain.mine(5)
        world.chain.advance(step_s)

    return world.client(CHALLENGER, sleep=sleep)


def test_play_against_an_operator_that_answers_proves_the_one_element(world: World, lie: Lie) -> None:
    """Opened, demanded, found, committed, proven, claimed, withdrawn: all by itself, and it pays."""
    others = world.client(None).dispute(lie.handle)
    client, told = player(world, pause=lambda: lie.defend(others)), list[str]()
    before = world.chain.gateway.balance(client.address)
    report = client.dispute(lie.handle).play(model=compiled(world.artifact), on_step=told.append)
    assert report.status is DisputeStatus.REFUTED and report.dispute.prover == client.address
    proven = next(each for each in report.timeline if each.name == "FaultProven")
    assert f"value {lie.fault.value}, element {lie.fault.index}" in proven.text
    moves = ("challenge the result", "demand a", "commit to", "prove", "claim bond", "withdraw")
    assert [any(line.startswith(move) for line in told) for move in moves] == [True] * 6
    assert lie.handle.status().status is Status.REFUTED
    assert client.reward() == 0 and world.chain.gateway.balance(client.address) > before


def test_play_against_a_silent_operator_convicts_it_for_that(world: World, lie: Lie) -> None:
    """Nobody answers: the conviction comes one look after the deadline, and everything is paid out."""
    client = player(world, step_s=1800)
    report = client.dispute(lie.handle).play(model=world.artifact)
    assert report.status is DisputeStatus.REFUTED
    assert [each.name for each in report.timeline] == ["DisputeOpened", "SilenceConvicted", "ShareClaimed"]
    assert world.client().reward() == VALUE_AT_RISK


def test_play_where_a_friend_has_opened_joins_and_wins(world: World, lie: Lie) -> None:
    """Who opened does not matter: the prover gets nine tenths."""
    friend = world.client(FRIEND).dispute(lie.handle)
    friend.open()
    client = player(world, pause=lambda: lie.defend(friend))
    world.store.put(world.artifact)
    handle = client.dispute(lie.handle.request_id, auto=True)
    assert handle.state().dispute.prover == client.address
    assert [each.name for each in handle.state().timeline][:2] == ["DisputeOpened", "DisputeJoined"]


def test_play_that_was_interrupted_goes_on_from_the_chain(world: World, lie: Lie) -> None:
    """Stopped after every move and started again as another process would: it never starts over, and wins."""
    others = world.client(None).dispute(lie.handle)
    model, rounds = compiled(world.artifact), 0
    while True:
        rounds += 1
        assert rounds < 200
        try:
            again = player(world, pause=lambda: lie.defend(others)).dispute(lie.handle.request_id)
            report = again.play(model=model, on_step=_Interrupting())
            break
        except _InterruptedError:
            lie.defend(others)
            world.chain.mine(5)
            world.chain.advance(300)
    names = [each.name for each in report.timeline]
    assert names.count("DisputeOpened") == names.count("FaultCommitted") == names.count("FaultProven") == 1
    assert rounds > 4 and report.status is DisputeStatus.REFUTED


class _InterruptedError(Exception):
    """The process ends here."""


class _Interrupting:
    """Lets one step through, and ends the process at the next."""

    def __init__(self) -> None:
        self._seen = 0

    def __call__(self, words: str) -> None:
        self._seen += 1
        if self._seen > 1:
            raise _InterruptedError(words)


def test_play_over_a_true_answer_puts_no_bond_at_stake(world: World) -> None:
    """The model says the same: nothing is sent."""
    handle = world.request(window=600)
    swear(world, handle, compiled(world.artifact).trace(world.row.inputs))
    client = player(world)
    before = world.chain.gateway.balance(client.address)
    with pytest.raises(ConfigurationError, match="not known to be false"):
        client.dispute(handle).play(model=compiled(world.artifact))
    assert world.chain.gateway.balance(client.address) == before


def test_play_over_a_true_answer_that_was_opened_by_hand_ends_for_the_operator(world: World) -> None:
    """Whoever has posted a bond plays on to the end, and loses it when there is nothing to find."""
    handle = world.request(window=600)
    swear(world, handle, compiled(world.artifact).trace(world.row.inputs))
    client = player(world, step_s=7200)
    dispute = client.dispute(handle)
    dispute.open()
    report = dispute.play(model=compiled(world.artifact))
    assert report.status is DisputeStatus.UPHELD and client.reward() == 0


@pytest.mark.parametrize("has_trace", [True, False])
def test_play_in_profile_bounded_needs_the_trace_or_a_hand(world: World, has_trace: bool) -> None:
    """With the operator's trace the lie is known; without it somebody opens by hand, and all of it is demanded."""
    model = sworn.compile_model(PRODUCT, profile="bounded")
    false = moved_run(model, INPUTS)
    world.client(1).register_model(PRODUCT, profile="bounded")
    world.client(1).operator.set_offer(
        model, price_wei=ETHER // 1000, max_value_at_risk_wei=ETHER, max_window_s=3600, max_callback_gas=0
    )
    handle = world.client().request(model=model, inputs=INPUTS, window=600, value_at_risk=VALUE_AT_RISK)
    swear(world, handle, false)
    lie = Lie(world=world, handle=handle, trace=false)
    others = world.client(None).dispute(handle)
    dispute = player(world, pause=lambda: lie.defend(others)).dispute(handle)
    if not has_trace:
        with pytest.raises(ConfigurationError, match="by hand"):
            dispute.play(model=model)
        dispute.open()
    report = dispute.play(model=model, trace=false if has_trace else None)
    assert report.status is DisputeStatus.REFUTED
    assert any(each.name == "FaultProven" for each in report.timeline)
    assert bool(report.demands) is not has_trace


def moved_run(model: CompiledModel, inputs: dict[str, NDArray[np.float32]]) -> Trace:
    """A run whose first output element is one too high."""
    honest = model.trace(inputs)
    value = model.program.outputs[0].value
    values = [np.asarray(each).copy() for each in honest.values]
    values[value].reshape(-1)[0] += np.float32(1)
    return Trace.of(model.subject, values)


def test_play_beyond_its_time_says_what_it_was_waiting_for(world: World, lie: Lie) -> None:
    """The timeout ends the waiting, not the dispute."""
    client = world.client(CHALLENGER)
    with pytest.raises(RequestTimeout, match="has not committed to a trace"):
        client.dispute(lie.handle).play(model=compiled(world.artifact), timeout=0.2)
    (record,) = client.disputes()
    assert record.status is DisputeStatus.OPEN


async def test_async_play_wins_as_the_blocking_one_does(world: World, lie: Lie) -> None:
    """The written twin; the operator is silent."""
    client = world.async_client(CHALLENGER)
    dispute = await client.dispute(lie.handle.request_id)
    await dispute.open()
    world.chain.advance(world.deployment.parameters["traceSeconds"] + 1)
    report = await dispute.play(model=compiled(world.artifact), timeout=10)
    assert report.status is DisputeStatus.REFUTED
    assert DisputeHandle.play.__doc__ is not None and "Plays the whole dispute" in DisputeHandle.play.__doc__
