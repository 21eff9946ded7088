"""What one job cannot do to the others: end every turn, or take up the room in each."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any, cast

import pytest
from sqlalchemy import update
from tests.integration.test_watcher_service import Post
from tests.support.watcher_world import WINDOW_S, Posted, WatcherWorld, open_world

from sworn.chain.gateway import Block
from sworn.errors import SwornError, TransientChainError
from sworn.testing.local_chain import EmbeddedChain
from sworn.types import Status
from sworn.watcher import service
from sworn.watcher.calldata import selector
from sworn.watcher.containment import LONGEST_S, PATIENCE_S
from sworn.watcher.contracts import Contracts
from sworn.watcher.defence.service import Defender
from sworn.watcher.jobs import RECHECK_S, JobStatus
from sworn.watcher.replica import Alone
from sworn.watcher.service import Watcher
from sworn.watcher.store.database import open_database
from sworn.watcher.store.migration import upgrade
from sworn.watcher.store.tables import JOBS
from sworn.watcher.telemetry import SilentTelemetry


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


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """Where models run; each run has ended before the next turn."""

    class Now(ThreadPoolExecutor):
        def submit(self, *args: Any, **kwargs: Any) -> Future[Any]:
            run = super().submit(*args, **kwargs)
            run.exception()
            return run

    with Now(1) as pool:
        yield pool


def _asked(post: Post, count: int, *, first: int = 0) -> list[Posted]:
    numbers = range(first, first + count)
    return [post.world.request(post.world.payload(1.0, number + 1.0), salt=number) for number in numbers]


def _turn(watcher: Watcher, pool: ThreadPoolExecutor) -> SwornError | None:
    """One turn, and what it failed with."""
    try:
        watcher.turn(pool, Event())
    except SwornError as error:
        return error
    return None


def _finalizing_fails(post: Post, patched: pytest.MonkeyPatch) -> None:
    """Has the node answer every simulation of a finalization as if it had failed itself."""
    gateway = type(post.world.chain.gateway)
    look = gateway.calls
    poisoned = {selector(name) for name in ("finalize", "finalizeMany")}

    def calls(self: Any, calls: Any, **kwargs: Any) -> Any:
        answers = look(self, calls, **kwargs)
        spoilt = [bool(call.sender) and bytes(call.data[:4]) in poisoned for call in calls]
        pairs = zip(spoilt, answers, strict=True)
        return [TransientChainError("internal error") if bad else answer for bad, answer in pairs]

    patched.setattr(gateway, "calls", calls)


def _well(watcher: Watcher, pool: ThreadPoolExecutor) -> None:
    while watcher.turn(pool, Event()):
        pass


def _final_but_shallow(post: Post, watcher: Watcher, pool: ThreadPoolExecutor, count: int) -> list[Posted]:
    """Results that are final in the newest blocks only."""
    asked = _asked(post, count)
    _well(watcher, pool)
    post.world.chain.advance(WINDOW_S + 1)
    _well(watcher, pool)
    assert {post.world.state(posted).status for posted in asked} == {Status.FINALIZED}
    assert {post.job(posted).status for posted in asked} == {JobStatus.FINALIZING}
    return asked


def test_job_that_the_node_always_fails_keeps_nothing_else_from_being_done(
    post: Post, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some nodes answer one call for ever as if they had failed: nothing new would be run, and nobody would be paid.

    The turn fails all the same: whether it is the node, a person has to see, and another replica may try.
    """
    watcher = post.start()
    (first,) = _asked(post, 1)
    _well(watcher, pool)
    post.world.chain.advance(WINDOW_S + 1)
    _finalizing_fails(post, monkeypatch)
    (second,) = _asked(post, 1, first=1)
    failures = []
    for _ in range(3):
        failures.append(_turn(watcher, pool))
        post.now += 1
    assert [type(each) for each in failures] == [TransientChainError] * 3
    assert post.world.state(second).status is Status.PROPOSED
    assert post.world.state(first).status is Status.PROPOSED


