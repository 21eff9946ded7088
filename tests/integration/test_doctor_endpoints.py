from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from tests.support.faulty_gateway import FaultyGateway

from sworn.chain.gateway import Block, BlockRef
from sworn.cli import compose, compose_endpoints, doctor_endpoints
from sworn.cli.doctor_findings import Finding, Verdict
from sworn.cli.session import CommonOptions, Session
from sworn.errors import TransientChainError
from sworn.testing.gateway import MemoryGateway
from sworn.types import Address, Deployment

SETTINGS = """
database_url = "sqlite:///w.db"
[chain]
rpc_urls = ["http://a.example/key1", "http://b.example/key2"]
chain_id = 31337
max_log_range = 50
[keys]
transaction_key = "tx"
[[models]]
artifact = "m.onnx"
"""


class Node(FaultyGateway):
    """A node that says how many requests it takes at once."""

    batch_size = 100

    def chain_id(self) -> int:
        if self.error is not None:
            raise self.error
        return self.chain.identity

    def block(self, ref: BlockRef) -> Block:
        return FaultyGateway.block(self, ref)


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> dict[str, Node]:
    """Two nodes on one chain, by host."""
    chain = MemoryGateway()
    chain.mine(100)
    made = {"a.example": Node(chain), "b.example": Node(chain)}
    for module, name in ((compose_endpoints, "connect_gateway"), (compose, "gateway")):
        monkeypatch.setattr(module, name, lambda url, **terms: made[url.split("/")[2]])
    return made


def _findings(tmp_path: Path, *, known: bool = True) -> dict[str, list[Finding]]:
    file = tmp_path / "sworn.toml"
    file.write_text(SETTINGS)
    session = Session(CommonOptions(config=(file,)))
    zero = Address("0x" + "00" * 20)
    if known:
        session.__dict__["deployment"] = _deployment(zero)
    found: dict[str, list[Finding]] = {}
    for finding in doctor_endpoints.findings(session):
        found.setdefault(finding.check, []).append(finding)
    return found


def _deployment(address: Address) -> Deployment:
    values: dict[str, Any] = {item.name: address for item in fields(Deployment)}
    return Deployment(**values | {"chain_id": 31337, "block": 0, "parameters": {}})


def test_doctor_endpoints_that_agree_are_approved(nodes: dict[str, Node], tmp_path: Path) -> None:
    """Each node is named by its masked host and found well, and so are all together."""
    found = _findings(tmp_path)
    assert found["endpoints"][0].verdict is Verdict.OK
    assert [item.verdict for item in found["endpoint http://a.example/***"]] == [Verdict.OK]
    assert "key1" not in str(found)


def test_doctor_endpoints_in_trouble_are_each_named(nodes: dict[str, Node], tmp_path: Path) -> None:
    """What an operator would otherwise learn from missed deadlines: lag, limits, another chain, contradictions."""
    nodes["b.example"].lag, nodes["a.example"].max_range, nodes["a.example"].batch_size = 20, 10, 1
    found = _findings(tmp_path)
    first, second = found["endpoint http://a.example/***"], found["endpoint http://b.example/***"]
    assert [item.verdict for item in first] == [Verdict.OK, Verdict.WARN, Verdict.WARN]
    assert [item.verdict for item in second] == [Verdict.OK, Verdict.WARN]
    nodes["b.example"].lag = 0
    nodes["b.example"].wrong = lambda number: number == 98
    (both,) = _findings(tmp_path)["endpoints"]
    assert both.verdict is Verdict.FAIL and "b.example" in both.detail
    nodes["b.example"].error = TransientChainError("down")
    assert _findings(tmp_path)["endpoint http://b.example/***"][0].verdict is Verdict.FAIL


def test_doctor_endpoint_on_another_chain_fails(nodes: dict[str, Node], tmp_path: Path) -> None:
    """A test network's URL in the list is found before the watcher refuses to start with it."""
    nodes["b.example"].chain = MemoryGateway(identity=5)
    verdicts = [item.verdict for item in _findings(tmp_path)["endpoint http://b.example/***"]]
    assert verdicts[0] is Verdict.FAIL


def test_doctor_judges_each_endpoint_by_itself(nodes: dict[str, Node], tmp_path: Path) -> None:
    """With the first node down, or contracts that are not there, the second one must not be taken off the list."""
    nodes["a.example"].error = TransientChainError("down")
    found = _findings(tmp_path, known=False)
    assert found["endpoint http://a.example/***"][0].verdict is Verdict.FAIL
    assert [item.verdict for item in found["endpoint http://b.example/***"]] == [Verdict.OK]


def test_commands_ask_the_endpoint_that_answers(nodes: dict[str, Node], tmp_path: Path) -> None:
    """A command that asks a dead node first says nothing about what it was asked."""
    nodes["a.example"].error = TransientChainError("down")
    file = tmp_path / "sworn.toml"
    file.write_text(SETTINGS)
    assert Session(CommonOptions(config=(file,))).gateway is nodes["b.example"]
