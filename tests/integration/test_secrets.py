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
ENDPOINTS = """
database_url = "{database}"
operator = "0x1111111111111111111111111111111111111111"
[chain]
rpc_url = "{rpc}"
rpc_urls = [
  "http://user:node-S3CR3T@127.0.0.1:9/v3/key-S3CR3T",
  {{ url = "http://127.0.0.1:9/?key=S3CR3T", priority = 1, timeout_s = 2 }},
]
ws_url = "ws://user:socket-S3CR3T@127.0.0.1:9/ws-S3CR3T?key=S3CR3T"
chain_id = 31337
[keys]
transaction_key = "{transaction}"
password_file = "password"
[keys.result]
kind = "kms"
key_id = "alias/results"
region = "eu-central-1"
endpoint_url = "http://user:kms-S3CR3T@127.0.0.1:9/S3CR3T?S3CR3T"
timeout_s = 1
[artifacts]
cache = "cache"
mirrors = [
  "http://user:mirror-S3CR3T@127.0.0.1:9/path-S3CR3T/{{sha256}}?signature=S3CR3T",
  "https://127.0.0.1:9/{{sha256}}/S3CR3T",
]
ipfs_gateways = ["http://user:gateway-S3CR3T@127.0.0.1:9", "http://127.0.0.1:9/gateway-S3CR3T"]
[[models]]
artifact = "model.onnx"
profile = "signed"
[models.endpoint]
url = "http://127.0.0.1:9/v2/models/remote"
authorization_file = "token"
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
        (ENDPOINTS, POSTGRES, ("config", "dump")),
        (WATCHER, SQLITE, ("watch", "--once")),
        (ENDPOINTS, SQLITE, ("watch", "--once")),
        pytest.param(ENDPOINTS, SQLITE, ("doctor",), marks=pytest.mark.slow),
        (ENDPOINTS, SQLITE, ("model", "fetch", "11" * 32)),
        # It asks every node several times.
        pytest.param(ENDPOINTS, SQLITE, ("operator", "announce", "--yes"), marks=pytest.mark.slow),
        (ENDPOINTS, POSTGRES, ("db", "current")),
        (ENDPOINTS, POSTGRES, ("jobs", "list")),
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


SLASHED = "http://user:S3CR3T/S3CR3T@127.0.0.1:9/{sha256}"
UNREADABLE = "http://user:S3CR3T@127.0.0.1\u2100/{sha256}"


@pytest.mark.parametrize("wrong", [SLASHED, UNREADABLE], ids=["slash in the password", "unreadable host"])
@pytest.mark.parametrize(
    ("section", "entry"),
    [
        ("chain", 'rpc_urls = ["URL"]'),
        ("chain", 'rpc_urls = [{{ url = "URL" }}]'),
        ("chain", 'ws_url = "URL"'),
        ("artifacts", 'mirrors = ["URL"]'),
        ("artifacts", 'ipfs_gateways = ["URL"]'),
        ("keys.result", 'kind = "web3signer"\naddress = "0x2222222222222222222222222222222222222222"\nurl = "URL"'),
        ("keys.result", 'kind = "kms"\nkey_id = "a"\nendpoint_url = "URL"'),
        ("models.endpoint", 'url = "URL"'),
    ],
)
def test_settings_whose_urls_cannot_be_read_are_refused_without_quoting_them(
    line: CommandLine, tmp_path: Path, section: str, entry: str, wrong: str
) -> None:
    """A mistyped password is still most of a password: what takes it for a host or a port must not repeat it."""
    head, models = WATCHER.replace('result_key = "{result}"\n', "").split("[[models]]")
    entry = entry.replace("URL", wrong.replace("{", "{{").replace("}", "}}"))
    entry = entry.replace("http:", "ws:") if entry.startswith("ws") else entry
    head = head.replace("[chain]\n", f"[chain]\n{entry}\n") if section == "chain" else head
    tail = "" if section == "chain" else f"\n[{section}]\n{entry}\n"
    body = f"{head}[[models]]{models}{tail}" if section != "keys.result" else f"{head}{tail}[[models]]{models}"
    secrets = planted(tmp_path, body, SQLITE)
    with pytest.raises(SwornError) as caught:
        line.run("config", "dump", str(secrets.settings), "--debug")
    assert section.rpartition(".")[2] in str(caught.value)
    assert secrets.found_in(_whole(caught.value)) == []


@pytest.mark.parametrize("url", [POSTGRES, "postgresql://127.0.0.1:9/sworn?password=S3CR3T", SLASHED])
@pytest.mark.parametrize("daemon", ["watch", "challenge"])
def test_password_among_the_arguments_is_refused(line: CommandLine, tmp_path: Path, daemon: str, url: str) -> None:
    """What a daemon is started with can be read by every process on the machine for as long as it runs."""
    secrets = planted(tmp_path, WATCHER, SQLITE)
    told = line.failed(daemon, "--once", "--config", str(secrets.settings), "--database", url)
    assert "SWORN_DATABASE_URL" in told["message"]
    assert secrets.found_in(repr(told)) == []


def test_private_key_that_is_none_is_not_quoted(
    line: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One digit too many, and the vendor's message would hold the key."""
    monkeypatch.setenv("SWORN_PRIVATE_KEY", "S3CR3T" + "5a" * 30)
    (tmp_path / "password").write_text("long enough S3CR3T\n")
    options = ("--password-file", str(tmp_path / "password"), "--directory", str(tmp_path), "--debug")
    with pytest.raises(SwornError) as caught:
        line.run("keys", "import", "--key-env", "SWORN_PRIVATE_KEY", *options)
    assert "S3CR3T" not in _whole(caught.value) and "5a5a" not in _whole(caught.value)


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
