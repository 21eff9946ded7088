"""The Grafana dashboard of a node: which figures stand beside each other, and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

#: Panels beside each other fill a row of 24 columns.
_COLUMNS = 24
_HEIGHT = 7
_SOURCE = {"type": "prometheus", "uid": "${source}"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One picture: queries with their legends."""

    title: str
    queries: Sequence[tuple[str, str]]
    unit: str = "short"
    #: ``stat`` shows the last value alone.
    kind: str = "timeseries"
    #: From this value on it is shown in red; below it with ``low``.
    alarm: float | None = None
    low: bool = False


def _stat(title: str, query: str, *, unit: str = "short", alarm: float | None = None, low: bool = False) -> Panel:
    return Panel(title=title, queries=((query, ""),), unit=unit, kind="stat", alarm=alarm, low=low)


def _lines(title: str, *queries: tuple[str, str], unit: str = "short") -> Panel:
    return Panel(title=title, queries=queries, unit=unit)


def _quantile(name: str, by: str = "") -> tuple[tuple[str, str], tuple[str, str]]:
    labels = f"le, {by}" if by else "le"
    legend = f" {{{{{by}}}}}" if by else ""
    rates = f"sum by ({labels}) (rate({name}_bucket{{$node}}[$__rate_interval]))"
    return (f"histogram_quantile(0.5, {rates})", f"p50{legend}"), (f"histogram_quantile(0.95, {rates})", f"p95{legend}")


