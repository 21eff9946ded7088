"""A database server that dies in the midst of work, and its standby that is promoted: watchers go on with that one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import text
from tests.support.postgres_pair import ABSENT, Pair, pair, programs
from tests.support.replicated import Replicated
from tests.support.watcher_world import WatcherWorld, open_world

from sworn.cli.doctor_chain import _copies
from sworn.cli.doctor_findings import Verdict
from sworn.errors import StoreUnavailable
from sworn.testing.anvil import AnvilChain
from sworn.types import RequestId
from sworn.watcher.store import migration
from sworn.watcher.store.database import open_database, standbys_of

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.anvil,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(programs() is None, reason=ABSENT),
]


@pytest.fixture(scope="module")
def stage() -> Iterator[WatcherWorld]:
    """Contracts, operator and model on an anvil, once for all tests here."""
    chain = AnvilChain()
    yield open_world(chain, stake_wei=50 * 10**18)
    chain.close()


@pytest.fixture
def servers() -> Iterator[Pair]:
    """A primary whose commits wait for its standby."""
    with pair(synchronous=True) as servers:
        migrate(servers.url)
        yield servers


@pytest.fixture
def replicated(stage: WatcherWorld, servers: Pair, tmp_path: Path) -> Iterator[Replicated]:
    """Watchers on the pair; the chain is put back afterwards."""
    mark = stage.chain.snapshot()
    replicated = Replicated(world=stage, folder=tmp_path, url=servers.url)
    yield replicated
    replicated.close()
    stage.chain.revert(mark)


def migrate(url: str) -> None:
    """Brings the newest schema."""
    database = open_database(url)
    migration.upgrade(database)
    database.close()


def post(world: WatcherWorld, count: int, *, first: int = 0) -> list[RequestId]:
    """Makes requests, each about an input of its own."""
    return [world.request(world.payload(2.0, n + 1.0), salt=n).request_id for n in range(first, first + count)]


def test_promoted_standby_is_gone_on_with_and_nothing_happens_twice(replicated: Replicated, servers: Pair) -> None:
    """A database that fails over must cost seconds: no answer twice, no digest beside another, no nonce left out.

    The engine answers differently on every run: an oath that were forgotten would be sworn again, and differ.
    """
    world = replicated.world
    nonce = world.chain.gateway.nonce(world.transaction_signer.address)
    for name in "ab":
        replicated.start(name)
    ids = post(world, 8)
    replicated.until(lambda: len(replicated.watched().signed_digests()) >= 3)
    servers.primary.crash()
    ids += post(world, 8, first=8)
    time.sleep(3)
    servers.standby.promote()
    servers.standby.asked("ALTER SYSTEM SET synchronous_standby_names = ''")
    servers.standby.asked("SELECT pg_reload_conf()")
    replicated.until(lambda: replicated.answered(ids))

    watched = replicated.watched()
    assert watched.events("ResultProposed") == dict.fromkeys(ids, 1)
    assert watched.signed_digests() == watched.allowed_digests(ids)
    used = world.chain.gateway.nonce(world.transaction_signer.address)
    count, highest = replicated.nonces()
    assert (count, highest + 1) == (used - nonce, used)
    assert {name: replicated.stop(name) for name in "ab"} == {"a": 0, "b": 0}


def test_nothing_is_published_while_the_standby_is_gone(replicated: Replicated, servers: Pair) -> None:
    """What only one server has may be forgotten by a failover: nothing may follow from it until two have it."""
    world = replicated.world
    replicated.start("a")
    first = post(world, 2)
    replicated.until(lambda: replicated.answered(first, at_rest=False))
    servers.standby.crash()
    sworn = replicated.watched().signed_digests()
    ids = post(world, 2, first=2)
    time.sleep(8)

    assert replicated.watched().signed_digests() == sworn
    servers.standby.start()
    replicated.until(lambda: replicated.answered([*first, *ids]))
    watched = replicated.watched()
    assert watched.signed_digests() == watched.allowed_digests([*first, *ids])


def test_commit_whose_wait_is_cancelled_counts_as_failed(servers: Pair) -> None:
    """PostgreSQL calls such a commit a success, with a warning; its standby has never heard of it."""
    database = open_database(servers.primary.url)
    servers.standby.crash()

    def write() -> None:
        with database.transaction() as connection:
            connection.execute(text("CREATE TABLE written (number integer)"))

    with ThreadPoolExecutor() as pool:
        writing = pool.submit(write)
        waiting = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
        while not servers.primary.asked(waiting):
            time.sleep(0.1)
        with pytest.raises(StoreUnavailable, match="standby"):
            writing.result(timeout=30)
    servers.standby.start()
    # The next one waits for both, and is believed.
    with database.transaction() as connection:
        connection.execute(text("INSERT INTO written VALUES (1)"))
    database.close()


def test_commits_wait_whatever_the_server_has_by_default(servers: Pair) -> None:
    """A default that was chosen for speed would lose oaths; stricter ones are kept."""
    for default, counts in {"off": "on", "local": "on", "remote_write": "remote_write", "on": "on"}.items():
        servers.primary.asked(f"ALTER DATABASE sworn SET synchronous_commit = {default}")
        database = open_database(servers.primary.url)
        with database.transaction() as connection:
            assert connection.execute(text("SHOW synchronous_commit")).scalar() == counts, default
        database.close()


def test_doctor_warns_of_a_standby_that_no_commit_waits_for(servers: Pair) -> None:
    """Promoted, it would have forgotten oaths; whoever has set it up may not know. Plain accounts see it."""
    servers.primary.asked("CREATE ROLE sworn LOGIN")
    database = open_database(servers.primary.url.replace("postgres@", "sworn@"))
    assert standbys_of(database) == (1, True) and _copies(database).verdict is Verdict.OK
    database.close()
    with pair(synchronous=False) as lax:
        database = open_database(lax.primary.url)
        assert standbys_of(database) == (1, False) and _copies(database).verdict is Verdict.WARN
        database.close()


def test_standby_that_is_written_to_is_left_for_the_next_server(servers: Pair) -> None:
    """A pool that keeps connections to a server which only reads would fail until somebody restarts the watcher."""
    database = open_database(servers.standby.url)
    sessions: list[int] = []

    def write() -> None:
        with database.transaction() as connection:
            sessions.append(connection.execute(text("SELECT pg_backend_pid()")).scalar_one())
            connection.execute(text("CREATE TABLE written (number integer)"))

    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            write()
    assert len(set(sessions)) == 2, "the connection is not used again"
    servers.primary.crash()
    servers.standby.promote()
    with database.transaction() as connection:
        connection.execute(text("SET synchronous_commit = local"))
        connection.execute(text("CREATE TABLE written (number integer)"))
    database.close()
