"""Normalisation over batches, layers, instances and groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from sworn.model.compiler.arithmetic import require_broadcast, require_float
from sworn.model.compiler.builder import Array, Builder
from sworn.model.compiler.contractions import convolution, scaled_product
from sworn.model.compiler.operators import Call, lowers
from sworn.model.compiler.roots import inverse_root
from sworn.model.compiler.steps import Sum, contract, pointwise, total
from sworn.model.compiler.values import Value, expanded, inverse, storage_order, transposed
from sworn.model.program import Clip, Function, Reduction
from sworn.types import DType


@dataclass(frozen=True, slots=True, kw_only=True)
class _Statistics:
    """Constants of a batch normalisation, one element per channel."""

    scale: Value
    shift: Value
    mean: Value


@lowers("BatchNormalization", 7, 9, 14, 15, ignored=("momentum",))
def batch_normalization(call: Call) -> tuple[Value | None, ...]:
    """RN(x·s + t) with s = RN(γ/√(var+ε)) and t = RN(β − μ·s), or folded into the Conv or Gemm before it."""
    value, build = call.value(0), call.build
    require_float(call, value)
    if call.integer("training_mode", 0) or not call.integer("spatial", 1):
        raise call.refused("training mode and spatial=0 are not supported")
    names = ("the scale", "the shift", "the mean", "the variance")
    gamma, beta, mean, variance = (_channel_constant(call, k + 1, name) for k, name in enumerate(names))
    scale = build.constant(inverse_root(gamma, variance, call.number("epsilon", 1e-5), label=call.node.label))
    statistics = _Statistics(scale=scale, shift=build.constant(beta), mean=build.constant(mean))
    folded = _folded(call, statistics)
    if folded is not None:
        return (folded,)
    if value.rank < 2:
        raise call.refused(f"shape {value.shape} has no channels")
    return (_affine(build, value, scale, _shifted(build, None, statistics)),)


def _channel_constant(call: Call, position: int, what: str) -> Array:
    array, channels = call.array(position, what), call.value(0).shape[1:2]
    if array is None or tuple(array.shape) != channels:
        raise call.refused(f"{what} is not one number per channel {channels}")
    return np.ascontiguousarray(array)


def _shifted(build: Builder, bias: Value | None, known: _Statistics) -> Value:
    """RN((b − μ)·s + β): the terms b·s and −μ·s with β, rounded once."""
    minus = pointwise(build, Function.NEG, known.mean)
    terms = [minus] if bias is None else [bias, minus]
    arrays = [build.array(term) for term in terms]
    table = build.constant(np.stack([array for array in arrays if array is not None], axis=1))
    channels = known.scale.shape[0]
    return contract(
        build,
        Sum(
            shape=(channels,),
            axes=(channels,),
            left=table.operand((table.shape[1],)),
            right=known.scale.operand((1,)),
            bias=known.shift.operand((1,)),
            reductions=(Reduction(extent=table.shape[1], left_stride=1),),
        ),
    )


def _folded(call: Call, known: _Statistics) -> Value | None:
    """The convolution or product before, with the normalisation in its constants."""
    source = call.sole_source(0)
    if source is None or source.node.domain or source.operator not in ("Conv", "Gemm"):
        return None
    build, weight, bias = call.build, source.value(1), source.optional(2)
    if build.array(weight) is None or (bias is not None and build.array(bias) is None):
        return None
    channels = known.scale.shape[0]
    if source.operator == "Conv":
        scale = known.scale.view((channels, *(1,) * (weight.rank - 1)), (1, *(0,) * (weight.rank - 1)))
        scaled = pointwise(build, Function.MUL, weight, scale)
        return convolution(source, source.value(0), scaled, _shifted(build, bias, known))
    if any(source.number(name, 1.0) != 1 for name in ("alpha", "beta")) or source.integer("transA", 0):
        return None
    weight = transposed(weight, (1, 0)) if source.integer("transB", 0) else weight
    scaled = pointwise(build, Function.MUL, weight, known.scale)
    bias = None if bias is None else build.materialised(expanded(bias, (1, channels))).view((channels,), (1,))
    shift = _shifted(build, bias, known)
    return scaled_product(source, source.value(0), scaled, shift, alpha=1.0, beta=1.0)


def _affine(build: Builder, value: Value, scale: Value, shift: Value) -> Value:
    """RN(x·s + t) with s and t along axis 1."""
    order = storage_order(value)
    stored = transposed(value, order)
    channel = [1 if axis == 1 else 0 for axis in order]
    given = Sum(
        shape=stored.shape,
        axes=stored.shape,
        left=stored.operand(stored.strides),
        right=scale.operand(channel),
        bias=shift.operand(channel),
        reductions=(Reduction(extent=1, left_stride=0),),
    )
    return transposed(contract(build, given), inverse(order))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Centred:
    """What a normalisation makes: x − μ, its result, μ and √(var + ε)."""

    result: Value
    mean: Value
    deviation: Value


def _centred(build: Builder, value: Value, axes: Sequence[int], *, epsilon: float) -> _Centred:
    """(x − μ) / √(var + ε) over axes, var being the mean of the squares of x − μ: it is never negative."""
    count = prod(value.shape[axis] for axis in axes)
    mean = total(build, value, axes, keep=True, divisor=count)
    difference = pointwise(build, Function.SUB, value, mean)
    variance = total(build, difference, axes, keep=True, divisor=count, square=True)
    widened = pointwise(build, Function.ADD, variance, build.scalar(epsilon))
    deviation = pointwise(build, Function.SQRT, widened)
    return _Centred(result=pointwise(build, Function.DIV, difference, deviation), mean=mean, deviation=deviation)


@lowers("LayerNormalization", 17)
def layer_normalization(call: Call) -> tuple[Value | None, ...]:
    """Over all axes from one on; Mul and Add follow. Mean and 1/√(var + ε) are further outputs."""
    build, value, scale, shift = call.build, call.value(0), call.value(1), call.optional(2)
    require_float(call, value)
    if call.integer("stash_type", 1) != 1:
        raise call.refused("only stash_type 1 (float32) is supported")
    axis = call.axis(call.integer("axis", -1), value.rank)
    require_broadcast(call, scale, value)
    normal = _centred(build, value, range(axis, value.rank), epsilon=call.number("epsilon", 1e-5))
    result = pointwise(build, Function.MUL, normal.result, scale)
    if shift is not None:
        require_broadcast(call, shift, value)
        result = pointwise(build, Function.ADD, result, shift)
    inverted = pointwise(build, Function.RECIPROCAL, normal.deviation) if call.wanted(2) else None
    return result, normal.mean, inverted


@lowers("RMSNormalization", 23)
def rms_normalization(call: Call) -> Value:
    """Gives x / √(mean(x²) + ε) · scale."""
    build, value = call.build, call.value(0)
    require_float(call, value)
    if call.integer("stash_type", 1) != 1:
        raise call.refused("only stash_type 1 (float32) is supported")
    axes = range(call.axis(call.integer("axis", -1), value.rank), value.rank)
    require_broadcast(call, call.value(1), value)
    count = prod(value.shape[axis] for axis in axes)
    squares = total(build, value, axes, keep=True, divisor=count, square=True)
    widened = pointwise(build, Function.ADD, squares, build.scalar(call.number("epsilon", 1e-5)))
    normal = pointwise(build, Function.DIV, value, pointwise(build, Function.SQRT, widened))
    return pointwise(build, Function.MUL, normal, call.value(1))


@lowers("InstanceNormalization", 6, 22)
def instance_normalization(call: Call) -> Value:
    """Over the spatial axes; Mul and Add by channel follow."""
    build, value = call.build, call.value(0)
    require_float(call, value)
    normal = _centred(build, value, range(2, value.rank), epsilon=call.number("epsilon", 1e-5))
    return _by_channel(call, normal.result, call.value(1), call.value(2))


@lowers("GroupNormalization", 18, 21)
def group_normalization(call: Call) -> Value:
    """Over groups of channels and the spatial axes; Mul and Add follow, by group in version 18, by channel since."""
    build, value, groups = call.build, call.value(0), call.integer("num_groups")
    require_float(call, value)
    if call.version == 21 and call.integer("stash_type", 1) != 1:
        raise call.refused("only stash_type 1 (float32) is supported")
    if value.rank < 2 or groups < 1 or value.shape[1] % groups:
        raise call.refused(f"{groups} groups do not fit shape {value.shape}")
    inner = value.shape[1] // groups
    parts = value.view(
        (value.shape[0], groups, inner, *value.shape[2:]),
        (value.strides[0], value.strides[1] * inner, value.strides[1], *value.strides[2:]),
    )
    normal = _centred(build, parts, range(2, parts.rank), epsilon=call.number("epsilon", 1e-5)).result
    if call.version == 18:
        normal = _by_channel(call, normal, call.value(1), call.value(2))
        return build.reshaped(normal, value.shape)
    whole = build.reshaped(normal, value.shape)
    return _by_channel(call, whole, call.value(1), call.value(2))


def _by_channel(call: Call, value: Value, scale: Value, shift: Value) -> Value:
    if scale.shape != (value.shape[1],) or shift.shape != scale.shape:
        raise call.refused(f"scale {scale.shape} and shift {shift.shape} do not fit shape {value.shape}")
    tail = (1,) * (value.rank - 2)
    wide = [item.view((*item.shape, *tail), (*item.strides, *(0 for _ in tail))) for item in (scale, shift)]
    return pointwise(call.build, Function.ADD, pointwise(call.build, Function.MUL, value, wide[0]), wide[1])


@lowers("LRN", 1, 13)
def local_response(call: Call) -> Value:
    """Gives x / (bias + α · m)^β, m being the mean of the squares in a window of ``size`` channels, zeros included."""
    build, value, size = call.build, call.value(0), call.integer("size")
    require_float(call, value)
    if value.rank < 2 or size < 1:
        raise call.refused(f"a window of {size} channels does not fit shape {value.shape}")
    order = (0, *range(2, value.rank), 1)
    stored = transposed(build.materialised(value, order=order), order)
    stride = stored.strides[-1]
    source = stored.operand(stored.strides, offset=-((size - 1) // 2) * stride)
    clip = Clip(axis=value.rank - 1, step=1, dilation=1, origin=-((size - 1) // 2), extent=value.shape[1])
    squares = contract(
        build,
        Sum(
            shape=stored.shape,
            axes=stored.shape,
            left=source,
            right=source,
            reductions=(Reduction(extent=size, left_stride=stride, right_stride=stride, clip=clip),),
            divisor=size,
        ),
    )
    scaled = pointwise(build, Function.MUL, squares, build.scalar(call.number("alpha", 0.0001)))
    base = pointwise(build, Function.ADD, scaled, build.scalar(call.number("bias", 1.0)))
    power = pointwise(build, Function.POW, base, alpha=call.number("beta", 0.75))
    return pointwise(build, Function.DIV, value, transposed(power, inverse(order)))


@lowers("MeanVarianceNormalization", 9, 13)
def mean_variance_normalization(call: Call) -> Value:
    """(x − μ) / (√var + 1e-9) over axes."""
    build, value = call.build, call.value(0)
    require_float(call, value)
    axes = call.axes(call.integers("axes", (0, 2, 3)), value.rank)
    count = prod(value.shape[axis] for axis in axes)
    difference = pointwise(build, Function.SUB, value, total(build, value, axes, keep=True, divisor=count))
    variance = total(build, difference, axes, keep=True, divisor=count, square=True)
    deviation = pointwise(build, Function.ADD, pointwise(build, Function.SQRT, variance), build.scalar(1e-9))
    return pointwise(build, Function.DIV, difference, deviation)


@lowers("LpNormalization", 1, 22)
def lp_normalization(call: Call) -> Value:
    """Gives x divided by its 1- or 2-norm along an axis; 0 where the norm is 0."""
    build, value = call.build, call.value(0)
    require_float(call, value)
    axis, order = call.axis(call.integer("axis", -1), value.rank), call.integer("p", 2)
    if order not in (1, 2):
        raise call.refused(f"norm {order} is not supported")
    if order == 2:
        norm = pointwise(build, Function.SQRT, total(build, value, (axis,), keep=True, square=True))
    else:
        norm = total(build, pointwise(build, Function.ABS, value), (axis,), keep=True)
    nothing = pointwise(build, Function.EQUAL, norm, build.scalar(0), dtype=DType.BOOL)
    norm = pointwise(build, Function.WHERE, nothing, build.scalar(1), norm, dtype=norm.dtype)
    return pointwise(build, Function.DIV, value, norm)
