"""What operators swear, as a signer gets to see it: the whole EIP-712 statement, and the digest that it must have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sworn.codec.hashing import Domain, failure_digest, failure_typed_data, result_digest, result_typed_data
from sworn.types import Failure, Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One EIP-712 statement. Signers that show or judge what they sign get the fields, never a bare digest."""

    #: 32 bytes, computed here; whatever a signer makes of `typed_data`, its signature has to be over this.
    digest: bytes
    #: As `eth_signTypedData_v4` takes it.
    typed_data: Mapping[str, Any] = field(repr=False)


def result_statement(result: Result, domain: Domain) -> Statement:
    """A result. Raises `CodecError`."""
    return Statement(digest=result_digest(result, domain), typed_data=result_typed_data(result, domain))


def failure_statement(failure: Failure, domain: Domain) -> Statement:
    """A failure. Raises `CodecError`."""
    return Statement(digest=failure_digest(failure, domain), typed_data=failure_typed_data(failure, domain))
