"""Several watchers on one database: who leads, who works on what, and what nobody may do twice."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import structlog
from sqlalchemy import select
from tests.support import postgres
from tests.support.store_rows import ORACLE, SENDER, STREAM, block, job, oath, record

from sworn.cli.compose_replicas import UNFIT_S
from sworn.cli.compose_replicas import replica as composed
from sworn.errors import ConfigurationError, DigestConflict, LeadershipLost, StoreError, StoreUnavailable
from sworn.types import Address, RequestId
from sworn.watcher.replica import YIELD_S, Replica
from sworn.watcher.settings_replicas import ReplicaSettings
from sworn.watcher.store import migration
from sworn.watcher.store.database import Database, open_database
from sworn.watcher.store.jobs import JobStore
from sworn.watcher.store.leadership import Leadership, lead_by, subjects_of
from sworn.watcher.store.tables import LEADERS
from sworn.watcher.store.transactions import SqlTransactionStore
from sworn.watcher.supervision import Pulse, ServiceManager


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What a replica has to know of a deployment."""

    chain_id: int
    oracle: Address


SUBJECTS = subjects_of(chain_id=1, role="watcher", oracle=ORACLE, senders=[SENDER])
#: Ends the sessions that hold locks, as a server does that has lost sight of their processes.
TERMINATE = (
    "SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_database ON pg_database.oid = database "
    "WHERE locktype = 'advisory' AND granted AND datname = current_database()"
)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A migrated database that several can open."""
    if request.param == "postgresql":
        return postgres.migrated_url()
    url = f"sqlite:///{tmp_path}/watcher.db"
    database = open_database(url)
    migration.upgrade(database)
    database.close()
    return url


@pytest.fixture
def opened(url: str) -> Iterator[Callable[[], Database]]:
    """Opens the database once more, as another process would."""
    with ExitStack() as closing:

        def opened() -> Database:
            database = open_database(url)
            closing.callback(database.close)
            return database

        yield opened


@pytest.fixture
def leading(opened: Callable[[], Database]) -> Iterator[Callable[..., Leadership]]:
    """Makes leaderships, each over a database of its own."""
    with ExitStack() as closing:

        def leading(holder: str, subjects: tuple[str, ...] = SUBJECTS, **options: Any) -> Leadership:
            made = lead_by(opened(), subjects, holder=holder, **options)
            closing.callback(made.release)
            return made

        yield leading


@pytest.fixture
def replicas(opened: Callable[[], Database]) -> Iterator[Callable[..., Replica]]:
    """Makes replicas, each over a database of its own."""
    with ExitStack() as closing:

        def replicas(name: str = "node", **options: Any) -> Replica:
            made = Replica(database=opened(), name=name, subjects=SUBJECTS, log=structlog.get_logger(), **options)
            closing.callback(made.close)
            return made

        yield replicas


def fenced(database: Database, leadership: Leadership) -> SqlTransactionStore:
    """A sender's store as the assembly makes it."""
    return SqlTransactionStore(database=database.fenced(leadership.check), chain_id=1)


def test_leadership_asked_for_by_two_is_one_s_until_it_lets_go(leading: Callable[..., Leadership]) -> None:
    """Two leaders would send with one key; the second waits, and counts one more when it takes over."""
    first, second = leading("first"), leading("second")
    assert first.acquire() and first.acquire() and not second.acquire()
    assert (first.epoch, second.epoch) == (1, 0)
    first.release()
    assert second.acquire() and not first.acquire()
    assert (first.epoch, second.epoch) == (0, 2)


def test_leadership_with_one_key_in_common_is_refused_to_the_second(leading: Callable[..., Leadership]) -> None:
    """Replicas with an old and a new transaction key, or a watcher and a challenger with one key, never both send."""
    other = subjects_of(chain_id=1, role="challenger", oracle=ORACLE, senders=[SENDER])
    first, second = leading("first"), leading("second", other)
    assert first.acquire() and not second.acquire()
    apart = leading("third", subjects_of(chain_id=1, role="challenger", oracle=ORACLE, senders=[]))
    assert apart.acquire()


