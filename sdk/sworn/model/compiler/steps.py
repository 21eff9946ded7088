"""Steps as lowerings think of them: whole values in, a whole value out. The axes and strides are worked out here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isfinite, prod

from sworn.errors import ModelUnsupported
from sworn.model.compiler.builder import Builder
from sworn.model.compiler.values import Value, broadcast, expanded, inverse, row_major, storage_order, transposed
from sworn.model.program import (
    MAX_TERMS,
    Contract,
    Copy,
    Extremum,
    Function,
    Lookup,
    Operand,
    Piece,
    Pointwise,
    Reduction,
)
from sworn.types import DType

#: Stretches of neighbouring elements that one contraction may read from a tensor before it is laid out anew: an opened
#: chunk holds a whole stretch, so this bounds the openings of a fault proof.
MAX_RUNS = 32
#: Blocks into which a contraction is cut.
MAX_BLOCKS = 1024


def pointwise(
    build: Builder,
    function: Function,
    *values: Value,
    dtype: DType | None = None,
    alpha: float = 0.0,
    beta: float = 0.0,
) -> Value:
    """A function of one to three values that broadcast; ``dtype`` defaults to the first value's.

    The result is stored in the order of axes in which the first value of full size is stored.
    """
    if function is not Function.CLIP and not (isfinite(alpha) and isfinite(beta)):
        raise ModelUnsupported(f"{build.label}: parameters {alpha} and {beta} are not finite")
    shape = broadcast([value.shape for value in values])
    if shape is None:
        raise ModelUnsupported(f"{build.label}: shapes {[value.shape for value in values]} do not broadcast")
    wide = [expanded(value, shape) for value in values]
    order = _result_order(wide)
    stored = [transposed(value, order) for value in wide]
    sizes = tuple(shape[axis] for axis in order)
    body = Pointwise(
        function=function, operands=tuple(value.operand(value.strides) for value in stored), alpha=alpha, beta=beta
    )
    result = build.emit(dtype or values[0].dtype, sizes, axes=sizes, body=body)
    return transposed(result, inverse(order))


def _result_order(values: Sequence[Value]) -> tuple[int, ...]:
    for value in values:
        if all(stride != 0 or size == 1 for size, stride in zip(value.shape, value.strides, strict=True)):
            return storage_order(value)
    return tuple(range(values[0].rank))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum:
    """A contraction before it is cut into blocks; `contract` writes it."""

    #: Shape of the result, stored in row-major order.
    shape: tuple[int, ...]
    #: Factors of that order, over which operands and clips are given.
    axes: tuple[int, ...]
    left: Operand
    right: Operand | None = None
    bias: Operand | None = None
    reductions: tuple[Reduction, ...]
    divisor: int = 1
    left_zero: int = 0
    right_zero: int = 0
    dtype: DType = DType.FLOAT32

    @property
    def terms(self) -> int:
        """Number of terms, clipped ones included."""
        return prod(reduction.extent for reduction in self.reductions)


def contract(build: Builder, given: Sum) -> Value:
    """A sum of products in one step, or in blocks of at most `MAX_TERMS` terms summed by one more.

    Blocks: the outermost reduced axes are taken one by one, and the first axis whose inner axes fit together in
    `MAX_TERMS` terms is cut into the longest runs that fit.
    """
    if given.terms <= MAX_TERMS:
        return _contract(build, given)
    if given.terms > MAX_BLOCKS * MAX_TERMS:
        raise ModelUnsupported(f"{build.label}: sums of {given.terms} terms; {MAX_BLOCKS * MAX_TERMS} are possible")
    if given.divisor == 0:
        raise ModelUnsupported(f"{build.label}: a window of {given.terms} terms with padding; {MAX_TERMS} are possible")
    blocks = [_contract(build, replace(block, bias=None, divisor=1)) for block in _blocks(given, 0)]
    size = prod(given.shape)
    parts = concatenated(build, [build.reshaped(block, (size, 1)) for block in blocks], axis=1)
    count = len(blocks)
    scale = row_major(given.axes)
    total = Sum(
        shape=given.shape,
        axes=given.axes,
        left=parts.operand([stride * count for stride in scale]),
        bias=given.bias,
        reductions=(Reduction(extent=count, left_stride=1),),
        divisor=given.divisor,
        dtype=given.dtype,
    )
    return contract(build, total)


def _contract(build: Builder, given: Sum) -> Value:
    body = Contract(
        left=given.left,
        right=given.right,
        bias=given.bias,
        reductions=given.reductions,
        divisor=given.divisor,
        left_zero=given.left_zero,
        right_zero=given.right_zero,
    )
    return build.emit(given.dtype, given.shape, axes=given.axes, body=body)


def _blocks(given: Sum, depth: int) -> list[Sum]:
    if given.terms <= MAX_TERMS:
        return [given]
    inner = prod(reduction.extent for reduction in given.reductions[depth + 1 :])
    extent = given.reductions[depth].extent
    longest = max(1, MAX_TERMS // inner)
    blocks = []
    for start in range(0, extent, longest):
        part = _part(given, depth, start=start, extent=min(longest, extent - start))
        blocks += _blocks(part, depth + 1)
    return blocks


def _part(given: Sum, depth: int, *, start: int, extent: int) -> Sum:
    old = given.reductions[depth]
    clip = old.clip and replace(old.clip, origin=old.clip.origin + start * old.clip.dilation)
    new = replace(old, extent=extent, clip=clip)
    left = replace(given.left, offset=given.left.offset + start * old.left_stride)
    right = given.right and replace(given.right, offset=given.right.offset + start * old.right_stride)
    reductions = (*given.reductions[:depth], new, *given.reductions[depth + 1 :])
    return replace(given, left=left, right=right, reductions=reductions)


def concatenated(build: Builder, values: Sequence[Value], *, axis: int) -> Value:
    """Values side by side along an axis, stored in the order of axes of the first."""
    shape = list(values[0].shape)
    shape[axis] = sum(value.shape[axis] for value in values)
    order = storage_order(values[0])
    sizes = tuple(shape[k] for k in order)
    place = order.index(axis)
    pieces, start = [], 0
    for value in values:
        stored = transposed(value, order)
        starts = tuple(start if k == place else 0 for k in range(len(sizes)))
        stops = tuple(start + value.shape[axis] if k == place else size for k, size in enumerate(sizes))
        pieces.append(Piece(source=stored.operand(stored.strides), starts=starts, stops=stops, every=(1,) * len(sizes)))
        start += value.shape[axis]
    result = build.emit(values[0].dtype, sizes, axes=sizes, body=Copy(pieces=tuple(pieces)))
    return transposed(result, inverse(order))


def total(
    build: Builder,
    value: Value,
    axes: Sequence[int],
    *,
    keep: bool,
    divisor: int = 1,
    square: bool = False,
    zero: int | None = None,
) -> Value:
    """Sum over axes (of squares on demand), divided by an integer, rounded once. float32 and int32 only.

    With ``zero``, bytes are summed in int32, each less that number.
    """
    if value.dtype not in ((DType.FLOAT32, DType.INT32) if zero is None else (DType.UINT8, DType.INT8)):
        raise ModelUnsupported(f"{build.label}: sums of {value.dtype.name.lower()} are not supported")
    value = near(build, value, axes)
    kept, reduced = split_axes(value, axes)
    sizes = tuple(value.shape[axis] for axis in kept)
    operand = value.operand([value.strides[axis] for axis in kept])
    result = contract(
        build,
        Sum(
            shape=sizes,
            axes=sizes,
            left=operand,
            right=operand if square else None,
            reductions=tuple(
                Reduction(
                    extent=value.shape[axis],
                    left_stride=value.strides[axis],
                    right_stride=value.strides[axis] if square else 0,
                )
                for axis in reduced
            ),
            divisor=divisor,
            left_zero=zero or 0,
            dtype=value.dtype if zero is None else DType.INT32,
        ),
    )
    return unreduced(result, value, kept=kept, axes=axes, keep=keep)


def near(build: Builder, value: Value, axes: Sequence[int]) -> Value:
    """The value with its reduced axes stored innermost, if they lie in more than `MAX_RUNS` runs now."""
    order = [axis for axis in storage_order(value) if axis in axes and value.shape[axis] != 1]
    runs, length = 1, 1
    for axis in reversed(order):
        if runs == 1 and value.strides[axis] == length:
            length *= value.shape[axis]
        elif value.strides[axis] != 0:
            runs *= value.shape[axis]
    if runs <= MAX_RUNS:
        return value
    kept = [axis for axis in storage_order(value) if axis not in axes]
    return build.materialised(value, order=(*kept, *(a for a in storage_order(value) if a in axes)))


def split_axes(value: Value, axes: Sequence[int]) -> tuple[list[int], list[int]]:
    """Kept and reduced axes, each in storage order."""
    order = storage_order(value)
    return [axis for axis in order if axis not in axes], [axis for axis in order if axis in axes]


def unreduced(result: Value, value: Value, *, kept: Sequence[int], axes: Sequence[int], keep: bool) -> Value:
    """A result over kept axes, back in the order of the value's axes; reduced axes stay with size 1 on demand."""
    strides = dict(zip(kept, result.strides, strict=True))
    names = [axis for axis in range(value.rank) if keep or axis not in axes]
    return result.view(
        [1 if axis in axes else value.shape[axis] for axis in names], [strides.get(axis, 0) for axis in names]
    )


