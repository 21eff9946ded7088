"""`sworn claims`: what a person sees of a challenger's memory, and how a claim begins anew."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.command_line import CommandLine
from tests.unit.test_challenger_store import claim, see

from sworn.cli.claims import Statuses
from sworn.cli.exit_codes import ExitCode
from sworn.watcher.challenger.claims import ClaimStatus
from sworn.watcher.challenger.store import ClaimStore
from sworn.watcher.store.database import open_database
from sworn.watcher.store.migration import upgrade


def test_parked_claim_is_listed_with_its_reason_and_begins_anew(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A parked claim that nobody can see, or start again without SQL, lets a false result become final."""
    line = CommandLine(capsys, monkeypatch)
    monkeypatch.delenv("SWORN_DATABASE_URL", raising=False)
    file = tmp_path / "challenger.toml"
    file.write_text('database_url = "sqlite:///challenger.db"\n[challenge]\nsample = 1.0\n')
    database = open_database(f"sqlite:///{tmp_path / 'challenger.db'}")
    upgrade(database)
    store = ClaimStore(database=database)
    see(store, claim(1), claim(2), at=5)
    store.save(claim(1, status=ClaimStatus.PARKED, reason="KeyError: it is gone", attempts=8))
    store.save(claim(2, status=ClaimStatus.HONEST, reason="as we have it"))
    database.close()
    config, identity = ("--config", str(file)), "0x" + "01" * 32

    listed = line.json("claims", "list", *config)
    assert listed["counts"] == {"honest": 1, "parked": 1}
    assert [(each["result_id"], each["reason"]) for each in listed["claims"]] == [(identity, "KeyError: it is gone")]
    assert identity in line.run("claims", "list", "--status", "parked", *config).out
    assert line.json("claims", "show", identity, *config)["attempts"] == 8
    assert line.json("claims", "retry", identity, *config)["status"] == "seen"
    assert line.json("claims", "list", *config)["counts"] == {"honest": 1, "seen": 1}
    # Nothing that runs or has been checked is touched.
    for other in (identity, "0x" + "02" * 32, "0x" + "03" * 32, "0x12"):
        assert line.failed("claims", "retry", other, *config)["exit_code"] == ExitCode.CONFIGURATION


def test_statuses_on_the_command_line_are_those_of_claims() -> None:
    """A status that cannot be asked for hides the claims that have it."""
    assert [status.value for status in Statuses] == [status.value for status in ClaimStatus]
