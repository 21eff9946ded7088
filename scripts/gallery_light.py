"""Well-known networks at full size: topologies from the onnx package, with seeded weights as if trained.

The package's ``light_*`` files make every weight at run time, all 0.02, so that all outputs are one value. Here their
constants become He-normal weights, small biases and batch statistics near one and zero.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

SEED = 20260101
#: Inputs of a BatchNormalization after the data, in their order, and the range that each is drawn from. The scale is
#: below one, so that sixteen residual blocks do not saturate what comes after them.
STATISTICS = (("scale", 0.3, 0.7), ("bias", -0.1, 0.1), ("mean", -0.1, 0.1), ("variance", 0.6, 1.4))


def light_network(name: str) -> bytes:
    """A model such as "resnet50" that takes [1, 3, 224, 224]; the same bytes every time, up to 600 MB."""
    folder = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
    model = onnx.load(folder / f"light_{name}.onnx")
    graph = model.graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    made = {node.output[0]: constants[node.input[0]] for node in graph.node if node.op_type == "ConstantOfShape"}
    roles = constant_roles(graph)
    generator = np.random.default_rng(SEED)
    weights = [
        numpy_helper.from_array(drawn(generator, roles.get(output, ""), tuple(map(int, shape))), output)
        for output, shape in made.items()
    ]
    nodes = [node for node in graph.node if node.op_type != "ConstantOfShape"]
    used = {used for node in nodes for used in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    taken = [value for value in graph.input if value.name in used and value.name not in constants]
    lean = helper.make_graph(nodes, graph.name, taken, list(graph.output), [*kept, *weights])
    return bytes(helper.make_model(lean, opset_imports=model.opset_import, ir_version=8).SerializeToString())


def constant_roles(graph: onnx.GraphProto) -> dict[str, str]:
    """What each tensor is for, by name: "weight", "bias", or one of `STATISTICS`.

    Some files write a normalisation's scale and bias as Mul and Add of reshaped vectors.
    """
    roles: dict[str, str] = {}
    for node in graph.node:
        if node.op_type in {"Conv", "Gemm"}:
            roles.update(zip(node.input[1:], ("weight", "bias"), strict=False))
        elif node.op_type == "BatchNormalization":
            roles.update(zip(node.input[1:], (role for role, _, _ in STATISTICS), strict=True))
    reshaped = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "Unsqueeze"}
    for node in graph.node:
        if node.op_type in {"Mul", "Add"}:
            role = "scale" if node.op_type == "Mul" else "bias"
            roles.update({reshaped[name]: role for name in node.input if name in reshaped})
    return roles


def drawn(generator: np.random.Generator, role: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """A float32 tensor as a trained network might hold in that role."""
    if role == "weight":
        deviation = np.float32(np.sqrt(2 / np.prod(shape[1:])))
        return generator.standard_normal(shape, dtype=np.float32) * deviation
    low, high = next(((low, high) for name, low, high in STATISTICS if name == role), (-0.05, 0.05))
    return generator.uniform(low, high, shape).astype(np.float32)
