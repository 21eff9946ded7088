from __future__ import annotations

from random import Random
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.support import graphs
from tests.support.compiling import compiled, one_node
from tests.support.interpreter import interpret

from sworn.errors import ConfigurationError, ModelMalformed, ModelUnsupported, SwornError
from sworn.model.compiler import lower, lowering
from sworn.model.compiler.operators import Lowering

FLOAT = TensorProto.FLOAT
VALUE = np.ones((1, 4, 6, 6), np.float32)


@pytest.mark.parametrize(
    ("operator", "constants", "more"),
    [
        ("NonZero", {}, {"dtypes": [TensorProto.INT64]}),
        ("Reshape", {1: np.array([5, 5])}, {}),
        ("Transpose", {}, {"perm": [0, 1, 2, 2]}),
        ("Conv", {1: np.ones((4, 3, 3, 3), np.float32)}, {}),
        ("Conv", {1: np.ones((4, 4, 9, 9), np.float32)}, {}),
        ("Conv", {1: np.ones((4, 4, 3, 3), np.float32)}, {"pads": [1, 1]}),
        ("Conv", {1: np.ones((4, 4, 3, 3), np.float32)}, {"strides": [0, 1]}),
        ("MaxPool", {}, {"kernel_shape": [2, 2], "pads": [3, 3, 3, 3]}),
        ("Pow", {1: np.arange(36, dtype=np.float32).reshape(6, 6)}, {}),
        ("Gather", {1: np.array([4])}, {"axis": 1}),
        ("Split", {1: np.array([3, 3])}, {"axis": 1, "outputs": 2}),
        ("Tile", {1: np.array([1 << 20, 1 << 20, 1, 1])}, {}),
        ("Expand", {1: np.array([1 << 40, 1, 1, 1])}, {}),
        ("Pad", {1: np.array([0, 0, 9, 0, 0, 0, 0, 0])}, {"mode": "reflect"}),
        ("Cast", {}, {"to": TensorProto.DOUBLE, "dtypes": [TensorProto.DOUBLE]}),
        ("Cast", {}, {"to": TensorProto.FLOAT16, "dtypes": [TensorProto.FLOAT]}),
        ("Softmax", {}, {"axis": 7}),
        ("DepthToSpace", {}, {"blocksize": 5}),
        ("LayerNormalization", {1: np.ones(6, np.float32)}, {"stash_type": 10}),
        ("TopK", {1: np.array([9])}, {"outputs": 2, "dtypes": [FLOAT, TensorProto.INT64]}),
    ],
)
def test_operator_beyond_support_is_refused_by_name(
    operator: str, constants: dict[int, Any], more: dict[str, Any]
) -> None:
    """The error is typed and names the operator, or is the file's own malformation."""
    model, _ = one_node(operator, [VALUE], constants=constants, **more)
    with pytest.raises((ModelUnsupported, ModelMalformed)) as caught:
        compiled(model)
    assert operator in str(caught.value)


def test_dimensions_that_are_open_are_refused_with_an_example() -> None:
    """The message shows the argument that helps."""
    with pytest.raises(ModelUnsupported) as caught:
        compiled(graphs.unary("Relu", shape=("n", 3)))
    assert "input_shapes={'x': (1, 3)}" in str(caught.value)


@pytest.mark.parametrize("shapes", [{"x": (2, 4)}, {"x": (2,)}, {"z": (2, 3)}])
def test_input_shapes_that_do_not_fit_are_refused(shapes: dict[str, tuple[int, ...]]) -> None:
    """Unknown names, other ranks and other fixed sizes are the caller's mistake."""
    with pytest.raises(ConfigurationError):
        lower(graphs.unary("Relu", shape=("n", 3)), input_shapes=shapes, evaluate=interpret)


def test_input_without_elements_is_refused() -> None:
    """A program computes something."""
    with pytest.raises(ModelUnsupported):
        compiled(graphs.unary("Relu", shape=(0, 3)))


