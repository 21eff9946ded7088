from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

import pytest
from tests.support import store_rows
from tests.support.store_rows import OPERATOR, ORACLE, STREAM

from sworn.chain.gateway import Block
from sworn.chain.transactions import Intent, SignedAttempt, TransactionRecord, TransactionSender, TransactionStatus
from sworn.errors import ContractRevert, SenderBusy, SwornError, TransactionUnderpriced, TransientChainError
from sworn.types import Answer, CallbackKind, RequestState, Status
from sworn.watcher.contracts import Contracts
from sworn.watcher.jobs import PROMISED, RECHECK_S, Action, Decision, Job, JobStatus
from sworn.watcher.logs import make_logger
from sworn.watcher.looking import Mishap, Sight, View
from sworn.watcher.store.database import open_database
from sworn.watcher.store.jobs import JobStore
from sworn.watcher.store.tables import METADATA
from sworn.watcher.submissions import Batching, Carried, Kind, Move, Submissions

HEAD = Block(number=10, hash=b"\x01" * 32, parent_hash=b"\x02" * 32, timestamp=1_000, base_fee=1)


@dataclass(slots=True, kw_only=True)
class Desk:
    """A `TransactionSender` that keeps what it is given, and answers as told."""

    address: str = OPERATOR
    taken: list[Intent] = field(default_factory=list)
    known: dict[str, TransactionRecord] = field(default_factory=dict)
    refuse: Callable[[Intent], SwornError | None] = lambda intent: None
    down: SwornError | None = None

    def submit_many(self, intents: Sequence[Intent]) -> list[TransactionRecord | SwornError]:
        """Takes all, but those that are refused."""
        if self.down is not None:
            raise self.down
        answers: list[TransactionRecord | SwornError] = []
        for intent in intents:
            refused = self.refuse(intent)
            known = self.known.get(intent.key)
            # What has succeeded is never sent again, as the real one has it.
            if refused is None and not (known and known.succeeded):
                self.taken.append(intent)
                self.known[intent.key] = TransactionRecord(
                    intent=intent, sender=OPERATOR, status=TransactionStatus.SIGNED, nonce=len(self.taken)
                )
            answers.append(refused or self.known[intent.key])
        return answers

    def records(self, keys: Sequence[str]) -> dict[str, TransactionRecord]:
        """What it has of them."""
        return {key: self.known[key] for key in keys if key in self.known}

    def end(
        self,
        key: str,
        status: TransactionStatus,
        *,
        succeeded: bool | None = None,
        block: int = 9,
        cancelling: bool = False,
    ) -> None:
        """Has a transaction come to its end."""
        empty = SignedAttempt(hash=bytes(32), raw=b"", max_fee_wei=1, tip_wei=1, signed_at=0.0, cancels=True)
        ended = replace(self.known[key], status=status, succeeded=succeeded, block_number=block)
        ended = replace(ended, attempts=(empty,) if cancelling else ())
        self.known[key] = ended


@dataclass(slots=True, kw_only=True)
class Bench:
    """Submissions over a real store and a desk."""

    store: JobStore
    desk: Desk = field(default_factory=Desk)
    batching: Batching = field(default_factory=Batching)
    now: float = 100.0
    #: What every result has, and by how much every deadline is extended.
    output: bytes = b"\x01" * 8
    extension_s: int = 0
    _made: Submissions | None = None

    def carry(self, kind: Kind = Kind.PROPOSE, *, round_: int = 0, numbers: Sequence[int] = (1, 2, 3)) -> Carried:
        """One turn over jobs as they are stored."""
        if self._made is None:
            self._made = Submissions(
                contracts=cast(Contracts, _Contracts()),
                store=self.store,
                sender=cast(TransactionSender, self.desk),
                prepare=self.ready,
                batching=self.batching,
                log=make_logger(io.StringIO()),
                clock=lambda: self.now,
            )
        return self._made.carry(kind, [self.sight(self.job(number), round_) for number in numbers])

    def sight(self, job: Job, round_: int) -> Sight:
        """A job as a turn sees it, and its request on chain."""
        return _sight(job, round_, self.extension_s)

    def ready(self, kind: Kind, sights: Sequence[Sight]) -> tuple[list[Move], list[Mishap]]:
        """Every job's move, signed."""
        answer = Answer(operator=OPERATOR, trace_root=bytes(32), output=self.output)
        return [Move(job=job, view=view, answer=answer, signature=b"\x01" * 65) for job, view in sights], []

    def job(self, number: int) -> Job:
        """A job as it is stored."""
        job = self.store.job(store_rows.job(number).request_id)
        assert job is not None
        return job

    def keys(self) -> list[str]:
        """First parts of the keys of what was taken."""
        return [intent.key.partition(":")[0] for intent in self.desk.taken]


