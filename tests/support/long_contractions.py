"""Sums of 4,608 products, as a 3 × 3 convolution over 512 channels has: what gas per term is measured with."""

from __future__ import annotations

from typing import Final

import numpy as np
import onnx
from onnx import helper, numpy_helper
from tests.support.programs import matmul, program, random_floats, step, tensor, value, weight
from tests.support.referee_chain import Case

from sworn.model.program import Contract, Reduction
from sworn.types import DType, Tensors

TERMS: Final = 4608
_SEED: Final = 4


def float_case() -> Case:
    """A false claim about a sum of products of floats."""
    generator = np.random.default_rng(_SEED)
    made = matmul(1, TERMS, 2)
    inputs = [random_floats(generator, (1, TERMS))]
    weights = [random_floats(generator, (2, TERMS)), random_floats(generator, (2,))]
    return Case(program=made, inputs=inputs, weights=weights, index=1, claimed=0)


def byte_case() -> Case:
    """A false claim about a sum of products of bytes with zero points."""
    generator = np.random.default_rng(_SEED)
    body = Contract(
        left=value(0, (0, 0)),
        right=weight(0, (0, TERMS)),
        reductions=(Reduction(extent=TERMS, left_stride=1, right_stride=1),),
        left_zero=3,
        right_zero=-4,
    )
    made = program(
        (tensor((1, TERMS), DType.UINT8),), (step(body, (1, 2), DType.INT32),), (tensor((2, TERMS), DType.INT8),)
    )
    inputs = [generator.integers(0, 256, (1, TERMS)).astype(np.uint8)]
    weights = [generator.integers(-128, 128, (2, TERMS)).astype(np.int8)]
    return Case(program=made, inputs=inputs, weights=weights, index=1, claimed=0)


def convolution() -> tuple[bytes, Tensors]:
    """A network of one such convolution of floats, and an input for it; seeded."""
    generator = np.random.default_rng(_SEED)
    kernel = (generator.standard_normal((4, 512, 3, 3)) * np.sqrt(2 / TERMS)).astype(np.float32)
    bias = generator.uniform(-0.1, 0.1, 4).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["image", "kernel", "bias"], ["features"])],
        "convolution",
        [helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, [1, 512, 3, 3])],
        [helper.make_tensor_value_info("features", onnx.TensorProto.FLOAT, [1, 4, 1, 1])],
        [numpy_helper.from_array(kernel, "kernel"), numpy_helper.from_array(bias, "bias")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    # As after a rectifier: half of the values are zero.
    image = np.maximum(generator.standard_normal((1, 512, 3, 3)), 0).astype(np.float32)
    return bytes(model.SerializeToString()), {"image": image}
