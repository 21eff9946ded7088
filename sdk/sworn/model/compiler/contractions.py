"""Gemm, MatMul and convolutions: contractions whose operands have their reduced axis stored innermost."""

from __future__ import annotations

from dataclasses import dataclass

from sworn.model.compiler.arithmetic import require_float
from sworn.model.compiler.builder import Builder
from sworn.model.compiler.operators import Call, lowers
from sworn.model.compiler.steps import Sum, contract, pointwise
from sworn.model.compiler.values import Axes, Value, broadcast, expanded, transposed
from sworn.model.compiler.windows import window_of
from sworn.model.program import Function, Operand, Reduction
from sworn.types import DType


@lowers("Gemm", 7, 9, 11, 13)
def gemm(call: Call) -> Value:
    """α · A · B + β · C, in one rounding when α and β are 1."""
    left, right, extra = call.value(0), call.value(1), call.optional(2)
    require_float(call, left)
    if left.rank != 2 or right.rank != 2:
        raise call.refused("A and B must be matrices")
    left = transposed(left, (1, 0)) if call.integer("transA", 0) else left
    right = transposed(right, (1, 0)) if call.integer("transB", 0) else right
    alpha, beta = call.number("alpha", 1.0), call.number("beta", 1.0)
    if beta == 0:
        extra = None
    return scaled_product(call, left, right, extra, alpha=alpha, beta=beta)


def scaled_product(call: Call, left: Value, right: Value, extra: Value | None, *, alpha: float, beta: float) -> Value:
    """Matrix product, scaled and with a scaled addend."""
    build, shape = call.build, (left.shape[0], right.shape[-1])
    if extra is not None and broadcast([extra.shape, shape]) != shape:
        raise call.refused(f"C of shape {extra.shape} does not broadcast to {shape}")
    if alpha == 1 and beta == 1:
        return product(call, left, right, bias=extra)
    result = product(call, left, right)
    if alpha != 1:
        result = pointwise(build, Function.MUL, result, build.scalar(alpha))
    if extra is None:
        return result
    if beta != 1:
        extra = pointwise(build, Function.MUL, extra, build.scalar(beta))
    return pointwise(build, Function.ADD, result, extra)


@lowers("MatMul", 1, 9, 13)
def matmul(call: Call) -> Value:
    """Matrix product, batched and broadcast as numpy does."""
    left, right = call.value(0), call.value(1)
    require_float(call, left)
    return product(call, left, right)


def product(
    call: Call,
    left: Value,
    right: Value,
    *,
    bias: Value | None = None,
    zeros: tuple[int, int] = (0, 0),
    dtype: DType = DType.FLOAT32,
) -> Value:
    """[…, M, K] · […, K, N] with vectors promoted as numpy does; ``bias`` broadcasts to the result.

    ``zeros`` are the zero points of integer operands.
    """
    if left.rank == 0 or right.rank == 0:
        raise call.refused("a scalar has no matrix product")
    shape_cut = (left.rank == 1, right.rank == 1)
    left = left.view((1, *left.shape), (0, *left.strides)) if shape_cut[0] else left
    right = right.view((*right.shape, 1), (*right.strides, 0)) if shape_cut[1] else right
    batch = broadcast([left.shape[:-2], right.shape[:-2]])
    if batch is None or left.shape[-1] != right.shape[-2]:
        raise call.refused(f"shapes {left.shape} and {right.shape} do not multiply")
    result = _product(call.build, left, right, batch=batch, bias=bias, zeros=zeros, dtype=dtype)
    axes = [k for k in range(result.rank) if not (shape_cut[0] and k == len(batch))]
    axes = [k for k in axes if not (shape_cut[1] and k == len(batch) + 1)]
    return result.view([result.shape[k] for k in axes], [result.strides[k] for k in axes])


