"""A real Prometheus, a real watcher: every alert is evaluated, and every panel of the dashboard has data."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from eth_account.hdaccount import key_from_seed, seed_from_mnemonic

from solidity import ROOT
from sworn.chain.deployment_files import save_deployment
from sworn.chain.keystore import import_key
from sworn.errors import ConfigurationError
from sworn.testing.anvil import AnvilChain, find_anvil
from sworn.testing.local_chain import MNEMONIC
from sworn.testing.local_oracle import LocalOracle
from sworn.testing.models import example_rows, load_model

NODE = ROOT / "scripts" / "node"
PROMETHEUS = shutil.which("prometheus")
MODEL = "diabetes_progression"
TIMEOUT_S = 120.0
#: What a watcher alone, on a chain where nothing goes wrong, has nothing of; a challenger has the last row.
EMPTY = {
    "Next deadline",
    "Owed in disputes",
    "Others' results",
    "Our challenges",
    "At risk in them, ETH",
}
SETTINGS = """
database_url = "sqlite:///{folder}/watcher.db"
operator = "{operator}"
[chain]
rpc_url = "{rpc}"
chain_id = 31337
deployment = "{folder}/deployment.json"
poll_interval_s = 0.2
confirmations = 0
[keys]
password_file = "{folder}/password"
transaction_key = "{transaction}"
result_key = "{result}"
[[models]]
artifact = "{folder}/model.onnx"
max_value_at_risk_wei = 1000000000000000000
[guards]
min_profit_wei = -1000000000000000000
[traces]
folder = "{folder}/traces"
[metrics]
port = {port}
"""

pytestmark = [
    pytest.mark.anvil,
    pytest.mark.acceptance,
    pytest.mark.slow,
    pytest.mark.skipif(PROMETHEUS is None, reason="prometheus is not installed: apt-get install prometheus"),
]


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def key(index: int) -> bytes:
    """The private key of one of the chain's accounts."""
    return bytes(key_from_seed(seed_from_mnemonic(MNEMONIC, ""), f"m/44'/60'/0'/0/{index}"))


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


@contextmanager
def running(*command: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is ended at the end."""
    with log.open("ab") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env={**os.environ, "HOME": str(log.parent)})
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=60)


def settings(oracle: LocalOracle, folder: Path, port: int) -> Path:
    """Settings of a watcher for the oracle's operator."""
    (folder / "model.onnx").write_bytes(load_model(MODEL))
    (folder / "password").write_text("password\n")
    (folder / "password").chmod(0o600)
    save_deployment(oracle.deployment, folder / "deployment.json")
    transaction, result = (
        import_key(folder / "keys", key(index), "password", scrypt_rounds=2).path for index in (9, 2)
    )
    file = folder / "watcher.toml"
    names = {"transaction": transaction, "result": result, "operator": oracle.operator.address}
    file.write_text(SETTINGS.format(folder=folder, rpc=oracle.chain.url, port=port, **names))
    return file


def configuration(folder: Path, port: int) -> Path:
    """The node's own configuration and rules, with a faster pace and the watcher's address."""
    parsed = yaml.safe_load((NODE / "prometheus.yml").read_text(encoding="utf-8"))
    parsed["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    parsed["scrape_configs"][0]["static_configs"][0]["targets"] = [f"127.0.0.1:{port}"]
    shutil.copy(NODE / "alerts.yml", folder / "alerts.yml")
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(parsed))
    return file


def ask(port: int, path: str, **parameters: str) -> Any:
    """What Prometheus answers; its complaint is an error."""
    query = urllib.parse.urlencode(parameters)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/{path}?{query}", timeout=10) as answer:
        return json.load(answer)["data"]


def targets_are_up(port: int) -> bool:
    """Whether Prometheus has scraped what it should."""
    try:
        return [target["health"] for target in ask(port, "targets")["activeTargets"]] == ["up"]
    except OSError:
        return False


def panels() -> list[tuple[str, str]]:
    """Title and query of everything on the dashboard, as Grafana would ask it."""
    board = json.loads((NODE / "dashboard.json").read_text(encoding="utf-8"))
    return [
        (panel["title"], target["expr"].replace("$instance", ".*").replace("$__rate_interval", "30s"))
        for panel in board["panels"]
        for target in panel.get("targets", [])
    ]


def until(done: Any, complaint: Any) -> None:
    """Waits until something is so."""
    deadline = time.monotonic() + TIMEOUT_S
    while not done():
        assert time.monotonic() < deadline, complaint()
        time.sleep(0.2)


def test_prometheus_scrapes_a_watcher_and_has_data_for_every_panel(oracle: LocalOracle, tmp_path: Path) -> None:
    """A query that Prometheus refuses, or a name that is never there, is a panel that stays empty on the bad day."""
    port, prometheus_port = free_port(), free_port()
    watcher_log, prometheus_log = tmp_path / "watcher.log", tmp_path / "prometheus.log"
    watch = (sys.executable, "-c", "import sys; from sworn.cli import main; sys.exit(main())", "watch", "--config")
    scrape = (str(PROMETHEUS), f"--config.file={configuration(tmp_path, port)}", f"--storage.tsdb.path={tmp_path}/tsdb")
    with (
        running(*watch, str(settings(oracle, tmp_path, port)), log=watcher_log),
        running(*scrape, f"--web.listen-address=127.0.0.1:{prometheus_port}", log=prometheus_log),
    ):
        said = lambda: watcher_log.read_text()[-3000:] + prometheus_log.read_text()[-3000:]  # noqa: E731
        until(lambda: targets_are_up(prometheus_port), said)
        for row in example_rows(MODEL)[:2]:
            handle = oracle.client().request(model=load_model(MODEL), inputs=row.inputs)
            handle.wait(timeout=TIMEOUT_S, until="proposed")
        until(lambda: 'status="proposed"} 2' in metrics(port) and "sworn_cursor_block " in metrics(port), said)
        # Rates need two scrapes, and rules an evaluation.
        time.sleep(5)
        empty = {title for title, query in panels() if not ask(prometheus_port, "query", query=query)["result"]}
        rules = [rule for group in ask(prometheus_port, "rules")["groups"] for rule in group["rules"]]

    assert empty == EMPTY
    assert {rule["name"]: rule.get("lastError", "") for rule in rules if rule["health"] != "ok"} == {}
    assert len(rules) == len(yaml.safe_load((NODE / "alerts.yml").read_text())["groups"][0]["rules"])
    assert [rule["name"] for rule in rules if rule["state"] != "inactive"] == [], "a node that is well alarms nobody"


def metrics(port: int) -> str:
    """What the watcher shows."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        return str(answer.read().decode())
