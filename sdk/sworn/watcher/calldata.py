"""Words of the oracle's calls and logs, put together and taken apart by place.

They hold what `sworn.abi` gives for the same arguments (a test compares the two), in a hundredth of its time: an
operator that answers hundreds of requests a second would do little else.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Final

from eth_utils.address import to_checksum_address

from sworn.abi import interface
from sworn.codec.trees import keccak
from sworn.errors import CodecError
from sworn.types import Address, Answer, Assurance, ModelId, Request, RequestId

WORD: Final = 32
#: Calldata of `stateOf`, and what it returns.
STATE_DATA_BYTES: Final = 4 + WORD
STATE_BYTES: Final = 7 * WORD
#: Words of a `Request`, which has no part of varying length.
REQUEST_WORDS: Final = 12
_REQUEST_BYTES: Final = REQUEST_WORDS * WORD
#: Where the input's offset, its length and its bytes lie in the data of an `InferenceRequested`.
_INPUT_OFFSET: Final = _REQUEST_BYTES + WORD
_INPUT_AT: Final = _INPUT_OFFSET + WORD
_ADDRESS_PAD: Final = bytes(12)
#: Width in bits of the numbers of a `Request`, by word.
_WIDTHS: Final = {5: 96, 6: 96, 7: 32, 8: 32, 9: 40, 10: 8}


def propose_data(request: Request, answer: Answer, signature: bytes) -> bytes:
    """Calldata of `propose`."""
    told = _answer(answer)
    heads = (REQUEST_WORDS + 2) * WORD
    return b"".join(
        (selector("propose"), request_words(request), _word(heads), _word(heads + len(told)), told, _bytes(signature))
    )


def finalize_data(request: Request, answer: Answer) -> bytes:
    """Calldata of `finalize`."""
    return b"".join((selector("finalize"), request_words(request), _word((REQUEST_WORDS + 1) * WORD), _answer(answer)))


def propose_many_data(requests: Sequence[Request], answers: Sequence[Answer], signatures: Sequence[bytes]) -> bytes:
    """Calldata of `proposeMany`."""
    parts = (
        _requests(requests),
        _array([_answer(answer) for answer in answers]),
        _array(list(map(_bytes, signatures))),
    )
    return selector("proposeMany") + _sequence(parts)


def finalize_many_data(requests: Sequence[Request], answers: Sequence[Answer]) -> bytes:
    """Calldata of `finalizeMany`."""
    return selector("finalizeMany") + _sequence((_requests(requests), _array([_answer(each) for each in answers])))


def state_data(request: RequestId) -> bytes:
    """Calldata of `stateOf`."""
    return selector("stateOf") + request


def is_barred_data(request: RequestId, operator: Address) -> bytes:
    """Calldata of `isBarred`."""
    return selector("isBarred") + request + _address(operator)


def state_fields(data: bytes) -> tuple[object, ...]:
    """What `stateOf` returned, as an ABI tuple. Raises `CodecError`."""
    if len(data) != STATE_BYTES:
        raise CodecError(f"the state of a request has {STATE_BYTES} bytes, not {len(data)}")
    numbers = [int.from_bytes(data[at : at + WORD]) for at in range(0, 6 * WORD, WORD)]
    return (*numbers[:3], bool(numbers[3]), *numbers[4:], data[6 * WORD : 6 * WORD + 20])


def request_id(request: Request, *, chain_id: int, oracle: Address) -> RequestId:
    """The same as `sworn.codec.hashing.request_id`. Raises `CodecError`."""
    return RequestId(keccak(b"".join((_word(chain_id), _address(oracle), request_words(request)))))


def request_words(request: Request) -> bytes:
    """A request as it is hashed, logged and passed. Raises `CodecError` for what does not fit its word."""
    try:
        words = b"".join(
            (
                request.model_id,
                request.input_root,
                _address(request.requester),
                _address(request.operator),
                _address(request.refund_to),
                request.fee_wei.to_bytes(WORD),
                request.value_at_risk_wei.to_bytes(WORD),
                request.callback_gas.to_bytes(WORD),
                request.window_s.to_bytes(WORD),
                request.deadline.to_bytes(WORD),
                int(request.assurance).to_bytes(WORD),
                request.salt,
            )
        )
    except OverflowError as error:
        raise CodecError("a number of the request is negative or too large") from error
    if len(words) != _REQUEST_BYTES:
        raise CodecError("a field of the request is not 32 bytes long")
    return words


def request_in(data: bytes) -> tuple[Request, bytes] | None:
    """Request and input of an `InferenceRequested`; None where they do not lie as a compiler puts them."""
    if len(data) < _INPUT_AT or int.from_bytes(data[_REQUEST_BYTES:_INPUT_OFFSET]) != _INPUT_OFFSET:
        return None
    length = int.from_bytes(data[_INPUT_OFFSET:_INPUT_AT])
    if len(data) < _INPUT_AT + length:
        return None
    words = [data[at : at + WORD] for at in range(0, _REQUEST_BYTES, WORD)]
    if any(words[place][:12] != _ADDRESS_PAD for place in (2, 3, 4)):
        return None
    numbers = {place: int.from_bytes(words[place]) for place in _WIDTHS}
    if any(numbers[place] >> width for place, width in _WIDTHS.items()) or numbers[10] > max(Assurance):
        return None
    request = Request(
        model_id=ModelId(words[0]),
        input_root=words[1],
        requester=_checksummed(words[2]),
        operator=_checksummed(words[3]),
        refund_to=_checksummed(words[4]),
        fee_wei=numbers[5],
        value_at_risk_wei=numbers[6],
        callback_gas=numbers[7],
        window_s=numbers[8],
        deadline=numbers[9],
        assurance=Assurance(numbers[10]),
        salt=words[11],
    )
    return request, data[_INPUT_AT : _INPUT_AT + length]


def deadline_in(data: bytes) -> int:
    """The deadline that an `InferenceRequested` states."""
    return int.from_bytes(data[9 * WORD : 10 * WORD])


def names_operator(topics: Sequence[bytes]) -> bool:
    """Whether the request of an `InferenceRequested` names who has to answer."""
    return any(topics[3])


@cache
def selector(function: str) -> bytes:
    """The first four bytes of a call to the oracle."""
    return interface("InferenceOracle").selector(function)


@cache
def topic() -> bytes:
    """The first topic of an `InferenceRequested`."""
    return interface("InferenceOracle").topic("InferenceRequested")


def _requests(requests: Sequence[Request]) -> bytes:
    return _word(len(requests)) + b"".join(map(request_words, requests))


def _answer(answer: Answer) -> bytes:
    return b"".join((_address(answer.operator), answer.trace_root, _word(3 * WORD), _bytes(answer.output)))


def _array(items: Sequence[bytes]) -> bytes:
    return _word(len(items)) + _sequence(items)


def _sequence(items: Sequence[bytes]) -> bytes:
    """Parts of varying length: where each begins, then all of them."""
    at, heads = len(items) * WORD, []
    for item in items:
        heads.append(_word(at))
        at += len(item)
    return b"".join((*heads, *items))


def _bytes(value: bytes) -> bytes:
    return b"".join((_word(len(value)), value, bytes(-len(value) % WORD)))


def _word(number: int) -> bytes:
    return number.to_bytes(WORD)


@lru_cache(maxsize=4096)
def _address(address: Address) -> bytes:
    return _ADDRESS_PAD + bytes.fromhex(address.removeprefix("0x"))


@lru_cache(maxsize=4096)
def _checksummed(word: bytes) -> Address:
    return Address(to_checksum_address("0x" + word[12:].hex()))
