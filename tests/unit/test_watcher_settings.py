from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sworn.errors import ConfigurationError
from sworn.watcher.settings import WatcherSettings, dump_settings, load_settings, mask_url, validate_settings

GOOD: dict[str, Any] = {
    "chain": {"rpc_url": "https://user:pw@node.example/v3/abcdef?key=hidden", "chain_id": 1},
    "keys": {"transaction_key": "keys/tx"},
    "models": [{"artifact": "model.onnx", "price_wei": 10**20}],
    "database_url": "postgresql://watcher:hunter2@db.example/sworn?sslpassword=hidden",
}
TOML = """
database_url = "sqlite:///watcher.db"
[chain]
rpc_url = "http://127.0.0.1:8545"
chain_id = 31337
confirmations = 5
[keys]
transaction_key = "keys/tx"
[[models]]
artifact = "model.onnx"
price_wei = 100000000000000000000
"""


def _changed(path: str, value: Any) -> dict[str, Any]:
    """The good settings with one value replaced."""
    values: dict[str, Any] = json.loads(json.dumps(GOOD))
    section = values
    *parents, last = path.split(".")
    for name in parents:
        section = section.setdefault(name, {})
    section[last] = value
    return values


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A settings file."""
    path = tmp_path / "watcher.toml"
    path.write_text(TOML)
    return path


def test_settings_from_file_have_defaults_and_anchored_paths(file: Path) -> None:
    """Paths in a file count from the file, large amounts survive, the rest has defaults."""
    settings = load_settings([file])
    assert settings.keys.transaction_key == file.parent / "keys" / "tx"
    assert settings.models[0].artifact == file.parent / "model.onnx"
    assert settings.models[0].price_wei == 10**20
    assert settings.chain.poll_interval_s == 2.0


def test_settings_layers_override_in_order(file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A later file beats an earlier one, the environment beats files, explicit overrides beat everything."""
    later = tmp_path / "later.toml"
    later.write_text("[chain]\nconfirmations = 6\npoll_interval_s = 6\nmax_log_range = 6\n")
    monkeypatch.setenv("SWORN_CHAIN__POLL_INTERVAL_S", "7")
    monkeypatch.setenv("SWORN_CHAIN__MAX_LOG_RANGE", "7")
    monkeypatch.setenv("SWORN_CACHE", "belongs to another part")
    chain = load_settings([file, later], overrides={"chain": {"max_log_range": 8}}).chain
    assert (chain.chain_id, chain.confirmations, chain.poll_interval_s, chain.max_log_range) == (31337, 6, 7, 8)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("chain.typo", 1),
        ("chain.rpc_url", "ftp://node"),
        ("chain.chain_id", 0),
        ("chain.chain_id", "main"),
        ("chain.confirmations", -1),
        ("chain.poll_interval_s", 0),
        ("chain.poll_interval_s", float("nan")),
        ("keys.transaction_key", None),
        ("models", []),
        ("models", [{}]),
        ("models", [{"artifact": "x", "price_wei": -1}]),
        ("models", [{"artifact": "x", "price_wei": 2**256}]),
        ("models", [{"model_id": "0x12"}]),
        ("models", [{"artifact": "x", "profile": "exakt"}]),
        ("models", [{"artifact": "x", "input_shapes": {"x": [-1]}}]),
        ("traces.max_bytes", 0),
        ("traces.keep_s", -1),
        ("operator", "0x12"),
        ("operator", "0xFB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"),
        ("database_url", "not a url hunter2"),
        ("guards.allow_requesters", ["me"]),
        ("log.level", "loud"),
        ("nonsense", {}),
    ],
)
def test_settings_with_bad_value_name_the_key_and_hide_secrets(path: str, value: Any) -> None:
    """Whatever is wrong is a configuration error that names the key and quotes no secret."""
    with pytest.raises(ConfigurationError) as caught:
        validate_settings(_changed(path, value))
    assert path.split(".")[-1] in str(caught.value)
    assert not any(secret in str(caught.value) for secret in ("hidden", "hunter2", "abcdef", "pw@"))
    assert caught.value.__cause__ is None


