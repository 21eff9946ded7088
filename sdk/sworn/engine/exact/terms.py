"""A float contraction term by term: the rule as it is written, for sums that no matrix product serves or decides."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sworn.engine.exact.kernels import Kernels
from sworn.engine.exact.views import Memory, grid, merge_axes
from sworn.errors import RunNotFinite
from sworn.model.program import Contract, Reduction, Space, Step

Array = NDArray[Any]

#: Elements of a right operand that may be laid out anew.
_MAX_PACKED = 1 << 20

#: Half the distance between 1 and the next float64.
UNIT = 2.0**-53


def error_factor(terms: int) -> float:
    """The relative error of a float64 sum of so many products and a bias, divided once, in any order of additions.

    One unit per addition, two for the division, one for adding the error itself; the last factor covers second-order
    terms and the roundings of norms, at most 8,200 units each.
    """
    return (terms + 8) * UNIT * (1.0 + 2.0**-36)


def term_offsets(reductions: Sequence[Reduction], strides: Sequence[int]) -> Array:
    """What each term adds to an operand's element, int64 [terms], row-major over the reductions."""
    return grid(0, [reduction.extent for reduction in reductions], strides)


class Terms:
    """The tables from which kernels find the terms of an element."""

    def __init__(self, step: Step, body: Contract, kernels: Kernels) -> None:
        self._body, self._kernels = body, kernels
        self.count = math.prod(reduction.extent for reduction in body.reductions)
        clips = [(j, r.clip) for j, r in enumerate(body.reductions) if r.clip is not None]
        operands = (body.left, body.right, body.bias)
        strides = [(0,) * len(step.axes) if operand is None else operand.strides for operand in operands]
        axes, strides, numbers = merge_axes(step.axes, strides, {clip.axis for _, clip in clips})
        self._axes = np.array(axes, dtype=np.int64)
        self._places = [
            np.array([0 if operand is None else operand.offset, *moves], dtype=np.int64)
            for operand, moves in zip(operands, strides, strict=True)
        ]
        rows = [(numbers[clip.axis], clip.step, clip.origin, clip.extent) for _, clip in clips]
        self._clips = np.array(rows, dtype=np.int64).reshape(-1, 4)
        shifts = [
            term_offsets(body.reductions, [clip.dilation if i == j else 0 for i in range(len(body.reductions))])
            for j, clip in clips
        ]
        self._shifts = np.array(shifts, dtype=np.int64).reshape(len(clips), self.count)
        self._left = term_offsets(body.reductions, [reduction.left_stride for reduction in body.reductions])
        self._right = term_offsets(body.reductions, [reduction.right_stride for reduction in body.reductions])
        self._packed: Array | None = None
        self._is_packable = (
            body.right is not None
            and body.right.space is Space.WEIGHT
            and not self._places[1][1:-1].any()
            and self.count * int(self._axes[-1]) <= _MAX_PACKED
        )
        self._one, self._zero = np.ones(1, dtype=np.float32), np.zeros(1, dtype=np.float32)
        self._bounds = bounds(body)

    def sweep(self, memory: Memory, elements: int) -> Array:
        """All elements, flat. Raises `RunNotFinite`."""
        out = np.empty(elements, dtype=np.float32)
        factor = error_factor(self.count)
        tables = self._pack(self._tables(memory)) if self._is_packable else self._tables(memory)
        if self._kernels.sweep(*tables, self._body.divisor, factor, *self._bounds, out):
            self.resolve(memory, out)
        return out

    def resolve(self, memory: Memory, out: Array) -> None:
        """Computes the elements that are NaN without error. Raises `RunNotFinite`."""
        undecided = np.flatnonzero(np.isnan(out))
        arguments = (*self._tables(memory), self._body.divisor, *self._bounds)
        broken = self._kernels.resolve(undecided, *arguments, out)
        if broken >= 0:
            raise RunNotFinite(f"element {broken} is a sum with an infinite operand")

    def _pack(self, tables: tuple[Array, ...]) -> tuple[Array, ...]:
        """The tables with the right operand laid out [terms, last axis], for loops along that axis."""
        width = int(self._axes[-1])
        if self._packed is None:
            first, step = int(self._places[1][0]), int(self._places[1][-1])
            self._packed = tables[4][first + self._right[:, None] + np.arange(width) * step].reshape(-1)
        place = np.array([0, *[0] * (len(self._axes) - 1), 1], dtype=np.int64)
        return (*tables[:4], self._packed, place, np.arange(self.count) * width, *tables[7:])

    def _tables(self, memory: Memory) -> tuple[Array, ...]:
        body = self._body
        left = memory.read(body.left)
        right = self._one if body.right is None else memory.read(body.right)
        bias = self._zero if body.bias is None else memory.read(body.bias)
        places = self._places
        sides = (left, places[0], self._left, right, places[1], self._right, bias, places[2])
        return (self._axes, *sides, self._clips, self._shifts)


def bounds(body: Contract) -> tuple[float, float]:
    """The clamp of a contraction, with infinities for what is unbounded."""
    return (
        -math.inf if body.lower is None else float(body.lower),
        math.inf if body.upper is None else float(body.upper),
    )
