"""`sworn verify`: runs an answered request again and says whether the answer holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sworn.cli.command import CHAIN, command
from sworn.cli.exit_codes import ExitCode
from sworn.cli.output import facts
from sworn.cli.session import Session
from sworn.cli.values import RequestArgument, ShapeOption, parse_shapes, parse_tensors

if TYPE_CHECKING:
    from sworn.client import Verification

ModelOption = Annotated[
    Path | None, typer.Option("--model", metavar="FILE", help="The .onnx file; by default from its mirrors.")
]
TraceOption = Annotated[
    Path | None, typer.Option("--trace", metavar="FILE", help="The operator's trace file, which is audited.")
]
InputOption = Annotated[
    list[str] | None,
    typer.Option("--input", "-i", metavar="NAME=VALUE", help="Inputs of a request by reference; repeat."),
]
InputsOption = Annotated[Path | None, typer.Option("--inputs", metavar="FILE", help="The same, as .json or .npz.")]

#: How a verdict looks.
_STYLES: Final = (
    ("confirmed", "✓", "bold green"),
    ("admissible", "✓", "bold green"),
    ("undecided", "?", "bold yellow"),
    ("false", "✗", "bold red"),
    ("uncheckable", "–", "bold yellow"),
)


def register(app: typer.Typer) -> None:
    """Adds `verify`."""
    command(app, "verify", options=CHAIN)(_verify)


def _verify(
    session: Session,
    request_id: RequestArgument,
    model: ModelOption = None,
    shape: ShapeOption = None,
    trace: TraceOption = None,
    input_: InputOption = None,
    inputs: InputsOption = None,
) -> None:
    """Runs an answered request again on this machine, compares, and says what differs.

    Exit status 0 when the answer was checked and holds, 1 when it is false or nothing could be said about it.
    """
    materials = given(model=model, shape=shape, trace=trace, input_=input_, inputs=inputs)
    session.connect()
    with session.output.busy("running it again"):
        found = session.client.verify(request_id, **materials)
    session.output.result(_facts(found), _shown(found))
    if not found.holds:
        raise typer.Exit(int(ExitCode.FAILED))


def given(
    *,
    model: Path | None,
    shape: list[str] | None,
    trace: Path | None,
    input_: list[str] | None,
    inputs: Path | None,
) -> dict[str, Any]:
    """What a person brings to run an answer again, as the client takes it. Raises `CodecError`."""
    return {
        "model": model,
        "input_shapes": parse_shapes(shape),
        "trace": trace,
        "inputs": parse_tensors(input_ or [], inputs) if input_ or inputs is not None else None,
    }


def _facts(found: Verification) -> dict[str, Any]:
    return {
        "verdict": found.verdict,
        "holds": found.holds,
        "reason": found.reason,
        "next_step": found.next_step,
        "differences": list(found.differences),
        "faults": list(found.faults),
        "request_id": found.request_id,
        "result_id": found.result_id,
        "status": found.status,
        "profile": found.profile,
        "model_id": found.model_id,
        "operator": found.operator,
        "sworn": found.sworn,
        "recomputed": found.recomputed,
    }


def _shown(found: Verification) -> RenderableType:
    mark, style = next((mark, style) for value, mark, style in _STYLES if value == found.verdict.value)
    head = Text(f"{mark} {found.verdict.value}  ", style=style).append(found.reason, style="default")
    parts: list[RenderableType] = [head]
    if found.differences:
        parts += [Text(), _differences(found)]
    if found.faults:
        parts += [Text(), Text("\n".join(f"fault: {fault}" for fault in found.faults), style="red")]
    known = {
        name: value
        for name, value in _facts(found).items()
        if name in ("next_step", "request_id", "result_id", "status", "profile", "model_id", "operator")
    }
    return Group(*parts, Text(), facts(known))


def _differences(found: Verification) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("output", "first at", "sworn", "recomputed", "differ", "by at most"):
        table.add_column(column, style="bold" if column == "output" else None)
    for each in found.differences:
        index = ", ".join(map(str, each.index))
        counted = f"{each.count} of {each.elements}"
        table.add_row(each.output, f"[{index}]", str(each.sworn), str(each.recomputed), counted, f"{each.largest:.6g}")
    return table
