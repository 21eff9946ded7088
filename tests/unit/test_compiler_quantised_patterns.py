"""DequantizeLinear → operator → QuantizeLinear: what is rewritten, to what, and what is left as it stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.support import graphs
from tests.support.exactness import FLOAT, Array, evaluate

from sworn.model.compiler import lower, quantised
from sworn.model.lowered import Lowered
from sworn.model.program import Contract, Function, Pointwise
from sworn.types import DType

F, U, S = np.float32, np.uint8, np.int8
RANDOM = np.random.default_rng(12)
TYPES = {np.dtype(U): TensorProto.UINT8, np.dtype(S): TensorProto.INT8, np.dtype(np.int16): TensorProto.INT16}
IMAGE = RANDOM.integers(0, 256, (2, 4, 6, 6)).astype(U)
ROWS = RANDOM.integers(0, 256, (5, 24)).astype(U)
X_SCALE, X_ZERO = F(0.02), U(117)
W_SCALE, W_ZERO, Y_SCALE, Y_ZERO = F(0.01), S(0), F(0.2), U(9)


@dataclass(kw_only=True)
class Network:
    """Nodes and constants of a network of quantised tensors in the making; `q` and `dq` convert."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)

    def constant(self, array: Any) -> str:
        """The name of a constant."""
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """A node's output."""
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name=f"n{len(self.nodes)}", **attributes))
        return name

    def dq(self, name: str, scale: Any, zero: Any, **attributes: Any) -> str:
        """Floats of integers."""
        return self.add("DequantizeLinear", name, self.constant(scale), self.constant(zero), **attributes)

    def q(self, name: str, scale: Any, zero: Any) -> str:
        """Integers of floats."""
        return self.add("QuantizeLinear", name, self.constant(scale), self.constant(zero))

    def model(self, x: Array, outputs: Sequence[tuple[str, int, int]]) -> bytes:
        """Takes the integers x to the named outputs: name, type, rank."""
        made = [(name, kind, [None] * rank) for name, kind, rank in outputs]
        return graphs.build(self.nodes, [("x", TYPES[x.dtype], x.shape)], made, self.constants, opset=21)


def compiled(model: bytes) -> Lowered:
    """The program of a model."""
    return lower(model, evaluate=evaluate)


def answers(lowered: Lowered, x: Array) -> list[Array]:
    """The program's outputs."""
    values = evaluate(lowered.program, lowered.weights, [x])
    return [values[output.value].reshape(output.shape) for output in lowered.program.outputs]


def computes_with_floats(lowered: Lowered) -> bool:
    """Whether any step writes floats."""
    return any(step.output.dtype is DType.FLOAT32 for step in lowered.program.steps)


def functions(lowered: Lowered) -> list[Function]:
    """Those of the pointwise steps."""
    return [step.body.function for step in lowered.program.steps if isinstance(step.body, Pointwise)]


def runtime(model: bytes, x: Array, *, fused: bool = True) -> list[Array]:
    """Onnxruntime's answer, with its own fusion of these patterns or node by node."""
    options = onnxruntime.SessionOptions()
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if fused else levels.ORT_DISABLE_ALL
    return [np.asarray(each) for each in onnxruntime.InferenceSession(model, options).run(None, {"x": x})]


def as_written(model: bytes, monkeypatch: pytest.MonkeyPatch) -> Lowered:
    """The program without any rewriting."""
    with monkeypatch.context() as patched:
        patched.setattr(quantised, "integer_form", lambda *_: None)
        return compiled(model)


