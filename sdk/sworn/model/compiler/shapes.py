"""Operators that rearrange elements or speak of shapes. Most are views and cost nothing."""

from __future__ import annotations

from fractions import Fraction
from itertools import accumulate
from math import ceil, prod

import numpy as np

from sworn.model.compiler.builder import MAX_ELEMENTS
from sworn.model.compiler.graph import decoded
from sworn.model.compiler.operators import Call, lowers
from sworn.model.compiler.steps import concatenated, pointwise
from sworn.model.compiler.values import Value, broadcast, expanded, sliced, transposed
from sworn.model.program import Function
from sworn.types import DType

#: Numbers of a Range: up to here every place is a float32.
MAX_RANGE = 1 << 24


@lowers("Identity", 1, 13, 14, 16, 19, 21, 23, 24, 25)
def identity(call: Call) -> Value:
    """The same value."""
    return call.value(0)


@lowers("Dropout", 7, 10, 12, 13, 22, ignored=("ratio", "seed"))
def dropout(call: Call) -> tuple[Value | None, ...]:
    """Outside training nothing is dropped."""
    training = call.array(2, "training_mode")
    if training is not None and training.any():
        raise call.refused("training mode is not supported")
    mask = call.build.constant(np.ones((), np.bool_)) if call.wanted(1) else None
    return call.value(0), mask and expanded(mask, call.value(0).shape)


@lowers("Constant", 1, 9, 11, 12, 13, 19, 21, 23, 24, 25)
def constant(call: Call) -> Value:
    """The constant in an attribute."""
    attributes = {"value_float": np.float32, "value_floats": np.float32, "value_int": np.int64, "value_ints": np.int64}
    for name, dtype in attributes.items():
        if call.has(name):
            return call.build.constant(np.array(call.node.attributes[name], dtype))
    if not call.has("value"):
        raise call.refused("only dense constants of numbers are supported")
    return call.build.constant(call.tensor("value"))


@lowers("ConstantOfShape", 9, 20, 21, 23, 24, 25)
def constant_of_shape(call: Call) -> Value:
    """One number in every place."""
    shape = call.integers_at(0, "the shape") or ()
    element = decoded(call.node.attributes["value"]) if call.has("value") else np.zeros(1, np.float32)
    if element.size != 1 or min(shape, default=0) < 0 or prod(shape) > MAX_ELEMENTS:
        raise call.refused(f"a constant of shape {shape} is not possible")
    return expanded(call.build.constant(element.reshape(())), shape)


@lowers("Shape", 1, 13, 15, 19, 21, 23, 24, 25)
def shape_of(call: Call) -> Value:
    """The shape as a constant."""
    shape = call.value(0).shape
    end = call.integer("end") if call.has("end") else len(shape)
    return call.build.constant(np.array(shape[call.integer("start", 0) : end], np.int64))


@lowers("Size", 1, 13, 19, 21, 23, 24, 25)
def size_of(call: Call) -> Value:
    """The number of elements as a constant."""
    return call.build.scalar(call.value(0).elements, dtype=DType.INT64)


@lowers("Range", 11, 27, ignored=("stash_type",))
def arithmetic_range(call: Call) -> Value:
    """Numbers from constants: integers, or RN(start + RN(i · delta)) for floats."""
    arrays = [array for array in (call.array(k, "the bounds of Range") for k in range(3)) if array is not None]
    if len(arrays) != 3 or any(array.size != 1 or array.dtype != arrays[0].dtype for array in arrays):
        raise call.refused("the bounds are not three numbers of one type")
    if not all(np.isfinite(array).all() for array in arrays):
        raise call.refused("a bound is infinite")
    start, limit, delta = (Fraction(array.reshape(-1)[0].item()) for array in arrays)
    count = ceil((limit - start) / delta) if delta else 0
    if not 0 < count <= MAX_RANGE:
        raise call.refused(f"a range from {start} to {limit} by {delta} is not possible")
    build, dtype = call.build, call.value(0).dtype
    places = build.constant(np.arange(count, dtype=dtype.numpy))
    first, step = (call.value(k).view((), ()) for k in (0, 2))
    return pointwise(build, Function.ADD, first, pointwise(build, Function.MUL, places, step))


