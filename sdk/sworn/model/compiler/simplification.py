"""One form for steps that mean the same: axes joined, reductions joined, clips that never cut dropped."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from sworn.model.compiler.values import Axes
from sworn.model.program import (
    Body,
    Clip,
    Contract,
    Copy,
    Extremum,
    Lookup,
    Operand,
    Piece,
    Pointwise,
    Rank,
    Reduction,
    Tree,
)


def operands(body: Body) -> Iterator[Operand]:
    """What a body reads, in order; the weight tensors of a tree excepted."""
    match body:
        case Copy():
            yield from (piece.source for piece in body.pieces)
        case Contract():
            yield from (operand for operand in (body.left, body.right, body.bias) if operand is not None)
        case Pointwise():
            yield from body.operands
        case Lookup():
            yield from (body.source, body.index)
        case Extremum() | Rank():
            yield body.source
        case Tree():
            yield body.features


def with_operands(body: Body, change: Callable[[Operand], Operand]) -> Body:
    """The body with every operand changed."""
    match body:
        case Copy():
            return replace(body, pieces=tuple(replace(p, source=change(p.source)) for p in body.pieces))
        case Contract():
            right = None if body.right is None else change(body.right)
            bias = None if body.bias is None else change(body.bias)
            return replace(body, left=change(body.left), right=right, bias=bias)
        case Pointwise():
            return replace(body, operands=tuple(map(change, body.operands)))
        case Lookup():
            return replace(body, source=change(body.source), index=change(body.index))
        case Extremum() | Rank():
            return replace(body, source=change(body.source))
        case Tree():
            return replace(body, features=change(body.features))


def simplified(axes: Sequence[int], body: Body) -> tuple[Axes, Body]:
    """The canonical form of a step's axes and body. There is always at least one axis, and one reduction."""
    if isinstance(body, Copy):
        return _simple_copy(tuple(axes), body)
    if isinstance(body, Contract | Extremum):
        body = _simple_reductions(tuple(axes), body)
    pinned = _pinned(body)
    groups = _groups(axes, [operand.strides for operand in operands(body)], pinned)
    sizes = tuple(_product(axes[k] for k in group) for group in groups)
    last = [group[-1] for group in groups]
    places = {old: new for new, old in enumerate(last)}

    def regroup(operand: Operand) -> Operand:
        strides = tuple(0 if axes[k] == 1 else operand.strides[k] for k in last)
        return replace(operand, strides=strides or (0,))

    return sizes or (1,), _moved(with_operands(body, regroup), places)


def _product(sizes: Iterator[int]) -> int:
    result = 1
    for size in sizes:
        result *= size
    return result


def _pinned(body: Body) -> frozenset[int]:
    match body:
        case Contract() | Extremum():
            return frozenset(reduction.clip.axis for reduction in body.reductions if reduction.clip is not None)
        case Rank():
            return frozenset({body.axis})
        case Tree():
            return frozenset({body.tree_axis})
        case _:
            return frozenset()


def _moved(body: Body, places: dict[int, int]) -> Body:
    match body:
        case Contract() | Extremum():
            return replace(
                body,
                reductions=tuple(
                    r if r.clip is None else replace(r, clip=replace(r.clip, axis=places[r.clip.axis]))
                    for r in body.reductions
                ),
            )
        case Rank():
            return replace(body, axis=places[body.axis])
        case Tree():
            return replace(body, tree_axis=places[body.tree_axis])
        case _:
            return body


def _groups(axes: Sequence[int], strides: Sequence[Axes], pinned: frozenset[int]) -> list[list[int]]:
    groups: list[list[int]] = []
    for axis, size in enumerate(axes):
        if size == 1 and axis not in pinned:
            continue
        before = groups[-1][-1] if groups else None
        if (
            before is not None
            and not {axis, before} & pinned
            and all(vector[before] == vector[axis] * size for vector in strides)
        ):
            groups[-1].append(axis)
        else:
            groups.append([axis])
    return groups


def _simple_reductions(axes: Axes, body: Contract | Extremum) -> Contract | Extremum:
    kept: list[Reduction] = []
    for given in body.reductions:
        clipped = given.clip is not None and _cuts(axes, given.extent, given.clip)
        reduction = given if clipped else replace(given, clip=None)
        if reduction.extent == 1 and reduction.clip is None:
            continue
        if reduction.extent == 1:
            reduction = replace(reduction, left_stride=0, right_stride=0)
        if kept and _joins(kept[-1], reduction):
            kept[-1] = replace(reduction, extent=kept[-1].extent * reduction.extent)
        else:
            kept.append(reduction)
    reductions = tuple(kept) or (Reduction(extent=1, left_stride=0),)
    if isinstance(body, Contract) and body.divisor == 0 and all(r.clip is None for r in reductions):
        return replace(body, reductions=reductions, divisor=_product(r.extent for r in reductions))
    return replace(body, reductions=reductions)


