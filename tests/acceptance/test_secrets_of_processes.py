"""A watcher as a process, with a secret in every place that can hold one: none of them gets out."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from eth_account.hdaccount import key_from_seed, seed_from_mnemonic
from tests.support.fake_web3signer import FakeWeb3Signer, fake, serving
from tests.support.planted_secrets import ENVIRONMENT, TOKEN, Planted, plant

from sworn.chain.deployment_files import save_deployment
from sworn.errors import ConfigurationError
from sworn.testing.anvil import AnvilChain, find_anvil
from sworn.testing.local_chain import MNEMONIC
from sworn.testing.local_oracle import LocalOracle
from sworn.testing.models import example_rows, load_model

pytestmark = [pytest.mark.anvil, pytest.mark.acceptance, pytest.mark.slow]
SIGNER, SENDER = 2, 9
TIMEOUT_S = 120.0
MODEL = "diabetes_progression"
BODY = """
database_url = "{{database}}"
operator = "{operator}"
[chain]
rpc_url = "{{rpc}}"
chain_id = 31337
deployment = "deployment.json"
poll_interval_s = 0.1
confirmations = 0
[keys]
password_file = "password"
transaction_key = "{{transaction}}"
[keys.result]
kind = "web3signer"
url = "{signer}"
address = "{address}"
token_file = "token"
[[models]]
artifact = "model.onnx"
max_value_at_risk_wei = 1000000000000000000
[guards]
min_profit_wei = -1000000000000000000
[log]
level = "debug"
"""


@pytest.fixture
def oracle() -> Iterator[LocalOracle]:
    """An oracle on anvil whose own watcher stays idle."""
    try:
        find_anvil()
    except ConfigurationError:
        pytest.skip("no anvil")
    chain = AnvilChain()
    oracle = LocalOracle(chain)
    oracle.enrol()
    oracle.serve(load_model(MODEL))
    yield oracle
    oracle.close()
    chain.close()


@pytest.fixture
def signer() -> Iterator[FakeWeb3Signer]:
    """The result key, behind a remote signer."""
    with serving(fake(key(SIGNER))) as running:
        yield running


def key(index: int) -> bytes:
    """The private key of one of the chain's accounts."""
    return bytes(key_from_seed(seed_from_mnemonic(MNEMONIC, ""), f"m/44'/60'/0'/0/{index}"))


def planted(oracle: LocalOracle, signer: FakeWeb3Signer, folder: Path, *, database: str) -> Planted:
    """Settings of a watcher for the oracle's operator, with secrets."""
    (folder / "model.onnx").write_bytes(load_model(MODEL))
    save_deployment(oracle.deployment, folder / "deployment.json")
    url = signer.url + "/path-S3CR3T"
    body = BODY.format(operator=oracle.operator.address, signer=url, address=oracle.result_signer.address)
    return plant(folder, keys=(key(SENDER), key(SIGNER)), rpc=str(oracle.chain.url), database=database, body=body)


def started(secrets: Planted, *arguments: str) -> subprocess.Popen[bytes]:
    """The command, with secrets in its environment and its output in files."""
    command = [sys.executable, "-c", "import sys; from sworn.cli import main; sys.exit(main())", *arguments]
    command += ["--config", str(secrets.settings)]
    environment = {**os.environ, **ENVIRONMENT, "HOME": str(secrets.folder)}
    with (secrets.folder / "out").open("ab") as out, (secrets.folder / "err").open("ab") as err:
        return subprocess.Popen(command, stdout=out, stderr=err, env=environment)


def ended(secrets: Planted, *arguments: str) -> int:
    """The exit code of a command that ends by itself."""
    return started(secrets, *arguments).wait(timeout=TIMEOUT_S)


def wait_for(secrets: Planted, word: str) -> None:
    """Waits until a word is in the log."""
    deadline = time.monotonic() + TIMEOUT_S
    while word not in (log := (secrets.folder / "err").read_text()):
        assert time.monotonic() < deadline, log
        time.sleep(0.1)


def leaks_of(process: psutil.Process, secrets: Planted) -> list[str]:
    """Secrets in the arguments of a process and its descendants, and in what descendants inherit."""
    found = secrets.found_in(" ".join(process.cmdline()))
    for child in process.children(recursive=True):
        found += secrets.found_in(" ".join(child.cmdline()), repr(child.environ()))
    return found


def test_watcher_process_leaks_no_secret_while_it_works_and_when_it_cannot(
    oracle: LocalOracle, signer: FakeWeb3Signer, tmp_path: Path
) -> None:
    """Logs, database, traces, arguments, children and standard streams are searched, through success and failure."""
    secrets = planted(oracle, signer, tmp_path, database=f"sqlite:///{tmp_path}/watcher.db")
    process = started(secrets, "watch")
    try:
        wait_for(secrets, "watcher_started")
        inputs = example_rows(MODEL)[0].inputs
        handle = oracle.client().request(model=load_model(MODEL), inputs=inputs)
        assert handle.wait(timeout=TIMEOUT_S, until="proposed").signer == oracle.result_signer.address
        assert signer.headers[-1]["Authorization"] == f"Bearer {TOKEN}"
        leaks = leaks_of(psutil.Process(process.pid), secrets)
        signer.failures = [(500, b"S3CR3T in an answer", 0.0)] * 6
        oracle.client().request(model=load_model(MODEL), inputs=inputs)
        time.sleep(3)
    finally:
        process.terminate()
        process.wait(timeout=TIMEOUT_S)
    (tmp_path / "token").write_text("wrong-S3CR3T\n")
    signer.failures = [(401, b"S3CR3T", 0.0)]
    assert ended(secrets, "watch", "--once", "--debug") != 0
    assert ended(secrets, "watch", "--once", "--dry-run") == 0
    ended(secrets, "doctor", "--json")
    (tmp_path / "password").write_text("another-S3CR3T\n")
    assert ended(secrets, "watch", "--once", "--debug") != 0
    assert leaks == []
    assert b"would_propose" in (tmp_path / "err").read_bytes()
    assert (tmp_path / "watcher.db").exists()
    assert {path.name: found for path in secrets.files() if (found := secrets.found_in(path.read_bytes()))} == {}
