"""Which steps a run computes, and when the value of each is no longer needed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sworn.engine.exact.selection import is_selection
from sworn.model.program import Extremum, Lookup, Program, Space
from sworn.model.validation import reads


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Steps in order, by number, and what becomes free after each."""

    steps: tuple[int, ...]
    #: Lookups that take the extremum of their windows directly.
    fused: frozenset[int]
    #: Values to free after a step, by the step's number.
    freed: Mapping[int, tuple[int, ...]]
    #: Values that the run returns.
    kept: tuple[int, ...]


def selections(program: Program) -> dict[int, int]:
    """Lookups (by step) whose index is a virtual extremum (by step) over the windows that they take from."""
    found: dict[int, int] = {}
    for number, step in enumerate(program.steps):
        if isinstance(step.body, Lookup) and step.body.index.space is Space.VALUE:
            value = step.body.index.tensor
            index = value - len(program.inputs)
            other = program.steps[index] if index >= 0 else None
            if (
                other is not None
                and other.virtual
                and isinstance(other.body, Extremum)
                and is_selection(step, step.body, other, other.body, value=value)
            ):
                found[number] = index
    return found


def make_schedule(program: Program, *, keep: bool | Collection[int], include_virtual: bool) -> Schedule:
    """What a run computes so that it returns inputs, outputs and what is to be kept."""
    inputs, count = len(program.inputs), len(program.steps)
    wanted = {number for number, step in enumerate(program.steps) if include_virtual or not step.virtual}
    kept = set(range(inputs)) | {output.value for output in program.outputs}
    kept |= {inputs + number for number in wanted} if keep is True else set(keep or ())
    needed = wanted | {value - inputs for value in kept if value >= inputs}
    fusible = selections(program)
    fused: set[int] = set()
    last: dict[int, int] = {}
    for number in range(count - 1, -1, -1):
        if number not in needed:
            continue
        values = [tensor for space, tensor in reads(program, number) if space is Space.VALUE]
        if number in fusible and fusible[number] not in needed:
            fused.add(number)
            values = [value for value in values if value != inputs + fusible[number]]
        for value in values:
            last.setdefault(value, number)
            if value >= inputs:
                needed.add(value - inputs)
    freed: dict[int, list[int]] = {}
    for value, number in last.items():
        if value not in kept:
            freed.setdefault(number, []).append(value)
    return Schedule(
        steps=tuple(sorted(needed)),
        fused=frozenset(fused),
        freed={number: tuple(values) for number, values in freed.items()},
        kept=tuple(sorted(kept)),
    )
