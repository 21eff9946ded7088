"""Admissible runs in profile ``bounded``, each element at a chosen place of its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sworn.model.encoding import references
from sworn.model.program import Contract, Function, Operand, Pointwise, Program, Space, Step
from sworn.referee.tolerances import TOLERANCES
from sworn.types import DType
from sworn.verification.slack_contractions import UNIT, Contraction
from sworn.verification.slack_functions import real_value
from sworn.verification.slack_windows import Side, whole
from sworn.verification.subject import StepExecutor

Array = NDArray[Any]
#: Place of each element in its interval by step, −1 to 1; 0 is the value itself.
Places = Mapping[int, Array]

#: Elements of a weight that is kept as float64 besides.
_MAX_KEPT: Final = 1 << 20
#: Intervals are taken this much narrower, for float64's own roundings: 8,192 of 2⁻⁵³, of 2 · 2⁻²⁴ at least.
_CAUTION: Final = 1.0 - 2.0**-14


class Numbers:
    """The tensors of one run as float64, each converted when it is read; small weights once."""

    def __init__(self, program: Program, values: Sequence[Array], weights: Sequence[Array]) -> None:
        self._program, self._values = program, values
        self._weights = weights
        self._kept = cache(self._weight)

    def __call__(self, operand: Operand) -> Array:
        """The whole tensor that an operand reads, flat."""
        if operand.space is Space.VALUE:
            return self._values[operand.tensor].reshape(-1).astype(np.float64)
        is_small = self._weights[operand.tensor].size <= _MAX_KEPT
        return self._kept(operand.tensor) if is_small else self._weight(operand.tensor)

    def _weight(self, number: int) -> Array:
        return self._weights[number].reshape(-1).astype(np.float64)

    def seen(self, operand: Operand, axes: Sequence[int]) -> Array:
        """An operand's elements, to be broadcast to a step's axes."""
        return Side.of(operand, self(operand)).over(whole(axes))


class AdmissibleRuns:
    """Runs a program step by step; steps that have one value are computed as in profile ``exact``."""

    def __init__(self, program: Program, weights: Sequence[Array], checker: StepExecutor) -> None:
        self.program, self.weights = program, weights
        self._checker = checker

    @property
    def free(self) -> tuple[int, ...]:
        """Steps whose elements have an interval."""
        return tuple(number for number, step in enumerate(self.program.steps) if is_free(step))

    def run(self, inputs: Sequence[Array], places: Places) -> list[Array]:
        """Every value of a run, flat, in the types of the program. Raises `EngineError`."""
        values = [array.reshape(-1) for array in inputs]
        with np.errstate(all="ignore"):
            for number, step in enumerate(self.program.steps):
                read = Numbers(self.program, values, self.weights)
                place = places.get(number)
                if place is None or not is_free(step):
                    values.append(self._exact(number, values))
                elif isinstance(step.body, Contract):
                    values.append(_contracted(Contraction(step=step, body=step.body), read, place))
                elif isinstance(step.body, Pointwise):
                    values.append(_applied(step, step.body, read, place, self._exact(number, values)))
        return values

    def _exact(self, number: int, values: Sequence[Array]) -> Array:
        read = {tensor for space, tensor in references(self.program.steps[number].body) if space is Space.VALUE}
        operands = {value: values[value].reshape(self.program.value(value).shape) for value in read}
        return self._checker.run_step(number, operands).reshape(-1)


def is_free(step: Step) -> bool:
    """Whether elements of a step may lie anywhere in an interval."""
    if step.output.dtype is not DType.FLOAT32:
        return False
    return isinstance(step.body, Contract) or (isinstance(step.body, Pointwise) and step.body.function in TOLERANCES)


def tolerance(body: Pointwise, value: Array) -> Array:
    """How far an element may be from the real value of its function."""
    given = TOLERANCES[body.function]
    added = 0.0 if given.abs_exponent is None else 2.0**given.abs_exponent
    return np.asarray(given.rel * UNIT * np.abs(value) + added)


def _contracted(contraction: Contraction, read: Numbers, place: Array) -> Array:
    value, allowed = contraction.interval(read)
    lower, upper = contraction.bounds
    placed = np.minimum(np.maximum(_placed(value, allowed, place.reshape(value.shape)), lower), upper)
    return np.asarray(placed, dtype=np.float32).reshape(-1) + np.float32(0.0)


def _applied(step: Step, body: Pointwise, read: Numbers, place: Array, exact: Array) -> Array:
    operands = np.broadcast_arrays(*(read.seen(operand, step.axes) for operand in body.operands), np.empty(step.axes))
    value = real_value(body, operands[:-1]).reshape(-1)
    placed = _placed(value, tolerance(body, value), place)
    # Infinities have no interval, and what ELU hands on has none.
    fixed = ~np.isfinite(value) | ~np.isfinite(exact)
    if body.function is Function.ELU:
        fixed |= (operands[0] >= 0).reshape(-1)
    return np.where(fixed, exact, placed).astype(np.float32) + np.float32(0.0)


def _placed(value: Array, allowed: Array, place: Array) -> Array:
    """The float32 nearest to a place in an interval that lies in it."""
    low, high = value - allowed * _CAUTION, value + allowed * _CAUTION
    chosen = np.clip((value + allowed * place).astype(np.float32), _up(low), _down(high))
    largest = np.finfo(np.float32).max
    return np.asarray(np.clip(chosen, -largest, largest), dtype=np.float32)


def _up(bound: Array) -> Array:
    """The least float32 that is not below."""
    nearest = bound.astype(np.float32)
    return np.where(nearest < bound, np.nextafter(nearest, np.float32(np.inf)), nearest)


def _down(bound: Array) -> Array:
    """The greatest float32 that is not above."""
    nearest = bound.astype(np.float32)
    return np.where(nearest > bound, np.nextafter(nearest, np.float32(-np.inf)), nearest)
