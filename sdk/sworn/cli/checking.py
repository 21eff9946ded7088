"""`sworn model compile|run|trace|audit`: a model as anyone can check it, on this machine, without a chain."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Group
from rich.table import Table
from rich.text import Text

from sworn.cli.command import command
from sworn.cli.exit_codes import ExitCode
from sworn.cli.output import array, facts
from sworn.cli.session import Session
from sworn.cli.values import parse_tensors
from sworn.codec.tensors import describe
from sworn.errors import CodecError

if TYPE_CHECKING:
    from sworn.model.program import Step
    from sworn.verification import CompiledModel

#: Steps that a table shows; --json has all.
_MAX_STEPS: Final = 60

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="An .onnx file.")]
ShapeOption = Annotated[
    list[str] | None,
    typer.Option("--shape", metavar="NAME=1,3,32", help="Shape of an input that leaves dimensions open; repeat."),
]
InputOption = Annotated[
    list[str] | None,
    typer.Option("--input", "-i", metavar="NAME=VALUE", help="name=@file.npy or name=[[1.0, 2.0]]; repeat."),
]
InputsOption = Annotated[
    Path | None, typer.Option("--inputs", metavar="FILE", help="All inputs by name, as .json or .npz.")
]


def register(group: typer.Typer) -> None:
    """Adds the commands to `sworn model`."""
    command(group, "compile")(_compile)
    command(group, "run")(_run)
    command(group, "trace")(_trace)
    command(group, "audit")(_audit)


def _compile(session: Session, file: FileArgument, shape: ShapeOption = None) -> None:
    """Compiles a model to its canonical program in profile exact: one step per tensor, each of them checkable."""
    compiled = _compiled(session, file, shape)
    steps = [_step(compiled, number) for number in range(len(compiled.program.steps))]
    head = _identity(compiled) | {
        "steps": len(steps),
        "weights_bytes": sum(weight.nbytes for weight in compiled.weights),
        "rules": dict(Counter(step["rule"] for step in steps)),
    }
    session.output.result(head | {"program": steps}, Group(facts(head), _table(steps)))


def _run(
    session: Session,
    file: FileArgument,
    shape: ShapeOption = None,
    input_: InputOption = None,
    inputs: InputsOption = None,
) -> None:
    """Runs a model in profile exact: the same bits on every machine."""
    tensors = parse_tensors(input_ or [], inputs)
    compiled = _compiled(session, file, shape)
    with session.output.busy("running"):
        outputs = compiled.run(tensors)
    human = facts({name: array(value) for name, value in outputs.items()})
    session.output.result({"model_id": compiled.model_id, "outputs": outputs}, human)


def _trace(
    session: Session,
    file: FileArgument,
    shape: ShapeOption = None,
    input_: InputOption = None,
    inputs: InputsOption = None,
) -> None:
    """Runs a model and commits to every tensor of the run."""
    tensors = parse_tensors(input_ or [], inputs)
    compiled = _compiled(session, file, shape)
    with session.output.busy("tracing"):
        trace = compiled.trace(tensors)
        root, roots = trace.root, trace.tensor_roots
    head = {"model_id": compiled.model_id, "trace_root": root, "tensors": len(roots)}
    outputs = {name: array(value) for name, value in trace.outputs.items()}
    session.output.result(
        head | {"outputs": trace.outputs, "tensor_roots": list(roots)}, Group(facts(head), facts(outputs))
    )


def _audit(
    session: Session,
    file: FileArgument,
    shape: ShapeOption = None,
    input_: InputOption = None,
    inputs: InputsOption = None,
) -> None:
    """Traces a run and checks every element of every step again, as a challenger would."""
    tensors = parse_tensors(input_ or [], inputs)
    compiled = _compiled(session, file, shape)
    with session.output.busy("tracing"):
        trace = compiled.trace(tensors)
    with session.output.busy("auditing"):
        faults = compiled.audit(trace)
    checked = sum(step.output.elements for step in compiled.program.steps)
    document: dict[str, Any] = {
        "model_id": compiled.model_id,
        "trace_root": trace.root,
        "elements_checked": checked,
        "faults": [str(fault) for fault in faults],
    }
    session.output.result(document)
    if faults:
        raise typer.Exit(int(ExitCode.FAILED))


def _compiled(session: Session, file: Path, shapes: list[str] | None) -> CompiledModel:
    import sworn

    with session.output.busy("compiling the model"):
        return sworn.compile_model(file, input_shapes=_shapes(shapes or []) or None)


def _shapes(items: list[str]) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for item in items:
        name, mark, sizes = item.partition("=")
        parts = [part.strip() for part in sizes.split(",") if part.strip()]
        if not mark or not name or not all(part.isdecimal() for part in parts):
            raise CodecError(f"--shape {item!r}: write name=1,3,32")
        shapes[name] = tuple(int(part) for part in parts)
    return shapes


def _identity(compiled: CompiledModel) -> dict[str, Any]:
    model = compiled.model
    return {
        "model_id": compiled.model_id,
        "profile": model.profile,
        "artifact_hash": model.artifact_hash,
        "program_root": model.program_root,
        "weights_root": model.weights_root,
        "io_hash": model.io_hash,
        "limits_hash": model.limits_hash,
    }


def _step(compiled: CompiledModel, number: int) -> dict[str, Any]:
    step = compiled.program.steps[number]
    return {
        "number": number,
        "name": compiled.step_names[number],
        "rule": step.rule,
        "tensor": describe(step.output.dtype, step.output.shape),
        "terms": _terms(step),
        "virtual": step.virtual,
    }


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


def _table(steps: list[dict[str, Any]]) -> Table:
    table = Table(box=None, padding=(0, 2), pad_edge=False, header_style="dim")
    for column in ("step", "rule", "tensor", "terms", "of"):
        table.add_column(column, justify="right" if column in ("step", "terms") else "left")
    for step in steps[:_MAX_STEPS]:
        style = "dim" if step["virtual"] else ""
        cells = (str(step["number"]), step["rule"].name.lower(), step["tensor"], str(step["terms"]), step["name"])
        table.add_row(*(Text(cell) for cell in cells), style=style)
    if len(steps) > _MAX_STEPS:
        table.add_row("…", f"and {len(steps) - _MAX_STEPS} more; --json shows all")
    return table
