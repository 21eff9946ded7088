from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from sworn.chain.endpoints_policy import CrossCheck
from sworn.chain.follower import Finality
from sworn.cli.compose_endpoints import bystander, endpoint_names, second_opinion
from sworn.cli.configuration import _toml
from sworn.errors import ConfigurationError
from sworn.watcher.logs import masked
from sworn.watcher.settings import WatcherSettings, dump_settings, load_settings, validate_settings
from sworn.watcher.settings_endpoints import failover_policy

SECRETS = ("abcdef", "hunter2", "pw@", "hidden")
GOOD: dict[str, Any] = {
    "chain": {
        "rpc_urls": [
            "https://user:pw@one.example/v3/abcdef",
            {"url": "https://two.example/?key=hidden", "priority": -1, "max_log_range": 500, "requests_per_second": 5},
            "https://one.example/v3/hunter2",
        ],
        "ws_url": "wss://one.example/v3/abcdef",
        "chain_id": 1,
        "finality": "safe",
        "quorum": 2,
    },
    "keys": {"transaction_key": "keys/tx"},
    "models": [{"artifact": "model.onnx"}],
    "database_url": "sqlite:///watcher.db",
}


def _changed(**chain: Any) -> dict[str, Any]:
    return GOOD | {"chain": GOOD["chain"] | chain}


def _urls(settings: WatcherSettings) -> list[str]:
    return [endpoint.url.get_secret_value() for endpoint in settings.chain.endpoints]


def test_settings_endpoints_come_in_order_of_preference() -> None:
    """The single URL first, then by priority, then as listed; each one once."""
    settings = validate_settings(_changed(rpc_url="https://zero.example"))
    assert [url.split("/")[2] for url in _urls(settings)] == [
        "zero.example",
        "two.example",
        "user:pw@one.example",
        "one.example",
    ]
    once = validate_settings(_changed(rpc_url="https://one.example/v3/hunter2"))
    assert len(once.chain.endpoints) == 3
    assert endpoint_names(settings.chain) == (
        "https://zero.example",
        "https://two.example/***",
        "https://one.example/***#3",
        "https://one.example/***#4",
    )


def test_settings_endpoints_reach_the_gateway_policy() -> None:
    """What is set is what is done."""
    settings = validate_settings(_changed(cross_check="headers", patience_s=3, broadcast=False, confirmations=7))
    policy = failover_policy(settings.chain, confirmations=settings.chain.confirmations)
    assert (policy.cross_check, policy.quorum, policy.depth) == (CrossCheck.HEADERS, 2, 7)
    assert (policy.patience_s, policy.broadcast, settings.chain.finality) == (3, False, Finality.SAFE)


@pytest.mark.parametrize(("nodes", "quorum"), [(1, 1), (2, 1), (3, 2), (5, 2)])
def test_settings_quorum_follows_the_number_of_endpoints(nodes: int, quorum: int) -> None:
    """Of three, a liar would be believed alone whenever the others rest; of two, one may stay away."""
    urls = [f"http://node{number}" for number in range(nodes)]
    chain = {"chain_id": 1, "rpc_urls": urls}
    assert failover_policy(validate_settings(GOOD | {"chain": chain}).chain, confirmations=2).quorum == quorum
    chosen = validate_settings(GOOD | {"chain": chain | {"quorum": 1}}).chain
    assert failover_policy(chosen, confirmations=2).quorum == 1


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("rpc_urls", []),
        ("rpc_urls", ["ftp://abcdef"]),
        ("rpc_urls", [{"priority": 1}]),
        ("rpc_urls", [{"url": "https://x/abcdef", "typo": 1}]),
        ("rpc_urls", [{"url": "https://x", "requests_per_second": 0}]),
        ("ws_url", "https://one.example/abcdef"),
        ("finality", "soon"),
        ("cross_check", "some"),
        ("quorum", 4),
        ("quorum", 0),
    ],
)
def test_settings_with_bad_endpoints_name_the_key_and_hide_secrets(key: str, value: Any) -> None:
    """What is wrong is said without quoting a URL."""
    with pytest.raises(ConfigurationError) as caught:
        validate_settings(_changed(**{key: value}))
    assert "chain" in str(caught.value)
    assert not any(secret in str(caught.value) for secret in SECRETS)


def test_settings_endpoints_are_masked_wherever_they_show() -> None:
    """Keys of providers are in their URLs: neither dumps, nor reprs, nor gateways show them."""
    settings = validate_settings(GOOD)
    dumped = dump_settings(settings)
    shown = json.dumps(dumped) + repr(settings) + str(settings) + repr(bystander(settings.chain)) + _toml(dumped)
    assert "one.example" in shown and "wss://one.example" in shown
    assert not any(secret in shown for secret in SECRETS)
    assert tomllib.loads(_toml(dumped))["chain"]["rpc_urls"][1]["max_log_range"] == 500


def test_settings_endpoints_from_the_environment_replace_those_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list from the environment stands for the file's; a node on the command line stands for both."""
    file = tmp_path / "watcher.toml"
    file.write_text(
        'database_url = "sqlite:///w.db"\n[chain]\nrpc_urls = ["http://file"]\nchain_id = 1\n'
        '[keys]\ntransaction_key = "tx"\n[[models]]\nartifact = "m.onnx"\n'
    )
    monkeypatch.setenv("SWORN_CHAIN__RPC_URLS", '["http://env", {"url": "http://other"}]')
    assert _urls(load_settings([file])) == ["http://env", "http://other"]
    named = load_settings([file], overrides={"chain": {"rpc_url": "http://named", "rpc_urls": []}})
    assert _urls(named) == ["http://named"]


def test_second_opinion_exists_only_where_there_is_a_second_node() -> None:
    """One node cannot be its own witness."""
    several = bystander(validate_settings(GOOD).chain)
    single = bystander(validate_settings(_changed(rpc_urls=["http://x"], quorum=1)).chain)
    assert second_opinion(several) is not None
    assert second_opinion(single) is None


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("at wss://node.example/v3/abcdef now", "at wss://node.example/*** now"),
        ("s3://abcdef:hunter2@bucket/model", "s3://bucket/***"),
        ("HTTPS://user:pw@node.example", "https://node.example/***"),
        ("redis://:hunter2@cache:6379/0", "redis://cache:6379/***"),
        ("postgresql+psycopg://a:hunter2@db/x", "postgresql+psycopg://db/***"),
        ("Max retries exceeded with url: /v3/abcdef (Caused by", "Max retries exceeded with url: *** (Caused by"),
        ("ipfs://bafybeigdyrzt5sfp7udm7hu76uh7y26nf3", "ipfs://bafybeigdyrzt5sfp7udm7hu76uh7y26nf3"),
        ("no url: here", "no url: here"),
    ],
)
def test_log_masks_urls_of_any_scheme(text: str, shown: str) -> None:
    """A new kind of URL is masked before anybody thinks of it; content ids, which are public, stay."""
    assert masked(None, "info", {"event": "x", "reason": text})["reason"] == shown
