"""DequantizeLinear → operator → QuantizeLinear, rewritten to the rules for integers.

The list of patterns is part of the norm: `docs/lowering.md`. Two kinds: operators that only move elements, bound them
or choose the greatest give the same integers as the floats would, bit for bit; sums of products are requantised instead
of dequantised, added up and quantised. Whatever does not match exactly stays as it is written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import inf, prod
from types import MappingProxyType

import numpy as np

from sworn.model.compiler.conversions import GREATEST_SCALE, LEAST_SCALE, Array, Quantised, along, origin, quantized
from sworn.model.compiler.integer_sums import (
    BYTES,
    global_average,
    integer_convolution,
    integer_product,
    per_channel,
    requantized,
)
from sworn.model.compiler.operators import Call
from sworn.model.compiler.steps import pointwise
from sworn.model.compiler.values import Value, broadcast, transposed
from sworn.model.program import Function
from sworn.types import DType

#: Relu and Clip between an operator and its quantisation.
_MAX_BOUNDS = 4
#: Greatest sum of products and bias that cannot wrap.
_MAX_SUM = 2**31 - 1
#: Operators that give elements of their inputs as they are; all inputs are such elements, or the first alone is.
_MOVES_OF_ALL = frozenset({"Concat"})
_MOVES_OF_FIRST = frozenset(
    {
        *("Expand", "Flatten", "Identity", "Reshape", "Slice", "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze"),
        *("DepthToSpace", "Dropout", "Gather", "GatherElements", "GatherND", "SpaceToDepth"),
        *("GlobalMaxPool", "MaxPool", "ReduceMax", "ReduceMin"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Result:
    """What the integers that are asked for stand for."""

    scale: Value
    zero: Value
    scale_number: Array
    zero_number: Array

    def is_of(self, source: Quantised | None) -> bool:
        """Whether integers stand for floats by these very numbers."""
        return (
            source is not None
            and source.elements.dtype is self.zero.dtype
            and source.scale.ndim == source.zero.ndim == 0
            and bool(source.scale == self.scale_number)
            and bool(source.zero == self.zero_number)
        )


#: From an operator's call to its integers, None where it does not match.
_Pattern = Callable[[Call, _Result], Value | None]


def integer_form(call: Call, scale: Value, zero: Value) -> Value | None:
    """The integers that a QuantizeLinear gives, from the integers behind its input; None where no pattern matches."""
    build = call.build
    numbers = build.array(scale), build.array(zero)
    if zero.dtype not in BYTES or any(number is None or number.size != 1 for number in numbers):
        return None
    scale_number, zero_number = (np.asarray(number).reshape(()) for number in numbers)
    if not LEAST_SCALE <= float(scale_number) <= GREATEST_SCALE:
        return None
    target = _Result(
        scale=scale.view((), ()), zero=zero.view((), ()), scale_number=scale_number, zero_number=zero_number
    )
    label = build.label
    try:
        return _found(call, target)
    finally:
        build.label = label


def _found(call: Call, target: _Result) -> Value | None:
    build, reader, bounds = call.build, call, list[tuple[float, float]]()
    while True:
        source = origin(build, reader.value(0))
        if target.is_of(source) and source is not None:
            return _bounded(call, source.elements, bounds, target)
        maker = reader.sole_source(0)
        if maker is None or maker.node.domain:
            return None
        limits = _limits(maker)
        if limits is None or len(bounds) == _MAX_BOUNDS:
            break
        bounds.insert(0, limits)
        reader = maker
    pattern = _PATTERNS.get(maker.operator)
    build.label = maker.node.label
    result = _moved(maker, reader.node.inputs[0], target) if pattern is None else pattern(maker, target)
    return None if result is None else _bounded(call, result, bounds, target)


def _limits(call: Call) -> tuple[float, float] | None:
    """The bounds of a Relu, or of a Clip by constants."""
    if call.operator == "Relu":
        return 0.0, inf
    if call.operator != "Clip":
        return None
    if call.version < 11:
        return call.number("min", -inf), call.number("max", inf)
    limits = [-inf, inf]
    for place in (0, 1):
        bound = call.optional(1 + place)
        array = None if bound is None else call.build.array(bound)
        if bound is not None and (array is None or array.size != 1 or array.dtype != np.float32):
            return None
        limits[place] = limits[place] if array is None else float(array.reshape(())[()])
    return limits[0], limits[1]


def _bounded(call: Call, value: Value, bounds: list[tuple[float, float]], target: _Result) -> Value:
    """Integers bounded by the quantised bounds, the innermost first; bounds that cut nothing make no step."""
    build, info = call.build, np.iinfo(value.dtype.numpy)
    for limits in bounds:
        low, high = (_number(call, limit, target) for limit in limits)
        if (low, high) != (info.min, info.max):
            value = pointwise(build, Function.CLIP, value, alpha=float(low), beta=float(high))
    return value


def _number(call: Call, bound: float, target: _Result) -> int:
    array = call.build.array(quantized(call.build, call.build.scalar(bound), target.scale, target.zero))
    return int(np.asarray(array).reshape(())[()])


def _moved(call: Call, name: str, target: _Result) -> Value | None:
    """The operator itself on the integers, where all of them stand for floats as the result does."""
    if call.operator not in _MOVES_OF_ALL | _MOVES_OF_FIRST:
        return None
    count = len(call.values) if call.operator in _MOVES_OF_ALL else 1
    values = list(call.values)
    for place in range(count):
        source = origin(call.build, call.value(place))
        if source is None or not target.is_of(source):
            return None
        values[place] = source.elements
    again = replace(call, values=tuple(values))
    result = call.lowering(again)
    results = result if isinstance(result, tuple) else (result,)
    place = call.node.outputs.index(name)
    return results[place] if place < len(results) else None


def _convolution(call: Call, target: _Result) -> Value | None:
    weight = call.value(1)
    pair = _pair(call, call.value(0), weight, axis=0)
    terms = prod(weight.shape[1:])
    if pair is None or not _fits(call, pair, terms, target):
        return None
    left, right, row = pair
    bias = call.optional(2)
    added = None if bias is None else _bias(call, bias, left.scale * row, terms)
    if bias is not None and added is None:
        return None
    zeros = _zeros(call, left, right)
    sums = integer_convolution(call, left.elements, right.elements, zeros=zeros, bias=added)
    scale = per_channel(call, call.build.constant(row), sums)
    return requantized(call, sums, (call.build.constant(left.scale), scale, target.scale), target.zero)


def _product(call: Call, target: _Result) -> Value | None:
    left, right = call.value(0), call.value(1)
    return _any_product(call, left, right, None, target) if left.rank and right.rank > 1 else None


def _gemm(call: Call, target: _Result) -> Value | None:
    left, right, extra = call.value(0), call.value(1), call.optional(2)
    if any(call.number(name, 1.0) != 1 for name in ("alpha", "beta")):
        return None
    left = transposed(left, (1, 0)) if call.integer("transA", 0) else left
    right = transposed(right, (1, 0)) if call.integer("transB", 0) else right
    return _any_product(call, left, right, extra, target)


def _any_product(call: Call, left: Value, right: Value, extra: Value | None, target: _Result) -> Value | None:
    terms, pair = right.shape[-2], _pair(call, left, right, axis=right.rank - 1)
    if pair is None or not _fits(call, pair, terms, target):
        return None
    first, second, row = pair
    added = None if extra is None else _bias(call, extra, first.scale * row, terms)
    if extra is not None and added is None:
        return None
    zeros = _zeros(call, first, second)
    sums = integer_product(call, first.elements, second.elements, zeros=zeros, bias=added)
    scales = call.build.constant(first.scale), call.build.constant(row), target.scale
    return requantized(call, sums, scales, target.zero)


def _pair(call: Call, left: Value, right: Value, *, axis: int) -> tuple[Quantised, Quantised, Array] | None:
    """Both operands as bytes, with one scale and one for each place on an axis; one zero point each."""
    first, second = origin(call.build, left), origin(call.build, right)
    if first is None or second is None or not {first.elements.dtype, second.elements.dtype} <= BYTES:
        return None
    row = along(second.scale, axis)
    single = first.scale.ndim == first.zero.ndim == 0 and bool((second.zero == second.zero.flat[0]).all())
    return (first, second, row) if row is not None and single else None


def _zeros(call: Call, left: Quantised, right: Quantised) -> tuple[Value, Value]:
    return call.build.constant(left.zero), call.build.constant(right.zero.reshape(-1)[0].reshape(()))


def _fits(call: Call, pair: tuple[Quantised, Quantised, Array], terms: int, target: _Result) -> bool:
    """Whether no sum can wrap and every multiplier is an ordinary number."""
    left, _, row = pair
    multipliers = left.scale * row / target.scale_number
    usual = (multipliers >= LEAST_SCALE) & (multipliers <= GREATEST_SCALE)
    return terms * 255 * 255 <= _MAX_SUM and bool(usual.all())


def _bias(call: Call, bias: Value, scales: Array, terms: int) -> Value | None:
    """An int32 bias whose scale is the product of the operands' scales, and which leaves room for the sum."""
    source = origin(call.build, bias)
    if source is None or source.elements.dtype is not DType.INT32 or source.zero.any():
        return None
    numbers = call.build.array(source.elements)
    if numbers is None or int(np.abs(numbers.astype(np.int64)).max()) + terms * 255 * 255 > _MAX_SUM:
        return None
    shape = broadcast([bias.shape, tuple(scales.shape)])
    # A bias that is wider than the scales would not belong to them.
    if shape is None or prod(shape) != max(bias.elements, scales.size):
        return None
    return source.elements if bool((source.scale == scales).all()) else None


def _global_average(call: Call, target: _Result) -> Value | None:
    value = call.value(0)
    source, count = origin(call.build, value), prod(value.shape[2:])
    if source is None or source.elements.dtype not in BYTES or source.scale.ndim or source.zero.ndim:
        return None
    multiplier = source.scale / (target.scale_number * np.float32(count))
    if count >= 1 << 23 or not LEAST_SCALE <= float(multiplier) <= GREATEST_SCALE:
        return None
    build = call.build
    zeros = build.constant(source.zero), target.zero
    scales = build.constant(source.scale), target.scale
    return global_average(call, source.elements, range(2, value.rank), zeros=zeros, scales=scales)


_PATTERNS: Mapping[str, _Pattern] = MappingProxyType(
    {"Conv": _convolution, "Gemm": _gemm, "GlobalAveragePool": _global_average, "MatMul": _product}
)
