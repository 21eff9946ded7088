from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.defence_world import LONG_WINDOW_S, ROOT, Bench, Hostile, open_bench
from tests.support.watcher_world import ETHER, WatcherWorld, open_world

from sworn.testing.local_chain import EmbeddedChain
from sworn.types import ZERO_HASH, DisputeStatus, Part, Profile, Status, Target
from sworn.watcher.defence.records import DefenceStatus
from sworn.watcher.jobs import JobStatus

#: Everything that there is to see of a run with two small values, and what there is not.
TARGETS = (
    ROOT,
    Target(part=Part.VALUES, level=1),
    Target(part=Part.NODES, value=1),
    Target(part=Part.CHUNKS, value=0),
    Target(part=Part.CHUNKS, value=1),
    Target(part=Part.CHUNKS, value=7, index=9),
    Target(part=Part.WEIGHTS),
    Target(part=Part.WEIGHT_CHUNKS, value=3),
    Target(part=Part.STEPS),
    Target(part=Part.INTERFACE),
)


@pytest.fixture(scope="module", params=[Profile.EXACT, Profile.BOUNDED], ids=["exact", "bounded"])
def stage(request: pytest.FixtureRequest) -> WatcherWorld:
    """Contracts, operator and model on an embedded chain, once for all tests here."""
    return open_world(EmbeddedChain(), stake_wei=10 * ETHER, profile=request.param)


@pytest.fixture
def world(stage: WatcherWorld) -> Iterator[WatcherWorld]:
    """The stage as it was set; what a test does to it is undone."""
    mark = stage.chain.snapshot()
    yield stage
    stage.chain.revert(mark)


@pytest.fixture
def bench(world: WatcherWorld, tmp_path: Path) -> Iterator[Bench]:
    """A watcher with an empty database."""
    bench = open_bench(world, tmp_path)
    yield bench
    bench.database.close()


@pytest.fixture
def hostile(world: WatcherWorld) -> Hostile:
    """A challenger of right results."""
    return Hostile(world=world, signer=world.chain.signers[4])


def test_challenged_result_is_committed_shown_upheld_and_paid(bench: Bench, hostile: Hostile) -> None:
    """From challenge to finality: trace in time, every demand answered, bonds and prices credited and paid out."""
    world, case = bench.world, bench.answer(2.0, 4.0)
    hostile.challenge(case)
    bench.work()
    committed = hostile.dispute(case).trace_root
    assert (committed != ZERO_HASH) is (case.result.trace_root == ZERO_HASH)
    demands = []
    for start in (0, 4, 8):
        demands += [hostile.demand(case, target) for target in TARGETS[start : start + 4]]
        bench.work()
    assert all(map(hostile.is_answered, demands))
    assert bench.start().store.job(case.result.request_id).status is JobStatus.DISPUTED  # type: ignore[union-attr]
    hostile.travel_to(hostile.clocks.ends_at(hostile.dispute(case)) + 1)
    before = world.chain.gateway.balance(world.operator.address)
    for _ in range(3):
        bench.work(seconds=60)
        world.chain.advance(61)
    assert hostile.dispute(case).status is DisputeStatus.UPHELD
    assert bench.defence(case).status is DefenceStatus.UPHELD
    assert hostile.reward_of(world.operator.address) == 0
    assert world.chain.gateway.balance(world.operator.address) > before
    assert world.contracts.state_of(case.result.request_id).status is Status.FINALIZED
    assert bench.engine.exhibits == 1
    # What was made for the dispute alone goes with it.
    assert (bench.traces.kept() == ()) is (world.model.profile is Profile.EXACT)
    assert bench.engine.runs == (2 if world.model.profile is Profile.EXACT else 1)


def test_window_of_unchallenged_result_needs_no_second_run(bench: Bench) -> None:
    """Without a challenge nothing of the defence costs anything."""
    case = bench.answer(2.0, 4.0)
    bench.world.chain.advance(LONG_WINDOW_S + 1)
    bench.work()
    assert bench.world.contracts.state_of(case.result.request_id).status is Status.FINALIZED
    assert (bench.engine.runs, bench.store.all()) == (1, [])
