"""Counters as a scrape shows them from the beginning."""

from __future__ import annotations

import re

import yaml

from solidity import ROOT
from sworn.watcher.figures import COUNTERS
from sworn.web.metrics import PrometheusTelemetry

ALERTS = ROOT / "scripts" / "node" / "alerts.yml"


def test_counters_that_alerts_wait_for_begin_at_zero() -> None:
    """Prometheus sees no increase in a series that is new: the first lie, the first revert would alarm nobody."""
    telemetry = PrometheusTelemetry(version="1")
    telemetry.transaction("propose", "submitted")
    telemetry.rpc("one", "ok", 0.1)
    shown = telemetry.exposition("")[0].decode()

    assert 'sworn_transaction_events_total{event="reverted",kind="propose"} 0.0' in shown
    assert 'sworn_rpc_requests_total{endpoint="one",outcome="wrong"} 0.0' in shown
    assert 'sworn_claims_checked_total{verdict="failed"} 0.0' in shown
    telemetry.rpc("one", "wrong", 0.1)
    assert 'outcome="wrong"} 1.0' in telemetry.exposition("")[0].decode()


def test_every_value_whose_increase_alarms_is_awaited() -> None:
    """An alert over another value of a label needs that value shown from the beginning, too."""
    text = "\n".join(
        rule["expr"]
        for group in yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
        for rule in group["rules"]
    )
    asked = re.findall(r'increase\((sworn_\w+)_total\{\w+="(\w+)"\}', text)

    assert len(asked) >= 4
    assert [(name, value) for name, value in asked if value not in COUNTERS[name].awaited] == []