@lowers("Reshape", 5, 13, 14, 19, 21, 23, 24, 25)
def reshape(call: Call) -> Value:
    """Another shape."""
    value, given = call.value(0), call.integers_at(1, "the shape")
    if given is None:
        raise call.refused("the shape is missing")
    shape = list(given)
    if not call.integer("allowzero", 0):
        shape = [value.shape[k] if n == 0 and k < value.rank else n for k, n in enumerate(shape)]
    if shape.count(-1) == 1:
        known = prod(n for n in shape if n != -1)
        shape[shape.index(-1)] = value.elements // known if known > 0 else 0
    if min(shape, default=1) < 0 or prod(shape) != value.elements:
        raise call.refused(f"{value.shape} does not reshape to {given}")
    return call.build.reshaped(value, shape)


@lowers("Flatten", 1, 9, 11, 13, 21, 23, 24, 25)
def flatten(call: Call) -> Value:
    """A matrix whose rows begin at the axis."""
    value, axis = call.value(0), call.integer("axis", 1)
    if not -value.rank <= axis <= value.rank:
        raise call.refused(f"axis {axis} is not in a tensor of rank {value.rank}")
    axis = axis + value.rank if axis < 0 else axis
    return call.build.reshaped(value, (prod(value.shape[:axis]), prod(value.shape[axis:])))


@lowers("Squeeze", 1, 11, 13, 21, 23, 24, 25)
def squeeze(call: Call) -> Value:
    """Axes of size 1 taken away."""
    value = call.value(0)
    given = call.integers("axes") if call.has("axes") else call.integers_at(1, "the axes")
    axes = tuple(k for k, n in enumerate(value.shape) if n == 1) if given is None else call.axes(given, value.rank)
    if any(value.shape[axis] != 1 for axis in axes):
        raise call.refused(f"axes {axes} of shape {value.shape} are not all of size 1")
    kept = [axis for axis in range(value.rank) if axis not in axes]
    return value.view([value.shape[axis] for axis in kept], [value.strides[axis] for axis in kept])


@lowers("Unsqueeze", 1, 11, 13, 21, 23, 24, 25)
def unsqueeze(call: Call) -> Value:
    """Axes of size 1 put in."""
    value = call.value(0)
    given = call.integers("axes") if call.has("axes") else call.integers_at(1, "the axes")
    if given is None:
        raise call.refused("the axes are missing")
    rank = value.rank + len(given)
    axes = call.axes(given, rank)
    sizes, strides = iter(value.shape), iter(value.strides)
    return value.view(
        [1 if axis in axes else next(sizes) for axis in range(rank)],
        [0 if axis in axes else next(strides) for axis in range(rank)],
    )


@lowers("Transpose", 1, 13, 21, 23, 24, 25)
def transpose(call: Call) -> Value:
    """Axes in another order."""
    value = call.value(0)
    order = call.integers("perm", tuple(reversed(range(value.rank))))
    if sorted(order) != list(range(value.rank)):
        raise call.refused(f"perm {order} does not order {value.rank} axes")
    return transposed(value, order)


@lowers("Slice", 1, 10, 11, 13)
def cut(call: Call) -> Value:
    """Every so many elements between bounds, forwards or backwards."""
    value = call.value(0)
    if call.version == 1:
        starts, ends = call.integers("starts"), call.integers("ends")
        chosen = call.integers("axes", tuple(range(len(starts))))
        steps: tuple[int, ...] | None = None
    else:
        starts, ends = call.integers_at(1, "the starts") or (), call.integers_at(2, "the ends") or ()
        chosen = call.integers_at(3, "the axes") or tuple(range(len(starts)))
        steps = call.integers_at(4, "the steps")
    steps = steps or (1,) * len(starts)
    axes = call.axes(chosen, value.rank)
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps:
        raise call.refused("starts, ends, axes and steps do not fit")
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        # Python's slices clamp bounds as ONNX does.
        places = range(value.shape[axis])[slice(start, _end(end, value.shape[axis], step), step)]
        value = sliced(value, axis, start=places.start, count=len(places), step=step)
    return value


def _end(end: int, size: int, step: int) -> int | None:
    # Backwards past the front cannot be written as a number in a Python slice.
    return None if step < 0 and end < -size else end


