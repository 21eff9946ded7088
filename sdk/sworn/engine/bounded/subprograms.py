"""Some steps of a program as a program of their own."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from sworn.engine.exact.executor import ExactExecutor
from sworn.model.canonical import values_read
from sworn.model.encoding import references
from sworn.model.isolation import renumbered
from sworn.model.program import Program, Space

Array = NDArray[Any]


class ExactPart:
    """An executor for some steps. ``gives`` are the values that an answer needs of them.

    With a step that is fused goes the one that it is fused with, if only to be left out again.
    """

    def __init__(
        self,
        program: Program,
        weights: Sequence[Array],
        steps: Sequence[int],
        *,
        gives: Collection[int],
        fused: Mapping[int, int],
        threads: int,
    ) -> None:
        inputs = len(program.inputs)
        self.gives = tuple(sorted(gives))
        self._all = tuple(inputs + number for number in steps)
        held = sorted({*steps, *(fused[number] for number in steps if number in fused)})
        read = {value for number in held for value in values_read(program, number, {})}
        self.takes = tuple(sorted(read - {inputs + number for number in held}))
        self._places = {inputs + number: len(self.takes) + place for place, number in enumerate(held)}
        used = sorted({t for n in held for space, t in references(program.steps[n].body) if space is Space.WEIGHT})
        numbers = {(Space.VALUE, value): place for place, value in enumerate(self.takes)}
        numbers |= {(Space.VALUE, value): place for value, place in self._places.items()}
        numbers |= {(Space.WEIGHT, weight): place for place, weight in enumerate(used)}
        part = Program(
            inputs=tuple(program.value(value) for value in self.takes),
            weights=tuple(program.weights[weight] for weight in used),
            steps=tuple(replace(program.steps[n], body=renumbered(program.steps[n].body, numbers)) for n in held),
            outputs=(),
        )
        self._executor = ExactExecutor(part, [weights[weight] for weight in used], threads=threads)

    def run(self, values: Mapping[int, Array], *, is_traced: bool) -> dict[int, Array]:
        """What it gives, and with ``is_traced`` every value. Raises `EngineError`."""
        return self.compute(values, self._all if is_traced else self.gives)

    def compute(self, values: Mapping[int, Array], wanted: Collection[int]) -> dict[int, Array]:
        """Some of its values. Raises `EngineError`."""
        places = {value: self._places[value] for value in wanted}
        found = self._executor.run([values[value] for value in self.takes], keep=tuple(places.values()))
        return {value: found[place] for value, place in places.items()}
