"""Quantisation, and operators on quantised tensors: sums in int32, then one requantisation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sworn.model.compiler.arithmetic import require_float
from sworn.model.compiler.contractions import convolution, product
from sworn.model.compiler.operators import Call, lowers
from sworn.model.compiler.steps import extreme, pointwise
from sworn.model.compiler.values import Value
from sworn.model.program import Function
from sworn.types import DType

_BYTES = frozenset({DType.UINT8, DType.INT8})
_QUANTISED = frozenset({DType.UINT8, DType.INT8, DType.UINT16, DType.INT16})
_DEQUANTISED = _QUANTISED | {DType.INT32}
#: What only types that are refused, or blocks, need.
_ELSEWHERE = ("saturate",)


@lowers("QuantizeLinear", 10, 13, 19, 21, 23, 24, 25, 28, ignored=_ELSEWHERE)
def quantize_linear(call: Call) -> Value:
    """saturate(RNE(RN(x / scale)) + zero), per tensor or per axis: ONNX divides in float32."""
    value, scale, zero = call.value(0), call.value(1), call.optional(2)
    require_float(call, value)
    require_float(call, scale)
    dtype = DType.UINT8 if zero is None else zero.dtype
    stated = call.integer("output_dtype", 0)
    if stated and zero is None:
        dtype = next((known for known in _QUANTISED if known.value == stated), DType.FLOAT64)
    if dtype not in _QUANTISED or stated not in (0, dtype.value):
        raise call.refused("only uint8, int8, uint16 and int16 are supported, as the zero point's type says")
    if call.integer("precision", 0) not in (0, DType.FLOAT32.value):
        raise call.refused("only float32 precision is supported")
    zero = call.build.scalar(0, dtype=dtype) if zero is None else zero
    scale, zero = (_along_axis(call, value, part) for part in (scale, zero))
    return _quantized(call, value, scale, zero)


@lowers("DequantizeLinear", 10, 13, 19, 21, 23, 24, 25, 28)
def dequantize_linear(call: Call) -> Value:
    """(x − zero) · scale, per tensor or per axis."""
    value, scale, zero = call.value(0), call.value(1), call.optional(2)
    require_float(call, scale)
    if value.dtype not in _DEQUANTISED or (zero is not None and zero.dtype is not value.dtype):
        raise call.refused(
            f"elements of type {value.dtype.name.lower()} are not supported, or not with this zero point"
        )
    if call.integer("output_dtype", 0) not in (0, DType.FLOAT32.value):
        raise call.refused("only float32 results are supported")
    zero = call.build.scalar(0, dtype=value.dtype) if zero is None else zero
    scale, zero = (_along_axis(call, value, part) for part in (scale, zero))
    return pointwise(call.build, Function.DEQUANTIZE, value, scale, zero, dtype=DType.FLOAT32)


def _along_axis(call: Call, value: Value, part: Value) -> Value:
    """A scale or zero point, shaped to broadcast to the value."""
    if call.integer("block_size", 0):
        raise call.refused("blocked quantisation is not supported")
    if part.elements == 1 and part.rank <= 1:
        return part.view((), ())
    axis = call.axis(call.integer("axis", 1), value.rank)
    if part.shape != (value.shape[axis],):
        raise call.refused(f"a scale or zero point of shape {part.shape} for axis {axis} of {value.shape}")
    return part.view(
        [value.shape[k] if k == axis else 1 for k in range(value.rank)],
        [part.strides[0] if k == axis else 0 for k in range(value.rank)],
    )


@lowers("DynamicQuantizeLinear", 11)
def dynamic_quantize_linear(call: Call) -> tuple[Value, Value, Value]:
    """Scale (max − min) / 255 over a range that includes 0, and 1 where that is 0; zero point; elements."""
    value, build = call.value(0), call.build
    require_float(call, value)
    axes = tuple(range(value.rank))
    nothing = build.scalar(0)
    least = pointwise(build, Function.MIN, extreme(build, value, axes, largest=False, keep=False), nothing)
    most = pointwise(build, Function.MAX, extreme(build, value, axes, largest=True, keep=False), nothing)
    span = pointwise(build, Function.DIV, pointwise(build, Function.SUB, most, least), build.scalar(255))
    is_zero = pointwise(build, Function.EQUAL, span, nothing, dtype=DType.BOOL)
    scale = pointwise(build, Function.WHERE, is_zero, build.scalar(1), span, dtype=DType.FLOAT32)
    shift = pointwise(build, Function.SUB, nothing, pointwise(build, Function.DIV, least, scale))
    shift = pointwise(build, Function.ROUND, pointwise(build, Function.CLIP, shift, alpha=0.0, beta=255.0))
    zero = pointwise(build, Function.CAST, shift, dtype=DType.UINT8)
    return _quantized(call, value, scale, zero), scale, zero


def _quantized(call: Call, value: Value, scale: Value, zero: Value) -> Value:
    ratio = pointwise(call.build, Function.DIV, value, scale)
    return pointwise(call.build, Function.QUANTIZE, ratio, call.build.scalar(1), zero, dtype=zero.dtype)


@lowers("QLinearMatMul", 10, 21)
def qlinear_matmul(call: Call) -> Value:
    """Product of integers, requantised by RN(RN(a's scale · b's scale) / y's scale)."""
    accumulated = _product(call, 0, 3, zeros=(2, 5))
    column = _per_column(call, call.value(4), accumulated.shape[-1])
    return _requantized(call, accumulated, _multiplier(call, 1, column, 6), call.value(7))


@lowers("QLinearConv", 10)
def qlinear_conv(call: Call) -> Value:
    """Convolution of integers with an int32 bias, requantised; the weights' scale may differ by channel."""
    accumulated = _convolution(call, 0, 3, zeros=(2, 5), bias=call.optional(8))
    scale = _per_channel(call, call.value(4), accumulated)
    return _requantized(call, accumulated, _multiplier(call, 1, scale, 6), call.value(7))


@lowers("MatMulInteger", 10)
def matmul_integer(call: Call) -> Value:
    """Product of integers less their zero points, in int32."""
    return _product(call, 0, 1, zeros=(2, 3))


@lowers("ConvInteger", 10)
def conv_integer(call: Call) -> Value:
    """Convolution of integers less their zero points, in int32."""
    return _convolution(call, 0, 1, zeros=(2, 3), bias=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Zero:
    """A zero point: one known number, or int32 numbers to subtract after the sums, shaped to broadcast to them."""

    known: int = 0
    later: Value | None = None


#: Σ(a − a₀)(b − b₀) in int32 over two operands and their known zero points.
_Bilinear = Callable[[Value, Value, tuple[int, int]], Value]


def _zero(call: Call, position: int, shaped: Callable[[Value], Value]) -> _Zero:
    zero = call.optional(position)
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


def _product(call: Call, left: int, right: int, *, zeros: tuple[int, int]) -> Value:
    operands = call.value(left), call.value(right)
    depth = operands[0].shape[-1] if operands[0].rank else 1
    ones = [
        np.ones((depth,) if each.rank == 1 else shape)
        for each, shape in zip(operands, ((1, depth), (depth, 1)), strict=True)
    ]
    known = (
        _zero(call, zeros[0], lambda zero: _single(call, zero)),
        _zero(call, zeros[1], lambda zero: _per_column(call, zero, operands[1].shape[-1])),
    )

    def bilinear(a: Value, b: Value, less: tuple[int, int]) -> Value:
        return product(call, a, b, zeros=less, dtype=DType.INT32)

    return _less_zeros(call, bilinear, operands, (ones[0], ones[1]), known)


def _convolution(call: Call, left: int, right: int, *, zeros: tuple[int, int], bias: Value | None) -> Value:
    value, weight = call.value(left), call.value(right)
    if bias is not None and bias.dtype is not DType.INT32:
        raise call.refused("only an int32 bias is supported")
    ones = np.ones((1, *value.shape[1:])), np.ones((1, *weight.shape[1:]))
    known = (
        _zero(call, zeros[0], lambda zero: _single(call, zero)),
        _zero(call, zeros[1], lambda zero: _per_channel(call, zero, weight)),
    )
    if known[1].later is not None and call.integer("group", 1) != 1:
        raise call.refused("groups with zero points that are not one constant are not supported")

    def bilinear(a: Value, b: Value, less: tuple[int, int]) -> Value:
        return convolution(call, a, b, bias if a is value and b is weight else None, zeros=less, dtype=DType.INT32)

    return _less_zeros(call, bilinear, (value, weight), ones, known)


def _less_zeros(
    call: Call,
    bilinear: _Bilinear,
    operands: tuple[Value, Value],
    ones: tuple[npt.NDArray[Any], npt.NDArray[Any]],
    zeros: tuple[_Zero, _Zero],
) -> Value:
    """Sums less zero points that are not one constant: Σab − a₀·Σb − b₀·Σa + a₀·b₀·Σ1, the same modulo 2³²."""
    build, (left, right) = call.build, operands
    if left.dtype not in _BYTES or right.dtype not in _BYTES:
        raise call.refused("only operands of type uint8 and int8 are supported")
    known = zeros[0].known, zeros[1].known
    fill = [build.constant(one.astype(np.uint8)) for one in ones]

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


def _per_channel(call: Call, part: Value, like: Value) -> Value:
    """A number, or one per channel: the first axis of a weight, the second of a result of the same rank."""
    if part.elements == 1:
        return part.view((), ())
    if part.rank != 1 or part.elements not in like.shape[:2]:
        raise call.refused(f"scales or zero points of shape {part.shape} do not fit the channels")
    return part.view((*part.shape, *(1,) * (like.rank - 2)), (*part.strides, *(0,) * (like.rank - 2)))


def _per_column(call: Call, scale: Value, columns: int) -> Value:
    if scale.elements == 1:
        return scale.view((), ())
    if scale.shape != (columns,):
        raise call.refused(f"scales or zero points of shape {scale.shape} for {columns} columns")
    return scale


def _multiplier(call: Call, left: int, right_scale: Value, result: int) -> Value:
    """RN(RN(left scale · right scale) / result scale); only the right one may differ along the result."""
    build, ends = call.build, [call.value(left), call.value(result)]
    for scale in (*ends, right_scale):
        require_float(call, scale)
    if any(end.elements != 1 for end in ends):
        raise call.refused("scales that differ by row are not supported")
    first, last = (end.view((), ()) for end in ends)
    return pointwise(build, Function.DIV, pointwise(build, Function.MUL, first, right_scale), last)


def _requantized(call: Call, accumulated: Value, multiplier: Value, zero: Value) -> Value:
    if zero.dtype not in _BYTES or zero.elements != 1:
        raise call.refused("only one zero point of type uint8 or int8 is supported")
    return pointwise(call.build, Function.REQUANTIZE, accumulated, multiplier, zero.view((), ()), dtype=zero.dtype)
