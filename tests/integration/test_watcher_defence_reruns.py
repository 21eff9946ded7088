"""Second runs of challenged results: what becomes of them when the node fails, or when there are many."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any, cast

import pytest
from tests.support.defence_world import Bench, FaithfulEngine, Hostile, open_bench, post
from tests.support.watcher_world import ETHER, open_world

from sworn.abi import interface
from sworn.chain.gateway import Gateway
from sworn.engine.protocol import IdentifiedModel, Run, RunLimits
from sworn.errors import StoreError, TransientChainError
from sworn.testing.anvil import AnvilChain
from sworn.types import ZERO_HASH, Part, Profile, Target, Tensors
from sworn.watcher.defence.store import DefenceStore
from sworn.watcher.service import Watcher

DISPUTE_OF = interface("DisputeGame").encode("disputeOf", bytes(32))[:4]

pytestmark = pytest.mark.anvil


class ToldEngine(FaithfulEngine):
    """Remembers how urgent its runs were."""

    def __init__(self) -> None:
        super().__init__()
        self.urgent: list[tuple[str, bool]] = []
        self.may_end = Event()
        self.may_end.set()

    def run(self, model: IdentifiedModel, inputs: Tensors, *, limits: RunLimits, trace_file: Path | None = None) -> Run:
        self.urgent.append(("run" if trace_file is None else "rerun", limits.is_urgent))
        assert self.may_end.wait(10)
        return super().run(model, inputs, limits=limits, trace_file=trace_file)

    def exhibit(self, model: IdentifiedModel, folder: Path, *, limits: RunLimits) -> None:
        self.urgent.append(("exhibit", limits.is_urgent))
        super().exhibit(model, folder, limits=limits)


@dataclass
class Failing:
    """A gateway that fails on demand, and counts how often it is asked where a dispute stands."""

    gateway: Gateway
    fails: Callable[[], bool] = lambda: False
    looks: int = 0

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.gateway, name)
        if not callable(found):
            return found

        def ask(*args: Any, **kwargs: Any) -> Any:
            if self.fails():
                raise TransientChainError("a blip")
            asked = args[0] if name == "calls" else args if name == "call" else ()
            self.looks += sum(call.data.startswith(DISPUTE_OF) for call in asked)
            return found(*args, **kwargs)

        return ask


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A watcher of a model in profile exact, on an anvil of its own."""
    chain = AnvilChain()
    bench = open_bench(open_world(chain, stake_wei=100 * ETHER, profile=Profile.EXACT), tmp_path)
    bench.engine = ToldEngine()
    yield bench
    bench.database.close()
    chain.close()


def turns(bench: Bench, watcher: Watcher, count: int) -> None:
    """Turns of one process, some seconds apart, whatever goes wrong in them."""
    assert watcher.defence is not None
    stop = Event()
    with ThreadPoolExecutor(1) as pool, ThreadPoolExecutor(1) as urgent:
        for _ in range(count):
            with suppress(TransientChainError, StoreError):
                watcher.turn(pool, stop, urgent)
            wait(watcher.defence.runs, timeout=10)
            bench.now += 3.0


def test_defence_asks_the_engine_for_urgent_runs_only(bench: Bench) -> None:
    """Answers may wait for their turn; what a bond hangs on may not, be it a second run or the model's parts."""
    hostile, case = Hostile(world=bench.world, signer=bench.world.chain.signers[4]), bench.answer(2.0, 4.0)
    hostile.challenge(case)
    bench.work()
    hostile.demand(case, Target(part=Part.WEIGHTS, value=0))
    bench.work()
    assert isinstance(bench.engine, ToldEngine)
    assert bench.engine.urgent == [("run", False), ("rerun", True), ("exhibit", True)]


