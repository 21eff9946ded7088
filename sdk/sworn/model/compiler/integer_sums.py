"""Sums of products of 8-bit integers in int32, and their requantisation: on values, whichever node they come from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

from sworn.model.compiler.arithmetic import require_float
from sworn.model.compiler.builder import Builder
from sworn.model.compiler.contractions import convolution, product
from sworn.model.compiler.operators import Call
from sworn.model.compiler.steps import pointwise, total
from sworn.model.compiler.values import Value, expanded
from sworn.model.program import Function
from sworn.types import DType

#: Types whose products are summed.
BYTES = frozenset({DType.UINT8, DType.INT8})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Zero:
    """A zero point: one known number, or int32 numbers to subtract after the sums, shaped to broadcast to them."""

    known: int = 0
    later: Value | None = None


#: Σ(a − a₀)(b − b₀) in int32 over two operands and their known zero points.
_Bilinear = Callable[[Value, Value, tuple[int, int]], Value]


def integer_product(
    call: Call, left: Value, right: Value, *, zeros: tuple[Value | None, Value | None], bias: Value | None = None
) -> Value:
    """Matrix product less zero points, of which the right one may differ by column; ``bias`` is int32."""
    depth = left.shape[-1] if left.rank else 1
    ones = tuple(
        (depth,) if each.rank == 1 else shape
        for each, shape in zip((left, right), ((1, depth), (depth, 1)), strict=True)
    )
    known = (
        _zero(call, zeros[0], lambda zero: _single(call, zero)),
        _zero(call, zeros[1], lambda zero: per_column(call, zero, right.shape[-1])),
    )

    def bilinear(a: Value, b: Value, less: tuple[int, int]) -> Value:
        addend = bias if a is left and b is right else None
        return product(call, a, b, bias=addend, zeros=less, dtype=DType.INT32)

    return _less_zeros(call, bilinear, (left, right), ones, known)


def integer_convolution(
    call: Call, value: Value, weight: Value, *, zeros: tuple[Value | None, Value | None], bias: Value | None
) -> Value:
    """Convolution less zero points, of which the weight's may differ by channel; ``bias`` is int32."""
    if bias is not None and bias.dtype is not DType.INT32:
        raise call.refused("only an int32 bias is supported")
    ones = (1, *value.shape[1:]), (1, *weight.shape[1:])
    known = (
        _zero(call, zeros[0], lambda zero: _single(call, zero)),
        _zero(call, zeros[1], lambda zero: per_channel(call, zero, weight)),
    )
    if known[1].later is not None and call.integer("group", 1) != 1:
        raise call.refused("groups with zero points that are not one constant are not supported")

    def bilinear(a: Value, b: Value, less: tuple[int, int]) -> Value:
        return convolution(call, a, b, bias if a is value and b is weight else None, zeros=less, dtype=DType.INT32)

    return _less_zeros(call, bilinear, (value, weight), ones, known)


def _zero(call: Call, zero: Value | None, shaped: Callable[[Value], Value]) -> _Zero:
    if zero is None:
        return _Zero()
    array = call.build.array(zero)
    if array is not None and array.size and (array == array.flat[0]).all():
        return _Zero(known=int(array.flat[0]))
    return _Zero(later=pointwise(call.build, Function.CAST, shaped(zero), dtype=DType.INT32))


def _single(call: Call, zero: Value) -> Value:
    if zero.elements != 1:
        raise call.refused("zero points that differ along the left operand are not supported")
    return zero.view((), ())


