"""Small ONNX graphs, good and hostile, as bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnx
from onnx import TensorProto, helper

#: Name, element type and shape of an input or output.
Value = tuple[str, int, Sequence[int | str | None]]


def build(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[Value],
    outputs: Sequence[Value],
    constants: Sequence[onnx.TensorProto] = (),
    *,
    opset: int = 17,
) -> bytes:
    """A serialised model of IR version 8."""
    graph = helper.make_graph(
        list(nodes),
        "graph",
        [helper.make_tensor_value_info(*value) for value in inputs],
        [helper.make_tensor_value_info(*value) for value in outputs],
        list(constants),
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 8
    return bytes(model.SerializeToString())


def unary(
    operator: str, *, dtype: int = TensorProto.FLOAT, shape: Sequence[int | str | None] = (2,), **more: Any
) -> bytes:
    """One operator from x to y, both of the same dtype and shape."""
    return build([helper.make_node(operator, ["x"], ["y"])], [("x", dtype, shape)], [("y", dtype, shape)], **more)


def adder(name: str = "graph") -> bytes:
    """x, y: float32[2] → total, difference: float32[2]; ``name`` makes equal graphs differ in bytes."""
    nodes = [
        helper.make_node("Sub", ["x", "y"], ["difference"], name=name),
        helper.make_node("Add", ["x", "y"], ["total"]),
    ]
    values = [(value, TensorProto.FLOAT, (2,)) for value in ("x", "y", "total", "difference")]
    return build(nodes, values[:2], values[2:])


def endless_loop() -> bytes:
    """x: float32[2] → y after 2**60 additions of nothing."""
    zero = helper.make_tensor("zero", TensorProto.FLOAT, [2], [0.0, 0.0])
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["go_on"]), helper.make_node("Add", ["before", "zero"], ["after"])],
        "body",
        [
            helper.make_tensor_value_info("step", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("before", TensorProto.FLOAT, [2]),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("after", TensorProto.FLOAT, [2]),
        ],
    )
    constants = [
        zero,
        helper.make_tensor("steps", TensorProto.INT64, [], [2**60]),
        helper.make_tensor("start", TensorProto.BOOL, [], [True]),
    ]
    loop = helper.make_node("Loop", ["steps", "start", "x"], ["y"], body=body)
    return build([loop], [("x", TensorProto.FLOAT, [2])], [("y", TensorProto.FLOAT, [2])], constants)


def expander() -> bytes:
    """x: float32[1], size: int64[1] → y: float32[], the sum of x repeated ``size`` times."""
    nodes = [
        helper.make_node("Expand", ["x", "size"], ["wide"]),
        helper.make_node("ReduceSum", ["wide"], ["y"], keepdims=0),
    ]
    inputs: list[Value] = [("x", TensorProto.FLOAT, [1]), ("size", TensorProto.INT64, [1])]
    return build(nodes, inputs, [("y", TensorProto.FLOAT, [])])


def constant_bomb(elements: int) -> bytes:
    """x: float32[1] → y, with a constant of so many elements that optimising the graph computes it at load."""
    nodes = [
        helper.make_node("ConstantOfShape", ["size"], ["wide"]),
        helper.make_node("ReduceSum", ["wide"], ["total"], keepdims=0),
        helper.make_node("Add", ["x", "total"], ["y"]),
    ]
    size = helper.make_tensor("size", TensorProto.INT64, [1], [elements])
    return build(nodes, [("x", TensorProto.FLOAT, [1])], [("y", TensorProto.FLOAT, [1])], [size])


def integer_divider() -> bytes:
    """x, by: int32[1] → y: int32[1]; the smallest integer by minus one is a processor trap."""
    values: list[Value] = [(name, TensorProto.INT32, [1]) for name in ("x", "by", "y")]
    return build([helper.make_node("Div", ["x", "by"], ["y"])], values[:2], values[2:])


def outside_weights() -> bytes:
    """x: float32[2] → y, with a weight that lives in another file."""
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2], data_location=TensorProto.EXTERNAL)
    weight.external_data.add(key="location", value="../../etc/passwd")
    node = helper.make_node("Add", ["x", "w"], ["y"])
    return build([node], [("x", TensorProto.FLOAT, [2])], [("y", TensorProto.FLOAT, [2])], [weight])
