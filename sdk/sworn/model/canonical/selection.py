"""Copies and lookups: most copies are no nodes at all, but another order of the same tensor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from sworn.model.canonical.forms import Axes, Digit, Form, Moves, joined_cuts, row_major, stored
from sworn.model.canonical.pointwise import split_axes
from sworn.model.canonical.reading import Aligned, Reader, Source, flat_strides, operand_moves
from sworn.model.program import Copy, Lookup, Operand, Piece, Space, Step


def emit_copy(reader: Reader, step: Step, body: Copy) -> Form | None:
    """Writes a copy: another order of a tensor, a Concat, or a Pad; None where it is none of these."""
    if len(body.pieces) == 1 and _covers(body.pieces[0], step.axes):
        return _emit_view(reader, step, body.pieces[0].source)
    if len(body.pieces) == 1:
        return _emit_pad(reader, step, body.pieces[0], body.fill)
    return _emit_concat(reader, step, body.pieces)


def _covers(piece: Piece, axes: Axes) -> bool:
    return not any(piece.starts) and piece.stops == axes and all(every == 1 for every in piece.every)


def _emit_view(reader: Reader, step: Step, source: Operand) -> Form | None:
    aligned = reader.align([(source, operand_moves(source, step.axes))], gather=True)
    if aligned is None:
        return None
    found, sizes = aligned.sources[0], aligned.sizes
    strides = flat_strides(step.axes, aligned)
    wide = [axis for axis, size in enumerate(sizes) if size > 1]
    if all(found.holds(axis) for axis in wide) and found.form is not None:
        order = found.axes
        digits = tuple(Digit(size=sizes[axis], stride=strides[axis]) for axis in order)
        if found.is_whole:
            return Form(name=found.form.name, shape=found.form.shape, digits=digits)
        shape = tuple(sizes[axis] for axis in order)
        return Form(name=reader.take(found, order, shape), shape=shape, digits=digits)
    shape = tuple(sizes[axis] for axis in wide)
    lean = tuple(sizes[axis] if found.holds(axis) else 1 for axis in wide)
    name = reader.take(found, tuple(axis for axis in wide if found.holds(axis)), lean)
    name = reader.writer.node("Expand", [name, reader.writer.shape(shape)])
    return Form(name=name, shape=shape, digits=tuple(Digit(size=sizes[axis], stride=strides[axis]) for axis in wide))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pieces:
    """Pieces over common fine axes, with the output's ``sizes`` and ``strides``; ``places`` are its own axes'."""

    sizes: Axes
    strides: Axes
    places: dict[int, int]
    aligned: tuple[Aligned, ...]

    def digits(self, order: Sequence[int]) -> tuple[Digit, ...]:
        """The output's dimensions in some order of the fine axes."""
        return tuple(Digit(size=self.sizes[k], stride=self.strides[k]) for k in order if self.sizes[k] > 1)


def _align_pieces(reader: Reader, step: Step, pieces: Sequence[Piece], *, whole: set[int]) -> _Pieces | None:
    """Pieces over axes so fine that each is one dimension of every source; None where one of ``whole`` would be cut."""
    output = Moves(offset=0, sizes=step.axes, strides=row_major(step.axes))
    places = {axis: axis for axis in range(len(step.axes))}
    moved = [Moves(offset=piece.source.offset, sizes=_counts(piece), strides=piece.source.strides) for piece in pieces]
    flat = [_is_cut(reader, piece, moves, whole) for piece, moves in zip(pieces, moved, strict=True)]
    while True:
        found = [
            reader.align([(piece.source, moves)], is_flat=is_flat)
            for piece, moves, is_flat in zip(pieces, moved, flat, strict=True)
        ]
        aligned = [each for each in found if each is not None]
        if len(aligned) < len(found):
            return None
        several = [_cuts(each, len(output.sizes)) for each in aligned]
        cuts = joined_cuts(output.sizes, several)
        if cuts is None or any(cuts[places[axis]] for axis in whole):
            return None
        if not any(cuts):
            break
        ordered = [sorted(each) for each in cuts]
        places = {axis: place + sum(map(len, ordered[:place])) for axis, place in places.items()}
        output = output.cut(ordered)
        moved = [moves.cut(ordered) for moves in moved]
    if not all(each.sources[0].holds(k) for each in aligned for k, size in enumerate(each.sizes) if size > 1):
        return None
    return _Pieces(sizes=output.sizes, strides=output.strides, places=places, aligned=tuple(aligned))


