from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event

import pytest
from sqlalchemy import Connection
from tests.integration.test_watcher_service import Post
from tests.support.watcher_world import WINDOW_S, Posted, WatcherWorld, open_world

from sworn.chain.transactions import TransactionStatus
from sworn.errors import LeadershipLost
from sworn.testing.local_chain import EmbeddedChain
from sworn.types import Status
from sworn.watcher.jobs import Job, JobStatus, Oath
from sworn.watcher.replica import ALONE, Alone
from sworn.watcher.store.database import open_database
from sworn.watcher.store.migration import upgrade
from sworn.watcher.submissions import MAX_TRANSACTION_GAS, Batching, Submissions


@pytest.fixture(scope="module")
def stage() -> WatcherWorld:
    """Contracts, operator and model on an embedded chain, once for all tests here."""
    return open_world(EmbeddedChain())


@pytest.fixture
def post(stage: WatcherWorld, tmp_path: Path) -> Iterator[Post]:
    """A watcher's post with an empty database; what a test does to the chain is undone."""
    mark = stage.chain.snapshot()
    database = open_database(f"sqlite:///{tmp_path}/watcher.db")
    upgrade(database)
    yield Post(world=stage, database=database)
    database.close()
    stage.chain.revert(mark)


def _asked(post: Post, count: int) -> list[Posted]:
    return [post.world.request(post.world.payload(1.0, number + 1.0), salt=number) for number in range(count)]


def _sent(post: Post) -> int:
    return post.world.chain.gateway.nonce(post.world.transaction_signer.address)


def _statuses(post: Post, asked: list[Posted]) -> set[Status]:
    return {post.world.state(posted).status for posted in asked}


def _carriers(post: Post, asked: list[Posted]) -> set[str]:
    return {post.job(posted).carrier for posted in asked}


def test_results_due_together_are_proposed_and_finalized_in_one_transaction_each(post: Post) -> None:
    """Several results cost one transaction to propose and one to finalize: gas, nonces and time are shared."""
    asked, before = _asked(post, 3), _sent(post)
    post.work()
    assert (_statuses(post, asked), _sent(post) - before) == ({Status.PROPOSED}, 1)
    (carrier,) = _carriers(post, asked)
    assert carrier.startswith("proposemany:")
    post.world.chain.advance(WINDOW_S + 1)
    post.work()
    assert (_statuses(post, asked), _sent(post) - before) == ({Status.FINALIZED}, 2)
    assert {post.job(posted).status for posted in asked} == {JobStatus.FINALIZED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Deposed(Alone):
    """Leads, but another one has taken over."""

    since: Event = field(default_factory=Event)

    def fence(self, connection: Connection) -> None:
        """Refuses what only a leader may write."""
        if self.since.is_set():
            raise LeadershipLost("another replica leads")


def test_leader_that_lost_its_place_does_not_say_what_carries_a_job(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may wake after another one has proposed: written over, that transaction would be sent a second time."""
    asked, before = _asked(post, 2), _sent(post)
    post.role = deposed = Deposed()
    save = Submissions._save

    def slow(submissions: Submissions, jobs: Sequence[Job]) -> None:
        if jobs:
            deposed.since.set()
        save(submissions, jobs)

    monkeypatch.setattr(Submissions, "_save", slow)
    with pytest.raises(LeadershipLost):
        post.work()
    assert (_carriers(post, asked), _sent(post) - before) == ({""}, 0)
    post.role = ALONE
    post.work()
    assert (_statuses(post, asked), _sent(post) - before) == ({Status.PROPOSED}, 1)


def test_result_due_alone_goes_alone(post: Post) -> None:
    """One result is proposed by the plain call, under the key that it has had in every version."""
    (posted,) = _asked(post, 1)
    post.work()
    record = post.start().sender.record(f"propose:{posted.request_id.hex()}:0")
    assert record is not None and record.status is TransactionStatus.CONFIRMED


def test_batches_are_bounded_in_results_and_in_gas(post: Post) -> None:
    """No transaction has more results, or more gas, than it may: one beyond a chain's limit would never be mined."""
    post.batching = Batching(max_results=2)
    asked, before = _asked(post, 5), _sent(post)
    post.work()
    assert (_statuses(post, asked), _sent(post) - before) == ({Status.PROPOSED}, 3)
    post.world.chain.advance(WINDOW_S + 1)
    post.batching = Batching(max_gas=250_000)
    post.work()
    assert (_statuses(post, asked), _sent(post) - before) == ({Status.FINALIZED}, 6)
    records = [post.start().sender.record(key) for key in _carriers(post, asked)]
    assert all(record is not None and (record.gas or 0) <= MAX_TRANSACTION_GAS for record in records)


def test_poisoned_result_stands_alone_and_the_others_go_on(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch that does not pass its simulation is halved until what spoils it is alone: it holds up nobody else."""
    asked, before = _asked(post, 5), _sent(post)
    watcher = post.start()
    signed = watcher.steps.swearing.signed
    spoilt = asked[2].request_id

    def spoil(self: object, job: Job, oath: Oath) -> Oath:
        whole = signed(job, oath)
        return whole if whole.request_id != spoilt else replace(whole, signature=b"\x01" * 65)

    monkeypatch.setattr(type(watcher.steps.swearing), "signed", spoil)
    post.work()
    good = [posted for posted in asked if posted.request_id != spoilt]
    assert _statuses(post, good) == {Status.PROPOSED}
    assert post.world.state(asked[2]).status is Status.REQUESTED
    job = post.job(asked[2])
    assert (job.status, job.reverts, job.errors) == (JobStatus.PROPOSING, 1, 0)
    assert len(post.events("batch_split")) >= 2 and _sent(post) - before <= 4
    monkeypatch.undo()
    post.work(seconds=10)
    assert post.world.state(asked[2]).status is Status.PROPOSED


def test_results_wait_for_company_as_long_as_they_may(post: Post) -> None:
    """Where a wait is allowed, results that come one after the other share a transaction; none waits longer."""
    post.batching = Batching(max_results=10, max_wait_s=30.0)
    first = _asked(post, 1)
    watcher = post.start()
    before = _sent(post)
    watcher.run(Event(), once=True)
    assert (_sent(post) - before, post.job(first[0]).status) == (0, JobStatus.ANSWERED)
    second = post.world.request(post.world.payload(7.0, 7.0), salt=77)
    watcher.run(Event(), once=True)
    assert _sent(post) == before
    post.now += 31
    watcher.run(Event(), once=True)
    assert (_statuses(post, [*first, second]), _sent(post) - before) == ({Status.PROPOSED}, 1)
