from __future__ import annotations

import math
import struct

import pytest
from hypothesis import HealthCheck, example, given, seed, settings
from hypothesis import strategies as st
from tests.support.accounts import Account
from tests.support.artifacts import Reverted
from tests.support.assertions import reverts
from tests.support.chain import Chain, Contract

from sworn.codec.trees import payload_root
from sworn.errors import CodecError
from sworn.types import DType

_SETTINGS = settings(
    max_examples=60, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
_UINT32_MAX = 2**32 - 1


def _tensor(dtype: int, shape: tuple[int, ...], data: bytes) -> bytes:
    return struct.pack(f">BB{len(shape)}I", dtype, len(shape), *shape) + data


def _filled(dtype: DType, shape: tuple[int, ...]) -> bytes:
    size = math.prod(shape) * dtype.itemsize
    return _tensor(dtype, shape, bytes(index % 251 for index in range(size)))


def _octets(size: int) -> bytes:
    return b"\x01" + _filled(DType.UINT8, (size,))


@st.composite
def _tensors(draw: st.DrawFn) -> bytes:
    dtype = draw(st.sampled_from(DType))
    shape = tuple(draw(st.lists(st.integers(0, 5), max_size=4)))
    size = math.prod(shape) * dtype.itemsize
    return _tensor(dtype, shape, draw(st.binary(min_size=size, max_size=size)))


_payloads = st.lists(_tensors(), min_size=1, max_size=4).map(lambda parts: bytes([len(parts)]) + b"".join(parts))


@pytest.fixture
def harness(chain: Chain, deployer: Account) -> Contract:
    """`TensorPayload` from outside."""
    return chain.deploy("PayloadHarness", by=deployer)


@seed(11)
@_SETTINGS
@given(payload=_payloads)
def test_root_of_any_payload_equals_codec(harness: Contract, payload: bytes) -> None:
    """Both languages commit to a payload alike."""
    assert harness.call("root", payload) == payload_root(payload)


@seed(12)
@_SETTINGS
@given(payload=st.binary(max_size=60))
@example(payload=b"")
@example(payload=b"\x00ipfs://x")
def test_root_of_any_bytes_exists_in_both_or_neither(harness: Contract, payload: bytes) -> None:
    """What one language refuses, the other refuses."""
    assert _root_on_chain(harness, payload) == _root_in_codec(payload)


@seed(13)
@_SETTINGS
@given(payload=_payloads, position=st.integers(0, 10_000), octet=st.integers(0, 255))
def test_root_of_damaged_payload_exists_in_both_or_neither(
    harness: Contract, payload: bytes, position: int, octet: int
) -> None:
    """One wrong byte, wherever it is, is judged alike."""
    position %= len(payload)
    damaged = payload[:position] + bytes([octet]) + payload[position + 1 :]

    assert _root_on_chain(harness, damaged) == _root_in_codec(damaged)


@pytest.mark.parametrize("size", [0, 1, 1023, 1024, 1025, 2048, 2049, 3000, 4096, 5121, 8192, 8193, 16_000])
def test_root_over_any_number_of_chunks_equals_codec(harness: Contract, size: int) -> None:
    """Trees of every shape: empty, one leaf, full, and padded at several levels."""
    assert harness.call("root", _octets(size)) == payload_root(_octets(size))


@pytest.mark.parametrize("dtype", list(DType))
def test_root_of_every_element_type_equals_codec(harness: Contract, dtype: DType) -> None:
    """All eleven types, as scalar, vector and matrix."""
    payload = b"\x03" + b"".join(_filled(dtype, shape) for shape in ((), (3,), (2, 300)))

    assert harness.call("root", payload) == payload_root(payload)


@pytest.mark.parametrize("rank", [0, 1, 2, 8, 31, 32])
def test_root_of_every_rank_equals_codec(harness: Contract, rank: int) -> None:
    """Up to 32 dimensions."""
    payload = b"\x01" + _filled(DType.INT16, (1,) * rank)

    assert harness.call("root", payload) == payload_root(payload)


def test_root_of_64_tensors_equals_codec(harness: Contract) -> None:
    """The largest number of tensors."""
    payload = bytes([64]) + b"".join(_filled(DType.UINT8, (index,)) for index in range(64))

    assert harness.call("root", payload) == payload_root(payload)


@pytest.mark.parametrize("code", [code for code in range(256) if code not in set(DType)])
def test_root_of_unknown_element_type_is_refused(harness: Contract, code: int) -> None:
    """Types without an encoding, ONNX's own among them, are refused by both."""
    payload = b"\x01" + _tensor(code, (1,), bytes(8))

    with reverts("DTypeUnknown", dtype=code):
        harness.call("root", payload)
    assert _root_in_codec(payload) is None


@pytest.mark.parametrize("dtype", list(DType))
def test_item_bytes_equal_codec(harness: Contract, dtype: DType) -> None:
    """Both languages agree on widths."""
    assert harness.call("itemBytes", int(dtype)) == dtype.itemsize


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\x00", id="no tensor"),
        pytest.param(bytes([65]) + _filled(DType.UINT8, (0,)) * 65, id="65 tensors"),
        pytest.param(b"\x01", id="no header"),
        pytest.param(b"\x01\x02", id="half a header"),
        pytest.param(b"\x01" + _tensor(2, (1,), b"")[:-1], id="cut dimensions"),
        pytest.param(b"\x01" + _tensor(2, (4,), b"abc"), id="too little data"),
        pytest.param(b"\x01" + _tensor(2, (3,), b"abcd"), id="too much data"),
        pytest.param(b"\x02" + _tensor(2, (3,), b"abc"), id="second tensor missing"),
        pytest.param(b"\x01" + _tensor(2, (1,) * 33, b"a"), id="rank 33"),
        pytest.param(b"\x01" + _tensor(1, (1_000_000_000,), bytes(8)), id="a thousand million elements"),
        pytest.param(b"\x01" + _tensor(1, (_UINT32_MAX,) * 32, bytes(8)), id="product overflows"),
        pytest.param(b"\x01" + _tensor(13, (2**31, 2**31, 4), bytes(8)), id="product wraps 64 bits"),
        pytest.param(b"\x01" + _tensor(13, (2**31,) * 8 + (256,), b""), id="product wraps 256 bits"),
    ],
)
def test_root_of_malformed_payload_is_refused(harness: Contract, payload: bytes) -> None:
    """Neither language reads beyond what is there, whatever the header promises."""
    with reverts("PayloadMalformed"):
        harness.call("root", payload)
    assert _root_in_codec(payload) is None


