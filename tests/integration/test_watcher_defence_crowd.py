"""Many disputes and demands at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.defence_world import ROOT, Bench, Hostile, open_bench, post
from tests.support.watcher_world import ETHER, open_world

from sworn.testing.anvil import AnvilChain
from sworn.types import ZERO_HASH, DisputeStatus, Part, Profile, Target
from sworn.watcher.defence.records import DefenceStatus

pytestmark = pytest.mark.anvil

CHUNK = Target(part=Part.CHUNKS, value=1)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A watcher of a model in profile exact, on an anvil of its own."""
    chain = AnvilChain()
    bench = open_bench(open_world(chain, stake_wei=100 * ETHER, profile=Profile.EXACT), tmp_path)
    yield bench
    bench.database.close()
    chain.close()


def test_twenty_disputes_at_once_are_all_upheld(bench: Bench) -> None:
    """More answers are owed than may be on their way at a time: all are given in time, and every dispute is ended."""
    hostile = Hostile(world=bench.world, signer=bench.world.chain.signers[4])
    posted = [post(bench.world, 2.0, number + 1.0, salt=number) for number in range(22)]
    bench.work()
    cases = [bench.case(each) for each in posted]
    for case in cases:
        hostile.challenge(case)
    bench.work()
    assert all(hostile.dispute(case).trace_root != ZERO_HASH for case in cases)
    demands = [hostile.demand(case, target) for case in cases for target in (ROOT, CHUNK)]
    bench.work()
    assert all(map(hostile.is_answered, demands))
    hostile.travel_to(hostile.clocks.ends_at(hostile.dispute(cases[-1])) + 1)
    bench.work()
    assert {hostile.dispute(case).status for case in cases} == {DisputeStatus.UPHELD}
    bench.work()
    assert {bench.defence(case).status for case in cases} == {DefenceStatus.UPHELD}
    # Paid out once, when the last of them was over.
    assert hostile.reward_of(bench.world.operator.address) == 0


def test_storm_of_demands_in_one_dispute_is_answered_whole(bench: Bench) -> None:
    """As many demands as one challenger may have, all at once."""
    hostile, case = Hostile(world=bench.world, signer=bench.world.chain.signers[4]), bench.answer(2.0, 4.0)
    hostile.challenge(case)
    bench.work()
    demands = [hostile.demand(case, Target(part=Part.CHUNKS, value=1, index=number)) for number in range(40)]
    bench.work()
    assert all(map(hostile.is_answered, demands))
    assert hostile.dispute(case).open_demands == 0
