"""The exact executor: plans a program once, runs it many times."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sworn.engine.exact.integers import plan_integers
from sworn.engine.exact.kernels import kernels, tape_loop
from sworn.engine.exact.machine import BlasThreads, check_products, check_subnormals
from sworn.engine.exact.pointwise import plan_pointwise
from sworn.engine.exact.products import plan_product
from sworn.engine.exact.schedule import Schedule, make_schedule, selections
from sworn.engine.exact.selection import plan_copy, plan_extremum, plan_lookup, plan_rank
from sworn.engine.exact.tape.tape import Stretch, Tape
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
OnValue = Callable[[int, Array], None]

#: Kinds of runs whose plans are kept.
_MAX_PLANS = 64


class ExactExecutor:
    """Runs one program with one set of weights; safe for many threads.

    ``threads`` bounds those of the BLAS library, where threadpoolctl is installed. ``accelerate`` demands (True) or
    forbids (False) numba; None takes it where it is installed. ``joins`` allows small steps to be run together by one
    call, which costs more to prepare than a single run gains. None of these changes a bit of any result. Raises
    `ModelMalformed`, `ModelUnsupported`, `ShapeMismatch` for weights that do not fit, and `ConfigurationError` for a
    machine whose floats are not what IEEE 754 says.
    """

    def __init__(
        self,
        program: Program,
        weights: Sequence[Array],
        *,
        threads: int = 1,
        accelerate: bool | None = None,
        joins: bool = True,
    ) -> None:
        validate(program)
        check_subnormals()
        check_products()
        self._program = program
        if len(weights) != len(program.weights):
            raise ShapeMismatch(f"{len(weights)} tensors where {len(program.weights)} belong")
        self._weights = tuple(
            _flattened(array, expected, number)
            for number, (array, expected) in enumerate(zip(weights, program.weights, strict=True))
        )
        self._kernels = kernels(accelerate=accelerate)
        self._threads = BlasThreads(threads)
        self._spare: list[_State] = []
        self._plans: OrderedDict[tuple[bool | frozenset[int], bool], _Plan] = OrderedDict()
        fused = selections(program)
        with np.errstate(all="ignore"):
            self._runs = tuple(self._plan(step) for step in program.steps)
            self._fused = {number: self._plan_fused(number, index) for number, index in fused.items()}
        self._loop = tape_loop(accelerate=accelerate) if joins else None
        self._tape = None if self._loop is None else Tape(program, self._weights, fused)

    def run(
        self,
        inputs: Sequence[Array],
        *,
        keep: bool | Collection[int] = False,
        include_virtual: bool = False,
        on_value: OnValue | None = None,
    ) -> dict[int, Array]:
        """Values by number, in their own shapes: inputs, outputs, and those in ``keep`` (True: all that are computed).

        Virtual steps are computed with ``include_virtual``, or where something needs them. ``on_value`` gets the number
        of every value and the value as soon as it is there, inputs first; nothing writes into it again. Raises
        `InputRejected`, `RunNotFinite` and the subclasses of `RunFailed`, with step and element, and whatever
        ``on_value`` raises.
        """
        plan = self._plan_of(keep if isinstance(keep, bool) else frozenset(keep), include_virtual=include_virtual)
        state = self._take_state()
        self._read_inputs(plan, state, inputs, on_value)
        check_subnormals()
        if plan.is_joined:
            self._run_parts(plan, state, on_value)
        else:
            with np.errstate(all="ignore"), self._threads.limited():
                self._run_parts(plan, state, on_value)
        found = {value: self._taken(state, value) for value in plan.schedule.kept}
        state.reset()
        self._spare.append(state)
        return found

    def run_step(self, number: int, operands: Mapping[int, Array]) -> Array:
        """What one step gives for the values that it reads, by number, in their own shapes; raises as `run` does."""
        state = self._take_state()
        memory = self._memory(state, operands)
        check_subnormals()
        with np.errstate(all="ignore"), self._threads.limited():
            found = self._compute(memory, number, is_fused=False)
        self._spare.append(state)
        return found.reshape(self._program.steps[number].output.shape)

    def _memory(self, state: _State, known: Mapping[int, Array]) -> Memory:
        """Memory outside of the arena, with some values in it."""
        values: list[Array | None] = [None] * (len(self._program.inputs) + len(self._program.steps))
        for value, array in known.items():
            _check(array, self._program.value(value), "input", value, InputRejected)
            values[value] = _canonical(array, value)
        return Memory(values=values, weights=self._weights, scratch=state.memory.scratch)

    def _shaped(self, memory: Memory, value: int) -> Array:
        array = memory.values[value]
        assert array is not None, "INVARIANT: what is kept is not freed"  # noqa: S101
        return array.reshape(self._program.value(value).shape)

    def _take_state(self) -> _State:
        try:
            return self._spare.pop()
        except IndexError:
            return _State(self._program, self._weights, self._tape)

    def _read_inputs(self, plan: _Plan, state: _State, inputs: Sequence[Array], on_value: OnValue | None) -> None:
        """Checks the inputs and copies them; those that the first stretch reads are made canonical by it."""
        expected = self._program.inputs
        if len(inputs) != len(expected):
            raise InputRejected(f"{len(inputs)} tensors where {len(expected)} belong")
        for number, array in enumerate(inputs):
            kind = expected[number]
            _check(array, kind, "input", number, InputRejected)
            if on_value is None and number in plan.inputs:
                np.copyto(state.shaped[number], array)
                continue
            state.write(number, _canonical(array, number))
            if on_value is not None:
                on_value(number, self._taken(state, number))

    def _run_parts(self, plan: _Plan, state: _State, on_value: OnValue | None) -> None:
        values, first = state.memory.values, len(self._program.inputs)
        for part in plan.parts:
            if isinstance(part, Stretch):
                self._run_stretch(plan, part, state)
            else:
                state.write(first + part, self._compute(state.memory, part, is_fused=part in plan.schedule.fused))
            if on_value is not None:
                for number in part.steps if isinstance(part, Stretch) else (part,):
                    if number >= 0:
                        on_value(first + number, self._taken(state, first + number))
            if not isinstance(part, Stretch):
                for value in plan.freed.get(part, ()):
                    values[value] = None

    def _run_stretch(self, plan: _Plan, stretch: Stretch, state: _State) -> None:
        """Runs a stretch; what it cannot do is done the ordinary way, which also finds the words for a failure."""
        loop, tape = self._loop, self._tape
        assert loop is not None and tape is not None, "INVARIANT: only a tape has stretches"  # noqa: S101, PT018
        start, end = 0, stretch.starts[-1]
        while True:
            stopped = loop(stretch.words, start, end, state.arena, tape.tables, tape.matrices)
            if stopped == end:
                return
            position = stretch.position(stopped)
            number = stretch.steps[position]
            if number < 0:
                raise InputRejected(f"input {-1 - number} holds NaN")
            with np.errstate(all="ignore"), self._threads.limited():
                array = self._compute(state.memory, number, is_fused=number in plan.schedule.fused)
            state.write(len(self._program.inputs) + number, array)
            start = stretch.starts[position + 1]

    def _compute(self, memory: Memory, number: int, *, is_fused: bool) -> Array:
        run = self._fused[number] if is_fused else self._runs[number]
        try:
            return run(memory)
        except EngineError as error:
            rule = self._program.steps[number].rule.name.lower()
            raise type(error)(f"step {number} ({rule}): {error}") from error

    def _taken(self, state: _State, value: int) -> Array:
        """A value that belongs to the caller."""
        if value in state.shaped:
            return state.shaped[value].copy()
        return self._shaped(state.memory, value)

    def _plan_of(self, keep: bool | frozenset[int], *, include_virtual: bool) -> _Plan:
        key = keep, include_virtual
        plan = self._plans.get(key)
        if plan is None:
            schedule = make_schedule(self._program, keep=keep, include_virtual=include_virtual)
            plan = self._plans[key] = _Plan(schedule, self._tape)
            while len(self._plans) > _MAX_PLANS:
                self._plans.popitem(last=False)
        return plan

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


class _Plan:
    """How one kind of run is made."""

    def __init__(self, schedule: Schedule, tape: Tape | None) -> None:
        self.schedule = schedule
        self.parts: tuple[int | Stretch, ...] = schedule.steps if tape is None else tape.stretches(schedule)
        first = self.parts[0] if self.parts else None
        #: Model inputs that the first stretch reads.
        self.inputs = frozenset(-1 - n for n in first.steps if n < 0) if isinstance(first, Stretch) else frozenset()
        #: Whether one stretch is all there is.
        self.is_joined = len(self.parts) == 1 and isinstance(first, Stretch)
        #: What ordinary steps free, values in an arena aside.
        self.freed = {
            number: tuple(value for value in values if tape is None or not tape.holds(value))
            for number, values in schedule.freed.items()
        }


class _State:
    """The memory of one run at a time."""

    def __init__(self, program: Program, weights: tuple[Array, ...], tape: Tape | None) -> None:
        values: list[Array | None] = [None] * (len(program.inputs) + len(program.steps))
        self.arena, self._views = (np.empty(0, dtype=np.uint8), {}) if tape is None else tape.arena()
        for value, flat in self._views.items():
            values[value] = flat
        self.memory = Memory(values=values, weights=weights, scratch=Scratch())
        self._initial = tuple(values)
        #: The values in the arena, in their own shapes.
        self.shaped = {value: flat.reshape(program.value(value).shape) for value, flat in self._views.items()}

    def write(self, value: int, array: Array) -> None:
        """Takes a value that was computed outside of the arena, flat."""
        if value in self._views:
            self._views[value][...] = array
        else:
            self.memory.values[value] = array

    def reset(self) -> None:
        """Forgets all values but those in the arena."""
        self.memory.values[:] = self._initial


def _check(array: Array, expected: TensorType, name: str, number: int, error: type[Exception]) -> None:
    if array.dtype != expected.dtype.numpy or array.shape != expected.shape:
        found = f"{array.dtype}{list(array.shape)}"
        raise error(f"{name} {number} is {found}, not {expected.dtype.numpy}{list(expected.shape)}")


def _flattened(array: Array, expected: TensorType, number: int) -> Array:
    """A weight, flat and writeable: kernels are compiled for one kind of array only."""
    _check(array, expected, "weight", number, ShapeMismatch)
    return np.require(array, requirements=["C", "A", "W"]).reshape(-1)


def _canonical(array: Array, number: int) -> Array:
    """A flat copy of an input, −0 as +0."""
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
    executor = ExactExecutor(program, weights, threads=threads, joins=False)
    return executor.run(inputs, keep=keep, include_virtual=include_virtual)
