"""How what is over is removed: in moments, until nothing of it is left, and nothing that may still be needed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import pytest
import structlog
from structlog.testing import capture_logs
from tests.support.databases import opened
from tests.support.store_rows import SENDER, STREAM, block, job, oath

from sworn.chain.gateway import Block, BlockRef
from sworn.errors import ChainError, StoreUnavailable
from sworn.types import CallbackKind, RequestId, RequestState, Status
from sworn.watcher.contracts import Contracts
from sworn.watcher.jobs import JobStatus
from sworn.watcher.retention import GO_S, SHARE, SWEEP_INTERVAL_S, Retention, Rounds, RowRetention
from sworn.watcher.store.database import Database
from sworn.watcher.store.jobs import JobStore
from sworn.watcher.store.pruning import MAX_EXTENSION_S, MIN_KEEP_S, Pruner
from sworn.watcher.traces import FileTraceStore, KeptTrace

NOW = int(time.time())
#: Every job of these tests ends a minute after its deadline.
OVER = NOW - MIN_KEEP_S - MAX_EXTENSION_S - 61
ROOT = b"\x0a" * 32
#: Traces that are looked at together here.
TRACES = 6


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """An empty database with the newest schema."""
    with opened("sqlite", tmp_path) as database:
        yield database


def head(timestamp: int = NOW, *, number: int = 10_000) -> Block:
    """The newest block."""
    return Block(number=number, hash=bytes(32), parent_hash=bytes(32), timestamp=timestamp, base_fee=0)


@dataclass(slots=True)
class Steps:
    """Rounds of some steps, each of which takes so long."""

    count: int
    step_s: float
    now: float = 0.0
    #: Fails at this step, once.
    fails_at: int | None = None
    begun: int = 0
    done: int = 0
    #: Seconds for which each go held its caller up.
    held_s: list[float] = field(default_factory=list)

    def round(self) -> Iterator[None]:
        """One round."""
        self.begun += 1
        for number in range(self.count):
            if number == self.fails_at:
                self.fails_at = None
                raise StoreUnavailable("away")
            self.now += self.step_s
            self.done += 1
            yield

    def clock(self) -> float:
        """Seconds, of which only steps and turns use any."""
        return self.now

    def turn(self, rounds: Rounds, rest_s: float = 0.02) -> None:
        """A turn of a daemon."""
        began = self.now
        try:
            rounds.go()
        finally:
            self.held_s.append(self.now - began)
            self.now += rest_s


def test_rounds_hold_no_turn_up_and_go_on_until_they_are_through() -> None:
    """A whole sweep in one turn would stop the answers; one that gives up early lets the tables grow for ever."""
    steps = Steps(count=1_000, step_s=0.02)
    rounds = Rounds(steps.round, every_s=3_600, clock=steps.clock)
    while steps.done < 1_000:
        steps.turn(rounds)
        assert steps.now < 3_600
    assert max(steps.held_s) <= GO_S + steps.step_s
    assert sum(steps.held_s) <= 1.2 * SHARE * steps.now
    assert steps.begun == 1


def test_round_that_is_through_rests_for_its_interval() -> None:
    """Looking at the tables without a pause would cost more than it removes."""
    steps = Steps(count=2, step_s=0.001)
    rounds = Rounds(steps.round, every_s=100, clock=steps.clock)
    while steps.now < 1_000:
        steps.turn(rounds, rest_s=1.0)
    assert steps.begun == 10 and steps.done == 20


def test_round_that_fails_is_begun_anew_but_not_at_once() -> None:
    """A database that is away must not be asked in every turn, and must not end the sweeping for good."""
    steps = Steps(count=5, step_s=0.001, fails_at=2)
    rounds = Rounds(steps.round, every_s=3_600, clock=steps.clock)
    with pytest.raises(StoreUnavailable):
        steps.turn(rounds)
    while steps.now < SWEEP_INTERVAL_S - 1:
        steps.turn(rounds, rest_s=1.0)
    assert steps.begun == 1
    while steps.now < 2 * SWEEP_INTERVAL_S:
        steps.turn(rounds, rest_s=1.0)
    assert (steps.begun, steps.done) == (2, 2 + 5)


def test_rows_that_come_faster_than_one_go_removes_do_not_pile_up(database: Database) -> None:
    """Operators are busy: what one look may remove must not be what a table can take."""
    store = JobStore(database=database, clock=lambda: OVER)
    ended = [job(number, status=JobStatus.FINALIZED, deadline=OVER) for number in range(60)]
    store.advance(STREAM, history=[block(1)], seen=ended)
    steps = Steps(count=0, step_s=0.0)

    def clock() -> float:
        # Every look at it is as long after the one before as a go may take: a batch, and the go is over.
        steps.now += GO_S
        return steps.now

    rows = RowRetention(
        pruner=Pruner(database=database, keep_s=MIN_KEEP_S, batch=5),
        log=structlog.get_logger(),
        every_s=3_600,
        clock=clock,
    )
    with capture_logs() as logs:
        rows.sweep(head())
        assert len(store.jobs()) == 55
        # A moment a turn, and not one an interval.
        while steps.now < 60 and not logs:
            rows.sweep(head())
    assert store.jobs() == []
    assert [entry["jobs"] for entry in logs if entry["event"] == "rows_pruned"] == [60]


@dataclass(slots=True)
class States:
    """What the chain says of some requests; the others are final."""

    said: dict[RequestId, RequestState | ChainError] = field(default_factory=dict)
    #: How many were asked for, each time.
    asked: list[int] = field(default_factory=list)

    def states_of(
        self, requests: Sequence[RequestId], *, block: BlockRef = "latest"
    ) -> list[RequestState | ChainError]:
        self.asked.append(len(requests))
        return [self.said.get(request, _state(Status.FINALIZED)) for request in requests]


def _state(status: Status, extension_s: int = 0) -> RequestState:
    return RequestState(
        status=status,
        pending=CallbackKind.NONE,
        round=0,
        has_barred=False,
        extension_s=extension_s,
        proposed_at=0,
        result_tag=bytes(20),
    )


@dataclass(slots=True, kw_only=True)
class Keeping:
    """A watcher's traces, of which some are sworn to."""

    store: JobStore
    traces: FileTraceStore
    states: States
    folder: Path
    contested: set[RequestId] = field(default_factory=set)
    opens_after_first_look: set[RequestId] = field(default_factory=set)

    def disputes(self) -> set[RequestId]:
        """What is contested now."""
        return self.contested | (self.opens_after_first_look if self.states.asked else set())

    def add(self, number: int, *, deadline: int) -> KeptTrace:
        """A trace whose result was sworn."""
        trace = KeptTrace(request_id=job(number).request_id, trace_root=ROOT)
        draft = self.traces.draft(trace.request_id)
        draft.write_bytes(b"values")
        self.traces.keep(trace, draft)
        self.store.advance(
            STREAM, history=[block(1)], seen=[job(number, status=JobStatus.FINALIZED, deadline=deadline)]
        )
        self.store.swear(replace(oath(number, digest=number.to_bytes(32, "big")), trace_root=ROOT))
        return trace

    def retention(self) -> Retention:
        """What sweeps them."""
        return Retention(
            traces=self.traces,
            store=self.store,
            contracts=cast(Contracts, self.states),
            operator=SENDER,
            keep_s=100,
            confirmations=2,
            log=structlog.get_logger(),
            contested=self.disputes,
        )


