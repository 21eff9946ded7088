"""Tensors in the Open Inference Protocol: what goes out comes back with every bit, and what does not fit is refused."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sworn.engine.open_inference_tensors import check_metadata, decode_answer, encode_request
from sworn.errors import ConfigurationError, RunFailed
from sworn.types import DType, Schema, TensorSpec


def schema(dtype: DType = DType.FLOAT32, shape: tuple[int | None, ...] = (None,)) -> Schema:
    """One input x and one output y of a type."""
    spec = TensorSpec(name="x", dtype=dtype, shape=shape)
    return Schema(inputs=(spec,), outputs=(TensorSpec(name="y", dtype=dtype, shape=shape),))


def echoed(kind: Schema, array: np.ndarray, *, binary: bool) -> np.ndarray:
    """What a server that gives back what it gets would have been understood to say."""
    body, length = encode_request(kind, {"x": array}, binary=binary)
    head = json.loads(body if length is None else body[:length])
    (entry,) = head["inputs"]
    answer = json.dumps({"model_name": "m", "outputs": [{**entry, "name": "y"}]}).encode()
    rest = b"" if length is None else body[length:]
    found = decode_answer(kind, answer + rest, json_bytes=None if length is None else len(answer))[1]
    return found["y"]


def answered(kind: Schema, **entry: Any) -> np.ndarray:
    """What is understood of an output in JSON."""
    whole = {"name": "y", "datatype": "FP32", "shape": [1], **entry}
    return decode_answer(kind, json.dumps({"outputs": [whole]}).encode(), json_bytes=None)[1]["y"]


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=20), st.booleans())
@settings(max_examples=60, deadline=None, derandomize=True)
def test_floats_through_either_form_keep_every_bit(values: list[float], binary: bool) -> None:
    """Subnormals, negative zero and the last digit of a float32 come back as they went."""
    array = np.array(values, dtype=np.float32)
    assert echoed(schema(), array, binary=binary).tobytes() == array.tobytes()


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("dtype", list(DType))
def test_extremes_of_every_type_come_back_as_they_went(dtype: DType, binary: bool) -> None:
    """Integers beyond what a float64 holds are not rounded on the way."""
    if dtype.numpy.kind in "iu":
        array = np.array([np.iinfo(dtype.numpy).min, np.iinfo(dtype.numpy).max], dtype=dtype.numpy)
    elif dtype is DType.BOOL:
        array = np.array([True, False])
    else:
        array = np.array([np.finfo(dtype.numpy).max, np.finfo(dtype.numpy).smallest_subnormal], dtype=dtype.numpy)
    found = echoed(schema(dtype), array, binary=binary)
    assert found.dtype == array.dtype and found.tobytes() == array.tobytes()


def test_floats_in_their_shortest_digits_are_understood_and_others_refused() -> None:
    """A server that computes in float64 and says float32 has another answer than the one that would be signed."""
    assert answered(schema(), data=[0.1])[0] == np.float32(0.1)
    assert answered(schema(), data=[float(np.float32(0.1))])[0] == np.float32(0.1)
    with pytest.raises(RunFailed, match="no float32"):
        answered(schema(), data=[0.1000000001])
    with pytest.raises(RunFailed, match="no float32"):
        answered(schema(), data=[1e300])


def test_elements_that_are_nested_are_read_in_their_order() -> None:
    """Servers may nest what they flatten elsewhere."""
    kind = schema(shape=(2, 2))
    assert answered(kind, shape=[2, 2], data=[[1, 2], [3, 4]]).tolist() == [[1, 2], [3, 4]]
    assert answered(kind, shape=[2, 2], data=[1, 2, 3, 4]).tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    "entry",
    [
        {"data": [1, 2]},
        {"data": [True]},
        {"data": ["1"]},
        {"data": [None]},
        {"data": "1"},
        {"data": [[1], 2]},
        {"data": None},
        {"shape": [-1], "data": [1]},
        {"shape": "1", "data": [1]},
        {"shape": [True], "data": [1]},
        {"shape": [1 << 60], "data": [1]},
        {"datatype": "FP16", "data": [1]},
        {"datatype": "FP64", "data": [1]},
        {"parameters": {"binary_data_size": 4}},
        {"parameters": {"binary_data_size": -4}},
        {"parameters": {"binary_data_size": True}},
    ],
)
def test_output_that_is_not_what_it_says_is_refused(entry: dict[str, Any]) -> None:
    """Nothing that a server states is believed before it has been held against the bytes."""
    with pytest.raises(RunFailed):
        answered(schema(), **entry)


@pytest.mark.parametrize("data", [[300], [1.5], [-129]])
def test_integers_that_do_not_fit_are_refused(data: list[float]) -> None:
    """An 8-bit output of 300 does not wrap."""
    with pytest.raises(RunFailed):
        answered(schema(DType.INT8), datatype="INT8", data=data)
    with pytest.raises(RunFailed):
        answered(schema(DType.BOOL), datatype="BOOL", data=[2])


@pytest.mark.parametrize(
    ("body", "json_bytes"),
    [
        (b"", None),
        (b"nonsense", None),
        (b"[1]", None),
        (b'{"outputs": 3}', None),
        (b'{"outputs": [3]}', None),
        (b"[" * 100_000, None),
        (b'{"a": "]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]", "b": ' + b'["]\\"",' * 100_000, None),
        (b'{"outputs": []}x', 15),
        (b'{"outputs": []}', 16),
    ],
)
def test_answer_that_is_no_answer_is_refused(body: bytes, json_bytes: int | None) -> None:
    """Garbage, depth without end and bytes too many end in a typed error."""
    with pytest.raises(RunFailed):
        decode_answer(schema(), body, json_bytes=json_bytes)


def test_output_that_nobody_asked_for_is_passed_over_with_its_bytes() -> None:
    """The bytes of the next output are not mistaken for its."""
    entry = {"datatype": "FP32", "shape": [1], "parameters": {"binary_data_size": 4}}
    head = json.dumps({"outputs": [{**entry, "name": "z"}, {**entry, "name": "y"}]}).encode()
    body = head + struct.pack("<ff", 7.0, 8.0)
    assert decode_answer(schema(), body, json_bytes=len(head))[1]["y"].tolist() == [8.0]


def test_metadata_that_differ_from_the_artifact_are_named() -> None:
    """Another model behind the URL is found before anything is signed for it."""
    kind = schema(shape=(None, 3))

    def metadata(**change: Any) -> dict[str, Any]:
        tensor = {"datatype": "FP32", "shape": [-1, 3]}
        return {"inputs": [{**tensor, "name": "x", **change}], "outputs": [{**tensor, "name": "y"}]}

    check_metadata(kind, metadata(), where="the model")
    check_metadata(kind, metadata(shape=[-1, -1]), where="the model")
    for change in ({"name": "z"}, {"datatype": "FP16"}, {"datatype": "BF16"}, {"shape": [1, 3]}, {"shape": None}):
        with pytest.raises(ConfigurationError, match="the model"):
            check_metadata(kind, metadata(**change), where="the model")
    with pytest.raises(ConfigurationError, match="inputs"):
        check_metadata(kind, {}, where="the model")
