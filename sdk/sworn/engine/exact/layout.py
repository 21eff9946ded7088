"""A contraction seen as a batch of matrix products: which axes are rows, which are columns, and where operands lie."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sworn.engine.exact.views import Windows, effective, merges, plan_windows, select, view, window_counts
from sworn.model.program import Contract, Operand, Program, Reduction, Space, Step
from sworn.model.ranges import box_span

Array = NDArray[Any]

#: Bytes of rows that are copied out at a time: they should stay in a core's cache until they are multiplied.
_BLOCK_BYTES = 2 << 20
#: Rows that are multiplied at a time, at least: each product prepares the whole right matrix anew.
_LEAST_ROWS = 256
#: Below this many products per matrix, a batch costs more in calls than in arithmetic.
_LEAST_PRODUCTS = 256
#: A matrix this narrow does not pay for copying out the other one.
_NARROW = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """One operand as [batch, outer, terms] over a buffer."""

    operand: Operand
    windows: Windows
    zero: int
    #: Extents and strides of batch, outer and reduced dimensions.
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    #: Whether it is an [batch, outer, terms] array without a copy.
    is_free: bool

    @property
    def is_constant(self) -> bool:
        """Whether it is the same in every run."""
        return self.operand.space is Space.WEIGHT

    def over(self, buffer: Array) -> Array:
        """The view of all dimensions over a loaded buffer."""
        return view(buffer, offset=self.windows.offset, shape=self.shape, strides=self.strides)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Rows that are multiplied at a time."""

    index: tuple[slice, ...]
    first: int
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Batch, row and column axes of a step, by number, and its operands as matrices."""

    axes: tuple[int, ...]
    batch: tuple[int, ...]
    rows: tuple[int, ...]
    columns: tuple[int, ...]
    terms: int
    left: Matrix
    #: None sums the left operand.
    right: Matrix | None
    reductions: tuple[Reduction, ...]
    #: Whether ``left`` is the step's right operand.
    is_swapped: bool

    @classmethod
    def of(cls, program: Program, step: Step, body: Contract) -> Self | None:
        """The layout of a contraction; None where its windows are irregular."""
        reductions = effective(step.axes, body.reductions)
        clipped = {r.clip.axis for r in reductions if r.clip is not None}
        sides = [(body.left, [r.left_stride for r in reductions], body.left_zero)]
        is_swapped = False
        if body.right is not None:
            sides.append((body.right, [r.right_stride for r in reductions], body.right_zero))
            is_swapped = any(body.right.strides[axis] for axis in clipped)
            if is_swapped:
                sides.reverse()
        if any(any(operand.strides[axis] for axis in clipped) for operand, _, _ in sides[1:]):
            return None
        plain = [Reduction(extent=r.extent, left_stride=0) for r in reductions]
        windows = [plan_windows(sides[0][0], step.axes, reductions, strides=sides[0][1])]
        for operand, strides, _ in sides[1:]:
            # A term that never counts may point outside; such a matrix has no dense form.
            moves = [
                *zip(operand.strides, step.axes, strict=True),
                *zip(strides, (r.extent for r in plain), strict=True),
            ]
            inside = box_span(operand.offset, moves).within(program.type_of(operand).elements)
            windows.append(plan_windows(operand, step.axes, plain, strides=strides) if inside else None)
        found = [window for window in windows if window is not None]
        if len(found) < len(windows):
            return None
        return cls._assemble(step.axes, reductions, sides, found, is_swapped=is_swapped)

    @classmethod
    def _assemble(
        cls,
        axes: tuple[int, ...],
        reductions: tuple[Reduction, ...],
        sides: list[tuple[Operand, list[int], int]],
        windows: list[Windows],
        *,
        is_swapped: bool,
    ) -> Self:
        left = [bool(stride) for stride in windows[0].axis_strides]
        right = [bool(stride) for stride in windows[1].axis_strides] if len(windows) > 1 else [False] * len(axes)
        wide = [k for k, size in enumerate(axes) if size > 1]
        batch = tuple(k for k in wide if left[k] and right[k])
        columns = tuple(k for k in wide if right[k] and not left[k])
        rows = tuple(k for k in wide if not right[k])
        extents = tuple(r.extent for r in reductions)
        matrices = [
            _matrix(operand, window, zero, axes=axes, extents=extents, batch=batch, outer=outer)
            for (operand, _, zero), window, outer in zip(sides, windows, (rows, columns), strict=False)
        ]
        return cls(
            axes=axes,
            batch=batch,
            rows=rows,
            columns=columns,
            terms=math.prod(extents),
            left=matrices[0],
            right=matrices[1] if len(matrices) > 1 else None,
            reductions=reductions,
            is_swapped=is_swapped,
        )

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Batch size, rows and columns."""
        batch, rows, columns = (
            math.prod(select(self.axes, numbers)) for numbers in (self.batch, self.rows, self.columns)
        )
        return batch, rows, columns

    @property
    def pays(self) -> bool:
        """Whether matrix products are likely faster than summing term by term."""
        batch, rows, columns = self.sizes
        if self.right is None:
            return self.left.is_free and not self.left.windows.dimensions
        if batch > 1 and rows * columns * self.terms < _LEAST_PRODUCTS:
            return False
        left = self.left.is_free or columns >= _NARROW
        return left and (self.right.is_free or self.right.is_constant or rows >= _NARROW)

    def blocks(self, itemsize: int) -> tuple[Block, ...]:
        """The rows in the blocks in which they are copied out."""
        sizes = select(self.axes, self.rows)
        batch, rows, _ = self.sizes
        # Whole vectors of rows: BLAS kernels are slow on what is left over.
        most = max(_LEAST_ROWS, _BLOCK_BYTES // (batch * self.terms * itemsize) // 64 * 64)
        if rows <= most:
            return (Block(index=(slice(None),) * (len(self.batch) + len(sizes)), first=0, rows=rows),)
        return tuple(self._cut(sizes, most))

    def _cut(self, sizes: Sequence[int], most: int) -> Iterator[Block]:
        """Blocks of at most ``most`` rows: one index in the leading dimensions, a range in one, all of the rest."""
        cut = len(sizes) - 1
        while cut > 0 and math.prod(sizes[cut:]) <= most:
            cut -= 1
        inner = math.prod(sizes[cut + 1 :])
        width = max(1, most // inner)
        first = 0
        for leading in product(*(range(size) for size in sizes[:cut])):
            for start in range(0, sizes[cut], width):
                stop = min(start + width, sizes[cut])
                index = (*(slice(i, i + 1) for i in leading), slice(start, stop))
                rest = (slice(None),) * (len(sizes) - cut - 1)
                yield Block(
                    index=(*(slice(None),) * len(self.batch), *index, *rest), first=first, rows=inner * (stop - start)
                )
                first += inner * (stop - start)

    def row_counts(self) -> Array | None:
        """How many terms count, int64 [rows]; None where that differs within a batch."""
        counts = window_counts(self.axes, self.reductions)
        if not counts.keys() <= set(self.rows) | {k for k, size in enumerate(self.axes) if size == 1}:
            return None
        free = math.prod(r.extent for r in self.reductions if r.clip is None)
        total = np.array(free, dtype=np.int64)
        for axis in self.rows:
            total = total[..., None] * counts.get(axis, np.ones(self.axes[axis], dtype=np.int64))
        single = math.prod(int(count[0]) for axis, count in counts.items() if axis not in self.rows)
        return total.reshape(-1) * single

    def by_rows(self, flat: Array, operand: Operand) -> Array:
        """An operand of the output, such as a bias, as [1 or batch, 1 or rows, columns] of float64."""
        columns = math.prod(select(self.axes, self.columns))
        kept = [
            tuple(self.axes[k] for k in numbers) if any(operand.strides[k] for k in numbers) else (1,) * len(numbers)
            for numbers in (self.batch, self.rows)
        ]
        shape = (*kept[0], *kept[1], *select(self.axes, self.columns))
        strides = select(operand.strides, (*self.batch, *self.rows, *self.columns))
        seen = view(flat, offset=operand.offset, shape=shape, strides=strides)
        return np.ascontiguousarray(seen, dtype=np.float64).reshape(math.prod(kept[0]), math.prod(kept[1]), columns)

    def in_order(self, out: Array) -> Array:
        """Elements [batch, rows, columns] in the step's order, flat."""
        numbers = (*self.batch, *self.rows, *self.columns)
        if all(earlier < later for earlier, later in pairwise(numbers)):
            return out.reshape(-1)
        shaped = out.reshape(select(self.axes, numbers))
        return np.ascontiguousarray(shaped.transpose(np.argsort(numbers))).reshape(-1)


def _matrix(
    operand: Operand,
    windows: Windows,
    zero: int,
    *,
    axes: tuple[int, ...],
    extents: tuple[int, ...],
    batch: tuple[int, ...],
    outer: tuple[int, ...],
) -> Matrix:
    shape = (*select(axes, (*batch, *outer)), *extents)
    strides = (*select(windows.axis_strides, (*batch, *outer)), *windows.reduction_strides)
    middle = len(batch), len(batch) + len(outer)
    parts = [slice(0, middle[0]), slice(*middle), slice(middle[1], None)]
    return Matrix(
        operand=operand,
        windows=windows,
        zero=zero,
        shape=shape,
        strides=strides,
        is_free=all(merges(shape[part], strides[part]) for part in parts),
    )
