"""What onnxruntime's kernels may compute on this machine: those that pass a trial, once per process.

Functions with a tolerance must keep to half of it at 2**16 points, functions without one must give the bits of the
exact executor, sums must keep to half of their bound (which no TF32 or bfloat16 arithmetic does), and sums of bytes
must be exact where instructions for pairs of products may saturate.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sworn.engine.bounded.trials import (
    POINTS,
    convolution_program,
    floats,
    function_program,
    kernel_values,
    position_program,
    product_program,
    sum_program,
)
from sworn.engine.exact.executor import ExactExecutor
from sworn.model.canonical import is_covered
from sworn.model.program import Contract, Extremum, Function, Pointwise, Program
from sworn.referee.tolerances import TOLERANCES
from sworn.types import DType

Array = NDArray[Any]

_SEED = 20260101
_UNIT = 2.0**-24
#: Lengths of sums that are tried: every loop of the kernels, and what is left over behind it.
_LENGTHS = (1, 3, 16, 67, 515)
_BYTES = (DType.UINT8, DType.INT8)
_FLOAT = DType.FLOAT32


def is_trusted(program: Program, number: int, fused: Mapping[int, int]) -> bool:
    """Whether kernels of this machine may compute a step; ``fused`` pairs some with one that they depend on."""
    step = program.steps[number]
    match step.body:
        case Pointwise() as body if body.function is Function.REQUANTIZE:
            return number in fused and are_byte_sums_exact()
        case Pointwise() as body:
            return is_covered(body.function) and is_function_right(body.function)
        case Contract():
            return are_sums_right()
        case Extremum():
            return are_positions_first()
        case _:
            return True


@cache
def is_function_right(function: Function) -> bool:
    """Whether a function's kernel keeps to half of its tolerance, or has none and gives the exact bits."""
    generator = np.random.default_rng(_SEED)
    if function in TOLERANCES:
        return function in _REALS and _is_near(function, generator)
    return all(_is_exact(function, *kinds, generator) for kinds in _KINDS.get(function, (((_FLOAT,), _FLOAT),)))


def _sigmoid(a: Array) -> Array:
    return np.asarray(1.0 / (1.0 + np.exp(-a)))


def _erf(a: Array) -> Array:
    return np.array([math.erf(x) for x in a.tolist()])


#: The functions in float64, and the range of each operand within which intervals keep it.
_REALS: MappingProxyType[Function, tuple[Callable[..., Array], tuple[tuple[float, float], ...]]] = MappingProxyType(
    {
        Function.EXP: (np.exp, ((-math.inf, 80.0),)),
        Function.LOG: (np.log, ((2.0**-60, math.inf),)),
        Function.TANH: (np.tanh, ((-math.inf, math.inf),)),
        Function.SIGMOID: (_sigmoid, ((-math.inf, math.inf),)),
        Function.ERF: (_erf, ((-math.inf, math.inf),)),
    }
)


def _is_near(function: Function, generator: np.random.Generator) -> bool:
    real, ranges = _REALS[function]
    operands = [floats(generator, low=low, high=high) for low, high in ranges]
    program = function_program(function, [_FLOAT] * len(operands), _FLOAT)
    found = kernel_values(program, [], operands)
    if found is None:
        return False
    with np.errstate(all="ignore"):
        expected = real(*(operand.astype(np.float64) for operand in operands))
        tolerance = TOLERANCES[function]
        added = 0.0 if tolerance.abs_exponent is None else 2.0**tolerance.abs_exponent
        room = (tolerance.rel * _UNIT * np.abs(expected) + added) / 2 * (1 + 2.0**-20)
        is_near = np.abs(found - expected) <= room
        # Beyond the greatest float32 there is nothing to compare.
        return bool(np.all(is_near | (found == expected) | (np.abs(expected) > 2.0**127)))


