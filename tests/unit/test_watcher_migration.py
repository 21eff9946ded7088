"""Schemas of different ages: what is kept on the way up, and who may work on which."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text
from tests.support import postgres
from tests.support.databases import KINDS, opened
from tests.support.store_rows import SENDER, STREAM, block, job, oath, record

import sworn.watcher.store
from sworn.errors import DigestConflict, StoreError
from sworn.types import ModelId
from sworn.watcher.store import migration
from sworn.watcher.store.database import Database, open_database
from sworn.watcher.store.jobs import JobStore
from sworn.watcher.store.transactions import SqlTransactionStore

NEXT = Path(__file__).resolve().parent.parent / "support" / "migrations_next"
#: The last schema whose code knew of no other replicas.
ALONE = "0004"


@pytest.fixture(params=KINDS)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty database with the newest schema."""
    with opened(request.param, tmp_path) as database:
        yield database


def step_down(database: Database, revision: str) -> None:
    """Brings a database to an older schema."""
    configuration = migration._configuration()
    with database.transaction() as connection:
        configuration.attributes["connection"] = connection
        command.downgrade(configuration, revision)


def columns(database: Database) -> dict[tuple[str, str], Any]:
    """Every column there is, by table and name."""
    with database.transaction() as connection:
        seen = inspect(connection)
        return {(table, each["name"]): each for table in seen.get_table_names() for each in seen.get_columns(table)}


def test_journal_of_an_older_schema_binds_what_is_sworn_after_it(database: Database) -> None:
    """An upgrade that forgot old outputs would let a second one be sworn; where bits were never promised none binds."""
    store = JobStore(database=database)
    other = replace(job(3), request=replace(job(3).request, model_id=ModelId(b"\x09" * 32)))
    again = replace(other, request_id=job(4).request_id)
    store.advance(STREAM, history=[block(1)], seen=[job(1), job(2), other, again])
    step_down(database, ALONE)
    with database.transaction() as connection:
        for number, root in ((1, b"\x08"), (3, b"\x0a"), (4, b"\x0b")):
            connection.execute(
                text(
                    "INSERT INTO signed_digests (request_id, operator, digest, output_root, trace_root, output, "
                    "created_at) VALUES (:request, :operator, :root, :root, :root, :root, 0)"
                ),
                {"request": number.to_bytes(32, "big"), "operator": SENDER, "root": root * 32},
            )
    migration.upgrade(database)
    assert migration.differences(database) == []
    with pytest.raises(DigestConflict):
        store.swear(replace(oath(2), output_root=b"\x0c" * 32), one_answer_per_input=True)
    store.swear(replace(oath(2), output_root=b"\x08" * 32), one_answer_per_input=True)
    with database.transaction() as connection:
        held = connection.execute(text("SELECT model_id FROM statements")).scalars().all()
    assert [bytes(each) for each in held] == [bytes(job(1).request.model_id)]


def test_schema_of_the_next_release_is_worked_on_by_this_one(database: Database) -> None:
    """A replica that stops when another one is upgraded beside it would make every upgrade an outage."""
    migration.upgrade(database, more=[NEXT])
    assert migration.current(database) == "0008" == migration.latest(more=[NEXT])
    migration.upgrade(database)
    migration.require_current(database)
    store = JobStore(database=database)
    store.advance(STREAM, history=[block(1)], seen=[job(1)])
    store.swear(oath(1), one_answer_per_input=True)
    SqlTransactionStore(database=database, chain_id=1).put(record(1, nonce=1))
    assert store.job(job(1).request_id) == job(1)
    assert migration.current(database) == "0008"


@pytest.mark.parametrize("raised", ["UPDATE schema_floor SET revision = '0008'", "DELETE FROM schema_floor"])
def test_schema_that_this_release_cannot_use_is_refused(database: Database, raised: str) -> None:
    """Code that writes into a schema which it does not understand may lose what was sworn."""
    migration.upgrade(database, more=[NEXT])
    with database.transaction() as connection:
        connection.execute(text(raised))
    for use in (migration.upgrade, migration.require_current):
        with pytest.raises(StoreError, match="newer version"):
            use(database)
    migration.upgrade(database, more=[NEXT])


def only_adds(before: dict[tuple[str, str], Any], after: dict[tuple[str, str], Any]) -> bool:
    """Whether code that knows only the columns of before can still read and write all of them."""
    kept = all(place in after and str(after[place]["type"]) == str(each["type"]) for place, each in before.items())
    loosened = all(after[place]["nullable"] or not each["nullable"] for place, each in before.items() if place in after)
    tables = {table for table, _ in before}
    optional = all(
        each["nullable"] or each["default"] is not None
        for place, each in after.items()
        if place not in before and place[0] in tables
    )
    return kept and loosened and optional


def test_migrations_since_replicas_exist_only_add_or_raise_the_floor(tmp_path: Path) -> None:
    """Zero downtime is a promise about every migration to come, not about the one at hand."""
    database = open_database(f"sqlite:///{tmp_path}/watcher.db")
    scripts = ScriptDirectory.from_config(migration._configuration([NEXT]))
    revisions = [script.revision for script in scripts.walk_revisions()][::-1]
    configuration = migration._configuration([NEXT])
    steps = {}
    for revision in revisions:
        with database.transaction() as connection:
            configuration.attributes["connection"] = connection
            command.upgrade(configuration, revision)
        steps[revision] = columns(database)
    for before, after in pairwise(revisions[4:]):
        assert only_adds(steps[before], steps[after]), after
    # The test can tell: what replicas brought is not optional without its defaults.
    assert not only_adds(steps["0005"], steps["0004"])
    database.close()


@pytest.mark.slow
def test_migration_that_meets_a_long_transaction_gives_up_and_can_be_tried_again() -> None:
    """An ALTER that waits stops everybody behind it: the running replica would stand still with it."""
    url = postgres.migrated_url()
    holder, upgrader = open_database(url), open_database(url)
    with holder.transaction() as connection:
        connection.execute(text("SELECT count(*) FROM jobs"))
        with pytest.raises(StoreError):
            migration.upgrade(upgrader, more=[NEXT])
        assert migration.current(upgrader) == "0007"
    migration.upgrade(upgrader, more=[NEXT])
    assert migration.current(holder) == "0008"
    holder.close()
    upgrader.close()


def test_migrations_of_this_version_are_all_in_the_package() -> None:
    """A wheel without its migrations could open no database."""
    folder = Path(sworn.watcher.store.__file__).parent / "migrations" / "versions"
    assert migration.latest() == max(path.name[:4] for path in folder.glob("0*.py"))
