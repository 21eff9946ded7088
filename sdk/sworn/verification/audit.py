"""Checks every element of every step of a trace."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sworn.errors import ConfigurationError, EngineError
from sworn.model.commitment import expected_bytes
from sworn.model.weight_rules import faulty
from sworn.referee.proof import FaultKind
from sworn.types import Profile
from sworn.verification.admissible import Written
from sworn.verification.faults import Fault
from sworn.verification.recomputation import Recomputation
from sworn.verification.subject import MakeExecutor, StepExecutor
from sworn.verification.trace import Trace, own_input_root, own_output_root, same_bits
from sworn.verification.trace_values import element_bits

#: Faults that one audit reports at most; one is enough to refute a run.
MAX_FAULTS: Final = 100
_COUNT: Final = "number of tensors"


def audit(
    trace: Trace, checker: StepExecutor, make_executor: MakeExecutor, *, max_faults: int = MAX_FAULTS
) -> list[Fault]:
    """Everything that is wrong with a trace, in the order of its values, at most ``max_faults``; [] if nothing is.

    Every step is computed again from the trace's own tensors, exactly, and compared as the model's profile says. A step
    whose operands have the wrong size or hold NaN is not judged, since a fault that stands before it is.
    """
    if len(trace.values) != trace.subject.value_count:
        return [_fault(trace, FaultKind.COUNT, name=_COUNT)]
    values = ValueAudit(trace, checker, make_executor)
    found = chain.from_iterable(map(values.faults, range(len(trace.values))))
    return list(islice(chain(_link_faults(trace), found), max_faults))


class ValueAudit:
    """The same value by value, in their order: a value is only looked at when its turn comes."""

    def __init__(self, trace: Trace, checker: StepExecutor, make_executor: MakeExecutor) -> None:
        program = trace.subject.program
        self._trace, self._checker, self._make_executor = trace, checker, make_executor
        self._inputs = len(program.inputs)
        self._ports = {*range(self._inputs), *(output.value for output in program.outputs)}
        # Values that can be computed with: of the right size, without NaN.
        self._sound: set[int] = set()

    def faults(self, value: int) -> Iterator[Fault]:
        """What is wrong with the next value; all before it have been gone through."""
        trace = self._trace
        if trace.values.length(value) != expected_bytes(trace.subject.program.value(value)):
            yield _fault(trace, FaultKind.LENGTH, value=value)
            return
        array = trace.values[value].reshape(-1)
        if not np.isnan(array).any():
            self._sound.add(value)
        if value >= self._inputs:
            again = Recomputation(trace, value - self._inputs, self._checker, self._make_executor)
            if self._sound.issuperset(again.alone.values):
                yield from _step_faults(trace, again, array)
        if value in self._ports:
            yield from _port_faults(trace, value, array)


def difference(trace: Trace, own: Trace) -> Fault | None:
    """The first element in which a trace differs from one's own of the same model and input; None if they are equal.

    Much faster than an audit: roots show the first tensor that differs, and all before it are equal, so the difference
    is a fault of the step that writes it. Raises `ConfigurationError` for traces of other models or inputs, and for
    those in profile `bounded`, where honest runs differ.
    """
    if own.subject.model.profile is not Profile.EXACT:
        raise ConfigurationError("honest runs differ in this profile: only an audit finds faults")
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


def _port_faults(trace: Trace, value: int, array: NDArray[Any]) -> Iterator[Fault]:
    bad = faulty(array)
    if array.dtype.kind == "f":
        bad = bad | np.isinf(array)
    for index in np.flatnonzero(bad).tolist():
        yield _fault(trace, FaultKind.PORT, value=value, index=index)


def _step_faults(trace: Trace, again: Recomputation, claimed: NDArray[Any]) -> Iterator[Fault]:
    try:
        expected = again.exact()
    except EngineError:
        yield _fault(trace, FaultKind.ELEMENT, value=again.value, index=again.without_value())
        return
    if trace.subject.model.profile is Profile.BOUNDED:
        written = Written(
            step=again.alone.program.steps[0],
            claimed=claimed,
            expected=expected,
            load=again.load,
            type_of=again.alone.type_of,
            read=again.read,
        )
        wrong: Iterable[int] = written.outside()
    else:
        wrong = np.flatnonzero(~same_bits(claimed, expected)).tolist()
    for index in wrong:
        yield _fault(trace, FaultKind.ELEMENT, value=again.value, index=index, expected=element_bits(expected, index))


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
