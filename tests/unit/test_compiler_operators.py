from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto
from tests.support.compiling import Array, assert_agrees, one_node

RANDOM = np.random.default_rng(20)


def floats(*shape: int) -> Array:
    """Normal random float32."""
    return RANDOM.standard_normal(shape).astype(np.float32)


def integers(*values: int) -> Array:
    """int64."""
    return np.array(values, np.int64)


IMAGE, WIDE, PICTURES = floats(1, 3, 7, 8), floats(2, 6, 9, 9), floats(2, 4, 6, 5)

CONVOLUTIONS: list[tuple[str, Array, Array, dict[str, Any]]] = [
    ("plain", IMAGE, floats(5, 3, 3, 3), {}),
    ("strided", IMAGE, floats(5, 3, 3, 2), {"strides": [2, 1]}),
    ("padded", IMAGE, floats(5, 3, 3, 3), {"pads": [1, 2, 0, 1]}),
    ("dilated", WIDE, floats(2, 6, 3, 3), {"dilations": [2, 3], "pads": [2, 2, 2, 2]}),
    ("grouped", WIDE, floats(4, 3, 3, 3), {"group": 2, "pads": [1, 1, 1, 1]}),
    ("depthwise", WIDE, floats(12, 1, 3, 3), {"group": 6}),
    ("same-upper", IMAGE, floats(2, 3, 4, 3), {"auto_pad": "SAME_UPPER", "strides": [2, 3]}),
    ("same-lower", IMAGE, floats(2, 3, 4, 3), {"auto_pad": "SAME_LOWER", "strides": [2, 3]}),
    ("valid", IMAGE, floats(2, 3, 4, 3), {"auto_pad": "VALID"}),
    ("pointwise", IMAGE, floats(2, 3, 1, 1), {"strides": [2, 2]}),
    ("one-dimension", floats(2, 3, 11), floats(4, 3, 3), {"pads": [2, 0], "strides": [2]}),
    ("three-dimensions", floats(1, 2, 4, 5, 4), floats(3, 2, 2, 3, 2), {"pads": [1, 0, 1, 0, 1, 0]}),
    ("one-channel", floats(1, 1, 5, 5), floats(1, 1, 3, 3), {}),
]


@pytest.mark.parametrize(("value", "weight", "more"), [c[1:] for c in CONVOLUTIONS], ids=[c[0] for c in CONVOLUTIONS])
@pytest.mark.parametrize("biased", [False, True])
def test_conv_against_onnxruntime_agrees(value: Array, weight: Array, more: dict[str, Any], biased: bool) -> None:
    """Groups, strides, dilations and paddings mean what they mean in onnxruntime."""
    constants = {1: weight} | ({2: floats(weight.shape[0])} if biased else {})
    assert_agrees(*one_node("Conv", [value], constants=constants, **more))


@pytest.mark.parametrize(
    ("value", "weight", "more"),
    [
        (floats(1, 3, 4, 5), floats(3, 2, 3, 3), {}),
        (floats(2, 4, 4, 3), floats(4, 2, 3, 2), {"strides": [2, 3], "group": 2, "pads": [1, 0, 1, 1]}),
        (floats(1, 2, 4, 4), floats(2, 1, 3, 3), {"strides": [2, 2], "output_padding": [1, 1], "dilations": [2, 1]}),
        (floats(1, 2, 3, 3), floats(2, 3, 2, 2), {"pads": [2, 2, 0, 0], "strides": [2, 2]}),
        (floats(1, 2, 3), floats(2, 3, 4), {"strides": [3]}),
    ],
)
def test_conv_transpose_against_onnxruntime_agrees(value: Array, weight: Array, more: dict[str, Any]) -> None:
    """Zeros between the elements and a kernel turned around make a transposed convolution."""
    bias = floats(weight.shape[1] * more.get("group", 1))
    assert_agrees(*one_node("ConvTranspose", [value], constants={1: weight, 2: bias}, **more))


