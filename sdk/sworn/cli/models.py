"""`sworn model`: what an .onnx file is, and how it gets on chain."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Group
from rich.table import Table
from rich.text import Text

from sworn.cli import checking
from sworn.cli.command import SIGNING, command
from sworn.cli.output import facts
from sworn.cli.session import Session
from sworn.cli.values import ModelArgument
from sworn.codec.tensors import describe
from sworn.errors import ConfigurationError
from sworn.types import Schema, TensorSpec

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
    command(group, "publish", options=SIGNING)(_publish)
    checking.register(group)
    app.add_typer(group)


def _id(session: Session, file: FileArgument) -> None:
    """Computes the id of a model from its .onnx file; nothing is asked of any chain."""
    from sworn.model import model_id

    identity = model_id(file)
    session.output.result({"model_id": identity}, "0x" + identity.hex())


def _inspect(session: Session, file: FileArgument) -> None:
    """Shows what a model takes and gives, and everything that its id is computed from."""
    from sworn.model import identify, model_id, read_artifact

    artifact = read_artifact(file)
    model, schema = identify(artifact)
    identity: dict[str, Any] = {
        "model_id": model_id(artifact),
        "profile": model.profile,
        "artifact_hash": hashlib.sha256(artifact).digest(),
        "artifact_bytes": len(artifact),
        "io_hash": model.io_hash,
        "version": model.version,
    }
    document = identity | {"inputs": _tensors(schema.inputs), "outputs": _tensors(schema.outputs)}
    session.output.result(document, Group(facts(identity), _table(schema)))


def _register(session: Session, file: FileArgument, uri: UriOption = None) -> None:
    """Registers a model under its content address and publishes mirrors of its file; does nothing twice."""
    session.connect(signing=True)
    with session.output.busy("registering the model"):
        identity = session.client.register_model(file, uris=tuple(uri or ()))
    session.output.result({"model_id": identity, "published": list(uri or ())})


def _publish(session: Session, model: ModelArgument, uri: UriOption = None) -> None:
    """Publishes mirrors of a registered model's file; anyone may."""
    if not uri:
        raise ConfigurationError("nothing to publish: give --uri URI")
    session.connect(signing=True)
    record = session.client.model(model)
    with session.output.busy("publishing"):
        for mirror in uri:
            if mirror not in record.uris:
                _send_publish(session, record.model_id, mirror)
    session.output.result({"model_id": record.model_id, "uris": list(dict.fromkeys((*record.uris, *uri)))})


def _send_publish(session: Session, identity: bytes, uri: str) -> None:
    from sworn.abi import interface

    data = interface("ModelRegistry").encode("publish", identity, uri)
    session.transactor.send(to=session.deployment.model_registry, data=data)


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
