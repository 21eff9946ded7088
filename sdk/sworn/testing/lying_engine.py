"""An engine whose runs can be made false, to show what becomes of a liar: only tests and the demo have one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sworn.engine.protocol import Engine, IdentifiedModel, ModelSource, Run, RunLimits
from sworn.errors import ConfigurationError
from sworn.model.trace_file import TraceWriter
from sworn.types import ModelId, Tensors
from sworn.verification import CompiledModel, Trace
from sworn.verification.assembly import assemble


@dataclass(frozen=True, slots=True, kw_only=True)
class Lie:
    """One element of a model's output that is moved, in every run; everything before it stays right."""

    #: Which output, and which element of it, by its flat index.
    output: int = 0
    element: int = 0
    #: What is added to it.
    amount: float = 1.0

    def told(self, model: CompiledModel, inputs: Tensors) -> Trace:
        """A run that is false in this element alone, and commits to it."""
        honest = model.trace(inputs)
        moved = model.program.outputs[self.output].value
        values = [np.asarray(value) for value in honest.values]
        values[moved] = self._moved(values[moved])
        return Trace.of(model.subject, values)

    def _moved(self, value: NDArray[Any]) -> NDArray[Any]:
        false = value.copy()
        false.reshape(-1)[self.element] += np.asarray(self.amount).astype(value.dtype)
        return false


class LyingEngine:
    """An `Engine` that passes everything on to an honest one, until it is told to lie."""

    def __init__(self, honest: Engine) -> None:
        self._honest = honest
        self._compiled: dict[ModelId, CompiledModel] = {}
        #: What is told in every run from now on; None = the truth.
        self.lie: Lie | None = None

    def identify(self, source: ModelSource, *, limits: RunLimits) -> IdentifiedModel:
        """As the honest engine."""
        return self._honest.identify(source, limits=limits)

    def run(self, model: IdentifiedModel, inputs: Tensors, *, limits: RunLimits, trace_file: Path | None = None) -> Run:
        """As the honest engine, or with one element moved, in the outputs and in the trace alike.

        Raises `ConfigurationError` for a lie about a model without a program, which has no elements to move.
        """
        if self.lie is None:
            return self._honest.run(model, inputs, limits=limits, trace_file=trace_file)
        trace = self.lie.told(self._model(model), inputs)
        if trace_file is None:
            return Run(outputs=trace.outputs)
        return Run(outputs=trace.outputs, trace_root=_written(trace, trace.values, trace_file))

    def close(self) -> None:
        """Closes the honest engine."""
        self._honest.close()

    def _model(self, model: IdentifiedModel) -> CompiledModel:
        if model.trace_bytes == 0:
            raise ConfigurationError("there is no program to lie about")
        if model.model_id not in self._compiled:
            source = model.source
            self._compiled[model.model_id] = assemble(
                source.artifact, profile=source.profile.name.lower(), input_shapes=source.input_shapes
            )
        return self._compiled[model.model_id]


def _written(trace: Trace, values: Sequence[NDArray[Any]], path: Path) -> bytes:
    with TraceWriter(path, trace.subject.program, model_id=trace.subject.model_id) as writer:
        for number, value in enumerate(values):
            writer.write(number, value)
        return writer.finish(durable=False)