def _less_zeros(
    call: Call,
    bilinear: _Bilinear,
    operands: tuple[Value, Value],
    ones: tuple[tuple[int, ...], ...],
    zeros: tuple[_Zero, _Zero],
) -> Value:
    """Sums less zero points that are not one constant: Σab − a₀·Σb − b₀·Σa + a₀·b₀·Σ1, the same modulo 2³²."""
    build, (left, right) = call.build, operands
    if left.dtype not in BYTES or right.dtype not in BYTES:
        raise call.refused("only operands of type uint8 and int8 are supported")
    known = zeros[0].known, zeros[1].known
    fill = [_ones(build, shape) for shape in ones]

    def less(result: Value, sums: Value, zero: Value) -> Value:
        return pointwise(build, Function.SUB, result, pointwise(build, Function.MUL, sums, zero))

    result, (first, second) = bilinear(left, right, known), (zeros[0].later, zeros[1].later)
    if first is not None:
        result = less(result, bilinear(fill[0], right, (0, known[1])), first)
    if second is not None:
        result = less(result, bilinear(left, fill[1], (known[0], 0)), second)
    if first is not None and second is not None:
        both = pointwise(build, Function.MUL, first, second)
        result = less(result, bilinear(fill[0], fill[1], (0, 0)), pointwise(build, Function.NEG, both))
    return result


def _ones(build: Builder, shape: tuple[int, ...]) -> Value:
    return expanded(build.scalar(1, dtype=DType.UINT8), shape)


def per_channel(call: Call, part: Value, like: Value) -> Value:
    """A number, or one per channel: the first axis of a weight, the second of a result of the same rank."""
    if part.elements == 1:
        return part.view((), ())
    if part.rank != 1 or part.elements not in like.shape[:2]:
        raise call.refused(f"scales or zero points of shape {part.shape} do not fit the channels")
    return part.view((*part.shape, *(1,) * (like.rank - 2)), (*part.strides, *(0,) * (like.rank - 2)))


def per_column(call: Call, part: Value, columns: int) -> Value:
    """A number, or one per column of a product."""
    if part.elements == 1:
        return part.view((), ())
    if part.shape != (columns,):
        raise call.refused(f"scales or zero points of shape {part.shape} for {columns} columns")
    return part


def requantized(call: Call, accumulated: Value, scales: tuple[Value, Value, Value], zero: Value) -> Value:
    """saturate(RNE(RN(RN(a) · b)) + zero), b = RN(RN(left · right) / result) for scales (left, right, result).

    Only the right one may differ along the result.
    """
    build, (left, right, result) = call.build, scales
    for scale in scales:
        require_float(call, scale)
    if left.elements != 1 or result.elements != 1:
        raise call.refused("scales that differ by row are not supported")
    both = pointwise(build, Function.MUL, left.view((), ()), right)
    return rescaled(call, accumulated, pointwise(build, Function.DIV, both, result.view((), ())), zero)


def rescaled(call: Call, accumulated: Value, multiplier: Value, zero: Value) -> Value:
    """saturate(RNE(RN(RN(a) · multiplier)) + zero)."""
    if zero.dtype not in BYTES or zero.elements != 1:
        raise call.refused("only one zero point of type uint8 or int8 is supported")
    return pointwise(call.build, Function.REQUANTIZE, accumulated, multiplier, zero.view((), ()), dtype=zero.dtype)


def global_average(
    call: Call, value: Value, axes: range, *, zeros: tuple[Value, Value], scales: tuple[Value, Value]
) -> Value:
    """Mean over axes as integers: Σ(x − x₀), rescaled by RN(x's scale / RN(y's scale · RN(n))) for n elements."""
    build, count = call.build, prod(value.shape[axis] for axis in axes)
    for scale in scales:
        require_float(call, scale)
    if value.dtype not in BYTES or any(each.elements != 1 for each in (*zeros, *scales)):
        raise call.refused("only uint8 and int8 with one scale and zero point are supported")
    known = _zero(call, zeros[0], lambda zero: _single(call, zero))
    sums = total(build, value, axes, keep=True, zero=known.known)
    if known.later is not None:
        shift = pointwise(build, Function.MUL, known.later, build.scalar(count, dtype=DType.INT32))
        sums = pointwise(build, Function.SUB, sums, shift)
    first, last = (scale.view((), ()) for scale in scales)
    divisor = pointwise(build, Function.MUL, last, build.scalar(count))
    return rescaled(call, sums, pointwise(build, Function.DIV, first, divisor), zeros[1])
