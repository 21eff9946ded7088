"""One step of a trace, computed again from the trace's own tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sworn.errors import EngineError
from sworn.model.isolation import Isolated, isolate_step, narrow
from sworn.model.program import Contract, Operand, Pointwise, Space
from sworn.model.weight_rules import faulty
from sworn.referee.rules import step_element
from sworn.verification.subject import MakeExecutor, StepExecutor
from sworn.verification.trace import Trace
from sworn.verification.trace_values import element_bits

Array = NDArray[Any]


class Recomputation:
    """A step, and what the trace has for the values that it reads: each is fetched once, when it is needed."""

    def __init__(self, trace: Trace, number: int, checker: StepExecutor, make_executor: MakeExecutor) -> None:
        program = trace.subject.program
        self.value = len(program.inputs) + number
        self.alone: Isolated = isolate_step(program, number)
        self._trace, self._number = trace, number
        self._checker, self._make_executor = checker, make_executor
        self._fetched: dict[int, Array] = {}
        self._cleaned: dict[int, Array] = {}

    def exact(self) -> Array:
        """What the step gives in profile `exact`, flat. Raises `EngineError`."""
        operands = {value: self._operand(value) for value in self.alone.values}
        return self._checker.run_step(self._number, operands).reshape(-1)

    def without_value(self) -> int:
        """Flat index of the first element that its operands give no value."""
        step = self.alone.program.steps[0]
        if isinstance(step.body, Contract | Pointwise):
            return self._narrowed()
        for index in range(step.output.elements):
            try:
                step_element(step, self.alone.type_of, index, self.read)
            except EngineError:
                return index
        return 0

    def read(self, space: Space, tensor: int, index: int) -> int:
        """The bits of an element that the step reads, by its number in `alone`."""
        number = self.alone.origin(space, tensor)
        return element_bits(self._fetch(number) if space is Space.VALUE else self._trace.subject.weights[number], index)

    def load(self, operand: Operand) -> Array:
        """The tensor that an operand of `alone` reads from, flat, as the referee reads it."""
        number = self.alone.origin(operand.space, operand.tensor)
        array = self._operand(number) if operand.space is Space.VALUE else self._trace.subject.weights[number]
        return array.reshape(-1)

    def _fetch(self, value: int) -> Array:
        if value not in self._fetched:
            self._fetched[value] = self._trace.values[value]
        return self._fetched[value]

    def _operand(self, value: int) -> Array:
        if value not in self._cleaned:
            shape = self._trace.subject.program.value(value).shape
            self._cleaned[value] = cleaned(self._fetch(value)).reshape(shape)
        return self._cleaned[value]

    def _narrowed(self) -> int:
        """The same by halving one axis after the other: the cost is that of a few runs of the step."""
        alone = self.alone
        sizes = alone.program.steps[0].axes
        first = [0] * len(sizes)
        for axis, size in enumerate(sizes):
            start, stop = 0, size
            while stop - start > 1:
                middle = (start + stop) // 2
                if self._fails(narrow(alone, axis, start, middle)):
                    stop = middle
                else:
                    start = middle
            alone, first[axis] = narrow(alone, axis, start, start + 1), start
        return int(np.ravel_multi_index(first, sizes)) if sizes else 0

    def _fails(self, part: Isolated) -> bool:
        weights = [self._trace.subject.weights[number] for number in part.weights]
        try:
            self._make_executor(part.program, weights).run([self._operand(value) for value in part.values], keep=True)
        except EngineError:
            return True
        return False


def cleaned(array: Array) -> Array:
    """An operand as the referee reads it: −0 counts as +0, every bool byte but 0 as true."""
    bad = faulty(array)
    if not bad.any():
        return array
    if array.dtype == np.bool_:
        return np.asarray(array.view(np.uint8) != 0)
    return np.where(bad, np.zeros_like(array), array)
