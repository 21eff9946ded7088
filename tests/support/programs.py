"""Programs made by hand, and what their contractions are by definition: rational sums over every term."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tests.support.ieee754 import BINARY32

from sworn.model.program import (
    Body,
    Clip,
    Contract,
    Function,
    Operand,
    Pointwise,
    Program,
    ProgramOutput,
    Reduction,
    Space,
    Step,
    TensorType,
)
from sworn.types import DType

Array = NDArray[Any]


def tensor(shape: Sequence[int], dtype: DType = DType.FLOAT32) -> TensorType:
    """A tensor type, float32 unless told."""
    return TensorType(dtype=dtype, shape=tuple(shape))


def row_major(shape: Sequence[int]) -> tuple[int, ...]:
    """Strides of a contiguous tensor, in elements."""
    return tuple(math.prod(shape[k + 1 :]) for k in range(len(shape)))


def value(number: int, strides: Sequence[int], offset: int = 0) -> Operand:
    """An operand over a value tensor."""
    return Operand(space=Space.VALUE, tensor=number, offset=offset, strides=tuple(strides))


def weight(number: int, strides: Sequence[int], offset: int = 0) -> Operand:
    """An operand over a weight tensor."""
    return Operand(space=Space.WEIGHT, tensor=number, offset=offset, strides=tuple(strides))


def step(body: Body, axes: Sequence[int], dtype: DType = DType.FLOAT32, *, virtual: bool = False) -> Step:
    """A step whose output has the shape of its axes."""
    return Step(output=tensor(axes, dtype), axes=tuple(axes), body=body, virtual=virtual)


def program(inputs: Sequence[TensorType], steps: Sequence[Step], weights: Sequence[TensorType] = ()) -> Program:
    """A program whose output is its last step's."""
    last = ProgramOutput(value=len(inputs) + len(steps) - 1, shape=steps[-1].output.shape)
    return Program(inputs=tuple(inputs), weights=tuple(weights), steps=tuple(steps), outputs=(last,))


def matmul(rows: int, terms: int, columns: int, *, constant: bool = True, **options: Any) -> Program:
    """[rows, terms] × [columns, terms]ᵀ + [columns]; the right operand is a weight, or the second input."""
    place = weight if constant else value
    right_shape, bias_shape = tensor((columns, terms)), tensor((columns,))
    body = Contract(
        left=value(0, (terms, 0)),
        right=place(0 if constant else 1, (0, terms)),
        bias=place(1 if constant else 2, (0, 1)),
        reductions=(Reduction(extent=terms, left_stride=1, right_stride=1),),
        **options,
    )
    others = (right_shape, bias_shape)
    inputs = (tensor((rows, terms)), *(() if constant else others))
    return program(inputs, (step(body, (rows, columns)),), others if constant else ())


