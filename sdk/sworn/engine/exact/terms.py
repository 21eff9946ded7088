"""A float contraction term by term: the rule as it is written, for sums that no matrix product serves or decides."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sworn.engine.exact.kernels import Kernels
from sworn.engine.exact.views import Memory
from sworn.errors import RunNotFinite
from sworn.model.program import Contract, Operand, Reduction, Step

Array = NDArray[Any]

#: Half the distance between 1 and the next float64.
UNIT = 2.0**-53


def error_factor(terms: int) -> float:
    """The relative error of a float64 sum of so many products and a bias, divided once, in any order of additions.

    One unit per addition, one for the division, one for adding the error itself; the last factor covers second-order
    terms and the roundings of norms, at most 8,200 units each.
    """
    return (terms + 8) * UNIT * (1.0 + 2.0**-36)


def term_offsets(reductions: Sequence[Reduction], strides: Sequence[int]) -> Array:
    """What each term adds to an operand's element, int64 [terms], row-major over the reductions."""
    offsets = np.zeros((), dtype=np.int64)
    for reduction, stride in zip(reductions, strides, strict=True):
        offsets = offsets[..., None] + np.arange(reduction.extent, dtype=np.int64) * stride
    return offsets.reshape(-1)


class Terms:
    """The tables from which kernels find the terms of an element."""

    def __init__(self, step: Step, body: Contract, kernels: Kernels) -> None:
        self._body, self._kernels = body, kernels
        #: The kernels' last axis is one that no clip names.
        self._widened = not step.axes or any(r.clip and r.clip.axis == len(step.axes) - 1 for r in body.reductions)
        self._axes = np.array([*step.axes, *([1] if self._widened else [])], dtype=np.int64)
        self.count = math.prod(reduction.extent for reduction in body.reductions)
        clips = [(j, r.clip) for j, r in enumerate(body.reductions) if r.clip is not None]
        self._clips = np.array([(c.axis, c.step, c.origin, c.extent) for _, c in clips], dtype=np.int64).reshape(-1, 4)
        shifts = [
            term_offsets(body.reductions, [clip.dilation if i == j else 0 for i in range(len(body.reductions))])
            for j, clip in clips
        ]
        self._shifts = np.array(shifts, dtype=np.int64).reshape(len(clips), self.count)
        self._left = term_offsets(body.reductions, [reduction.left_stride for reduction in body.reductions])
        self._right = term_offsets(body.reductions, [reduction.right_stride for reduction in body.reductions])
        self._places = [self._place(operand) for operand in (body.left, body.right, body.bias)]
        self._one, self._zero = np.ones(1, dtype=np.float32), np.zeros(1, dtype=np.float32)
        self._bounds = bounds(body)

    def sweep(self, memory: Memory, elements: int) -> Array:
        """All elements, flat. Raises `RunNotFinite`."""
        out = np.empty(elements, dtype=np.float32)
        factor = error_factor(self.count)
        if self._kernels.sweep(*self._tables(memory), self._body.divisor, factor, *self._bounds, out):
            self.resolve(memory, out)
        return out

    def resolve(self, memory: Memory, out: Array) -> None:
        """Computes the elements that are NaN without error. Raises `RunNotFinite`."""
        undecided = np.flatnonzero(np.isnan(out))
        arguments = (*self._tables(memory), self._body.divisor, *self._bounds)
        broken = self._kernels.resolve(undecided, *arguments, out)
        if broken >= 0:
            raise RunNotFinite(f"element {broken} is a sum with an infinite operand")

    def _place(self, operand: Operand | None) -> Array:
        strides = (0,) * (len(self._axes) - self._widened) if operand is None else operand.strides
        offset = 0 if operand is None else operand.offset
        return np.array([offset, *strides, *([0] if self._widened else [])], dtype=np.int64)

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
