"""The job store over TLS, on a real PostgreSQL that speaks nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from tests.support.certificates import certificates
from tests.support.postgres_pair import ABSENT, Server, encrypted, programs

from sworn.errors import StoreError
from sworn.watcher.store.database import open_database

pytestmark = [pytest.mark.slow, pytest.mark.skipif(programs() is None, reason=ABSENT)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the certificates lie."""
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    """A server with a certificate for 127.0.0.1."""
    made = certificates(folder)
    with encrypted(made.server, made.server_key) as server:
        yield server


def is_encrypted(url: str) -> bool:
    """Whether the connection behind a URL is; the server says so."""
    database = open_database(url)
    try:
        with database.transaction() as connection:
            asked = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
            return bool(connection.execute(text(asked)).scalar())
    finally:
        database.close()


def test_database_is_reached_by_a_verified_certificate(server: Server, folder: Path) -> None:
    """The URL that the guide advises: its authority, its name, and nobody between."""
    assert is_encrypted(f"{server.url}?sslmode=verify-full&sslrootcert={folder}/authority.pem")


def test_database_of_somebody_else_is_not_spoken_to(server: Server, folder: Path, tmp_path: Path) -> None:
    """Oaths and inputs go to the server that the settings mean: another authority, name or no TLS ends the attempt."""
    other = certificates(tmp_path).authority
    named = server.url.replace("127.0.0.1", "localhost")
    for url in (
        f"{server.url}?sslmode=verify-full&sslrootcert={other}",
        f"{named}?sslmode=verify-full&sslrootcert={folder}/authority.pem&hostaddr=127.0.0.1",
        f"{server.url}?sslmode=verify-full&sslrootcert={tmp_path}/none.pem",
        f"{server.url}?sslmode=disable",
    ):
        with pytest.raises(StoreError):
            is_encrypted(url)