_COMPARISON = (
    ((_FLOAT, _FLOAT), DType.BOOL),
    ((DType.INT64, DType.INT64), DType.BOOL),
    ((DType.INT32,) * 2, DType.BOOL),
)
_PAIR = (((_FLOAT, _FLOAT), _FLOAT),)
_CHOICE = (*_PAIR, ((DType.INT64,) * 2, DType.INT64), ((DType.INT32,) * 2, DType.INT32))
_LOGIC = (((DType.BOOL, DType.BOOL), DType.BOOL),)
#: Operand types and result types for which a function is tried, where they are not float32 alone.
_KINDS: MappingProxyType[Function, tuple[tuple[tuple[DType, ...], DType], ...]] = MappingProxyType(
    {
        Function.ADD: _PAIR,
        Function.SUB: _PAIR,
        Function.MUL: _PAIR,
        Function.DIV: _PAIR,
        Function.PRELU: _PAIR,
        Function.MIN: _CHOICE,
        Function.MAX: _CHOICE,
        Function.EQUAL: (*_COMPARISON, *_LOGIC),
        Function.LESS: _COMPARISON,
        Function.LESS_OR_EQUAL: _COMPARISON,
        Function.GREATER: _COMPARISON,
        Function.GREATER_OR_EQUAL: _COMPARISON,
        Function.AND: _LOGIC,
        Function.OR: _LOGIC,
        Function.XOR: _LOGIC,
        Function.NOT: (((DType.BOOL,), DType.BOOL),),
        Function.WHERE: tuple(
            ((DType.BOOL, kind, kind), kind) for kind in (_FLOAT, DType.INT32, DType.INT64, DType.UINT8)
        ),
        Function.CAST: tuple(
            ((kind,), result)
            for result in (_FLOAT, DType.INT64)
            for kind in (DType.INT32, DType.INT64, DType.UINT8, DType.BOOL)
        ),
        Function.QUANTIZE: tuple(((_FLOAT, _FLOAT, kind), kind) for kind in _BYTES),
        Function.DEQUANTIZE: tuple(((kind, _FLOAT, kind), _FLOAT) for kind in _BYTES),
    }
)


def _points(generator: np.random.Generator, kind: DType) -> Array:
    if kind is _FLOAT:
        # Sums and products of these stay finite; ties of roundings to integers are among them.
        found = floats(generator, low=-(2.0**60), high=2.0**60)
        found[::7] = np.round(found[::7] * 4) / 4
        return found + np.float32(0.0)
    if kind is DType.BOOL:
        return generator.integers(0, 2, POINTS).astype(np.bool_)
    limits = np.iinfo(kind.numpy)
    found = generator.integers(limits.min, limits.max, POINTS, dtype=kind.numpy, endpoint=True)
    found[::3] >>= found.itemsize * 4
    return found


def _is_exact(function: Function, kinds: Sequence[DType], result: DType, generator: np.random.Generator) -> bool:
    program = function_program(function, kinds, result)
    inputs = [_points(generator, each.dtype) for each in program.inputs]
    if function in (Function.DIV, Function.SQRT, Function.RECIPROCAL):
        # What is divided by, or has a root.
        inputs[-1] = np.maximum(np.abs(inputs[-1]), np.float32(2.0**-60))
    scale = 1.0 if function is Function.QUANTIZE else 0.0371
    weights = [np.array([scale if kind.dtype is _FLOAT else 3], dtype=kind.dtype.numpy) for kind in program.weights]
    return _agrees(program, weights, inputs)


def _exact_value(program: Program, weights: Sequence[Array], inputs: Sequence[Array], value: int) -> Array:
    return ExactExecutor(program, weights, joins=False).run(inputs, keep=[value])[value]


def _agrees(program: Program, weights: Sequence[Array], inputs: Sequence[Array]) -> bool:
    """Whether kernels give the last value of a program as the exact executor does."""
    found = kernel_values(program, weights, inputs)
    last = len(program.inputs) + len(program.steps) - 1
    expected = _exact_value(program, weights, inputs, last)
    return found is not None and bool(np.array_equal(found.reshape(-1), expected.reshape(-1)))


