from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sworn.abi import interface
from sworn.codec import hashing
from sworn.codec.structs import answer_to_abi, request_state_from_abi, request_to_abi
from sworn.errors import CodecError
from sworn.types import Address, Answer, Assurance, ModelId, Request, RequestId
from sworn.watcher import calldata

ORACLE = interface("InferenceOracle")
ONE = Address("0x" + "11" * 20)

_WORDS = st.binary(min_size=32, max_size=32)
_ADDRESSES = st.sampled_from([ONE, Address("0x" + "00" * 20), Address("0xd8dA6BF26964aF9D7eEd9e03E53415D37aA96045")])
_REQUESTS = st.builds(
    Request,
    model_id=_WORDS.map(ModelId),
    input_root=_WORDS,
    requester=_ADDRESSES,
    operator=_ADDRESSES,
    refund_to=_ADDRESSES,
    fee_wei=st.integers(0, 2**96 - 1),
    value_at_risk_wei=st.integers(0, 2**96 - 1),
    callback_gas=st.integers(0, 2**32 - 1),
    window_s=st.integers(0, 2**32 - 1),
    deadline=st.integers(0, 2**40 - 1),
    assurance=st.sampled_from(list(Assurance)),
    salt=_WORDS,
)
_ANSWERS = st.builds(Answer, operator=_ADDRESSES, trace_root=_WORDS, output=st.binary(max_size=100))
_MOVES = st.tuples(_REQUESTS, _ANSWERS, st.binary(min_size=65, max_size=65))


@settings(max_examples=25, deadline=None)
@given(moves=st.lists(_MOVES, min_size=1, max_size=4))
def test_calls_put_together_by_place_are_those_of_the_abi(moves: list[tuple[Request, Answer, bytes]]) -> None:
    """A single byte that differs from what the contract decodes would be a reverted transaction, or a wrong one."""
    requests, answers, signatures = (list(column) for column in zip(*moves, strict=True))
    one, told = request_to_abi(requests[0]), answer_to_abi(answers[0])
    all_requests, all_answers = list(map(request_to_abi, requests)), list(map(answer_to_abi, answers))
    assert calldata.propose_data(requests[0], answers[0], signatures[0]) == ORACLE.encode(
        "propose", one, told, signatures[0]
    )
    assert calldata.finalize_data(requests[0], answers[0]) == ORACLE.encode("finalize", one, told)
    assert calldata.propose_many_data(requests, answers, signatures) == ORACLE.encode(
        "proposeMany", all_requests, all_answers, signatures
    )
    assert calldata.finalize_many_data(requests, answers) == ORACLE.encode("finalizeMany", all_requests, all_answers)
    identity = RequestId(requests[0].salt)
    assert calldata.state_data(identity) == ORACLE.encode("stateOf", identity)
    assert calldata.is_barred_data(identity, ONE) == ORACLE.encode("isBarred", identity, ONE)


@settings(max_examples=25, deadline=None)
@given(request=_REQUESTS, payload=st.binary(max_size=70))
def test_request_read_by_place_is_the_one_that_was_logged(request: Request, payload: bytes) -> None:
    """What is sworn about is what was asked: content, input, deadline and id of every log survive."""
    offset, length = (13 * 32).to_bytes(32), len(payload).to_bytes(32)
    data = calldata.request_words(request) + offset + length + payload + bytes(-len(payload) % 32)
    assert calldata.request_in(data) == (request, payload)
    assert calldata.deadline_in(data) == request.deadline
    assert calldata.request_id(request, chain_id=7, oracle=ONE) == hashing.request_id(request, chain_id=7, oracle=ONE)


@settings(max_examples=25, deadline=None)
@given(place=st.integers(0, 13 * 32 - 1), flipped=st.integers(1, 255), request=_REQUESTS)
def test_request_damaged_in_any_byte_is_another_one_or_none(place: int, flipped: int, request: Request) -> None:
    """A node cannot hide a change: a different byte is read as a different request, or not read at all."""
    data = bytearray(calldata.request_words(request) + (13 * 32).to_bytes(32) + (1).to_bytes(32) + b"\x01".ljust(32))
    data[place] ^= flipped
    read = calldata.request_in(bytes(data))
    assert read is None or read[0] != request


def test_state_returned_by_place_is_that_of_the_abi() -> None:
    """Decisions about money are made from this slot."""
    words = [3, 2, 9, 1, 2**32 - 1, 2**40 - 1]
    data = b"".join(word.to_bytes(32) for word in words) + b"\xab" * 20 + bytes(12)
    assert request_state_from_abi(calldata.state_fields(data)) == request_state_from_abi(ORACLE.decode("stateOf", data))
    with pytest.raises(CodecError):
        calldata.state_fields(data[:-1])


def test_request_that_fits_no_word_is_refused() -> None:
    """A number out of range is an error here, not another request on chain."""
    plain = Request(
        model_id=ModelId(bytes(32)),
        input_root=bytes(32),
        requester=ONE,
        operator=ONE,
        refund_to=ONE,
        fee_wei=0,
        value_at_risk_wei=0,
        callback_gas=0,
        window_s=0,
        deadline=0,
        assurance=Assurance.FINAL,
        salt=bytes(32),
    )
    for wrong in (replace(plain, fee_wei=-1), replace(plain, salt=b"short")):
        with pytest.raises(CodecError):
            calldata.request_words(wrong)
