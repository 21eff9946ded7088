from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_dynamic, quantize_static
from tests.support import graphs
from tests.support.conformance import Case, cases
from tests.support.exactness import FLOAT, Array, assert_exact, evaluate, one_node

from sworn.errors import ModelUnsupported
from sworn.model.compiler import lower
from sworn.model.program import Function, Pointwise, Rule

RANDOM = np.random.default_rng(3)
UINT8, INT8, INT16, INT32 = TensorProto.UINT8, TensorProto.INT8, TensorProto.INT16, TensorProto.INT32
F, U = np.float32, np.uint8
VALUES = (RANDOM.standard_normal((2, 3, 4)) * 3).astype(F)
BYTES = RANDOM.integers(0, 256, (2, 3, 4)).astype(U)
ROWS = RANDOM.integers(0, 256, (5, 64)).astype(U)
IMAGE = RANDOM.integers(0, 256, (2, 4, 7, 7)).astype(U)
BIAS = RANDOM.integers(-1000, 1000, 6).astype(np.int32)
OPERATORS = (
    *("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"),
    *("QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger"),
)
CASES = cases(frozenset(OPERATORS))


def weights(dtype: Any, *shape: int) -> Array:
    """Elements over most of the type's range."""
    info = np.iinfo(dtype)
    return RANDOM.integers(info.min, int(info.max) + 1, shape).astype(dtype)


@pytest.mark.parametrize("opset", [10, 13, 19, 21, 23])
def test_quantisation_by_one_scale_agrees(opset: int) -> None:
    """Every version of the operators, and back."""
    inputs: dict[str, Any] = {"x": VALUES, "s": F(0.05), "z": U(120)}
    model = one_node("QuantizeLinear", inputs, [(UINT8, [2, 3, 4])], opset=opset)
    assert_exact(model, {"x": VALUES})
    inputs = {"x": BYTES, "s": F(0.05), "z": U(120)}
    assert_exact(one_node("DequantizeLinear", inputs, [(FLOAT, [2, 3, 4])], opset=opset), {"x": BYTES})


@pytest.mark.parametrize("axis", [1, -1])
def test_quantisation_along_an_axis_agrees(axis: int) -> None:
    """A scale and a zero point per place of an axis, and back."""
    size = VALUES.shape[axis]
    scale, zero = np.linspace(0.02, 0.3, size).astype(F), np.arange(-1, size - 1).astype(np.int8)
    parts: dict[str, Any] = {"s": scale, "z": zero}
    model = one_node("QuantizeLinear", {"x": VALUES, **parts}, [(INT8, [2, 3, 4])], axis=axis)
    assert_exact(model, {"x": VALUES})
    x = BYTES.view(np.int8)
    model = one_node("DequantizeLinear", {"x": x, **parts}, [(FLOAT, [2, 3, 4])], axis=axis)
    assert_exact(model, {"x": x})


def test_quotient_halfway_after_rounding_is_rounded_twice() -> None:
    """ONNX divides in float32 before it rounds to an integer: multiples of 1/255 fall halfway then."""
    x = (np.arange(256) / F(255)).astype(F)
    inputs: dict[str, Any] = {"x": x, "s": F(1 / 127.5), "z": np.int8(-1)}
    assert_exact(one_node("QuantizeLinear", inputs, [(INT8, [256])]), {"x": x})


@pytest.mark.parametrize(
    ("operator", "inputs", "kind"),
    [
        ("QuantizeLinear", {"x": VALUES, "s": F(0.05)}, UINT8),
        ("QuantizeLinear", {"x": VALUES, "s": F(0.0005), "z": np.int16(3)}, INT16),
        ("DequantizeLinear", {"x": BYTES.astype(np.int32) * 77777, "s": F(0.05)}, FLOAT),
    ],
)
def test_quantisation_of_other_types_agrees(operator: str, inputs: dict[str, Any], kind: int) -> None:
    """No zero point, 16 bits, accumulators of 32 bits."""
    x = inputs["x"]
    assert_exact(one_node(operator, inputs, [(kind, [2, 3, 4])], opset=21), {"x": x})