_RATE = "[$__rate_interval]"
#: Rows of the dashboard, each with its heading. What comes from the database or the chain is said by every replica: it
#: is never added up over instances.
ROWS: Sequence[tuple[str, Sequence[Panel]]] = (
    (
        "Is all well?",
        (
            _stat("Ready", "min(sworn_ready{$node})", alarm=1, low=True),
            _stat("Loop turns", "min(sworn_up{$node})", alarm=1, low=True),
            _stat("Overdue", "sum(max by (kind) (sworn_overdue_jobs{$node}))", alarm=1),
            _stat("Next deadline", "min(sworn_deadline_seconds{$node})", unit="s", alarm=60, low=True),
            _stat("Open disputes", 'max(sworn_disputes{$node, state="open"})', alarm=1),
            _stat("Balance", "min(sworn_balance_wei{$node}) / 1e18", unit="ETH", alarm=0.05, low=True),
            _stat("Leaders", "sum(sworn_leader{$node})", alarm=1, low=True),
            _stat("Version", "count by (version) (sworn_build_info{$node})"),
        ),
    ),
    (
        "Work",
        (
            _lines("Requests by status", ("max by (status) (sworn_jobs{$node})", "{{status}}")),
            _lines("Overdue by kind", ("max by (kind) (sworn_overdue_jobs{$node})", "{{kind}}")),
            _lines(
                "Runs per second",
                (f"sum by (model, outcome) (rate(sworn_runs_total{{$node}}{_RATE}))", "{{model}} {{outcome}}"),
            ),
            _lines("Duration of runs", *_quantile("sworn_inference_seconds", "model"), unit="s"),
            _lines("Request to proposed", *_quantile("sworn_request_to_proposed_seconds"), unit="s"),
            _lines("Request to proposed, blocks", *_quantile("sworn_request_to_proposed_blocks")),
            _lines(
                "Engine",
                ("sum(sworn_engine_slots{$node})", "slots"),
                ("sum(sworn_engine_running{$node})", "running"),
                ("sum(sworn_engine_queued{$node})", "queued"),
            ),
            _lines("Engine memory", ("sworn_engine_memory_bytes{$node}", "{{instance}}"), unit="bytes"),
        ),
    ),
    (
        "Disputes and stake",
        (
            _lines("Disputes over our results", ("max by (state) (sworn_disputes{$node})", "{{state}}")),
            _lines(
                "Owed in disputes",
                ("max(sworn_duties{$node})", "answers"),
                ('min(sworn_deadline_seconds{$node, duty="defence"})', "seconds left"),
            ),
            _lines(
                "Stake",
                ("max(sworn_stake_wei{$node}) / 1e18", "all"),
                ("max(sworn_free_stake_wei{$node}) / 1e18", "free"),
                ("max(sworn_bonds_at_risk_wei{$node}) / 1e18", "at risk"),
                unit="ETH",
            ),
            _lines("Balances", ("max by (account) (sworn_balance_wei{$node}) / 1e18", "{{account}}"), unit="ETH"),
            _lines(
                "Result key expires in",
                ("max by (signer) (sworn_signer_expires_seconds{$node})", "{{signer}}"),
                unit="s",
            ),
            _lines(
                "Models",
                ("max(sworn_models_served{$node})", "served"),
                ("sum(max by (model) (sworn_model_offered{$node}))", "offered"),
                ("max(sworn_model_mismatches{$node})", "changed on disk"),
            ),
        ),
    ),
    (
        "Transactions",
        (
            _lines(
                "Steps per second",
                (f"sum by (kind, event) (rate(sworn_transaction_events_total{{$node}}{_RATE}))", "{{kind}} {{event}}"),
            ),
            _lines("By status", ("max by (status) (sworn_transactions{$node})", "{{status}}")),
            _lines(
                "Waiting to be mined",
                ("max(sworn_pending_transactions{$node})", "count"),
                ("max(sworn_pending_oldest_seconds{$node})", "age of the oldest, s"),
            ),
            _lines(
                "Gas paid per hour",
                ("sum by (kind) (max by (account, kind) (delta(sworn_gas_paid_wei{$node}[1h]))) / 1e18", "{{kind}}"),
                ("sum(increase(sworn_fees_wei_total{$node}[1h])) / 1e18", "counted by processes"),
                unit="ETH",
            ),
            _lines(
                "Gas paid in all", ("max by (account, kind) (sworn_gas_paid_wei{$node}) / 1e18", "{{kind}}"), unit="ETH"
            ),
            _lines("Next nonces", ("max by (account, source) (sworn_nonce{$node})", "{{account}} {{source}}")),
            _lines("Base fee", ("max(sworn_base_fee_wei{$node}) / 1e9", "gwei")),
        ),
    ),
    (
        "Chain",
        (
            _lines("Age of the newest block", ("sworn_head_lag_seconds{$node}", "{{instance}}"), unit="s"),
            _lines(
                "Blocks still to be read",
                ("sworn_head_block{$node} - sworn_cursor_block{$node}", "{{instance}}"),
            ),
            _lines(
                "Requests to nodes per second",
                (
                    f"sum by (endpoint, outcome) (rate(sworn_rpc_requests_total{{$node}}{_RATE}))",
                    "{{endpoint}} {{outcome}}",
                ),
            ),
            _lines("Duration of those", *_quantile("sworn_rpc_seconds", "endpoint"), unit="s"),
            _lines("Endpoints used", ("sworn_endpoint_healthy{$node}", "{{endpoint}}")),
            _lines("Endpoints behind, blocks", ("sworn_endpoint_lag_blocks{$node}", "{{endpoint}}")),
            _lines(
                "Reorganisations per hour",
                ("sum(increase(sworn_reorgs_total{$node}[1h]))", "count"),
                (
                    "histogram_quantile(1, sum by (le) (increase(sworn_reorg_depth_blocks_bucket{$node}[1h])))",
                    "deepest, blocks",
                ),
            ),
        ),
    ),
    (
        "Challenger",
        (
            _lines("Others' results", ("max by (status) (sworn_claims{$node})", "{{status}}")),
            _lines(
                "Checks per second",
                (f"sum by (verdict) (rate(sworn_claims_checked_total{{$node}}{_RATE}))", "{{verdict}}"),
            ),
            _lines("Our challenges", ("max by (state) (sworn_challenges{$node})", "{{state}}")),
            _lines("At risk in them", ("max(sworn_exposure_wei{$node}) / 1e18", "ETH"), unit="ETH"),
        ),
    ),
    (
        "Process",
        (
            _lines(
                "Parts: 0 works, 2 does not", ("max by (component) (sworn_component_standing{$node})", "{{component}}")
            ),
            _lines("Turns per second", (f"sum by (outcome) (rate(sworn_turns_total{{$node}}{_RATE}))", "{{outcome}}")),
            _lines("Duration of turns", *_quantile("sworn_turn_seconds"), unit="s"),
            _lines("Silence of the loop", ("sworn_loop_silence_seconds{$node}", "{{instance}}"), unit="s"),
            _lines("Memory", ("process_resident_memory_bytes{$node}", "{{instance}}"), unit="bytes"),
            _lines("CPU", (f"rate(process_cpu_seconds_total{{$node}}{_RATE})", "{{instance}}")),
            _lines("Open files", ("process_open_fds{$node}", "{{instance}}")),
            _lines("Rows by table", ("max by (table) (sworn_database_rows{$node})", "{{table}}")),
            _lines("Database", ("max(sworn_database_bytes{$node})", "size"), unit="bytes"),
            _lines(
                "Traces",
                ("max(sworn_trace_bytes{$node})", "kept"),
                ("min(sworn_trace_free_bytes{$node})", "room left"),
                unit="bytes",
            ),
            _lines("Loaded models", ("sworn_model_info{$node}", "{{model}} {{profile}}")),
        ),
    ),
)