def test_blip_of_the_node_after_a_second_run_costs_no_third(bench: Bench) -> None:
    """A run may take an hour, a node is away for seconds now and then: the run is kept until its trace is taken up."""
    hostile, case = Hostile(world=bench.world, signer=bench.world.chain.signers[4]), bench.answer(2.0, 4.0)
    blips: list[bool] = []

    def checkpoint(point: str) -> None:
        # The next question is the one that the end of a run leads to.
        if point == "after_rerun" and len(blips) < 3:
            gateway.fails = fail_once

    def fail_once() -> bool:
        gateway.fails = lambda: False
        blips.append(True)
        return True

    gateway: Any = Failing(bench.world.chain.gateway)
    bench.gateway, bench.checkpoint = gateway, checkpoint
    hostile.challenge(case)
    before = bench.engine.traced
    turns(bench, bench.start(), 8)
    assert len(blips) == 3
    assert hostile.dispute(case).trace_root != ZERO_HASH
    assert bench.engine.traced - before == 1


def test_failing_database_after_a_second_run_costs_no_third(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trace is on disk already when its journal cannot be written: it is journalled from there."""
    hostile, case = Hostile(world=bench.world, signer=bench.world.chain.signers[4]), bench.answer(2.0, 4.0)
    swear, failures = DefenceStore.swear, [StoreError("the disk is full")]

    def failing(store: DefenceStore, *args: Any) -> None:
        if failures:
            raise failures.pop()
        swear(store, *args)

    monkeypatch.setattr(DefenceStore, "swear", failing)
    hostile.challenge(case)
    before = bench.engine.traced
    turns(bench, bench.start(), 6)
    assert not failures and bench.engine.traced - before == 1
    assert hostile.dispute(case).trace_root != ZERO_HASH


def test_dispute_whose_node_fails_for_ever_holds_up_no_other(bench: Bench) -> None:
    """Its run is done and cannot be concluded: it takes no place from the next one's, and no turn from anybody."""
    hostile = Hostile(world=bench.world, signer=bench.world.chain.signers[4])
    first, second = bench.answer(2.0, 4.0), bench.answer(3.0, 5.0, salt=1)
    hostile.challenge(first)
    poisoned: list[bytes] = [first.result_id]
    gateway: Any = Failing(bench.world.chain.gateway)
    bench.gateway = gateway
    call = gateway.gateway.call

    def poisonous(asked: Any, **kwargs: Any) -> bytes:
        if poisoned and poisoned[0] in asked.data and at_end:
            raise TransientChainError("internal error")
        return bytes(call(asked, **kwargs))

    at_end: list[bool] = []
    gateway.call = poisonous
    bench.checkpoint = lambda point: at_end.append(True) if point == "after_rerun" else None
    watcher = bench.start()
    turns(bench, watcher, 3)
    assert at_end and hostile.dispute(first).trace_root == ZERO_HASH
    hostile.challenge(second)
    turns(bench, watcher, 6)
    assert hostile.dispute(second).trace_root != ZERO_HASH
    poisoned.clear()
    turns(bench, watcher, 4)
    assert hostile.dispute(first).trace_root != ZERO_HASH
    assert bench.engine.traced == 2


def test_crowd_of_disputes_costs_a_second_run_no_more_of_the_node_than_one(bench: Bench) -> None:
    """With one place to run in, five hundred disputes that wait for it are not all read again for every run."""
    hostile = Hostile(world=bench.world, signer=bench.world.chain.signers[4])
    posted = [post(bench.world, 2.0, number + 1.0, salt=number) for number in range(12)]
    bench.work()
    cases = [bench.case(each) for each in posted]
    for case in cases:
        hostile.challenge(case)
    gateway = Failing(bench.world.chain.gateway)
    bench.gateway = cast(Gateway, gateway)
    watcher, stop = bench.start(), Event()
    assert watcher.defence is not None and isinstance(bench.engine, ToldEngine)
    with ThreadPoolExecutor(1) as pool, ThreadPoolExecutor(1) as urgent:
        for _ in range(2 * len(cases)):
            bench.engine.may_end.clear()
            watcher.turn(pool, stop, urgent)
            # The place is taken, and there is time to look around in vain.
            watcher.turn(pool, stop, urgent)
            bench.engine.may_end.set()
            wait(watcher.defence.runs, timeout=10)
    assert all(hostile.dispute(case).trace_root != ZERO_HASH for case in cases)
    # Once when it is new, when its place is free, when its run has ended, and a few times around its commitment.
    assert gateway.looks <= 6 * len(cases)
