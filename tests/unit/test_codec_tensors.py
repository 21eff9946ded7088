"""Canonical payloads: round trips, canonical form, schema checks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from sworn.codec.tensors import (
    decode_payload,
    decode_tensors,
    dtype_of,
    encode_payload,
    encode_reference,
    encode_tensors,
    reference_of,
)
from sworn.errors import (
    CodecError,
    DTypeUnsupported,
    PayloadMalformed,
    ShapeMismatch,
    SizeLimitExceeded,
    ValueNotFinite,
)
from sworn.types import DType, TensorSpec

FLOATS = [DType.FLOAT32, DType.FLOAT64]
SHAPES = hnp.array_shapes(min_dims=0, max_dims=6, min_side=0, max_side=4)


def arrays_of(dtype: DType) -> st.SearchStrategy[NDArray[Any]]:
    """Finite arrays of one dtype in either byte order, ranks 0 to 6, zero-size ones among them."""
    allowed = dtype not in FLOATS
    orders = st.sampled_from([dtype.numpy.newbyteorder("<"), dtype.numpy.newbyteorder(">")])
    return orders.flatmap(
        lambda order: hnp.arrays(
            order, SHAPES, elements=hnp.from_dtype(order, allow_nan=allowed, allow_infinity=allowed)
        )
    )


ARRAYS = st.sampled_from(DType).flatmap(arrays_of)


def spec(dtype: DType, *shape: int | None, name: str = "x") -> TensorSpec:
    """A spec named x unless said otherwise."""
    return TensorSpec(name=name, dtype=dtype, shape=shape)


@pytest.mark.parametrize("dtype", DType)
@given(data=st.data())
def test_payload_of_every_dtype_round_trips(dtype: DType, data: st.DataObject) -> None:
    """What was encoded comes back with the same dtype, shape and values, and encodes to the same bytes again."""
    array = data.draw(arrays_of(dtype))
    payload = encode_payload([array])
    (decoded,) = decode_payload(payload)
    assert decoded.dtype == dtype.numpy and decoded.shape == array.shape
    assert np.array_equal(decoded, array)
    assert encode_payload([decoded]) == payload


@given(st.lists(ARRAYS, min_size=1, max_size=5))
def test_payload_of_many_tensors_round_trips(arrays: list[NDArray[Any]]) -> None:
    """Several tensors keep their order, dtypes and shapes."""
    decoded = decode_payload(encode_payload(arrays))
    assert [(dtype_of(a), a.shape) for a in decoded] == [(dtype_of(a), a.shape) for a in arrays]
    assert all(np.array_equal(a, b) for a, b in zip(arrays, decoded, strict=True))


@pytest.mark.parametrize("rank", range(33))
def test_payload_of_every_rank_round_trips(rank: int) -> None:
    """Every rank up to the limit is legal."""
    array = np.full((1,) * rank, 7, dtype=np.int16)
    (decoded,) = decode_payload(encode_payload([array]))
    assert decoded.shape == array.shape and decoded.sum() == 7


@given(st.binary(max_size=200))
def test_payload_of_random_bytes_decodes_or_raises_a_typed_error(payload: bytes) -> None:
    """Arbitrary bytes either are a canonical payload or raise `CodecError`."""
    try:
        arrays = decode_payload(payload)
    except CodecError:
        return
    assert encode_payload(arrays) == payload


@given(ARRAYS, st.data())
def test_payload_with_a_changed_byte_decodes_to_something_else_or_raises(
    array: NDArray[Any], data: st.DataObject
) -> None:
    """No two payloads decode to the same tensors."""
    payload = bytearray(encode_payload([array]))
    position = data.draw(st.integers(0, len(payload) - 1))
    payload[position] ^= data.draw(st.integers(1, 255))
    try:
        changed = decode_payload(bytes(payload))
    except CodecError:
        return
    assert encode_payload(changed) == bytes(payload)


def test_payload_layout_is_dtype_rank_dims_and_big_endian_elements() -> None:
    """The bytes are those of the norm, written out by hand."""
    payload = encode_payload(
        [np.array([[1.0, -2.5]], dtype="<f4"), np.array(-2, dtype=np.int64), np.array([True, False])]
    )
    assert payload.hex() == (
        "03"
        "0102" + "00000001" + "00000002" + "3f800000" + "c0200000"
        "0700" + "fffffffffffffffe"
        "0901" + "00000002" + "0100"
    )  # fmt: skip


def test_payload_of_a_strided_array_is_row_major() -> None:
    """Transposed and sliced arrays are written in row-major order of their shape."""
    array = np.arange(12, dtype=np.int32).reshape(3, 4).T[::2]
    assert encode_payload([array]) == encode_payload([np.ascontiguousarray(array)])


@pytest.mark.parametrize("dtype", FLOATS)
def test_negative_zero_is_encoded_as_positive_zero(dtype: DType) -> None:
    """-0.0 has no encoding of its own, and the caller's array is left alone."""
    array = np.array([-0.0, 1.0], dtype=dtype.numpy)
    assert encode_payload([array]) == encode_payload([np.array([0.0, 1.0], dtype=dtype.numpy)])
    assert np.signbit(array[0])


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_encoding_a_value_that_is_not_finite_raises(dtype: DType, value: float) -> None:
    """NaN and infinities are refused."""
    with pytest.raises(ValueNotFinite):
        encode_payload([np.array([[0.0, value]], dtype=dtype.numpy)])


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_decoding_a_value_that_is_not_finite_raises(dtype: DType, value: float) -> None:
    """NaN and infinities are refused, also inside a payload."""
    data = np.array(value, dtype=dtype.numpy.newbyteorder(">")).tobytes()
    with pytest.raises(ValueNotFinite):
        decode_payload(bytes([1, dtype, 0]) + data)


