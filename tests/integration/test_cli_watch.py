"""`sworn watch` as a process: starts, answers, and ends when it is asked to."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from eth_account.hdaccount import key_from_seed, seed_from_mnemonic

from sworn.chain.deployment_files import save_deployment
from sworn.chain.keystore import import_key
from sworn.errors import ConfigurationError
from sworn.testing.anvil import AnvilChain, find_anvil
from sworn.testing.local_chain import MNEMONIC
from sworn.testing.local_oracle import LocalOracle
from sworn.testing.models import example_rows, load_model
from sworn.types import Profile

PASSWORD = "correct horse"
SIGNER, SENDER = 2, 9
TIMEOUT_S = 15.0
pytestmark = pytest.mark.anvil


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
    oracle.serve(load_model("diabetes_progression"))
    yield oracle
    oracle.close()
    chain.close()


def settings(oracle: LocalOracle, folder: Path) -> Path:
    """The settings of a watcher for the oracle's operator."""
    (folder / "password").write_text(PASSWORD)
    (folder / "model.onnx").write_bytes(load_model("diabetes_progression"))
    save_deployment(oracle.deployment, folder / "deployment.json")
    seed = seed_from_mnemonic(MNEMONIC, "")
    files = [
        import_key(folder / "keys", bytes(key_from_seed(seed, f"m/44'/60'/0'/0/{index}")), PASSWORD, scrypt_rounds=2)
        for index in (SENDER, SIGNER)
    ]
    file = folder / "sworn.toml"
    file.write_text(
        f"""
        database_url = "sqlite:///{folder / "watcher.db"}"
        operator = "{oracle.operator.address}"
        [chain]
        rpc_url = "{oracle.chain.url}/?key=secret-query"
        chain_id = 31337
        deployment = "deployment.json"
        poll_interval_s = 0.1
        confirmations = 0
        [keys]
        transaction_key = "{files[0].path}"
        result_key = "{files[1].path}"
        password_file = "password"
        [[models]]
        artifact = "model.onnx"
        max_value_at_risk_wei = 1000000000000000000
        [guards]
        min_profit_wei = -1000000000000000000
        """
    )
    return file


def wait_for(log: Path, word: str) -> None:
    """Waits until a word is in the log."""
    deadline = time.monotonic() + TIMEOUT_S
    while word not in log.read_text():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_watch_process_when_signalled_ends_in_order(
    oracle: LocalOracle, tmp_path: Path, number: signal.Signals
) -> None:
    """A request is answered, the signal ends the process with 0, and stdout is one document."""
    file = settings(oracle, tmp_path)
    log = tmp_path / "log"
    command = [sys.executable, "-c", "import sys; from sworn.cli import main; sys.exit(main())"]
    command += ["watch", "--config", str(file), "--json"]
    with log.open("wb") as stderr, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr) as process:
        try:
            wait_for(log, "watcher_started")
            handle = oracle.client().request(
                model=load_model("diabetes_progression"), inputs=example_rows("diabetes_progression")[0].inputs
            )
            assert handle.wait(timeout=TIMEOUT_S, until="proposed").signer == oracle.result_signer.address
            wait_for(log, "job_proposed")
            process.send_signal(number)
            out, _ = process.communicate(timeout=TIMEOUT_S)
        finally:
            process.kill()
    assert process.returncode == 0, log.read_text()
    assert json.loads(out) == {"jobs": {"proposed": 1}}
    text = log.read_text()
    assert all(json.loads(line)["event"] for line in text.splitlines())
    (model,) = [json.loads(line) for line in text.splitlines() if "model_served" in line]
    assert (model["profile"], model["promise"]) == ("exact", Profile.EXACT.promise)
    assert "secret-query" not in text
    assert PASSWORD not in text
