"""Compiles small graphs and compares their programs with onnxruntime, to tolerance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from tests.support.interpreter import interpret

from sworn.engine.exact import execute
from sworn.model.compiler import lower
from sworn.model.lowered import Lowered
from sworn.model.program import Program

Array = npt.NDArray[Any]


def one_node(
    operator: str,
    inputs: Sequence[Array | None],
    *,
    constants: Mapping[int, Array] | None = None,
    outputs: int = 1,
    opset: int = 17,
    dtypes: Sequence[int] = (),
    **attributes: Any,
) -> tuple[bytes, list[Array]]:
    """A model of one node, and what to feed it. ``constants`` are inputs by position that are fixed in the file."""
    fixed = dict(constants or {})
    names, feeds, values, tensors = [], [], [], []
    for position in range(max([len(inputs) - 1, *fixed]) + 1):
        array = inputs[position] if position < len(inputs) else None
        name = f"x{position}" if array is not None or position in fixed else ""
        names.append(name)
        if position in fixed:
            tensors.append(numpy_helper.from_array(fixed[position], name))
        elif array is not None:
            feeds.append(array)
            values.append(
                helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
            )
    results = [f"y{position}" for position in range(outputs)]
    node = helper.make_node(operator, names, results, **attributes)
    kinds = list(dtypes) or [TensorProto.FLOAT] * outputs
    infos = [onnx.ValueInfoProto(name=name) for name in results]
    graph = helper.make_graph([node], "g", values, infos, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    shapes = {v.name: v.type for v in onnx.shape_inference.infer_shapes(model).graph.output}
    for info, kind in zip(model.graph.output, kinds, strict=True):
        # Where onnx infers nothing, the output is as wide as the first input.
        known = info.name in shapes and shapes[info.name].tensor_type.HasField("shape")
        rank = len(shapes[info.name].tensor_type.shape.dim) if known else feeds[0].ndim
        info.CopyFrom(helper.make_tensor_value_info(info.name, kind, [None] * rank))
    return bytes(model.SerializeToString()), feeds


def evaluate(program: Program, weights: Sequence[Array], inputs: Sequence[Array]) -> list[Array]:
    """Every value of a program by the exact executor."""
    values = execute(program, weights, inputs, keep=True, include_virtual=True)
    return [values[number] for number in range(len(values))]


def run(lowered: Lowered, feeds: Sequence[Array]) -> list[Array]:
    """The outputs of a program."""
    values = interpret(lowered.program, lowered.weights, feeds)
    return [values[output.value].reshape(output.shape) for output in lowered.program.outputs]


def compiled(model: bytes) -> Lowered:
    """The program of a model without open dimensions."""
    return lower(model, evaluate=interpret)


def runtime_outputs(model: bytes, feeds: Sequence[Array]) -> list[Array]:
    """What onnxruntime makes of a model."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    return [np.asarray(each) for each in session.run(None, dict(zip(names, feeds, strict=True)))]


def assert_agrees(model: bytes, feeds: Sequence[Array], *, rtol: float = 2e-5, atol: float = 2e-6) -> Lowered:
    """The program's outputs have onnxruntime's types, shapes and, to tolerance, values."""
    lowered = compiled(model)
    for ours, theirs in zip(run(lowered, feeds), runtime_outputs(model, feeds), strict=True):
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
        np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=atol)
    return lowered
