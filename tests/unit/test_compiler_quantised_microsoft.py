"""The quantised operators of com.microsoft against onnxruntime, and which of that domain are admitted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.support.compiling import runtime_outputs
from tests.support.exactness import Array, evaluate

from sworn.errors import ModelError, ModelUnsupported
from sworn.model import admission
from sworn.model.compiler import lower
from sworn.model.compiler.registry import LOWERINGS
from sworn.model.program import Rule
from sworn.model.validation import validate

F, U, S = np.float32, np.uint8, np.int8
RANDOM = np.random.default_rng(8)
LINE = RANDOM.integers(0, 256, 100_000).astype(U)
IMAGE = RANDOM.integers(0, 256, (4, 20, 7, 9)).astype(U)
MATRIX = RANDOM.integers(0, 256, (200, 64)).astype(U)
WEIGHT = RANDOM.integers(-128, 128, (32, 64)).astype(S)
ADDEND = RANDOM.integers(-5000, 5000, 32).astype(np.int32)
DOMAIN = "com.microsoft"


def model_of(
    operator: str, inputs: Mapping[str, Any], rank: int, *, domain: str = DOMAIN, version: int = 1, **attributes: Any
) -> bytes:
    """A model of one node; inputs named x… are fed, the others constant."""
    arrays = {name: np.asarray(array) for name, array in inputs.items()}
    kind = helper.np_dtype_to_tensor_dtype(arrays["x"].dtype)
    graph = helper.make_graph(
        [helper.make_node(operator, list(arrays), ["result"], domain=domain, **attributes)],
        "g",
        [helper.make_tensor_value_info(name, kind, array.shape) for name, array in arrays.items() if name[0] == "x"],
        [helper.make_tensor_value_info("result", kind, [None] * rank)],
        [numpy_helper.from_array(array, name) for name, array in arrays.items() if name[0] != "x"],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(DOMAIN, version)]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())


def differences(model: bytes, feeds: list[Array]) -> tuple[Array, list[Rule]]:
    """Our integers less onnxruntime's, and the rules of the steps."""
    lowered = lower(model, evaluate=evaluate)
    validate(lowered.program)
    values = evaluate(lowered.program, lowered.weights, feeds)
    output = lowered.program.outputs[0]
    ours, theirs = values[output.value].reshape(output.shape), runtime_outputs(model, feeds)[0]
    assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
    return ours.astype(int) - theirs, [step.rule for step in lowered.program.steps]


@pytest.mark.parametrize("operator", ["QLinearAdd", "QLinearMul"])
@pytest.mark.parametrize("dtype", [U, S])
def test_two_operands_agree_but_for_single_roundings(operator: str, dtype: Any) -> None:
    """One quantum apart at most, and in fewer than one element of 10,000: onnxruntime fuses multiply and add."""
    x, x2 = LINE.view(dtype), LINE[::-1].copy().view(dtype)
    parameters = (
        {"sa": F(0.0271), "za": dtype(20)},
        {"sb": F(0.0414), "zb": dtype(7)},
        {"sc": F(0.0633), "zc": dtype(99)},
    )
    inputs = {"x": x, **parameters[0], "x2": x2, **parameters[1], **parameters[2]}
    found, _ = differences(model_of(operator, inputs, 1), [x, x2])
    assert np.abs(found).max() <= 1 and np.count_nonzero(found) < len(LINE) / 10_000