@pytest.fixture
def keeping(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Keeping:
    """Nothing kept yet."""
    monkeypatch.setattr("sworn.watcher.retention.TRACES", TRACES)
    folder = tmp_path / "traces"
    return Keeping(
        store=JobStore(database=database),
        traces=FileTraceStore(folder, max_total_bytes=1 << 20),
        states=States(),
        folder=folder,
    )


def sweep_until(keeping: Keeping, *, left: int) -> None:
    """Turns, until only so many traces are there, and one more."""
    retention = keeping.retention()
    for _ in range(200):
        retention.sweep(head())
        if len(keeping.traces.kept()) <= left:
            break
        time.sleep(0.05)
    retention.sweep(head())


def test_traces_go_when_nobody_can_dispute_their_results_any_more(keeping: Keeping) -> None:
    """A trace that goes a second too early may be the only evidence that the operator was right."""
    over = keeping.add(1, deadline=NOW - 161)
    late = keeping.add(2, deadline=NOW - 160)
    contested = keeping.add(3, deadline=NOW - 161)
    proposed, extended, unknown = (keeping.add(number, deadline=NOW - 161) for number in (4, 5, 6))
    keeping.contested.add(contested.request_id)
    keeping.states.said = {
        proposed.request_id: _state(Status.PROPOSED),
        extended.request_id: _state(Status.FINALIZED, extension_s=1),
        unknown.request_id: ChainError("missing trie node"),
    }
    keeping.retention().sweep(head())
    assert set(keeping.traces.kept()) == {late, contested, proposed, extended, unknown}
    assert keeping.traces.find(over) is None


def test_many_traces_cost_a_few_questions(keeping: Keeping) -> None:
    """One question per trace and minute would hold up answers by more than a minute for a day of traces."""
    for number in range(TRACES + 5):
        keeping.add(number, deadline=NOW - 1_000)
    sweep_until(keeping, left=0)
    assert keeping.traces.kept() == () and keeping.states.asked == [TRACES, 5]


def test_dispute_that_opens_in_the_middle_of_a_look_keeps_its_trace(keeping: Keeping) -> None:
    """A look may take minutes: what it knew at its beginning must not cost the evidence of a dispute opened since."""
    kept = [keeping.add(number, deadline=NOW - 1_000) for number in range(TRACES + 1)]
    last = max(kept, key=lambda trace: trace.request_id)
    keeping.opens_after_first_look.add(last.request_id)
    sweep_until(keeping, left=1)
    assert keeping.traces.kept() == (last,)


def test_traces_of_blocks_that_are_not_settled_stay(keeping: Keeping) -> None:
    """Before the request itself is deep enough, nothing that follows from it is over."""
    trace = keeping.add(1, deadline=NOW - 1_000)
    keeping.retention().sweep(head(number=2))
    assert keeping.traces.kept() == (trace,)
    keeping.retention().sweep(head(number=3))
    assert keeping.traces.kept() == ()