class _Contracts:
    class deployment:  # noqa: N801 -- stands for an attribute
        oracle = ORACLE


def _sight(job: Job, round_: int, extension_s: int = 0) -> Sight:
    state = RequestState(
        status=Status.REQUESTED,
        pending=CallbackKind.NONE,
        round=round_,
        has_barred=False,
        extension_s=extension_s,
        proposed_at=0,
        result_tag=bytes(20),
    )
    decision = Decision(action=Action.PROPOSE, status=JobStatus.ANSWERED)
    return job, View(head=HEAD, state=state, oath=store_rows.oath(1), decision=decision)


@pytest.fixture
def bench() -> Bench:
    """Three jobs that are answered."""
    database = open_database("sqlite://")
    METADATA.create_all(database.engine)
    store = JobStore(database=database, clock=lambda: 100.0)
    small = replace(store_rows.job(1).request, callback_gas=0)
    seen = [replace(store_rows.job(number, status=JobStatus.ANSWERED), request=small) for number in (1, 2, 3)]
    store.advance(STREAM, history=[store_rows.block(1)], seen=seen)
    return Bench(store=store)


def test_every_kind_of_transaction_is_waited_for_by_promised_jobs() -> None:
    """A kind that is missing there would have its jobs looked at in every block, or never."""
    assert {kind.status for kind in Kind} == PROMISED


def test_jobs_carried_by_a_live_transaction_are_not_sent_again(bench: Bench) -> None:
    """While a batch may still be mined nothing of it is sent a second time: the second one would only cost gas."""
    bench.carry()
    (key,) = {bench.job(number).carrier for number in (1, 2, 3)}
    assert (bench.keys(), key.partition(":")[0]) == (["proposemany"], "proposemany")
    bench.carry()
    bench.desk.end(key, TransactionStatus.MINED, succeeded=True)
    bench.carry()
    assert len(bench.desk.taken) == 1
    assert {bench.job(number).due_at for number in (1, 2, 3)} == {HEAD.timestamp + 1}


def test_result_that_a_batch_passed_over_goes_alone(bench: Bench) -> None:
    """A job that is still waiting when its batch stands deep in the chain was skipped: it is proposed by itself."""
    bench.carry()
    bench.desk.end(bench.job(1).carrier, TransactionStatus.CONFIRMED, succeeded=True)
    bench.carry(numbers=(2,))
    assert bench.keys() == ["proposemany", "propose"]


def test_batch_confirmed_in_a_block_not_in_view_is_waited_for(bench: Bench) -> None:
    """A receipt that is newer than the state that was read proves nothing about it: no second proposal."""
    bench.carry()
    bench.desk.end(bench.job(1).carrier, TransactionStatus.CONFIRMED, succeeded=True, block=HEAD.number + 1)
    bench.carry()
    assert len(bench.desk.taken) == 1


