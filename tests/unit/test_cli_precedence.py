"""Which of flags, settings and variables counts: a daemon or a command that was led elsewhere costs stake."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from tests.support.command_line import CommandLine

from sworn.chain.gateway import Gateway
from sworn.cli import compose, compose_challenger, compose_endpoints, compose_watcher
from sworn.cli.exit_codes import ExitCode
from sworn.errors import SignerError, StoreError, TransientChainError
from sworn.testing.gateway import MemoryGateway
from sworn.types import ZERO_ADDRESS, Deployment
from sworn.watcher.challenger.settings import ChallengerSettings
from sworn.watcher.settings import WatcherSettings

CHAIN_ID = 31337
URLS = ["http://a.invalid/key1", "http://b.invalid/key2", "http://c.invalid/key3"]
WATCHER = f"""
database_url = "sqlite:///watcher.db"
[chain]
rpc_urls = {json.dumps(URLS)}
chain_id = {CHAIN_ID}
deployment = "deployment.json"
[keys]
transaction_key = "keys/node.json"
password_file = "keys/password"
[[models]]
artifact = "m.onnx"
"""
CHALLENGER = f"""
database_url = "sqlite:///challenger.db"
[chain]
rpc_urls = {json.dumps(URLS)}
chain_id = {CHAIN_ID}
[challenge]
sample = 0.5
"""


class _Stopped(Exception):
    """Ends a daemon once its settings are known."""


@pytest.fixture
def line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CommandLine:
    """The command, where nothing is exported, in a folder of its own."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RPC", "CONFIG", "KEYSTORE", "PASSWORD_FILE", "DEPLOYMENT", "PRIVATE_KEY", "DATABASE_URL"):
        monkeypatch.delenv(f"SWORN_{name}", raising=False)
    (tmp_path / "conf").mkdir()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return CommandLine(capsys, monkeypatch)


@pytest.fixture
def config(tmp_path: Path, line: CommandLine) -> Path:
    """A watcher's settings, in another folder than the current one."""
    file = tmp_path / "conf" / "watcher.toml"
    file.write_text(WATCHER)
    return file


@pytest.fixture
def challenger_config(tmp_path: Path, line: CommandLine) -> Path:
    """A challenger's."""
    file = tmp_path / "conf" / "challenger.toml"
    file.write_text(CHALLENGER)
    return file


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The settings with which daemons would start."""
    seen: list[Any] = []

    def note(values: Any, *arguments: Any, **options: Any) -> Any:
        seen.append(values)
        raise _Stopped

    monkeypatch.setattr(compose_watcher, "watcher", note)
    monkeypatch.setattr(compose_challenger, "challenger", note)
    return seen


def start(line: CommandLine, *arguments: str) -> None:
    """Starts a daemon as far as its settings."""
    with pytest.raises(_Stopped):
        line.run(*arguments)


def urls(values: WatcherSettings | ChallengerSettings) -> list[str]:
    """The endpoints that count."""
    return [endpoint.url.get_secret_value() for endpoint in values.chain.endpoints]


def test_watch_with_settings_is_not_led_elsewhere_by_exported_variables(
    line: CommandLine,
    config: Path,
    started: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One exported endpoint ends all cross-checks, an exported key file sends with the owner's key; the log says so."""
    for name, value in (("RPC", "http://shell.invalid/secret"), ("KEYSTORE", "owner.json"), ("DEPLOYMENT", "d.json")):
        monkeypatch.setenv(f"SWORN_{name}", value)
    monkeypatch.setenv("SWORN_PASSWORD_FILE", str(config.parent / "keys" / "password"))
    start(line, "watch", "--config", str(config))
    (values,) = started
    assert urls(values) == URLS
    assert values.keys.transaction_key == config.parent / "keys" / "node.json"
    assert values.chain.deployment == config.parent / "deployment.json"
    logged = capsys.readouterr().err
    told = {entry["variable"] for entry in map(json.loads, logged.splitlines()) if entry["event"] == "variable_ignored"}
    # What says the same is no matter.
    assert told == {"SWORN_RPC", "SWORN_KEYSTORE", "SWORN_DEPLOYMENT"}
    assert "secret" not in logged


