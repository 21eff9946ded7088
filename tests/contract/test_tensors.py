from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from tests.support.accounts import Account
from tests.support.assertions import reverts
from tests.support.chain import Chain, Contract
from tests.support.ieee754 import BINARY32, BINARY64, WAD, Format

from sworn.codec.payload import tensor_header
from sworn.codec.tensors import encode_payload
from sworn.codec.trees import payload_root
from sworn.types import DType

#: Calls change nothing, so examples may share a chain.
PROPERTY = settings(
    max_examples=15, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
FORMATS = {DType.FLOAT32: BINARY32, DType.FLOAT64: BINARY64}
FLOATS = pytest.mark.parametrize("dtype", list(FORMATS), ids=lambda dtype: dtype.name.lower())
INTEGER_TYPES = [dtype for dtype in DType if dtype not in FORMATS]
INTEGERS = pytest.mark.parametrize("dtype", INTEGER_TYPES, ids=lambda dtype: dtype.name.lower())
OVERFLOW = 0x11


@pytest.fixture
def tensors(chain: Chain, deployer: Account) -> Contract:
    """`Tensors` from outside."""
    return chain.deploy("TensorsHarness", by=deployer)


def limits(dtype: DType) -> tuple[int, int]:
    """Least and greatest value of an integer type or bool."""
    if dtype is DType.BOOL:
        return 0, 1
    info = np.iinfo(dtype.numpy)
    return int(info.min), int(info.max)


def nearest_floats(dtype: DType, wads: list[int]) -> NDArray[Any]:
    """The floats nearest to wads, by exact arithmetic; empty where one overflows."""
    form: Format = FORMATS[dtype]
    bits = [form.from_wad(wad) for wad in wads]
    return np.array(bits, dtype=f"u{dtype.itemsize}").view(dtype.numpy)


def raw_payload(dtype: DType, *bits: int) -> bytes:
    """A payload of one vector with these bits, canonical or not."""
    data = b"".join(one.to_bytes(dtype.itemsize) for one in bits)
    return bytes([1]) + tensor_header(dtype, (len(bits),)) + data


SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)
#: Small enough for both float types.
WADS = st.integers(-(10**40), 10**40)


@FLOATS
@PROPERTY
@given(data=st.data())
def test_floats_of_any_shape_equal_codec(tensors: Contract, dtype: DType, data: st.DataObject) -> None:
    """Float tensors built on chain are byte for byte what the codec makes of the nearest floats; so is their root."""
    shape = data.draw(SHAPES)
    size = int(np.prod(shape, dtype=int))
    wads = data.draw(st.lists(WADS, min_size=size, max_size=size))
    expected = encode_payload([nearest_floats(dtype, wads).reshape(shape)])

    payload = tensors.call("payloadOfOne", tensors.call(f"{dtype.name.lower()}s", wads, list(shape)))

    assert payload == expected
    assert tensors.call("rootOf", payload) == payload_root(expected)


@INTEGERS
@PROPERTY
@given(data=st.data())
def test_integers_of_any_shape_equal_codec(tensors: Contract, dtype: DType, data: st.DataObject) -> None:
    """Integer and bool tensors built on chain are byte for byte the codec's."""
    shape = data.draw(SHAPES)
    size = int(np.prod(shape, dtype=int))
    values = data.draw(st.lists(st.integers(*limits(dtype)), min_size=size, max_size=size))
    expected = encode_payload([np.array(values, dtype=dtype.numpy).reshape(shape)])

    payload = tensors.call("payloadOfOne", tensors.call("integers", dtype, values, list(shape)))

    assert payload == expected
    assert tensors.call("rootOf", payload) == payload_root(expected)


@INTEGERS
def test_integers_at_limits_fit_and_beyond_revert(tensors: Contract, dtype: DType) -> None:
    """The least and the greatest value of a type fit; the next ones do not."""
    least, greatest = limits(dtype)

    built = tensors.call("integers", dtype, [least, greatest], [2])

    assert bytes([1]) + built == encode_payload([np.array([least, greatest], dtype=dtype.numpy)])
    for value in (least - 1, greatest + 1, 2**255 - 1, -(2**255)):
        with reverts("ValueOutOfRange", value=value, dtype=dtype):
            tensors.call("integers", dtype, [0, value], [2])


@FLOATS
def test_integers_of_float_type_reverts(tensors: Contract, dtype: DType) -> None:
    """Plain integers are not written into float tensors, where they would be taken for wads or bits."""
    with reverts("ValueOutOfRange", value=1, dtype=dtype):
        tensors.call("integers", dtype, [1], [1])


@pytest.mark.parametrize("dtype", [0, 8, 10, 14, 16, 255])
def test_integers_of_unknown_type_reverts(tensors: Contract, dtype: int) -> None:
    """Types without an encoding are refused."""
    with reverts("DTypeUnknown", dtype=dtype):
        tensors.call("integers", dtype, [1], [1])