@pytest.mark.parametrize("dtype", FLOATS)
def test_decoding_negative_zero_raises(dtype: DType) -> None:
    """-0.0 is not canonical."""
    with pytest.raises(PayloadMalformed):
        decode_payload(bytes([1, dtype, 0, 0x80]) + bytes(dtype.itemsize - 1))


def test_subnormal_floats_survive() -> None:
    """The smallest floats are values like any other."""
    array = np.array([5e-324, -5e-324])
    assert np.array_equal(decode_payload(encode_payload([array]))[0], array)


def test_bool_array_with_odd_bytes_is_encoded_as_zeros_and_ones() -> None:
    """Bools made by `view` are normalised."""
    array = np.array([2, 0, 255], dtype=np.uint8).view(np.bool_)
    assert encode_payload([array]).endswith(b"\x01\x00\x01")


@pytest.mark.parametrize(
    "array",
    [
        np.zeros(1, dtype=np.float16),
        np.zeros(1, dtype=np.longdouble),
        np.zeros(1, dtype=np.complex64),
        np.array(["a"]),
        np.array([b"a"]),
        np.array([None]),
        np.zeros(1, dtype="datetime64[s]"),
        np.zeros(1, dtype=[("a", np.int8)]),
        np.ma.masked_array([1, 2], mask=[True, False]),
        [1.0],
    ],
    ids=lambda array: type(array).__name__ + str(getattr(array, "dtype", "")),
)
def test_encoding_anything_but_a_supported_array_raises(array: Any) -> None:
    """Half floats, strings, objects and the like have no canonical encoding."""
    with pytest.raises(DTypeUnsupported):
        encode_payload([array])


@pytest.mark.parametrize(
    "arrays",
    [[], [np.zeros(1)] * 65, [np.zeros((1,) * 33)], [np.zeros((0, 2**32), dtype=np.int8)]],
    ids=["none", "too many", "rank", "dimension"],
)
def test_encoding_over_a_limit_raises(arrays: list[NDArray[Any]]) -> None:
    """Counts, ranks and dimensions are bounded."""
    with pytest.raises(SizeLimitExceeded):
        encode_payload(arrays)


def test_encoding_more_specs_than_a_payload_holds_raises() -> None:
    """The limit on the number of tensors holds for named tensors too."""
    specs = [spec(DType.INT8, name=str(index)) for index in range(65)]
    with pytest.raises(SizeLimitExceeded):
        encode_tensors({spec.name: 1 for spec in specs}, specs)


def test_decoding_a_payload_over_max_bytes_raises() -> None:
    """The size limit of the caller holds, and equality is inside it."""
    payload = encode_payload([np.zeros(4)])
    assert len(decode_payload(payload, max_bytes=len(payload))) == 1
    with pytest.raises(SizeLimitExceeded):
        decode_payload(payload, max_bytes=len(payload) - 1)


def test_decoded_arrays_are_native_and_writable() -> None:
    """Callers may change what they got without touching the payload."""
    payload = encode_payload([np.arange(3, dtype=np.float32), np.array([True])])
    arrays = decode_payload(payload)
    for array in arrays:
        assert array.flags.writeable and array.flags.c_contiguous and array.dtype.isnative
    arrays[0][:] = 9
    assert decode_payload(payload)[0][2] == 2


