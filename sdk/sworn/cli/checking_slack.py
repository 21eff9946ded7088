"""What `sworn model slack` says: how far the bounds of profile ``bounded`` leave an adversary, in plain sentences."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from math import inf
from typing import TYPE_CHECKING, Any, Final

from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from sworn.verification.slack import MarginSlack, OutputSlack, Slack

#: Choices that are named; --json has all.
_MAX_CHOICES: Final = 5


def slack_document(slack: Slack) -> dict[str, Any]:
    """The figures as JSON has them."""
    return {
        "outputs": [_output(each) for each in slack.outputs],
        "choices": [asdict(each) for each in slack.choices],
        "free_elements": slack.free_elements,
        "runs": slack.runs,
        "checked": slack.checked,
        "is_audited": slack.is_audited,
    }


def slack_text(slack: Slack) -> Group:
    """The figures as people read them: a table, and what it means."""
    return Group(_table(slack), *(Padding(Text(each), (1, 0, 0, 0)) for each in _sentences(slack)))


def _output(output: OutputSlack) -> dict[str, Any]:
    document = asdict(output) | {"relative": output.relative, "relative_estimate": output.relative_estimate}
    if output.margin is not None:
        verdicts = {"is_safe": output.margin.is_safe, "is_lost": output.margin.is_lost}
        document["margin"] = _bounded(document["margin"] | verdicts)
    return _bounded(document)


def _bounded(document: dict[str, Any]) -> dict[str, Any]:
    """JSON knows no infinity: what has no bound is null."""
    return {name: None if value == inf else value for name, value in document.items()}


def _table(slack: Slack) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for name in ("output", "moved by", "of its size", "at most", "lead", "safe above", ""):
        table.add_column(name, justify="left" if name in ("output", "") else "right", no_wrap=name != "output")
    for each in slack.outputs:
        margin = each.margin
        table.add_row(
            Text(each.name),
            number(each.reached),
            percent(each.relative),
            number(each.estimate),
            "–" if margin is None else lead(margin),
            "–" if margin is None else number(margin.safe),
            Text("") if margin is None else _verdict(margin),
        )
    return table


def _verdict(margin: MarginSlack) -> Text:
    if margin.is_lost:
        return Text("lost", style="bold red")
    return Text("safe", style="green") if margin.is_safe else Text("undecided", style="yellow")


def _sentences(slack: Slack) -> Iterator[str]:
    if not slack.outputs:
        yield "No output is a float: integers, such as labels, move only where a choice turns over."
    for each in slack.outputs:
        if each.estimate == 0:
            yield f"{each.name} cannot be moved: nothing that it is computed from has more than one admissible value."
            continue
        yield (
            f"Pushing all {slack.free_elements:,} elements that have room the worst way moved {each.name}[{each.index}]"
            f" by {number(each.reached)}, {percent(each.relative)} of the output's greatest magnitude"
            f" ({number(each.scale)}). {_assurance(slack)}"
            f" To first order no run can move it by more than {number(each.estimate)}."
        )
        if each.margin is not None:
            yield _margin_sentence(each.name, each.margin)
    if slack.choices:
        yield _choices_sentence(slack)


def _assurance(slack: Slack) -> str:
    if slack.is_audited:
        return "Every element of that run lies within its bound: an audit finds nothing wrong."
    return "Elements of that run were put within their bounds; the referee admits each one of a large sample."


def _margin_sentence(name: str, margin: MarginSlack) -> str:
    ahead = f"{name}[{margin.top}] is {lead(margin)} ahead of {name}[{margin.rival}]"
    if margin.is_lost:
        return f"{ahead}. A run within the bounds puts the other first: here the greatest element says nothing."
    if margin.is_safe:
        return f"{ahead}. To first order, leads above {number(margin.safe)} cannot be turned round: this one holds."
    return (
        f"{ahead}. The search took {number(margin.reached)} off it; to first order up to {number(margin.safe)}"
        " could be: whether it can be turned round is open."
    )


def _choices_sentence(slack: Slack) -> str:
    named = ", ".join(each.name for each in slack.choices[:_MAX_CHOICES])
    more = len(slack.choices) - _MAX_CHOICES
    elements = sum(each.elements for each in slack.choices)
    return (
        f"{elements:,} choices (comparisons, ranks, positions) lie so near that they may turn over, in: {named}"
        f"{f' and {more} more' if more > 0 else ''}. What follows from another choice is not in the estimates."
    )


def number(value: float) -> str:
    """Three digits that count; in words where there is no bound."""
    return "anything" if value == inf else f"{value:.3g}"


def lead(margin: MarginSlack) -> str:
    """How far the greatest element is ahead: five digits, since it may be compared with a full one."""
    return f"{margin.margin:.5g}"


def percent(part: float) -> str:
    """A part in per cent, to two digits that count."""
    return f"{100 * part:.2g} %"