@lowers("Concat", 4, 11, 13)
def concat(call: Call) -> Value:
    """Values side by side."""
    values = call.present()
    axis = call.axis(call.integer("axis"), values[0].rank)
    rest = {(*value.shape[:axis], *value.shape[axis + 1 :]) for value in values}
    if len(rest) != 1 or len({(value.rank, value.dtype) for value in values}) != 1:
        raise call.refused(f"shapes {[value.shape for value in values]} do not concatenate along axis {axis}")
    full = [value for value in values if value.elements]
    if not full:
        return values[0]
    return full[0] if len(full) == 1 else concatenated(call.build, full, axis=axis)


@lowers("Split", 2, 11, 13, 18)
def split(call: Call) -> tuple[Value | None, ...]:
    """Parts along an axis."""
    value, count = call.value(0), len(call.node.outputs)
    axis = call.axis(call.integer("axis", 0), value.rank)
    size = value.shape[axis]
    if call.integer("num_outputs", count) != count:
        raise call.refused(f"the node has {count} outputs, not {call.integer('num_outputs')}")
    given = call.integers("split") if call.has("split") else call.integers_at(1, "the sizes of the parts")
    if given is None:
        chunk = -(-size // count)
        given = tuple(min(chunk, size - chunk * k) for k in range(count))
    if len(given) != count or min(given) < 0 or sum(given) != size:
        raise call.refused(f"{size} elements do not split into {count} parts {given}")
    starts = accumulate((0, *given[:-1]))
    return tuple(sliced(value, axis, start=start, count=n) for start, n in zip(starts, given, strict=True))


@lowers("Expand", 8, 13)
def expand(call: Call) -> Value:
    """Broadcast to a shape."""
    value, given = call.value(0), call.integers_at(1, "the shape") or ()
    shape = broadcast([value.shape, given])
    if shape is None or min(given, default=1) < 1 or prod(shape) > MAX_ELEMENTS:
        raise call.refused(f"{value.shape} does not expand to {given}")
    return expanded(value, shape)


@lowers("Tile", 6, 13)
def tile(call: Call) -> Value:
    """The value over and over along each axis."""
    value, repeats = call.value(0), call.integers_at(1, "the repeats") or ()
    if len(repeats) != value.rank or min(repeats, default=1) < 1:
        raise call.refused(f"repeats {repeats} do not fit shape {value.shape}")
    shape = tuple(n * size for n, size in zip(repeats, value.shape, strict=True))
    if prod(shape) > MAX_ELEMENTS:
        raise call.refused(f"a tensor of shape {shape} is too large")
    pairs = [pair for n, size in zip(repeats, value.shape, strict=True) for pair in (n, size)]
    strides = [stride for own in value.strides for stride in (0, own)]
    return call.build.reshaped(value.view(pairs, strides), shape)


@lowers("DepthToSpace", 1, 11, 13, 28)
@lowers("SpaceToDepth", 1, 13, 28)
def depth_and_space(call: Call) -> Value:
    """Blocks of channels to blocks of places, or back."""
    build, value, block = call.build, call.value(0), call.integer("blocksize")
    if value.rank != 4 or block < 1:
        raise call.refused("only rank 4 is supported")
    batch, channels, height, width = value.shape
    if call.operator == "SpaceToDepth":
        if height % block or width % block:
            raise call.refused(f"blocks of {block} do not fit shape {value.shape}")
        parts = build.reshaped(value, (batch, channels, height // block, block, width // block, block))
        order = (0, 3, 5, 1, 2, 4) if call.text("mode", "DCR") == "DCR" else (0, 1, 3, 5, 2, 4)
        moved = transposed(parts, order)
        return build.reshaped(moved, (batch, channels * block * block, height // block, width // block))
    if channels % (block * block):
        raise call.refused(f"blocks of {block} do not fit shape {value.shape}")
    inner = channels // (block * block)
    if call.text("mode", "DCR") == "DCR":
        parts = transposed(build.reshaped(value, (batch, block, block, inner, height, width)), (0, 3, 4, 1, 5, 2))
    else:
        parts = transposed(build.reshaped(value, (batch, inner, block, block, height, width)), (0, 1, 4, 2, 5, 3))
    return build.reshaped(parts, (batch, inner, height * block, width * block))
