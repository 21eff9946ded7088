"""How a program is run: which steps in onnxruntime, which exactly, and what is checked in every run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from sworn.engine.bounded.costs import prefers_exact
from sworn.engine.bounded.kernels import KernelPart
from sworn.engine.bounded.machine import is_trusted
from sworn.engine.bounded.stretches import Stretch, divide
from sworn.engine.bounded.subprograms import ExactPart
from sworn.errors import RunFailed
from sworn.model.canonical import (
    Graph,
    Guard,
    GuardKind,
    Intervals,
    is_covered,
    requantisations_of,
    selections_of,
    values_read,
)
from sworn.model.program import Contract, Pointwise, Program

Array = NDArray[Any]


class Plan:
    """The parts of a program in the order in which they are run; none where all of it is computed exactly."""

    def __init__(self, program: Program, weights: Sequence[Array], *, threads: int) -> None:
        self._program, self._weights, self._threads = program, weights, threads
        pairs = requantisations_of(program)
        self.fused = selections_of(program) | pairs
        #: Sums that nothing needs but the step with which they are one node: traces get them afterwards, like virtual
        #: steps.
        self.deferred = frozenset(pairs.values())
        self.parts: tuple[KernelPart | ExactPart, ...] = ()
        #: A run with a greater input is computed exactly.
        self.input_limits = (math.inf,) * len(program.inputs)
        self._stretches: tuple[Stretch, ...] = ()
        if not prefers_exact(program):
            self._divide()
        #: What shows that no sum of a run that is all exact overflows.
        self.exact_guards = () if self.parts else self._exact_guards()

    def _exact_guards(self) -> tuple[Guard, ...]:
        covered = frozenset(
            number
            for number, step in enumerate(self._program.steps)
            if not isinstance(step.body, Pointwise) or is_covered(step.body.function)
        )
        guards = Intervals(self._program, self._weights, computed=covered, fused=self.fused).guards
        return tuple(guard for guard in guards if guard.kind is not GuardKind.NUMBER)

    def _divide(self) -> None:
        """Gives kernels all that they can compute, and the exact executor what they turn out not to."""
        program = self._program
        exact = frozenset(
            number
            for number, step in enumerate(program.steps)
            if not step.output.elements or not is_trusted(program, number, self.fused)
        )
        refused: frozenset[int] | None = None
        while refused is None or refused:
            exact |= refused or frozenset()
            self._stretches = divide(program, exact=exact, fused=self.fused, deferred=self.deferred)
            graphs = [None if each.is_exact else self._graph(each) for each in self._stretches]
            refused = frozenset(number for graph in graphs if graph is not None for number in graph.refused)
            if not refused:
                refused = self._assemble(graphs)

    def _assemble(self, graphs: Sequence[Graph | None]) -> frozenset[int]:
        """Makes the parts; returns the steps of a stretch that onnxruntime does not get through."""
        self.parts, parts = (), []
        if all(stretch.is_exact for stretch in self._stretches):
            return frozenset()
        self.input_limits = self._guard([graph for graph in graphs if graph is not None])
        for place, (stretch, graph) in enumerate(zip(self._stretches, graphs, strict=True)):
            try:
                parts.append(self._part(place, stretch, graph))
            except RunFailed:
                return frozenset(stretch.steps)
        self.parts = tuple(parts)
        return frozenset()

    @property
    def kernel_steps(self) -> frozenset[int]:
        """The steps that onnxruntime computes."""
        return frozenset(number for each in self._stretches if not each.is_exact for number in each.steps)

    def _graph(self, stretch: Stretch) -> Graph:
        return Graph(self._program, self._weights, stretch.steps, fused=self.fused)

    def _guard(self, graphs: Sequence[Graph]) -> tuple[float, ...]:
        """Adds what must be checked to the graphs; returns the greatest magnitude of each input."""
        limits = [math.inf] * len(self._program.inputs)
        intervals = Intervals(self._program, self._weights, computed=self.kernel_steps, fused=self.fused)
        for guard in intervals.guards:
            if guard.value < len(limits) and guard.kind is GuardKind.BOUND:
                limits[guard.value] = min(limits[guard.value], guard.limit)
                continue
            for graph in graphs:
                if guard.value in graph.forms:
                    graph.guard(guard.value, guard)
                    break
        return tuple(limits)

    def _part(self, place: int, stretch: Stretch, graph: Graph | None) -> KernelPart | ExactPart:
        program, fused = self._program, self.fused
        later = {number for each in self._stretches[place + 1 :] for number in each.steps}
        wanted = {output.value for output in program.outputs}
        wanted |= {value for number in later for value in values_read(program, number, fused)}
        gives = wanted & {len(program.inputs) + number for number in stretch.steps}
        if graph is None:
            # Sums must be finite, whoever reads them.
            gives |= {
                len(program.inputs) + number
                for number in stretch.steps
                if isinstance(program.steps[number].body, Contract)
            }
            return ExactPart(program, self._weights, stretch.steps, gives=gives, fused=fused, threads=self._threads)
        return KernelPart(program, graph, stretch.steps, gives=gives, threads=self._threads)
