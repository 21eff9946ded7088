"""Small programs by which kernels of onnxruntime are tried on this machine, and the points at which they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sworn.engine.bounded.sessions import session_of
from sworn.errors import RunFailed
from sworn.model.canonical import Graph, requantisations_of, restored, stored, values_of
from sworn.model.program import (
    Clip,
    Contract,
    Extremum,
    Function,
    Operand,
    Pointwise,
    Program,
    Reduction,
    Space,
    Step,
    TensorType,
)
from sworn.types import DType

Array = NDArray[Any]

#: Points per function.
POINTS = 1 << 16


def kernel_values(program: Program, weights: Sequence[Array], inputs: Sequence[Array]) -> Array | None:
    """What onnxruntime gives for a program's last value, flat and in order; None where it has no kernel for it."""
    fused = requantisations_of(program)
    steps = [number for number in range(len(program.steps)) if number not in fused.values()]
    graph = Graph(program, weights, steps, fused=fused)
    if graph.refused:
        return None
    last = len(program.inputs) + len(program.steps) - 1
    try:
        model = graph.model([last])
        found = session_of(model, threads=1).run({name: stored(inputs[value]) for name, value in model.inputs.items()})
    except RunFailed:
        return None
    return restored(values_of(graph.forms[last], found[0]), program.steps[-1].output.dtype)


def _value(number: int, *strides: int, offset: int = 0) -> Operand:
    return Operand(space=Space.VALUE, tensor=number, offset=offset, strides=strides)


def _weight(number: int, *strides: int) -> Operand:
    return Operand(space=Space.WEIGHT, tensor=number, strides=strides)


def _tensor(*shape: int, dtype: DType = DType.FLOAT32) -> TensorType:
    return TensorType(dtype=dtype, shape=shape)


def function_program(function: Function, kinds: Sequence[DType], result: DType) -> Program:
    """A function of vectors; quantisation takes its scale and zero point as weights."""
    wide = 1 if function in (Function.QUANTIZE, Function.DEQUANTIZE) else len(kinds)
    operands = [_value(number, 1) for number in range(wide)] + [_weight(k, 0) for k in range(len(kinds) - wide)]
    body = Pointwise(function=function, operands=tuple(operands), alpha=-0.75, beta=1.5)
    return Program(
        inputs=tuple(_tensor(POINTS, dtype=kind) for kind in kinds[:wide]),
        weights=tuple(_tensor(1, dtype=kind) for kind in kinds[wide:]),
        steps=(Step(output=_tensor(POINTS, dtype=result), axes=(POINTS,), body=body),),
        outputs=(),
    )


def product_program(rows: int, terms: int, columns: int, *, kinds: Sequence[DType]) -> Program:
    """[rows, terms] × [columns, terms]ᵀ + [columns], requantised if the operands are bytes."""
    is_float = kinds[0] is DType.FLOAT32
    sums = DType.FLOAT32 if is_float else DType.INT32
    body = Contract(
        left=_value(0, terms, 0),
        right=_weight(0, 0, terms),
        bias=_weight(1, 0, 1),
        reductions=(Reduction(extent=terms, left_stride=1, right_stride=1),),
    )
    step = Step(output=_tensor(rows, columns, dtype=sums), axes=(rows, columns), body=body)
    weights = [_tensor(columns, terms, dtype=kinds[1]), _tensor(columns, dtype=sums)]
    return _assembled(_tensor(rows, terms, dtype=kinds[0]), weights, step)


def convolution_program(size: int, channels: int, filters: int, *, kinds: Sequence[DType]) -> Program:
    """[size, size, channels] by [filters, 3, 3, channels] with padding, requantised if the operands are bytes."""
    sums = DType.FLOAT32 if kinds[0] is DType.FLOAT32 else DType.INT32
    clips = [Clip(axis=axis, step=1, dilation=1, origin=-1, extent=size) for axis in (0, 1)]
    body = Contract(
        left=_value(0, size * channels, channels, 0, offset=-(size + 1) * channels),
        right=_weight(0, 0, 0, 9 * channels),
        bias=_weight(1, 0, 0, 1),
        reductions=(
            Reduction(extent=3, left_stride=size * channels, right_stride=3 * channels, clip=clips[0]),
            Reduction(extent=3, left_stride=channels, right_stride=channels, clip=clips[1]),
            Reduction(extent=channels, left_stride=1, right_stride=1),
        ),
    )
    step = Step(output=_tensor(size, size, filters, dtype=sums), axes=(size, size, filters), body=body)
    weights = [_tensor(filters, 3, 3, channels, dtype=kinds[1]), _tensor(filters, dtype=sums)]
    return _assembled(_tensor(size, size, channels, dtype=kinds[0]), weights, step)


def _assembled(taken: TensorType, weights: Sequence[TensorType], step: Step) -> Program:
    """A sum; of bytes, with its requantisation by a third weight."""
    if taken.dtype is DType.FLOAT32:
        return Program(inputs=(taken,), weights=tuple(weights), steps=(step,), outputs=())
    elements = step.output.elements
    body = Pointwise(function=Function.REQUANTIZE, operands=(_value(1, 1), _weight(2, 0)))
    scaled = Step(output=_tensor(elements, dtype=taken.dtype), axes=(elements,), body=body)
    return Program(inputs=(taken,), weights=(*weights, _tensor(1)), steps=(step, scaled), outputs=())


def sum_program(rows: int, terms: int, *, divisor: int) -> Program:
    """The sum or the mean of each row."""
    body = Contract(left=_value(0, terms), reductions=(Reduction(extent=terms, left_stride=1),), divisor=divisor)
    step = Step(output=_tensor(rows), axes=(rows,), body=body)
    return Program(inputs=(_tensor(rows, terms),), weights=(), steps=(step,), outputs=())


def position_program(rows: int, extent: int, *, largest: bool) -> Program:
    """The position of each row's greatest or least element."""
    body = Extremum(source=_value(0, extent), reductions=(Reduction(extent=extent, left_stride=1),), largest=largest)
    step = Step(output=_tensor(rows, dtype=DType.INT64), axes=(rows,), body=body)
    return Program(inputs=(_tensor(rows, extent),), weights=(), steps=(step,), outputs=())


def floats(generator: np.random.Generator, *, low: float, high: float) -> Array:
    """A quarter of the points uniform near 0, one less near, the rest with exponents of all sizes; the bounds too."""
    with np.errstate(all="ignore"):
        spans = [(max(low, -reach), min(high, reach)) for reach in (4.0, 128.0)]
        near = [generator.uniform(*span, POINTS // 4).astype(np.float32) for span in spans]
        signs = generator.choice(np.array([-1.0, 1.0]), POINTS // 2)
        far = (signs * np.exp2(generator.uniform(-149.0, 128.0, POINTS // 2))).astype(np.float32)
        found = np.concatenate([*near, np.clip(far, np.float32(low), np.float32(high))])
    found[:2] = low, high
    return found + np.float32(0.0)
