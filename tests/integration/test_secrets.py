"""Greps for planted secrets in everything that a command prints."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.command_line import CommandLine
from tests.support.planted_secrets import ENVIRONMENT, MARK, Planted, plant

from sworn.cli import main
from sworn.errors import SwornError

NOWHERE = "http://127.0.0.1:9"
WATCHER = """
database_url = "{database}"
[chain]
rpc_url = "{rpc}"
chain_id = 31337
[keys]
transaction_key = "{transaction}"
result_key = "{result}"
password_file = "password"
[[models]]
artifact = "model.onnx"
"""
REMOTE = """
database_url = "{database}"
operator = "0x1111111111111111111111111111111111111111"
[chain]
rpc_url = "{rpc}"
chain_id = 31337
[keys.transaction]
kind = "web3signer"
url = "http://user:signer-S3CR3T@127.0.0.1:9/path-S3CR3T"
address = "0x2222222222222222222222222222222222222222"
[[models]]
artifact = "model.onnx"
"""
CHALLENGER = """
database_url = "{database}"
[chain]
rpc_url = "{rpc}"
chain_id = 31337
[keys]
transaction_key = "{transaction}"
password_file = "password"
[challenge]
witness_rpc_url = "http://127.0.0.1:9/v3/witness-S3CR3T"
"""
SQLITE = "sqlite:///watcher.db"
POSTGRES = "postgresql+psycopg://watcher:db-S3CR3T@127.0.0.1:9/sworn?application_name=x"


@pytest.fixture
def line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CommandLine:
    """The command, in an empty home, with secrets in the environment."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    return CommandLine(capsys, monkeypatch)


def planted(folder: Path, body: str, database: str) -> Planted:
    """Settings with secrets."""
    return plant(folder, keys=(b"\x5a" * 32, b"\x5b" * 32), rpc=NOWHERE, database=database, body=body)


@pytest.mark.parametrize("debug", [pytest.param(False, marks=pytest.mark.slow), True])
@pytest.mark.parametrize(
    ("body", "database", "command"),
    [
        (WATCHER, SQLITE, ("config", "dump")),
        (REMOTE, POSTGRES, ("config", "dump")),
        (WATCHER, SQLITE, ("watch", "--once")),
        (REMOTE, POSTGRES, ("watch", "--once")),
        (WATCHER, POSTGRES, ("watch", "--once", "--dry-run")),
        pytest.param(WATCHER, SQLITE, ("doctor",), marks=pytest.mark.slow),
        pytest.param(REMOTE, POSTGRES, ("doctor",), marks=pytest.mark.slow),
        (CHALLENGER, POSTGRES, ("challenge", "--once")),
        (WATCHER, POSTGRES, ("operator", "quarantine", "list")),
        (WATCHER, SQLITE, ("operator", "status")),
        (WATCHER.replace("chain_id = 31337", 'chain_id = "S3CR3T"'), SQLITE, ("watch",)),
        (WATCHER.replace("[chain]", '[chain]\nS3CR3T = "S3CR3T"'), SQLITE, ("config", "dump")),
    ],
)
def test_commands_that_fail_or_dump_show_no_secret(
    line: CommandLine, tmp_path: Path, body: str, database: str, command: tuple[str, ...], debug: bool
) -> None:
    """Whatever goes wrong, and however much is asked to be shown of it, no secret is in it."""
    secrets = planted(tmp_path, body, database)
    # `config` takes its files as arguments.
    file = () if command[0] == "config" else ("--config",)
    options = (*file, str(secrets.settings), *(("--debug",) if debug else ()))
    try:
        outcome = line.run(*command, *options)
        shown = outcome.out + outcome.err
    except SwornError as error:
        shown = _whole(error)
    assert "No such option" not in shown
    # Names of keys are shown: whoever writes a secret to the left of "=" has to be told where.
    shown = shown.replace("chain.S3CR3T: unknown key", "")
    assert secrets.found_in(shown) == []
    assert [path for path in secrets.files() if secrets.found_in(path.read_bytes())] == []


def _whole(error: BaseException) -> str:
    """An error as a traceback would show it, causes and contexts included."""
    import traceback

    return "".join(traceback.format_exception(error)) + repr(error)


def test_planted_secrets_are_found_where_they_are(tmp_path: Path) -> None:
    """The search itself works: in text, in hexadecimal, raw, and in files."""
    secrets = planted(tmp_path, WATCHER, SQLITE)
    assert secrets.found_in(f"x {MARK} y")
    assert secrets.found_in(b"\x00" + b"\x5a" * 32)
    assert secrets.found_in("5b" * 32)
    assert secrets.found_in(secrets.settings.read_text())
    assert not secrets.found_in("nothing")
    assert main is not None
