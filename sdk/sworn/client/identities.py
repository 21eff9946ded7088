"""Who and what the caller means: accounts, operators, models, ids."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from eth_account.signers.local import LocalAccount
from eth_utils.address import is_address, to_checksum_address

from sworn.chain.signer import LocalSigner, Signer
from sworn.client.records import KnownModel, ModelLike, ResolvedModel
from sworn.client.terms import ANY, OperatorLike
from sworn.codec.hashing import model_id as id_of
from sworn.engine.identification import ProfileLike, identify
from sworn.engine.protocol import ModelSource
from sworn.errors import ArtifactCorrupt, ConfigurationError, ShapeMismatch
from sworn.model import read_artifact, schema_of
from sworn.types import Address, InputShapes, Model, ModelId, Profile, RequestId, Schema

__all__ = [
    "AccountLike",
    "ProfileLike",
    "RequestLike",
    "address_of",
    "artifact_of",
    "from_source",
    "named_model",
    "operator_of",
    "request_id_of",
    "schema_from",
    "shapes_in",
    "signer_of",
]

_ID_BYTES = 32


class Keyed(Protocol):
    """Anything that carries a request id."""

    @property
    def request_id(self) -> RequestId:
        """32 bytes."""
        ...


AccountLike = str | bytes | LocalAccount | Signer | None
RequestLike = RequestId | bytes | str | Keyed


def signer_of(account: AccountLike) -> Signer | None:
    """A signer for a private key (hex or 32 bytes), an eth-account account, or a signer; None stays None.

    Raises `SignerError` for what is no key.
    """
    if account is None:
        return None
    if isinstance(account, str | bytes):
        return LocalSigner.from_key(account)
    if isinstance(account, LocalAccount):
        return LocalSigner(account)
    return account


def address_of(value: str) -> Address:
    """A checksummed address. Raises `ConfigurationError`."""
    if not is_address(value):
        raise ConfigurationError(f"not an address: {value!r}")
    return Address(to_checksum_address(value))


def operator_of(value: OperatorLike) -> OperatorLike:
    """An operator as the caller names it: an address, "any", or None for the best one."""
    return value if value in (None, ANY) else address_of(value)


def request_id_of(value: RequestLike) -> RequestId:
    """A request id from its bytes, its hex form, or something that carries one. Raises `ConfigurationError`."""
    if isinstance(value, bytes):
        return RequestId(_word(value, what="request id"))
    if isinstance(value, str):
        return RequestId(_word(_unhexed(value), what="request id"))
    return value.request_id


def named_model(model: ModelLike) -> ResolvedModel | bytes:
    """A model from its id (bytes or hex) or from what knows its id; or the bytes of the .onnx file that is named.

    Raises `ModelError` when the file cannot be read, `ConfigurationError` when nothing is meant by it.
    """
    if isinstance(model, bytes):
        return ResolvedModel(model_id=ModelId(model)) if len(model) == _ID_BYTES else model
    if isinstance(model, str) and len(model) == 2 + 2 * _ID_BYTES and model.startswith("0x"):
        return ResolvedModel(model_id=ModelId(_unhexed(model)))
    if isinstance(model, str | os.PathLike):
        return read_artifact(Path(model).expanduser())
    if isinstance(model, KnownModel):
        return ResolvedModel(model_id=model.model_id, schema=model.schema, model=model.model)
    raise ConfigurationError(f"a model is an id, a path or the bytes of an .onnx file, not {type(model).__name__}")


def artifact_of(model: ModelLike) -> bytes:
    """The bytes of the .onnx file that is meant. Raises `ConfigurationError` for an id, and `ModelError`."""
    named = named_model(model)
    if isinstance(named, ResolvedModel):
        raise ConfigurationError("this takes the .onnx file or a compiled model, not an id")
    return named


def from_source(source: ModelSource) -> ResolvedModel:
    """What a model is, computed from its file, which is left out. Raises `ModelError`, `ConfigurationError`."""
    known = identify(source)
    return ResolvedModel(model_id=known.model_id, schema=known.schema, model=known.model)


def shapes_in(artifact: bytes, inputs: Any) -> InputShapes:
    """Shapes of ``inputs`` (values by name) for those inputs of a model whose file leaves dimensions open.

    Raises `ModelError`, and `ShapeMismatch` for nested lists that are no array.
    """
    return {
        spec.name: _shape(spec.name, inputs[spec.name])
        for spec in schema_of(artifact).inputs
        if None in spec.shape and spec.name in inputs
    }


def schema_from(artifact: bytes, *, expected: Model, input_shapes: InputShapes) -> Schema:
    """The schema of a registered model, from its artifact, which may have come from anywhere.

    Raises `ModelError`, and `ArtifactCorrupt` when the artifact is another one, or does not make the registered model
    with these shapes.
    """
    if hashlib.sha256(artifact).digest() != expected.artifact_hash:
        raise ArtifactCorrupt("the artifact is not the registered model's")
    shapes = {} if expected.profile is Profile.SIGNED else input_shapes
    known = identify(ModelSource(artifact=artifact, profile=expected.profile, input_shapes=shapes))
    if known.model_id != id_of(expected):
        given = ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items()) or "those of the file"
        raise ArtifactCorrupt(
            f"the artifact makes another model than the registered one in profile {expected.profile.name.lower()} with "
            f"input shapes {given}: give the shapes with which it was registered, or do not trust its id"
        )
    return known.schema


def _shape(name: str, value: Any) -> tuple[int, ...]:
    try:
        return np.shape(value)
    except ValueError as error:
        raise ShapeMismatch(f"input {name!r} is no array: its rows differ in length") from error


def _word(value: bytes, *, what: str) -> bytes:
    if len(value) != _ID_BYTES:
        raise ConfigurationError(f"a {what} has {_ID_BYTES} bytes, not {len(value)}")
    return value


def _unhexed(text: str) -> bytes:
    try:
        return bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        raise ConfigurationError(f"not hexadecimal: {text!r}") from None
