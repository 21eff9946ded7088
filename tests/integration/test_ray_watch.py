"""`sworn watch` whose models run on Ray, as a process: workers end in the middle of runs, and every answer is right."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import requests
from tests.support.node_process import (
    COMMAND,
    free_port,
    keystores,
    oracle_on_anvil,
    running,
    wait_for,
    wait_until,
)
from tests.support.workforces import is_gone

import sworn
from sworn.abi import interface
from sworn.chain.deployment_files import save_deployment
from sworn.client import RequestHandle
from sworn.model.trace_file import TraceFile
from sworn.testing import gallery
from sworn.testing.local_oracle import LocalOracle
from sworn.testing.models import example_rows, load_model
from sworn.types import RequestId

pytestmark = [pytest.mark.slow, pytest.mark.anvil, pytest.mark.filterwarnings("default")]
PASSWORD = "correct horse"
SIGNER, SENDER = 2, 9
TIMEOUT_S = 240.0
WINDOW_S = 600
TRACED, PLAIN = "mlp", "volatility"
SETTINGS = """
database_url = "sqlite:///{folder}/watcher.db"
operator = "{operator}"
[chain]
rpc_url = "{url}"
chain_id = 31337
deployment = "deployment.json"
poll_interval_s = 0.1
confirmations = 0
[keys]
transaction_key = "{keys[0]}"
result_key = "{keys[1]}"
password_file = "password"
[engine]
kind = "ray"
workers = 2
[[models]]
artifact = "traced.onnx"
profile = "bounded"
timeout_s = 120
max_value_at_risk_wei = 1000000000000000000
[[models]]
artifact = "plain.onnx"
profile = "signed"
timeout_s = 120
max_value_at_risk_wei = 1000000000000000000
[guards]
min_profit_wei = -1000000000000000000
[traces]
folder = "traces"
[metrics]
port = {port}
refresh_s = 0.2
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ray:
    """A watcher process and the processes behind it."""

    watcher: psutil.Process
    log: Path
    port: int

    def keepers(self) -> list[psutil.Process]:
        """Actors that keep a worker process for programs."""
        return [keeper for worker in self.workers() if (keeper := worker.parent()) is not None]

    def workers(self) -> list[psutil.Process]:
        """Worker processes that run programs."""
        return [each for each in self.watcher.children(recursive=True) if "program_worker" in " ".join(each.cmdline())]

    def running(self) -> int:
        """Runs under way."""
        page = requests.get(f"http://127.0.0.1:{self.port}/metrics", timeout=10).text
        return int(
            sum(float(line.split()[-1]) for line in page.splitlines() if line.startswith("sworn_engine_running"))
        )

    def wait(self, condition: Callable[[], bool]) -> None:
        """Waits until something is so."""
        wait_until(condition, log=self.log, timeout_s=TIMEOUT_S)


@pytest.fixture
def oracle() -> Iterator[LocalOracle]:
    """An oracle on anvil whose own watcher stays idle."""
    pytest.importorskip("ray")
    with oracle_on_anvil() as oracle:
        oracle.serve(gallery.load(TRACED), profile="bounded")
        oracle.serve(load_model(PLAIN), profile="signed")
        yield oracle


@pytest.fixture
def ray(oracle: LocalOracle, tmp_path: Path) -> Iterator[Ray]:
    """A watcher for the oracle's operator, with two workers on a cluster of its own, ready."""
    (tmp_path / "traced.onnx").write_bytes(gallery.load(TRACED))
    (tmp_path / "plain.onnx").write_bytes(load_model(PLAIN))
    save_deployment(oracle.deployment, tmp_path / "deployment.json")
    keys, port = keystores(tmp_path, SENDER, SIGNER, password=PASSWORD), free_port()
    file, log = tmp_path / "sworn.toml", tmp_path / "log"
    file.write_text(
        SETTINGS.format(
            folder=tmp_path,
            operator=oracle.operator.address,
            url=oracle.chain.url,
            keys=keys,
            port=port,
        )
    )
    with running(*COMMAND, "watch", "--config", str(file), log=log) as process:
        wait_for("watcher_started", log=log, process=process, timeout_s=TIMEOUT_S)
        yield Ray(watcher=psutil.Process(process.pid), log=log, port=port)


def events(oracle: LocalOracle, name: str) -> Counter[RequestId]:
    """How often the oracle has emitted an event for each request."""
    contract = interface("InferenceOracle")
    logs = oracle.gateway.logs(
        addresses=[oracle.deployment.oracle],
        topics=[contract.topic(name)],
        from_block=oracle.deployment.block,
        to_block=oracle.gateway.block("latest").number,
    )
    return Counter(RequestId(contract.decode_log(log.topics, log.data).arguments["requestId"]) for log in logs)


def test_watcher_on_ray_whose_workers_are_killed_answers_every_request_once(
    oracle: LocalOracle, ray: Ray, tmp_path: Path
) -> None:
    """One worker dies and one actor is lost in the middle of runs: their runs are made again, no other one suffers.

    Both profiles find places for their workers, traces come back whole, and the end is the end of all processes.
    """
    traced_rows, plain_rows = gallery.rows(TRACED)[:4], example_rows(PLAIN)[:4]
    client, workers, keepers = oracle.client(), ray.workers(), ray.keepers()
    assert len({each.pid for each in workers}) == len({each.pid for each in keepers}) == 2
    for worker in workers:
        worker.send_signal(signal.SIGSTOP)
    artifact = gallery.load(TRACED)
    traced = [
        client.request(model=artifact, inputs=row.inputs, profile="bounded", window=WINDOW_S) for row in traced_rows
    ]
    ray.wait(lambda: ray.running() == 2)
    workers[0].kill()
    keepers[1].kill()
    plain = [
        client.request(model=load_model(PLAIN), inputs=row.inputs, profile="signed", window=WINDOW_S)
        for row in plain_rows
    ]
    handles: list[RequestHandle] = [*traced, *plain]
    for handle in handles:
        handle.wait(timeout=TIMEOUT_S, until="proposed")
    oracle.chain.advance(WINDOW_S + 1)
    results = [handle.wait(timeout=TIMEOUT_S) for handle in handles]
    compiled = sworn.compile_model(artifact, profile="bounded")
    roots = {TraceFile.load(file).trace_root for file in (tmp_path / "traces").glob("*.trace")}
    assert roots == {compiled.trace(dict(row.inputs)).root for row in traced_rows}
    for result, row in zip(results, traced_rows, strict=False):
        expected = compiled.trace(dict(row.inputs)).outputs
        assert {name: result[name].tobytes() for name in expected} == {k: v.tobytes() for k, v in expected.items()}
    once = dict.fromkeys((handle.request_id for handle in handles), 1)
    assert (events(oracle, "ResultProposed"), events(oracle, "RequestFailed")) == (once, {})
    ray.wait(lambda: events(oracle, "ResultFinalized") == once)
    family = ray.watcher.children(recursive=True)
    ray.watcher.terminate()
    assert ray.watcher.wait(timeout=TIMEOUT_S) == 0, ray.log.read_text()[-6000:]
    ray.wait(lambda: all(is_gone(each.pid) for each in family))
    assert not {worker.pid for worker in workers} & {each.pid for each in family}
