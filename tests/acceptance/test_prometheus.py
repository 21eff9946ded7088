"""A real Prometheus, a real watcher: every alert is evaluated, and every panel of the dashboard has data."""

from __future__ import annotations

import json
import os
import shutil
import urllib.parse
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.node_process import COMMAND, free_port, keystores, oracle_on_anvil, running, wait_until

from solidity import ROOT
from sworn.chain.deployment_files import save_deployment
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


@pytest.fixture
def oracle() -> Iterator[LocalOracle]:
    """An oracle on anvil whose own watcher stays idle."""
    with oracle_on_anvil() as oracle:
        oracle.serve(load_model(MODEL))
        yield oracle


def settings(oracle: LocalOracle, folder: Path, port: int) -> Path:
    """Settings of a watcher for the oracle's operator."""
    (folder / "model.onnx").write_bytes(load_model(MODEL))
    save_deployment(oracle.deployment, folder / "deployment.json")
    transaction, result = keystores(folder, 9, 2, password="password")
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


def empty_panels(port: int) -> set[str]:
    """Titles of panels whose query has no data."""
    return {title for title, query in panels() if not ask(port, "query", query=query)["result"]}


def rules_of(port: int) -> list[dict[str, Any]]:
    """Every alert, with what its last evaluation gave."""
    return [rule for group in ask(port, "rules")["groups"] for rule in group["rules"]]


def test_prometheus_scrapes_a_watcher_and_has_data_for_every_panel(oracle: LocalOracle, tmp_path: Path) -> None:
    """A query that Prometheus refuses, or a name that is never there, is a panel that stays empty on the bad day."""
    port, prometheus_port, log = free_port(), free_port(), tmp_path / "log"
    scrape = (str(PROMETHEUS), f"--config.file={configuration(tmp_path, port)}", f"--storage.tsdb.path={tmp_path}/tsdb")
    home = {**os.environ, "HOME": str(tmp_path)}
    settled = partial(wait_until, log=log, timeout_s=TIMEOUT_S)
    watch = (*COMMAND, "watch", "--config", str(settings(oracle, tmp_path, port)))
    with (
        running(*watch, log=log, environment=home),
        running(*scrape, f"--web.listen-address=127.0.0.1:{prometheus_port}", log=log, environment=home),
    ):
        settled(lambda: targets_are_up(prometheus_port))
        for row in example_rows(MODEL)[:2]:
            handle = oracle.client().request(model=load_model(MODEL), inputs=row.inputs)
            handle.wait(timeout=TIMEOUT_S, until="proposed")
        settled(lambda: 'status="proposed"} 2' in metrics(port) and "sworn_cursor_block " in metrics(port))
        # Rates need two scrapes after it, and rules an evaluation.
        settled(
            lambda: (
                len(empty_panels(prometheus_port)) <= len(EMPTY)
                and all(rule["health"] != "unknown" for rule in rules_of(prometheus_port))
            )
        )
        empty, rules = empty_panels(prometheus_port), rules_of(prometheus_port)

    assert empty == EMPTY
    assert {rule["name"]: rule.get("lastError", "") for rule in rules if rule["health"] != "ok"} == {}
    assert len(rules) == len(yaml.safe_load((NODE / "alerts.yml").read_text())["groups"][0]["rules"])
    assert [rule["name"] for rule in rules if rule["state"] != "inactive"] == [], "a node that is well alarms nobody"


def metrics(port: int) -> str:
    """What the watcher shows."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        return str(answer.read().decode())