POOLS: list[tuple[str, str, dict[str, Any]]] = [
    ("max", "MaxPool", {"kernel_shape": [3, 2]}),
    ("max-padded", "MaxPool", {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [2, 2]}),
    ("max-ceil", "MaxPool", {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}),
    ("max-dilated", "MaxPool", {"kernel_shape": [2, 2], "dilations": [2, 2], "pads": [1, 0, 1, 0]}),
    ("max-same", "MaxPool", {"kernel_shape": [3, 2], "strides": [2, 2], "auto_pad": "SAME_LOWER"}),
    ("mean", "AveragePool", {"kernel_shape": [3, 2]}),
    ("mean-padded", "AveragePool", {"kernel_shape": [3, 3], "pads": [1, 1, 0, 1]}),
    ("mean-all", "AveragePool", {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1}),
    ("mean-ceil", "AveragePool", {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}),
    ("global-mean", "GlobalAveragePool", {}),
    ("global-max", "GlobalMaxPool", {}),
]


@pytest.mark.parametrize(("operator", "more"), [p[1:] for p in POOLS], ids=[p[0] for p in POOLS])
def test_pooling_against_onnxruntime_agrees(operator: str, more: dict[str, Any]) -> None:
    """Windows, paddings and counts are onnxruntime's."""
    assert_agrees(*one_node(operator, [PICTURES], **more))


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (floats(3, 4), floats(4, 5)),
        (floats(2, 3, 4), floats(4, 5)),
        (floats(2, 1, 3, 4), floats(5, 4, 2)),
        (floats(4), floats(4)),
        (floats(4), floats(2, 4, 3)),
        (floats(2, 3, 4), floats(4)),
        (floats(1, 9000), floats(9000, 2)),
    ],
)
@pytest.mark.parametrize("constant", [False, True])
def test_matmul_against_onnxruntime_agrees(left: Array, right: Array, constant: bool) -> None:
    """Batches, vectors and broadcasting are numpy's; long sums are cut into blocks."""
    model = one_node("MatMul", [left], constants={1: right}) if constant else one_node("MatMul", [left, right])
    assert_agrees(*model, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("transposed", [(0, 0), (1, 0), (0, 1), (1, 1)])
@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 1.0), (0.5, 1.0), (1.0, 2.0), (0.5, 0.0)])
def test_gemm_against_onnxruntime_agrees(transposed: tuple[int, int], alpha: float, beta: float) -> None:
    """Transposition, scales and the addend of Gemm."""
    left = floats(4, 3) if transposed[0] else floats(3, 4)
    right = floats(5, 4) if transposed[1] else floats(4, 5)
    more: dict[str, Any] = {"transA": transposed[0], "transB": transposed[1], "alpha": alpha, "beta": beta}
    assert_agrees(*one_node("Gemm", [left], constants={1: right, 2: floats(5)}, **more))