def test_watch_takes_flags_before_settings(line: CommandLine, config: Path, started: list[Any]) -> None:
    """What is typed is meant: a node that is named stands for all that a file names."""
    start(line, "watch", "--config", str(config), "--rpc", "http://typed.invalid", "--keystore", "typed.json")
    (values,) = started
    assert urls(values) == ["http://typed.invalid"]
    assert values.keys.transaction_key == Path("typed.json")


def test_watch_takes_variables_for_what_settings_leave_open(
    line: CommandLine, tmp_path: Path, started: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a file that says otherwise, the exported endpoint and key are those of whoever starts it."""
    file = tmp_path / "short.toml"
    file.write_text(
        f'database_url = "sqlite:///w.db"\nmodels = [{{ artifact = "m" }}]\nchain = {{chain_id = {CHAIN_ID}}}'
    )
    for name, value in (("RPC", "http://shell.invalid"), ("KEYSTORE", "shell.json"), ("PASSWORD_FILE", "word")):
        monkeypatch.setenv(f"SWORN_{name}", value)
    start(line, "watch", "--config", str(file))
    monkeypatch.setenv("SWORN_CHAIN__RPC_URL", "http://named.invalid")
    start(line, "watch", "--config", str(file))
    assert [urls(values) for values in started] == [["http://shell.invalid"], ["http://named.invalid"]]
    assert started[0].keys.transaction_key == Path("shell.json")
    assert started[0].keys.password_file == Path("word")


def test_challenge_with_settings_is_not_led_elsewhere_by_exported_variables(
    line: CommandLine, challenger_config: Path, started: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A challenger that hears a single node can be made to lose bonds."""
    monkeypatch.setenv("SWORN_RPC", "http://shell.invalid")
    start(line, "challenge", "--config", str(challenger_config))
    assert urls(started[0]) == URLS


def test_daemon_says_which_variables_are_no_settings(
    line: CommandLine,
    config: Path,
    started: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A variable that is mistyped changes nothing, and whoever set it believes that it does."""
    monkeypatch.setenv("SWORN_POLL_INTERVAL_S", "5")
    monkeypatch.setenv("SWORN_CHAIN__POLL_INTERVAL_S", "5")
    start(line, "watch", "--config", str(config))
    (entry,) = map(json.loads, capsys.readouterr().err.splitlines())
    assert (entry["variable"], "SWORN_CHAIN__" in entry["reason"]) == ("SWORN_POLL_INTERVAL_S", True)
    assert "SWORN_POLL_INTERVAL_S" in line.run("config", "validate", str(config)).err


def test_variable_that_is_no_json_is_named(line: CommandLine, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The words of a library lead nobody to the variable that has to be changed."""
    monkeypatch.setenv("SWORN_CHAIN__RPC_URLS", "https://user:hidden@node.example")
    message = line.failed("config", "validate", str(config))["message"]
    assert "SWORN_CHAIN__RPC_URLS" in message
    assert "Source" not in message and "hidden" not in message


def test_database_of_settings_stays_with_them_wherever_a_command_is_started(
    line: CommandLine, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty journal in another folder is a watcher that swears again; what a variable names is meant from here."""
    line.json("db", "upgrade", "--config", str(config))
    assert (config.parent / "watcher.db").exists() and not Path("watcher.db").exists()
    monkeypatch.setenv("SWORN_DATABASE_URL", "sqlite:///here.db")
    line.json("db", "upgrade", "--config", str(config))
    assert Path("here.db").exists()
    assert not (config.parent / "here.db").exists()


@pytest.mark.parametrize("url", ["sqlite:////nowhere/at/all/watcher.db", "sqlite:///nowhere/watcher.db"])
def test_database_that_cannot_be_opened_is_named(line: CommandLine, config: Path, url: str) -> None:
    """The driver names neither the file nor the setting, and whoever is woken needs both."""
    config.write_text(WATCHER.replace("sqlite:///watcher.db", url))
    error = line.failed("db", "upgrade", "--config", str(config))
    assert error["type"] == StoreError.__name__
    assert "watcher.db" in error["message"] and "database_url" in error["message"]


class _Nodes:
    """Nodes by URL; one that is not there does not answer."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **there: MemoryGateway) -> None:
        self.there = {f"http://{host}.invalid": gateway for host, gateway in there.items()}
        monkeypatch.setattr(compose_endpoints, "connect_gateway", lambda url, *, timeout_s: self.at(url))
        monkeypatch.setattr(compose, "gateway", lambda url, *, timeout_s: self.at(url))
        self.asked: list[str] = []

    def at(self, url: str) -> Gateway:
        self.asked.append(url)
        return self.there.get(url.rpartition("/")[0], _Dead())


class _Dead(MemoryGateway):
    """A node that is out of reach."""

    def chain_id(self) -> int:
        raise TransientChainError("nobody answers")


def test_commands_with_settings_ask_the_first_endpoint_that_answers_on_their_chain(
    line: CommandLine, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the first node dead, or one of another chain, the second is as good; a variable does not replace them."""
    monkeypatch.setenv("SWORN_RPC", "http://shell.invalid/")
    nodes = _Nodes(monkeypatch, b=MemoryGateway(identity=5), c=MemoryGateway(identity=CHAIN_ID))
    (config.parent / "deployment.json").write_text("{}")
    outcome = line.run("model", "where", "--all", "--config", str(config))
    assert nodes.asked[-1] == URLS[2]
    assert "SWORN_RPC is not used" in outcome.err
    assert not any("shell" in url for url in nodes.asked)
    assert line.run("model", "where", "--all", "--config", str(config), "--rpc", "http://b.invalid/").code
    assert nodes.asked[-1] == "http://b.invalid/"


@pytest.mark.parametrize("command", ["validate", "dump"])
def test_config_commands_take_the_settings_of_a_challenger(
    line: CommandLine, challenger_config: Path, command: str
) -> None:
    """Whoever keeps a challenger must be able to check its file before it is started."""
    document = line.json("config", command, str(challenger_config))
    assert document.get("daemon") == "challenger" or document["challenge"]["sample"] == 0.5
    assert "key1" not in json.dumps(document)


def test_watch_without_settings_says_how_to_begin(line: CommandLine) -> None:
    """A list of what is missing helps nobody who has no file yet."""
    error = line.failed("watch")
    assert error["exit_code"] == ExitCode.CONFIGURATION
    assert "--config FILE" in error["message"] and "sworn config init" in error["message"]


def test_doctor_with_a_file_that_is_not_there_says_so_once(line: CommandLine) -> None:
    """The same sentence seven times hides what else there may be to say."""
    outcome = line.run("doctor", "--skip-engine", "--config", "nope.toml", "--json")
    assert outcome.code == ExitCode.FAILED
    failed = [check["check"] for check in outcome.document["checks"] if check["verdict"] == "fail"]
    assert failed == ["settings"]


def test_commands_with_settings_sign_with_the_key_of_the_settings_unless_a_flag_says_otherwise(
    line: CommandLine, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An export that was forgotten must not spend from the owner's account what the node's was meant to pay."""
    asked: list[Path] = []

    def unlocked(output: Any, keystore: Path, password_file: Path | None) -> Any:
        asked.append(keystore)
        raise SignerError("enough is known")

    monkeypatch.setattr(compose, "unlocked", unlocked)
    monkeypatch.setenv("SWORN_KEYSTORE", "owner.json")
    stake = ("operator", "stake", "1eth")
    told = line.run(*stake, "--config", str(config))
    line.run(*stake, "--config", str(config), "--keystore", "typed.json")
    line.run(*stake)
    assert asked == [config.parent / "keys" / "node.json", Path("typed.json"), Path("owner.json")]
    assert "SWORN_KEYSTORE is not used" in told.err


def test_command_on_another_chain_than_its_settings_name_does_nothing(
    line: CommandLine, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All endpoints lead to another chain whose contracts are known: what is signed there was not meant."""
    text = config.read_text().replace('deployment = "deployment.json"\n', "")
    config.write_text(text)
    _Nodes(monkeypatch, a=MemoryGateway(identity=5), b=MemoryGateway(identity=5))
    monkeypatch.setattr(compose, "verify_deployment", lambda *arguments, **options: None)
    values: dict[str, Any] = {item.name: ZERO_ADDRESS for item in fields(Deployment)}
    other = Deployment(**values | {"chain_id": 5, "block": 0, "parameters": {}})
    monkeypatch.setattr(compose, "load_deployment", lambda source: other)
    message = line.failed("model", "where", "--all", "--config", str(config))["message"]
    assert str(CHAIN_ID) in message and "chain 5" in message