def convolution(
    size: int,
    channels: int,
    filters: int,
    *,
    kernel: int = 3,
    stride: int = 1,
    padding: int = 1,
    dilation: int = 1,
    groups: int = 1,
    **options: Any,
) -> Program:
    """[1, size, size, channels] by [filters, kernel, kernel, channels / groups], square, with bias, NHWC."""
    out = (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    depth, width = channels // groups, filters // groups
    clips = [Clip(axis=k, step=stride, dilation=dilation, origin=-padding, extent=size) for k in (1, 2)]
    taps = kernel * kernel * depth
    reductions = (
        Reduction(extent=kernel, left_stride=dilation * size * channels, right_stride=kernel * depth, clip=clips[0]),
        Reduction(extent=kernel, left_stride=dilation * channels, right_stride=depth, clip=clips[1]),
        Reduction(extent=depth, left_stride=1, right_stride=1),
    )
    moves = (size * size * channels, stride * size * channels, stride * channels, depth, 0)
    body = Contract(
        left=value(0, moves, offset=-padding * (size + 1) * channels),
        right=weight(0, (0, 0, 0, width * taps, taps)),
        bias=weight(1, (0, 0, 0, width, 1)),
        reductions=reductions,
        **options,
    )
    written = step(body, (1, out, out, groups, width))
    types = (tensor((filters, kernel, kernel, depth)), tensor((filters,)))
    return program((tensor((1, size, size, channels)),), (written,), types)


def average_pool(size: int, channels: int, *, kernel: int = 3, padding: int = 1, divisor: int = 0) -> Program:
    """The mean over windows of [size, size, channels]; divisor 0 leaves padding out."""
    out = size + 2 * padding - kernel + 1
    clips = [Clip(axis=k, step=1, dilation=1, origin=-padding, extent=size) for k in (0, 1)]
    body = Contract(
        left=value(0, (size * channels, channels, 1), offset=-padding * (size + 1) * channels),
        reductions=tuple(
            Reduction(extent=kernel, left_stride=stride, clip=clip)
            for stride, clip in zip((size * channels, channels), clips, strict=True)
        ),
        divisor=divisor,
    )
    return program((tensor((size, size, channels)),), (step(body, (out, out, channels)),))


def unary(function: Function, elements: int, *, alpha: float = 0.0, beta: float = 0.0) -> Program:
    """One function of a float32 vector."""
    body = Pointwise(function=function, operands=(value(0, (1,)),), alpha=alpha, beta=beta)
    return program((tensor((elements,)),), (step(body, (elements,)),))


def random_floats(generator: np.random.Generator, shape: Sequence[int], *, spread: int = 0) -> Array:
    """Normal float32 values, each scaled by a power of two up to ``spread`` either way."""
    values = generator.standard_normal(shape)
    return (values * np.exp2(generator.integers(-spread, spread + 1, shape))).astype(np.float32)


def weights_of(made: Program, generator: np.random.Generator, *, spread: int = 0) -> tuple[Array, ...]:
    """Random float32 weights of a program."""
    return tuple(random_floats(generator, item.shape, spread=spread) for item in made.weights)


def inputs_of(made: Program, generator: np.random.Generator, *, spread: int = 0) -> tuple[Array, ...]:
    """Random float32 inputs of a program."""
    return tuple(random_floats(generator, item.shape, spread=spread) for item in made.inputs)


def bits(array: Array) -> Array:
    """The bits of float32 elements."""
    return np.ascontiguousarray(array).view(np.uint32)


def _element(operand: Operand, o: Sequence[int], extra: int) -> int:
    return operand.offset + extra + sum(stride * index for stride, index in zip(operand.strides, o, strict=True))


def _counting(body: Contract, o: Sequence[int]) -> Iterator[tuple[int, ...]]:
    for r in itertools.product(*(range(reduction.extent) for reduction in body.reductions)):
        places = (
            (reduction.clip, o[reduction.clip.axis] * reduction.clip.step + i * reduction.clip.dilation)
            for reduction, i in zip(body.reductions, r, strict=True)
            if reduction.clip is not None
        )
        if all(0 <= x + clip.origin < clip.extent for clip, x in places):
            yield r


def contraction_terms(
    made: Program, weights: Sequence[Array], inputs: Sequence[Array], index: int
) -> tuple[list[Fraction], int]:
    """What one element of a program's only step, a float contraction, adds up, bias included, and its divisor."""
    written = made.steps[0]
    body = written.body
    assert isinstance(body, Contract)
    o = [int(i) for i in np.unravel_index(index, written.axes)]

    def read(operand: Operand, extra: int) -> Fraction:
        source = weights if operand.space is Space.WEIGHT else inputs
        return Fraction(float(source[operand.tensor].reshape(-1)[_element(operand, o, extra)]))

    terms = []
    for r in _counting(body, o):
        moved = [(reduction, i) for reduction, i in zip(body.reductions, r, strict=True)]
        term = read(body.left, sum(reduction.left_stride * i for reduction, i in moved))
        if body.right is not None:
            term *= read(body.right, sum(reduction.right_stride * i for reduction, i in moved))
        terms.append(term)
    divisor = body.divisor or len(terms)
    return terms if body.bias is None else [*terms, read(body.bias, 0)], divisor


def contraction_bits(made: Program, weights: Sequence[Array], inputs: Sequence[Array], index: int) -> int:
    """Bits of one element of a program's only step, a float contraction, by its definition in rationals."""
    body = made.steps[0].body
    assert isinstance(body, Contract)
    terms, divisor = contraction_terms(made, weights, inputs, index)
    total = sum(terms, Fraction(0))
    rounded = BINARY32.nearest(total / divisor)
    if rounded is None:
        rounded = BINARY32.infinity | (BINARY32.sign if total < 0 else 0)
    clamped = np.array(rounded, dtype=np.uint32).view(np.float32)
    clamped = np.clip(clamped, body.lower, body.upper) if (body.lower, body.upper) != (None, None) else clamped
    return int(np.asarray(clamped + np.float32(0), dtype=np.float32).view(np.uint32))
