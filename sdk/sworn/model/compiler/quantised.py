"""Quantisation, and operators on quantised tensors: sums in int32, then one requantisation."""

from __future__ import annotations

from sworn.model.compiler.arithmetic import require_float
from sworn.model.compiler.conversions import dequantized, quantized
from sworn.model.compiler.integer_sums import (
    integer_convolution,
    integer_product,
    per_channel,
    per_column,
    requantized,
)
from sworn.model.compiler.operators import Call, lowers
from sworn.model.compiler.quantised_patterns import integer_form
from sworn.model.compiler.steps import extreme, pointwise
from sworn.model.compiler.values import Value
from sworn.model.program import Function
from sworn.types import DType

_QUANTISED = frozenset({DType.UINT8, DType.INT8, DType.UINT16, DType.INT16})
_DEQUANTISED = _QUANTISED | {DType.INT32}
#: What only types that are refused, or blocks, need.
_ELSEWHERE = ("saturate",)


@lowers("QuantizeLinear", 10, 13, 19, 21, 23, 24, 25, 28, ignored=_ELSEWHERE)
def quantize_linear(call: Call) -> Value:
    """saturate(RNE(RN(x / scale)) + zero), per tensor or per axis: ONNX divides in float32.

    Where x comes from quantised tensors by one of the patterns of `quantised_patterns`: the rule for integers.
    """
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
    found = integer_form(call, scale, zero)
    return quantized(call.build, value, scale, zero) if found is None else found


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
    return dequantized(call.build, value, scale, zero)


def _along_axis(call: Call, value: Value, part: Value) -> Value:
    """A scale or zero point, shaped to broadcast to the value."""
    if call.integer("block_size", 0):
        raise call.refused("blocked quantisation is not supported")
    # Beside a single scale the axis means nothing, but exporters write it.
    stated = call.integer("axis", 1)
    if part.elements == 1 and part.rank <= 1:
        return part.view((), ())
    axis = call.axis(stated, value.rank)
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
    return quantized(call.build, value, scale, zero), scale, zero


@lowers("QLinearMatMul", 10, 21)
def qlinear_matmul(call: Call) -> Value:
    """Product of integers, requantised by RN(RN(a's scale · b's scale) / y's scale)."""
    left, right = call.value(0), call.value(3)
    sums = integer_product(call, left, right, zeros=(call.optional(2), call.optional(5)))
    column = per_column(call, call.value(4), right.shape[-1] if right.rank > 1 else 1)
    return requantized(call, sums, (call.value(1), column, call.value(6)), call.value(7))


@lowers("QLinearConv", 10)
def qlinear_conv(call: Call) -> Value:
    """Convolution of integers with an int32 bias, requantised; the weights' scale may differ by channel."""
    zeros = call.optional(2), call.optional(5)
    sums = integer_convolution(call, call.value(0), call.value(3), zeros=zeros, bias=call.optional(8))
    scale = per_channel(call, call.value(4), sums)
    return requantized(call, sums, (call.value(1), scale, call.value(6)), call.value(7))


@lowers("MatMulInteger", 10)
def matmul_integer(call: Call) -> Value:
    """Product of integers less their zero points, in int32."""
    return integer_product(call, call.value(0), call.value(1), zeros=(call.optional(2), call.optional(3)))


@lowers("ConvInteger", 10)
def conv_integer(call: Call) -> Value:
    """Convolution of integers less their zero points, in int32."""
    zeros = call.optional(2), call.optional(3)
    return integer_convolution(call, call.value(0), call.value(1), zeros=zeros, bias=None)
