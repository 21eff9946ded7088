"""`sworn model`: what an .onnx file is, and how it gets on chain."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group
from rich.table import Table
from rich.text import Text

from sworn.cli import checking, models_files, models_where
from sworn.cli.command import SIGNING, command
from sworn.cli.output import facts
from sworn.cli.session import Session
from sworn.cli.values import DEFAULT, ProfileOption, Profiles, ShapeOption, parse_shapes
from sworn.codec.tensors import describe
from sworn.types import Profile, Schema, TensorSpec

if TYPE_CHECKING:
    from sworn.engine.protocol import IdentifiedModel

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="An .onnx file.")]
UriOption = Annotated[
    list[str] | None, typer.Option("--uri", metavar="URI", help="A mirror of the file; may be repeated.")
]


def register(app: typer.Typer) -> None:
    """Adds `model`."""
    group = typer.Typer(name="model", help="Models: identity, schema, registration, checking.", no_args_is_help=True)
    command(group, "id")(_id)
    command(group, "inspect")(_inspect)
    command(group, "register", options=SIGNING)(_register)
    models_files.register(group)
    models_where.register(group)
    checking.register(group)
    app.add_typer(group)


def _id(session: Session, file: FileArgument, profile: ProfileOption = DEFAULT, shape: ShapeOption = None) -> None:
    """Computes the id of a model from its .onnx file; nothing is asked of any chain."""
    identity = _identified(session, file, profile, shape).model_id
    session.output.result({"model_id": identity}, "0x" + identity.hex())


def _inspect(session: Session, file: FileArgument, profile: ProfileOption = DEFAULT, shape: ShapeOption = None) -> None:
    """Shows what a model takes and gives, what its results promise, and everything that its id is computed from."""
    identified = _identified(session, file, profile, shape)
    model, schema = identified.model, identified.schema
    roots = {"program_root": model.program_root, "weights_root": model.weights_root, "limits_hash": model.limits_hash}
    identity: dict[str, Any] = {
        "model_id": identified.model_id,
        "profile": model.profile,
        "promise": model.profile.promise,
        "artifact_hash": model.artifact_hash,
        "artifact_bytes": len(identified.source.artifact),
        "io_hash": model.io_hash,
        **(roots if any(map(any, roots.values())) else {}),
        "version": model.version,
    }
    document = identity | {"inputs": _tensors(schema.inputs), "outputs": _tensors(schema.outputs)}
    session.output.result(document, Group(facts(identity), _table(schema)))


def _identified(session: Session, file: Path, profile: Profiles, shape: list[str] | None) -> IdentifiedModel:
    from sworn.engine.identification import identify, profile_of
    from sworn.engine.protocol import ModelSource
    from sworn.model import read_artifact

    shapes = parse_shapes(shape) or {}
    source = ModelSource(artifact=read_artifact(file), profile=profile_of(profile.value), input_shapes=shapes)
    with session.output.busy("compiling the model"):
        return identify(source)


def _register(
    session: Session,
    file: FileArgument,
    uri: UriOption = None,
    profile: ProfileOption = DEFAULT,
    shape: ShapeOption = None,
) -> None:
    """Registers a model under its content address and publishes mirrors of its file; does nothing twice."""
    session.connect(signing=True)
    with session.output.busy("registering the model"):
        identity = session.client.register_model(
            file, uris=tuple(uri or ()), profile=profile.value, input_shapes=parse_shapes(shape)
        )
    promise = Profile[profile.name].promise
    document = {"model_id": identity, "profile": profile, "promise": promise, "published": list(uri or ())}
    session.output.result(document)


def _tensors(specs: tuple[TensorSpec, ...]) -> list[dict[str, Any]]:
    return [{"name": spec.name, "dtype": spec.dtype, "shape": list(spec.shape)} for spec in specs]


def _table(schema: Schema) -> Table:
    table = Table(box=None, padding=(0, 2), pad_edge=False, header_style="dim")
    for column in ("", "name", "type"):
        table.add_column(column)
    for side, specs in (("input", schema.inputs), ("output", schema.outputs)):
        for spec in specs:
            table.add_row(side, Text(spec.name), Text(describe(spec.dtype, spec.shape)))
    return table