def _is_cut(reader: Reader, piece: Piece, moves: Moves, whole: set[int]) -> bool:
    """Whether an axis that must stay whole is more than one dimension in memory."""
    aligned = reader.align([(piece.source, moves)])
    return aligned is not None and any(aligned.origins.count(axis) > 1 for axis in whole)


def _counts(piece: Piece) -> Axes:
    boxes = zip(piece.starts, piece.stops, piece.every, strict=True)
    return tuple(-(-(stop - start) // every) for start, stop, every in boxes)


def _cuts(aligned: Aligned, axes: int) -> list[set[int]]:
    cuts: list[set[int]] = [set() for _ in range(axes)]
    for origin, inner in zip(aligned.origins, aligned.inner, strict=True):
        if inner > 1:
            cuts[origin].add(inner)
    return cuts


def _emit_pad(reader: Reader, step: Step, piece: Piece, fill: int) -> Form | None:
    """One box in a constant. Elements that lie apart get their distance as padding behind each."""
    if piece.source.space is not Space.VALUE:
        return None
    boxes = enumerate(zip(piece.starts, piece.stops, piece.every, step.axes, strict=True))
    padded = {k for k, (start, stop, every, size) in boxes if start or stop != size or every != 1}
    found = _align_pieces(reader, step, [piece], whole=padded)
    if found is None:
        return None
    source, counts = found.aligned[0].sources[0], found.aligned[0].sizes
    order = (*(k for k in range(len(counts)) if k not in source.axes), *source.axes)
    olds = {place: axis for axis, place in found.places.items() if axis in padded}
    every = [piece.every[olds[k]] if k in olds else 1 for k in order]
    before = [piece.starts[olds[k]] if k in olds else 0 for k in order]
    dtype = step.output.dtype.numpy
    constant = reader.writer.constant(stored(np.array(fill, dtype=f"u{dtype.itemsize}").view(dtype)))
    shape = tuple(counts[k] for k in order)
    name = reader.take(source, source.axes, shape)
    if any(each > 1 for each in every):
        name = reader.reshape(name, shape, tuple(size for k in order for size in (counts[k], 1)))
        behind = [pad for each in every for pad in (0, each - 1)]
        name = reader.writer.node("Pad", [name, reader.writer.shape([0] * len(behind) + behind), constant])
        spread = tuple(number for pair in zip(shape, every, strict=True) for number in pair)
        shape = tuple(size * each for size, each in zip(shape, every, strict=True))
        name = reader.reshape(name, spread, shape)
    after = [found.sizes[k] - start - size for k, start, size in zip(order, before, shape, strict=True)]
    name = reader.writer.node("Pad", [name, reader.writer.shape([*before, *after]), constant])
    return Form(name=name, shape=tuple(found.sizes[k] for k in order), digits=found.digits(order))


def _emit_concat(reader: Reader, step: Step, pieces: Sequence[Piece]) -> Form | None:
    axis = _joint(step.axes, pieces)
    if axis is None:
        return None
    ordered = sorted(pieces, key=lambda piece: piece.starts[axis])
    found = _align_pieces(reader, step, ordered, whole={axis})
    if found is None:
        return None
    sources = [each.sources[0] for each in found.aligned]
    largest = max(sources, key=lambda source: prod(source.moves.sizes))
    place = found.places[axis]
    order = (*(k for k in range(len(found.sizes)) if k not in largest.axes), *largest.axes)
    shape = _concat_shape(largest, order, place, found.sizes)
    names = [
        reader.take(source, [k for k in order if source.holds(k)], shape(source.moves.sizes)) for source in sources
    ]
    result = shape(found.sizes)
    where = next(
        k for k, (total, part) in enumerate(zip(result, shape(largest.moves.sizes), strict=True)) if total != part
    )
    name = reader.writer.node("Concat", names, axis=where)
    return Form(name=name, shape=result, digits=found.digits(order))


def _concat_shape(
    largest: Source, order: Sequence[int], place: int, sizes: Axes
) -> Callable[[Sequence[int]], tuple[int, ...]]:
    """The shape of pieces, given their sizes: that of the largest one's tensor where the joint is a dimension there."""
    natural = largest.natural
    groups = None
    if natural is not None and largest.holds(place):
        behind = largest.axes[largest.axes.index(place) + 1 :]
        starts = {place, *behind[:1]}
        groups = split_axes(natural, largest.axes, largest.moves.sizes, starts)
    if groups is None or any(sizes[k] > 1 and k not in largest.axes for k in range(len(sizes))):
        return lambda sizes: tuple(sizes[k] for k in order)
    found = groups
    return lambda sizes: tuple(prod(sizes[k] for k in group) for group in found)


def _joint(axes: Axes, pieces: Sequence[Piece]) -> int | None:
    """The axis along which pieces lie side by side and fill everything; None where they do not."""
    cut = {
        k
        for piece in pieces
        for k, (start, stop, size) in enumerate(zip(piece.starts, piece.stops, axes, strict=True))
        if start or stop != size
    }
    if len(cut) != 1 or any(every != 1 for piece in pieces for every in piece.every):
        return None
    axis = cut.pop()
    place = 0
    for piece in sorted(pieces, key=lambda piece: piece.starts[axis]):
        if piece.starts[axis] != place:
            return None
        place = piece.stops[axis]
    return axis if place == axes[axis] else None


def emit_lookup(reader: Reader, step: Step, body: Lookup) -> Form | None:
    """Writes a lookup along one dimension of a tensor as a Gather; None for any other."""
    indexed = [k for k, size in enumerate(step.axes) if size > 1 and body.index.strides[k]]
    if len(body.extents) != 1 or any(body.source.strides[k] for k in indexed):
        return None
    kept = [k for k, size in enumerate(step.axes) if size > 1 and k not in indexed]
    sizes = (*(1 if k in indexed else size for k, size in enumerate(step.axes)), body.extents[0])
    moves = Moves(offset=body.source.offset, sizes=sizes, strides=(*body.source.strides, body.strides[0]))
    table = reader.align([(body.source, moves)])
    if table is None or sum(origin == len(step.axes) for origin in table.origins) != 1 or body.extents[0] == 1:
        return None
    source = table.sources[0]
    if any(not any(table.origins[a] == k for a in source.axes) for k in kept):
        return None
    index_sizes = tuple(size if k in indexed else 1 for k, size in enumerate(step.axes))
    index_moves = Moves(offset=body.index.offset, sizes=index_sizes, strides=body.index.strides)
    index = reader.align([(body.index, index_moves)], gather=True)
    if index is None:
        return None
    return _emit_gather(reader, step, table, index)


def _emit_gather(reader: Reader, step: Step, table: Aligned, index: Aligned) -> Form:
    source, where = table.sources[0], index.sources[0]
    place = next(p for p, axis in enumerate(source.axes) if table.origins[axis] == len(step.axes))
    shape = tuple(table.sizes[axis] for axis in source.axes)
    index_shape = tuple(index.sizes[axis] for axis in where.axes)
    names = [reader.take(source, source.axes, shape), reader.take(where, where.axes, index_shape)]
    name = reader.writer.node("Gather", names, axis=place)
    strides = row_major(step.axes)

    def digits(aligned: Aligned, axes: Sequence[int]) -> list[Digit]:
        return [Digit(size=aligned.sizes[a], stride=strides[aligned.origins[a]] * aligned.inner[a]) for a in axes]

    found = [*digits(table, source.axes[:place]), *digits(index, where.axes), *digits(table, source.axes[place + 1 :])]
    return Form(name=name, shape=(*shape[:place], *index_shape, *shape[place + 1 :]), digits=tuple(found))
