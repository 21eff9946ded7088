from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sworn.chain.follower import BlockId, Finality, LogFollower
from sworn.chain.gateway import Block, BlockRef, Log, Topic
from sworn.errors import TransientChainError
from sworn.testing.gateway import Emission, MemoryGateway
from sworn.types import Address

CONTRACT = Address("0x" + "Aa" * 20)
TOPIC = b"\x01" * 32


def _emission(number: int) -> Emission:
    return Emission(address=CONTRACT, topics=(TOPIC,), data=number.to_bytes(32, "big"))


def _follower(gateway: MemoryGateway, *, confirmations: int = 0, max_range: int = 10, history: int = 8) -> LogFollower:
    return LogFollower(
        gateway=gateway,
        addresses=(CONTRACT,),
        topics=(TOPIC,),
        start_block=1,
        confirmations=confirmations,
        max_range=max_range,
        history_length=history,
    )


class Ledger:
    """What a caller would store: history and the logs that stand."""

    def __init__(self) -> None:
        self.history: tuple[BlockId, ...] = ()
        self.logs: list[Log] = []
        self.rewinds: list[int] = []

    def follow(self, follower: LogFollower) -> None:
        """Steps until the follower says that it has caught up."""
        for _ in range(200):
            step = follower.step(self.history)
            if step.rewound_to is not None:
                self.rewinds.append(step.rewound_to)
                self.logs = [log for log in self.logs if log.block_number <= (step.rewound_to or 0)]
            self.logs.extend(step.logs)
            self.history = step.history
            if step.caught_up:
                return
        raise AssertionError("the follower never caught up")


def _standing(gateway: MemoryGateway) -> list[Log]:
    return [log for block in gateway.blocks for log in block.logs]


def test_follower_long_chain_yields_every_log_once() -> None:
    """Logs over many ranges arrive once each, in order."""
    gateway, ledger = MemoryGateway(), Ledger()
    for number in range(25):
        gateway.mine(2, emissions=[_emission(number)])
    ledger.follow(_follower(gateway))
    assert ledger.logs == _standing(gateway)
    assert ledger.history[-1].hash == gateway.block("latest").hash


def test_follower_with_confirmations_stays_behind() -> None:
    """A log is reported only when enough blocks lie above it."""
    gateway, ledger = MemoryGateway(), Ledger()
    follower = _follower(gateway, confirmations=3)
    gateway.mine(emissions=[_emission(0)])
    gateway.mine(2)
    ledger.follow(follower)
    assert ledger.logs == []
    gateway.mine()
    ledger.follow(follower)
    assert len(ledger.logs) == 1


def test_follower_after_reorg_rewinds_to_the_common_ancestor() -> None:
    """A reorg is reported as a rewind to a block that still stands, before the new logs."""
    gateway, ledger = MemoryGateway(), Ledger()
    follower = _follower(gateway)
    for number in range(5):
        gateway.mine(emissions=[_emission(number)])
        ledger.follow(follower)
    gateway.reorganise(2)
    gateway.mine(emissions=[_emission(9)])
    ledger.follow(follower)
    assert ledger.rewinds == [3]
    assert ledger.logs == _standing(gateway)


def test_follower_reorg_of_everything_starts_over() -> None:
    """When no stored block stands any more, everything is void and read again."""
    gateway, ledger = MemoryGateway(), Ledger()
    follower = _follower(gateway, history=3)
    for number in range(10):
        gateway.mine(emissions=[_emission(number)])
        ledger.follow(follower)
    gateway.reorganise(10)
    gateway.mine()
    ledger.follow(follower)
    assert ledger.rewinds == [0]
    assert ledger.logs == _standing(gateway)