def test_node_that_goes_away_in_a_turn_is_not_asked_for_the_rest_of_it(
    post: Post, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each request to a node that hangs takes half a minute: a turn of many would look like a loop that hangs."""
    asked: list[str] = []

    class Vanishing:
        runs: tuple[Future[Any], ...] = ()

        def turn(self, head: Block, pool: ThreadPoolExecutor) -> bool:
            for name in ("block", "calls", "call"):
                monkeypatch.setattr(type(post.world.chain.gateway), name, down(name))
            raise TransientChainError("gone")

    def down(name: str) -> Any:
        def ask(*args: object, **kwargs: object) -> None:
            asked.append(name)
            raise TransientChainError("gone")

        return ask

    watcher = replace(post.start(), defence=cast(Defender, Vanishing()))
    _asked(post, 1)
    assert isinstance(_turn(watcher, pool), TransientChainError)
    assert len(asked) == 1


def test_job_that_the_node_always_fails_is_tried_rarely_and_never_given_up(
    post: Post, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One job must not make a node look broken for ever; once its call passes, it is done within a minute."""
    watcher = post.start()
    (posted,) = _asked(post, 1)
    _well(watcher, pool)
    post.world.chain.advance(WINDOW_S + 1)
    with monkeypatch.context() as patched:
        _finalizing_fails(post, patched)
        failed = []
        for _ in range(30):
            failed.append(_turn(watcher, pool) is not None)
            post.now += 20
    assert all(failed[: int(PATIENCE_S / 20)])
    assert 1 <= sum(failed[-12:]) <= 5
    assert post.job(posted).attempts == 0
    post.now += LONGEST_S
    _well(watcher, pool)
    assert post.world.state(posted).status is Status.FINALIZED


def test_dispute_that_the_node_always_fails_keeps_nothing_else_from_being_done(
    post: Post, pool: ThreadPoolExecutor
) -> None:
    """A defence comes first in every turn, and must not be the last thing in it."""

    class Failing:
        runs: tuple[Future[Any], ...] = ()

        def turn(self, head: Block, pool: ThreadPoolExecutor) -> bool:
            raise TransientChainError("internal error")

    watcher = replace(post.start(), defence=cast(Defender, Failing()))
    (posted,) = _asked(post, 1)
    failures = [_turn(watcher, pool) for _ in range(3)]
    assert [type(each) for each in failures] == [TransientChainError] * 3
    assert post.world.state(posted).status is Status.PROPOSED


def test_results_that_wait_until_they_are_deep_leave_room_for_others(
    post: Post, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a turn deals with so many jobs, as many in a depth's time would be all that a node can ever finish."""
    monkeypatch.setattr(service, "BATCH", 2)
    post.confirmations = 3
    watcher = post.start()
    asked = _final_but_shallow(post, watcher, pool, 2)
    (other,) = _asked(post, 1, first=2)
    _well(watcher, pool)
    assert post.world.state(other).status is Status.PROPOSED
    # The clock of a chain that mines at once stands nearly still.
    post.world.chain.mine(3)
    _well(watcher, pool)
    assert {post.job(posted).status for posted in asked} == {JobStatus.FINALIZED}


def test_results_that_wait_until_they_are_deep_are_not_asked_for_meanwhile(
    post: Post, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand of them, read at an old block in every turn for a quarter of an hour, cost more than all the rest."""
    post.confirmations = 30
    post.world.chain.mine(30)
    watcher = post.start()
    _final_but_shallow(post, watcher, pool, 1)
    read: list[object] = []
    states_of = Contracts.states_of

    def counted(self: Contracts, requests: Any, **kwargs: Any) -> Any:
        read.extend(requests)
        return states_of(self, requests, **kwargs)

    monkeypatch.setattr(Contracts, "states_of", counted)
    for _ in range(20):
        post.world.chain.mine(1)
        watcher.turn(pool, Event())
    assert read == []


def test_requests_that_ended_unseen_take_no_room_from_new_ones(post: Post, pool: ThreadPoolExecutor) -> None:
    """After a downtime hundreds have expired: until that is deep, nothing new would be run."""
    post.confirmations, post.queue = 3, 2
    watcher = post.start()
    expired = _asked(post, 2)
    post.world.chain.advance(4000)
    (fresh,) = _asked(post, 1, first=2)
    _well(watcher, pool)
    assert post.world.state(fresh).status is Status.PROPOSED
    assert {post.job(posted).status for posted in expired} == {JobStatus.SEEN}
    post.world.chain.mine(3)
    _well(watcher, pool)
    assert {post.job(posted).status for posted in expired} == {JobStatus.EXPIRED}


def test_end_that_a_reorganisation_undoes_is_brought_about_again(post: Post, pool: ThreadPoolExecutor) -> None:
    """A result that was left alone until its end is deep is looked at when the end is not there any more."""
    post.confirmations = 3
    watcher = post.start()
    (posted,) = _asked(post, 1)
    _well(watcher, pool)
    post.world.chain.advance(WINDOW_S + 1)
    mark = post.world.chain.snapshot()
    _well(watcher, pool)
    assert post.job(posted).settled_block is not None
    post.world.chain.revert(mark)
    post.world.chain.mine(2)
    assert post.world.state(posted).status is Status.PROPOSED
    _well(watcher, pool)
    assert post.world.state(posted).status is Status.FINALIZED
    post.world.chain.mine(3)
    _well(watcher, pool)
    assert post.job(posted).status is JobStatus.FINALIZED


def test_end_that_is_undone_unnoticed_is_noticed_a_minute_later(post: Post, pool: ThreadPoolExecutor) -> None:
    """A reorganisation of blocks that were not followed yet wakes nobody; the job must not wait for a depth's time."""
    post.confirmations = 3
    watcher = post.start()
    (posted,) = _asked(post, 1)
    _well(watcher, pool)
    post.world.chain.advance(WINDOW_S + 1)
    head = post.world.chain.gateway.block("latest")
    with post.database.transaction() as connection:
        connection.execute(update(JOBS).values(settled_block=head.number, due_at=head.timestamp + RECHECK_S))
    _well(watcher, pool)
    assert post.world.state(posted).status is Status.PROPOSED
    post.world.chain.advance(RECHECK_S)
    _well(watcher, pool)
    assert post.world.state(posted).status is Status.FINALIZED
    assert (post.job(posted).settled_block or 0) > head.number


@pytest.mark.parametrize("leads", [True, False])
def test_turns_are_told_with_who_led_them(post: Post, leads: bool) -> None:
    """A standby's quiet turns would be taken for a leader's recovery."""
    heard: list[bool] = []

    class Listener(SilentTelemetry):
        def turn(self, seconds: float, failed: bool, led: bool = True) -> None:
            heard.append(led)

    replace(post.start(), telemetry=Listener(), role=Alone(led=leads)).run(Event(), once=True)
    assert set(heard) == {leads}


def test_watcher_of_a_deployment_that_is_younger_than_its_confirmations_works(post: Post) -> None:
    """So many blocks ago there was no registry to ask what a key may sign: the answer is empty, and means nothing."""
    asked = post.world.request(post.world.payload(1.0, 2.0))
    post.confirmations = 10_000
    post.work()
    assert post.world.state(asked).status is Status.PROPOSED


@pytest.mark.parametrize("answer", [b"", b"\x01"], ids=["nothing", "short"])
def test_node_that_answers_nonsense_fails_the_turn_and_does_not_end_the_watcher(
    post: Post, monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    """Another endpoint may know better; a process that dies of it is started again, and dies again."""
    contracts = Contracts(gateway=post.world.chain.gateway, deployment=post.world.deployment)
    monkeypatch.setattr(contracts.gateway, "call", lambda call, *, block="latest": answer)
    with pytest.raises(TransientChainError, match="the node's answer is none"):
        contracts.account_of(post.world.operator.address)
    with pytest.raises(TransientChainError):
        post.work()
