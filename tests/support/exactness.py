"""Compiles models, runs them exactly, and compares with onnxruntime to tolerance and with the referee bit by bit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper
from tests.support.compiling import runtime_outputs

from sworn.engine.exact import execute
from sworn.model.compiler import lower
from sworn.model.lowered import Lowered
from sworn.model.program import Program, Space
from sworn.model.validation import validate
from sworn.model.weight_rules import validate_weights
from sworn.referee import element

Array = npt.NDArray[Any]
#: Element type and shape of each output.
Outputs = Sequence[tuple[int, Sequence[int | None]]]
FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


def evaluate(program: Program, weights: Sequence[Array], inputs: Sequence[Array]) -> list[Array]:
    """Every value tensor of a run, inputs included."""
    values = execute(program, weights, inputs, keep=True, include_virtual=True)
    return [values[number] for number in sorted(values)]


def one_node(
    operator: str,
    inputs: Mapping[str, Any],
    outputs: Outputs,
    *,
    fed: Sequence[str] = ("x",),
    domain: str = "",
    opset: int = 17,
    ml_opset: int = 3,
    **attributes: Any,
) -> bytes:
    """A model of one node; inputs that are not ``fed`` are constants of the file, None leaves one out."""
    names = [name if array is not None else "" for name, array in inputs.items()]
    results = [f"y{position}" for position in range(len(outputs))]
    node = helper.make_node(operator, names, results, domain=domain, **attributes)
    given = {name: np.asarray(array) for name, array in inputs.items() if array is not None}
    graph = helper.make_graph(
        [node],
        "g",
        [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(given[name].dtype), given[name].shape)
            for name in fed
        ],
        [helper.make_tensor_value_info(name, *kind) for name, kind in zip(results, outputs, strict=True)],
        [numpy_helper.from_array(array, name) for name, array in given.items() if name not in fed],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", ml_opset)]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString())


def serialised(model: onnx.ModelProto) -> bytes:
    """The bytes of a converted model."""
    return bytes(model.SerializeToString())


def assert_exact(
    model: bytes, feeds: Mapping[str, Array], *, rtol: float = 1e-5, atol: float = 1e-6, samples: int = 2
) -> Lowered:
    """Integers are onnxruntime's, floats agree to tolerance. The referee has the same bits in some elements."""
    shapes = {name: array.shape for name, array in feeds.items()}
    lowered = lower(model, input_shapes=shapes, evaluate=evaluate)
    validate(lowered.program)
    validate_weights(lowered.program, lowered.weights)
    inputs = [feeds[spec.name] for spec in lowered.schema.inputs]
    values = evaluate(lowered.program, lowered.weights, inputs)
    expected = runtime_outputs(model, list(feeds.values()))
    for output, theirs in zip(lowered.program.outputs, expected, strict=True):
        ours = values[output.value].reshape(output.shape)
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
        if ours.dtype.kind == "f":
            np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=atol)
        else:
            np.testing.assert_array_equal(ours, theirs)
    assert_judged(lowered, values, samples)
    return lowered


def assert_judged(lowered: Lowered, values: Sequence[Array], samples: int) -> None:
    """The referee has the bits of some elements of every step."""
    program, random = lowered.program, np.random.default_rng(0)
    bits = {Space.VALUE: [_bits(array) for array in values], Space.WEIGHT: [_bits(w) for w in lowered.weights]}

    def read(space: Space, tensor: int, index: int) -> int:
        return int(bits[space][tensor][index])

    for number in range(len(program.steps)):
        written = bits[Space.VALUE][len(program.inputs) + number]
        for index in {int(random.integers(len(written))) for _ in range(samples)}:
            assert element(program, number, index, read) == written[index], lowered.step_names[number]


def _bits(array: Array) -> Array:
    return np.ascontiguousarray(array).reshape(-1).view(f"u{array.dtype.itemsize}")
