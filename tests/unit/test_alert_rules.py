"""The alerts by Prometheus's own tool: it reads them, and they speak up when they should, and only then."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from solidity import ROOT

NODE = ROOT / "scripts" / "node"
pytestmark = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed: apt-get install prometheus"
)


@pytest.mark.parametrize(
    "arguments",
    [("check", "config", "prometheus.yml"), ("test", "rules", "alerts.test.yml")],
    ids=["files are read", "alerts fire"],
)
def test_rules_hold_for_prometheus_itself(arguments: tuple[str, ...]) -> None:
    """A rule file with one bad line is not loaded at all, and an alert that never fires costs the stake it watches."""
    run = subprocess.run(["promtool", *arguments], cwd=NODE, capture_output=True, text=True, check=False)

    assert run.returncode == 0, run.stdout + run.stderr