def sums(operator: str, dtype: Any, *, per_channel: bool, bias: bool, after: Sequence[tuple[str, Any]] = ()) -> bytes:
    """A quantised Conv, Gemm or MatMul, bounded by the operators of ``after``."""
    made = Network()
    shape = {"Conv": (6, 4, 3, 3), "Gemm": (6, 24), "MatMul": (24, 6)}[operator]
    axis = 1 if operator == "MatMul" else 0
    scale = np.linspace(0.01, 0.03, 6).astype(F) if per_channel else F(0.013)
    info = np.iinfo(dtype)
    weight = made.constant(RANDOM.integers(info.min, info.max + 1, shape).astype(dtype))
    zero = np.zeros(6, dtype) if per_channel else dtype(info.max - 126)
    inputs = [made.dq("x", X_SCALE, X_ZERO), made.dq(weight, scale, zero, axis=axis)]
    if bias:
        numbers = made.constant(RANDOM.integers(-4000, 4000, 6).astype(np.int32))
        scales = (X_SCALE * scale).astype(F)
        inputs.append(made.dq(numbers, scales, np.zeros_like(scales, np.int32), axis=0))
    every: dict[str, dict[str, Any]] = {"Conv": {"pads": [1, 0, 1, 1]}, "Gemm": {"transB": 1}, "MatMul": {}}
    attributes = every[operator]
    value = made.add(operator, *inputs, **attributes)
    for name, bounds in after:
        value = made.add(name, value, *(made.constant(bound) for bound in bounds))
    result = made.q(value, F(0.11), U(100))
    return made.model(
        IMAGE if operator == "Conv" else ROWS, [(result, TensorProto.UINT8, 4 if operator == "Conv" else 2)]
    )


@pytest.mark.parametrize("operator", ["Conv", "Gemm", "MatMul"])
@pytest.mark.parametrize("dtype", [U, S])
@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("after", [(), (("Relu", ()),), (("Clip", (F(-1), F(6))),)], ids=["plain", "relu", "clip"])
def test_sum_of_products_becomes_integers_and_agrees(
    operator: str, dtype: Any, per_channel: bool, after: Sequence[tuple[str, Any]]
) -> None:
    """One integer contraction, one requantisation and at most one clip; the integers are onnxruntime's fused ones."""
    x = IMAGE if operator == "Conv" else ROWS
    model = sums(operator, dtype, per_channel=per_channel, bias=operator != "MatMul", after=after)
    lowered = compiled(model)
    assert not computes_with_floats(lowered)
    assert functions(lowered) == [Function.REQUANTIZE, *([Function.CLIP] if after else [])]
    bodies = [step.body for step in lowered.program.steps]
    assert sum(isinstance(body, Contract) for body in bodies) == 1
    difference = answers(lowered, x)[0].astype(int) - runtime(model, x)[0]
    # Where onnxruntime does not fuse, it rounds a float sum: one quantum apart at most, and rarely.
    assert np.abs(difference).max() <= 1 and np.count_nonzero(difference) <= difference.size // 500 + 1


def test_bounds_that_the_type_has_make_no_step() -> None:
    """A Relu before a zero point that is the type's least number does nothing."""
    made = Network()
    weight = made.dq(made.constant(RANDOM.integers(-128, 128, (24, 6)).astype(S)), F(0.01), S(0))
    value = made.add("Relu", made.add("MatMul", made.dq("x", X_SCALE, X_ZERO), weight))
    model = made.model(ROWS, [(made.q(value, F(0.2), U(0)), TensorProto.UINT8, 2)])
    assert functions(compiled(model)) == [Function.REQUANTIZE]


