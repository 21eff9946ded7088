"""The trace of a result of ours: kept, or made again and held against what was sworn."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from sworn.dispute.case import Clocks
from sworn.engine.protocol import Exhibitor, RunLimits
from sworn.errors import ConfigurationError, SwornError, TraceError
from sworn.model.exhibit_file import ExhibitFile
from sworn.model.trace_file import TraceFile
from sworn.types import ZERO_HASH, RequestId, ResultId
from sworn.watcher.defence.docket import Contested
from sworn.watcher.inference import Inference
from sworn.watcher.policy import ServedModel
from sworn.watcher.traces import KeptTrace, TraceStore

#: A traced run takes longer than a plain one, and no other run is as urgent: its limits are so many times as wide.
RUN_FACTOR: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Rerun:
    """What a second run of a model came to; its trace waits to be kept."""

    draft: Path
    trace_root: bytes
    output_root: bytes
    input_root: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Finds and makes traces. `rerun` may be called in any thread. All raise `TraceError`."""

    traces: TraceStore
    inference: Inference
    clocks: Clocks
    checkpoint: Callable[[str], None]
    #: Writes models down; without it, demands for parts of models cannot be answered.
    exhibitor: Exhibitor | None = None

    def find(self, contested: Contested, trace_root: bytes | None) -> TraceFile | None:
        """The trace with a root, if it is here. Raises `TraceCorrupt`."""
        if trace_root in (None, ZERO_HASH):
            return None
        kept = KeptTrace(request_id=contested.job.request_id, trace_root=trace_root or ZERO_HASH)
        path = self.traces.find(kept)
        return None if path is None else TraceFile.load(path)

    def rerun(self, contested: Contested, result_id: ResultId) -> Rerun:
        """Runs the model again in a worker. Raises what a run raises, and `ConfigurationError` for an unknown model."""
        model = self.inference.models.get(contested.job.request.model_id)
        limits = RunLimits() if model is None else self._limits(model.limits, model.identified.trace_bytes)
        # The request's own draft may belong to another run right now.
        draft = self.traces.draft(RequestId(result_id))
        try:
            computed = self.inference.retrace(contested.job, draft=draft, limits=limits)
            file = TraceFile.load(draft)
        except SwornError:
            self.traces.discard(draft)
            raise
        return Rerun(
            draft=draft,
            trace_root=computed.trace_root,
            output_root=file.output_root,
            input_root=file.input_root,
        )

    def keep(self, contested: Contested, rerun: Rerun) -> None:
        """Makes the trace of a second run the one that the result is defended with; durable when this returns.

        Done already is fine.
        """
        kept = _kept(contested, rerun)
        if rerun.draft.exists() or self.traces.find(kept) is None:
            self.traces.keep(kept, rerun.draft)
        self.checkpoint("trace_rederived")

    def holds(self, contested: Contested, rerun: Rerun) -> bool:
        """Whether the trace of a second run is still here, kept or waiting to be."""
        return rerun.draft.exists() or self.traces.find(_kept(contested, rerun)) is not None

    def discard(self, rerun: Rerun) -> None:
        """Forgets a second run."""
        self.traces.discard(rerun.draft)

    def exhibit(self, contested: Contested) -> ExhibitFile | None:
        """The model as challengers are shown it, if it has been written down. Raises `TraceCorrupt`."""
        folder = self.traces.exhibit(contested.result.model_id)
        return ExhibitFile.load(folder, self._model(contested).identified.model) if folder.is_dir() else None

    def write_exhibit(self, contested: Contested) -> None:
        """Writes the model down. Raises as `rerun` does."""
        model = self._model(contested)
        if self.exhibitor is None:
            raise ConfigurationError("this engine writes no models down: parts of them cannot be shown")
        folder = self.traces.exhibit(contested.result.model_id)
        draft = self.traces.draft(RequestId(model.model_id))
        self.exhibitor.exhibit(model.identified, draft, limits=replace(model.limits, is_urgent=True))
        try:
            folder.parent.mkdir(exist_ok=True)
            shutil.rmtree(folder, ignore_errors=True)
            draft.replace(folder)
        except OSError as error:
            raise TraceError(f"the exhibit cannot be kept: {error.strerror}") from error
        self.traces.discard(draft)

    def drop_exhibit(self, contested: Contested) -> None:
        """Removes what has been written down of a model: it is damaged."""
        shutil.rmtree(self.traces.exhibit(contested.result.model_id), ignore_errors=True)

    def _model(self, contested: Contested) -> ServedModel:
        model = self.inference.models.get(contested.result.model_id)
        if model is None:
            raise ConfigurationError(f"the model 0x{contested.result.model_id.hex()} is not served here any more")
        return model

    def _limits(self, limits: RunLimits, trace_bytes: int) -> RunLimits:
        # Beyond the time to commit a trace nobody needs.
        timeout_s = max(limits.timeout_s, min(RUN_FACTOR * limits.timeout_s, float(self.clocks.trace_s)))
        # INVARIANT: no defence waits in the engine behind answers, whoever asks for them and however many.
        memory_bytes = limits.memory_bytes + trace_bytes
        return replace(limits, timeout_s=timeout_s, memory_bytes=memory_bytes, is_urgent=True)


def _kept(contested: Contested, rerun: Rerun) -> KeptTrace:
    return KeptTrace(request_id=contested.job.request_id, trace_root=rerun.trace_root)


def difference(contested: Contested, rerun: Rerun, committed: bytes) -> str:
    """How a second run differs from what was sworn, for people; empty when it does not."""
    result = contested.result
    if rerun.output_root != result.output_root:
        return f"the run gives the output 0x{rerun.output_root.hex()}, sworn was 0x{result.output_root.hex()}"
    if committed != ZERO_HASH and rerun.trace_root != committed:
        return f"the run gives the trace 0x{rerun.trace_root.hex()}, sworn was 0x{committed.hex()}"
    return ""