def dashboard() -> dict[str, Any]:
    """As Grafana imports it."""
    return {
        "title": "sworn node",
        "uid": "sworn-node",
        "tags": ["sworn"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": _variables()},
        "panels": list(_panels()),
    }


def _variables() -> list[dict[str, Any]]:
    return [
        {"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"},
        {
            "name": "instance",
            "label": "Node",
            "type": "query",
            "datasource": _SOURCE,
            "query": {"query": "label_values(sworn_up, instance)", "refId": "instances"},
            "refresh": 2,
            "includeAll": True,
            "multi": True,
            "current": {"text": "All", "value": "$__all"},
        },
    ]


def _panels() -> Iterator[dict[str, Any]]:
    number, top = 0, 0
    for heading, panels in ROWS:
        number += 1
        yield {
            "id": number,
            "type": "row",
            "title": heading,
            "collapsed": False,
            "panels": [],
            "gridPos": {"x": 0, "y": top, "w": _COLUMNS, "h": 1},
        }
        top += 1
        width = 3 if panels[0].kind == "stat" else 6
        for place, panel in enumerate(panels):
            number += 1
            row, column = divmod(place, _COLUMNS // width)
            height = 4 if panel.kind == "stat" else _HEIGHT
            grid = {"x": column * width, "y": top + row * height, "w": width, "h": height}
            yield _panel(panel, number, grid)
        height = 4 if panels[0].kind == "stat" else _HEIGHT
        top += height * -(-len(panels) * width // _COLUMNS)


def _panel(panel: Panel, number: int, grid: dict[str, int]) -> dict[str, Any]:
    targets = [
        {
            "refId": chr(ord("A") + place),
            "datasource": _SOURCE,
            "expr": query.replace("$node", 'instance=~"$instance"'),
            "legendFormat": legend or "__auto",
        }
        for place, (query, legend) in enumerate(panel.queries)
    ]
    defaults: dict[str, Any] = {"unit": panel.unit if panel.unit != "ETH" else "none"}
    if panel.alarm is not None:
        usual, alarming = ("red", "green") if panel.low else ("green", "red")
        steps = [{"color": usual, "value": None}, {"color": alarming, "value": panel.alarm}]
        defaults["thresholds"] = {"mode": "absolute", "steps": steps}
    title = f"{panel.title}, ETH" if panel.unit == "ETH" else panel.title
    drawn: dict[str, Any] = {
        "id": number,
        "type": panel.kind,
        "title": title,
        "datasource": _SOURCE,
        "gridPos": grid,
        "targets": targets,
        "fieldConfig": {"defaults": defaults, "overrides": []},
    }
    if panel.title == "Version":
        drawn["options"] = {"textMode": "name"}
    return drawn