def test_write_by_one_who_does_not_lead_is_refused_before_it_is_stored(
    opened: Callable[[], Database], leading: Callable[..., Leadership]
) -> None:
    """A signed transaction that a deposed leader stored would be broadcast beside its successor's."""
    database = opened()
    old, new = leading("old"), leading("new")
    store = fenced(database, old)
    with pytest.raises(LeadershipLost):
        store.put(record(1, nonce=1))
    assert old.acquire()
    store.put(record(1, nonce=1))
    # What a pause does to the old one: its locks are gone, and it does not know.
    old._locks.drop()  # type: ignore[attr-defined]
    assert new.acquire()
    with pytest.raises(LeadershipLost):
        store.put(record(2, nonce=2))
    unfenced = SqlTransactionStore(database=database, chain_id=1)
    assert unfenced.get(record(1, nonce=1).key) is not None and unfenced.get(record(2, nonce=2).key) is None
    fenced(database, new).put(record(2, nonce=2))


def test_replicas_of_one_name_are_told_apart_and_a_dead_one_s_jobs_are_free(
    opened: Callable[[], Database], replicas: Callable[..., Replica]
) -> None:
    """A restart after a crash goes on with its own runs at once; a namesake that lives loses none."""
    first, second = replicas("node"), replicas("node")
    assert (first.holder, second.holder) == ("node", "node-2")
    store = JobStore(database=opened())
    store.advance(STREAM, history=[block(1)], seen=[job(1), job(2)])
    taken = store.lease(first.holder, block_timestamp=0, limit=1, lease_s=60)
    kept = store.lease(second.holder, block_timestamp=0, limit=1, lease_s=60)
    assert len(taken) == len(kept) == 1 and taken != kept
    first._locks.drop()
    again = replicas("node")
    assert again.holder == "node"
    assert store.lease("other", block_timestamp=0, limit=9, lease_s=60) == taken
    second.release()
    assert store.lease("other", block_timestamp=0, limit=9, lease_s=60, running=[taken[0].request_id]) == kept


def test_jobs_leased_by_many_at_once_are_each_one_s(opened: Callable[[], Database]) -> None:
    """A job that two replicas run is paid once and computed twice."""
    store = JobStore(database=opened())
    store.advance(STREAM, history=[block(1)], seen=[job(number) for number in range(40)])
    barrier = threading.Barrier(4)

    def take(holder: str) -> list[RequestId]:
        barrier.wait()
        own = JobStore(database=opened())
        taken = [own.lease(holder, block_timestamp=0, limit=5, lease_s=60) for _ in range(2)]
        return [each.request_id for some in taken for each in some]

    with ThreadPoolExecutor(4) as pool:
        mine = list(pool.map(take, "abcd"))
    # Asked again, each is given what it has already.
    assert sum(len(set(ids)) for ids in mine) == len(set().union(*mine))


def test_lease_that_is_not_renewed_passes_to_another_replica(opened: Callable[[], Database]) -> None:
    """A crashed replica's requests would wait for ever, and expire."""
    store = JobStore(database=opened())
    store.advance(STREAM, history=[block(1)], seen=[job(1), job(2)])
    ids = [job(1).request_id, job(2).request_id]
    assert len(store.lease("dead", block_timestamp=0, limit=9, lease_s=0.4)) == 2
    assert store.renew("dead", ids[:1], lease_s=60) == frozenset(ids[:1])
    assert store.lease("live", block_timestamp=0, limit=9, lease_s=60) == []
    time.sleep(0.6)
    assert [each.request_id for each in store.lease("live", block_timestamp=0, limit=9, lease_s=60)] == ids[1:]
    assert store.renew("dead", ids, lease_s=60) == frozenset(ids[:1])


def test_results_sworn_by_many_at_once_leave_one_per_request_and_per_input(opened: Callable[[], Database]) -> None:
    """Two replicas with different answers would sign two digests, and one alone convicts the operator."""
    store = JobStore(database=opened())
    store.advance(STREAM, history=[block(1)], seen=[job(number) for number in range(4)])
    barrier = threading.Barrier(4)

    def swear(number: int, request: int, *, promised: bool) -> bool:
        own = JobStore(database=opened())
        root = number.to_bytes(32, "big")
        barrier.wait()
        try:
            mine = replace(oath(request, digest=root), output_root=root)
            own.swear(mine, one_answer_per_input=promised)
        except DigestConflict:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        same_request = list(pool.map(lambda number: swear(number, 0, promised=False), range(1, 5)))
        same_input = list(pool.map(lambda number: swear(number + 10, number, promised=True), range(4)))
    assert same_request.count(True) == 1
    assert same_input.count(True) == 1


