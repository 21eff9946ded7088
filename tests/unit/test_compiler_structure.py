from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from tests.support import graphs
from tests.support.compiling import Array, assert_agrees, compiled, run
from tests.support.interpreter import interpret

from sworn.errors import ModelError, ModelUnsupported
from sworn.model.compiler import lower
from sworn.model.compiler.roots import inverse_root
from sworn.model.lowered import Lowered
from sworn.model.program import MAX_TERMS, Contract, Copy, Function, Pointwise, Rule, Space
from sworn.model.validation import validate

FLOAT = TensorProto.FLOAT
RANDOM = np.random.default_rng(7)


def floats(*shape: int) -> Array:
    """Normal random float32."""
    return RANDOM.standard_normal(shape).astype(np.float32)


def constant(name: str, array: Array) -> onnx.TensorProto:
    """An initializer."""
    return numpy_helper.from_array(array, name)


def rules(lowered: Lowered) -> list[Rule]:
    """The rules of a program's steps, in order."""
    return [step.rule for step in lowered.program.steps]


def small_network(order: Sequence[int] = tuple(range(9)), *, spare: bool = False) -> bytes:
    """Conv, BatchNormalization, Relu, two branches, Concat, mean, Gemm; ``order`` arranges the nodes."""
    node = helper.make_node
    nodes = [
        node("Conv", ["x", "w", "b"], ["c"], pads=[1, 1, 1, 1], name="conv"),
        node("BatchNormalization", ["c", "s", "t", "m", "v"], ["n"], name="bn"),
        node("Relu", ["n"], ["r"]),
        node("MaxPool", ["r"], ["p"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        node("Conv", ["r", "w2"], ["q"], name="side"),
        node("Sigmoid", ["q"], ["g"]),
        node("Concat", ["p", "g"], ["k"], axis=1),
        node("GlobalAveragePool", ["k"], ["a"]),
        node("Flatten", ["a"], ["y"]),
    ]
    random = np.random.default_rng(3)
    arrays = {
        "w": random.standard_normal((4, 3, 3, 3)),
        "w2": random.standard_normal((2, 4, 1, 1)),
        **{name: np.abs(random.standard_normal(4)) + 0.1 for name in "bstmv"},
    }
    if spare:
        nodes.append(node("Softmax", ["a"], ["unread"]))
        order = (*order, len(nodes) - 1)
    constants = [constant(name, array.astype(np.float32)) for name, array in arrays.items()]
    return graphs.build([nodes[k] for k in order], [("x", FLOAT, (1, 3, 6, 6))], [("y", FLOAT, (1, 6))], constants)


def test_network_against_onnxruntime_agrees() -> None:
    """A small network gives onnxruntime's output, and its program is valid."""
    lowered = assert_agrees(small_network(), [floats(1, 3, 6, 6)], rtol=1e-4, atol=1e-5)
    validate(lowered.program)


def test_network_by_steps_is_folded_and_bounded() -> None:
    """The input is copied to channels last, the batch norm and the Relu vanish, pooling is a position and a lookup."""
    lowered = compiled(small_network())
    expected = ["COPY", "CONTRACT", "EXTREMUM", "LOOKUP", "CONTRACT", "POINTWISE", "COPY", "COPY", "CONTRACT"]
    assert [rule.name for rule in rules(lowered)] == expected
    body = lowered.program.steps[1].body
    assert isinstance(body, Contract) and (body.lower, body.upper) == (0.0, None)
    assert lowered.program.weights[0].shape == (4, 3, 3, 3) and lowered.program.steps[1].output.shape == (1, 6, 6, 4)
    assert lowered.program.steps[2].virtual


def test_program_from_nodes_in_another_order_is_the_same() -> None:
    """The order in which a file lists independent nodes, and nodes that nothing reads, play no part."""
    first, other = compiled(small_network()), compiled(small_network((0, 1, 2, 4, 5, 3, 6, 7, 8), spare=True))
    assert first.program == other.program
    assert all(np.array_equal(a, b) for a, b in zip(first.weights, other.weights, strict=True))


def test_program_compiled_twice_is_the_same() -> None:
    """Nothing in a program depends on the run of the compiler."""
    first, again = compiled(small_network()), compiled(small_network())
    assert first.program == again.program and first.step_names == again.step_names


def test_step_names_by_step_say_where_it_comes_from() -> None:
    """One name per step, with operator and node."""
    lowered = compiled(small_network())
    assert len(lowered.step_names) == len(lowered.program.steps)
    assert any(name.startswith("Conv side") for name in lowered.step_names)


def test_conv_weights_in_program_lie_channels_last() -> None:
    """Weights are stored [Cout][kh][kw][Cin/g], so that one window reads them from end to end."""
    weight = floats(2, 3, 2, 5)
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"])]
    model = graphs.build(nodes, [("x", FLOAT, (1, 3, 6, 6))], [("y", FLOAT, (1, 2, 5, 2))], [constant("w", weight)])
    lowered = compiled(model)
    assert np.array_equal(lowered.weights[0], weight.transpose(0, 2, 3, 1))


def test_views_in_program_are_no_steps() -> None:
    """Reshape, Transpose, Slice, Squeeze and Unsqueeze only change how a step reads."""
    nodes = [
        helper.make_node("Reshape", ["x", "shape"], ["a"]),
        helper.make_node("Transpose", ["a"], ["b"], perm=[1, 0]),
        helper.make_node("Slice", ["b", "one", "three", "zero"], ["c"]),
        helper.make_node("Unsqueeze", ["c", "zero"], ["d"]),
        helper.make_node("Exp", ["d"], ["y"]),
    ]
    numbers = {"shape": [3, 4], "one": [1], "three": [3], "zero": [0]}
    constants = [constant(name, np.array(value, np.int64)) for name, value in numbers.items()]
    model = graphs.build(nodes, [("x", FLOAT, (12,))], [("y", FLOAT, (1, 2, 3))], constants)
    lowered = assert_agrees(model, [floats(12)])
    assert rules(lowered) == [Rule.POINTWISE, Rule.COPY]


def test_contraction_beyond_the_limit_is_cut_into_blocks() -> None:
    """More than MAX_TERMS terms become steps of at most MAX_TERMS, summed with the bias by one more."""
    depth = 2 * MAX_TERMS + 5
    constants = [constant("w", floats(depth, 2)), constant("b", floats(2))]
    nodes = [helper.make_node("Gemm", ["x", "w", "b"], ["h"]), helper.make_node("Relu", ["h"], ["y"])]
    model = graphs.build(nodes, [("x", FLOAT, (1, depth))], [("y", FLOAT, (1, 2))], constants)
    lowered = assert_agrees(model, [floats(1, depth)], rtol=1e-3, atol=1e-3)
    validate(lowered.program)
    bodies = [step.body for step in lowered.program.steps if isinstance(step.body, Contract)]
    assert [body.reductions[0].extent for body in bodies] == [MAX_TERMS, MAX_TERMS, 5, 3]
    assert [body.bias is None for body in bodies] == [True, True, True, False]
    assert [body.lower for body in bodies] == [None, None, None, 0.0]


def test_relu_beside_another_reader_stays_a_step() -> None:
    """A bound moves into a contraction only when nothing else reads the contraction."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Add", ["r", "h"], ["y"]),
    ]
    model = graphs.build(nodes, [("x", FLOAT, (2, 3))], [("y", FLOAT, (2, 4))], [constant("w", floats(3, 4))])
    functions = [s.body.function for s in compiled(model).program.steps if isinstance(s.body, Pointwise)]
    assert functions == [Function.RELU, Function.ADD]


def test_weights_that_are_equal_are_kept_once() -> None:
    """Two equal constants are one weight, and −0 is +0."""
    first, second = np.array([0.0, 2.0], np.float32), np.array([-0.0, 2.0], np.float32)
    nodes = [helper.make_node("Add", ["x", "a"], ["h"]), helper.make_node("Mul", ["h", "b"], ["y"])]
    constants = [constant("a", first), constant("b", second)]
    lowered = compiled(graphs.build(nodes, [("x", FLOAT, (2,))], [("y", FLOAT, (2,))], constants))
    assert len(lowered.weights) == 1 and not np.signbit(lowered.weights[0]).any()


def test_constants_in_program_are_computed_beforehand() -> None:
    """What depends on constants alone is a weight, not a step."""
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Cast", ["shape"], ["size"], to=FLOAT),
        helper.make_node("Sqrt", ["size"], ["root"]),
        helper.make_node("Mul", ["x", "root"], ["y"]),
    ]
    lowered = compiled(graphs.build(nodes, [("x", FLOAT, (4,))], [("y", FLOAT, (4,))]))
    assert len(lowered.program.steps) == 1 and lowered.weights[0].tolist() == [2.0]


def test_outputs_of_inputs_and_constants_are_given() -> None:
    """An output that is an input needs no step; one that is a constant is copied."""
    nodes = [helper.make_node("Identity", ["x"], ["y"]), helper.make_node("Identity", ["c"], ["z"])]
    outputs = [("y", FLOAT, (2,)), ("z", FLOAT, (3,))]
    lowered = compiled(graphs.build(nodes, [("x", FLOAT, (2,))], outputs, [constant("c", floats(3))]))
    assert [output.value for output in lowered.program.outputs] == [0, 1]
    body = lowered.program.steps[0].body
    assert isinstance(body, Copy) and body.pieces[0].source.space is Space.WEIGHT


def test_open_dimensions_with_shapes_given_are_fixed() -> None:
    """The same file under two input shapes is two programs, each with fixed shapes."""
    model = graphs.unary("Relu", shape=("n", 3))
    lowered = lower(model, input_shapes={"x": (5, 3)}, evaluate=interpret)
    assert lowered.schema.inputs[0].shape == lowered.schema.outputs[0].shape == (5, 3)
    assert lowered.program.inputs[0].shape == (5, 3)


#: Scales whose quotient stays within float32.
SCALES = st.floats(min_value=-(2.0**115), max_value=2.0**115, width=32)


@given(gamma=SCALES, variance=st.floats(min_value=0, width=32, allow_infinity=False, allow_nan=False))
def test_inverse_root_of_any_numbers_is_the_nearest_float(gamma: float, variance: float) -> None:
    """No float32 lies nearer to γ/√(var + ε): compared by squares, in fractions."""
    epsilon = float(np.float32(1e-5))
    got = inverse_root(np.array([gamma], np.float32), np.array([variance], np.float32), epsilon, label="")[0]
    exact = Fraction(gamma) ** 2 / (Fraction(variance) + Fraction(epsilon))
    size = np.abs(got)
    above, below = np.nextafter(size, np.float32(np.inf)), np.nextafter(size, np.float32(0))
    middles = [(Fraction(float(size)) + Fraction(float(edge))) / 2 for edge in (below, above) if np.isfinite(edge)]
    assert exact >= middles[0] ** 2 and all(exact <= middle**2 for middle in middles[1:])
    assert got == 0 or np.signbit(got) == (gamma < 0)


@pytest.mark.parametrize(("gamma", "variance"), [(2.0**127, 0.0), (1.0, -1.0), (np.inf, 1.0), (1.0, np.inf)])
def test_inverse_root_without_a_float_is_refused(gamma: float, variance: float) -> None:
    """Overflow, negative variance and infinite statistics end compilation."""
    with pytest.raises(ModelUnsupported):
        inverse_root(np.array([gamma], np.float32), np.array([variance], np.float32), 2.0**-17, label="bn")


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 2, 3, 1), (3, 1, 0, 2)])
def test_result_of_pointwise_on_a_view_keeps_its_order(order: tuple[int, ...]) -> None:
    """A function of a transposed value is stored as the value is: one copy at the end puts it in order."""
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=order),
        helper.make_node("Exp", ["t"], ["y"]),
    ]
    shape = tuple((2, 3, 4, 5)[k] for k in order)
    model = graphs.build(nodes, [("x", FLOAT, (2, 3, 4, 5))], [("y", FLOAT, shape)])
    lowered = assert_agrees(model, [floats(2, 3, 4, 5)])
    assert lowered.program.steps[0].output.shape == (2, 3, 4, 5) and lowered.program.steps[0].axes == (120,)


def model_with_functions(*, recursive: bool = False) -> bytes:
    """Y = f(x, slope=0.5), f calling g twice with its own attribute."""
    inner = helper.make_node("LeakyRelu", ["a"], ["b"])
    inner.attribute.add(name="alpha", ref_attr_name="slope", type=onnx.AttributeProto.FLOAT)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    calls = []
    for source, target in (("p", "q"), ("q", "r")):
        call = helper.make_node("f" if recursive else "g", [source], [target], domain="own")
        call.attribute.add(name="slope", ref_attr_name="slope", type=onnx.AttributeProto.FLOAT)
        calls.append(call)
    calls.append(helper.make_node("Add", ["r", "p"], ["s"]))
    functions = [
        helper.make_function("own", "g", ["a"], ["b"], [inner], opsets, ["slope"]),
        helper.make_function("own", "f", ["p"], ["s"], calls, opsets, ["slope"]),
    ]
    nodes = [helper.make_node("f", ["x"], ["y"], domain="own", slope=0.5)]
    values = [helper.make_tensor_value_info(name, FLOAT, [3]) for name in "xy"]
    graph = helper.make_graph(nodes, "graph", values[:1], values[1:])
    model = helper.make_model(graph, opset_imports=opsets, functions=functions, ir_version=8)
    return bytes(model.SerializeToString())


def test_functions_of_the_model_are_put_in_place() -> None:
    """Calls within calls pass their attributes on, and names inside do not collide."""
    value = np.array([-4.0, 0.0, 2.0], np.float32)
    lowered = compiled(model_with_functions())
    assert run(lowered, [value])[0].tolist() == [-5.0, 0.0, 4.0]


def test_functions_that_call_themselves_are_refused() -> None:
    """Expansion ends."""
    with pytest.raises(ModelError):
        compiled(model_with_functions(recursive=True))