@pytest.mark.parametrize(
    "shape",
    [
        pytest.param((0,), id="empty vector"),
        pytest.param((5, 0), id="small dimension first"),
        pytest.param((0, 5), id="zero first"),
        pytest.param((100, 0), id="dimension beyond the payload's length first"),
        pytest.param((0, 100), id="dimension beyond the payload's length last"),
        pytest.param((1_000_000_000, 0), id="a thousand million first"),
        pytest.param((0, 1_000_000_000), id="a thousand million last"),
        pytest.param((_UINT32_MAX, 0, _UINT32_MAX), id="beyond 64 bits around a zero"),
        pytest.param((0, _UINT32_MAX, _UINT32_MAX), id="beyond 64 bits after a zero"),
        pytest.param((0,) + (_UINT32_MAX,) * 31, id="beyond 256 bits after a zero"),
    ],
)
def test_root_of_empty_tensor_exists_in_both_or_neither(harness: Contract, shape: tuple[int, ...]) -> None:
    """A tensor without elements is legal or not by one rule, wherever its zero dimension stands."""
    payload = b"\x01" + _tensor(DType.FLOAT32, shape, b"")

    assert _root_on_chain(harness, payload) == _root_in_codec(payload)


def test_root_of_empty_tensors_of_different_shape_differs(harness: Contract) -> None:
    """The shape is part of the commitment even where there is no data."""
    payloads = [b"\x01" + _tensor(DType.FLOAT32, shape, b"") for shape in ((0,), (0, 1), (1, 0), (0, 2))]

    assert len({harness.call("root", payload) for payload in payloads}) == len(payloads)


def test_root_of_non_canonical_float_exists(harness: Contract) -> None:
    """NaN and -0 under an operator's own root are a fault to be proven, not a malformed payload."""
    payload = b"\x01" + _tensor(DType.FLOAT32, (2,), struct.pack(">ff", math.nan, -0.0))

    assert harness.call("root", payload) == payload_root(payload)


def test_root_of_leaf_that_looks_like_node_differs(harness: Contract) -> None:
    """No chunk can pass for an inner node: the first byte of every preimage says what it is."""
    long = _octets(2048)
    root = harness.call("root", long)

    assert all(harness.call("root", _octets(size)) != root for size in (64, 65, 1024, 2047))


@pytest.mark.parametrize("count", [1, 2, 63, 64])
def test_count_states_number_of_tensors(harness: Contract, count: int) -> None:
    """The first byte, if it is a legal number."""
    assert harness.call("count", bytes([count])) == count


def _root_on_chain(harness: Contract, payload: bytes) -> bytes | None:
    try:
        return bytes(harness.call("root", payload))
    except Reverted as error:
        if error.name not in ("PayloadMalformed", "DTypeUnknown"):
            raise
        return None


def _root_in_codec(payload: bytes) -> bytes | None:
    try:
        return payload_root(payload)
    except CodecError:
        return None