def _cuts(axes: Axes, extent: int, clip: Clip) -> bool:
    ends = (axes[clip.axis] - 1) * clip.step, (extent - 1) * clip.dilation
    least = clip.origin + sum(min(0, end) for end in ends)
    return least < 0 or clip.origin + sum(max(0, end) for end in ends) >= clip.extent


def _joins(outer: Reduction, inner: Reduction) -> bool:
    return (
        outer.clip is None
        and inner.clip is None
        and outer.left_stride == inner.left_stride * inner.extent
        and outer.right_stride == inner.right_stride * inner.extent
    )


def _simple_copy(axes: Axes, body: Copy) -> tuple[Axes, Copy]:
    pieces = [piece for piece in map(_simple_piece, body.pieces) if piece is not None]
    axis = len(axes) - 1
    while axis > 0:
        joined = [_joined(piece, axis, axes[axis]) for piece in pieces]
        if axes[axis] == 1 or axes[axis - 1] == 1 or all(piece is not None for piece in joined):
            if axes[axis] == 1 or axes[axis - 1] == 1:
                dropped = axis if axes[axis] == 1 else axis - 1
                pieces = [_without(piece, dropped) for piece in pieces]
            else:
                pieces = [piece for piece in joined if piece is not None]
            axes = (*axes[: axis - 1], axes[axis - 1] * axes[axis], *axes[axis + 1 :])
        axis -= 1
    if not axes:
        pieces = [
            Piece(source=replace(piece.source, strides=(0,)), starts=(0,), stops=(1,), every=(1,)) for piece in pieces
        ]
    return axes or (1,), replace(body, pieces=tuple(p for p in map(_simple_piece, pieces) if p is not None))


def _simple_piece(piece: Piece) -> Piece | None:
    counts = _counts(piece)
    if any(count == 0 for count in counts):
        return None
    strides = tuple(0 if n == 1 else s for n, s in zip(counts, piece.source.strides, strict=True))
    every = tuple(1 if n == 1 else e for n, e in zip(counts, piece.every, strict=True))
    stops = tuple(a + (n - 1) * e + 1 for a, n, e in zip(piece.starts, counts, every, strict=True))
    return Piece(source=replace(piece.source, strides=strides), starts=piece.starts, stops=stops, every=every)


def _counts(piece: Piece) -> list[int]:
    boxes = zip(piece.starts, piece.stops, piece.every, strict=True)
    return [max(0, -(-(stop - start) // every)) for start, stop, every in boxes]


def _joined(piece: Piece, axis: int, size: int) -> Piece | None:
    """The piece with ``axis`` joined to the axis before it, when its box and its strides allow."""
    strides, before = piece.source.strides, axis - 1
    whole = piece.starts[axis] == 0 and piece.stops[axis] == size and piece.every[axis] == piece.every[before] == 1
    single = piece.stops[before] - piece.starts[before] == 1
    if whole and (single or strides[before] == strides[axis] * size):
        start, stop = piece.starts[before] * size, piece.stops[before] * size
    elif single and piece.every[axis] == 1:
        start = piece.starts[before] * size + piece.starts[axis]
        stop = piece.starts[before] * size + piece.stops[axis]
    else:
        return None
    return _replaced(piece, axis, start=start, stop=stop, stride=strides[axis])


def _replaced(piece: Piece, axis: int, *, start: int, stop: int, stride: int) -> Piece:
    def join(values: Axes, value: int) -> Axes:
        return (*values[: axis - 1], value, *values[axis + 1 :])

    return Piece(
        source=replace(piece.source, strides=join(piece.source.strides, stride)),
        starts=join(piece.starts, start),
        stops=join(piece.stops, stop),
        every=join(piece.every, 1),
    )


def _without(piece: Piece, axis: int) -> Piece:
    def drop(values: Axes) -> Axes:
        return values[:axis] + values[axis + 1 :]

    source = replace(piece.source, strides=drop(piece.source.strides))
    return Piece(source=source, starts=drop(piece.starts), stops=drop(piece.stops), every=drop(piece.every))
