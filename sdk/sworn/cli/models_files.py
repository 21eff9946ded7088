"""`sworn model publish|fetch|pin|unpin|list`: where model files are, and how they get there."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from sworn.cli.command import CHAIN, SIGNING, command
from sworn.cli.output import short
from sworn.cli.session import Session
from sworn.cli.values import DEFAULT, ModelArgument, ProfileOption, ShapeOption, parse_shapes
from sworn.errors import ArtifactError, ArtifactUnavailable, ConfigurationError
from sworn.types import ModelId

if TYPE_CHECKING:
    from sworn.client import ModelRecord
    from sworn.storage.shelf import Entry

UriOption = Annotated[
    list[str] | None, typer.Option("--uri", metavar="URI", help="A mirror of the file to announce; may be repeated.")
]
ToOption = Annotated[
    list[str] | None,
    typer.Option(
        "--to",
        metavar="TARGET",
        help="Uploads the file: s3://bucket/{sha256}, gs://…, az://…, ipfs+http://127.0.0.1:5001 or /folder/; repeat.",
    ),
]
HolderOption = Annotated[str, typer.Option("--holder", metavar="NAME", help="Whose pin; see `sworn model list`.")]


def register(group: typer.Typer) -> None:
    """Adds the commands to `model`."""
    command(group, "publish", options=SIGNING)(_publish)
    command(group, "fetch", options=CHAIN)(_fetch)
    command(group, "pin", options=CHAIN)(_pin)
    command(group, "unpin", options=CHAIN)(_unpin)
    command(group, "list", options=CHAIN)(_list)


def _publish(
    session: Session,
    model: ModelArgument,
    to: ToOption = None,
    uri: UriOption = None,
    announce: Annotated[bool, typer.Option("--announce", help="Announces uploads on chain.")] = False,
    unverified: Annotated[bool, typer.Option("--unverified", help="Announces --uri without fetching it.")] = False,
    profile: ProfileOption = DEFAULT,
    shape: ShapeOption = None,
) -> None:
    """Uploads a model's file, fetches it back, and announces on chain where it can be had; anyone may."""
    if not (to or uri):
        raise ConfigurationError(
            "nothing to publish: give --to TARGET to upload the file, or --uri URI to announce one"
        )
    named = Path(model).expanduser().is_file()
    if uri or announce:
        session.connect(signing=True)
    meant: dict[str, Any] = {"profile": profile.value, "input_shapes": parse_shapes(shape)}
    artifact_hash = b""
    uploaded: list[str] = []
    if to:
        artifact = _artifact(session, model)
        artifact_hash = hashlib.sha256(artifact).digest()
        uploaded = [_uploaded(session, target, artifact) for target in to]
    document: dict[str, Any] = {"uploaded": uploaded}
    announced = [*(uri or ()), *(uploaded if announce else ())]
    if announced:
        if named and announce:
            session.client.register_model(model, **meant)
        record = session.client.model(model, **meant)
        artifact_hash = record.model.artifact_hash
        _check(session, announced if not unverified else uploaded if announce else [], artifact_hash)
        uris = _announce(session, record, announced)
        document |= {"model_id": record.model_id, "announced": announced, "uris": uris}
    session.output.result({"artifact_hash": artifact_hash} | document)


def _artifact(session: Session, model: str) -> bytes:
    from sworn.client.identities import named_model

    named = named_model(model)
    if isinstance(named, bytes):
        return named
    record = session.reader.model(model)
    with session.output.busy("fetching the file"):
        return session.artifacts.get(record.model.artifact_hash, uris=record.uris)


def _uploaded(session: Session, target: str, artifact: bytes) -> str:
    from sworn.storage.fetching import mask_uri
    from sworn.storage.publishing import upload

    with session.output.busy(f"uploading to {mask_uri(target)}"):
        uri = upload(target, artifact)
        try:
            session.artifacts.verify(uri, hashlib.sha256(artifact).digest(), own=True)
        except ArtifactError as error:
            raise ArtifactUnavailable(
                f"uploaded, but it cannot be fetched back, so nothing is announced: {error}"
            ) from error
    return uri


def _check(session: Session, uris: list[str], artifact_hash: bytes) -> None:
    """Fetches what is to be announced as a stranger would. Raises `ArtifactError`."""
    from sworn.cli.compose_artifacts import stranger_store
    from sworn.storage.publishing import is_public

    useless = [uri for uri in uris if not is_public(uri)]
    if useless:
        raise ConfigurationError(f"nobody else can fetch {useless[0]}: announce an address that others can reach")
    store = stranger_store(None if session.settings is None else session.settings.artifacts)
    for uri in uris:
        with session.output.busy("fetching it as others would"):
            store.verify(uri, artifact_hash)


