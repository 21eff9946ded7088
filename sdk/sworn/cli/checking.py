"""`sworn model compile|run|trace|audit|slack`: a model as anyone can check it, on this machine, without a chain."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group
from rich.padding import Padding
from rich.text import Text

from sworn.cli.checking_progress import bar, watched
from sworn.cli.checking_slack import slack_document, slack_text
from sworn.cli.checking_steps import step_facts, step_notes, step_table
from sworn.cli.command import command
from sworn.cli.exit_codes import ExitCode
from sworn.cli.output import array, facts
from sworn.cli.session import Session
from sworn.cli.values import ShapeOption, parse_shapes, parse_tensors
from sworn.types import Profile

if TYPE_CHECKING:
    from sworn.verification import CompiledModel, Fault


class Checkable(Enum):
    """Profiles in which every element of a run can be checked."""

    EXACT = "exact"
    BOUNDED = "bounded"


FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="An .onnx file.")]
ProfileOption = Annotated[
    Checkable,
    typer.Option("--profile", help="exact: the same bits everywhere. bounded: faster, within stated bounds."),
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
    command(group, "slack")(_slack)


def _compile(
    session: Session, file: FileArgument, shape: ShapeOption = None, profile: ProfileOption = Checkable.EXACT
) -> None:
    """Compiles a model to its canonical program: one step per tensor, each of them checkable."""
    compiled = _compiled(session, file, shape, profile)
    steps = [step_facts(compiled, number) for number in range(len(compiled.program.steps))]
    head = _identity(compiled) | {
        "steps": len(steps),
        "weights_bytes": sum(weight.nbytes for weight in compiled.weights),
        "rules": dict(Counter(step["rule"] for step in steps)),
    }
    rules = ", ".join(f"{count} {rule.name.lower()}" for rule, count in head["rules"].items())
    human = Group(facts(head | {"rules": rules}), Padding(step_table(steps), (1, 0)), step_notes(steps))
    session.output.result(head | {"program": steps}, human)


def _run(
    session: Session,
    file: FileArgument,
    shape: ShapeOption = None,
    input_: InputOption = None,
    inputs: InputsOption = None,
    profile: ProfileOption = Checkable.EXACT,
) -> None:
    """Runs a model; in profile exact, the same bits on every machine."""
    tensors = parse_tensors(input_ or [], inputs)
    compiled = _compiled(session, file, shape, profile)
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
    profile: ProfileOption = Checkable.EXACT,
) -> None:
    """Runs a model and commits to every tensor of the run."""
    tensors = parse_tensors(input_ or [], inputs)
    compiled = _compiled(session, file, shape, profile)
    with bar(session.output, "tracing") as advance:
        trace = watched(compiled, advance).trace(tensors)
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
    profile: ProfileOption = Checkable.EXACT,
) -> None:
    """Traces a run and checks every element of every step again, as a challenger would."""
    tensors = parse_tensors(input_ or [], inputs)
    compiled = _compiled(session, file, shape, profile)
    with bar(session.output, "tracing") as advance:
        trace = watched(compiled, advance).trace(tensors)
    with bar(session.output, "auditing") as advance:
        faults = watched(compiled, advance).audit(trace)
    checked = sum(step.output.elements for step in compiled.program.steps)
    head: dict[str, Any] = {
        "model_id": compiled.model_id,
        "profile": compiled.model.profile,
        "trace_root": trace.root,
        "elements_checked": checked,
    }
    human = Group(facts(head), Padding(_verdict(faults, compiled.model.profile), (1, 0, 0, 0)))
    session.output.result(head | {"faults": [str(fault) for fault in faults]}, human)
    if faults:
        raise typer.Exit(int(ExitCode.FAILED))


def _verdict(faults: Sequence[Fault], profile: Profile) -> Text:
    if faults:
        return Text("\n".join(map(str, faults)), style="red")
    kept = "has the bits that" if profile is Profile.EXACT else "lies within the bounds of what"
    return Text(f"Nothing is wrong: every element {kept} its operands give.")


def _slack(
    session: Session,
    file: FileArgument,
    shape: ShapeOption = None,
    input_: InputOption = None,
    inputs: InputsOption = None,
    profile: ProfileOption = Checkable.BOUNDED,
    examine: Annotated[
        int, typer.Option(min=1, metavar="N", help="Elements of each output that are looked at, the greatest first.")
    ] = 16,
) -> None:
    """Measures how far an adversary could push a run's outputs within the bounds of profile bounded."""
    from sworn.verification.slack import measure

    tensors = parse_tensors(input_ or [], inputs)
    compiled = _compiled(session, file, shape, profile)
    with bar(session.output, "pushing") as advance:
        slack = measure(compiled, tensors, examined=examine, progress=advance)
    head = {"model_id": compiled.model_id, "profile": compiled.model.profile}
    human = Group(facts(head), Padding(slack_text(slack), (1, 0, 0, 0)))
    session.output.result(head | slack_document(slack), human)


def _compiled(session: Session, file: Path, shapes: list[str] | None, profile: Checkable) -> CompiledModel:
    import sworn

    with session.output.busy("compiling the model"):
        return sworn.compile_model(file, profile=profile.value, input_shapes=parse_shapes(shapes))


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
