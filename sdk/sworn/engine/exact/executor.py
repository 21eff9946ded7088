"""The exact executor: plans a program once, runs it many times."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sworn.engine.exact.integers import plan_integers
from sworn.engine.exact.kernels import kernels
from sworn.engine.exact.machine import BlasThreads, check_products, check_subnormals
from sworn.engine.exact.pointwise import plan_pointwise
from sworn.engine.exact.products import plan_product
from sworn.engine.exact.schedule import Schedule, make_schedule, selections
from sworn.engine.exact.selection import plan_copy, plan_extremum, plan_lookup, plan_rank
from sworn.engine.exact.trees import plan_tree
from sworn.engine.exact.views import Memory, Scratch
from sworn.errors import EngineError, InputRejected, ShapeMismatch
from sworn.model.program import (
    Contract,
    Copy,
    Extremum,
    Lookup,
    Pointwise,
    Program,
    Rank,
    Step,
    TensorType,
)
from sworn.model.validation import validate
from sworn.types import DType

Array = NDArray[Any]
Run = Callable[[Memory], Array]


class ExactExecutor:
    """Runs one program with one set of weights; safe for many threads.

    ``threads`` bounds those of the BLAS library, where threadpoolctl is installed. ``accelerate`` demands (True) or
    forbids (False) numba; None takes it where it is installed. Neither changes a bit of any result. Raises
    `ModelMalformed`, `ModelUnsupported`, `ShapeMismatch` for weights that do not fit, and `ConfigurationError` for a
    machine whose floats are not what IEEE 754 says.
    """

    def __init__(
        self, program: Program, weights: Sequence[Array], *, threads: int = 1, accelerate: bool | None = None
    ) -> None:
        validate(program)
        check_subnormals()
        check_products()
        self._program = program
        self._weights = tuple(
            _flattened(array, expected, number)
            for number, (array, expected) in enumerate(_pairs(weights, program.weights, ShapeMismatch))
        )
        self._kernels = kernels(accelerate=accelerate)
        self._threads = BlasThreads(threads)
        self._spare: list[Scratch] = []
        self._schedules: dict[tuple[bool | frozenset[int], bool], Schedule] = {}
        with np.errstate(all="ignore"):
            self._runs = tuple(self._plan(step) for step in program.steps)
            self._fused = {number: self._plan_fused(number, index) for number, index in selections(program).items()}

    def run(
        self, inputs: Sequence[Array], *, keep: bool | Collection[int] = False, include_virtual: bool = False
    ) -> dict[int, Array]:
        """Values by number, in their own shapes: inputs, outputs, and those in ``keep`` (True: all that are computed).

        Virtual steps are computed with ``include_virtual``, or where something needs them. Raises `InputRejected`,
        `RunNotFinite` and the subclasses of `RunFailed`, with step and element.
        """
        schedule = self._schedule(keep, include_virtual=include_virtual)
        pairs = _pairs(inputs, self._program.inputs, InputRejected)
        values: list[Array | None] = [_canonical(*pair, number) for number, pair in enumerate(pairs)]
        values += [None] * len(self._program.steps)
        scratch = self._take_scratch()
        memory = Memory(values=values, weights=self._weights, scratch=scratch)
        check_subnormals()
        with np.errstate(all="ignore"), self._threads.limited():
            for number in schedule.steps:
                self._compute(memory, number, is_fused=number in schedule.fused)
                for value in schedule.freed.get(number, ()):
                    memory.values[value] = None
        self._spare.append(scratch)
        return {value: self._shaped(memory, value) for value in schedule.kept}

    def _take_scratch(self) -> Scratch:
        try:
            return self._spare.pop()
        except IndexError:
            return Scratch()

    def _compute(self, memory: Memory, number: int, *, is_fused: bool) -> None:
        run = self._fused[number] if is_fused else self._runs[number]
        try:
            memory.values[len(self._program.inputs) + number] = run(memory)
        except EngineError as error:
            rule = self._program.steps[number].rule.name.lower()
            raise type(error)(f"step {number} ({rule}): {error}") from error

    def _shaped(self, memory: Memory, value: int) -> Array:
        array = memory.values[value]
        assert array is not None, "INVARIANT: what is kept is not freed"  # noqa: S101
        return array.reshape(self._program.value(value).shape)

    def _schedule(self, keep: bool | Collection[int], *, include_virtual: bool) -> Schedule:
        key = (keep if isinstance(keep, bool) else frozenset(keep), include_virtual)
        if key not in self._schedules:
            self._schedules[key] = make_schedule(self._program, keep=key[0], include_virtual=include_virtual)
        return self._schedules[key]

    def _plan(self, step: Step) -> Run:
        body, program = step.body, self._program
        if not step.output.elements:
            return lambda _: np.empty(0, dtype=step.output.dtype.numpy)
        if isinstance(body, Copy):
            return plan_copy(step, body)
        if isinstance(body, Contract):
            if step.output.dtype is not DType.FLOAT32:
                return plan_integers(program, step, body)
            return plan_product(program, step, body, kernels=self._kernels)
        if isinstance(body, Pointwise):
            return plan_pointwise(step, body, kernels=self._kernels)
        if isinstance(body, Lookup):
            return plan_lookup(step, body)
        if isinstance(body, Extremum):
            return plan_extremum(step, body, program.type_of(body.source).dtype, is_value=False)
        if isinstance(body, Rank):
            return plan_rank(step, body)
        return plan_tree(program, step, body, kernels=self._kernels, weights=self._weights)

    def _plan_fused(self, number: int, index: int) -> Run:
        step, extremum = self._program.steps[number], self._program.steps[index]
        assert isinstance(extremum.body, Extremum), "INVARIANT: selections point at extrema"  # noqa: S101
        return plan_extremum(step, extremum.body, step.output.dtype, is_value=True)


def _pairs(
    arrays: Sequence[Array], expected: Sequence[TensorType], error: type[Exception]
) -> list[tuple[Array, TensorType]]:
    if len(arrays) != len(expected):
        raise error(f"{len(arrays)} tensors where {len(expected)} belong")
    return list(zip(arrays, expected, strict=True))


def _check(array: Array, expected: TensorType, name: str, error: type[Exception]) -> None:
    if array.dtype != expected.dtype.numpy or array.shape != expected.shape:
        raise error(f"{name} is {array.dtype}{list(array.shape)}, not {expected.dtype.numpy}{list(expected.shape)}")


def _flattened(array: Array, expected: TensorType, number: int) -> Array:
    """A weight, flat and writeable: kernels are compiled for one kind of array only."""
    _check(array, expected, f"weight {number}", ShapeMismatch)
    return np.require(array, requirements=["C", "A", "W"]).reshape(-1)


def _canonical(array: Array, expected: TensorType, number: int) -> Array:
    """A flat copy of an input, −0 as +0."""
    _check(array, expected, f"input {number}", InputRejected)
    if array.dtype != np.float32:
        return array.flatten()
    flat = np.add(array, np.float32(0.0), order="C").reshape(-1)
    if flat.size and np.isnan(np.max(flat)):
        raise InputRejected(f"input {number} holds NaN")
    return flat


def execute(
    program: Program,
    weights: Sequence[Array],
    inputs: Sequence[Array],
    *,
    keep: bool | Collection[int] = False,
    threads: int = 1,
    include_virtual: bool = False,
) -> dict[int, Array]:
    """Runs a program once, as `ExactExecutor` does, whose errors it raises."""
    return ExactExecutor(program, weights, threads=threads).run(inputs, keep=keep, include_virtual=include_virtual)
