"""The steps of a program as a table: what each computes, and what proving one of its elements wrong would cost."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, Literal

from rich.table import Table
from rich.text import Text

from sworn.codec.tensors import describe

if TYPE_CHECKING:
    from sworn.model.program import Step
    from sworn.verification import CompiledModel

#: Steps that a table shows; --json has all.
_MAX_STEPS: Final = 60
#: Letters of the nodes that a step comes from.
_MAX_ORIGIN: Final = 34
_COLUMNS: Final = ("step", "rule", "tensor", "terms", "bytes", "gas", "of")
_NUMBERS: Final = ("step", "terms", "bytes", "gas")


def step_facts(compiled: CompiledModel, number: int) -> dict[str, Any]:
    """What is told about a step: sizes in bytes, gas as estimated."""
    from sworn.model.footprint import footprint

    step = compiled.program.steps[number]
    proof = footprint(compiled.program, number)
    return {
        "number": number,
        "name": compiled.step_names[number],
        "rule": step.rule,
        "function": getattr(step.body, "function", None),
        "tensor": describe(step.output.dtype, step.output.shape),
        "terms": _terms(step),
        "proof_bytes": proof.proof_bytes,
        "proof_gas": proof.gas,
        "virtual": step.virtual,
    }


def step_table(steps: list[dict[str, Any]]) -> Table:
    """The steps as people read them, within 100 columns."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    rows = [_cells(step) for step in steps[:_MAX_STEPS]]
    for column, name in enumerate(_COLUMNS):
        width = None if name == "of" else max(len(row[column]) for row in [_COLUMNS, *rows])
        side: Literal["left", "right"] = "right" if name in _NUMBERS else "left"
        table.add_column(name, justify=side, min_width=width, no_wrap=True, overflow="ellipsis")
    for step, row in zip(steps, rows, strict=False):
        table.add_row(*map(Text, row), style="dim" if step["virtual"] else "")
    if len(steps) > _MAX_STEPS:
        table.add_row("…", *[""] * (len(_COLUMNS) - 2), f"{len(steps) - _MAX_STEPS} more; --json shows all")
    return table


def step_notes(steps: list[dict[str, Any]]) -> Text:
    """What the table's columns mean."""
    dearest = max((step["proof_gas"] for step in steps), default=0)
    lines = [
        "bytes, gas: of a proof that one element is wrong, at most. Gas is an estimate, no byte being zero.",
        f"The dearest proof takes about {dearest:,} gas.",
    ]
    if any(step["virtual"] for step in steps):
        lines[-1] += " Dim steps are computed only where a run is checked."
    return Text("\n".join(lines), style="dim")


def _cells(step: dict[str, Any]) -> tuple[str, ...]:
    return (
        str(step["number"]),
        _rule(step),
        step["tensor"].replace(", ", ","),
        f"{step['terms']:,}",
        f"{step['proof_bytes']:,}",
        f"{step['proof_gas']:,}",
        _origin(step["name"]),
    )


def _rule(step: dict[str, Any]) -> str:
    """A pointwise step by its function, as the others by their rule."""
    named = step["rule"] if step["function"] is None else step["function"]
    return str(named.name.lower().replace("_", " "))


def _origin(name: str) -> str:
    """The nodes that a step comes from, without what the rule says already; of a long path its end."""
    nodes = []
    for part in name.split(", "):
        operator, _, node = part.partition(": ")[0].partition(" ")
        nodes.append(operator if not node else node if node.endswith(operator) else f"{operator} {node}")
    text = ", ".join(nodes)
    return text if len(text) <= _MAX_ORIGIN else f"…{text[1 - _MAX_ORIGIN :]}"


def _terms(step: Step) -> int:
    """Elements that one element of the step is computed from, at most; the cost of proving it wrong grows with them."""
    from sworn.model.program import Contract, Copy, Extremum, Pointwise, Rank

    match step.body:
        case Contract() as body:
            return math.prod(reduction.extent for reduction in body.reductions)
        case Extremum() as body:
            return math.prod(reduction.extent for reduction in body.reductions)
        case Rank() as body:
            return body.extent
        case Pointwise() as body:
            return len(body.operands)
        case Copy():
            return 1
        case _:
            return 2
