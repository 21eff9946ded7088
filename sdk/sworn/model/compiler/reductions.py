"""Reductions, positions of extremes, sorting, softmax."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from math import prod

import numpy as np

from sworn.model.compiler.arithmetic import require_float
from sworn.model.compiler.operators import Call, lowers
from sworn.model.compiler.steps import Sum, contract, extreme, near, pointwise, position, split_axes, total, unreduced
from sworn.model.compiler.values import Axes, Value, picked, row_major, sliced
from sworn.model.program import Clip, Function, Lookup, Rank, Reduction
from sworn.types import DType

#: Factors of one product: each is a step.
MAX_FACTORS = 256
#: Sums along an axis, each of up to as many terms.
MAX_CUMULATED = 1024


def reduced_axes(call: Call, value: Value) -> Axes | None:
    """The axes to reduce, ascending; None where the node asks for the value as it is."""
    given = call.integers("axes") if call.has("axes") else call.integers_at(1, "the axes")
    as_it_is = call.integer("noop_with_empty_axes", 0)
    if not given:
        return None if as_it_is else tuple(range(value.rank))
    return tuple(sorted(call.axes(given, value.rank)))


@lowers("ReduceSum", 1, 11, 13)
@lowers("ReduceMean", 1, 11, 13, 18)
def reduce_sum(call: Call) -> Value:
    """Sum or mean, one rounding."""
    value = call.value(0)
    axes, keep = reduced_axes(call, value), bool(call.integer("keepdims", 1))
    if axes is None:
        return value
    array = call.build.array(value)
    if array is not None and array.dtype.kind in "iu" and call.operator == "ReduceSum":
        return call.build.constant(np.sum(array, axis=axes, keepdims=keep, dtype=array.dtype))
    mean = call.operator == "ReduceMean"
    if mean:
        require_float(call, value)
    divisor = prod(value.shape[axis] for axis in axes) if mean else 1
    return total(call.build, value, axes, keep=keep, divisor=divisor)


@lowers("CumSum", 11, 14)
def cumulative_sum(call: Call) -> Value:
    """Each sum on its own, one rounding: the terms up to a place, or from it on with ``reverse``."""
    build, value = call.build, call.value(0)
    where = call.integers_at(1, "the axis")
    if where is None or len(where) != 1 or value.dtype not in (DType.FLOAT32, DType.INT32):
        raise call.refused("only float32 and int32 along one axis are supported")
    axis, size = call.axis(where[0], value.rank), value.shape[call.axis(where[0], value.rank)]
    if size > MAX_CUMULATED:
        raise call.refused(f"{size} sums along an axis; {MAX_CUMULATED} are possible")
    direction = -1 if call.integer("reverse", 0) else 1
    # Term r counts at place o where (o - r) or (r - o) is at least 0, or at least 1.
    clip = Clip(
        axis=axis,
        step=direction,
        dilation=-direction,
        origin=-1 if call.integer("exclusive", 0) else 0,
        extent=max(size, 1),
    )
    strides = tuple(0 if k == axis else stride for k, stride in enumerate(value.strides))
    given = Sum(
        shape=value.shape,
        axes=value.shape,
        left=value.operand(strides),
        reductions=(Reduction(extent=size, left_stride=value.strides[axis], clip=clip),),
        dtype=value.dtype,
    )
    return contract(build, given)


@lowers("ReduceProd", 1, 11, 13, 18)
def reduce_product(call: Call) -> Value:
    """A left fold of multiplications, in row-major order of the reduced axes."""
    build, value = call.build, call.value(0)
    axes, keep = reduced_axes(call, value), bool(call.integer("keepdims", 1))
    if axes is None:
        return value
    array = build.array(value)
    if array is not None and array.dtype.kind in "iu":
        return build.constant(np.prod(array, axis=axes, keepdims=keep, dtype=array.dtype))
    count = prod(value.shape[axis] for axis in axes)
    if not 1 <= count <= MAX_FACTORS:
        raise call.refused(f"a product of {count} factors; 1 to {MAX_FACTORS} are possible")
    kept = tuple(axis for axis in range(value.rank) if axis not in axes)
    parts = [_factor(value, axes, place) for place in np.ndindex(*(value.shape[axis] for axis in axes))]
    product = reduce(lambda left, right: pointwise(build, Function.MUL, left, right), parts)
    return unreduced(product, value, kept=kept, axes=axes, keep=keep)


def _factor(value: Value, axes: Axes, place: tuple[int, ...]) -> Value:
    for axis, index in zip(reversed(axes), reversed(place), strict=True):
        value = picked(value, axis, index)
    return value


@lowers("ReduceMax", 1, 11, 12, 13, 18, 20)
@lowers("ReduceMin", 1, 11, 12, 13, 18, 20)
def reduce_extreme(call: Call) -> Value:
    """Greatest or least element."""
    value = call.value(0)
    axes, keep = reduced_axes(call, value), bool(call.integer("keepdims", 1))
    if axes is None:
        return value
    return extreme(call.build, value, axes, largest=call.operator == "ReduceMax", keep=keep)


@lowers("ReduceL1", 1, 11, 13, 18)
@lowers("ReduceL2", 1, 11, 13, 18)
@lowers("ReduceSumSquare", 1, 11, 13, 18)
@lowers("ReduceLogSum", 1, 11, 13, 18, 28)
@lowers("ReduceLogSumExp", 1, 11, 13, 18, 28)
def reduce_composite(call: Call) -> Value:
    """A function of each element, the sum, a function of the sum: one step each."""
    build, value = call.build, call.value(0)
    require_float(call, value)
    axes, keep = reduced_axes(call, value), bool(call.integer("keepdims", 1))
    if call.operator in ("ReduceL2", "ReduceSumSquare"):
        value = pointwise(build, Function.MUL, value, value)
    elif call.operator == "ReduceL1":
        value = pointwise(build, Function.ABS, value)
    elif call.operator == "ReduceLogSumExp":
        value = pointwise(build, Function.EXP, value)
    if axes is not None:
        value = total(build, value, axes, keep=keep)
    if call.operator == "ReduceL2":
        return pointwise(build, Function.SQRT, value)
    return pointwise(build, Function.LOG, value) if "Log" in call.operator else value


@lowers("ArgMax", 1, 11, 12, 13)
@lowers("ArgMin", 1, 11, 12, 13)
def arg_extreme(call: Call) -> Value:
    """Position of the greatest or least element; the first, or the last on demand."""
    build, value = call.build, call.value(0)
    axis = call.axis(call.integer("axis", 0), value.rank)
    last = bool(call.integer("select_last_index", 0))
    size = value.shape[axis]
    if last:
        value = sliced(value, axis, start=size - 1, count=size, step=-1)
    kept, _ = split_axes(value, (axis,))
    where = position(build, value, (axis,), largest=call.operator == "ArgMax", virtual=False)
    result = unreduced(where, value, kept=kept, axes=(axis,), keep=bool(call.integer("keepdims", 1)))
    return pointwise(build, Function.SUB, build.scalar(size - 1, dtype=DType.INT64), result) if last else result


@lowers("TopK", 10, 11, 24, ignored=("sorted",))
def top_k(call: Call) -> tuple[Value, Value]:
    """The k greatest or least elements in order, and their positions; among equals the earlier first."""
    build, value = call.build, call.value(0)
    axis = call.axis(call.integer("axis", -1), value.rank)
    counts = call.integers_at(1, "k")
    if counts is None or len(counts) != 1 or not 1 <= counts[0] <= value.shape[axis]:
        raise call.refused(f"k {counts} is not in 1..{value.shape[axis]}")
    value = near(build, value, (axis,))
    shape = tuple(counts[0] if k == axis else size for k, size in enumerate(value.shape))
    strides = tuple(0 if k == axis else stride for k, stride in enumerate(value.strides))
    source, stride = value.operand(strides), value.strides[axis]
    rank = Rank(
        source=source,
        extent=value.shape[axis],
        stride=stride,
        axis=axis,
        largest=bool(call.integer("largest", 1)),
    )
    where = build.emit(DType.INT64, shape, axes=shape, body=rank)
    found = Lookup(
        source=source, index=where.operand(row_major(shape)), extents=(value.shape[axis],), strides=(stride,)
    )
    return build.emit(value.dtype, shape, axes=shape, body=found), where


@lowers("Softmax", 1, 11, 13)
@lowers("LogSoftmax", 1, 11, 13)
def softmax(call: Call) -> Value:
    """max, Sub, Exp, Sum, Div; or max, Sub, Exp, Sum, Log, Sub."""
    value = call.value(0)
    require_float(call, value)
    if value.rank == 0:
        raise call.refused("a scalar has no axis")
    axis = call.axis(call.integer("axis", -1 if call.version >= 13 else 1), value.rank)
    # Before version 13 the value is a matrix whose rows begin at the axis.
    axes = (axis,) if call.version >= 13 else tuple(range(axis, value.rank))
    return normalised_exponentials(call, value, axes, logarithm=call.operator == "LogSoftmax")


def normalised_exponentials(call: Call, value: Value, axes: Sequence[int], *, logarithm: bool) -> Value:
    """Softmax or its logarithm over axes."""
    build = call.build
    greatest = extreme(build, value, axes, largest=True, keep=True)
    shifted = pointwise(build, Function.SUB, value, greatest)
    powers = pointwise(build, Function.EXP, shifted)
    sums = total(build, powers, axes, keep=True)
    if logarithm:
        return pointwise(build, Function.SUB, shifted, pointwise(build, Function.LOG, sums))
    return pointwise(build, Function.DIV, powers, sums)
