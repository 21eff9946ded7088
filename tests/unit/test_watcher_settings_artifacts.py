"""Where model files come from, as the settings say it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sworn.cli.compose_artifacts import artifact_store, kept
from sworn.errors import ConfigurationError
from sworn.types import Address
from sworn.watcher.settings import WatcherSettings, dump_settings, load_settings, validate_settings

_VALUES: dict[str, Any] = {
    "chain": {"rpc_url": "http://node", "chain_id": 1},
    "keys": {"transaction_key": "key.json"},
    "models": [{"artifact": "model.onnx"}],
    "database_url": "sqlite:///watcher.db",
}


def given(**artifacts: Any) -> WatcherSettings:
    """Settings with a table of artifacts."""
    return validate_settings(_VALUES | {"artifacts": artifacts})


def test_artifacts_as_a_path_are_the_folder_of_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The short form stays: in a file, where it counts from the file's folder, and in the environment."""
    head = 'database_url = "sqlite:///w.db"\n'
    tail = '[chain]\nrpc_url = "http://node"\nchain_id = 1\n[keys]\ntransaction_key = "k"\n[[models]]\nartifact = "m"\n'
    file = tmp_path / "sworn.toml"
    for text in (head + 'artifacts = "files"\n' + tail, head + tail + '[artifacts]\ncache = "files"\n'):
        file.write_text(text)
        assert load_settings([file]).artifacts.cache == tmp_path / "files"
    monkeypatch.setenv("SWORN_ARTIFACTS", "/elsewhere")
    assert load_settings([file]).artifacts.cache == Path("/elsewhere")
    assert validate_settings(_VALUES).artifacts.cache is None


def test_artifacts_in_the_dump_show_no_secrets() -> None:
    """Passwords in addresses, signed queries and paths are masked; hosts and buckets can be read."""
    values = given(
        mirrors=["https://user:secret@host/secret/{sha256}?token=secret", "s3://bucket/{sha256}"],
        ipfs_gateways=["http://user:secret@127.0.0.1:8080", "https://host:9/secret"],
    )
    dumped = dump_settings(values)["artifacts"]
    assert dumped["mirrors"] == ["https://host/…", "s3://bucket/{sha256}"]
    assert dumped["ipfs_gateways"] == ["http://127.0.0.1:8080", "https://host:9/…"]
    assert "secret" not in json.dumps(dumped) and "secret" not in repr(values)


@pytest.mark.parametrize(
    "wrong",
    [
        *({"mirrors": ["https://user:secret@host/model"]}, {"mirrors": ["models/{sha256}"]}),
        # A slash that ends the host early leaves a part of the password where the port is.
        *({"mirrors": ["https://user:secret/x@host/{sha256}"]}, {"ipfs_gateways": ["http://user:secret/x@host"]}),
        *({"mirrors": ["s3://key:secret@bucket/{sha256}"]}, {"mirrors": ["https://secret@h\u2100st/{sha256}"]}),
        *({"mirrors": ["/{sha256}/{sha256}"]}, {"ipfs_gateways": ["https://user:secret@h\u2100st"]}),
        *({"ipfs_gateways": ["secret"]}, {"ipfs_gateways": ["ftp://secret/"]}, {"published_buckets": ["az"]}),
        *({"cache_bytes": 1}, {"max_bytes": 0}, {"timeout_s": 0}, {"unknown": 1}, {"ipfs_gateways": ["http://a"] * 9}),
    ],
)
def test_artifacts_that_cannot_work_are_refused(wrong: dict[str, Any]) -> None:
    """Every mistake is named by its key, and never by its value."""
    with pytest.raises(ConfigurationError) as caught:
        given(**wrong)
    assert f"artifacts.{next(iter(wrong))}" in str(caught.value) and "secret" not in str(caught.value)


def test_artifacts_as_an_address_are_refused() -> None:
    """A mirror that is taken for the name of a folder would be dumped, secrets and all, and never be asked."""
    with pytest.raises(ConfigurationError) as caught:
        validate_settings(_VALUES | {"artifacts": "https://user:secret@host/{sha256}"})
    assert "artifacts.mirrors" in str(caught.value) and "secret" not in str(caught.value)


def test_store_made_from_settings_has_their_limits(tmp_path: Path) -> None:
    """What is configured is what the store does: its folder, its limit, its own mirror, and nobody's buckets."""
    (tmp_path / "mirror").mkdir()
    values = given(cache=str(tmp_path / "cache"), max_bytes=1024, mirrors=[f"{tmp_path}/mirror/{{sha256}}"])
    store = artifact_store(values.artifacts)
    key = store.put(b"x" * 1024)
    (tmp_path / "mirror" / key.hex()).write_bytes(b"x" * 1024)
    store.shelf.path(key).unlink()
    assert store.get(key) == b"x" * 1024
    assert [entry.artifact_hash for entry in store.entries()] == [key]
    assert store.shelf.path(key).is_relative_to(tmp_path / "cache")


def test_watcher_that_starts_pins_what_it_serves_from_the_cache(tmp_path: Path) -> None:
    """A model by its id stays in the cache, one with its own file needs none; operators leave each other alone."""
    models = [{"artifact": "model.onnx"}, {"model_id": "0x" + "11" * 32}]
    values = validate_settings(_VALUES | {"models": models, "artifacts": str(tmp_path / "cache")})
    deployment: Any = SimpleNamespace(chain_id=31337)
    served: Any = [_served(b"own"), _served(b"fetched")]
    for operator in (Address("0x" + "Aa" * 20), Address("0x" + "Bb" * 20)):
        with kept(values, deployment, operator, served):
            pass
    held = frozenset({hashlib.sha256(b"fetched").digest()})
    names = [f"watcher-31337-0x{each * 20}" for each in ("aa", "bb")]
    assert artifact_store(values.artifacts).shelf.pins.holders() == dict.fromkeys(names, held)
    own = validate_settings(_VALUES | {"artifacts": "/dev/null/cache"})
    with kept(own, deployment, Address("0x" + "Aa" * 20), served[:1]):
        pass


def _served(artifact: bytes) -> SimpleNamespace:
    model = SimpleNamespace(artifact_hash=hashlib.sha256(artifact).digest())
    return SimpleNamespace(identified=SimpleNamespace(model=model))
