from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sqlalchemy import insert, update
from tests.support.watcher_world import served_reciprocal
from tests.unit.test_watcher_decisions import JOB, MODEL, OPERATOR, REQUEST, REQUESTER

from sworn.chain.gateway import Block, Fees
from sworn.codec.tensors import encode_tensors
from sworn.codec.trees import payload_root
from sworn.errors import (
    DivisionByZero,
    EngineError,
    RunFailed,
    RunNotFinite,
    RunOutOfMemory,
    RunTimedOut,
    WorkerCrashed,
)
from sworn.types import Address, FailureCode, ModelId, Offer, RequestId
from sworn.watcher.admission import Admission
from sworn.watcher.funds import Funds
from sworn.watcher.inference import Inference, Unanswerable
from sworn.watcher.jobs import Job, JobStatus
from sworn.watcher.logs import make_logger
from sworn.watcher.policy import Guards
from sworn.watcher.quarantine import Quarantine
from sworn.watcher.store.database import Database, open_database
from sworn.watcher.store.exposure import ExposureStore
from sworn.watcher.store.migration import upgrade
from sworn.watcher.store.quarantine import QuarantineStore
from sworn.watcher.store.rows import job_row
from sworn.watcher.store.tables import JOBS

MIN_BOND = 100
OTHER = Address("0x" + "33" * 20)
SENDER = Address("0x" + "44" * 20)
CRASH = Unanswerable(code=FailureCode.EXECUTION_FAILED, reason="it died", crashed=True)


@dataclass(slots=True)
class Chain:
    """What `Admission` reads of the chain."""

    number: int = 0
    gas_price_wei: int = 1
    balance_wei: int = 10**18
    free_stake_wei: int = 10_000
    is_offered: bool = True

    @property
    def gateway(self) -> Chain:
        return self

    def fees(self) -> Fees:
        return Fees(base_fee=self.gas_price_wei, tip=0)

    def balance(self, address: Address) -> int:
        return self.balance_wei

    def free_stake_of(self, operator: Address) -> int:
        return self.free_stake_wei

    def bond_for(self, value_at_risk_wei: int) -> int:
        return max(2 * value_at_risk_wei, MIN_BOND)

    def offers_of(self, operator: Address, models: Sequence[ModelId]) -> dict[ModelId, Offer]:
        terms = {"price_wei": 0, "max_value_at_risk_wei": 0, "max_window_s": 0, "max_callback_gas": 0}
        return {model_id: Offer(active=self.is_offered, **terms) for model_id in models}


