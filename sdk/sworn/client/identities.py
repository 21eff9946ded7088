"""Who and what the caller means: accounts, operators, models, ids."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Protocol

from eth_account.signers.local import LocalAccount
from eth_utils.address import is_address, to_checksum_address

from sworn.chain.signer import LocalSigner, Signer
from sworn.client.records import ModelLike, ResolvedModel
from sworn.client.terms import ANY, OperatorLike
from sworn.codec.hashing import io_hash
from sworn.codec.hashing import model_id as id_of
from sworn.errors import ArtifactCorrupt, ConfigurationError
from sworn.model import identify, read_artifact, schema_of
from sworn.types import Address, Model, ModelId, RequestId, Schema

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


def resolved_model(model: ModelLike) -> ResolvedModel:
    """A model from its id (bytes or hex), from the path of an .onnx file, or from the bytes of one.

    Raises `ModelError` when the file cannot be used, `ConfigurationError` when nothing is meant by it.
    """
    if isinstance(model, bytes):
        return ResolvedModel(model_id=ModelId(model)) if len(model) == _ID_BYTES else from_artifact(model)
    if isinstance(model, str) and len(model) == 2 + 2 * _ID_BYTES and model.startswith("0x"):
        return ResolvedModel(model_id=ModelId(_unhexed(model)))
    if isinstance(model, str | os.PathLike):
        return from_artifact(read_artifact(Path(model).expanduser()))
    raise ConfigurationError(f"a model is an id, a path or the bytes of an .onnx file, not {type(model).__name__}")


def from_artifact(artifact: bytes) -> ResolvedModel:
    """Everything about a model from its artifact. Raises `ModelError`."""
    model, schema = identify(artifact)
    return ResolvedModel(model_id=id_of(model), schema=schema, model=model, artifact=artifact)


def schema_from(artifact: bytes, *, expected: Model) -> Schema:
    """The schema in an artifact that has been fetched for a registered model.

    Raises `ArtifactCorrupt` when the artifact is another one or its schema is not the registered one.
    """
    schema = schema_of(artifact)
    if hashlib.sha256(artifact).digest() != expected.artifact_hash or io_hash(schema) != expected.io_hash:
        raise ArtifactCorrupt("the artifact is not the registered model's")
    return schema


def _word(value: bytes, *, what: str) -> bytes:
    if len(value) != _ID_BYTES:
        raise ConfigurationError(f"a {what} has {_ID_BYTES} bytes, not {len(value)}")
    return value


def _unhexed(text: str) -> bytes:
    try:
        return bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        raise ConfigurationError(f"not hexadecimal: {text!r}") from None
