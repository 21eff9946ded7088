from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from sworn.chain.gateway import Call
from sworn.chain.transactor import Transactor
from sworn.errors import ConfigurationError, RequestFailed
from sworn.testing.anvil import AnvilChain, find_anvil
from sworn.testing.demo_stage import Stage, StoryBroken
from sworn.testing.ledger import LedgerGateway
from sworn.testing.local_chain import ChainKind, LocalChain, start_chain
from sworn.testing.local_oracle import PACING, start_oracle
from sworn.testing.models import example_rows, load_model
from sworn.types import Status

KINDS = [
    pytest.param(ChainKind.EMBEDDED, id="eth-tester"),
    pytest.param(ChainKind.ANVIL, id="anvil", marks=pytest.mark.anvil),
]


def need_anvil() -> None:
    """Skips where there is no anvil."""
    try:
        find_anvil()
    except ConfigurationError:
        pytest.skip("no anvil")


@pytest.fixture(params=KINDS)
def chain(request: pytest.FixtureRequest) -> Iterator[LocalChain]:
    """A local chain of each kind."""
    if request.param is ChainKind.ANVIL:
        need_anvil()
    with start_chain(request.param) as chain:
        yield chain


def test_local_chain_time_moves_exactly_as_told(chain: LocalChain) -> None:
    """A block lies as many seconds after the newest one as was asked for."""
    before = chain.gateway.block("latest")
    chain.advance(3600)
    after = chain.gateway.block("latest")
    assert (after.number - before.number, after.timestamp - before.timestamp) == (1, 3600)
    chain.advance(1)
    assert chain.gateway.block("latest").timestamp - after.timestamp == 1
    chain.mine(3)
    assert chain.gateway.block("latest").number == after.number + 4


def test_local_chain_accounts_are_the_well_known_ones(chain: LocalChain) -> None:
    """Every chain funds the same ten keys."""
    assert chain.signers[0].address == "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
    assert len({signer.address for signer in chain.signers}) == 10
    assert all(chain.gateway.balance(signer.address) >= 1000 * 10**18 for signer in chain.signers)


def test_local_chain_snapshot_undoes_what_came_after(chain: LocalChain) -> None:
    """Money spent after a snapshot is back after the revert."""
    sender, receiver = chain.signers[0], chain.signers[1].address
    transactor = Transactor(gateway=chain.gateway, signer=sender, chain_id=chain.gateway.chain_id(), pacing=PACING)
    before = chain.gateway.balance(receiver)
    mark = chain.snapshot()
    transactor.send(to=receiver, data=b"", value_wei=5)
    assert chain.gateway.balance(receiver) == before + 5
    chain.revert(mark)
    assert chain.gateway.balance(receiver) == before
    transactor.send(to=receiver, data=b"", value_wei=7)
    assert chain.gateway.balance(receiver) == before + 7


async def test_local_chain_async_gateway_sees_the_same_chain(chain: LocalChain) -> None:
    """Coroutines and blocking code share one chain."""
    gateway = chain.async_gateway()
    try:
        assert await gateway.chain_id() == chain.gateway.chain_id()
        assert (await gateway.block("latest")).hash == chain.gateway.block("latest").hash
    finally:
        await gateway.close()  # type: ignore[attr-defined]


@pytest.mark.anvil
def test_anvil_process_when_closed_is_gone() -> None:
    """No process is left behind, and closing again does nothing."""
    need_anvil()
    others = set(psutil.Process().children())
    chain = AnvilChain()
    (child,) = [process for process in psutil.Process().children() if process not in others]
    chain.close()
    chain.close()
    assert not child.is_running()


