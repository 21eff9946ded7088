"""Checks every element of every step of a trace."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain, islice
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sworn.errors import ConfigurationError, EngineError
from sworn.model.commitment import expected_bytes
from sworn.model.isolation import Isolated, isolate_step, narrow
from sworn.model.program import Contract, Pointwise, Space
from sworn.model.weight_rules import faulty
from sworn.referee.proof import FaultKind
from sworn.referee.rules import step_element
from sworn.verification.faults import Fault
from sworn.verification.subject import Executor, MakeExecutor
from sworn.verification.trace import Trace, element_bits, own_input_root, own_output_root, same_bits

#: Faults that one audit reports at most; one is enough to refute a run.
MAX_FAULTS: Final = 100
_COUNT: Final = "number of tensors"


def audit(
    trace: Trace, executor: Executor, make_executor: MakeExecutor, *, max_faults: int = MAX_FAULTS
) -> list[Fault]:
    """Everything that is wrong with a trace, in the order of its values, at most ``max_faults``; [] if nothing is.

    Every step is computed again from the trace's own tensors. A step whose operands have the wrong size or hold NaN is
    not judged, since a fault that stands before it is.
    """
    if len(trace.values) != trace.subject.value_count:
        return [_fault(trace, FaultKind.COUNT, name=_COUNT)]
    again = _Again(trace, executor, make_executor)
    return list(islice(chain(_link_faults(trace), _value_faults(trace, again)), max_faults))


def difference(trace: Trace, own: Trace) -> Fault | None:
    """The first element in which a trace differs from one's own of the same model and input; None if they are equal.

    Much faster than an audit: roots show the first tensor that differs, and all before it are equal, so the difference
    is a fault of the step that writes it. Raises `ConfigurationError` for traces of other models or inputs.
    """
    inputs = len(own.subject.program.inputs)
    if trace.subject.model_id != own.subject.model_id or trace.data_roots[:inputs] != own.data_roots[:inputs]:
        raise ConfigurationError("the traces are not of one model and input")
    pairs = zip(trace.data_roots, own.data_roots, strict=False)
    value = next((number for number, (theirs, ours) in enumerate(pairs) if theirs != ours), None)
    if value is None:
        return None if len(trace.values) == len(own.values) else _fault(trace, FaultKind.COUNT, name=_COUNT)
    if trace.values[value].size != own.values[value].size:
        return _fault(trace, FaultKind.LENGTH, value=value)
    index = int(np.flatnonzero(~same_bits(trace.values[value], own.values[value]))[0])
    return _fault(trace, FaultKind.ELEMENT, value=value, index=index, expected=own.bits(value, index))


def _link_faults(trace: Trace) -> Iterator[Fault]:
    if own_input_root(trace.subject, trace.data_roots) != trace.input_root:
        yield _fault(trace, FaultKind.INPUT_LINK, name="inputs")
    if own_output_root(trace.subject, trace.data_roots) != trace.output_root:
        yield _fault(trace, FaultKind.OUTPUT_LINK, name="outputs")


def _value_faults(trace: Trace, again: _Again) -> Iterator[Fault]:
    program = trace.subject.program
    inputs = len(program.inputs)
    ports = {*range(inputs), *(output.value for output in program.outputs)}
    for value in range(len(trace.values)):
        if not again.fits[value]:
            yield _fault(trace, FaultKind.LENGTH, value=value)
            continue
        if value >= inputs:
            yield from _step_faults(trace, again, value - inputs)
        if value in ports:
            yield from _port_faults(trace, value)


def _port_faults(trace: Trace, value: int) -> Iterator[Fault]:
    array = trace.values[value]
    bad = faulty(array)
    if array.dtype.kind == "f":
        bad = bad | np.isinf(array)
    for index in np.flatnonzero(bad).tolist():
        yield _fault(trace, FaultKind.PORT, value=value, index=index)


def _step_faults(trace: Trace, again: _Again, number: int) -> Iterator[Fault]:
    alone = isolate_step(trace.subject.program, number)
    if not all(again.sound(value) for value in alone.values):
        return
    value = len(trace.subject.program.inputs) + number
    try:
        expected = again.compute(alone, value)
    except EngineError:
        yield _fault(trace, FaultKind.ELEMENT, value=value, index=_without_value(trace, again, alone))
        return
    for index in np.flatnonzero(~same_bits(trace.values[value], expected)).tolist():
        yield _fault(trace, FaultKind.ELEMENT, value=value, index=index, expected=element_bits(expected, index))


class _Again:
    """Computes steps again, each from the trace's own tensors.

    The whole program is run once from the trace's inputs. Where all operands of a step are what that run has, so is
    what the step must give; only the others are run alone.
    """

    def __init__(self, trace: Trace, executor: Executor, make_executor: MakeExecutor) -> None:
        self._trace = trace
        self._make_executor = make_executor
        types = [trace.subject.program.value(number) for number in range(len(trace.values))]
        self.fits = [array.nbytes == expected_bytes(kind) for array, kind in zip(trace.values, types, strict=True)]
        self._whole: dict[int, NDArray[Any]] = {}
        count = len(trace.subject.program.inputs)
        # What fails as a whole may still be judged step by step.
        with suppress(EngineError):
            if all(self.fits[:count]):
                self._whole = executor.run(self._operands(range(count)), keep=True, include_virtual=True)
        self._agrees = [self.fits[value] and self._is_whole(value) for value in range(len(trace.values))]

    def sound(self, value: int) -> bool:
        """Whether a value can be computed with: of the right size, without NaN."""
        return self._agrees[value] or (self.fits[value] and not np.isnan(self._trace.values[value]).any())

    def compute(self, alone: Isolated, value: int) -> NDArray[Any]:
        """What a step must give for the operands in the trace. Raises `EngineError`."""
        if value in self._whole and all(self._agrees[operand] for operand in alone.values):
            return self._whole[value]
        return self.run(alone)

    def run(self, alone: Isolated) -> NDArray[Any]:
        """What a step alone gives. Raises `EngineError`."""
        weights = [self._trace.subject.weights[number] for number in alone.weights]
        executor = self._make_executor(alone.program, weights)
        return executor.run(self._operands(alone.values), keep=True, include_virtual=True)[len(alone.values)]

    def _operands(self, values: Iterable[int]) -> list[NDArray[Any]]:
        program, arrays = self._trace.subject.program, self._trace.values
        return [_cleaned(arrays[value]).reshape(program.value(value).shape) for value in values]

    def _is_whole(self, value: int) -> bool:
        return value in self._whole and bool(same_bits(self._trace.values[value], self._whole[value]).all())


def _cleaned(array: NDArray[Any]) -> NDArray[Any]:
    """An operand as the referee reads it: −0 counts as +0, every bool byte but 0 as true."""
    bad = faulty(array)
    if not bad.any():
        return array
    if array.dtype == np.bool_:
        return np.asarray(array.view(np.uint8) != 0)
    return np.where(bad, np.zeros_like(array), array)


def _without_value(trace: Trace, again: _Again, alone: Isolated) -> int:
    """Flat index of the first element that its operands give no value."""
    step = alone.program.steps[0]
    if isinstance(step.body, Contract | Pointwise):
        return _narrowed(again, alone)

    def read(space: Space, tensor: int, index: int) -> int:
        arrays = trace.values if space is Space.VALUE else trace.subject.weights
        return element_bits(arrays[alone.origin(space, tensor)], index)

    for index in range(step.output.elements):
        try:
            step_element(step, alone.type_of, index, read)
        except EngineError:
            return index
    return 0


def _narrowed(again: _Again, alone: Isolated) -> int:
    """The same by halving one axis after the other: the cost is that of a few runs of the step."""
    sizes = alone.program.steps[0].axes
    first = [0] * len(sizes)
    for axis, size in enumerate(sizes):
        start, stop = 0, size
        while stop - start > 1:
            middle = (start + stop) // 2
            part = narrow(alone, axis, start, middle)
            try:
                again.run(part)
                start = middle
            except EngineError:
                stop = middle
        alone, first[axis] = narrow(alone, axis, start, start + 1), start
    return int(np.ravel_multi_index(first, sizes)) if sizes else 0


def _fault(
    trace: Trace, kind: FaultKind, *, value: int = 0, index: int = 0, expected: int | None = None, name: str = ""
) -> Fault:
    element = kind in (FaultKind.ELEMENT, FaultKind.PORT)
    return Fault(
        kind=kind,
        value=value,
        index=index,
        claimed=trace.bits(value, index) if element else None,
        expected=expected,
        name=name or _name(trace, value),
        trace=trace,
    )


def _name(trace: Trace, value: int) -> str:
    inputs = trace.subject.schema.inputs
    return inputs[value].name if value < len(inputs) else trace.subject.step_names[value - len(inputs)]