def _announce(session: Session, record: ModelRecord, uris: list[str]) -> list[str]:
    from sworn.abi import interface

    for uri in dict.fromkeys(uris):
        if uri not in record.uris:
            data = interface("ModelRegistry").encode("publish", record.model_id, uri)
            with session.output.busy("announcing"):
                session.transactor.send(to=session.deployment.model_registry, data=data)
    return list(dict.fromkeys((*record.uris, *uris)))


def _fetch(
    session: Session,
    model_id: Annotated[str, typer.Argument(metavar="MODEL_ID", help="Id of a registered model (0x…).")],
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Writes the file here.")] = None,
    shape: ShapeOption = None,
) -> None:
    """Fetches a registered model's file and recomputes the id from it; it is in the cache afterwards."""
    from sworn.client.identities import schema_from

    record = session.reader.model(_id_of(model_id))
    with session.output.busy("fetching the file"):
        artifact = session.artifacts.get(record.model.artifact_hash, uris=record.uris)
    with session.output.busy("compiling the model"):
        # SAFETY: compared with the registered model, and so with the id: the registry computes ids itself.
        schema_from(artifact, expected=record.model, input_shapes=parse_shapes(shape) or {})
    target = session.artifacts.shelf.path(record.model.artifact_hash)
    if output is not None:
        target = _written(output.expanduser(), artifact)
    session.output.result(
        {
            "model_id": record.model_id,
            "profile": record.model.profile,
            "artifact_hash": record.model.artifact_hash,
            "bytes": len(artifact),
            "file": target,
        }
    )


def _written(path: Path, artifact: bytes) -> Path:
    from sworn.storage.files import write_whole

    try:
        if path.exists() and path.read_bytes() != artifact:
            raise ConfigurationError(f"{path} exists, and is another file: name one that does not exist")
        write_whole(path, artifact)
    except OSError as error:
        raise ArtifactError(f"cannot write {path}: {error.strerror}") from error
    return path


def _pin(session: Session, model: ModelArgument) -> None:
    """Fetches a model's file and keeps it in the cache, whatever else comes."""
    from sworn.client.identities import named_model

    named = named_model(model)
    if isinstance(named, bytes):
        artifact_hash = hashlib.sha256(named).digest()
        session.artifacts.pin(artifact_hash)
        session.artifacts.put(named)
    else:
        record = session.reader.model(ModelId(named.model_id))
        artifact_hash = record.model.artifact_hash
        session.artifacts.pin(artifact_hash)
        with session.output.busy("fetching the file"):
            session.artifacts.get(artifact_hash, uris=record.uris)
    session.output.result({"artifact_hash": artifact_hash, "pinned": True})


def _unpin(
    session: Session,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A file, a model id, or the hash of a cached file.")],
    holder: HolderOption = "by-hand",
) -> None:
    """Takes a pin off: the file may make room for others."""
    artifact_hash = _cached_hash(session, model)
    session.artifacts.unpin(artifact_hash, holder=holder)
    session.output.result({"artifact_hash": artifact_hash, "pinned": False})


def _cached_hash(session: Session, model: str) -> bytes:
    """The hash of the file that is meant; asks the chain only when it is no cached one."""
    from sworn.client.identities import named_model

    named = named_model(model)
    if isinstance(named, bytes):
        return hashlib.sha256(named).digest()
    known = {entry.artifact_hash for entry in session.artifacts.entries()}
    known |= {pinned for hashes in session.artifacts.shelf.pins.holders().values() for pinned in hashes}
    if named.model_id in known:
        return bytes(named.model_id)
    return session.reader.model(named.model_id).model.artifact_hash


def _list(session: Session) -> None:
    """Lists the cached files, the one that was used last first, and who has pinned them."""
    entries = session.artifacts.entries()
    document = {"bytes": sum(entry.size for entry in entries), "files": [_facts(entry) for entry in entries]}
    session.output.result(document, _table(entries))


def _facts(entry: Entry) -> dict[str, Any]:
    return {
        "artifact_hash": entry.artifact_hash,
        "bytes": entry.size,
        "used_at": int(entry.used_at),
        "pinned_by": list(entry.holders),
    }


def _table(entries: tuple[Entry, ...]) -> Table:
    table = Table(box=None, padding=(0, 2), pad_edge=False, header_style="dim")
    for column in ("artifact", "bytes", "used", "pinned by"):
        table.add_column(column, justify="right" if column == "bytes" else "left")
    for entry in entries:
        used = datetime.fromtimestamp(entry.used_at, tz=UTC).strftime("%Y-%m-%d %H:%M")
        table.add_row(short(entry.artifact_hash, 12), f"{entry.size:,}", used, ", ".join(entry.holders))
    return table


def _id_of(text: str) -> ModelId:
    from sworn.client.identities import named_model

    named = named_model(text)
    if isinstance(named, bytes):
        raise ConfigurationError("this takes the id of a registered model, not a file")
    return ModelId(named.model_id)
