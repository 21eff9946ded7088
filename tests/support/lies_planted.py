"""Lies of one element, planted in the trace of a run: the smallest that a step of every kind can tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tests.support.programs import row_major

from sworn.errors import EngineError
from sworn.model.footprint import footprint
from sworn.model.isolation import isolate_step
from sworn.model.program import Contract, Pointwise, Program, Space, Step, TensorType
from sworn.model.typing_rules import canonical
from sworn.referee.bounded import admits
from sworn.referee.floats import order_key
from sworn.types import DType, Profile
from sworn.verification import CompiledModel, Trace
from sworn.verification.trace_values import element_bits

Array = NDArray[Any]
_INFINITE = 0x7F800000


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """An element that a step of some kind writes."""

    kind: str
    step: int
    #: Number of the value that the step writes, and flat index in it.
    value: int
    index: int


def kind_of(step: Step) -> str:
    """The kind of a step: its rule, of a contraction what it adds up, of a pointwise step its function."""
    if isinstance(step.body, Pointwise):
        return step.body.function.name.lower().replace("_", " ")
    if isinstance(step.body, Contract):
        return f"{'sum' if step.body.right is None else 'contract'} {step.output.dtype.name.lower()}"
    return step.rule.name.lower()


def places(program: Program) -> tuple[Place, ...]:
    """An element of every kind of step: of that whose proof is the largest, in the middle of what the step writes."""
    worst: dict[str, tuple[int, int]] = {}
    for number, step in enumerate(program.steps):
        if step.output.elements:
            found = footprint(program, number).gas, -number
            worst[kind_of(step)] = max(worst.get(kind_of(step), found), found)
    return tuple(
        Place(kind=kind, step=-number, value=len(program.inputs) - number, index=_middle(program.steps[-number]))
        for kind, (_, number) in sorted(worst.items())
    )


def _middle(step: Step) -> int:
    """Where windows are whole."""
    return sum(stride * (extent // 2) for stride, extent in zip(row_major(step.axes), step.axes, strict=True))


def smallest_lie(trace: Trace, place: Place) -> int:
    """Bits that are just wrong: one bit off, or in profile ``bounded`` the next float beyond the bound of a step."""
    step, true = trace.subject.program.steps[place.step], trace.bits(place.value, place.index)
    if step.output.dtype is not DType.FLOAT32 or trace.subject.model.profile is Profile.EXACT:
        return next(true ^ flip for flip in (1, 2, 4) if canonical(step.output.dtype, true ^ flip))
    inside, outside = _border(trace, place, true)
    assert inside != outside
    return outside


def greatest_truth(trace: Trace, place: Place) -> int:
    """The last bits before `smallest_lie` that are right: in profile ``exact`` those of the trace itself."""
    step, true = trace.subject.program.steps[place.step], trace.bits(place.value, place.index)
    if step.output.dtype is not DType.FLOAT32 or trace.subject.model.profile is Profile.EXACT:
        return true
    return _border(trace, place, true)[0]


def _border(trace: Trace, place: Place, true: int) -> tuple[int, int]:
    """Two floats next to each other, of which only the first is admitted; on the side where there is room."""
    step, subject = trace.subject.program.steps[place.step], trace.subject

    def type_of(space: Space, tensor: int) -> TensorType:
        return subject.program.value(tensor) if space is Space.VALUE else subject.program.weights[tensor]

    def read(space: Space, tensor: int, index: int) -> int:
        if space is Space.VALUE:
            return trace.bits(tensor, index)
        return element_bits(subject.weights[tensor], index)

    def admitted(key: int) -> bool:
        return admits(step, type_of, place.index, read, claimed=_from_key(key))

    for way in (1, -1):
        start = order_key(true)
        inside, outside = start, start + way
        while abs(outside) < _INFINITE and admitted(outside):
            inside, outside = outside, start + 2 * (outside - start)
        if abs(outside) >= _INFINITE:
            continue
        while abs(outside - inside) > 1:
            middle = (inside + outside) // 2
            inside, outside = (middle, outside) if admitted(middle) else (inside, middle)
        return _from_key(inside), _from_key(outside)
    raise AssertionError(f"{place}: every float is admitted")


def _from_key(key: int) -> int:
    return key if key >= 0 else -key | 1 << 31


def planted(trace: Trace, place: Place, bits: int) -> Trace:
    """The trace with other bits in one element and nothing else changed, under roots of its own."""
    values = list(trace.values)
    values[place.value] = _changed(values[place.value], place.index, bits)
    return Trace.of(trace.subject, values)


def rebuilt(model: CompiledModel, trace: Trace, place: Place, bits: int) -> Trace:
    """The same with everything that follows from the lie: no other step of it is wrong.

    Raises `EngineError` where a step has no value over the lie.
    """
    program, values = model.program, list(trace.values)
    values[place.value] = _changed(values[place.value], place.index, bits)
    changed = {place.value}
    for number in range(place.step + 1, len(program.steps)):
        reads = isolate_step(program, number).values
        if changed.isdisjoint(reads):
            continue
        value = len(program.inputs) + number
        found = _run_step(model, number, {each: values[each] for each in reads}).reshape(program.value(value).shape)
        if found.tobytes() != np.ascontiguousarray(values[value]).tobytes():
            values[value] = found
            changed.add(value)
    return Trace.of(trace.subject, values)


def followed_up(model: CompiledModel, trace: Trace, place: Place, bits: int) -> tuple[Trace, bool]:
    """`rebuilt` and True, or `planted` and False where what follows from the lie is no run."""
    try:
        return rebuilt(model, trace, place, bits), True
    except EngineError:
        return planted(trace, place, bits), False


def _run_step(model: CompiledModel, number: int, operands: Mapping[int, Array]) -> Array:
    return model.checker.run_step(number, operands)


def _changed(array: Array, index: int, bits: int) -> Array:
    copied: Array = np.array(array)
    flat: Array = copied.reshape(-1)[index : index + 1]
    flat.view(f"u{flat.itemsize}")[0] = bits
    return copied
