"""Contractions for an adversary: where each element may lie, how it depends on others, how far those move it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sworn.model.program import Contract, Operand, Space, Step
from sworn.referee.bounded import kappa_of
from sworn.verification.slack_windows import Side, counts, spread, summed, whole

Array = NDArray[Any]
#: The elements of an operand's tensor, flat, float64.
Read = Callable[[Operand], Array]
#: Elements of the left, the right and the bias tensor, flat; None where there is no such operand.
_Arrays = tuple[Array, Array | None, Array | None]

#: Half a unit in the last place of 1, and the least float32.
UNIT: Final = 2.0**-24
LEAST: Final = 2.0**-149


@dataclass(frozen=True, slots=True, kw_only=True)
class Contraction:
    """One step; all arrays are float64, and those over its elements have the shape of its axes."""

    step: Step
    body: Contract

    @property
    def bounds(self) -> tuple[float, float]:
        """The clamp, infinite where there is none."""
        lower, upper = self.body.lower, self.body.upper
        return -np.inf if lower is None else lower, np.inf if upper is None else upper

    def interval(self, read: Read) -> tuple[Array, Array]:
        """The exact value before the clamp, and how far an admissible one may be from it."""
        left, right, bias = self._operands(read)
        sizes = np.abs(left), None if right is None else np.abs(right), None if bias is None else np.abs(bias)
        return self._sum((left, right, bias)), kappa_of(self.body) * (UNIT * self._sum(sizes) + LEAST)

    def passes(self, value: Array, reach: Array) -> Array:
        """Where the clamp may let a change through, of values that move by so much."""
        lower, upper = self.bounds
        return np.asarray((value + reach >= lower) & (value - reach <= upper))

    def reach(self, read: Read, reach_of: Read) -> Array:
        """How far the element moves at most when its operands move by ``reach_of``, before the clamp."""
        left, right, _ = (None if array is None else np.abs(array) for array in self._operands(read))
        body = self.body
        moved = reach_of(body.left), None if body.bias is None else reach_of(body.bias)
        found = self._sum((moved[0], right, moved[1]))
        if body.right is not None and left is not None and (second := reach_of(body.right)).any():
            # The product of both motions is of second order, and counted all the same.
            found = found + self._sum((left + moved[0], second, None))
        return found

    def pull(self, read: Read, gradient: Array) -> Iterator[tuple[Operand, Array]]:
        """What a gradient over the step's elements is over the tensor of each operand that can move, flat."""
        body, axes = self.body, self.step.axes
        shares, sides = gradient / self._divisor(), self._sides(self._operands(read))
        for number, (operand, side) in enumerate(sides):
            if operand.space is Space.VALUE:
                other = sides[1 - number][1] if len(sides) > 1 else None
                target = Side(flat=np.zeros(side.flat.shape), offset=side.offset, strides=side.strides)
                spread(axes, body.reductions, shares, other, target)
                yield operand, target.flat
        if body.bias is not None and body.bias.space is Space.VALUE:
            target = Side.of(body.bias, np.zeros(read(body.bias).shape))
            spread(axes, (), shares, None, target)
            yield body.bias, target.flat

    def _operands(self, read: Read) -> _Arrays:
        body = self.body
        left = read(body.left) - body.left_zero if body.left_zero else read(body.left)
        right = None if body.right is None else read(body.right)
        if right is not None and body.right_zero:
            right = right - body.right_zero
        return left, right, None if body.bias is None else read(body.bias)

    def _sides(self, arrays: _Arrays) -> list[tuple[Operand, Side]]:
        body, (left, right, _) = self.body, arrays
        found = [(body.left, Side.of(body.left, left, [r.left_stride for r in body.reductions]))]
        if body.right is not None and right is not None:
            found.append((body.right, Side.of(body.right, right, [r.right_stride for r in body.reductions])))
        return found

    def _sum(self, arrays: _Arrays) -> Array:
        body, axes = self.body, self.step.axes
        sides = [side for _, side in self._sides(arrays)]
        total = summed(axes, body.reductions, sides[0], sides[1] if len(sides) > 1 else None)
        if body.bias is not None and arrays[2] is not None:
            total = total + Side.of(body.bias, arrays[2]).over(whole(axes))
        return np.asarray(total / self._divisor())

    def _divisor(self) -> Array:
        if self.body.divisor:
            return np.array(self.body.divisor, dtype=np.float64)
        return counts(self.step.axes, self.body.reductions)
