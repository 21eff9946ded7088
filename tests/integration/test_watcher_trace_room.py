"""How much room runs may take that have only begun."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from threading import Event

import pytest
from tests.support.defence_world import FaithfulEngine, open_bench, post
from tests.support.watcher_world import ETHER, open_world

from sworn.engine.protocol import IdentifiedModel, Run, RunLimits
from sworn.testing.anvil import AnvilChain
from sworn.types import Profile, Tensors
from sworn.watcher.traces import FileTraceStore

pytestmark = pytest.mark.anvil


class HeldEngine(FaithfulEngine):
    """Runs nothing before it may."""

    def __init__(self) -> None:
        super().__init__()
        self.may_run = Event()

    def run(self, model: IdentifiedModel, inputs: Tensors, *, limits: RunLimits, trace_file: Path | None = None) -> Run:
        assert self.may_run.wait(30)
        return super().run(model, inputs, limits=limits, trace_file=trace_file)


def test_runs_that_have_begun_have_their_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four that begin together would each find the disk empty; two fit, and the others wait for them."""
    chain = AnvilChain()
    bench = open_bench(open_world(chain, stake_wei=100 * ETHER, profile=Profile.BOUNDED), tmp_path)
    engine = bench.engine = HeldEngine()
    for number in range(4):
        post(bench.world, 2.0, number + 1.0, salt=number)
    watcher, stop = bench.start(), Event()
    # A tenth is kept back, and each takes one mebibyte and a little.
    assert isinstance(watcher.runs.traces, FileTraceStore)
    monkeypatch.setattr(watcher.runs.traces, "_max_total_bytes", 3 << 20)
    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            watcher.turn(pool, stop)
        assert len(watcher.runs.under_way) == 2
        engine.may_run.set()
        wait(watcher.runs.under_way, timeout=30)
        bench.now += 30.0
        for _ in range(3):
            watcher.turn(pool, stop)
            wait(watcher.runs.under_way, timeout=30)
    assert engine.traced >= 3
    bench.database.close()
    chain.close()