def test_weight_that_is_nan_is_refused() -> None:
    """No weight is NaN."""
    tensor = numpy_helper.from_array(np.array([1, np.nan], np.float32), "c")
    nodes = [helper.make_node("Add", ["x", "c"], ["y"])]
    with pytest.raises(ModelUnsupported):
        compiled(graphs.build(nodes, [("x", FLOAT, (2,))], [("y", FLOAT, (2,))], [tensor]))


def test_loops_in_graph_are_refused() -> None:
    """Control flow has no program."""
    with pytest.raises(ModelUnsupported) as caught:
        compiled(graphs.endless_loop())
    assert "Loop" in str(caught.value)


def test_shapes_from_data_are_refused_with_the_reason() -> None:
    """A shape that depends on an input's elements is no fixed shape."""
    nodes = [helper.make_node("Reshape", ["x", "s"], ["y"])]
    inputs = [("x", FLOAT, (4,)), ("s", TensorProto.INT64, (2,))]
    with pytest.raises(ModelUnsupported) as caught:
        compiled(graphs.build(nodes, inputs, [("y", FLOAT, (2, 2))]))
    assert "must be constant" in str(caught.value)


def test_attribute_that_no_lowering_reads_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """An attribute with a meaning that nobody has read cannot slip through."""
    careless = Lowering(function=lambda call: call.value(0), serves=())
    monkeypatch.setattr(lowering, "LOWERINGS", {("", "LeakyRelu", 16): careless})
    node = helper.make_node("LeakyRelu", ["x"], ["y"], alpha=0.5)
    with pytest.raises(ModelUnsupported) as caught:
        compiled(graphs.build([node], [("x", FLOAT, (2,))], [("y", FLOAT, (2,))]))
    assert "alpha" in str(caught.value)


def test_output_stated_with_other_sizes_has_those_that_are_computed() -> None:
    """Converters state sizes wrongly; the schema says what comes out."""
    nodes = [helper.make_node("Transpose", ["x"], ["y"])]
    lowered = compiled(graphs.build(nodes, [("x", FLOAT, (2, 3))], [("y", FLOAT, (3, 3))]))
    assert lowered.schema.outputs[0].shape == (3, 2)


@pytest.mark.parametrize("stated", [(FLOAT, (3, 2, 1)), (TensorProto.DOUBLE, (3, 2)), (TensorProto.INT32, (3, 2))])
def test_output_stated_with_another_rank_or_type_is_refused(stated: tuple[int, tuple[int, ...]]) -> None:
    """A file whose output contradicts its nodes is malformed."""
    nodes = [helper.make_node("Transpose", ["x"], ["y"])]
    with pytest.raises(ModelMalformed):
        compiled(graphs.build(nodes, [("x", FLOAT, (2, 3))], [("y", *stated)]))


def test_files_with_bytes_changed_raise_typed_errors_only() -> None:
    """Whatever a damaged file holds, compiling it ends with a program or a typed error."""
    random = Random(11)
    weight = np.ones((2, 4, 3, 3), np.float32)
    models = [
        graphs.unary("Softmax", shape=(2, 3)),
        one_node("Conv", [VALUE], constants={1: weight}, pads=[1, 1, 1, 1])[0],
        one_node("MaxPool", [VALUE], kernel_shape=[3, 3], strides=[2, 2])[0],
        one_node("Reshape", [VALUE], constants={1: np.array([4, -1])})[0],
        one_node("Pad", [VALUE], constants={1: np.arange(8)}, mode="edge")[0],
    ]
    outcomes = set()
    for _ in range(1500):
        damaged = bytearray(random.choice(models))
        for _ in range(random.randint(1, 3)):
            damaged[random.randrange(len(damaged))] = random.choice((0, 1, 127, 128, 255, random.randrange(256)))
        try:
            compiled(bytes(damaged))
            outcomes.add("compiled")
        except SwornError as error:
            outcomes.add(type(error).__name__)
    assert {"compiled", "ModelMalformed", "ModelUnsupported"} <= outcomes