def test_tensors_by_name_follow_the_order_of_the_specs() -> None:
    """The mapping's own order does not matter."""
    specs = [spec(DType.FLOAT32, None, 2, name="b"), spec(DType.INT64, name="a")]
    tensors = {"a": np.array(5, dtype=np.int64), "b": np.ones((3, 2), dtype=">f4")}
    payload = encode_tensors(tensors, specs)
    assert payload == encode_payload([tensors["b"], tensors["a"]])
    decoded = decode_tensors(payload, specs)
    assert list(decoded) == ["b", "a"] and np.array_equal(decoded["b"], tensors["b"])


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        (DType.INT8, [-128, 127]),
        (DType.UINT64, [2**64 - 1, 0]),
        (DType.FLOAT32, [0.1, -0.0]),
        (DType.FLOAT32, [2**24, np.float32(1.5)]),
        (DType.FLOAT64, [2**53, 1e308]),
        (DType.BOOL, [True, False]),
    ],
)
def test_lists_that_fit_the_dtype_are_converted(dtype: DType, value: list[Any]) -> None:
    """Python numbers become the array of the spec's dtype that holds the same numbers."""
    payload = encode_tensors({"x": value}, [spec(dtype, None)])
    assert payload == encode_payload([np.array(value, dtype=dtype.numpy)])


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        (DType.INT8, [128]),
        (DType.UINT8, [-1]),
        (DType.INT64, [2**63]),
        (DType.INT32, [1.0]),
        (DType.INT32, [True]),
        (DType.FLOAT32, [2**24 + 1]),
        (DType.FLOAT64, [10**400]),
        (DType.FLOAT32, [2**200]),
        (DType.FLOAT32, [True]),
        (DType.FLOAT32, ["1"]),
        (DType.FLOAT32, [None]),
        (DType.FLOAT32, [[1.0], [2.0, 3.0]]),
        (DType.BOOL, [1]),
        (DType.FLOAT32, np.array([1.0])),
        (DType.INT64, np.array([1], dtype=np.int32)),
        (DType.FLOAT64, np.float32(1)),
    ],
)
def test_values_that_would_change_are_refused(dtype: DType, value: Any) -> None:
    """Nothing is rounded, wrapped or reinterpreted unnoticed."""
    with pytest.raises(ShapeMismatch):
        encode_tensors({"x": value}, [spec(dtype, None)])


@pytest.mark.parametrize("value", [[1e39], [float("nan")], [-float("inf")]])
def test_floats_beyond_the_dtype_are_refused(value: list[float]) -> None:
    """An overflow to infinity is not a conversion."""
    with pytest.raises(ValueNotFinite):
        encode_tensors({"x": value}, [spec(DType.FLOAT32, None)])


@pytest.mark.parametrize(
    "tensors",
    [
        {},
        {"x": np.zeros((1, 4), dtype=np.float32), "y": np.zeros(1)},
        {"x": np.zeros((1, 3), dtype=np.float32)},
        {"x": np.zeros(4, dtype=np.float32)},
        {"x": np.zeros((1, 4))},
    ],
    ids=["missing", "unknown", "dimension", "rank", "dtype"],
)
def test_tensors_that_do_not_fit_the_specs_raise_and_name_the_tensor(tensors: dict[str, Any]) -> None:
    """The error says which tensor and what was expected."""
    with pytest.raises(ShapeMismatch) as caught:
        encode_tensors(tensors, [spec(DType.FLOAT32, None, 4)])
    assert "'x'" in str(caught.value)


@pytest.mark.parametrize(
    "arrays",
    [[np.zeros((1, 4))], [np.zeros((1, 3), dtype=np.float32)], [np.zeros((1, 4), dtype=np.float32)] * 2],
    ids=["dtype", "dimension", "count"],
)
def test_payload_that_does_not_fit_the_specs_raises(arrays: list[NDArray[Any]]) -> None:
    """A well-formed payload for another model is refused."""
    with pytest.raises(ShapeMismatch):
        decode_tensors(encode_payload(arrays), [spec(DType.FLOAT32, None, 4)])


@given(st.text(min_size=1).filter(lambda text: all("!" <= c <= "\U0010ffff" and c != "\x7f" for c in text)))
def test_reference_round_trips(uri: str) -> None:
    """A URI comes back from its payload."""
    try:
        payload = encode_reference(uri)
    except CodecError:
        assert any("\ud800" <= c <= "\udfff" for c in uri)
        return
    assert reference_of(payload) == uri
    with pytest.raises(PayloadMalformed):
        decode_payload(payload)


@pytest.mark.parametrize("uri", ["", "a b", "a\nb", "a\x00", "\ud800"])
def test_unusable_uri_is_refused(uri: str) -> None:
    """Empty URIs, blanks and control characters are refused when written and when read."""
    with pytest.raises(CodecError):
        encode_reference(uri)
    with pytest.raises(PayloadMalformed):
        reference_of(b"\x00" + uri.encode(errors="surrogatepass"))


def test_reference_of_tensors_is_none() -> None:
    """Inline payloads are not references."""
    assert reference_of(encode_payload([np.zeros(1)])) is None
    assert reference_of(b"") is None
