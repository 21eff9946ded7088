"""Records as ABI tuples and back, field by field in the order of their twins in `contracts/types`.

Tuples hold python ints, bytes, bools and checksummed address strings. What comes from a chain is turned into records
with ids and enums as types; unknown enum members and wrong sizes raise `CodecError`.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from functools import lru_cache
from typing import Any, TypeVar

from eth_abi.abi import encode as _abi_encode
from eth_abi.exceptions import EncodingError
from eth_utils.address import is_address, to_checksum_address

from sworn.errors import CodecError
from sworn.types import (
    Address,
    Answer,
    Assurance,
    CallbackKind,
    Failure,
    FailureCode,
    Model,
    ModelId,
    Offer,
    Profile,
    Request,
    RequestId,
    RequestState,
    Result,
    Status,
)

REQUEST_PARAMS_ABI = "(bytes32,bytes32,address,address,uint96,uint32,uint32,uint40,uint8,bytes32)"
REQUEST_ABI = "(bytes32,bytes32,address,address,address,uint96,uint96,uint32,uint32,uint40,uint8,bytes32)"
RESULT_ABI = "(bytes32,bytes32,bytes32,bytes32,bytes32,address,uint64)"
ANSWER_ABI = "(address,bytes32,bytes)"
FAILURE_ABI = "(bytes32,address,uint8)"
MODEL_ABI = "(uint16,uint8,bytes32,bytes32,bytes32,bytes32,bytes32)"
OFFER_ABI = "(bool,uint88,uint88,uint32,uint32)"
REQUEST_STATE_ABI = "(uint8,uint8,uint8,bool,uint32,uint40,bytes20)"

_Member = TypeVar("_Member", bound=IntEnum)


def abi_encode(types: Sequence[str], values: Sequence[Any]) -> bytes:
    """Standard ABI encoding. Raises `CodecError` for values that do not fit their type."""
    try:
        return _abi_encode(types, values)
    except (EncodingError, UnicodeEncodeError) as error:
        raise CodecError(f"cannot be ABI-encoded: {error}") from error


def request_params_to_abi(request: Request) -> tuple[Any, ...]:
    """The `RequestParams` from which the oracle makes this request; requester and fee come from the transaction."""
    return (
        checked_word(request.model_id),
        checked_word(request.input_root),
        checked_address(request.operator),
        checked_address(request.refund_to),
        request.value_at_risk_wei,
        request.callback_gas,
        request.window_s,
        request.deadline,
        int(request.assurance),
        checked_word(request.salt),
    )


def request_to_abi(request: Request) -> tuple[Any, ...]:
    """`Request` as an ABI tuple."""
    return (
        checked_word(request.model_id),
        checked_word(request.input_root),
        checked_address(request.requester),
        checked_address(request.operator),
        checked_address(request.refund_to),
        request.fee_wei,
        request.value_at_risk_wei,
        request.callback_gas,
        request.window_s,
        request.deadline,
        int(request.assurance),
        checked_word(request.salt),
    )


def request_from_abi(values: Sequence[Any]) -> Request:
    """`Request` from an ABI tuple. Raises `CodecError`."""
    fields = checked_fields("Request", values, 12)
    return Request(
        model_id=ModelId(checked_word(fields[0])),
        input_root=checked_word(fields[1]),
        requester=checked_address(fields[2]),
        operator=checked_address(fields[3]),
        refund_to=checked_address(fields[4]),
        fee_wei=checked_int(fields[5]),
        value_at_risk_wei=checked_int(fields[6]),
        callback_gas=checked_int(fields[7]),
        window_s=checked_int(fields[8]),
        deadline=checked_int(fields[9]),
        assurance=checked_member(Assurance, fields[10]),
        salt=checked_word(fields[11]),
    )


def result_to_abi(result: Result) -> tuple[Any, ...]:
    """`Result` as an ABI tuple."""
    return (
        checked_word(result.request_id),
        checked_word(result.model_id),
        checked_word(result.input_root),
        checked_word(result.output_root),
        checked_word(result.trace_root),
        checked_address(result.operator),
        result.expiry,
    )


def result_from_abi(values: Sequence[Any]) -> Result:
    """`Result` from an ABI tuple. Raises `CodecError`."""
    fields = checked_fields("Result", values, 7)
    return Result(
        request_id=RequestId(checked_word(fields[0])),
        model_id=ModelId(checked_word(fields[1])),
        input_root=checked_word(fields[2]),
        output_root=checked_word(fields[3]),
        trace_root=checked_word(fields[4]),
        operator=checked_address(fields[5]),
        expiry=checked_int(fields[6]),
    )


def answer_to_abi(answer: Answer) -> tuple[Any, ...]:
    """`Answer` as an ABI tuple."""
    return (checked_address(answer.operator), checked_word(answer.trace_root), answer.output)


def answer_from_abi(values: Sequence[Any]) -> Answer:
    """`Answer` from an ABI tuple. Raises `CodecError`."""
    fields = checked_fields("Answer", values, 3)
    return Answer(
        operator=checked_address(fields[0]), trace_root=checked_word(fields[1]), output=checked_bytes(fields[2])
    )


def failure_to_abi(failure: Failure) -> tuple[Any, ...]:
    """`Failure` as an ABI tuple."""
    return (checked_word(failure.request_id), checked_address(failure.operator), int(failure.code))


def failure_from_abi(values: Sequence[Any]) -> Failure:
    """`Failure` from an ABI tuple. Raises `CodecError`."""
    subject, operator, code = checked_fields("Failure", values, 3)
    return Failure(
        request_id=RequestId(checked_word(subject)),
        operator=checked_address(operator),
        code=checked_member(FailureCode, code),
    )


def model_to_abi(model: Model) -> tuple[Any, ...]:
    """`Model` as an ABI tuple."""
    return (
        model.version,
        int(model.profile),
        checked_word(model.artifact_hash),
        checked_word(model.program_root),
        checked_word(model.weights_root),
        checked_word(model.io_hash),
        checked_word(model.limits_hash),
    )


def model_from_abi(values: Sequence[Any]) -> Model:
    """`Model` from an ABI tuple. Raises `CodecError`."""
    fields = checked_fields("Model", values, 7)
    return Model(
        version=checked_int(fields[0]),
        profile=checked_member(Profile, fields[1]),
        artifact_hash=checked_word(fields[2]),
        program_root=checked_word(fields[3]),
        weights_root=checked_word(fields[4]),
        io_hash=checked_word(fields[5]),
        limits_hash=checked_word(fields[6]),
    )


def offer_to_abi(offer: Offer) -> tuple[Any, ...]:
    """`Offer` as an ABI tuple."""
    return (offer.active, offer.price_wei, offer.max_value_at_risk_wei, offer.max_window_s, offer.max_callback_gas)


def offer_from_abi(values: Sequence[Any]) -> Offer:
    """`Offer` from an ABI tuple. Raises `CodecError`."""
    fields = checked_fields("Offer", values, 5)
    return Offer(
        active=bool(fields[0]),
        price_wei=checked_int(fields[1]),
        max_value_at_risk_wei=checked_int(fields[2]),
        max_window_s=checked_int(fields[3]),
        max_callback_gas=checked_int(fields[4]),
    )


def request_state_to_abi(state: RequestState) -> tuple[Any, ...]:
    """`RequestState` as an ABI tuple."""
    return (
        int(state.status),
        int(state.pending),
        state.round,
        state.has_barred,
        state.extension_s,
        state.proposed_at,
        checked_bytes(state.result_tag, size=20),
    )


def request_state_from_abi(values: Sequence[Any]) -> RequestState:
    """`RequestState` from an ABI tuple. Raises `CodecError`."""
    fields = checked_fields("RequestState", values, 7)
    return RequestState(
        status=checked_member(Status, fields[0]),
        pending=checked_member(CallbackKind, fields[1]),
        round=checked_int(fields[2]),
        has_barred=bool(fields[3]),
        extension_s=checked_int(fields[4]),
        proposed_at=checked_int(fields[5]),
        result_tag=checked_bytes(fields[6], size=20),
    )


def checked_fields(name: str, values: Sequence[Any], count: int) -> Sequence[Any]:
    """So many values. Raises `CodecError`."""
    if len(values) != count:
        raise CodecError(f"{name} has {count} fields, not {len(values)}")
    return values


def checked_address(value: object) -> Address:
    """A checksummed address. Raises `CodecError`."""
    if not isinstance(value, str | bytes):
        raise CodecError(f"{value!r} is not an address")
    return _checksummed(value)


# A checksum costs a hash, and one process meets the same addresses again and again.
@lru_cache(maxsize=4096)
def _checksummed(value: str | bytes) -> Address:
    if not is_address(value):
        raise CodecError(f"{value!r} is not an address")
    return Address(to_checksum_address(value))


def checked_word(value: object) -> bytes:
    """32 bytes. Raises `CodecError`."""
    # SAFETY: eth_abi pads shorter values without a word, which would hash something else than what was meant.
    return checked_bytes(value, size=32)


def checked_bytes(value: object, *, size: int | None = None) -> bytes:
    """Bytes, of a size if one is given. Raises `CodecError`."""
    if not isinstance(value, bytes | bytearray) or size not in (None, len(value)):
        raise CodecError(f"{value!r} is not {'bytes' if size is None else f'{size} bytes'}")
    return bytes(value)


def checked_int(value: object) -> int:
    """An integer that is no bool. Raises `CodecError`."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise CodecError(f"{value!r} is not an integer")
    return int(value)


def checked_member(enum: type[_Member], value: object) -> _Member:
    """A member of an enum by its number. Raises `CodecError`."""
    try:
        return enum(checked_int(value))
    except ValueError as error:
        raise CodecError(f"{value!r} is not a {enum.__name__}") from error