def position(build: Builder, value: Value, axes: Sequence[int], *, largest: bool, virtual: bool) -> Value:
    """Row-major position over ``axes`` (in the given order) of the greatest or least element; the first wins. int64.

    The result has only the kept axes, in storage order: `split_axes` names them.
    """
    kept, _ = split_axes(value, axes)
    sizes = tuple(value.shape[axis] for axis in kept)
    body = Extremum(
        source=value.operand([value.strides[axis] for axis in kept]),
        reductions=tuple(Reduction(extent=value.shape[axis], left_stride=value.strides[axis]) for axis in axes),
        largest=largest,
    )
    return build.emit(DType.INT64, sizes, axes=sizes, body=body, virtual=virtual)


def extreme(build: Builder, value: Value, axes: Sequence[int], *, largest: bool, keep: bool) -> Value:
    """The greatest or least element over axes."""
    if all(value.shape[axis] == 1 for axis in axes):
        kept = [axis for axis in range(value.rank) if axis not in axes]
        part = value.view([value.shape[axis] for axis in kept], [value.strides[axis] for axis in kept])
        return unreduced(part, value, kept=kept, axes=axes, keep=keep)
    if value.dtype is DType.BOOL:
        number = pointwise(build, Function.CAST, value, dtype=DType.UINT8)
        result = extreme(build, number, axes, largest=largest, keep=keep)
        return pointwise(build, Function.CAST, result, dtype=DType.BOOL)
    where = position(build, value, axes, largest=largest, virtual=True)
    kept, _ = split_axes(value, axes)
    sizes = tuple(value.shape[axis] for axis in kept)
    body = Lookup(
        source=value.operand([value.strides[axis] for axis in kept]),
        index=where.operand(where.strides),
        extents=tuple(value.shape[axis] for axis in axes),
        strides=tuple(value.strides[axis] for axis in axes),
    )
    result = build.emit(value.dtype, sizes, axes=sizes, body=body)
    return unreduced(result, value, kept=kept, axes=axes, keep=keep)