@pytest.mark.parametrize(
    ("operator", "value", "more"),
    [
        ("ReduceSum", WIDE, {"constants": {1: integers(1, 3)}}),
        ("ReduceSum", WIDE, {"constants": {1: integers(-1)}, "keepdims": 0}),
        ("ReduceSum", WIDE, {}),
        ("ReduceMean", WIDE, {"axes": [0, 2]}),
        ("ReduceMean", floats(2, 9000), {"axes": [1]}),
        ("ReduceMean", floats(9000, 3), {"axes": [0], "keepdims": 0}),
        ("ReduceMax", WIDE, {"axes": [1], "keepdims": 0}),
        ("ReduceMin", WIDE, {}),
        ("ReduceL1", WIDE, {"axes": [1]}),
        ("ReduceL2", WIDE, {"axes": [2, 3]}),
        ("ReduceSumSquare", WIDE, {"axes": [0]}),
        ("Softmax", PICTURES, {"axis": 1}),
        ("Softmax", PICTURES, {"axis": 1, "opset": 11}),
        ("LogSoftmax", PICTURES, {"axis": -1}),
    ],
)
def test_reduction_against_onnxruntime_agrees(operator: str, value: Array, more: dict[str, Any]) -> None:
    """Axes, kept or dropped, near or far."""
    assert_agrees(*one_node(operator, [value], **more), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("operator", ["ArgMax", "ArgMin"])
@pytest.mark.parametrize("more", [{"axis": 1}, {"axis": -1, "keepdims": 0}, {"axis": 0, "select_last_index": 1}])
def test_position_among_equals_agrees_with_onnxruntime(operator: str, more: dict[str, Any]) -> None:
    """Among equal elements the first wins, or the last on demand."""
    value = RANDOM.integers(0, 3, (3, 5, 4)).astype(np.float32)
    assert_agrees(*one_node(operator, [value], dtypes=[TensorProto.INT64], **more))


@pytest.mark.parametrize("more", [{}, {"axis": 0}, {"largest": 0, "axis": 1}])
def test_topk_among_equals_agrees_with_onnxruntime(more: dict[str, Any]) -> None:
    """The earlier of two equal elements comes first."""
    value = RANDOM.integers(0, 4, (4, 5, 6)).astype(np.float32)
    kinds = [TensorProto.FLOAT, TensorProto.INT64]
    assert_agrees(*one_node("TopK", [value], constants={1: integers(3)}, outputs=2, dtypes=kinds, **more))


@pytest.mark.parametrize(
    ("operator", "constants", "more"),
    [
        ("BatchNormalization", {k: np.abs(floats(6)) for k in range(1, 5)}, {"epsilon": 1e-3}),
        ("LayerNormalization", {1: floats(9), 2: floats(9)}, {}),
        ("LayerNormalization", {1: floats(9, 9)}, {"axis": 2}),
        ("InstanceNormalization", {1: floats(6), 2: floats(6)}, {}),
        ("GroupNormalization", {1: floats(6), 2: floats(6)}, {"num_groups": 3, "opset": 21}),
        ("LRN", {}, {"size": 3, "alpha": 0.5, "beta": 0.75, "bias": 2.0}),
        ("LRN", {}, {"size": 5}),
        ("LpNormalization", {}, {"axis": 1}),
        ("MeanVarianceNormalization", {}, {}),
    ],
)
def test_normalisation_against_onnxruntime_agrees(
    operator: str, constants: dict[int, Array], more: dict[str, Any]
) -> None:
    """Statistics over the right axes."""
    assert_agrees(*one_node(operator, [WIDE], constants=constants, **more), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("operator", "constants", "more"),
    [
        ("Reshape", {1: integers(0, -1)}, {}),
        ("Flatten", {}, {"axis": 2}),
        ("Transpose", {}, {"perm": [2, 0, 3, 1]}),
        ("Slice", {k: integers(*v) for k, v in enumerate([(5, 1), (-9, 4), (2, 3), (-2, 1)], start=1)}, {}),
        ("Pad", {1: integers(0, 1, 2, 0, 0, 0, -1, 3), 2: np.float32(1.5)}, {}),
        ("Pad", {1: integers(0, 1, 2, 0, 0, 0, 1, 3)}, {"mode": "reflect"}),
        ("Pad", {1: integers(0, 1, 2, 0, 0, 0, 1, 3)}, {"mode": "edge"}),
        ("Expand", {1: integers(3, 1, 1, 1, 5)}, {}),
        ("Tile", {1: integers(1, 2, 1, 3)}, {}),
        ("Gather", {1: np.array([[0, -1], [2, 3]])}, {"axis": 2}),
        ("Gather", {1: np.array(2)}, {"axis": 1}),
        ("GatherElements", {1: RANDOM.integers(-4, 4, (2, 3, 6, 5))}, {"axis": 1}),
        ("DepthToSpace", {}, {"blocksize": 2}),
        ("DepthToSpace", {}, {"blocksize": 2, "mode": "CRD"}),
        ("Clip", {1: np.float32(-0.5), 2: np.float32(0.25)}, {}),
        ("PRelu", {1: floats(4, 1, 1)}, {}),
        ("Pow", {1: np.float32(3)}, {}),
        ("Gelu", {}, {"opset": 20}),
        ("Gelu", {}, {"opset": 20, "approximate": "tanh"}),
        ("HardSwish", {}, {}),
    ],
)
def test_element_order_against_onnxruntime_agrees(
    operator: str, constants: dict[int, Array], more: dict[str, Any]
) -> None:
    """Rearrangements and element-wise functions with constants."""
    assert_agrees(*one_node(operator, [PICTURES], constants=constants, **more))


@pytest.mark.parametrize(
    ("value", "to"),
    [
        (np.array([-2.7, 0.0, 3.99], np.float32), TensorProto.INT32),
        (np.array([-2.7, 0.0, 3.99], np.float32), TensorProto.BOOL),
        (np.array([-(2**60) - 3, 5, 16777217]), TensorProto.FLOAT),
        (np.array([True, False]), TensorProto.FLOAT),
        (np.array([300, -1, 5], np.int32), TensorProto.UINT8),
    ],
)
def test_cast_between_types_agrees_with_onnxruntime(value: Array, to: int) -> None:
    """Floats are truncated, integers rounded, everything but 0 is true."""
    assert_agrees(*one_node("Cast", [value], to=to, dtypes=[to]))
