"""Disputes as people read them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sworn.cli.output import ether, facts, moment, short

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sworn.client import BondPreview, Deadline, DisputeRecord, DisputeReport

_MINUTE_S, _HOUR_S, _DAY_S = 60, 3_600, 86_400
_STYLES: Final = (("open", "bold yellow"), ("refuted", "bold red"), ("upheld", "bold green"), ("none", "dim"))


def shown_list(records: Sequence[DisputeRecord]) -> RenderableType:
    """One line per dispute."""
    if not records:
        return Text("no disputes")
    table = _table("result", "status", "operator", "opened", "ends at the latest", "bond")
    for each in records:
        status = each.status.name.lower()
        times = (moment(each.opened_at), moment(each.ends_at))
        table.add_row("0x" + each.result_id.hex(), _status(status), short(each.operator), *times, ether(each.bond_wei))
    return table


def report_facts(report: DisputeReport) -> dict[str, Any]:
    """A report as names and values."""
    dispute = report.dispute
    return {
        "result_id": report.result_id,
        "request_id": report.request_id,
        "status": report.status,
        "reason": report.reason,
        "next_step": report.next_step,
        "operator": report.result.operator,
        "opener": dispute.opener if dispute.opened_at else None,
        "prover": dispute.prover if int(dispute.prover, 16) else None,
        "bonds_wei": report.bonds_wei,
        "reward_wei": dispute.reward_wei,
        "trace_root": report.trace_root if any(report.trace_root) else None,
        "opened_at": dispute.opened_at or None,
        "closes_at": dispute.closes_at or None,
        "ends_at": report.ends_at,
        "now": report.now,
        "deadlines": list(report.deadlines),
        "challengers": list(report.challengers),
        "demands": list(report.demands),
        "timeline": list(report.timeline),
    }


def shown_report(report: DisputeReport) -> RenderableType:
    """Where it stands, what has happened, who must move."""
    status = report.status.name.lower()
    head = _status({"none": "not challenged"}.get(status, status)).append("  ").append(report.reason, style="default")
    parts: list[RenderableType] = [head, Text(report.next_step, style="dim"), Text()]
    lists = ("reason", "next_step", "status", "deadlines", "challengers", "demands", "timeline")
    parts.append(facts({name: value for name, value in report_facts(report).items() if value and name not in lists}))
    if report.timeline:
        parts += [Text(), _timeline(report)]
    if report.deadlines:
        parts += [Text(), _deadlines(report)]
    return Group(*parts)


def preview_facts(preview: BondPreview) -> dict[str, Any]:
    """What a challenge costs and can bring, as names and values."""
    return {
        "bond_wei": preview.bond_wei,
        "until": moment(preview.until),
        "if_proven_wei": preview.reward_wei,
        "if_not_proven_wei": -preview.risk_wei,
        "operator_loses_wei": preview.slash_wei,
        "nodes_price_wei": preview.nodes_price_wei,
        "chunks_price_wei": preview.chunks_price_wei,
    }


def shown_preview(preview: BondPreview) -> RenderableType:
    """The same, in sentences."""
    hashes, chunks = ether(preview.nodes_price_wei), ether(preview.chunks_price_wei)
    lines = {
        "bond": f"{ether(preview.bond_wei)}, until {moment(preview.until)}",
        "if you prove a fault": f"the bond comes back, with a reward of {ether(preview.reward_wei)} at most",
        "if nobody does": "the whole bond is lost: 70 % to the operator, 30 % to the requester",
        "the operator loses": ether(preview.slash_wei),
        "seeing the trace": f"{hashes} for hashes, {chunks} for 16 chunks",
    }
    return facts(lines)


def span(seconds: int) -> str:
    """A duration in the unit in which people think of it."""
    size = abs(seconds)
    for unit, name in ((_DAY_S, "d"), (_HOUR_S, "h"), (_MINUTE_S, "min")):
        if size >= 2 * unit:
            return f"{size / unit:.0f} {name}" if name == "min" else f"{size / unit:.1f} {name}"
    return f"{size} s"


def _timeline(report: DisputeReport) -> Table:
    table = _table("when", "who", "what", "transaction")
    names = _names(report)
    for each in report.timeline:
        text = each.text if each.amount_wei is None else f"{each.text}: {ether(each.amount_wei)}"
        who = "" if each.who is None else names.get(each.who, short(each.who))
        table.add_row(moment(each.at), who, text, short(each.transaction_hash))
    return table


def _deadlines(report: DisputeReport) -> Table:
    table = _table("who", "can or must", "until", "")
    names = _names(report)
    for each in report.deadlines:
        who = each.who.value if each.account is None else names.get(each.account, short(each.account))
        what = f"must {each.what}" if each.binding else f"may {each.what}"
        table.add_row(who, Text(what, style="bold" if each.binding else ""), *_when(each, report.now))
    return table


def _when(deadline: Deadline, now: int) -> tuple[str, Text]:
    if deadline.since > now:
        until = "" if deadline.until is None else f" to {moment(deadline.until)}"
        return f"from {moment(deadline.since)}{until}", Text(f"opens in {span(deadline.since - now)}", style="dim")
    if deadline.until is None:
        return "any time", Text("now", style="green")
    left = deadline.until - now
    if left < 0:
        return moment(deadline.until), Text(f"{span(left)} too late", style="bold red")
    return moment(deadline.until), Text(f"{span(left)} left", style="yellow" if deadline.binding else "")


def _names(report: DisputeReport) -> dict[str, str]:
    """Parties by their part in it, with the beginning of their address."""
    names: dict[str, str] = {each.account: f"challenger {short(each.account, 4)}" for each in report.challengers}
    return names | {str(report.result.operator): "operator"}


def _status(status: str) -> Text:
    return Text(status, style=next((style for name, style in _STYLES if name == status), "dim"))


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