@pytest.mark.parametrize(
    ("operator", "inputs", "attributes"),
    [
        ("QLinearSigmoid", {"x": IMAGE, "sx": F(0.03), "zx": U(128), "sy": F(1 / 256), "zy": U(0)}, {}),
        ("QLinearLeakyRelu", {"x": IMAGE, "sx": F(0.03), "zx": U(128), "sy": F(0.02), "zy": U(50)}, {"alpha": 0.1}),
        (
            "QLinearConcat",
            {
                "sy": F(0.04),
                "zy": U(128),
                "x": IMAGE,
                "sa": F(0.03),
                "za": U(100),
                "x2": IMAGE[:, :3],
                "sb": F(0.05),
                "zb": U(7),
            },
            {"axis": 1},
        ),
        (
            "QLinearAveragePool",
            {"x": IMAGE, "sx": F(0.03123), "zx": U(100), "sy": F(0.0217), "zy": U(7)},
            {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 1, 1]},
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_operators_through_floats_agree(operator: str, inputs: dict[str, Any], attributes: dict[str, Any]) -> None:
    """What DequantizeLinear, the operator and QuantizeLinear give one after the other."""
    feeds = [array for name, array in inputs.items() if name[0] == "x"]
    found, _ = differences(model_of(operator, inputs, 4, **attributes), feeds)
    assert not found.any()


@pytest.mark.parametrize("dtype", [U, S])
@pytest.mark.parametrize("last", [0, 1])
def test_global_mean_agrees_and_stays_in_integers(dtype: Any, last: int) -> None:
    """One integer contraction and one requantisation, channels second or last."""
    x = IMAGE.view(dtype)
    inputs = {"x": x, "sx": F(0.0312), "zx": dtype(30), "sy": F(0.0101), "zy": dtype(99)}
    found, rules = differences(model_of("QLinearGlobalAveragePool", inputs, 4, channels_last=last), [x])
    assert not found.any() and rules[-2:] == [Rule.CONTRACT, Rule.POINTWISE]


@pytest.mark.parametrize("scale", [F(0.012), np.linspace(0.01, 0.02, 32).astype(F)])
@pytest.mark.parametrize("transposed", [0, 1])
def test_matrix_product_agrees(scale: Any, transposed: int) -> None:
    """One scale or one per column, either orientation."""
    weight = WEIGHT if transposed else WEIGHT.T.copy()
    zero = np.zeros(32, S) if scale.ndim else S(-3)
    right = {"w": weight, "sw": scale, "zw": zero, "c": ADDEND}
    inputs = {"x": MATRIX, "sx": F(0.02), "zx": U(100), **right, "sy": F(0.5), "zy": U(120)}
    found, rules = differences(model_of("QGemm", inputs, 2, transB=transposed), [MATRIX])
    assert not found.any() and rules.count(Rule.CONTRACT) == 1


def test_admitted_operators_are_those_that_are_lowered() -> None:
    """Admission knows exactly the operators of com.microsoft that the compiler does."""
    lowered = {operator for domain, operator, _ in LOWERINGS if domain == DOMAIN}
    assert admission.FOREIGN_OPERATORS[DOMAIN] == lowered


@pytest.mark.parametrize(
    ("operator", "more"),
    [
        ("FusedMatMul", {}),
        ("QLinearSoftmax", {}),
        ("QLinearAdd", {"version": 2}),
        ("QLinearAdd", {"domain": "com.other"}),
    ],
)
def test_others_outside_the_standard_are_refused(operator: str, more: dict[str, Any]) -> None:
    """By name, whatever the domain or its version."""
    with pytest.raises(ModelError):
        admission.admit(model_of(operator, {"x": LINE}, 1, **more))


@pytest.mark.parametrize(
    ("operator", "inputs", "attributes"),
    [
        ("QLinearAdd", {"x": IMAGE, "sa": np.full(20, 0.1, F), "za": U(0), "x2": IMAGE, "sb": F(1), "zb": U(0)}, {}),
        ("QLinearAdd", {"x": IMAGE, "sa": F(0.1), "za": S(0), "x2": IMAGE, "sb": F(1), "zb": U(0)}, {}),
        ("QLinearAveragePool", {"x": IMAGE}, {"kernel_shape": [2, 2], "channels_last": 1}),
        ("QLinearGlobalAveragePool", {"x": LINE, "sx": F(1), "zx": U(0), "sy": F(1), "zy": U(0)}, {}),
        ("QLinearConcat", {"sy": F(1), "zy": U(0), "x": IMAGE}, {"axis": 1}),
        ("QGemm", {"x": MATRIX, "sx": F(1), "zx": U(0), "w": WEIGHT, "sw": F(1), "zw": S(0)}, {"transB": 1}),
    ],
)
def test_forms_beyond_support_are_refused_by_name(
    operator: str, inputs: dict[str, Any], attributes: dict[str, Any]
) -> None:
    """Scales per channel, types that do not fit, inputs that are missing."""
    with pytest.raises(ModelUnsupported, match=operator):
        lower(model_of(operator, inputs, inputs["x"].ndim, **attributes), evaluate=evaluate)


def test_import_of_the_domain_alone_is_admitted() -> None:
    """Quantisers state it in every model."""
    node = helper.make_node("Relu", ["x"], ["y"])
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in ("x", "y")]
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(DOMAIN, 1)]
    model = helper.make_model(helper.make_graph([node], "g", ends[:1], ends[1:]), opset_imports=opsets, ir_version=8)
    assert isinstance(admission.admit(model.SerializeToString()), onnx.ModelProto)
