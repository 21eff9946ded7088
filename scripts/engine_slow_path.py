"""The most that weights can slow profile ``exact`` down: sums that cancel, so that float64 decides no element."""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

import sworn
from engine_timing import in_turns
from gallery_light import SEED

ROWS, TERMS, COLUMNS = 40, 4096, 40


def undecided_over_plain(*, measured_s: float) -> float:
    """Time of a matrix product none of whose elements float64 decides, as a multiple of an ordinary one."""
    generator = np.random.default_rng(SEED)
    half, factors = _wide(generator, (ROWS, TERMS // 2)), _wide(generator, (TERMS // 2, COLUMNS))
    opposed = -factors
    # One unit in the last place of one factor is all that every other sum leaves.
    opposed[0, ::2] = np.nextafter(opposed[0, ::2], np.float32(np.inf))
    cancelling = product(np.concatenate([factors, opposed]))
    plain = product(generator.standard_normal((TERMS, COLUMNS), dtype=np.float32))
    inputs = {
        "cancelling": {"x": np.concatenate([half, half], axis=1)},
        "plain": {"x": generator.standard_normal((ROWS, TERMS), dtype=np.float32)},
    }
    slow, usual = in_turns(
        (lambda: cancelling.run(inputs["cancelling"]), lambda: plain.run(inputs["plain"])), measured_s=measured_s
    )
    return slow / usual


def product(weights: NDArray[np.float32]) -> sworn.CompiledModel:
    """A model that multiplies [rows, terms] by weights [terms, columns]."""
    shapes = {"x": [ROWS, TERMS], "y": [ROWS, COLUMNS]}
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    graph = helper.make_graph(nodes, "product", ports[:1], ports[1:], [numpy_helper.from_array(weights, "w")])
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return sworn.compile_model(bytes(model.SerializeToString()))


def _wide(generator: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Normal values, each scaled by a power of two up to 2**20 either way."""
    values = generator.standard_normal(shape) * np.exp2(generator.integers(-20, 21, shape))
    return values.astype(np.float32)