@dataclass(slots=True, kw_only=True)
class Desk:
    """An `Admission` over a chain that is made up and a database that is real."""

    database: Database
    guards: Guards = field(default_factory=Guards)
    chain: Chain = field(default_factory=Chain)
    log: io.StringIO = field(default_factory=io.StringIO)
    now: float = 1_000.0
    admission: Admission = field(init=False)

    def __post_init__(self) -> None:
        self.admission = self.another()

    def another(self) -> Admission:
        """One more process over the same database."""
        log, clock = make_logger(self.log), lambda: self.now
        return Admission(
            contracts=self.chain,  # type: ignore[arg-type]
            operator=OPERATOR,
            sender=SENDER,
            models={bytes(MODEL.model_id): MODEL},
            guards=self.guards,
            quarantine=Quarantine(store=QuarantineStore(database=self.database, clock=clock), log=log, clock=clock),
            funds=Funds(sender=SENDER, log=log, clock=clock),
            exposure=ExposureStore(database=self.database),
            clock=clock,
        )

    def turn(self, *, seconds: float = 10.0, blocks: int = 1) -> None:
        """A new head, some seconds later."""
        self.now += seconds
        self.chain.number += blocks
        number = self.chain.number
        head = Block(number=number, hash=number.to_bytes(32, "big"), parent_hash=b"", timestamp=2_000, base_fee=0)
        self.admission.turn(head)

    def refused(self, job: Job = JOB) -> tuple[str, bool] | None:
        """The reason, and whether it is for now."""
        found = self.admission.refusal(job, deadline=job.request.deadline, barred=False)
        return None if found is None else (found.reason, found.for_now)

    def take(self, job: Job) -> bool:
        """Whether a job is run, as the service asks and tells."""
        if self.refused(job) is not None:
            return False
        self.admission.admitted(job)
        return True

    def store(self, *jobs: Job) -> None:
        """Writes jobs."""
        with self.database.transaction() as connection:
            for job in jobs:
                row = job_row(job) | {"created_at": 0.0, "updated_at": 0.0}
                connection.execute(insert(JOBS).values(**row))

    def move(self, job: Job, status: JobStatus) -> None:
        """What became of a job."""
        with self.database.transaction() as connection:
            row = JOBS.c.request_id == job.request_id
            connection.execute(update(JOBS).where(row).values(status=status.value))

    def events(self, name: str) -> list[dict[str, Any]]:
        """Log entries by event name."""
        entries = [json.loads(line) for line in self.log.getvalue().splitlines()]
        return [entry for entry in entries if entry["event"] == name]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database, made once: the migrations take longer than a test."""
    path = tmp_path_factory.mktemp("guards") / "empty.db"
    database = open_database(f"sqlite:///{path}")
    upgrade(database)
    database.close()
    return path


@pytest.fixture
def desk(template: Path, tmp_path: Path) -> Iterator[Desk]:
    """A desk that has looked at the chain once."""
    path = tmp_path / "watcher.db"
    path.write_bytes(template.read_bytes())
    database = open_database(f"sqlite:///{path}")
    made = Desk(database=database)
    made.turn()
    yield made
    database.close()


def numbered(number: int, **changes: Any) -> Job:
    """One of many requests."""
    request = replace(REQUEST, salt=number.to_bytes(32, "big"), **changes)
    return replace(JOB, request_id=RequestId(number.to_bytes(32, "big")), request=request)


def test_admission_before_it_has_looked_at_the_chain_admits_nothing(desk: Desk) -> None:
    """Without balance, stake and prices nothing is decided."""
    desk.admission = desk.another()
    assert desk.refused() == ("the chain has not been looked at yet", True)


def test_runs_that_start_together_share_the_free_stake(desk: Desk) -> None:
    """A hundred requests in one block do not all count on the same stake: the rest would run for nothing."""
    desk.chain.free_stake_wei = 350
    desk.turn()
    assert [desk.take(numbered(number)) for number in range(5)] == [True, True, True, False, False]
    desk.admission.dropped(numbered(0).request_id)
    assert desk.take(numbered(5))


def test_bonds_of_sworn_results_count_until_the_chain_holds_them(desk: Desk) -> None:
    """Between the end of a run and its proposal the bond is neither running nor locked, and still promised."""
    desk.chain.free_stake_wei = 150
    job = numbered(1)
    desk.store(job)
    desk.turn()
    assert desk.take(job)
    desk.admission.ran(job)
    for status in (JobStatus.ANSWERED, JobStatus.PROPOSING):
        desk.move(job, status)
        desk.turn()
        assert not desk.take(numbered(2))
    desk.move(job, JobStatus.PROPOSED)
    desk.chain.free_stake_wei = 150 - MIN_BOND
    desk.turn()
    assert not desk.take(numbered(2))
    desk.chain.free_stake_wei = 150
    desk.move(job, JobStatus.FINALIZED)
    desk.turn()
    assert desk.take(numbered(2))


def test_exposure_cap_counts_every_bond_that_can_be_lost(desk: Desk) -> None:
    """However much stake there is, no more of it is at risk than was allowed; a larger value at risk counts double."""
    desk.admission.reload(Guards(max_bonds_wei=5 * MIN_BOND))
    for number, status in enumerate((JobStatus.PROPOSED, JobStatus.DISPUTED, JobStatus.FINALIZING), start=10):
        desk.store(replace(numbered(number), status=status))
    desk.turn()
    assert desk.refused(numbered(1, value_at_risk_wei=MIN_BOND)) is None
    assert desk.take(numbered(2))
    refused = desk.refused(numbered(1, value_at_risk_wei=MIN_BOND))
    assert refused is not None
    assert "bonds at risk" in refused[0]
    assert refused[1]
    assert desk.take(numbered(3))
    assert not desk.take(numbered(4))


@pytest.mark.parametrize("guards", [Guards(max_requester_open=3), Guards(max_requester_bonds_wei=3 * MIN_BOND)])
def test_requester_that_floods_leaves_room_for_others(desk: Desk, guards: Guards) -> None:
    """One requester cannot bind all the stake, whatever it pays."""
    desk.admission.reload(guards)
    desk.store(replace(numbered(10), status=JobStatus.PROPOSED))
    desk.turn()
    assert [desk.take(numbered(number)) for number in range(50)].count(True) == 2
    assert desk.take(numbered(100, requester=OTHER))


def test_gas_spike_postpones_and_its_end_resumes(desk: Desk) -> None:
    """A request that does not pay now is not lost; one that could never pay is not looked at for ever."""
    desk.chain.gas_price_wei = 2 * 10**13
    desk.turn()
    refused = desk.refused()
    assert refused is not None
    assert "profit" in refused[0]
    assert refused[1]
    desk.chain.gas_price_wei = 1
    desk.turn()
    assert desk.refused() is None
    free = desk.refused(numbered(1, fee_wei=0))
    assert free is not None
    assert not free[1]


def test_gas_dip_does_not_sell_below_cost(desk: Desk) -> None:
    """Finalizing is paid at the usual price, not at that of one cheap block."""
    desk.chain.gas_price_wei = 2 * 10**13
    desk.turn(blocks=1_000)
    desk.chain.gas_price_wei = 1
    desk.turn()
    refused = desk.refused()
    assert refused is not None
    assert refused[1]
    for _ in range(4):
        desk.turn(blocks=100)
    assert desk.refused() is None


def test_costs_in_batches_and_with_a_reserve_decide_over_profit(desk: Desk) -> None:
    """Sharing a transaction makes a request worth answering that alone would not be; a reserve undoes it."""
    desk.chain.gas_price_wei = 7 * 10**12
    desk.turn(blocks=1_000)
    assert desk.refused() is not None
    desk.admission.reload(Guards(expected_batch=50))
    assert desk.refused() is None
    desk.admission.reload(Guards(expected_batch=50, dispute_reserve_wei=5 * 10**17))
    assert desk.refused() is not None


def test_balance_that_runs_out_pauses_and_resumes(desk: Desk) -> None:
    """Whoever cannot pay for a proposal takes nothing new; it is told before, once, and goes on when there is ether."""
    desk.admission.reload(Guards(min_balance_wei=100, pause_balance_wei=10))
    for balance in (100, 99, 50, 10, 0, 0):
        desk.chain.balance_wei = balance
        desk.turn()
    paused = [desk.admission.paused]
    assert (desk.refused() or ("", False))[1]
    assert len(desk.events("balance_low")) == len(desk.events("paused_for_funds")) == 1
    desk.turn(seconds=3_600)
    assert len(desk.events("paused_for_funds")) == 2
    desk.chain.balance_wei = 1_000
    desk.turn()
    paused.append(desk.admission.paused)
    assert paused == [True, False]
    assert desk.refused() is None
    assert len(desk.events("resumed_with_funds")) == 1


def test_input_that_kills_workers_is_left_alone_for_a_while(desk: Desk) -> None:
    """A poisoned input costs two runs, in every process and after a restart; other inputs are served."""
    poison = numbered(1)
    desk.admission.crashed(poison, replace(CRASH, crashed=False))
    desk.admission.crashed(poison, CRASH)
    assert desk.refused(poison) is None
    desk.admission.crashed(poison, CRASH)
    again = numbered(2, requester=OTHER)
    assert desk.refused(again) is not None
    assert desk.refused(numbered(3, input_root=b"\x07" * 32)) is None
    desk.admission = desk.another()
    desk.turn()
    assert (desk.refused(again) or ("", False))[1]
    desk.turn(seconds=86_401)
    assert desk.refused(again) is None


def test_requester_of_many_poisoned_inputs_is_left_alone(desk: Desk) -> None:
    """Whoever changes one bit of the poison each time is stopped as well."""
    for number in range(10):
        desk.admission.crashed(numbered(number, input_root=number.to_bytes(32, "big")), CRASH)
    assert desk.refused(numbered(90, input_root=b"\x08" * 32)) is not None
    assert desk.refused(numbered(91, input_root=b"\x08" * 32, requester=OTHER)) is None


def test_crashes_far_apart_are_not_added_up_whatever_the_clock_does(desk: Desk) -> None:
    """One crash a week is a loaded machine; a clock that jumps back does not turn it into poison or forget it."""
    desk.admission.crashed(JOB, CRASH)
    desk.now += 7 * 86_400
    desk.admission.crashed(JOB, CRASH)
    assert desk.refused() is None
    desk.now -= 3_600
    desk.admission.crashed(JOB, CRASH)
    assert desk.refused() is not None


def test_model_in_quarantine_waits_for_a_person(desk: Desk) -> None:
    """A model whose result could not be defended is served again only when somebody has cleared it."""
    clock = lambda: desk.now  # noqa: E731
    store = QuarantineStore(database=desk.database, clock=clock)
    Quarantine(store=store, log=make_logger(desk.log), clock=clock).bar_model(MODEL.model_id, "another trace")
    desk.turn()
    assert (desk.refused() or ("", False))[1]
    desk.turn(seconds=365 * 86_400)
    assert desk.refused() is not None
    store.crash(bytes(MODEL.model_id), "x", limit=1, window_s=1.0, bar_s=1.0)
    desk.turn(seconds=365 * 86_400)
    assert desk.refused() is not None
    assert store.clear(bytes(MODEL.model_id))
    assert not store.clear(bytes(MODEL.model_id))
    desk.turn()
    assert desk.refused() is None


def test_lists_that_change_hold_for_the_next_request(desk: Desk) -> None:
    """Who is put on a list is refused at once; what runs already goes on."""
    assert desk.take(numbered(1))
    for guards in (
        Guards(deny_requesters=frozenset({REQUESTER})),
        Guards(allow_requesters=frozenset({OTHER})),
        Guards(deny_models=frozenset({bytes(MODEL.model_id)})),
        Guards(max_input_bytes=0),
    ):
        desk.admission.reload(guards)
        refused = desk.refused()
        assert refused is not None
        assert not refused[1]
    desk.admission.reload(Guards())
    assert desk.refused() is None


def test_price_by_size_asks_more_for_larger_inputs(desk: Desk) -> None:
    """A fee that pays for a small input does not pay for a large one."""
    dear = replace(MODEL, price_per_byte_wei=1)
    assert dear.price_of(0) == MODEL.price_wei
    assert dear.price_of(10) == MODEL.price_wei + 10


def test_count_of_bonds_is_renewed_whatever_the_clock_does(desk: Desk) -> None:
    """A clock that was set back a day does not freeze the count for a day."""
    desk.admission.reload(Guards(max_requester_open=1))
    desk.store(replace(numbered(10), status=JobStatus.PROPOSED))
    desk.turn(seconds=-86_400)
    assert not desk.take(numbered(1))
    desk.move(numbered(10), JobStatus.FINALIZED)
    desk.turn(seconds=-1)
    assert desk.take(numbered(1))


@pytest.mark.parametrize(
    ("error", "crashed"),
    [
        (WorkerCrashed("died"), True),
        (RunOutOfMemory("grew"), True),
        (RunTimedOut("slow"), True),
        (RunFailed("no"), False),
        (DivisionByZero("0"), False),
        (RunNotFinite("nan"), False),
    ],
)
def test_runs_that_do_harm_are_told_from_runs_that_merely_fail(error: EngineError, crashed: bool) -> None:
    """An input without an answer costs nothing much; one that takes a worker down is counted."""

    def run(*args: object, **kwargs: object) -> None:
        raise error

    served = served_reciprocal()
    inference = Inference(
        engine=SimpleNamespace(run=run),
        models={bytes(served.model_id): served},
        guards=Guards(),
        fetch=lambda uri, max_bytes: b"",
        max_output_bytes=1 << 20,
    )
    payload = encode_tensors({"x": np.ones(2, dtype=np.float32)}, served.schema.inputs)
    request = replace(REQUEST, model_id=served.model_id, input_root=payload_root(payload))
    job = replace(JOB, input=payload, request=request)
    outcome = inference.compute(job)
    assert isinstance(outcome, Unanswerable)
    assert outcome.crashed is crashed