def test_database_claimed_and_migrated_by_many_at_once_is_whole(tmp_path: Path) -> None:
    """Two replicas that start together must not meet half a schema, nor tie the database to two deployments."""
    for url in (f"sqlite:///{tmp_path}/fresh.db", postgres.empty_url()):
        databases = [open_database(url) for _ in range(3)]

        def start(database: Database) -> None:
            migration.upgrade(database)
            JobStore(database=database).claim(chain_id=1, oracle=ORACLE)

        with ThreadPoolExecutor(3) as pool:
            assert list(pool.map(start, databases)) == [None] * 3
        assert migration.differences(databases[0]) == []
        with pytest.raises(ConfigurationError):
            JobStore(database=databases[1]).claim(chain_id=1, oracle=SENDER)
        for database in databases:
            database.close()


def test_leader_that_says_nothing_is_deposed_by_the_server() -> None:
    """A leader that is stopped keeps its connection: nobody would answer until a person came."""
    url = postgres.migrated_url()
    with ExitStack() as closing:
        databases = [open_database(url) for _ in range(2)]
        for database in databases:
            closing.callback(database.close)
        silent, standby = (lead_by(each, SUBJECTS, holder="x", patience_s=0.5) for each in databases)
        closing.callback(silent.release)
        closing.callback(standby.release)
        assert silent.acquire() and not standby.acquire()
        for _ in range(4):
            time.sleep(0.2)
            assert silent.acquire() and not standby.acquire()
        time.sleep(0.8)
        assert standby.acquire() and not silent.acquire()
        with pytest.raises(LeadershipLost):
            fenced(databases[0], silent).put(record(1, nonce=1))


def test_takeover_waits_for_what_the_leader_is_storing() -> None:
    """A nonce that is being stored while another one takes over is seen by it, and not given out twice."""
    url = postgres.migrated_url()
    with ExitStack() as closing:
        databases = [open_database(url) for _ in range(2)]
        for database in databases:
            closing.callback(database.close)
        old, new = (lead_by(each, SUBJECTS, holder="x") for each in databases)
        closing.callback(old.release)
        closing.callback(new.release)
        assert old.acquire()
        taken = threading.Event()

        def take() -> None:
            if new.acquire():
                taken.set()

        thread = threading.Thread(target=take)
        with databases[0].fenced(old.check).transaction():
            postgres.execute(url, TERMINATE)
            thread.start()
            assert not taken.wait(0.5)
        assert taken.wait(5)
        thread.join()
        with pytest.raises(LeadershipLost), databases[0].fenced(old.check).transaction():
            pass
        with databases[1].transaction() as connection:
            assert set(connection.execute(select(LEADERS.c.epoch)).scalars()) == {2}


def test_connection_that_is_lost_is_said_to_pass_and_does() -> None:
    """A database that restarts must not end the watcher; and a lost lead is won again under another number."""
    url = postgres.migrated_url()
    database = open_database(url)
    leadership = lead_by(database, SUBJECTS, holder="x")
    assert leadership.acquire()
    killer = "SELECT pg_terminate_backend(pg_backend_pid())"
    with pytest.raises(StoreUnavailable), database.transaction() as connection:
        connection.exec_driver_sql(killer)
    postgres.execute(url, TERMINATE)
    assert leadership.acquire() and leadership.epoch == 2
    JobStore(database=database.fenced(leadership.check)).advance(STREAM, history=[block(1)], seen=[job(1)])
    leadership.release()
    database.close()
    away = open_database(url.replace("sworn-postgres-", "nowhere-"))
    with pytest.raises(StoreUnavailable), away.transaction():
        pass
    away.close()


def test_text_that_strangers_choose_is_stored_whatever_it_holds(opened: Callable[[], Database]) -> None:
    """A revert reason with a NUL, which PostgreSQL refuses, would stop every turn from then on."""
    store = JobStore(database=opened())
    store.advance(STREAM, history=[block(1)], seen=[job(1)])
    store.save(replace(job(1), reason="a\0b\ud800c"))
    found = store.job(job(1).request_id)
    assert found is not None and found.reason == "a\ufffdb?c"