@cache
def are_sums_right() -> bool:
    """Whether products, convolutions, sums and means keep to half of their bound."""
    generator = np.random.default_rng(_SEED)
    programs = [product_program(rows, terms, 9, kinds=(_FLOAT, _FLOAT)) for terms in _LENGTHS for rows in (1, 6)]
    programs += [convolution_program(7, channels, 17, kinds=(_FLOAT, _FLOAT)) for channels in (1, 8, 19)]
    programs += [sum_program(5, terms, divisor=divisor) for terms in _LENGTHS[1:] for divisor in (1, terms)]
    return all(_is_sum_right(program, generator) for program in programs)


def _is_sum_right(program: Program, generator: np.random.Generator) -> bool:
    body = program.steps[0].body
    taken = [*program.inputs, *program.weights]
    arrays = [generator.standard_normal(each.shape).astype(np.float32) for each in taken]
    inputs, weights = arrays[:1], arrays[1:]
    found = kernel_values(program, weights, inputs)
    expected = _exact_value(program, weights, inputs, 1)
    sizes = _exact_value(program, [np.abs(weight) for weight in weights], [np.abs(inputs[0])], 1)
    if found is None or not isinstance(body, Contract):
        return False
    kappa = math.prod(reduction.extent for reduction in body.reductions) + (1 if body.divisor == 1 else 3)
    # The expected value is itself rounded.
    room = (kappa / 2 + 1) * _UNIT * sizes.astype(np.float64)
    return bool(np.all(np.abs(found.reshape(-1) - expected.reshape(-1).astype(np.float64)) <= room.reshape(-1)))


@cache
def are_byte_sums_exact() -> bool:
    """Whether sums of products of bytes are exact, extreme ones included, and requantised as they should be."""
    generator = np.random.default_rng(_SEED)
    pairs = [(data, weight) for data in _BYTES for weight in _BYTES]
    programs = [
        product_program(rows, terms, 9, kinds=kinds) for kinds in pairs for terms in _LENGTHS for rows in (1, 6)
    ]
    programs += [convolution_program(6, channels, 17, kinds=kinds) for kinds in pairs for channels in (1, 8, 19)]
    return all(
        _are_bytes_exact(program, generator, is_extreme=is_extreme)
        for program in programs
        for is_extreme in (False, True)
    )


def _are_bytes_exact(program: Program, generator: np.random.Generator, *, is_extreme: bool) -> bool:
    arrays = [
        _bytes(generator, each.shape, each.dtype, is_extreme=is_extreme)
        for each in (*program.inputs, *program.weights[:1])
    ]
    bias = generator.integers(-500, 500, program.weights[1].shape, dtype=np.int32)
    terms = math.prod(program.weights[0].shape[1:])
    scale = np.array([100.0 / (255 * 127 * terms) if is_extreme else 2.0 / (128 * terms**0.5)], dtype=np.float32)
    if kernel_values(program, [arrays[1], bias, scale], arrays[:1]) is None:
        # No kernel, nothing to trust: the step will not be given to one.
        return True
    return _agrees(program, [arrays[1], bias, scale], arrays[:1])


def _bytes(generator: np.random.Generator, shape: Sequence[int], dtype: DType, *, is_extreme: bool) -> Array:
    limits = np.iinfo(dtype.numpy)
    if is_extreme:
        rows = np.array([limits.max, limits.min], dtype=dtype.numpy)[generator.integers(0, 2, shape[0])]
        return np.broadcast_to(rows.reshape(-1, *[1] * (len(shape) - 1)), shape).copy()
    return generator.integers(limits.min, limits.max, shape, dtype=dtype.numpy, endpoint=True)


@cache
def are_positions_first() -> bool:
    """Whether of equal elements the first is found."""
    generator = np.random.default_rng(_SEED)
    programs = [
        position_program(40, extent, largest=largest) for extent in (2, 3, 8, 17, 64, 1000) for largest in (True, False)
    ]
    return all(
        _agrees(program, [], [generator.integers(-2, 3, program.inputs[0].shape).astype(np.float32)])
        for program in programs
    )
