"""What an operator does by hand beside a running watcher: keys, quarantine, and trying things out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.test_cli_chain import OPERATOR, REQUESTER, SENDER, SIGNER, World, key
from tests.support.command_line import CommandLine

from sworn.cli.signers import NO_END
from sworn.testing.local_chain import LocalChain, start_chain
from sworn.watcher.store.database import open_database
from sworn.watcher.store.quarantine import QuarantineStore

NEW = 7


@pytest.fixture
def chain() -> Iterator[LocalChain]:
    """An empty chain."""
    with start_chain() as chain:
        yield chain


@pytest.fixture
def world(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, chain: LocalChain, tmp_path: Path
) -> World:
    """A deployment with an operator; the requester acts."""
    monkeypatch.setenv("HOME", str(tmp_path))
    line = CommandLine(capsys, monkeypatch)
    line.use(chain.gateway)
    world = World(line, chain, tmp_path)
    world.build()
    return world


@pytest.mark.slow
def test_operator_tries_a_request_out_then_changes_keys_and_clears_a_quarantine(world: World) -> None:
    """A dry run foretells the very result; a key is retired behind a deep one; a barred model waits for a person."""
    _try_out(world)
    _change_keys(world)
    _clear_quarantine(world)


def _try_out(world: World) -> None:
    line, config = world.line, ("--config", world.settings)
    request_id = world.request()
    nonce = world.chain.gateway.nonce(world.chain.signers[SENDER].address)
    tried = line.json("watch", "--request", request_id, *config)
    assert (tried["would_run"], tried["state"]) == (True, "requested")
    dry = line.json("watch", "--dry-run", "--once", *config)
    assert dry == {"dry_run": True, "jobs": {"ignored": 1}}
    assert world.chain.gateway.nonce(world.chain.signers[SENDER].address) == nonce
    assert not (world.folder / "watcher.db").exists()
    world.watch()
    again = line.json("watch", "--request", request_id, *config)
    assert again["same_as_on_chain"] is True
    assert again["result_id"] == tried["result_id"]
    assert line.failed("watch", "--request", "0x" + "07" * 32, *config)["type"] == "RequestUnknown"


def _change_keys(world: World) -> None:
    line = world.line
    old, new = world.chain.signers[SIGNER].address, world.chain.signers[NEW].address
    line.act_as(key(OPERATOR))
    assert line.failed("operator", "signer", "rotate", old, "--retire", old)["type"] == "ConfigurationError"
    assert line.failed("operator", "signer", "rotate", old, "--retire", new)["type"] == "ConfigurationError"
    rotated = line.json("operator", "signer", "rotate", new, "--depth", "0")
    assert (rotated["signer"], rotated["not_after"]) == (new, NO_END)
    early = line.failed("operator", "signer", "rotate", new, "--retire", old, "--depth", "3", "--timeout", "1")
    assert early["type"] == "TransientChainError"
    assert [item["not_after"] for item in line.json("operator", "signer", "list")] == [NO_END, NO_END]
    world.chain.mine(3)
    done = line.json("operator", "signer", "rotate", new, "--retire", old, "--depth", "3")
    assert done["retired"] == old
    listed = {item["signer"]: item["not_after"] for item in line.json("operator", "signer", "list")}
    assert listed == {old: done["retired_not_after"], new: NO_END}
    assert 0 < listed[old] < NO_END
    again = line.json("operator", "signer", "rotate", new, "--retire", old, "--depth", "3")
    assert again["retired_not_after"] == done["retired_not_after"]


def _clear_quarantine(world: World) -> None:
    line, config = world.line, ("--config", world.settings)
    database = open_database(f"sqlite:///{world.folder / 'watcher.db'}")
    model_id = bytes.fromhex(line.json("model", "id", world.model)["model_id"].removeprefix("0x"))
    store = QuarantineStore(database=database)
    store.bar(model_id, "another trace")
    database.close()
    (barred,) = line.json("operator", "quarantine", "list", *config)
    assert (barred["subject"], barred["kind"], barred["left_alone"]) == ("0x" + model_id.hex(), "model", True)
    line.act_as(key(REQUESTER))
    waiting = world.request()
    world.watch()
    assert line.json("status", waiting)["status"] == "requested"
    line.json("operator", "quarantine", "clear", barred["subject"], *config)
    assert line.failed("operator", "quarantine", "clear", barred["subject"], *config)["type"] == "ConfigurationError"
    assert line.failed("operator", "quarantine", "clear", "0x12", *config)["type"] == "ConfigurationError"
    assert line.json("operator", "quarantine", "list", *config) == []