def test_traces_kept_apart_by_replicas_are_refused(replicas: Callable[..., Replica]) -> None:
    """A leader without the worker's traces cannot defend what the worker swore in profile bounded."""
    replicas("a").keep_traces_in("one", shared=True)
    replicas("b").keep_traces_in("one", shared=True)
    replicas("c").keep_traces_in("two", shared=False)
    with pytest.raises(ConfigurationError, match=r"traces\.folder"):
        replicas("d").keep_traces_in("one", shared=True)


def test_database_error_of_another_kind_is_not_said_to_pass(opened: Callable[[], Database]) -> None:
    """What does not pass by itself must reach a person as what it is."""
    with pytest.raises(StoreError) as raised, opened().transaction() as connection:
        connection.exec_driver_sql("SELECT nothing FROM nowhere")
    assert not isinstance(raised.value, StoreUnavailable)


def leads_soon(replica: Replica) -> bool:
    """Whether a replica leads once the server has noticed that the session before is over."""
    deadline = time.monotonic() + 5
    while not replica.leads() and time.monotonic() < deadline:
        time.sleep(0.01)
    return replica.leads()


def test_leader_that_cannot_work_leaves_its_place_to_one_that_can(replicas: Callable[..., Replica]) -> None:
    """A leader without a node holds its locks all the same: a standby whose node is well would wait for ever."""
    fit, now = [True], [1_000.0]
    first = replicas("first", fit=lambda: fit[0], clock=lambda: now[0])
    second = replicas("second")
    assert first.leads() and not second.leads()
    fit[0] = False
    assert not first.leads()
    assert leads_soon(second)
    now[0] += YIELD_S + 1
    assert not first.leads()
    assert second.leads()


def test_leader_that_cannot_work_leads_on_where_nobody_takes_over(replicas: Callable[..., Replica]) -> None:
    """What fails may be a part of the work: without anybody else the rest is still done, and nothing swings."""
    fit, now = [True], [1_000.0]
    first = replicas("first", fit=lambda: fit[0], clock=lambda: now[0])
    assert first.leads()
    fit[0] = False
    # Nobody else is there at all.
    assert first.leads()
    replicas("second")
    assert not first.leads()
    now[0] += YIELD_S + 1
    assert leads_soon(first)
    now[0] += YIELD_S
    assert first.leads()


def test_leader_that_recovers_while_its_place_is_free_takes_it_again(replicas: Callable[..., Replica]) -> None:
    """A node that was gone for a moment must not cost a pause as well."""
    fit = [True]
    first = replicas("first", fit=lambda: fit[0])
    replicas("second")
    assert first.leads()
    fit[0] = False
    assert not first.leads()
    fit[0] = True
    assert leads_soon(first)


def test_leader_that_offers_its_place_leaves_it_free_although_standing_by_goes_well(
    replicas: Callable[..., Replica],
) -> None:
    """What only leaders do fails, and a standby does none of it: its quiet turns must not win the lead back.

    The others would have to ask in the two seconds between, and disputes would be lost beside a node that is well.
    """
    now = [1_000.0]
    pulse = Pulse(poll_interval_s=2, manager=ServiceManager(None), clock=lambda: now[0])
    first = replicas("first", fit=lambda: pulse.unfit_s < UNFIT_S, clock=lambda: now[0])
    second = replicas("second")
    assert first.leads() and not second.leads()
    turns = []
    while now[0] < 1_000 + UNFIT_S + YIELD_S - 3:
        pulse.turn(0.0, first.led, first.led)
        now[0] += 3
        turns.append(first.leads())
    assert turns == [*[True] * 9, *[False] * 5]
    assert leads_soon(second)


def test_replica_s_fitness_is_that_of_a_leader(opened: Callable[[], Database]) -> None:
    """Put together with the other gauge, which any quiet turn resets, a leader would hardly ever offer its place."""
    now = [1_000.0]
    pulse = Pulse(poll_interval_s=2, manager=ServiceManager(None), clock=lambda: now[0])
    parts = {"role": "challenger", "deployment": Place(chain_id=1, oracle=ORACLE), "senders": [SENDER]}
    with composed(ReplicaSettings(), database=opened(), pulse=pulse, log=structlog.get_logger(), **parts) as made:  # type: ignore[arg-type]
        pulse.turn(0.0, True, True)
        now[0] += UNFIT_S
        pulse.turn(0.0, False, False)
        assert not made._fit()
        pulse.turn(0.0, False, True)
        assert made._fit()