def test_batch_that_reverted_on_chain_goes_in_single_ones_ever_more_rarely(bench: Bench) -> None:
    """What cost gas for nothing once is not risked together again; each further round waits longer."""
    bench.carry()
    bench.desk.end(bench.job(1).carrier, TransactionStatus.CONFIRMED, succeeded=False)
    bench.carry()
    assert bench.keys() == ["proposemany", "propose", "propose", "propose"]
    assert {(job.reverts, job.errors) for job in map(bench.job, (1, 2, 3))} == {(1, 0)}
    first = bench.job(1).retry_at
    bench.desk.end(bench.job(1).carrier, TransactionStatus.CONFIRMED, succeeded=False)
    bench.carry(numbers=(1,))
    assert (bench.job(1).reverts, bench.job(1).retry_at > first) == (2, True)


def test_batch_abandoned_or_never_signed_is_sent_anew(bench: Bench) -> None:
    """What lost its nonce, or was promised by a process that died, is regrouped with whatever is due now."""
    bench.carry(numbers=(1, 2))
    bench.desk.end(bench.job(1).carrier, TransactionStatus.ABANDONED)
    bench.carry()
    assert (bench.keys(), bench.job(3).carrier) == (["proposemany", "proposemany"], bench.job(1).carrier)


def test_batch_that_passed_over_all_of_its_results_has_them_go_alone(bench: Bench) -> None:
    """A reorganisation may put it before its requests: the same jobs together would be known as done, for ever."""
    bench.carry()
    key = bench.job(1).carrier
    bench.desk.end(key, TransactionStatus.CONFIRMED, succeeded=True)
    bench.carry()
    assert bench.keys() == ["proposemany", "propose", "propose", "propose"]
    assert {bench.job(number).carrier for number in (1, 2, 3)}.isdisjoint({key})


def test_sender_that_is_busy_changes_nothing(bench: Bench) -> None:
    """A turn that says otherwise is followed by another one at once, and asks the node all it asks in each."""
    bench.desk.refuse = lambda intent: SenderBusy("64 in flight")
    assert not bench.carry().changed
    bench.desk.refuse = lambda intent: None
    assert bench.carry().changed


def test_batches_have_no_more_calldata_than_pools_take(bench: Bench) -> None:
    """Nodes refuse a transaction of more than 128 KiB, whatever gas it may use."""
    bench.output = bytes(50_000)
    bench.batching = Batching(max_gas=1 << 24)
    bench.carry()
    assert bench.keys() == ["proposemany", "propose"]
    assert max(len(intent.data) for intent in bench.desk.taken) < 120_000


@pytest.mark.parametrize(("left_s", "goes"), [(20, True), (21, False)])
def test_result_whose_deadline_is_near_waits_for_no_company(bench: Bench, left_s: int, goes: bool) -> None:
    """Waiting for more to go with it would cost the fee of what is sworn already."""
    bench.batching = Batching(max_wait_s=10)
    bench.extension_s = HEAD.timestamp + left_s - bench.job(1).request.deadline
    bench.carry()
    assert bool(bench.desk.taken) == goes


def test_answers_are_of_no_use_after_their_deadline_and_ends_always_are(bench: Bench) -> None:
    """A proposal that is late is cancelled and not bumped; the stake behind a result is freed at any time."""
    bench.carry()
    bench.carry(Kind.FINALIZE)
    propose, finalize = bench.desk.taken
    assert (propose.deadline, finalize.deadline) == (bench.job(1).request.deadline, None)


def test_batch_that_nodes_refused_for_good_has_its_results_go_alone_and_later(bench: Bench) -> None:
    """Together they would be refused again, and every time cost a cancellation."""
    bench.carry()
    key = bench.job(1).carrier
    bench.desk.end(key, TransactionStatus.ABANDONED, cancelling=True)
    bench.carry()
    assert bench.keys() == ["proposemany", "propose", "propose", "propose"]
    assert {job.reverts for job in map(bench.job, (1, 2, 3))} == {1}