MOVES: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "Reshape": ((np.array([2, -1]),), {}),
    "Transpose": ((), {"perm": [0, 2, 3, 1]}),
    "Flatten": ((), {}),
    "Slice": ((np.array([1]), np.array([9]), np.array([2]), np.array([2])), {}),
    "Gather": ((np.array([3, 0]),), {"axis": 1}),
    "Tile": ((np.array([1, 2, 1, 1]),), {}),
    "MaxPool": ((), {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    "GlobalMaxPool": ((), {}),
    "Relu": ((), {}),
    "Clip": ((F(-0.5), F(0.75)), {}),
    "DepthToSpace": ((), {"blocksize": 2}),
}


@pytest.mark.parametrize("operator", sorted(MOVES))
@pytest.mark.parametrize("x", [IMAGE, IMAGE.view(S)], ids=["unsigned", "signed"])
def test_moves_and_choices_become_integers_with_the_same_bits(
    operator: str, x: Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No floats are left, and every integer is what the floats would have given."""
    made, (constants, attributes) = Network(), MOVES[operator]
    zero = x.dtype.type(7)
    value = made.add(operator, made.dq("x", F(0.013), zero), *map(made.constant, constants), **attributes)
    rank = 2 if operator in ("Reshape", "Flatten") else 4
    model = made.model(x, [(made.q(value, F(0.013), zero), TYPES[x.dtype], rank)])
    lowered = compiled(model)
    assert not computes_with_floats(lowered)
    np.testing.assert_array_equal(answers(lowered, x)[0], answers(as_written(model, monkeypatch), x)[0])
    np.testing.assert_array_equal(answers(lowered, x)[0], runtime(model, x, fused=False)[0])


def test_concatenation_of_equal_scales_becomes_integers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both inputs stand for floats as the result does."""
    made = Network()
    left, right = made.dq("x", X_SCALE, X_ZERO), made.dq(made.constant(IMAGE[:, :1]), X_SCALE, X_ZERO)
    value = made.add("Concat", left, right, axis=1)
    model = made.model(IMAGE, [(made.q(value, X_SCALE, X_ZERO), TensorProto.UINT8, 4)])
    lowered = compiled(model)
    assert not computes_with_floats(lowered)
    np.testing.assert_array_equal(answers(lowered, IMAGE)[0], answers(as_written(model, monkeypatch), IMAGE)[0])


def test_chain_of_views_before_a_product_is_seen_through() -> None:
    """Weights that are transposed after their dequantisation, inputs that are reshaped after theirs."""
    made = Network()
    weight = made.dq(
        made.constant(RANDOM.integers(-128, 128, (6, 24)).astype(S)), np.full(6, 0.01, F), np.zeros(6, S), axis=0
    )
    shaped = made.add("Reshape", made.dq("x", X_SCALE, X_ZERO), made.constant(np.array([5, 1, 24])))
    value = made.add("MatMul", shaped, made.add("Transpose", weight, perm=[1, 0]))
    model = made.model(ROWS, [(made.q(value, F(0.2), U(128)), TensorProto.UINT8, 3)])
    lowered = compiled(model)
    assert functions(lowered) == [Function.REQUANTIZE]
    np.testing.assert_array_equal(answers(lowered, ROWS)[0], runtime(model, ROWS)[0])


def test_mean_over_all_places_becomes_integers() -> None:
    """A sum of integers, rescaled."""
    made = Network()
    value = made.add("GlobalAveragePool", made.dq("x", X_SCALE, X_ZERO))
    model = made.model(IMAGE, [(made.q(value, F(0.01), U(128)), TensorProto.UINT8, 4)])
    lowered = compiled(model)
    assert functions(lowered) == [Function.REQUANTIZE]
    np.testing.assert_array_equal(answers(lowered, IMAGE)[0], runtime(model, IMAGE)[0])


EIGHT = RANDOM.integers(-128, 128, (24, 6)).astype(S)


def product(made: Network, *, x: str = "", scale: Any = W_SCALE, zero: Any = W_ZERO) -> str:
    """The product of x and constant weights."""
    weight = made.dq(made.constant(EIGHT), scale, zero, axis=0)
    return made.add("MatMul", x or made.dq("x", X_SCALE, X_ZERO), weight)


def ended(made: Network, value: str, *more: tuple[str, int, int], scale: Any = Y_SCALE, zero: Any = Y_ZERO) -> bytes:
    """The model that quantises a value."""
    kind = TYPES[np.asarray(zero).dtype]
    return made.model(ROWS, [(made.q(value, scale, zero), kind, 2), *more])


def products_left_alone() -> dict[str, bytes]:
    """Sums of products that come near a pattern without being one."""
    found, made = {}, Network()
    value = product(made)
    found["sum is read twice"] = ended(made, value, (value, FLOAT, 2))
    made, scales = Network(), np.linspace(0.01, 0.02, 24).astype(F)
    found["scale differs along the sum"] = ended(made, product(made, scale=scales, zero=np.zeros(24, S)))
    made = Network()
    found["sixteen bits"] = ended(made, product(made), zero=np.int16(3))
    made = Network()
    shifted = made.add("Add", made.dq("x", X_SCALE, X_ZERO), made.constant(F(0.25)))
    found["operand is no dequantised tensor"] = ended(made, product(made, x=shifted))
    made = Network()
    found["scale overflows"] = ended(made, product(made, scale=F(1e-30)), scale=F(1e-25))
    for name, bias_scale in (("another bias scale", F(0.0003)), ("no bias scale", None)):
        made, numbers = Network(), np.arange(6, dtype=np.int32)
        floats = made.constant(numbers.astype(F))
        bias = floats if bias_scale is None else made.dq(made.constant(numbers), bias_scale, np.int32(0))
        weight = made.dq(made.constant(EIGHT), W_SCALE, W_ZERO)
        found[name] = ended(made, made.add("Gemm", made.dq("x", X_SCALE, X_ZERO), weight, bias))
    return found


def others_left_alone() -> dict[str, bytes]:
    """Other operators between conversions."""
    found, made = {}, Network()
    found["move to another scale"] = ended(made, made.add("Relu", made.dq("x", X_SCALE, X_ZERO)), scale=F(0.03))
    made = Network()
    found["sigmoid"] = ended(made, made.add("Sigmoid", made.dq("x", X_SCALE, X_ZERO)), scale=F(1 / 256))
    made = Network()
    ends = [made.dq("x", X_SCALE, X_ZERO), made.dq(made.constant(ROWS[:1]), F(0.03), U(5))]
    found["sum of two tensors"] = ended(made, made.add("Add", *ends))
    return found


LEFT_ALONE = products_left_alone() | others_left_alone()


@pytest.mark.parametrize(("name", "model"), LEFT_ALONE.items(), ids=LEFT_ALONE)
def test_what_does_not_match_exactly_stays_as_it_is_written(
    name: str, model: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program is the one without rewriting, and right."""
    lowered, plain = compiled(model), as_written(model, monkeypatch)
    assert lowered.program == plain.program and computes_with_floats(lowered)
    for ours, theirs in zip(answers(lowered, ROWS), runtime(model, ROWS, fused=False), strict=True):
        if ours.dtype == F:
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
        else:
            assert np.abs(ours.astype(int) - theirs).max() <= 1


def test_sum_that_could_wrap_stays_in_floats() -> None:
    """33,026 products of bytes can pass 2^31: their integers would wrap where the floats do not."""
    made, count = Network(), 33_026
    x = np.full((1, count), 255, U)
    weight = made.dq(made.constant(np.full((count, 1), 255, U)), F(0.01), U(0))
    value = made.add("MatMul", made.dq("x", F(0.01), U(0)), weight)
    model = made.model(x, [(made.q(value, F(2000), U(0)), TensorProto.UINT8, 2)])
    lowered = compiled(model)
    assert Function.REQUANTIZE not in functions(lowered)
    assert answers(lowered, x)[0] == round(255 * 255 * count * 1e-4 / 2000)


@pytest.mark.parametrize("scale", [F(3e38), F(1e-44)])
def test_integers_do_not_pass_where_floats_would_leave_their_range(scale: np.float32) -> None:
    """At the ends of the float range a dequantised integer does not come back; nothing is rewritten there."""
    made = Network()
    value = made.add("Identity", made.dq("x", scale, U(0)))
    model = made.model(ROWS, [(made.q(value, scale, U(0)), TensorProto.UINT8, 2)])
    assert Function.QUANTIZE in functions(compiled(model))


def test_dequantised_twice_gives_one_program_whatever_reads_it() -> None:
    """Several readers of one dequantised tensor each find its integers."""
    made = Network()
    x = made.dq("x", X_SCALE, X_ZERO)
    weights = [made.dq(made.constant(RANDOM.integers(-128, 128, (24, 3)).astype(S)), F(0.01), S(0)) for _ in range(2)]
    results = [made.q(made.add("MatMul", x, weight), F(0.2), U(3)) for weight in weights]
    lowered = compiled(made.model(ROWS, [(result, TensorProto.UINT8, 2) for result in results]))
    assert not computes_with_floats(lowered)