def test_settings_with_several_problems_list_them_all() -> None:
    """One error names every problem."""
    values = _changed("chain.chain_id", 0) | {"models": [], "typo": 1}
    with pytest.raises(ConfigurationError) as caught:
        validate_settings(values)
    assert all(name in str(caught.value) for name in ("chain.chain_id", "models", "typo"))


@pytest.mark.parametrize("content", ["[chain", "\x00", "chain = 3"])
def test_settings_from_malformed_file_raise_configuration_error(tmp_path: Path, content: str) -> None:
    """A file that is no TOML, or has another shape, is a configuration error."""
    path = tmp_path / "bad.toml"
    path.write_text(content)
    with pytest.raises(ConfigurationError):
        load_settings([path])


def test_settings_from_missing_file_or_bad_environment_raise(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing file and an unreadable variable are configuration errors."""
    with pytest.raises(ConfigurationError):
        load_settings([tmp_path / "nothing.toml"])
    monkeypatch.setenv("SWORN_MODELS", "{")
    with pytest.raises(ConfigurationError):
        load_settings([file])


def test_settings_unknown_nested_variable_is_rejected(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistyped variable inside a known section is not passed over."""
    monkeypatch.setenv("SWORN_CHAIN__POLL_INTERVALS", "7")
    with pytest.raises(ConfigurationError, match="poll_intervals"):
        load_settings([file])


def test_settings_dump_masks_every_secret() -> None:
    """Neither the dump nor any repr shows what a URL hides."""
    settings = validate_settings(GOOD)
    shown = json.dumps(dump_settings(settings)) + repr(settings) + str(settings)
    assert "node.example" in shown
    assert not any(secret in shown for secret in ("hidden", "hunter2", "abcdef", "pw"))


def test_settings_dump_loads_as_settings_again() -> None:
    """A dump is complete: with the secrets put back it gives the same settings."""
    settings = validate_settings(GOOD)
    dumped = dump_settings(settings)
    dumped["chain"]["rpc_url"] = GOOD["chain"]["rpc_url"]
    dumped["database_url"] = GOOD["database_url"]
    assert validate_settings(dumped).model_dump() == settings.model_dump()
    assert isinstance(settings, WatcherSettings)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:8545", "http://127.0.0.1:8545"),
        ("https://node.example/v3/key", "https://node.example/***"),
        ("https://a:b@node.example", "https://node.example/***"),
        ("https://node.example?key=1", "https://node.example/***"),
        ("https://node.example:99999/key", "***"),
        ("https://node.example:key", "***"),
        ("https://[key", "***"),
    ],
)
def test_url_when_masked_keeps_only_where_it_points(url: str, expected: str) -> None:
    """Scheme, host and port stay; whatever may hold a key goes."""
    assert mask_url(url) == expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("sqlite:///watcher.db", "sqlite:///{folder}/watcher.db"),
        ("sqlite+pysqlite:///data/w.db?timeout=30", "sqlite+pysqlite:///{folder}/data/w.db?timeout=30"),
        ("sqlite:////var/lib/w.db", "sqlite:////var/lib/w.db"),
        ("sqlite:///:memory:", "sqlite:///:memory:"),
        ("sqlite://", "sqlite://"),
        ("postgresql://watcher:hunter2@db.example/sworn", "postgresql://watcher:hunter2@db.example/sworn"),
    ],
)
def test_database_in_file_counts_from_its_folder(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, expected: str
) -> None:
    """Started from another folder, a watcher would find an empty journal, and could swear a second result."""
    file.write_text(TOML.replace("sqlite:///watcher.db", url))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    settings = load_settings([Path("../watcher.toml")])
    assert settings.database_url.get_secret_value() == expected.format(folder=file.parent)
    if url == "sqlite:///watcher.db":
        assert settings.trace_folder == file.parent / "traces"
    monkeypatch.setenv("SWORN_DATABASE_URL", "sqlite:///here.db")
    assert load_settings([file]).database_file == Path("here.db")


@pytest.mark.parametrize("name", ["a b", "50%", "a?b#c", "ä"])
def test_database_in_folder_of_any_name_is_the_one_beside_its_file(tmp_path: Path, name: str) -> None:
    """What a URL has to quote must not lead to another file."""
    folder = tmp_path / name
    folder.mkdir()
    (folder / "watcher.toml").write_text(TOML)
    assert load_settings([folder / "watcher.toml"]).database_file == folder / "watcher.db"
