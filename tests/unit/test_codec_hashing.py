"""Ids and digests against eth_abi and eth_account."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from eth_abi.abi import encode
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_utils.crypto import keccak

from sworn.codec import structs
from sworn.codec.hashing import (
    Domain,
    domain_separator,
    failure_digest,
    failure_typed_data,
    io_hash,
    model_id,
    recover_signer,
    request_id,
    result_digest,
    result_of,
    result_typed_data,
)
from sworn.codec.tensors import encode_payload
from sworn.codec.trees import payload_root
from sworn.errors import CodecError
from sworn.types import (
    ZERO_HASH,
    Address,
    Answer,
    Assurance,
    CallbackKind,
    DType,
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
    Schema,
    Status,
    TensorSpec,
)

CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
KEY = Account.from_key(bytes(31) + b"\x07")
ORACLE = Address("0x5FbDB2315678afecb367f032d93F642f64180aa3")
OPERATOR = Address("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266")
CONSUMER = Address("0x70997970C51812dc3A010C7d01b50e0d17dc79C8")
DOMAIN = Domain(chain_id=31337, oracle=ORACLE)

MODEL = Model(
    version=1,
    profile=Profile.SIGNED,
    artifact_hash=bytes([1]) * 32,
    program_root=ZERO_HASH,
    weights_root=ZERO_HASH,
    io_hash=bytes([2]) * 32,
    limits_hash=ZERO_HASH,
)
REQUEST = Request(
    model_id=ModelId(bytes([3]) * 32),
    input_root=bytes([4]) * 32,
    requester=CONSUMER,
    operator=OPERATOR,
    refund_to=CONSUMER,
    fee_wei=10**15,
    value_at_risk_wei=10**18,
    callback_gas=200_000,
    window_s=3600,
    deadline=1_900_000_000,
    assurance=Assurance.PROVISIONAL,
    salt=bytes([5]) * 32,
)
RESULT = Result(
    request_id=RequestId(bytes([6]) * 32),
    model_id=ModelId(bytes([3]) * 32),
    input_root=bytes([4]) * 32,
    output_root=bytes([7]) * 32,
    trace_root=ZERO_HASH,
    operator=OPERATOR,
    expiry=1_900_000_000,
)
FAILURE = Failure(request_id=RequestId(bytes([6]) * 32), operator=OPERATOR, code=FailureCode.TOO_LARGE)
STATE = RequestState(
    status=Status.PROPOSED,
    pending=CallbackKind.FINAL,
    round=1,
    has_barred=True,
    extension_s=60,
    proposed_at=1_800_000_000,
    result_tag=bytes([8]) * 20,
)
OFFER = Offer(active=True, price_wei=1, max_value_at_risk_wei=2, max_window_s=3, max_callback_gas=4)
ANSWER = Answer(operator=OPERATOR, trace_root=ZERO_HASH, output=encode_payload([np.array([1.5, 2.5])]))

RECORDS = [
    (REQUEST, structs.REQUEST_ABI, structs.request_to_abi, structs.request_from_abi),
    (RESULT, structs.RESULT_ABI, structs.result_to_abi, structs.result_from_abi),
    (ANSWER, structs.ANSWER_ABI, structs.answer_to_abi, structs.answer_from_abi),
    (FAILURE, structs.FAILURE_ABI, structs.failure_to_abi, structs.failure_from_abi),
    (MODEL, structs.MODEL_ABI, structs.model_to_abi, structs.model_from_abi),
    (OFFER, structs.OFFER_ABI, structs.offer_to_abi, structs.offer_from_abi),
    (STATE, structs.REQUEST_STATE_ABI, structs.request_state_to_abi, structs.request_state_from_abi),
]


def eth_account_digest(typed_data: dict[str, Any]) -> bytes:
    """What a wallet computes for EIP-712 JSON."""
    message = encode_typed_data(full_message=json.loads(json.dumps(typed_data)))
    return bytes(keccak(b"\x19" + message.version + message.header + message.body))


def signature_over(digest: bytes) -> bytes:
    """An ordinary signature of KEY."""
    return bytes(Account.unsafe_sign_hash(digest, KEY.key).signature)


@pytest.mark.parametrize(("record", "abi", "to_abi", "from_abi"), RECORDS, ids=lambda value: type(value).__name__)
def test_record_round_trips_through_its_abi_tuple(record: Any, abi: str, to_abi: Any, from_abi: Any) -> None:
    """Tuples encode under the ABI type, lower-case addresses are accepted back, and the record is the same."""
    values = to_abi(record)
    assert encode([abi], [values])
    chain_values = tuple(v.lower() if isinstance(v, str) else v for v in values)
    assert from_abi(chain_values) == record
    with pytest.raises(CodecError):
        from_abi(values[:-1])


def test_request_params_leave_out_requester_and_fee() -> None:
    """Everything else keeps its order."""
    whole = structs.request_to_abi(REQUEST)
    assert structs.request_params_to_abi(REQUEST) == whole[:2] + whole[3:5] + whole[6:]
    assert encode([structs.REQUEST_PARAMS_ABI], [structs.request_params_to_abi(REQUEST)])


def test_unknown_enum_member_from_the_chain_raises() -> None:
    """A number without a name is not passed on."""
    values = structs.request_state_to_abi(STATE)
    with pytest.raises(CodecError):
        structs.request_state_from_abi((99, *values[1:]))


def test_ids_equal_what_eth_abi_says() -> None:
    """Request id and model id are keccak over plain ABI encoding."""
    encoded = encode(["uint256", "address", structs.REQUEST_ABI], [31337, ORACLE, structs.request_to_abi(REQUEST)])
    assert request_id(REQUEST, chain_id=31337, oracle=ORACLE) == keccak(encoded)
    assert model_id(MODEL) == keccak(encode([structs.MODEL_ABI], [structs.model_to_abi(MODEL)]))


@pytest.mark.parametrize(
    "changed",
    [replace(REQUEST, salt=bytes(32)), replace(REQUEST, fee_wei=0), replace(REQUEST, assurance=Assurance.FINAL)],
)
def test_request_id_binds_every_field_chain_and_oracle(changed: Request) -> None:
    """Another field, chain or oracle gives another id."""
    base = request_id(REQUEST, chain_id=1, oracle=ORACLE)
    ids = {
        base,
        request_id(changed, chain_id=1, oracle=ORACLE),
        request_id(REQUEST, chain_id=2, oracle=ORACLE),
        request_id(REQUEST, chain_id=1, oracle=OPERATOR),
    }
    assert len(ids) == 4


@pytest.mark.parametrize(
    "changed",
    [
        replace(REQUEST, salt=b"short"),
        replace(REQUEST, fee_wei=2**96),
        replace(REQUEST, deadline=-1),
        replace(REQUEST, operator=Address("0x12")),
    ],
)
def test_request_with_a_value_that_does_not_fit_raises(changed: Request) -> None:
    """Nothing is padded, wrapped or cut."""
    with pytest.raises(CodecError):
        request_id(changed, chain_id=1, oracle=ORACLE)


def test_io_hash_writes_names_dtypes_and_dimensions() -> None:
    """Variable dimensions are -1, and inputs are kept apart from outputs."""
    spec = TensorSpec(name="x", dtype=DType.FLOAT32, shape=(None, 4))
    other = TensorSpec(name="y", dtype=DType.INT64, shape=())
    encoded = encode(["(string,uint8,int64[])[]"] * 2, [[("x", 1, [-1, 4])], [("y", 7, [])]])
    assert io_hash(Schema(inputs=(spec,), outputs=(other,))) == keccak(encoded)
    assert io_hash(Schema(inputs=(spec, other), outputs=())) != keccak(encoded)


def test_digests_equal_what_eth_account_says() -> None:
    """A wallet that shows the statement signs the same 32 bytes."""
    assert result_digest(RESULT, DOMAIN) == eth_account_digest(result_typed_data(RESULT, DOMAIN))
    assert failure_digest(FAILURE, DOMAIN) == eth_account_digest(failure_typed_data(FAILURE, DOMAIN))


def test_digest_depends_on_chain_and_oracle() -> None:
    """A signature for one deployment means nothing in another."""
    domains = [DOMAIN, Domain(chain_id=1, oracle=ORACLE), Domain(chain_id=31337, oracle=OPERATOR)]
    assert len({result_digest(RESULT, domain) for domain in domains}) == 3
    assert len({domain_separator(domain) for domain in domains}) == 3


def test_result_of_an_answer_takes_everything_else_from_the_request() -> None:
    """The statement is determined by request and answer."""
    result = result_of(REQUEST, ANSWER, chain_id=31337, oracle=ORACLE)
    assert result == Result(
        request_id=request_id(REQUEST, chain_id=31337, oracle=ORACLE),
        model_id=REQUEST.model_id,
        input_root=REQUEST.input_root,
        output_root=payload_root(ANSWER.output),
        trace_root=ANSWER.trace_root,
        operator=OPERATOR,
        expiry=REQUEST.deadline,
    )


def test_recovered_signer_is_who_signed() -> None:
    """An ordinary signature gives its address."""
    digest = result_digest(RESULT, DOMAIN)
    assert recover_signer(digest, signature_over(digest)) == KEY.address


def test_malleated_signature_is_refused() -> None:
    """The twin with s above half the order recovers the same key elsewhere, and is refused here."""
    digest = result_digest(RESULT, DOMAIN)
    signature = signature_over(digest)
    high_s = CURVE_ORDER - int.from_bytes(signature[32:64])
    twin = signature[:32] + high_s.to_bytes(32) + bytes([55 - signature[64]])
    with pytest.raises(CodecError):
        recover_signer(digest, twin)


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s[:64],
        lambda s: s + b"\x00",
        lambda s: s[:64] + bytes([s[64] - 27]),
        lambda s: s[:64] + b"\x1d",
        lambda s: bytes(32) + s[32:],
        lambda s: s[:32] + bytes(32) + s[64:],
        lambda s: b"\xff" * 32 + s[32:],
        lambda s: (5).to_bytes(32) + s[32:],
    ],
    ids=["short", "long", "v 0", "v 29", "r 0", "s 0", "r too large", "r not on the curve"],
)
def test_malformed_signature_is_refused(change: Any) -> None:
    """Compact forms, other v values and values outside the curve are refused."""
    digest = result_digest(RESULT, DOMAIN)
    with pytest.raises(CodecError):
        recover_signer(digest, change(signature_over(digest)))


def test_digest_of_wrong_length_is_refused() -> None:
    """Only 32 bytes are a digest."""
    with pytest.raises(CodecError):
        recover_signer(b"\x01" * 31, signature_over(b"\x01" * 32))
