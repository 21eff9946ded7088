"""Pooling: windows over the spatial axes, everything stored channels last."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from sworn.model.compiler.arithmetic import require_float
from sworn.model.compiler.operators import Call, lowers
from sworn.model.compiler.padding import padded
from sworn.model.compiler.steps import Sum, contract, extreme, total
from sworn.model.compiler.values import Value, transposed
from sworn.model.compiler.windows import Window, window_of
from sworn.model.program import Extremum, Lookup
from sworn.types import DType


@lowers("AveragePool", 7, 10, 11, 19, 22)
def average_pool(call: Call) -> Value:
    """Mean of each window, one rounding; padding counts on demand, what lies beyond it never does."""
    return window_means(call, call.value(0))


def window_means(call: Call, value: Value) -> Value:
    """AveragePool of a value by a node's attributes."""
    require_float(call, value)
    window = _window(call, value)
    divisor = 0
    if call.integer("count_include_pad", 0) and any(window.before + window.after):
        if window.overhangs:
            pads = [(0, 0), (0, 0), *zip(window.before, window.after, strict=True)]
            value = padded(call.build, value, pads, mode="constant")
            none = (0,) * window.rank
            window = replace(window, input=value.shape[2:], before=none, after=none)
        else:
            divisor = prod(window.kernel)
    elif window.empty:
        raise call.refused("a window lies wholly in the padding")
    value = _channels_last(call, value)
    spatial = value.strides[2:]
    sizes = (value.shape[0], *window.output, value.shape[1])
    given = Sum(
        shape=sizes,
        axes=sizes,
        left=value.operand(_steps(value, window), offset=window.origin(spatial)),
        reductions=window.reductions(spatial, first_axis=1),
        divisor=divisor,
    )
    return _channels_second(contract(call.build, given))


@lowers("MaxPool", 1, 8, 10, 11, 12, 22, ignored=("storage_order",))
def max_pool(call: Call) -> tuple[Value | None, ...]:
    """Greatest element of each window; padding never counts. Positions are not given."""
    value = call.value(0)
    window = _window(call, value)
    if window.empty:
        raise call.refused("a window lies wholly in the padding")
    value = _channels_last(call, value)
    spatial = value.strides[2:]
    sizes = (value.shape[0], *window.output, value.shape[1])
    source = value.operand(_steps(value, window), offset=window.origin(spatial))
    body = Extremum(source=source, reductions=window.reductions(spatial, first_axis=1), largest=True)
    where = call.build.emit(DType.INT64, sizes, axes=sizes, body=body, virtual=True)
    found = Lookup(
        source=source,
        index=where.operand(where.strides),
        extents=window.kernel,
        strides=tuple(stride * dilation for stride, dilation in zip(spatial, window.dilations, strict=True)),
    )
    return _channels_second(call.build.emit(value.dtype, sizes, axes=sizes, body=found)), None


@lowers("GlobalAveragePool", 1, 22)
def global_average_pool(call: Call) -> Value:
    """Mean over all spatial axes."""
    value = call.value(0)
    require_float(call, value)
    axes = range(2, value.rank)
    return total(call.build, value, axes, keep=True, divisor=prod(value.shape[2:]))


@lowers("GlobalMaxPool", 1, 22)
def global_max_pool(call: Call) -> Value:
    """Greatest element over all spatial axes."""
    value = call.value(0)
    return extreme(call.build, value, range(2, value.rank), largest=True, keep=True)


def _window(call: Call, value: Value) -> Window:
    if value.rank < 3:
        raise call.refused(f"shape {value.shape} has no spatial axes")
    return window_of(call, value.shape[2:], call.integers("kernel_shape"), ceil=bool(call.integer("ceil_mode", 0)))


def _channels_last(call: Call, value: Value) -> Value:
    return call.build.materialised(value, order=(0, *range(2, value.rank), 1))


def _channels_second(value: Value) -> Value:
    return transposed(value, (0, value.rank - 1, *range(1, value.rank - 1)))


def _steps(value: Value, window: Window) -> tuple[int, ...]:
    return (value.strides[0], *window.scaled(value.strides[2:]), value.strides[1])
