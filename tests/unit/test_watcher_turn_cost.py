"""A turn costs what is due in it, not what lies behind it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import text
from tests.support import postgres
from tests.support.turns import Load, filled, questions, steps

from sworn.watcher.observer import Source, _pause_s
from sworn.watcher.status import Reading
from sworn.watcher.store.census import Census
from sworn.watcher.store.database import Database, open_database
from sworn.watcher.store.jobs import JobStore
from sworn.watcher.store.tables import METADATA

_MANY = 1_500
#: Instructions by which two costs may differ: an index over more rows has pages more.
_SLACK = 400


def _opened(folder: Path, load: Load) -> Database:
    name = f"{load.settled}-{load.waiting}-{load.queued}"
    database = open_database(f"sqlite:///{folder}/{name}.db")
    METADATA.create_all(database.engine)
    filled(database, load)
    return database


def _costs(database: Database, asked: Mapping[str, Callable[[], object]]) -> dict[str, int]:
    return {name: steps(database, question) for name, question in asked.items()}


@pytest.mark.parametrize("load", [Load(settled=_MANY), Load(waiting=_MANY), Load(queued=_MANY)], ids=str)
def test_turn_asks_its_database_for_as_much_whatever_lies_behind_it(load: Load, tmp_path: Path) -> None:
    """One walk through all jobs per turn makes a hundred thousand requests cost a hundred times a thousand."""
    few, many = _opened(tmp_path, Load()), _opened(tmp_path, load)
    before, after = _costs(few, questions(few, Load())), _costs(many, questions(many, load))
    assert {name: (before[name], cost) for name, cost in after.items() if cost > before[name] + _SLACK} == {}
    few.close()
    many.close()


def test_cost_of_a_question_shows_a_walk_through_all_jobs(tmp_path: Path) -> None:
    """Otherwise the test above would pass whatever is asked."""
    few, many = _opened(tmp_path, Load()), _opened(tmp_path, Load(settled=_MANY))
    before, after = (steps(database, Census(database=database).jobs) for database in (few, many))
    assert after > before + _MANY
    few.close()
    many.close()


def test_reorganisation_looks_at_what_it_undoes_only(tmp_path: Path) -> None:
    """The newest block of a chain changes every day; a million jobs that ended long ago are not gone through for it."""
    load = Load(settled=_MANY)
    few, many = _opened(tmp_path, Load()), _opened(tmp_path, load)
    before, after = (
        steps(database, partial(JobStore(database=database).advance, "s", history=[], seen=[], rewound_to=10**6))
        for database in (few, many)
    )
    assert after <= before + _SLACK
    few.close()
    many.close()


@pytest.mark.parametrize(("spent_s", "rest_s"), [(0.01, 5.0), (0.5, 10.0), (60.0, 65.0)])
def test_rows_are_counted_more_rarely_the_longer_that_takes(spent_s: float, rest_s: float) -> None:
    """Counting is the one look that grows with history: it gets a twentieth of the time, and is never given up."""
    source = Source(name="database", every_s=5.0, read=Reading, advice="", counts=True)
    assert _pause_s(source, spent_s) == rest_s
    assert _pause_s(replace(source, counts=False), spent_s) == 5.0


@pytest.mark.slow
def test_turn_on_postgresql_reads_no_table_from_end_to_end() -> None:
    """There the planner counts rows: the questions of a turn lead to a few, and it has to see that."""
    with postgres.migrated() as database:
        load = Load(settled=20_000, waiting=5_000, queued=5_000)
        filled(database, load)
        with database.transaction() as connection:
            connection.execute(text("ANALYZE"))
        read = {name: _most_read(database, question) for name, question in questions(database, load).items()}
        assert {name: rows for name, rows in read.items() if rows >= 1_000} == {}
        # The gauge can tell.
        assert _most_read(database, Census(database=database).jobs) >= 20_000


def _most_read(database: Database, question: Callable[[], object]) -> int:
    """Rows of any one table that a question reads."""
    before = _read(database)
    question()
    return max(count - before[table] for table, count in _read(database).items())


def _read(database: Database) -> dict[str, int]:
    """Rows and index entries that have been read, by table."""
    with database.transaction() as connection:
        # What this session has read shows when this transaction has ended.
        connection.execute(text("SELECT pg_stat_force_next_flush()"))
    with database.transaction() as connection:
        return {table: int(count) for table, count in connection.execute(text(_READ))}


_READ = """
SELECT relname, coalesce(seq_tup_read, 0) + coalesce(
    (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE pg_stat_user_indexes.relid = pg_stat_user_tables.relid), 0
) FROM pg_stat_user_tables
"""
