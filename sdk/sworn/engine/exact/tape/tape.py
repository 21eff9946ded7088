"""A program's small steps as words, and the stretches of a schedule that one call runs."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sworn.engine.exact.schedule import Schedule
from sworn.engine.exact.tape import codes
from sworn.engine.exact.tape.contractions import write_contract
from sworn.engine.exact.tape.memory import NotOnTape, Places
from sworn.engine.exact.tape.pointwise import write_pointwise
from sworn.engine.exact.tape.selections import write_extremum, write_tree
from sworn.engine.exact.tape.writer import MAX_ELEMENTS, Writer, write_copy, write_lookup
from sworn.model.program import Contract, Copy, Extremum, Lookup, Pointwise, Program, Step, Tree
from sworn.types import DType

Array = NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stretch:
    """Consecutive steps of a schedule that one call runs."""

    words: Array
    #: Where the words of each step begin, and where the last ones end.
    starts: tuple[int, ...]
    #: Steps by number; those of model inputs, which come first, as −1 − input.
    steps: tuple[int, ...]

    def position(self, word: int) -> int:
        """Which of the steps a word belongs to."""
        return bisect_right(self.starts, word) - 1


class Tape:
    """The words of every step that has any, and the memories they refer to."""

    def __init__(self, program: Program, weights: Sequence[Array], fused: Mapping[int, int]) -> None:
        self._program = program
        self._places = Places(program, weights)
        self._words: dict[tuple[int, bool], list[int]] = {}
        for number, step in enumerate(program.steps):
            self._write(number, step, None)
            if number in fused:
                self._write(number, step, program.steps[fused[number]])
        self._inputs = {number: self._canonical(number) for number in range(len(program.inputs)) if self.holds(number)}
        self.tables, self.matrices = self._places.tables(), self._places.matrices()

    @property
    def is_empty(self) -> bool:
        """Whether no step is on the tape."""
        return not self._words

    def holds(self, value: int) -> bool:
        """Whether a value has its place in the arena."""
        return self._places.has(value)

    def arena(self) -> tuple[Array, dict[int, Array]]:
        """A run's private memory, and the values in it, flat."""
        made = self._places.arena()
        views = {}
        for value in self._places.values:
            kind, first = self._program.value(value), self._places.byte(value)
            size = kind.elements * kind.dtype.numpy.itemsize
            views[value] = made[first : first + size].view(kind.dtype.numpy)
        return made, views

    def stretches(self, schedule: Schedule) -> tuple[int | Stretch, ...]:
        """The steps of a schedule, those on the tape joined; model inputs are part of a stretch that comes first."""
        parts: list[int | list[int]] = []
        for number in schedule.steps:
            if (number, number in schedule.fused) not in self._words:
                parts.append(number)
            elif parts and isinstance(parts[-1], list):
                parts[-1].append(number)
            else:
                parts.append([number])
        return tuple(
            part if isinstance(part, int) else self._join(part, schedule, is_first=k == 0)
            for k, part in enumerate(parts)
        )

    def _join(self, steps: list[int], schedule: Schedule, *, is_first: bool) -> Stretch:
        pieces = [self._words[number, number in schedule.fused] for number in steps]
        numbers = list(steps)
        if is_first:
            pieces = [*self._inputs.values(), *pieces]
            numbers = [*(-1 - number for number in self._inputs), *numbers]
        starts = np.cumsum([0, *(len(piece) for piece in pieces)])
        words = np.array([word for piece in pieces for word in piece], dtype=np.int64)
        return Stretch(words=words, starts=tuple(starts.tolist()), steps=tuple(numbers))

    def _canonical(self, number: int) -> list[int]:
        kind = self._program.inputs[number]
        if kind.dtype is not DType.FLOAT32:
            return []
        return [codes.CANONICAL, 4, self._places.value(number), kind.elements]

    def _write(self, number: int, step: Step, extremum: Step | None) -> None:
        if not 0 < step.output.elements <= MAX_ELEMENTS:
            return
        writer = Writer(self._program, self._places)
        value = len(self._program.inputs) + number
        self._places.begin_step()
        try:
            _write_body(writer, step, extremum, self._places.value(value))
        except NotOnTape:
            if (number, False) not in self._words:
                self._places.values.pop(value, None)
            return
        self._words[number, extremum is not None] = writer.words


def _write_body(writer: Writer, step: Step, extremum: Step | None, out: int) -> None:
    body = step.body
    if extremum is not None and isinstance(extremum.body, Extremum):
        write_extremum(writer, step, extremum.body, out, is_value=True)
    elif isinstance(body, Copy):
        write_copy(writer, step, body, out)
    elif isinstance(body, Contract):
        write_contract(writer, step, body, out)
    elif isinstance(body, Pointwise):
        write_pointwise(writer, step, body, out)
    elif isinstance(body, Lookup):
        write_lookup(writer, step, body, out)
    elif isinstance(body, Extremum):
        write_extremum(writer, step, body, out, is_value=False)
    elif isinstance(body, Tree):
        write_tree(writer, step, body, out)
    else:
        raise NotOnTape
