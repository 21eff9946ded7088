"""How far each element of a run can move within its bounds, and what moves an output most: forwards and backwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sworn.model.encoding import references
from sworn.model.program import Contract, Copy, Extremum, Lookup, Operand, Pointwise, Program, Space, Step
from sworn.types import DType
from sworn.verification.slack_contractions import LEAST, UNIT, Contraction
from sworn.verification.slack_functions import BRANCHES, ROUNDED, ROUNDINGS, jumps, slopes, turns
from sworn.verification.slack_runs import Numbers, is_free, tolerance
from sworn.verification.slack_selections import (
    copied,
    looked_up,
    pull_copy,
    pull_lookup,
    rivals,
    selections,
    window_reach,
)
from sworn.verification.slack_windows import Side, spread, whole

Array = NDArray[Any]
#: Stands for an infinite slope, so that sums over it have a value; no product with what a model computes comes near it.
_ENDLESS: Final = 1e200


@dataclass(frozen=True, slots=True, kw_only=True)
class Motions:
    """What can move in one run, to first order; all arrays float64 and flat."""

    #: By value: how far each element moves at most when everything that it depends on moves as far as it can.
    reaches: tuple[Array, ...]
    #: By step: how far each element moves at most of its own, with operands that stay.
    own: dict[int, Array]
    #: By step: elements that may fall on the other side of a choice.
    turned: dict[int, int]


class Moves:
    """A run seen as a differentiable function of a small motion in every element.

    ``motions`` are those of a run nearby, where they need not be found again.
    """

    def __init__(
        self, program: Program, values: Sequence[Array], weights: Sequence[Array], motions: Motions | None = None
    ) -> None:
        self.program, self.values = program, values
        self._read = Numbers(program, values, weights)
        self._selections = selections(program)
        self._selected = _only_selected(program, self._selections)
        with np.errstate(all="ignore"):
            self.motions = motions or self._forwards()

    def gradient(self, seeds: dict[int, Array], *, across_jumps: bool = False) -> dict[int, Array]:
        """What a motion of each step's elements adds to Σ seeds·values, by step; steps that add nothing are left out.

        ``across_jumps`` follows roundings to integers that may turn over, as if they were slopes: that finds what is
        worth turning, but is no derivative.
        """
        inputs = len(self.program.inputs)
        found = {value: array.astype(np.float64) for value, array in seeds.items()}
        made: dict[int, Array] = {}
        with np.errstate(all="ignore"):
            for number in range(len(self.program.steps) - 1, -1, -1):
                gradient = found.pop(inputs + number, None)
                if gradient is None or not gradient.any():
                    continue
                made[number] = gradient
                for operand, part in self._pulled(number, gradient, across_jumps=across_jumps):
                    if operand.space is Space.VALUE:
                        clean = np.nan_to_num(part, nan=0.0, posinf=_ENDLESS, neginf=-_ENDLESS)
                        found[operand.tensor] = found.get(operand.tensor, 0.0) + clean
        return made

    def estimate(self, gradient: dict[int, Array]) -> float:
        """The most by which Σ seeds·values can move, to first order; infinite where a slope is."""
        found = 0.0
        for number, part in gradient.items():
            counts = part != 0
            found += float(np.abs(part[counts]) @ self.motions.own[number][counts])
        return found if found < _ENDLESS * LEAST else np.inf

    def _elements(self, operand: Operand) -> int:
        return self.program.type_of(operand).elements

    def _reach(self, operand: Operand, reaches: Sequence[Array]) -> Array:
        if operand.space is Space.WEIGHT:
            return np.zeros(self._elements(operand))
        return reaches[operand.tensor]

    def _forwards(self) -> Motions:
        reaches = [np.zeros(kind.elements) for kind in self.program.inputs]
        own: dict[int, Array] = {}
        turned: dict[int, int] = {}
        for number, step in enumerate(self.program.steps):
            carried, added, turning = self._step(number, step, reaches)
            if turning:
                turned[number] = turning
            # An infinity, such as a mask's, stays where it is. Where a slope is not a number, all that is known is that
            # the element may move.
            stays = ~np.isfinite(self.values[len(reaches)].astype(np.float64))
            own[number] = np.where(stays, 0.0, np.nan_to_num(added, nan=np.inf))
            reaches.append(np.where(stays, 0.0, np.nan_to_num(carried + added, nan=np.inf)))
        return Motions(reaches=tuple(reaches), own=own, turned=turned)

    def _step(self, number: int, step: Step, reaches: Sequence[Array]) -> tuple[Array, Array, int]:
        """How far a step's elements are carried by their operands, how far they move besides, how many may turn."""
        still = np.zeros(step.output.elements)
        match step.body:
            case Contract() as body:
                return self._contract(number, Contraction(step=step, body=body), reaches)
            case Pointwise() as body:
                return self._pointwise(number, step, body, reaches)
            case Copy() as body:
                return copied(step, body, lambda operand: self._reach(operand, reaches)), still, 0
            case Lookup() as body if number in self._selections:
                extremum = self.program.steps[self._selections[number]]
                assert isinstance(extremum.body, Extremum), "INVARIANT: selections pair lookups with extrema"  # noqa: S101
                return window_reach(extremum, extremum.body, self._reach(body.source, reaches)), still, 0
            case Lookup() as body:
                turning = int(np.count_nonzero(self._seen_reach(step, body.index, reaches)))
                return looked_up(step, body, self._read, self._reach(body.source, reaches)), still, turning
            case Extremum() as body:
                if number in self._selected:
                    return still, still, 0
                return still, still, rivals(step, body, self._read(body.source), self._reach(body.source, reaches))
            case _:
                moving = any(space is Space.VALUE and reaches[k].any() for space, k in references(step.body))
                return still, still, step.output.elements if moving else 0

    def _contract(self, number: int, contraction: Contraction, reaches: Sequence[Array]) -> tuple[Array, Array, int]:
        carried = contraction.reach(self._read, lambda operand: self._reach(operand, reaches))
        added = np.zeros(carried.shape)
        if is_free(contraction.step):
            value, allowed = contraction.interval(self._read)
            passes = contraction.passes(value, allowed + carried)
            added, carried = (allowed + UNIT * np.abs(value)) * passes, carried * passes
        return carried.reshape(-1), added.reshape(-1), 0

    def _pointwise(
        self, number: int, step: Step, body: Pointwise, reaches: Sequence[Array]
    ) -> tuple[Array, Array, int]:
        operands, value = self._operands(step, body), self._value(number)
        moved = [self._seen_reach(step, operand, reaches) for operand in body.operands]
        parts = zip(slopes(body, operands, value), moved, strict=True)
        carried = np.asarray(sum(np.where(reach > 0, np.abs(slope) * reach, 0.0) for slope, reach in parts))
        added = np.zeros(value.shape)
        if is_free(step):
            added = tolerance(body, value) + UNIT * np.abs(value)
        elif body.function in ROUNDED and step.output.dtype is DType.FLOAT32:
            added = np.where(carried > 0, 2 * UNIT * np.abs(value), 0.0)
        elif body.function in ROUNDINGS:
            added = added + jumps(body, operands, moved, step.output.dtype)
        turning = int(np.count_nonzero(turns(body, operands, moved))) if body.function in BRANCHES else 0
        return np.broadcast_to(carried, value.shape).reshape(-1), added.reshape(-1), turning

    def _pulled(self, number: int, gradient: Array, *, across_jumps: bool) -> list[tuple[Operand, Array]]:
        step = self.program.steps[number]
        match step.body:
            case Contract() as body:
                contraction = Contraction(step=step, body=body)
                shaped = gradient.reshape(step.axes)
                if is_free(step) and contraction.bounds != (-np.inf, np.inf):
                    shaped = shaped * contraction.passes(*contraction.interval(self._read))
                return list(contraction.pull(self._read, shaped))
            case Pointwise() as body:
                return self._pull_pointwise(number, step, body, gradient, across_jumps=across_jumps)
            case Copy() as body:
                return pull_copy(step, body, gradient, self._elements)
            case Lookup() as body:
                return [(body.source, pull_lookup(step, body, self._read, gradient, self._elements(body.source)))]
            case _:
                return []

    def _pull_pointwise(
        self, number: int, step: Step, body: Pointwise, gradient: Array, *, across_jumps: bool
    ) -> list[tuple[Operand, Array]]:
        operands, value = self._operands(step, body), self._value(number)
        found = []
        for position, slope in enumerate(slopes(body, operands, value)):
            operand = body.operands[position]
            if across_jumps and position == 0 and body.function in ROUNDINGS:
                slope = slope + self._turning_slope(number, step, body)
            if operand.space is Space.VALUE and np.any(slope):
                target = Side.of(operand, np.zeros(self._elements(operand)))
                spread(step.axes, (), gradient.reshape(step.axes) * slope, None, target)
                found.append((operand, target.flat))
        return found

    def _turning_slope(self, number: int, step: Step, body: Pointwise) -> Array:
        reach = self._seen_reach(step, body.operands[0], self.motions.reaches)
        units = self.motions.own[number].reshape(step.axes)
        sign = np.sign(self._read.seen(body.operands[1], step.axes)) if len(body.operands) > 1 else 1.0
        return np.asarray(sign * np.divide(units, reach, out=np.zeros(step.axes), where=reach > 0))

    def _operands(self, step: Step, body: Pointwise) -> list[Array]:
        seen = [self._read.seen(operand, step.axes) for operand in body.operands]
        return list(np.broadcast_arrays(*seen, np.empty(step.axes)))[:-1]

    def _value(self, number: int) -> Array:
        step = self.program.steps[number]
        return self.values[len(self.program.inputs) + number].astype(np.float64).reshape(step.axes)

    def _seen_reach(self, step: Step, operand: Operand, reaches: Sequence[Array]) -> Array:
        seen = Side.of(operand, self._reach(operand, reaches)).over(whole(step.axes))
        return np.broadcast_to(seen, step.axes)


def _only_selected(program: Program, pairs: Mapping[int, int]) -> frozenset[int]:
    """Extrema whose positions nothing reads but the lookups of the elements there: a maximum makes no jump."""
    inputs, others = len(program.inputs), {output.value for output in program.outputs}
    for number, step in enumerate(program.steps):
        read = {k for space, k in references(step.body) if space is Space.VALUE}
        others |= read - ({inputs + pairs[number]} if number in pairs else set())
    return frozenset(number for number in pairs.values() if inputs + number not in others)