def _product(
    build: Builder,
    left: Value,
    right: Value,
    *,
    batch: Axes,
    bias: Value | None,
    zeros: tuple[int, int],
    dtype: DType,
) -> Value:
    depth = left.shape[-1]
    left = inner_last(build, left, left.rank - 1)
    right = inner_last(build, right, right.rank - 2)
    left = expanded(left, (*batch, *left.shape[-2:]))
    right = expanded(right, (*batch, *right.shape[-2:]))
    shape = (*batch, left.shape[-2], right.shape[-1])
    bias = None if bias is None else expanded(bias, shape)
    given = Sum(
        shape=shape,
        axes=shape,
        left=left.operand((*left.strides[:-1], 0)),
        right=right.operand((*right.strides[:-2], 0, right.strides[-1])),
        bias=None if bias is None else bias.operand(bias.strides),
        reductions=(Reduction(extent=depth, left_stride=left.strides[-1], right_stride=right.strides[-2]),),
        left_zero=zeros[0],
        right_zero=zeros[1],
        dtype=dtype,
    )
    return contract(build, given)


def inner_last(build: Builder, value: Value, axis: int) -> Value:
    """The value with one axis's elements side by side; copied into row-major order with that axis last if need be."""
    if value.strides[axis] == 1 or value.shape[axis] == 1:
        return value
    return build.materialised(value, order=(*(k for k in range(value.rank) if k != axis), axis))


@lowers("Conv", 1, 11, 22)
def conv(call: Call) -> Value:
    """Convolution in any number of spatial dimensions."""
    value, weight, bias = call.value(0), call.value(1), call.optional(2)
    require_float(call, value)
    return convolution(call, value, weight, bias)


def channel_bias(bias: Value | None, *, spatial: int, outer: int) -> Operand | None:
    """One number per channel, over the axes (batch, …, group, channel of the group)."""
    if bias is None:
        return None
    return bias.operand((*(0,) * (1 + spatial), outer * bias.strides[0], bias.strides[0]))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Groups:
    count: int
    #: Input and output channels of one group.
    inner: int
    outer: int


def convolution(
    call: Call,
    value: Value,
    weight: Value,
    bias: Value | None,
    *,
    zeros: tuple[int, int] = (0, 0),
    dtype: DType = DType.FLOAT32,
) -> Value:
    """[N, C, …] convolved with [M, C/g, …], stored channels last. ``bias`` has M elements."""
    groups = _groups_of(call, value, weight, bias)
    window = window_of(call, value.shape[2:], weight.shape[2:])
    build, spatial = call.build, window.rank
    value = build.materialised(value, order=(0, *range(2, 2 + spatial), 1))
    weight = build.materialised(weight, order=(0, *range(2, 2 + spatial), 1))
    batch, channels = value.shape[0], groups.count * groups.outer
    left = value.operand(
        (value.strides[0], *window.scaled(value.strides[2:]), groups.inner * value.strides[1], 0),
        offset=window.origin(value.strides[2:]),
    )
    right = weight.operand((*(0,) * (1 + spatial), groups.outer * weight.strides[0], weight.strides[0]))
    given = Sum(
        shape=(batch, *window.output, channels),
        axes=(batch, *window.output, groups.count, groups.outer),
        left=left,
        right=right,
        bias=channel_bias(bias, spatial=spatial, outer=groups.outer),
        reductions=(
            *window.reductions(value.strides[2:], weight.strides[2:], first_axis=1),
            Reduction(extent=groups.inner, left_stride=value.strides[1], right_stride=weight.strides[1]),
        ),
        left_zero=zeros[0],
        right_zero=zeros[1],
        dtype=dtype,
    )
    return transposed(contract(build, given), (0, 1 + spatial, *range(1, 1 + spatial)))


def _groups_of(call: Call, value: Value, weight: Value, bias: Value | None) -> _Groups:
    count = call.integer("group", 1)
    if value.rank < 3 or weight.rank != value.rank:
        raise call.refused(f"shapes {value.shape} and {weight.shape} do not convolve")
    channels, inner = weight.shape[:2]
    if count < 1 or channels % count or value.shape[1] != inner * count:
        raise call.refused(f"{count} groups do not fit shapes {value.shape} and {weight.shape}")
    if bias is not None and bias.shape != (channels,):
        raise call.refused(f"the bias has shape {bias.shape}, not {(channels,)}")
    return _Groups(count=count, inner=inner, outer=channels // count)