@pytest.mark.parametrize("depth", [3, 10, 40, 200, 700])
def test_follower_reorg_deeper_than_the_dense_history_is_not_undone_to_the_start(depth: int) -> None:
    """A deep reorg costs in proportion to its depth, not to the age of the chain, and is found by few questions."""
    gateway, ledger = MemoryGateway(), Ledger()
    follower = _follower(gateway, history=4)
    for number in range(1_000):
        gateway.mine(emissions=[_emission(number)] if number % 50 == 0 else [])
        ledger.follow(follower)
    assert len(ledger.history) < 30
    tip = ledger.history[-1].number
    gateway.reorganise(depth)
    step = follower.step(ledger.history)
    assert step.rewound_to is not None and tip - 4 * depth - 4 <= step.rewound_to <= tip - depth
    assert step.reorg_depth == tip - step.rewound_to
    ledger.follow(follower)
    assert ledger.logs == _standing(gateway)


def test_follower_node_behind_changes_nothing() -> None:
    """A node that lags behind the cursor is no reorg."""
    gateway, ledger = MemoryGateway(), Ledger()
    follower = _follower(gateway)
    gateway.mine(5)
    ledger.follow(follower)
    hidden = gateway.blocks[-2:]
    del gateway.blocks[-2:]
    step = follower.step(ledger.history)
    assert (step.rewound_to, step.history, step.logs) == (None, ledger.history, ())
    gateway.blocks.extend(hidden)
    assert follower.step(ledger.history).rewound_to is None


def test_follower_range_refused_halves_until_served() -> None:
    """A node that serves only short ranges is asked for shorter ones, and nothing is lost."""
    gateway, ledger = MemoryGateway(max_log_range=3), Ledger()
    for number in range(20):
        gateway.mine(emissions=[_emission(number)])
    ledger.follow(_follower(gateway, max_range=16))
    assert ledger.logs == _standing(gateway)


def test_follower_node_down_raises() -> None:
    """An unreachable node is reported, not hidden."""
    gateway = MemoryGateway()
    gateway.mine()
    gateway.outage = TransientChainError("down")
    with pytest.raises(TransientChainError):
        _follower(gateway).step(())


def test_follower_other_contracts_and_topics_are_left_out() -> None:
    """Only the asked-for addresses and topics are reported."""
    gateway, ledger = MemoryGateway(), Ledger()
    gateway.mine(
        emissions=[
            Emission(address=Address("0x" + "Bb" * 20), topics=(TOPIC,)),
            Emission(address=CONTRACT, topics=(b"\x02" * 32,)),
            _emission(1),
        ]
    )
    ledger.follow(_follower(gateway))
    assert [log.data for log in ledger.logs] == [(1).to_bytes(32, "big")]


class Bent(MemoryGateway):
    """A chain whose log answers are bent by a function."""

    bend: Callable[[list[Log]], list[Log]] = staticmethod(lambda logs: logs)

    def logs(
        self, *, addresses: Sequence[Address], topics: Sequence[Topic], from_block: int, to_block: int
    ) -> list[Log]:
        found = MemoryGateway.logs(self, addresses=addresses, topics=topics, from_block=from_block, to_block=to_block)
        return self.bend(found)


def _bent(bend: Callable[[list[Log]], list[Log]]) -> MemoryGateway:
    gateway = Bent()
    gateway.bend = bend
    gateway.mine(emissions=[_emission(1), _emission(2)])
    gateway.mine(3, emissions=[_emission(3)])
    return gateway


def test_follower_logs_twice_or_out_of_order_arrive_once_in_order() -> None:
    """Nodes that merge several answers repeat and shuffle: a request would run twice."""
    gateway, ledger = _bent(lambda logs: [*reversed(logs), *logs]), Ledger()
    ledger.follow(_follower(gateway))
    assert ledger.logs == _standing(gateway)


@pytest.mark.parametrize(
    "bend",
    [
        lambda logs: [replace(log, block_hash=b"\x07" * 32) for log in logs],
        lambda logs: [*logs, *(replace(log, data=b"other") for log in logs)],
        lambda logs: [replace(log, block_number=99) for log in logs],
        lambda logs: [replace(log, address=Address("0x" + "Bb" * 20)) for log in logs],
    ],
    ids=["another block", "two of one index", "outside the range", "another contract"],
)
def test_follower_logs_that_contradict_the_chain_are_refused(bend: Callable[[list[Log]], list[Log]]) -> None:
    """A log of a block that is not on the chain, or that was not asked for, is no reason to act; waiting is."""
    with pytest.raises(TransientChainError):
        _follower(_bent(bend)).step(())


