"""What `sworn doctor` finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

from rich.table import Table
from rich.text import Text

from sworn.cli.exit_codes import exit_code_for
from sworn.errors import SwornError
from sworn.watcher.status import Component, Standing


class Verdict(Enum):
    """What a check came to."""

    OK = "ok"
    #: Works, but limits something.
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One check's outcome."""

    check: str
    verdict: Verdict
    detail: str
    #: What to do about it; empty when nothing is to be done.
    advice: str = ""


#: Checks by name, each run only when its turn comes.
Checks = Iterator[tuple[str, Callable[[], list[Finding]]]]


def good(check: str, detail: str) -> Finding:
    """A check that has passed."""
    return Finding(check=check, verdict=Verdict.OK, detail=detail)


def poor(check: str, detail: str, advice: str) -> Finding:
    """A check that has passed with a limitation."""
    return Finding(check=check, verdict=Verdict.WARN, detail=detail, advice=advice)


def bad(check: str, detail: str, advice: str) -> Finding:
    """A check that has failed."""
    return Finding(check=check, verdict=Verdict.FAIL, detail=detail, advice=advice)


def failure(check: str, error: SwornError) -> Finding:
    """The finding that an error is."""
    return bad(check, str(error), exit_code_for(error)[1])


def finding_of(component: Component, *, check: str | None = None) -> Finding:
    """A part of a running daemon as a finding."""
    verdict = {Standing.OK: Verdict.OK, Standing.WARN: Verdict.WARN, Standing.FAIL: Verdict.FAIL}[component.standing]
    name = component.name if check is None else check
    return Finding(check=name, verdict=verdict, detail=component.detail, advice=component.advice)


def plain_findings(findings: list[Finding]) -> dict[str, Any]:
    """The findings for machines."""
    checks = [
        {
            "check": finding.check,
            "verdict": finding.verdict,
            "detail": finding.detail,
            "advice": finding.advice,
        }
        for finding in findings
    ]
    return {"ok": not any(finding.verdict is Verdict.FAIL for finding in findings), "checks": checks}


def findings_table(findings: list[Finding]) -> Table:
    """The findings for people."""
    styles = {Verdict.OK: "green", Verdict.WARN: "yellow", Verdict.FAIL: "bold red"}
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        text = Text(finding.detail)
        if finding.advice:
            text.append(f"\n→ {finding.advice}", style="yellow")
        table.add_row(Text(finding.verdict.value, style=styles[finding.verdict]), Text(finding.check), text)
    return table