def test_anvil_binary_that_is_missing_is_a_configuration_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The error names the variable that helps."""
    monkeypatch.setenv("SWORN_ANVIL", str(tmp_path / "anvil"))
    with pytest.raises(ConfigurationError, match="anvil"):
        AnvilChain()


def test_local_oracle_when_fulfilling_answers_finally_and_pays() -> None:
    """Request, fulfil, wait: three lines for a final result."""
    row = example_rows("diabetes_progression")[0]
    with start_oracle() as oracle:
        model = oracle.serve(load_model("diabetes_progression"), price_wei=7)
        # The model by its id: the schema comes from the oracle's own artifacts.
        handle = oracle.client().request(model=model, inputs=dict(row.inputs))
        oracle.fulfil()
        result = handle.wait(timeout=5)
        assert result.final
        assert np.allclose(result["progression"], row.outputs["progression"], atol=1e-3)
        assert oracle.client().operator.account(oracle.operator.address).earned_wei == 7


def test_local_oracle_with_bad_input_signs_a_failure() -> None:
    """What the engine rejects comes back as the client's typed error."""
    with start_oracle() as oracle:
        oracle.serve(load_model("diabetes_progression"))
        other = oracle.serve(load_model("volatility"))
        client = oracle.client()
        data = np.full((1, 16), 3e38, dtype=np.float32)
        handle = client.request(model=other, inputs={"returns": data})
        oracle.fulfil()
        with pytest.raises(RequestFailed):
            handle.wait(timeout=5)
        assert handle.status().status is Status.FAILED


def test_local_oracle_fulfilling_nothing_moves_no_time() -> None:
    """Without open requests the chain stays as it is."""
    with start_oracle() as oracle:
        before = oracle.gateway.block("latest").number
        oracle.fulfil()
        assert oracle.gateway.block("latest").number == before


def test_ledger_tells_transactions_by_sender_and_call(chain: LocalChain) -> None:
    """Transfers, deployments and unknown calls have a word each, in the order in which they were sent."""
    ledger = LedgerGateway(chain.gateway)
    transactor = Transactor(gateway=ledger, signer=chain.signers[0], chain_id=chain.gateway.chain_id(), pacing=PACING)
    transactor.send(to=chain.signers[1].address, data=b"", value_wei=1)
    transactor.send(to=None, data=bytes.fromhex("5f5ff3"))
    transactor.send(to=chain.signers[1].address, data=b"\x01")
    entries = ledger.take()
    assert [entry.call for entry in entries] == ["transfer", "new contract", "call"]
    assert {entry.sender for entry in entries} == {chain.signers[0].address}
    assert ledger.take() == []
    assert ledger.call(Call(to=chain.signers[1].address, data=b"")) == b""


class SilentNarrator:
    """Tells nothing."""

    def chapter(self, number: int, title: str, summary: str) -> None: ...
    def say(self, text: str) -> None: ...
    def fact(self, name: str, value: object) -> None: ...
    def transaction(self, entry: object, *, role: str) -> None: ...
    def done(self, seconds: float) -> None: ...
    def table(self, title: str, columns: object, rows: object) -> None: ...


def test_demo_claim_that_does_not_hold_ends_the_story() -> None:
    """The demo cannot tell what is not true."""
    with start_chain() as chain:
        stage = Stage(chain, SilentNarrator())
        stage.check(holds=True, claim="one is one")
        with pytest.raises(StoryBroken, match="one is two"):
            stage.check(holds=False, claim="one is two")
        with pytest.raises(StoryBroken):
            stage.required_pool()
        stage.close()
        assert stage.claims == 2


def test_pytest_plugin_in_another_project_gives_a_working_oracle(tmp_path: Path) -> None:
    """A project's test needs nothing but the plugin's name."""
    (tmp_path / "test_it.py").write_text(
        """
from sworn.testing.models import example_rows, load_model

def test_it(sworn_oracle, sworn_client, sworn_chain):
    model = sworn_oracle.serve(load_model("volatility"))
    handle = sworn_client.request(model=model, inputs=example_rows("volatility")[0].inputs)
    sworn_oracle.fulfil()
    assert handle.wait(timeout=5).final
    assert sworn_chain.gateway.chain_id() == sworn_oracle.deployment.chain_id
"""
    )
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:asyncio"]
    command += ["-p", "sworn.testing.pytest_plugin", str(tmp_path)]
    sdk = Path(__file__).resolve().parents[2] / "sdk"
    environment = {**os.environ, "PYTHONPATH": str(sdk)}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout
