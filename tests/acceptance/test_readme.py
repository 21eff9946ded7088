"""What the README shows is run, word for word."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
from eth_abi.abi import decode, encode
from eth_utils.crypto import keccak

from solidity import ROOT, compile_sources
from sworn.chain.gateway import Call
from sworn.chain.pacing import Pacing
from sworn.chain.transactor import Transactor
from sworn.testing.local_oracle import LocalOracle, start_oracle
from sworn.testing.models import example_rows, load_model
from sworn.types import Address

README = (ROOT / "README.md").read_text(encoding="utf-8")
WAD = 10**18


def blocks(language: str) -> list[str]:
    """The README's code blocks in a language."""
    found: list[str] = re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    return found


@pytest.fixture
def oracle() -> Iterator[LocalOracle]:
    """A local oracle that serves the volatility model."""
    with start_oracle() as started:
        yield started


def test_readme_python_runs_as_shown() -> None:
    """Every Python block runs by itself, in a fresh process, without warnings."""
    for code, said in zip(blocks("python"), ("sworn by 0x", "proven in", "FaultProven: proves"), strict=True):
        run = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)

        assert run.returncode == 0, run.stderr
        assert said in run.stdout


def test_readme_consumer_asks_and_is_called_back(oracle: LocalOracle) -> None:
    """The Solidity block compiles without warnings, asks the real oracle, and stores the model's answer as a wad."""
    consumer, transactor = _deploy_consumer(oracle, oracle.serve(load_model("volatility")))
    row = example_rows("volatility")[0]
    readings = [int(value * WAD) for value in row.inputs["returns"].astype(float).ravel()]

    fee_wei = 10**16
    data = keccak(text="ask(int256[])")[:4] + encode(["int256[]"], [readings])
    transactor.send(to=consumer, data=data, value_wei=fee_wei)
    oracle.fulfil()

    (forecast,) = decode(["int256"], view(oracle, consumer, "forecastWad()"))
    assert abs(forecast / WAD - float(row.outputs["volatility"].ravel()[0])) < 1e-6


def test_readme_names_only_files_that_exist() -> None:
    """Every relative link leads somewhere."""
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link]

    assert [link for link in links if link and not (ROOT / link).exists()] == []


def test_readme_gas_is_the_snapshot() -> None:
    """The gas that the README quotes for sworn is the committed snapshot's."""
    snapshot = json.loads((ROOT / "tests" / "snapshots" / "gas.json").read_text(encoding="utf-8"))
    keys = ["request", "request_consumer", "propose", "propose_batch50_each", "finalize_callback"]
    keys += ["finalize_batch50_consumers_each", "challenge"]
    keys += ["whole_dispute_mlp", "whole_dispute_boosting", "whole_dispute_convolution"]

    for key in keys:
        assert f"{snapshot[key]['gas_used']:,}" in README, key


def view(oracle: LocalOracle, contract: Address, signature: str) -> bytes:
    """Return data of a view without arguments."""
    return oracle.gateway.call(Call(to=contract, data=keccak(text=signature)[:4]))


def _deploy_consumer(oracle: LocalOracle, model_id: bytes) -> tuple[Address, Transactor]:
    (source,) = blocks("solidity")
    folder = ROOT / ".cache" / "readme"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "Thermostat.sol"
    file.write_text(source.replace('"sworn/contracts/', '"../../contracts/'), encoding="utf-8")
    artifact = compile_sources([file], strict=True)["Thermostat"]
    transactor = Transactor(
        gateway=oracle.gateway,
        signer=oracle.chain.signers[4],
        chain_id=oracle.deployment.chain_id,
        pacing=Pacing(poll_s=0.02, transaction_timeout_s=30.0),
    )
    arguments = encode(["address", "bytes32"], [oracle.deployment.oracle, model_id])
    receipt = transactor.send(to=None, data=bytes.fromhex(artifact.bytecode[2:]) + arguments)
    assert receipt.contract_address is not None
    return receipt.contract_address, transactor