def test_floats_overflowing_their_type_revert(tensors: Contract) -> None:
    """A wad beyond the largest binary32 has no float32."""
    with reverts("WadOutOfRange", wad=2**128 * WAD):
        tensors.call("float32s", [0, 2**128 * WAD], [2])


@pytest.mark.parametrize(("count", "shape"), [(3, [2]), (2, []), (0, [1]), (1, [1, 0]), (6, [2, 4])])
@pytest.mark.parametrize("build", ["float32s", "float64s"])
def test_build_with_other_shape_reverts(tensors: Contract, build: str, count: int, shape: list[int]) -> None:
    """Elements must fill the shape exactly."""
    size = int(np.prod(shape, dtype=int))

    with reverts("ShapeMismatch", elements=count, shape_elements=size):
        tensors.call(build, [0] * count, shape)
    with reverts("ShapeMismatch", elements=count, shape_elements=size):
        tensors.call("integers", DType.INT8, [0] * count, shape)


def test_build_with_overflowing_shape_reverts(tensors: Contract) -> None:
    """A shape whose product overflows 256 bits is refused, not wrapped."""
    with reverts("Panic", code=OVERFLOW):
        tensors.call("float32s", [], [2**32 - 1] * 9)


def test_build_of_neighbours_keeps_them_apart(tensors: Contract) -> None:
    """Tensors built one after the other do not write into each other's memory."""
    wads, values = [WAD, -WAD, WAD // 2], [-1, 2, -3, 4, -5]

    built = tensors.call("neighbours", wads, values)

    floats = np.array([1, -1, 0.5])
    arrays: list[NDArray[Any]] = [floats.astype(np.float32), np.array(values, dtype=np.int8), floats.reshape(1, 3)]
    assert [bytes([1]) + tensor for tensor in built] == [encode_payload([array]) for array in arrays]


def test_shapes_of_one_and_two_axes_hold_their_sizes(tensors: Contract) -> None:
    """The short forms give what their arguments say."""
    assert tensors.call("shapes", 7, 2**32 - 1) == ((7,), (7, 2**32 - 1))


@pytest.mark.parametrize("count", [1, 2, 64])
def test_payload_of_several_tensors_equals_codec(tensors: Contract, count: int) -> None:
    """Up to 64 tensors of different types and shapes make one payload, in their order."""
    arrays: list[NDArray[Any]] = [
        np.arange(index + 1, dtype=INTEGER_TYPES[index % 3 + 1].numpy).reshape(1, index + 1) for index in range(count)
    ]
    built = [encode_payload([array])[1:] for array in arrays]

    payload = tensors.call("payloadOfMany", built)

    assert payload == encode_payload(arrays)
    assert tensors.call("rootOf", payload) == payload_root(payload)


@pytest.mark.parametrize("count", [0, 65])
def test_root_of_no_or_too_many_tensors_reverts(tensors: Contract, count: int) -> None:
    """No request can be made from a payload of no tensors or of more than 64."""
    tensor = encode_payload([np.array([1], dtype=np.uint8)])[1:]
    payload = tensors.call("payloadOfMany", [tensor] * count)

    with reverts("PayloadMalformed", offset=0):
        tensors.call("rootOf", payload)


@PROPERTY
@given(data=st.data())
def test_tensor_at_of_any_payload_reads_all(tensors: Contract, data: st.DataObject) -> None:
    """Every tensor of a payload is found with its type, shape and elements."""
    dtypes = data.draw(st.lists(st.sampled_from(list(DType)), min_size=1, max_size=4))
    arrays = [data.draw(hnp.arrays(dtype.numpy, SHAPES, elements=_elements(dtype))) for dtype in dtypes]
    payload = encode_payload(arrays)

    for index, (dtype, array) in enumerate(zip(dtypes, arrays, strict=True)):
        assert tensors.call("describe", payload, index) == (dtype, array.shape, array.size)
        bits = array.view(f"u{dtype.itemsize}") if array.size else array
        assert list(tensors.call("allBits", payload, index)) == [int(one) for one in bits.ravel()]
        assert list(tensors.call("allWads", payload, index)) == [_wad(dtype, one) for one in array.ravel()]
        assert list(tensors.call("allIntegers", payload, index)) == [int(one) for one in array.ravel()]


def _elements(dtype: DType) -> st.SearchStrategy[Any]:
    if dtype is DType.BOOL:
        return st.booleans()
    if dtype in FORMATS:
        bound = 2.0**100
        single = st.floats(-bound, bound, width=32, allow_subnormal=False)
        double = st.floats(-bound, bound, width=64, allow_subnormal=False)
        # Adding zero turns -0.0, which has no canonical encoding, into 0.0.
        return (single if dtype is DType.FLOAT32 else double).map(lambda value: value + 0.0)
    return st.integers(*limits(dtype))


def _wad(dtype: DType, element: Any) -> int:
    if dtype not in FORMATS:
        return int(element) * WAD
    bits = int(element.view(f"u{dtype.itemsize}"))
    return FORMATS[dtype].to_wad(bits)


def test_tensor_at_beyond_count_reverts(tensors: Contract) -> None:
    """A payload of two tensors has no third one."""
    payload = encode_payload([np.zeros(2, dtype=np.int8), np.zeros(1, dtype=np.float32)])

    for index in (2, 63, 2**256 - 1):
        with reverts("TensorMissing", index=index, tensors=2):
            tensors.call("describe", payload, index)


@pytest.mark.parametrize("payload", [b"", b"\x00", b"\x41" + bytes(500), b"\x00ipfs://input"])
def test_tensor_at_of_no_payload_reverts(tensors: Contract, payload: bytes) -> None:
    """Nothing is read from bytes that state no tensors, or too many, or a place."""
    with reverts("PayloadMalformed", offset=0):
        tensors.call("describe", payload, 0)


def test_tensor_at_of_truncated_payload_reverts(tensors: Contract) -> None:
    """A payload cut off anywhere inside a tensor is refused before that tensor is read."""
    payload = encode_payload([np.zeros(2, dtype=np.int8), np.zeros((1, 2), dtype=np.float32)])
    second = len(encode_payload([np.zeros(2, dtype=np.int8)]))

    for end in (second, second + 1, second + 2, second + 9, len(payload) - 1):
        assert tensors.call("describe", payload[:end], 0) == (DType.INT8, (2,), 2)
        with reverts("PayloadMalformed", offset=second):
            tensors.call("describe", payload[:end], 1)


def test_elements_beyond_end_revert(tensors: Contract) -> None:
    """An element that a tensor does not have is not read from its neighbour."""
    payload = encode_payload([np.array([1, 2], dtype=np.int64), np.array([3], dtype=np.int64)])

    assert tensors.call("wadAt", payload, 0, 1) == 2 * WAD
    for element in (2, 2**255):
        with reverts("ElementMissing", index=element, elements=2):
            tensors.call("wadAt", payload, 0, element)


@FLOATS
def test_wads_of_not_finite_elements_revert(tensors: Contract, dtype: DType) -> None:
    """A consumer that reads a NaN or an infinity reverts instead of acting on it."""
    form = FORMATS[dtype]
    for bits in (form.infinity, form.sign | form.infinity, form.infinity | 1):
        payload = raw_payload(dtype, 0, bits)
        assert tensors.call("wadAt", payload, 0, 0) == 0
        with reverts("FloatOutOfRange", bits=bits):
            tensors.call("wadAt", payload, 0, 1)
        with reverts("FloatOutOfRange", bits=bits):
            tensors.call("allIntegers", payload, 0)


@FLOATS
def test_integers_of_floats_truncate_toward_zero(tensors: Contract, dtype: DType) -> None:
    """Reading floats as integers cuts off toward zero on both sides."""
    values = np.array([0.99, -0.99, 1.5, -1.5, 2.0, -2.0, 1e9], dtype=dtype.numpy)

    assert tensors.call("allIntegers", encode_payload([values]), 0) == (0, 0, 1, -1, 2, -2, 10**9)


@pytest.mark.parametrize("dtype", list(DType), ids=lambda dtype: dtype.name.lower())
@PROPERTY
@given(data=st.data())
def test_argmax_of_any_tensor_equals_numpy(tensors: Contract, dtype: DType, data: st.DataObject) -> None:
    """The greatest element's position is numpy's: the first one wins a tie, signs and negative floats count."""
    few = st.lists(_elements(dtype), min_size=1, max_size=6).flatmap(
        lambda pool: st.lists(st.sampled_from(pool), min_size=1, max_size=12)
    )
    arrays = [np.array(values, dtype=dtype.numpy) for values in data.draw(st.lists(few, min_size=1, max_size=6))]

    found = tensors.call("argmaxes", [encode_payload([array]) for array in arrays])

    assert list(found) == [int(np.argmax(array)) for array in arrays]


@FLOATS
def test_argmax_of_both_zeros_picks_first(tensors: Contract, dtype: DType) -> None:
    """-0 and +0 are equal, so the first one wins whichever it is."""
    minus, one = FORMATS[dtype].sign, FORMATS[dtype].from_wad(-1) or 0
    for bits in ([one, minus, 0], [one, 0, minus]):
        assert tensors.call("argmax", raw_payload(dtype, *bits), 0) == 1


def test_argmax_of_empty_tensor_reverts(tensors: Contract) -> None:
    """Nothing is the greatest of nothing."""
    with reverts("ElementMissing", index=0, elements=0):
        tensors.call("argmax", encode_payload([np.zeros((0, 3), dtype=np.float32)]), 0)
