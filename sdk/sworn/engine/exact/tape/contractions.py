"""Contractions written as instructions: tables of where runs of terms begin, and constant operands laid out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sworn.engine.exact.layout import Layout
from sworn.engine.exact.tape import codes
from sworn.engine.exact.tape.memory import NotOnTape
from sworn.engine.exact.tape.writer import Writer, bits
from sworn.engine.exact.terms import bounds, error_factor
from sworn.engine.exact.views import counted_terms, grid, merge_axes, row_major, select
from sworn.model.program import Contract, Operand, Step
from sworn.types import DType

Array = NDArray[Any]

#: Products of one step, at most: BLAS is faster from about there.
MAX_PRODUCTS = 1 << 20
#: With fewer columns, sums are formed one by one.
_LEAST_COLUMNS = 4
#: Sums of so many rows without a right operand are formed side by side.
_LEAST_ROWS = 8
_COMPUTED, _CONSTANT = 0, 1
#: float64 that an instruction needs beside rows of terms and columns.
_SPARE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class _Runs:
    """Where the terms of rows lie in a tensor: runs of a stride, their beginnings in a table."""

    #: int64 [batches · outer, runs], below 0 where a run does not count.
    starts: Array
    length: int
    step: int


class _Shape:
    """A contraction as batches of rows, terms and columns."""

    def __init__(self, step: Step, body: Contract, layout: Layout) -> None:
        self.step, self.body, self.layout = step, body, layout
        self.batches, self.rows, self.columns = layout.sizes
        self.terms = -(-layout.terms // 4) * 4
        self.width = -(-self.columns // 8) * 8
        self.inner = self._inner()

    def _inner(self) -> int:
        """Trailing reductions that are one run in both operands."""
        reductions = self.layout.reductions
        inner = 0
        while inner < len(reductions) and reductions[-1 - inner].clip is None:
            last = reductions[len(reductions) - 1 - inner :]
            sizes = tuple(r.extent for r in last)
            moves = [tuple(r.left_stride for r in last), tuple(r.right_stride for r in last)]
            if len(merge_axes(sizes, moves, set())[0]) > 1:
                break
            inner += 1
        return inner

    def strides(self, *, is_left: bool) -> tuple[int, ...]:
        """The strides of a side along the reductions; left is what the layout calls so."""
        return tuple(
            r.left_stride if is_left is not self.layout.is_swapped else r.right_stride for r in self.layout.reductions
        )

    def runs(self, operand: Operand, outer: tuple[int, ...], *, is_left: bool) -> _Runs:
        """The runs of an operand over batches and its outer axes."""
        reductions, strides = self.layout.reductions, self.strides(is_left=is_left)
        cut = len(reductions) - self.inner
        base = grid(operand.offset, select(self.step.axes, outer), select(operand.strides, outer))
        starts = base[:, None] + grid(0, [r.extent for r in reductions[:cut]], strides[:cut])
        if is_left:
            counts = counted_terms(self.step.axes, outer, reductions[:cut])
            starts = np.where(counts.reshape(starts.shape), starts, -1)
        sizes, moves, _ = merge_axes(tuple(r.extent for r in reductions[cut:]), [strides[cut:]], set())
        return _Runs(starts=starts, length=math.prod(sizes), step=moves[0][-1])

    def line(self, strides: tuple[int, ...], columns: tuple[int, ...]) -> tuple[Array, int]:
        """Where rows of an operand of the output begin, and its stride along the columns."""
        axes = self.step.axes
        outer = tuple(k for k in (*self.layout.batch, *self.layout.rows) if k not in columns)
        sizes, moves, _ = merge_axes(select(axes, columns), [select(strides, columns)], set())
        if len(sizes) > 1:
            raise NotOnTape
        return grid(0, select(axes, outer), select(strides, outer)), moves[0][0]

    def divisors(self) -> Array:
        """What sums are divided by, float64 [1] or [batches · rows]."""
        if self.body.divisor:
            return np.array([self.body.divisor], dtype=np.float64)
        counts = self.layout.row_counts()
        if counts is None:
            raise NotOnTape
        return np.tile(counts.astype(np.float64), self.batches)


def write_contract(writer: Writer, step: Step, body: Contract, out: int) -> None:
    """A contraction of few products."""
    layout = Layout.of(writer.program, step, body)
    if layout is None or math.prod(layout.sizes) * layout.terms > MAX_PRODUCTS:
        raise NotOnTape
    shape = _Shape(step, body, layout)
    if step.output.dtype is not DType.FLOAT32:
        _write_bytes(writer, shape, out)
    elif layout.right is None and shape.batches == 1 and shape.rows >= _LEAST_ROWS and body.divisor and not body.bias:
        _write_sums(writer, shape, out)
    elif layout.right is None or shape.columns < _LEAST_COLUMNS:
        _write_dots(writer, shape, out)
    else:
        _write_products(writer, shape, out)


def _write_products(writer: Writer, shape: _Shape, out: int) -> None:
    """Rows by a matrix."""
    layout, places = shape.layout, writer.places
    assert layout.right is not None, "INVARIANT: sums have another form"  # noqa: S101
    left = shape.runs(layout.left.operand, (*layout.batch, *layout.rows), is_left=True)
    runs = shape.runs(layout.right.operand, (*layout.batch, *layout.columns), is_left=False)
    right = (
        _COMPUTED,
        *_room(writer, shape),
        places.tensor(layout.right.operand),
        places.table(runs.starts),
        runs.step,
    )
    if layout.right.is_constant:
        matrix = _taken(writer, shape, runs).swapaxes(1, 2)
        norms = np.sqrt(np.square(matrix).sum(axis=1))
        right = (_CONSTANT, places.matrix(matrix), places.matrix(norms), 0, 0, 0)
    else:
        source = places.tensor(layout.right.operand), places.table(runs.starts)
        right = (_COMPUTED, *_room(writer, shape), *source, runs.step)
    operand = (places.tensor(layout.left.operand), places.table(left.starts))
    _emit(writer, shape, codes.CONTRACT, left=left, operand=operand, right=right, out=out)


def _room(writer: Writer, shape: _Shape) -> tuple[int, int]:
    """Room for a computed matrix and the norms of its columns."""
    matrix = writer.places.temporary(shape.batches * shape.terms * shape.width, 8)
    return matrix, writer.places.temporary(shape.batches * shape.width, 8)


def _write_sums(writer: Writer, shape: _Shape, out: int) -> None:
    """Sums of rows side by side: a row of ones by the rows as columns."""
    places, operand = writer.places, shape.layout.left.operand
    runs = shape.runs(operand, shape.layout.rows, is_left=True)
    shape.columns, shape.rows, shape.width = shape.rows, 1, -(-shape.rows // 8) * 8
    count = runs.starts.shape[1]
    ones = places.literal(np.ones(count * runs.length, dtype=np.float32))
    right = (_COMPUTED, *_room(writer, shape), places.tensor(operand), places.table(runs.starts), runs.step)
    left = _Runs(starts=np.arange(count, dtype=np.int64)[None, :] * runs.length, length=runs.length, step=1)
    table = places.table(left.starts)
    _emit(writer, shape, codes.CONTRACT, left=left, operand=(ones, table), right=right, out=out)


def _write_dots(writer: Writer, shape: _Shape, out: int) -> None:
    """Sums for few columns, one by one; without a right operand its only column is ones."""
    layout, places = shape.layout, writer.places
    left = shape.runs(layout.left.operand, (*layout.batch, *layout.rows), is_left=True)
    size = shape.columns * shape.terms
    right = (_CONSTANT, places.shared(shape.terms, np.ones(shape.terms)), 0, 0, 0, 0)
    if layout.right is not None:
        runs = shape.runs(layout.right.operand, (*layout.batch, *layout.columns), is_left=False)
        if layout.right.is_constant:
            columns = _taken(writer, shape, runs)[:, : shape.columns]
            right = (_CONSTANT, places.matrix(columns), size, 0, 0, 0)
        else:
            room, source = places.temporary(shape.batches * size, 8), places.tensor(layout.right.operand)
            right = (_COMPUTED, room, size, source, places.table(runs.starts), runs.step)
    operand = (places.tensor(layout.left.operand), places.table(left.starts))
    _emit(writer, shape, codes.SUM_PRODUCTS, left=left, operand=operand, right=right, out=out)


def _taken(writer: Writer, shape: _Shape, runs: _Runs) -> Array:
    """A constant right operand as float64 [batches, columns in memory, terms], filled up with zeros."""
    right = shape.layout.right
    assert right is not None, "INVARIANT: called where there is one"  # noqa: S101
    spots = runs.starts[:, :, None] + np.arange(runs.length) * runs.step
    found = writer.places.weight(right.operand)[spots].reshape(shape.batches, shape.columns, -1)
    taken = np.zeros((shape.batches, shape.width, shape.terms))
    taken[:, : shape.columns, : shape.layout.terms] = found.astype(np.float64) - right.zero
    return taken


def _emit(
    writer: Writer,
    shape: _Shape,
    code: int,
    *,
    left: _Runs,
    operand: tuple[int, int],
    right: tuple[int, ...],
    out: int,
) -> None:
    """One instruction, in the order of words that `sworn.engine.exact.tape.products` states."""
    places, body = writer.places, shape.body
    columns = shape.layout.columns or (shape.layout.rows if shape.rows == 1 else ())
    bias = (-1, 0, 0)
    if body.bias is not None:
        lines, move = shape.line(body.bias.strides, columns)
        bias = (places.tensor(body.bias) + body.bias.offset, places.table(lines), move)
    lines, move = shape.line(row_major(shape.step.axes), columns)
    divisors = shape.divisors() if shape.step.output.dtype is DType.FLOAT32 else np.ones(1)
    scales = (places.matrix(divisors), int(divisors.size > 1))
    limits = (bits(error_factor(shape.layout.terms)), *(bits(bound) for bound in bounds(body)))
    room = places.temporary(7 * shape.terms + 7 * shape.width + _SPARE, 8)
    sizes = (shape.batches, shape.rows, shape.terms, shape.columns, shape.width)
    runs = (*operand, left.starts.shape[1], left.length, left.step)
    target = (out, places.table(lines), move)
    writer.emit(code, *sizes, *runs, *right, *bias, *scales, *target, room, *limits)


def _write_bytes(writer: Writer, shape: _Shape, out: int) -> None:
    """Bytes by a constant matrix."""
    layout, places = shape.layout, writer.places
    kind = writer.dtype(layout.left.operand)
    if layout.right is None or not layout.right.is_constant or kind not in {DType.INT8, DType.UINT8}:
        raise NotOnTape
    shape.width = -(-shape.columns // 16) * 16
    left = shape.runs(layout.left.operand, (*layout.batch, *layout.rows), is_left=True)
    runs = shape.runs(layout.right.operand, (*layout.batch, *layout.columns), is_left=False)
    pairs = _taken(writer, shape, runs).astype(np.int16).reshape(shape.batches, shape.width, -1, 2).swapaxes(1, 2)
    # What does not count is read from zeros behind the widened tensor.
    elements = writer.program.type_of(layout.left.operand).elements
    reach = (left.length - 1) * abs(left.step)
    room = elements + reach + 1
    starts = np.where(left.starts < 0, elements + (reach if left.step < 0 else 0), left.starts)
    widened = places.temporary(room, 2)
    right = (128 if kind is DType.INT8 else 0, places.matrix(pairs), elements, layout.left.zero, widened, room)
    operand = (places.tensor(layout.left.operand), places.table(starts))
    _emit(writer, shape, codes.CONTRACT_BYTES, left=left, operand=operand, right=right, out=out)