@pytest.mark.parametrize(
    "values",
    [VALUES, np.abs(VALUES), -np.abs(VALUES), VALUES * 0, VALUES * F(1e-44), VALUES * F(1e37)],
    ids=["mixed", "positive", "negative", "zero", "subnormal", "large"],
)
def test_dynamic_quantisation_agrees(values: Array) -> None:
    """The range includes 0. A range of zeros has scale 1, and so has one whose scale vanishes."""
    outputs = [(UINT8, [2, 3, 4]), (FLOAT, []), (UINT8, [])]
    model = one_node("DynamicQuantizeLinear", {"x": values}, outputs)
    if 0 < np.abs(values).max() < 1e-40:
        lowered = lower(model, evaluate=evaluate)
        run = evaluate(lowered.program, lowered.weights, [values])
        elements, scale, zero = (run[output.value] for output in lowered.program.outputs)
        assert not elements.any() and scale == 1 and zero == 0
        return
    assert_exact(model, {"x": values})


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
@pytest.mark.parametrize("per_column", [False, True])
def test_quantised_product_agrees(dtype: Any, per_column: bool) -> None:
    """Signed and unsigned weights, one scale or one per column."""
    scale = np.linspace(0.002, 0.02, 7).astype(F) if per_column else F(0.01)
    zero = np.full(7, 3, dtype) if per_column else dtype(3)
    model = one_node(
        "QLinearMatMul",
        {
            "x": ROWS,
            "xs": F(0.02),
            "xz": U(128),
            "w": weights(dtype, 64, 7),
            "ws": scale,
            "wz": zero,
            "ys": F(0.5),
            "yz": U(100),
        },
        [(UINT8, [5, 7])],
    )
    lowered = assert_exact(model, {"x": ROWS})
    bodies = [step.body for step in lowered.program.steps]
    assert len(bodies) == 2 and isinstance(bodies[1], Pointwise)
    assert bodies[1].function is Function.REQUANTIZE


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("more", [{}, {"pads": [1, 1, 1, 1], "strides": [2, 2]}, {"group": 2}])
def test_quantised_convolution_agrees(dtype: Any, per_channel: bool, more: dict[str, Any]) -> None:
    """Padding is the zero point; scales may differ by channel."""
    inputs: dict[str, Any] = {
        "x": IMAGE,
        "xs": F(0.02),
        "xz": U(128),
        "w": weights(dtype, 6, 4 // more.get("group", 1), 3, 3),
        "ws": np.linspace(0.002, 0.02, 6).astype(F) if per_channel else F(0.01),
        "wz": np.zeros(6, dtype) if per_channel else dtype(0),
        "ys": F(0.5),
        "yz": U(100),
        "b": BIAS if per_channel else None,
    }
    size = 4 if "pads" in more else 5
    assert_exact(one_node("QLinearConv", inputs, [(UINT8, [2, 6, size, size])], **more), {"x": IMAGE})


@pytest.mark.parametrize("fed", [("x",), ("x", "xz"), ("x", "xz", "w", "wz")])
@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_integer_product_with_zero_points_as_inputs_agrees(fed: tuple[str, ...], dtype: Any) -> None:
    """Zero points that depend on the inputs are subtracted after the sums."""
    inputs: dict[str, Any] = {"x": ROWS, "w": weights(dtype, 64, 7), "xz": np.array(12, U), "wz": np.array(3, dtype)}
    model = one_node("MatMulInteger", inputs, [(INT32, [5, 7])], fed=fed)
    assert_exact(model, {name: inputs[name] for name in fed})


def test_integer_product_with_a_zero_point_per_column_agrees() -> None:
    """Different constants are subtracted after the sums as well."""
    inputs: dict[str, Any] = {
        "x": np.stack([ROWS, ROWS[::-1]]),
        "w": weights(U, 64, 7),
        "xz": U(9),
        "wz": np.arange(7, dtype=U),
    }
    assert_exact(one_node("MatMulInteger", inputs, [(INT32, [2, 5, 7])]), {"x": inputs["x"]})


@pytest.mark.parametrize("fed", [("x",), ("x", "xz"), ("x", "xz", "wz")])
def test_integer_convolution_with_zero_points_as_inputs_agrees(fed: tuple[str, ...]) -> None:
    """What is subtracted leaves out the padding."""
    inputs = {"x": IMAGE[:1], "w": weights(U, 6, 4, 3, 3), "xz": np.array(9, U), "wz": np.array(7, U)}
    model = one_node("ConvInteger", inputs, [(INT32, [1, 6, 4, 4])], fed=fed, pads=[1, 1, 1, 1], strides=[2, 2])
    assert_exact(model, {name: inputs[name] for name in fed})


def test_long_quantised_product_is_cut_into_blocks() -> None:
    """More than 8,192 terms wrap as one sum would."""
    x = RANDOM.integers(0, 256, (1, 9000)).astype(U)
    inputs: dict[str, Any] = {"x": x, "w": weights(U, 9000, 2), "xz": U(1), "wz": U(2)}
    lowered = assert_exact(one_node("MatMulInteger", inputs, [(INT32, [1, 2])]), {"x": x})
    assert [step.rule for step in lowered.program.steps].count(Rule.CONTRACT) == 3


@pytest.mark.parametrize("operator", OPERATORS)
def test_operator_by_its_onnx_tests_passes_or_is_refused(operator: str) -> None:
    """The onnx package's own tests give the expected values, but for types and blocks that are refused."""
    outcomes = Counter(_outcome(case) for case in CASES if case.operator == operator)
    assert outcomes["passed"]


@pytest.mark.parametrize(
    ("inputs", "more"),
    [
        ({"x": VALUES, "s": np.full((2, 3, 2), 0.1, F)}, {"block_size": 2, "axis": 2}),
        ({"x": VALUES, "s": np.full(2, 0.1, F)}, {}),
        ({"x": BYTES.astype(np.int32), "s": F(0.1)}, {}),
    ],
)
def test_quantisation_beyond_support_is_refused(inputs: dict[str, Any], more: dict[str, Any]) -> None:
    """Blocks, scales that do not fit, integers."""
    model = one_node("QuantizeLinear", inputs, [(UINT8, [2, 3, 4])], opset=21, **more)
    with pytest.raises(ModelUnsupported, match="QuantizeLinear"):
        lower(model, evaluate=evaluate)


class Samples(CalibrationDataReader):  # type: ignore[misc]
    """A few images to calibrate with."""

    def __init__(self) -> None:
        random = np.random.default_rng(4)
        self._left = [random.standard_normal((1, 3, 8, 8)).astype(F) for _ in range(4)]

    def get_next(self) -> dict[str, Array] | None:
        """One more image."""
        return {"x": self._left.pop()} if self._left else None


@pytest.mark.parametrize("form", ["dynamic", "pairs", "operators"])
def test_network_quantised_by_onnxruntime_agrees(tmp_path: Path, form: str) -> None:
    """All forms that its tools give a float network; a result may be off by a quantum where a float is."""
    network, quantised = tmp_path / "network.onnx", tmp_path / "quantised.onnx"
    network.write_bytes(_network())
    if form == "dynamic":
        quantize_dynamic(network, quantised)
    else:
        style = QuantFormat.QDQ if form == "pairs" else QuantFormat.QOperator
        quantize_static(network, quantised, Samples(), quant_format=style, per_channel=True)
    image = np.random.default_rng(5).standard_normal((1, 3, 8, 8)).astype(F)
    assert_exact(quantised.read_bytes(), {"x": image}, atol=0.1)


def _network() -> bytes:
    random = np.random.default_rng(6)
    tensors = {"w": (6, 3, 3, 3), "b": (6,), "v": (96, 10), "u": (10,)}
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], pads=[1] * 4),
        helper.make_node("Relu", ["c"], ["d"]),
        helper.make_node("MaxPool", ["d"], ["e"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["e"], ["f"]),
        helper.make_node("Gemm", ["f", "v", "u"], ["y"]),
    ]
    initializers = [
        numpy_helper.from_array((random.standard_normal(shape) * 0.3).astype(F), name)
        for name, shape in tensors.items()
    ]
    return graphs.build(nodes, [("x", FLOAT, (1, 3, 8, 8))], [("y", FLOAT, (1, 10))], initializers)


def _outcome(case: Case) -> str:
    try:
        lowered = lower(case.model, input_shapes=dict(case.shapes), evaluate=evaluate)
    except ModelUnsupported:
        return "refused"
    values = evaluate(lowered.program, lowered.weights, case.feeds)
    for output, expected in zip(lowered.program.outputs, case.expected, strict=True):
        got = values[output.value].reshape(output.shape)
        assert (got.dtype, got.shape) == (expected.dtype, expected.shape)
        np.testing.assert_allclose(got, expected, rtol=case.rtol, atol=case.atol)
    return "passed"
