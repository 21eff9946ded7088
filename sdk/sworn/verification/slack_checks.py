"""Checks that a run which a search made is admissible, by others' means than those that made it."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sworn.errors import RunFailed
from sworn.model.program import Contract, Space, TensorType
from sworn.referee.bounded import admits
from sworn.verification.compiled import CompiledModel
from sworn.verification.slack_runs import is_free
from sworn.verification.trace import Trace
from sworn.verification.trace_values import element_bits

Array = NDArray[Any]

#: Terms up to which every element of a run is audited: a minute or two. Elements at the ends of their intervals are
#: summed term by term, since nothing faster decides them.
_MAX_TERMS: Final = 1 << 27
#: Elements that the referee judges where they are more.
_SAMPLE: Final = 2048


class RunChecks:
    """Audits runs, or where that takes too long has the referee judge a sample of their free elements."""

    def __init__(self, compiled: CompiledModel, generator: np.random.Generator) -> None:
        self._compiled, self._program, self._random = compiled, compiled.program, generator
        self._free = [number for number, step in enumerate(self._program.steps) if is_free(step)]
        self.is_whole = self._terms() <= _MAX_TERMS
        #: Runs that were checked.
        self.runs = 0

    def check(self, values: Sequence[Array]) -> None:
        """Raises `RunFailed` for a run that is not admissible."""
        self.runs += 1
        if self.is_whole:
            shaped = [array.reshape(self._program.value(number).shape) for number, array in enumerate(values)]
            faults = self._compiled.audit(Trace.of(self._compiled.subject, shaped), max_faults=1)
            if faults:
                raise RunFailed(f"a run that was made within the bounds is not: {faults[0]}")
        else:
            self._judge(values)

    def _terms(self) -> int:
        bodies = (
            (self._program.steps[number].output.elements, self._program.steps[number].body) for number in self._free
        )
        return sum(
            elements * prod(reduction.extent for reduction in body.reductions)
            for elements, body in bodies
            if isinstance(body, Contract)
        )

    def _judge(self, values: Sequence[Array]) -> None:
        sizes = np.array([self._program.steps[number].output.elements for number in self._free])
        ends = np.cumsum(sizes)

        def read(space: Space, tensor: int, index: int) -> int:
            return element_bits(values[tensor] if space is Space.VALUE else self._compiled.weights[tensor], index)

        def type_of(space: Space, tensor: int) -> TensorType:
            return self._program.value(tensor) if space is Space.VALUE else self._program.weights[tensor]

        for place in self._random.integers(0, ends[-1], _SAMPLE).tolist():
            chosen = int(np.searchsorted(ends, place, side="right"))
            number, index = self._free[chosen], int(place - (ends[chosen] - sizes[chosen]))
            claimed = read(Space.VALUE, len(self._program.inputs) + number, index)
            if not admits(self._program.steps[number], type_of, index, read, claimed=claimed):
                name = self._compiled.step_names[number]
                raise RunFailed(f"a run that was made within the bounds is not: {name}[{index}] is {claimed:#x}")
