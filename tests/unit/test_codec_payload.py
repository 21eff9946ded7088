"""The structure of payloads: what is refused, and that refusing costs nothing."""

from __future__ import annotations

import struct
import tracemalloc

import pytest

from sworn.codec.payload import MAX_RANK, split_payload
from sworn.codec.tensors import decode_payload
from sworn.codec.trees import payload_root
from sworn.errors import DTypeUnsupported, PayloadMalformed
from sworn.types import DType

BIG = 2**32 - 1


def tensor(dtype: int, *dims: int, data: bytes = b"") -> bytes:
    """A tensor's bytes, believable or not."""
    return bytes([dtype, len(dims)]) + struct.pack(f">{len(dims)}I", *dims) + data


MALFORMED = {
    "empty": b"",
    "no tensors": b"\x00",
    "too many tensors": bytes([65]) + tensor(DType.INT8, 0) * 65,
    "count only": b"\x01",
    "ends after dtype": b"\x01\x01",
    "ends inside dimensions": b"\x01\x01\x02\x00\x00\x00\x01\x00\x00",
    "rank over limit": b"\x01" + tensor(DType.INT8, *[1] * 33, data=b"\x01"),
    "rank 255": b"\x01\x03\xff" + bytes(1020),
    "data too short": b"\x01" + tensor(DType.FLOAT32, 2, data=bytes(7)),
    "trailing byte": b"\x01" + tensor(DType.FLOAT32, 2, data=bytes(9)),
    "second tensor missing": b"\x02" + tensor(DType.INT8, 1, data=b"\x01"),
    "billion elements": b"\x01" + tensor(DType.FLOAT32, 1000, 1000, 1000, data=bytes(13)),
    "product wraps 64 bits to 0": b"\x01" + tensor(DType.FLOAT32, 2**31, 2**31, 4),
    "product wraps 256 bits to 0": b"\x01" + tensor(DType.FLOAT32, *[2**31] * 9),
    "largest shape": b"\x01" + tensor(DType.UINT64, *[BIG] * MAX_RANK),
}


@pytest.mark.parametrize("payload", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_payload_is_refused_by_decoder_and_root(payload: bytes) -> None:
    """Both readers of a payload refuse the same structures."""
    with pytest.raises(PayloadMalformed):
        decode_payload(payload)
    with pytest.raises(PayloadMalformed):
        payload_root(payload)


@pytest.mark.parametrize("code", [code for code in range(256) if code not in list(DType)])
def test_payload_with_unknown_dtype_is_refused(code: int) -> None:
    """Strings, half floats and numbers that mean nothing are refused."""
    with pytest.raises(DTypeUnsupported):
        split_payload(bytes([1, code, 0]) + bytes(16))


def test_payload_with_bool_other_than_0_and_1_is_refused_by_the_decoder_only() -> None:
    """Values are the decoder's matter; the structure, and so the root, is fine."""
    payload = b"\x01" + tensor(DType.BOOL, 2, data=b"\x01\x02")
    assert len(payload_root(payload)) == 32
    with pytest.raises(PayloadMalformed):
        decode_payload(payload)


@pytest.mark.parametrize("dims", [(0,), (5, 0), (0, 10**9), (2**31, 2**31, 0), (0,) * MAX_RANK])
def test_zero_size_tensor_is_legal_in_any_order_of_its_dimensions(dims: tuple[int, ...]) -> None:
    """Zero-size dimensions mean empty data, wherever they stand."""
    payload = b"\x01" + tensor(DType.INT8, *dims)
    assert decode_payload(payload)[0].shape == dims
    assert len(payload_root(payload)) == 32


@pytest.mark.parametrize("dims", [(0, BIG, BIG), (BIG, BIG, 0), (BIG,) * 31 + (0,)])
def test_zero_size_tensor_that_no_array_can_hold_has_a_root_but_is_not_decoded(dims: tuple[int, ...]) -> None:
    """The structure is fine in any order of the dimensions; the decoder refuses before numpy does."""
    payload = b"\x01" + tensor(DType.INT8, *dims)
    assert len(payload_root(payload)) == 32
    with pytest.raises(PayloadMalformed):
        decode_payload(payload)


def test_huge_shape_in_a_short_payload_allocates_nothing() -> None:
    """A shape is believed only as far as there are bytes for it."""
    payload = MALFORMED["billion elements"]
    tracemalloc.start()
    with pytest.raises(PayloadMalformed):
        decode_payload(payload)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(payload) <= 30 and peak < 100_000