def _steps(follower: LogFollower, history: Sequence[BlockId], count: int) -> None:
    for _ in range(count):
        history = follower.step(history).history


def test_follower_node_that_keeps_changing_its_mind_is_given_up_for_now() -> None:
    """A node that alternates between two chains must not be asked without a pause for ever."""
    gateway = MemoryGateway()
    gateway.mine(4)
    follower = _follower(gateway)
    history = follower.step(()).history

    def flicker(logs: list[Log]) -> list[Log]:
        gateway.reorganise(1)
        return logs

    bent = Bent(blocks=gateway.blocks)
    bent.blocks = gateway.blocks
    bent.bend = flicker
    gateway.mine(2)
    follower.gateway = bent
    with pytest.raises(TransientChainError):
        _steps(follower, history, 10)


@pytest.mark.parametrize(("finality", "reached"), [(Finality.SAFE, 6), (Finality.FINALIZED, 2)])
def test_follower_by_tag_follows_only_what_the_chain_calls_settled(finality: Finality, reached: int) -> None:
    """With a tag, nothing newer is followed, whatever the number of confirmations."""

    class Tagged(MemoryGateway):
        def block(self, ref: BlockRef) -> Block:
            return MemoryGateway.block(self, {"safe": 6, "finalized": 2}.get(str(ref), ref))

    gateway, ledger = Tagged(), Ledger()
    gateway.mine(10)
    follower = _follower(gateway)
    follower.finality = finality
    ledger.follow(follower)
    assert ledger.history[-1].number == reached


def test_follower_crowded_ranges_become_smaller() -> None:
    """A step is held in memory and stored in one transaction: a million logs must not come in one."""
    gateway = MemoryGateway()
    for number in range(60):
        gateway.mine(emissions=[_emission(number)] * 10)
    follower = replace(_follower(gateway, max_range=20), max_logs=50)
    history: tuple[BlockId, ...] = ()
    sizes = []
    while not history or history[-1].number < 60:
        step = follower.step(history)
        sizes.append(len(step.logs))
        history = step.history
    assert sizes[0] == 200 and max(sizes[1:]) == 50
    assert sum(sizes) == 600


def test_follower_begins_with_a_small_range_and_reads_a_quiet_chain_in_few_steps() -> None:
    """How crowded a chain is nobody knows before: with a million requests, a large first step fills the memory."""
    gateway = MemoryGateway()
    gateway.mine(1_000)
    follower = _follower(gateway, max_range=2_000)
    history: tuple[BlockId, ...] = ()
    ends = []
    while not history or history[-1].number < 1_000:
        history = follower.step(history).history
        ends.append(history[-1].number)
    assert ends[0] < 100 and len(ends) <= 6


@settings(max_examples=60, deadline=None)
@given(moves=st.lists(st.tuples(st.sampled_from(["mine", "log", "reorg", "follow"]), st.integers(1, 4)), max_size=30))
def test_follower_any_history_agrees_with_the_chain(moves: list[tuple[str, int]]) -> None:
    """After any mix of blocks, reorgs and steps, the standing logs are exactly the chain's."""
    gateway, ledger = MemoryGateway(), Ledger()
    follower = _follower(gateway, max_range=3, history=4)
    for number, (move, size) in enumerate(moves):
        if move == "mine":
            gateway.mine(size)
        elif move == "log":
            gateway.mine(emissions=[_emission(number)])
        elif move == "reorg" and len(gateway.blocks) > size:
            gateway.reorganise(size)
        else:
            ledger.follow(follower)
    ledger.follow(follower)
    assert ledger.logs == _standing(gateway)
