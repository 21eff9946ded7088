from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from sworn.errors import ConfigurationError
from sworn.types import Address
from sworn.watcher.logs import make_logger
from sworn.watcher.policy import Guards
from sworn.watcher.reloading import Reloading
from sworn.watcher.settings import WatcherSettings, load_settings, validate_settings
from sworn.watcher.settings_guards import GuardSettings

DENIED = "0x" + "22" * 20
BASE = """
database_url = "sqlite:///watcher.db"
[chain]
rpc_url = "http://127.0.0.1:8545/key-SECRET"
chain_id = 31337
[keys]
transaction_key = "keys/tx"
[[models]]
artifact = "model.onnx"
"""


class Admission:
    """Remembers the guards that it was given."""

    def __init__(self) -> None:
        self.guards: list[Guards] = []

    def reload(self, guards: Guards) -> None:
        self.guards.append(guards)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A settings file."""
    path = tmp_path / "watcher.toml"
    path.write_text(BASE)
    return path


def reloading(file: Path, log: io.StringIO) -> tuple[Reloading, Admission]:
    """Reads the file again when it is asked."""
    admission = Admission()
    made = Reloading(
        current=load_settings([file]),
        read=lambda: load_settings([file]),
        guarded=admission,
        log=make_logger(log),
    )
    return made, admission


def events(log: io.StringIO) -> list[dict[str, Any]]:
    """What was logged."""
    return [json.loads(line) for line in log.getvalue().splitlines()]


def test_reload_takes_guards_when_it_is_asked_and_not_before(file: Path) -> None:
    """An operator who denies a requester need not restart; a file that is being written is not read by itself."""
    log = io.StringIO()
    made, admission = reloading(file, log)
    file.write_text(BASE + f'[guards]\ndeny_requesters = ["{DENIED}"]\nmax_requester_open = 5\n')
    assert not made.turn()
    assert admission.guards == []
    made.asked.set()
    assert made.turn()
    assert admission.guards[0].deny_requesters == {Address(DENIED)}
    assert admission.guards[0].max_requester_open == 5
    assert events(log)[-1]["changed"] == ["deny_requesters", "max_requester_open"]
    assert not made.turn()


def test_reload_of_anything_else_is_refused_by_name_each_time(file: Path) -> None:
    """A key, a chain or a price that changed under a running watcher is said, never half taken."""
    log = io.StringIO()
    made, admission = reloading(file, log)
    changed = BASE.replace("keys/tx", "keys/other").replace("31337", "1") + "[guards]\nmin_time_left_s = 60\n"
    file.write_text(changed)
    for _ in range(2):
        made.asked.set()
        assert made.turn()
    refused = [event for event in events(log) if event["event"] == "reload_partial"]
    assert [event["sections"] for event in refused] == [["chain", "keys"]] * 2
    assert admission.guards[-1].min_time_left_s == 60
    assert made.current.chain.chain_id == 31337
    assert "SECRET" not in log.getvalue()


@pytest.mark.parametrize("text", ["no toml [", BASE + "[guards]\nmin_time_left_s = -1\n", BASE + "[typo]\nx = 1\n"])
def test_reload_of_a_broken_file_changes_nothing(file: Path, text: str) -> None:
    """A mistake in the file does not lift the limits of a running watcher, nor end it."""
    log = io.StringIO()
    made, admission = reloading(file, log)
    file.write_text(text)
    made.asked.set()
    assert not made.turn()
    assert admission.guards == []
    assert events(log)[-1]["event"] == "reload_refused"


def test_guard_settings_reach_the_policy_one_by_one() -> None:
    """A limit that is set and not passed on would protect nobody."""
    values: dict[str, Any] = {
        "min_profit_wei": -1,
        "dispute_reserve_wei": 2,
        "expected_batch": 3,
        "max_input_bytes": 4,
        "min_time_left_s": 5,
        "allow_requesters": (DENIED,),
        "deny_requesters": (DENIED,),
        "deny_models": ("0x" + "07" * 32,),
        "input_hosts": ("Inputs.Example",),
        "post_failures": False,
        "max_bonds_wei": 6,
        "max_requester_bonds_wei": 7,
        "max_requester_open": 8,
        "min_balance_wei": 10,
        "pause_balance_wei": 9,
        "max_input_crashes": 11,
        "max_requester_crashes": 12,
        "quarantine_s": 13.0,
    }
    assert values.keys() == GuardSettings.model_fields.keys()
    guards = GuardSettings(**values).guards
    converted = {
        "allow_requesters": frozenset({Address(DENIED)}),
        "deny_requesters": frozenset({Address(DENIED)}),
        "deny_models": frozenset({b"\x07" * 32}),
        "input_hosts": frozenset({"inputs.example"}),
    }
    assert {name: getattr(guards, name) for name in values} == values | converted


def settings_with(**keys: Any) -> WatcherSettings:
    """Settings with other keys."""
    return validate_settings(
        {
            "chain": {"rpc_url": "http://127.0.0.1:8545", "chain_id": 1},
            "keys": keys,
            "models": [{"artifact": "model.onnx"}],
            "database_url": "sqlite:///watcher.db",
        }
    )


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"transaction_key": "a", "transaction": {"kind": "kms", "key_id": "x"}},
        {"transaction_key": "a", "result_key": "b", "result": {"kind": "kms", "key_id": "x"}},
        {"transaction_key": "a", "result_password_file": "b"},
        {"transaction": []},
        {"transaction": {"kind": "trezor"}},
        {"transaction": {"kind": "keystore", "file": "a", "password": "in-here"}},
        {"transaction": {"kind": "web3signer", "url": "https://x"}},
        {"transaction": {"kind": "web3signer", "url": "ftp://user:pw-SECRET@x", "address": DENIED}},
        {"transaction": {"kind": "web3signer", "url": "https://x", "address": "0x12"}},
    ],
)
def test_key_settings_that_are_ambiguous_or_wrong_are_refused_without_quoting(keys: dict[str, Any]) -> None:
    """Two answers to which key signs, or none, are no settings; what was given is not repeated."""
    with pytest.raises(ConfigurationError) as caught:
        settings_with(**keys)
    assert "SECRET" not in str(caught.value)
    assert "in-here" not in str(caught.value)


def test_key_settings_in_short_and_long_form_mean_the_same() -> None:
    """Settings of before go on working."""
    short = settings_with(transaction_key="tx", password_file="p", result_key="r").keys
    long = settings_with(
        transaction={"kind": "keystore", "file": "tx", "password_file": "p"},
        result=[{"kind": "keystore", "file": "r", "password_file": "p"}],
    ).keys
    assert short.transaction_sources == long.transaction_sources
    assert short.result_sources == long.result_sources
    assert settings_with(transaction_key="tx").keys.result_sources == ()


def test_key_settings_anchor_paths_in_tables_and_lists(tmp_path: Path) -> None:
    """A path to a key counts from its settings file, however deep it is written."""
    path = tmp_path / "watcher.toml"
    keys = """
[keys.transaction]
kind = "web3signer"
url = "https://user:pw-SECRET@signer.example/path-SECRET"
address = "0x2222222222222222222222222222222222222222"
token_file = "token"
[[keys.result]]
kind = "keystore"
file = "new.json"
[[keys.result]]
kind = "keystore"
file = "old.json"
"""
    path.write_text(BASE.replace('[keys]\ntransaction_key = "keys/tx"\n', keys))
    settings = load_settings([path])
    (transaction,) = settings.keys.transaction_sources
    assert transaction.model_dump()["token_file"] == tmp_path / "token"
    files = [source.model_dump()["file"] for source in settings.keys.result_sources]
    assert files == [tmp_path / "new.json", tmp_path / "old.json"]
    assert "SECRET" not in repr(settings) + str(settings.keys.model_dump(mode="json"))
