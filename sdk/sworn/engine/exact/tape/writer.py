"""Steps written as instructions: what is common to all, and those that move elements."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sworn.engine.exact.tape import codes
from sworn.engine.exact.tape.memory import NotOnTape, Places
from sworn.engine.exact.views import grid, merge_axes, row_major
from sworn.model.program import Copy, Lookup, Operand, Program, Space, Step
from sworn.types import DType

Array = NDArray[Any]

#: Elements of a step that is written on the tape, at most: numpy is as good for more.
MAX_ELEMENTS = 1 << 16


class Writer:
    """The words of one step after another."""

    def __init__(self, program: Program, places: Places) -> None:
        self.program, self.places = program, places
        self.words: list[int] = []

    def emit(self, code: int, *arguments: int) -> None:
        """Adds one instruction."""
        self.words += [code, len(arguments) + 2, *(int(argument) for argument in arguments)]

    def dtype(self, operand: Operand) -> DType:
        """The type of an operand's elements."""
        return self.program.type_of(operand).dtype

    def gather(
        self, itemsize: int, source: int, target: int, shape: Sequence[int], strides: Sequence[Sequence[int]]
    ) -> None:
        """Copies a box; places and the two sets of strides (of source and target) are in elements."""
        sizes, moves, _ = merge_axes(tuple(shape), [tuple(each) for each in strides], set())
        width = itemsize
        if itemsize == 8:
            # A word of eight bytes is two of four.
            sizes, width, source, target = [*sizes, 2], 4, 2 * source, 2 * target
            moves = [(*(2 * move for move in each), 1) for each in moves]
        if width not in {1, 4} or len(sizes) > codes.MAX_DIMENSIONS:
            raise NotOnTape
        self.emit(codes.GATHER, width, len(sizes), source, target, *sizes, *moves[0], *moves[1])

    def row(self, operand: Operand, axes: Sequence[int]) -> int:
        """Where an operand's elements over axes lie one after another, in elements; gathers them where they do not."""
        if operand.space is Space.WEIGHT:
            return self.places.constant(operand, axes)
        first = self.places.value(operand.tensor) + operand.offset
        contiguous = row_major(axes)
        moves = zip(axes, operand.strides, contiguous, strict=True)
        if all(size == 1 or stride == expected for size, stride, expected in moves):
            return first
        itemsize = self.dtype(operand).numpy.itemsize
        place = self.places.temporary(math.prod(axes), itemsize)
        self.gather(itemsize, first, place, axes, (operand.strides, contiguous))
        return place


def bits(value: float) -> int:
    """A float64 as a word."""
    return int(np.float64(value).view(np.int64))


def write_copy(writer: Writer, step: Step, body: Copy, out: int) -> None:
    """Gathers: the fill first, then the pieces, of which the first wins."""
    dtype = step.output.dtype.numpy
    contiguous = row_major(step.axes)
    shapes = [
        tuple(max(0, -(-(b - a) // c)) for a, b, c in zip(piece.starts, piece.stops, piece.every, strict=True))
        for piece in body.pieces
    ]
    if not any(shape == step.axes for shape in shapes):
        _write_fill(writer, step, body, out)
    for piece, shape in zip(reversed(body.pieces), reversed(shapes), strict=True):
        if math.prod(shape):
            first = sum(start * stride for start, stride in zip(piece.starts, contiguous, strict=True))
            strides = tuple(every * stride for every, stride in zip(piece.every, contiguous, strict=True))
            source = writer.places.tensor(piece.source) + piece.source.offset
            writer.gather(dtype.itemsize, source, out + first, shape, (piece.source.strides, strides))


def _write_fill(writer: Writer, step: Step, body: Copy, out: int) -> None:
    dtype = step.output.dtype.numpy
    fill = np.array([body.fill], dtype=f"u{dtype.itemsize}").view(dtype)
    source = writer.places.literal(fill)
    writer.gather(dtype.itemsize, source, out, (step.output.elements,), ((0,), (1,)))


def write_lookup(writer: Writer, step: Step, body: Lookup, out: int) -> None:
    """A lookup of elements of four bytes by int32 or int64."""
    kind = writer.dtype(body.index)
    if step.output.dtype.numpy.itemsize != 4 or kind not in {DType.INT32, DType.INT64}:
        raise NotOnTape
    count = step.output.elements
    index = writer.row(body.index, step.axes)
    if kind is DType.INT32:
        wide = writer.places.temporary(count, 8)
        writer.emit(codes.CAST, 0, count, index, wide)
        index = wide
    base = writer.places.table(grid(body.source.offset, step.axes, body.source.strides))
    elements = writer.program.type_of(body.source).elements
    source = writer.places.tensor(body.source)
    extents = (len(body.extents), math.prod(body.extents), *body.extents, *body.strides)
    writer.emit(codes.LOOKUP, count, source, elements, index, base, out, *extents)
