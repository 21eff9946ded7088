"""One engine for every profile: programs where there are some, else plain onnxruntime, or a server with the model."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final

from numpy.typing import NDArray

from sworn.engine.batching import Batcher
from sworn.engine.fair_queue import FairQueue
from sworn.engine.identification import identify
from sworn.engine.memory_budget import MemoryBudget
from sworn.engine.onnx_engine import DEFAULT_MAX_INPUT_ELEMENTS, OnnxEngine
from sworn.engine.process import Processes
from sworn.engine.program_engine import ProgramEngine
from sworn.engine.protocol import EngineLoad, IdentifiedModel, ModelLoad, ModelSource, Run, RunLimits
from sworn.engine.remote_models import RemoteModels
from sworn.engine.tensors import checked_inputs
from sworn.engine.terms import ModelTerms
from sworn.engine.watch import Clock
from sworn.engine.workers import Workforce
from sworn.errors import ConfigurationError
from sworn.types import ModelId, Profile, Tensors

#: Compiling and showing models takes turns with their runs, as a model of its own.
_PREPARING: Final = "preparing"
#: Models that a worker keeps loaded, where nothing asks for more.
_MIN_MODELS: Final = 8


class ServingEngine:
    """An `Engine` for every profile; ``workers`` runs at once, each with ``threads`` threads.

    A model may be given terms of its own by `serve`; free places go to urgent runs, else to the model that has used the
    least time. A worker keeps its ``max_models`` latest models, but at least 8. ``memory_bytes`` bounds the memory of
    all workers: models that rest are unloaded, the one used longest ago first.
    """

    def __init__(
        self,
        *,
        workers: int = 1,
        threads: int = 1,
        max_models: int = 0,
        memory_bytes: int | None = None,
        workforce: Workforce | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        self._workforce = workforce or Processes(clock=clock)
        kept = max(max_models, _MIN_MODELS)
        self._programs = ProgramEngine(workers=workers, threads=threads, max_models=kept, workforce=self._workforce)
        self._onnx = OnnxEngine(workers=workers, threads=threads, max_sessions=kept, workforce=self._workforce)
        self._budget = MemoryBudget(memory_bytes, (self._programs.pool, self._onnx.pool))
        self._queue = FairQueue(workers, clock=clock)
        self._remote = RemoteModels(clock=clock)
        self._batchers: dict[ModelId, Batcher] = {}

    @property
    def worker_pids(self) -> tuple[int, ...]:
        """Process ids of the workers that have been started."""
        return (*self._programs.worker_pids, *self._onnx.worker_pids)

    @property
    def callers(self) -> int:
        """How many threads keep it busy, whichever models they ask for: more would be in each other's way."""
        batches = sum(batcher.max_rows for batcher in self._batchers.values())
        return 2 * (self._queue.slots + self._remote.slots) + len(self._queue.loads()) + batches

    def serve(self, model: IdentifiedModel, terms: ModelTerms, *, limits: RunLimits | None = None) -> None:
        """Runs a model on terms of its own from now on.

        Raises `ConfigurationError` for terms that its profile or its server does not allow, and what a run raises.
        """
        if model.model.profile is not Profile.SIGNED and (terms.endpoint or terms.batching):
            name = model.model.profile.name.lower()
            word = "endpoint" if terms.endpoint else "batching"
            raise ConfigurationError(
                f"{word}: results in profile {name} are defended bit by bit, it needs profile signed"
            )
        if terms.endpoint is not None and terms.batching is not None:
            raise ConfigurationError("batching: the server behind an endpoint makes its own batches")
        if terms.endpoint is not None:
            self._remote.add(model, terms)
            return
        self._queue.arrange(model.model_id.hex(), terms)
        if terms.batching is not None:
            batcher = Batcher(lambda rows: self._signed(model, rows, limits), model.schema, terms.batching)
            batcher.check()
            self._batchers[model.model_id] = batcher

    def warm(self, model: IdentifiedModel, *, limits: RunLimits | None = None) -> None:
        """Has every worker load a model, so that no run waits for it. Raises as `run` does."""
        if model.model_id in self._remote:
            return
        with self._queue.turn(_PREPARING):
            if model.model.profile is Profile.SIGNED:
                self._onnx.prepare(model.source.artifact, limits=limits, digest=model.model_id.hex())
            else:
                self._programs.prepare(model, limits=limits)
        self._budget.settle()

    def identify(self, source: ModelSource, *, limits: RunLimits | None = None) -> IdentifiedModel:
        """What a source is; compiled in a worker where the profile has programs. Raises as `Engine.identify` does."""
        if source.profile is Profile.SIGNED:
            return identify(source)
        with self._queue.turn(_PREPARING):
            return self._programs.identify(source, limits=limits)

    def run(
        self,
        model: IdentifiedModel,
        inputs: Tensors,
        *,
        limits: RunLimits | None = None,
        trace_file: Path | None = None,
    ) -> Run:
        """The outputs of a model on some inputs.

        Raises as `Engine.run` does, `EngineBusy` where too many of its runs wait, and `ModelUnavailable`.
        """
        if model.model_id in self._remote:
            return Run(outputs=self._remote.run(model, inputs, limits=limits or RunLimits()))
        try:
            if model.model.profile is Profile.SIGNED:
                return Run(outputs=self._batched(model, inputs, limits))
            with self._turn(model.model_id.hex(), limits):
                return self._programs.run(model, inputs, limits=limits, trace_file=trace_file)
        finally:
            self._budget.settle()

    def exhibit(self, model: IdentifiedModel, folder: Path, *, limits: RunLimits | None = None) -> None:
        """Writes a model with a program into a folder. Raises as `Exhibitor.exhibit` does."""
        with self._turn(_PREPARING, limits):
            self._programs.exhibit(model, folder, limits=limits)

    def load(self) -> EngineLoad:
        """What is under way here and on endpoints."""
        models: dict[str, ModelLoad] = {**self._queue.loads(), **self._remote.loads()}
        running, queued = (sum(getattr(each, name) for each in models.values()) for name in ("running", "queued"))
        models.pop(_PREPARING, None)
        return EngineLoad(
            slots=self._queue.slots + self._remote.slots,
            running=running,
            queued=queued,
            memory_bytes=self._budget.used_bytes,
            models=models,
        )

    def close(self) -> None:
        """Kills every worker; runs under way raise `EngineError`. Idempotent."""
        self._queue.close()
        self._remote.close()
        self._programs.close()
        self._onnx.close()
        self._workforce.close()

    def __enter__(self) -> ServingEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _turn(self, key: str, limits: RunLimits | None) -> AbstractContextManager[None]:
        return self._queue.turn(key, urgent=limits is not None and limits.is_urgent)

    def _batched(self, model: IdentifiedModel, inputs: Tensors, limits: RunLimits | None) -> dict[str, NDArray[Any]]:
        batcher = self._batchers.get(model.model_id)
        if batcher is None:
            return self._signed(model, inputs, limits)
        return batcher.run(checked_inputs(model.schema, inputs, max_elements=DEFAULT_MAX_INPUT_ELEMENTS))

    def _signed(self, model: IdentifiedModel, inputs: Tensors, limits: RunLimits | None) -> dict[str, NDArray[Any]]:
        digest = model.model_id.hex()
        with self._turn(digest, limits):
            return self._onnx.run(model.source.artifact, inputs, limits=limits, digest=digest)
