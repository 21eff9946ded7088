"""A new database of each kind, for tests that hold on all of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support import postgres

from sworn.watcher.store.database import Database, open_database
from sworn.watcher.store.migration import upgrade

#: For a fixture's ``params``; the whole matrix is slow, and a selection of what can differ is not.
KINDS = ("sqlite", pytest.param("postgresql", marks=pytest.mark.slow))


@contextmanager
def opened(kind: str, folder: Path) -> Iterator[Database]:
    """One of a kind, with the newest schema."""
    database = open_database(postgres.migrated_url() if kind == "postgresql" else f"sqlite:///{folder}/watcher.db")
    upgrade(database)
    yield database
    database.close()
