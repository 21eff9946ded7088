"""`sworn watch` as a process: starts, answers, and ends when it is asked to."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from tests.support.defence_world import Hostile
from tests.support.node_process import COMMAND, keystores, oracle_on_anvil, running, wait_for, wait_until

from sworn import InferenceResult, RequestHandle, compile_model
from sworn.chain.deployment_files import save_deployment
from sworn.codec.hashing import Domain, result_of
from sworn.codec.tensors import encode_tensors
from sworn.dispute.case import Case
from sworn.testing.local_oracle import LocalOracle
from sworn.testing.models import example_rows, load_model
from sworn.types import ZERO_HASH, Answer, Part, Profile, Target

PASSWORD = "correct horse"
SIGNER, SENDER, CHALLENGER = 2, 9, 7
TIMEOUT_S = 60.0
pytestmark = pytest.mark.anvil


@pytest.fixture
def oracle() -> Iterator[LocalOracle]:
    """An oracle on anvil whose own watcher stays idle."""
    with oracle_on_anvil() as oracle:
        oracle.serve(load_model("diabetes_progression"))
        yield oracle


def settings(oracle: LocalOracle, folder: Path) -> Path:
    """The settings of a watcher for the oracle's operator."""
    (folder / "model.onnx").write_bytes(load_model("diabetes_progression"))
    save_deployment(oracle.deployment, folder / "deployment.json")
    transaction_key, result_key = keystores(folder, SENDER, SIGNER, password=PASSWORD)
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
        transaction_key = "{transaction_key}"
        result_key = "{result_key}"
        password_file = "password"
        [[models]]
        artifact = "model.onnx"
        max_value_at_risk_wei = 1000000000000000000
        [guards]
        min_profit_wei = -1000000000000000000
        """
    )
    return file


def case_of(oracle: LocalOracle, result: InferenceResult, handle: RequestHandle) -> Case:
    """A result as a challenger states it."""
    output = encode_tensors(dict(result.outputs), compile_model(load_model("diabetes_progression")).schema.outputs)
    answer = Answer(operator=oracle.operator.address, trace_root=ZERO_HASH, output=output)
    domain = Domain(chain_id=oracle.deployment.chain_id, oracle=oracle.deployment.oracle)
    stated = result_of(handle.request, answer, chain_id=domain.chain_id, oracle=domain.oracle)
    return Case.of(stated, domain, request=handle.request)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_watch_process_when_signalled_ends_in_order(
    oracle: LocalOracle, tmp_path: Path, number: signal.Signals
) -> None:
    """A request is answered, the signal ends the process with 0, and stdout is one document."""
    file = settings(oracle, tmp_path)
    log, out = tmp_path / "log", tmp_path / "out"
    with running(*COMMAND, "watch", "--config", str(file), "--json", log=log, out=out) as process:
        wait_for("watcher_started", log=log, process=process, timeout_s=TIMEOUT_S)
        handle = oracle.client().request(
            model=load_model("diabetes_progression"), inputs=example_rows("diabetes_progression")[0].inputs
        )
        assert handle.wait(timeout=TIMEOUT_S, until="proposed").signer == oracle.result_signer.address
        wait_for("job_proposed", log=log, process=process, timeout_s=TIMEOUT_S)
        process.send_signal(number)
        assert process.wait(timeout=TIMEOUT_S) == 0, log.read_text()
    assert json.loads(out.read_text()) == {"jobs": {"proposed": 1}}
    text = log.read_text()
    assert all(json.loads(line)["event"] for line in text.splitlines())
    (model,) = [json.loads(line) for line in text.splitlines() if "model_served" in line]
    assert (model["profile"], model["promise"]) == ("exact", Profile.EXACT.promise)
    assert "secret-query" not in text
    assert PASSWORD not in text


def test_watch_process_whose_result_is_challenged_defends_it_and_serves_its_trace(
    oracle: LocalOracle, tmp_path: Path
) -> None:
    """With its real engine: the trace is made again, sworn to in time, shown on demand, and read over HTTP."""
    file = settings(oracle, tmp_path)
    file.write_text(file.read_text() + "\n[trace_server]\nport = 0\n")
    log, model = tmp_path / "log", load_model("diabetes_progression")
    with running(*COMMAND, "watch", "--config", str(file), log=log) as process:
        wait_for("watcher_started", log=log, process=process, timeout_s=TIMEOUT_S)
        inputs = example_rows("diabetes_progression")[0].inputs
        handle = oracle.client().request(model=model, inputs=inputs, window=3_000)
        result = handle.wait(timeout=TIMEOUT_S, until="proposed")
        hostile, case = (
            Hostile(world=oracle, signer=oracle.chain.signers[CHALLENGER]),
            case_of(oracle, result, handle),
        )
        hostile.challenge(case)
        wait_for('"key": "commit:', log=log, process=process, timeout_s=TIMEOUT_S)
        demands = [
            hostile.demand(case, target)
            for target in (Target(part=Part.CHUNKS, value=0), Target(part=Part.WEIGHT_CHUNKS, value=0))
        ]
        wait_until(lambda: all(map(hostile.is_answered, demands)), log=log, timeout_s=TIMEOUT_S)
        (served,) = [json.loads(line) for line in log.read_text().splitlines() if "traces_served" in line]
        place = f"http://{served['host']}:{served['port']}/v1/results/{case.result_id.hex()}"
        root = hostile.dispute(case).trace_root
        assert requests.get(place, timeout=TIMEOUT_S).json() == {"traceRoot": "0x" + root.hex()}
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=TIMEOUT_S) == 0, log.read_text()
