"""The bounded executor: stretches of a program in onnxruntime, the rest exactly."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sworn.engine.bounded.kernels import GuardFailed
from sworn.engine.bounded.plan import Plan
from sworn.engine.bounded.subprograms import ExactPart
from sworn.engine.exact.executor import ExactExecutor
from sworn.engine.exact.machine import check_subnormals
from sworn.errors import EngineError, InputRejected, RunNotFinite, ShapeMismatch
from sworn.model.program import Contract, Program, TensorType
from sworn.model.validation import validate
from sworn.types import DType

Array = NDArray[Any]
OnValue = Callable[[int, Array], None]
_ZERO = np.float32(0.0)


class BoundedExecutor:
    """Runs one program with one set of weights within the bounds of profile `bounded`; safe for many threads.

    A run whose values leave the ranges in which the kernels are known to be right, or that fails, is computed exactly
    instead: exact values are within all bounds, and errors come with step and element. ``threads`` bounds those of
    onnxruntime and of the BLAS library. Raises as `ExactExecutor` does when it is made.
    """

    def __init__(self, program: Program, weights: Sequence[Array], *, threads: int = 1) -> None:
        validate(program)
        check_subnormals()
        if len(weights) != len(program.weights):
            raise ShapeMismatch(f"{len(weights)} tensors where {len(program.weights)} belong")
        self._program, self._threads = program, threads
        self._weights = tuple(
            _weight(array, kind, number)
            for number, (array, kind) in enumerate(zip(weights, program.weights, strict=True))
        )
        self._plan = Plan(program, self._weights, threads=threads)
        self._exact = None if self._plan.parts else ExactExecutor(program, self._weights, threads=threads)
        self._late: ExactPart | None = None
        self._later = tuple(
            number for number, step in enumerate(program.steps) if step.virtual or number in self._plan.deferred
        )
        self._always = set(range(len(program.inputs))) | {output.value for output in program.outputs}
        self._guarded = {guard.value for guard in self._plan.exact_guards}
        #: What the exact executor keeps of a run beside inputs and outputs.
        self._watched: bool | frozenset[int] = (
            False if self._guarded <= self._always else frozenset(self._always | self._guarded)
        )
        self._limits = tuple(
            (number, limit)
            for number, limit in enumerate(self._plan.input_limits)
            if program.inputs[number].dtype is DType.FLOAT32
        )
        self._sums = frozenset(
            len(program.inputs) + number
            for number, step in enumerate(program.steps)
            if isinstance(step.body, Contract) and step.output.dtype is DType.FLOAT32 and not step.virtual
        )

    @property
    def plan(self) -> Plan:
        """Which steps are computed by which means."""
        return self._plan

    def run(
        self,
        inputs: Sequence[Array],
        *,
        keep: bool | Collection[int] = False,
        include_virtual: bool = False,
        on_value: OnValue | None = None,
    ) -> dict[int, Array]:
        """Values by number, in their own shapes: inputs, outputs, and those in ``keep`` (True: all that are computed).

        Virtual steps are computed with ``include_virtual``. ``on_value`` gets the number of every value and the value,
        inputs first, when all are there. Raises `InputRejected`, `RunNotFinite` and the subclasses of `RunFailed`, with
        step and element, and whatever ``on_value`` raises.
        """
        if not self._plan.parts:
            return self._run_exactly(inputs, keep, include_virtual=include_virtual, on_value=on_value)
        values = self._inputs(inputs)
        is_traced = keep is not False or include_virtual or on_value is not None
        found = self._compute(values, is_traced=is_traced)
        if not is_traced:
            return {value: found[value] for value in self._always}
        self._add_later(found, keep, include_virtual=include_virtual)
        if on_value is not None:
            for value in sorted(found):
                on_value(value, found[value])
        kept = found.keys() if keep is True else self._always | set(keep or ())
        return {value: found[value] for value in sorted(kept)}

    def _inputs(self, inputs: Sequence[Array]) -> dict[int, Array]:
        kinds = self._program.inputs
        if len(inputs) != len(kinds):
            raise InputRejected(f"{len(inputs)} tensors where {len(kinds)} belong")
        return {number: _canonical(array, kinds[number], number) for number, array in enumerate(inputs)}

    def _compute(self, values: dict[int, Array], *, is_traced: bool) -> dict[int, Array]:
        check_subnormals()
        found = dict(values)
        try:
            self._check_inputs(values)
            for part in self._plan.parts:
                made = part.run(found, is_traced=is_traced)
                if isinstance(part, ExactPart):
                    self._check_sums(made)
                found.update(made)
        except EngineError:
            return self._compute_exactly(list(values.values()))
        return found

    def _check_inputs(self, values: Mapping[int, Array]) -> None:
        with np.errstate(over="ignore", invalid="ignore"):
            for number, limit in self._limits:
                flat = values[number].reshape(-1)
                # NaN fails too.
                if not flat.dot(flat) <= limit * limit:
                    raise GuardFailed(f"input {number} reaches beyond {limit}")

    def _run_exactly(
        self,
        inputs: Sequence[Array],
        keep: bool | Collection[int],
        *,
        include_virtual: bool,
        on_value: OnValue | None,
    ) -> dict[int, Array]:
        """A run by the exact executor; its sums must be finite."""
        if keep is True:
            found = self._whole().run(inputs, keep=True, include_virtual=include_virtual, on_value=on_value)
            self._check_sums(found)
            return found
        wanted = self._always | set(keep) if keep else self._always
        kept = wanted | self._guarded if keep else self._watched
        found = self._whole().run(inputs, keep=kept, include_virtual=include_virtual, on_value=on_value)
        if self._plan.exact_guards and not self._holds(found):
            self._compute_exactly(inputs)
        return found if len(found) == len(wanted) else {value: found[value] for value in sorted(wanted)}

    def _holds(self, found: Mapping[int, Array]) -> bool:
        """Whether no sum of an exact run can have overflowed."""
        with np.errstate(over="ignore"):
            return all(guard.holds(found[guard.value]) for guard in self._plan.exact_guards)

    def _whole(self) -> ExactExecutor:
        """The exact executor of the whole program, made when it is first needed."""
        if self._exact is None:
            self._exact = ExactExecutor(self._program, self._weights, threads=self._threads)
        return self._exact

    def _compute_exactly(self, inputs: Sequence[Array]) -> dict[int, Array]:
        """All values of a run by the exact executor; its sums must be finite."""
        found = self._whole().run(inputs, keep=True)
        self._check_sums(found)
        return found

    def _check_sums(self, found: Mapping[int, Array]) -> None:
        for value in sorted(self._sums & found.keys()):
            if not np.isfinite(found[value]).all():
                broken = int(np.flatnonzero(~np.isfinite(found[value]))[0])
                number = value - len(self._program.inputs)
                raise RunNotFinite(f"step {number} (contract): element {broken} is infinite")

    def _add_later(self, found: dict[int, Array], keep: bool | Collection[int], *, include_virtual: bool) -> None:
        """Computes exactly, from the other values, what only traces need."""
        inputs, asked = len(self._program.inputs), set() if isinstance(keep, bool) else set(keep)
        missing = [
            number
            for number in self._later
            if inputs + number not in found
            and (include_virtual or inputs + number in asked or not self._program.steps[number].virtual)
        ]
        if not missing:
            return
        if self._late is None:
            self._late = ExactPart(self._program, self._weights, self._later, gives=(), fused={}, threads=self._threads)
        found.update(self._late.compute(found, [inputs + number for number in missing]))


def _weight(array: Array, kind: TensorType, number: int) -> Array:
    if array.dtype != kind.dtype.numpy or array.shape != kind.shape:
        raise ShapeMismatch(
            f"weight {number} is {array.dtype}{list(array.shape)}, not {kind.dtype.numpy}{list(kind.shape)}"
        )
    return np.require(array, requirements=["C", "A", "W"])


def _canonical(array: Array, kind: TensorType, number: int) -> Array:
    """A copy of an input, −0 as +0."""
    if array.dtype != kind.dtype.numpy or array.shape != kind.shape:
        raise InputRejected(
            f"input {number} is {array.dtype}{list(array.shape)}, not {kind.dtype.numpy}{list(kind.shape)}"
        )
    if array.dtype != np.float32:
        return np.array(array, order="C")
    return np.add(array, _ZERO, order="C")
