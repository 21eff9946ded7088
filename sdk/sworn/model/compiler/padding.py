"""Padding, and zeros between elements."""

from __future__ import annotations

from collections.abc import Sequence

from sworn.model.compiler.builder import Builder
from sworn.model.compiler.operators import Call, lowers
from sworn.model.compiler.steps import concatenated
from sworn.model.compiler.values import Value, expanded, inverse, sliced, storage_order, transposed
from sworn.model.program import Copy, Piece


@lowers("Pad", 2, 11, 13, 18, 19, 21, 23, 24, 25, ignored=("value",))
def pad(call: Call) -> Value:
    """Padding by a constant, by reflection, by the edge or around; negative padding cuts off."""
    value, mode = call.value(0), call.text("mode", "constant")
    given = call.integers("pads") if call.version == 2 else call.integers_at(1, "the padding")
    chosen = call.integers_at(3, "the axes")
    axes = tuple(range(value.rank)) if chosen is None else call.axes(chosen, value.rank)
    if given is None or len(given) != 2 * len(axes):
        raise call.refused(f"the padding {given} does not fit {len(axes)} axes")
    pads = [(0, 0)] * value.rank
    for k, axis in enumerate(axes):
        pads[axis] = (given[k], given[k + len(axes)])
    for axis, (before, after) in enumerate(pads):
        start, stop = max(0, -before), value.shape[axis] - max(0, -after)
        if stop <= start:
            raise call.refused("negative padding leaves nothing")
        value = sliced(value, axis, start=start, count=stop - start)
    pads = [(max(0, before), max(0, after)) for before, after in pads]
    if mode == "constant":
        return padded(call.build, value, pads, mode=mode, fill=_fill(call, value))
    if mode not in ("reflect", "edge", "wrap"):
        raise call.refused(f"mode {mode!r} is unknown")
    for axis, (before, after) in enumerate(pads):
        room = value.shape[axis] - (1 if mode == "reflect" else 0)
        if max(before, after) > room and mode != "edge":
            raise call.refused(f"padding {max(before, after)} by {mode} exceeds the axis of {value.shape[axis]}")
    return padded(call.build, value, pads, mode=mode)


def _fill(call: Call, value: Value) -> int:
    """Bits of the constant."""
    build = call.build
    if call.version == 2:
        constant = build.array(build.scalar(call.number("value", 0.0)))
    else:
        constant = call.array(2, "the value to pad with")
    if constant is None:
        return 0
    if constant.size != 1 or constant.dtype != value.dtype.numpy:
        raise call.refused("the value to pad with is not one element of the data's type")
    return int.from_bytes(constant.reshape(-1)[:1].astype(constant.dtype.newbyteorder(">")).tobytes())


def padded(build: Builder, value: Value, pads: Sequence[tuple[int, int]], *, mode: str, fill: int = 0) -> Value:
    """The value with elements before and after along each axis."""
    if not any(map(any, pads)):
        return value
    if mode == "constant":
        every = (1,) * value.rank
        return spaced(build, value, every=every, pads=pads, fill=fill)
    for axis, (before, after) in enumerate(pads):
        if before or after:
            parts = [_margin(value, axis, before, mode=mode, first=True), value]
            parts.append(_margin(value, axis, after, mode=mode, first=False))
            value = concatenated(build, [part for part in parts if part.shape[axis]], axis=axis)
    return value


def spaced(
    build: Builder, value: Value, *, every: Sequence[int], pads: Sequence[tuple[int, int]], fill: int = 0
) -> Value:
    """Elements ``every`` so many places apart, with places before and after; all other places hold ``fill``."""
    order = storage_order(value)
    stored = transposed(value, order)
    starts = tuple(pads[axis][0] for axis in order)
    spans = [(size - 1) * every[axis] + 1 for axis, size in zip(order, stored.shape, strict=True)]
    stops = tuple(start + span for start, span in zip(starts, spans, strict=True))
    sizes = tuple(stop + pads[axis][1] for axis, stop in zip(order, stops, strict=True))
    piece = Piece(
        source=stored.operand(stored.strides), starts=starts, stops=stops, every=tuple(every[axis] for axis in order)
    )
    result = build.emit(value.dtype, sizes, axes=sizes, body=Copy(pieces=(piece,), fill=fill))
    return transposed(result, inverse(order))


def _margin(value: Value, axis: int, count: int, *, mode: str, first: bool) -> Value:
    size = value.shape[axis]
    if mode == "edge":
        edge = sliced(value, axis, start=0 if first else size - 1, count=1)
        return expanded(edge, (*value.shape[:axis], count, *value.shape[axis + 1 :]))
    if mode == "wrap":
        return sliced(value, axis, start=size - count if first else 0, count=count)
    return sliced(value, axis, start=count if first else size - 2, count=count, step=-1)
