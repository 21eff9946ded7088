"""Recognises ``x − max(x)`` by its index maps, from which the bounds of a softmax follow.

The difference is never positive, its greatest element in each row is 0, and so the sum of a row's exponentials is at
least 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sworn.model.canonical.forms import row_major
from sworn.model.program import Contract, Extremum, Function, Lookup, Operand, Pointwise, Program, Reduction, Space

#: Larger tensors are not looked through.
_MAX_ELEMENTS = 1 << 22
#: exp(0), less any tolerance.
_PEAK = 0.99


class Peaks:
    """What is known of differences, and of their exponentials, by value."""

    def __init__(self, program: Program, fused: Mapping[int, int]) -> None:
        self._program, self._fused = program, fused
        #: For each element of a difference or its exponential, the row that it belongs to.
        self._rows: dict[int, NDArray[np.int64]] = {}

    def is_below_peak(self, number: int) -> bool:
        """Whether a step subtracts from each element the greatest of a row that holds it."""
        step, body = self._program.steps[number], self._program.steps[number].body
        if not isinstance(body, Pointwise) or body.function is not Function.SUB:
            return False
        left, right = body.operands
        inputs = len(self._program.inputs)
        if left.space is not Space.VALUE or right.space is not Space.VALUE or right.tensor < inputs:
            return False
        if step.output.elements > _MAX_ELEMENTS or self._program.value(left.tensor).elements > _MAX_ELEMENTS:
            return False
        owners = self._owners(right.tensor - inputs, left.tensor)
        if owners is None:
            return False
        taken, rows = _elements(left, step.axes).reshape(-1), _elements(right, step.axes).reshape(-1)
        if not np.array_equal(owners[taken], rows):
            return False
        if taken.size == owners.size and np.unique(taken).size == owners.size:
            self._rows[inputs + number] = rows
        return True

    def least_sum(self, number: int, body: Contract) -> float:
        """A lower bound of a sum of exponentials that holds a whole row's; −∞ where nothing is known."""
        rows = self._exponentials(body.left)
        if rows is None or any(reduction.clip is not None for reduction in body.reductions):
            return -np.inf
        taken = _elements(body.left, self._program.steps[number].axes, body.reductions)
        if taken.size > _MAX_ELEMENTS:
            return -np.inf
        taken = taken.reshape(self._program.steps[number].output.elements, -1)
        found = rows[taken]
        is_one_row = (found == found[:, :1]).all()
        sizes = np.bincount(rows)
        is_whole = is_one_row and (sizes[found[:, 0]] == taken.shape[1]).all()
        is_distinct = all(np.unique(line).size == line.size for line in taken) if is_whole else False
        return _PEAK if is_distinct else -np.inf

    def _exponentials(self, operand: Operand) -> NDArray[np.int64] | None:
        number = operand.tensor - len(self._program.inputs)
        if operand.space is not Space.VALUE or number < 0:
            return None
        step = self._program.steps[number]
        if not isinstance(step.body, Pointwise) or step.body.function is not Function.EXP:
            return None
        source = step.body.operands[0]
        rows = self._rows.get(source.tensor) if source.space is Space.VALUE else None
        is_same_order = source.offset == 0 and all(
            size == 1 or stride == expected
            for size, stride, expected in zip(step.axes, source.strides, row_major(step.axes), strict=True)
        )
        return rows if rows is not None and is_same_order and rows.size == step.output.elements else None

    def _owners(self, number: int, tensor: int) -> NDArray[np.int64] | None:
        """For each element of a tensor, the element of a lookup that is the greatest of its row."""
        body = self._program.steps[number].body
        if number not in self._fused or not isinstance(body, Lookup) or body.source.space is not Space.VALUE:
            return None
        extremum = self._program.steps[self._fused[number]].body
        if not isinstance(extremum, Extremum) or not extremum.largest or body.source.tensor != tensor:
            return None
        if any(reduction.clip is not None for reduction in extremum.reductions):
            return None
        taken = _elements(body.source, self._program.steps[number].axes, extremum.reductions)
        owners = np.full(self._program.value(tensor).elements, -1, dtype=np.int64)
        rows = taken.reshape(self._program.steps[number].output.elements, -1)
        if rows.size != owners.size or np.unique(rows).size != owners.size:
            return None
        owners[rows] = np.arange(len(rows), dtype=np.int64)[:, None]
        return owners


def _elements(operand: Operand, axes: Sequence[int], reductions: Sequence[Reduction] = ()) -> NDArray[np.int64]:
    """The flat elements that an operand takes, over axes and then reductions."""
    found: NDArray[Any] = np.array(operand.offset, dtype=np.int64)
    moves = [*zip(axes, operand.strides, strict=True), *((r.extent, r.left_stride) for r in reductions)]
    for size, stride in moves:
        found = found[..., None] + np.arange(size, dtype=np.int64) * stride
    return found
