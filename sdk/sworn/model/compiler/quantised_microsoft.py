"""Quantised operators of com.microsoft, which onnxruntime's quantiser writes.

Most mean what they would as DequantizeLinear → operator → QuantizeLinear, each step rounded as ever; the mean over all
places and QGemm are sums of integers. docs/lowering.md states the formulas.
"""

from __future__ import annotations

from types import MappingProxyType

from sworn.model.compiler.arithmetic import require_float
from sworn.model.compiler.conversions import dequantized, quantized
from sworn.model.compiler.integer_sums import BYTES, global_average, integer_product, per_column, requantized
from sworn.model.compiler.operators import Call, lowers
from sworn.model.compiler.pooling import window_means
from sworn.model.compiler.steps import concatenated, pointwise
from sworn.model.compiler.values import Value, transposed
from sworn.model.program import Function

_DOMAIN = "com.microsoft"
_BINARY = MappingProxyType({"QLinearAdd": Function.ADD, "QLinearMul": Function.MUL})


@lowers("QLinearAdd", 1, domain=_DOMAIN)
@lowers("QLinearMul", 1, domain=_DOMAIN)
def binary(call: Call) -> Value:
    """One operation on the floats that two tensors stand for."""
    left, right = _floats(call, 0), _floats(call, 3)
    return _integers(call, pointwise(call.build, _BINARY[call.operator], left, right), 6)


@lowers("QLinearSigmoid", 1, domain=_DOMAIN)
def sigmoid(call: Call) -> Value:
    """Sigmoid of the floats."""
    return _integers(call, pointwise(call.build, Function.SIGMOID, _floats(call, 0)), 3)


@lowers("QLinearLeakyRelu", 1, domain=_DOMAIN)
def leaky_relu(call: Call) -> Value:
    """LeakyRelu of the floats."""
    slope = call.number("alpha", 0.01)
    return _integers(call, pointwise(call.build, Function.LEAKY_RELU, _floats(call, 0), alpha=slope), 3)


@lowers("QLinearConcat", 1, domain=_DOMAIN)
def concat(call: Call) -> Value:
    """Each input quantised anew, by the result's scale; then side by side."""
    places = range(2, len(call.values), 3)
    if not places or len(call.values) % 3 != 2:
        raise call.refused("every input needs a scale and a zero point")
    parts = [_integers(call, _floats(call, place), 0) for place in places]
    axis = call.axis(call.integer("axis"), parts[0].rank)
    if len({(*part.shape[:axis], *part.shape[axis + 1 :], part.rank) for part in parts}) != 1:
        raise call.refused(f"shapes {[part.shape for part in parts]} do not concatenate along axis {axis}")
    return parts[0] if len(parts) == 1 else concatenated(call.build, parts, axis=axis)


@lowers("QLinearAveragePool", 1, domain=_DOMAIN)
def pool(call: Call) -> Value:
    """AveragePool of the floats."""
    if call.integer("channels_last", 0):
        raise call.refused("channels_last is not supported")
    return _integers(call, window_means(call, _floats(call, 0)), 3)


@lowers("QLinearGlobalAveragePool", 1, domain=_DOMAIN)
def global_pool(call: Call) -> Value:
    """Mean over all places, in integers."""
    value = call.value(0)
    if value.rank < 3:
        raise call.refused(f"shape {value.shape} has no spatial axes")
    axes = range(1, value.rank - 1) if call.integer("channels_last", 0) else range(2, value.rank)
    zeros, scales = (_zero(call, 2), _zero(call, 4)), (call.value(1), call.value(3))
    return global_average(call, value, axes, zeros=zeros, scales=scales)


@lowers("QGemm", 1, domain=_DOMAIN)
def gemm(call: Call) -> Value:
    """Product of integers with an int32 addend, requantised; the right scale may differ by column."""
    left, right = call.value(0), call.value(3)
    if call.number("alpha", 1.0) != 1 or left.rank != 2 or right.rank != 2:
        raise call.refused("only matrices and alpha = 1 are supported")
    if call.optional(7) is None:
        raise call.refused("a float result is not supported")
    left = transposed(left, (1, 0)) if call.integer("transA", 0) else left
    right = transposed(right, (1, 0)) if call.integer("transB", 0) else right
    zeros = call.value(2), call.value(5)
    sums = integer_product(call, left, right, zeros=zeros, bias=call.optional(6))
    column = per_column(call, call.value(4), right.shape[1])
    return requantized(call, sums, (call.value(1), column, call.value(7)), _zero(call, 8))


def _floats(call: Call, place: int) -> Value:
    """The floats that three inputs stand for: integers, scale, zero point."""
    value, zero = call.value(place), _zero(call, place + 2)
    if value.dtype is not zero.dtype:
        raise call.refused("a zero point has another type than its tensor")
    return dequantized(call.build, value, _scale(call, place + 1), zero)


def _integers(call: Call, value: Value, place: int) -> Value:
    """Floats quantised by two inputs: scale, zero point."""
    return quantized(call.build, value, _scale(call, place), _zero(call, place + 1))


def _scale(call: Call, place: int) -> Value:
    scale = call.value(place)
    require_float(call, scale)
    if scale.elements != 1:
        raise call.refused("only one scale for all elements is supported")
    return scale.view((), ())


def _zero(call: Call, place: int) -> Value:
    """A zero point; one that is left out is 0, and of the first input's type."""
    zero = call.optional(place)
    zero = call.build.scalar(0, dtype=call.value(0).dtype) if zero is None else zero
    if zero.elements != 1 or zero.dtype not in BYTES:
        raise call.refused("only one zero point of type uint8 or int8 is supported")
    return zero.view((), ())
