"""`sworn db`: the schema and the age of a database, without a chain."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.command_line import CommandLine
from tests.support.store_rows import STREAM, block, job

from sworn.cli.exit_codes import ExitCode
from sworn.watcher.jobs import JobStatus
from sworn.watcher.store import migration
from sworn.watcher.store.database import open_database
from sworn.watcher.store.jobs import JobStore
from sworn.watcher.store.tables import SCHEMA_FLOOR


@pytest.fixture
def line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """The command, without settings around it."""
    for variable in ("SWORN_CONFIG", "SWORN_DATABASE_URL"):
        monkeypatch.delenv(variable, raising=False)
    return CommandLine(capsys, monkeypatch)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Settings that name a database, and a challenger's table that the commands know nothing of."""
    file = tmp_path / "sworn.toml"
    file.write_text(f'database_url = "sqlite:///{tmp_path}/watcher.db"\n[challenge]\ntolerance = 0.5\n')
    return file


def test_database_upgraded_by_hand_is_at_the_newest_schema_and_says_so(line: CommandLine, file: Path) -> None:
    """An operator who upgrades replicas one by one migrates first, and must see that it is done."""
    arguments = ("-c", str(file))
    assert line.failed("db", "current", *arguments)["exit_code"] != ExitCode.OK
    latest = migration.latest()
    assert line.json("db", "upgrade", *arguments) == {"before": None, "after": latest}
    assert line.json("db", "upgrade", *arguments) == {"before": latest, "after": latest}
    current = line.json("db", "current", *arguments)
    assert current == {"schema": latest, "needed": latest, "replicas": [], "leaders": []}


def test_database_pruned_by_hand_loses_what_is_over(line: CommandLine, file: Path, tmp_path: Path) -> None:
    """A disk that is nearly full cannot wait for the hour, nor for a watcher that does not start."""
    assert line.run("db", "upgrade", "-c", str(file)).code == ExitCode.OK
    database = open_database(f"sqlite:///{tmp_path}/watcher.db")
    store = JobStore(database=database, clock=lambda: 0.0)
    over = [job(number, status=JobStatus.FINALIZED, deadline=0) for number in range(3)]
    store.advance(STREAM, history=[block(1)], seen=[*over, job(9)])
    assert line.json("db", "prune", "-c", str(file)) == {"removed": {"jobs": 3}}
    assert [each.request_id for each in store.jobs()] == [job(9).request_id]
    with database.transaction() as connection:
        connection.execute(SCHEMA_FLOOR.update().values(revision="9999"))
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    assert "newer version" in str(line.failed("db", "prune", "-c", str(file)))
    database.close()