def test_reopened_request_is_carried_by_another_transaction(bench: Bench) -> None:
    """The proposal of an earlier round does not stand for that of this one."""
    bench.batching = Batching(max_results=1)
    bench.carry(numbers=(1,))
    bench.desk.end(bench.job(1).carrier, TransactionStatus.CONFIRMED, succeeded=True)
    bench.carry(numbers=(1,), round_=1)
    assert [intent.key[-2:] for intent in bench.desk.taken] == [":0", ":1"]


def test_poison_in_a_batch_is_found_by_halves(bench: Bench) -> None:
    """Only the result that spoils a batch fails; the others go in batches still."""
    poison = store_rows.job(2).request_id.hex()
    revert = ContractRevert("no")
    bench.desk.refuse = lambda intent: revert if _carries(bench, intent, 2) else None
    carried = bench.carry()
    assert [job.request_id.hex() for job, _ in carried.failed] == [poison]
    assert {bench.job(number).due_at for number in (1, 3)} == {HEAD.timestamp + RECHECK_S}
    assert bench.job(2).due_at == 0


def _carries(bench: Bench, intent: Intent, number: int) -> bool:
    return bench.job(number).carrier == intent.key


@pytest.mark.parametrize("error", [TransactionUnderpriced("x"), TransientChainError("x")])
def test_trouble_that_is_not_the_results_splits_no_batch(bench: Bench, error: SwornError) -> None:
    """A base fee over the cap or a node that is away is met by every half as well."""
    bench.desk.refuse = lambda intent: error
    carried = bench.carry()
    assert len(carried.failed) == 3
    assert len({bench.job(number).carrier for number in (1, 2, 3)}) == 1


def test_sender_that_is_busy_costs_no_job_an_attempt(bench: Bench) -> None:
    """As many transactions as allowed are under way: the rest waits for the next turn, and nothing is counted."""
    bench.desk.refuse = lambda intent: SenderBusy("full")
    carried = bench.carry()
    assert carried.failed == []
    assert {(job.attempts, job.reverts, job.due_at) for job in map(bench.job, (1, 2, 3))} == {(0, 0, 0)}


def test_sender_that_fails_whole_leaves_every_job_due(bench: Bench) -> None:
    """A node that answers nothing ends the turn; what was promised is looked at again at once."""
    bench.desk.down = TransientChainError("away")
    with pytest.raises(TransientChainError):
        bench.carry()
    assert {(job.status, job.due_at) for job in map(bench.job, (1, 2, 3))} == {(JobStatus.PROPOSING, 0)}
    bench.desk.down = None
    bench.carry()
    assert bench.keys() == ["proposemany"]


def test_transaction_whose_jobs_are_over_is_not_wanted(bench: Bench) -> None:
    """No fee is raised for what helps nobody; answers to challengers are always wanted."""
    bench.carry()
    wanted = bench._made.wanted if bench._made is not None else lambda key: False
    key = bench.job(1).carrier
    assert wanted(key) and wanted("commit:00") and not wanted("finalize:00:0")
    for number in (1, 2, 3):
        bench.store.save(replace(bench.job(number), status=JobStatus.IGNORED))
    assert not wanted(key)


def test_batch_stays_under_its_gas_with_callbacks_counted_in_full(bench: Bench) -> None:
    """Every callback gets the gas that was asked for, and what the EVM keeps of it: else the whole batch reverts."""
    bench.batching = Batching(max_gas=2_500_000)
    greedy = replace(store_rows.job(1).request, callback_gas=2_000_000)
    sights = [(replace(job, request=greedy), view) for job, view in (_sight(bench.job(n), 0) for n in (1, 2, 3))]
    bench.carry(numbers=())
    moves, _ = bench.ready(Kind.FINALIZE, sights)
    assert all(move.gas > 2 * 2_000_000 * 64 // 63 for move in moves)
    groups = Submissions._groups(cast(Submissions, _With(bench.batching)), Kind.PROPOSE, moves)
    assert [len(group) for group in groups] == [1, 1, 1]


@dataclass(frozen=True)
class _With:
    _batching: Batching
