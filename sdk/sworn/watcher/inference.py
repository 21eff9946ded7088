"""From a request's input to an output payload or a typed failure. No database, no chain: runs in a worker thread."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from sworn.codec.tensors import decode_tensors, encode_tensors, reference_of
from sworn.codec.trees import payload_root
from sworn.engine.protocol import Engine, Run, RunLimits
from sworn.errors import (
    ArtifactTooLarge,
    ArtifactUnavailable,
    CodecError,
    ConfigurationError,
    InputRejected,
    ModelError,
    RunFailed,
    RunNotFinite,
    RunOutOfMemory,
    RunTimedOut,
    SizeLimitExceeded,
    SwornError,
    TraceError,
    ValueNotFinite,
    WorkerCrashed,
)
from sworn.model.trace_file import TraceFile
from sworn.storage.fetching import Fetcher, split_uri
from sworn.types import ZERO_HASH, FailureCode, Tensors
from sworn.watcher.jobs import Job
from sworn.watcher.policy import Guards, ServedModel
from sworn.watcher.traces import TraceStore

#: Fetches a URI, at most so many bytes. Raises `ArtifactUnavailable` or `ArtifactTooLarge`.
InputFetcher = Callable[[str, int], bytes]

#: The failure that an exception means; the first class that fits counts, so subclasses come first.
FAILURES: tuple[tuple[type[SwornError], FailureCode], ...] = (
    (ValueNotFinite, FailureCode.NOT_FINITE),
    (SizeLimitExceeded, FailureCode.TOO_LARGE),
    (CodecError, FailureCode.BAD_INPUT),
    (InputRejected, FailureCode.BAD_INPUT),
    (RunNotFinite, FailureCode.NOT_FINITE),
    (RunTimedOut, FailureCode.LIMIT_EXCEEDED),
    (RunOutOfMemory, FailureCode.LIMIT_EXCEEDED),
    (RunFailed, FailureCode.EXECUTION_FAILED),
    (ModelError, FailureCode.UNSUPPORTED),
    (ArtifactTooLarge, FailureCode.TOO_LARGE),
    (ArtifactUnavailable, FailureCode.INPUT_UNAVAILABLE),
)
#: Runs that did harm: they cost a worker, or all the time and memory that there was for them.
CRASHES = (WorkerCrashed, RunOutOfMemory, RunTimedOut)
#: Failures that another attempt may not meet: a loaded machine, a mirror that is down.
RETRIED = frozenset({FailureCode.LIMIT_EXCEEDED, FailureCode.EXECUTION_FAILED, FailureCode.INPUT_UNAVAILABLE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Computed:
    """The model's output as a canonical payload."""

    output: bytes
    #: Zero unless the run was traced.
    trace_root: bytes = ZERO_HASH
    #: The trace that waits to be kept; None unless the run was traced.
    draft: Path | None = None
    #: The input, if it was fetched and may not be there to be fetched again.
    fetched: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unanswerable:
    """There is no output, and this is why."""

    code: FailureCode
    reason: str
    #: Whether another attempt may fare better.
    passing: bool = True
    #: Whether the run broke a limit or took its worker down: what does so again and again is left alone.
    crashed: bool = False


class InputUnwanted(ArtifactUnavailable):
    """The input lies where this operator fetches nothing from; another attempt would not change that."""


Outcome = Computed | Unanswerable


def fetch_from(fetcher: Fetcher) -> InputFetcher:
    """An `InputFetcher` that reads no more than it was allowed, whatever the other side sends."""

    def fetch(uri: str, max_bytes: int) -> bytes:
        payload = bytearray()
        with closing(fetcher.open(uri)) as chunks:
            for chunk in chunks:
                payload += chunk
                if len(payload) > max_bytes:
                    raise ArtifactTooLarge(f"the input exceeds {max_bytes} bytes")
        return bytes(payload)

    return fetch


@dataclass(frozen=True, slots=True, kw_only=True)
class Inference:
    """Runs served models on requests' inputs."""

    engine: Engine
    models: Mapping[bytes, ServedModel]
    guards: Guards
    fetch: InputFetcher
    #: Longest output payload that the oracle takes.
    max_output_bytes: int
    #: Where runs are traced; needed for models in profile bounded, and for defending those in profile exact.
    traces: TraceStore | None = None
    #: Inputs that were fetched before, by their root.
    fetched: Callable[[bytes], bytes | None] = lambda input_root: None

    def compute(self, job: Job) -> Outcome:
        """The outcome of one job. Raises only what no `FailureCode` describes."""
        try:
            return self._computed(job)
        except SwornError as error:
            for kind, code in FAILURES:
                if isinstance(error, kind):
                    passing = code in RETRIED and not isinstance(error, InputUnwanted)
                    crashed = isinstance(error, CRASHES)
                    return Unanswerable(code=code, reason=str(error), passing=passing, crashed=crashed)
            raise

    def retrace(self, job: Job, *, draft: Path, limits: RunLimits) -> Computed:
        """Runs a job's model again, whatever its profile, with every value in ``draft``.

        Raises `ConfigurationError` for a model that is not served any more, and what a run raises.
        """
        model = self.models.get(job.request.model_id)
        if model is None:
            raise ConfigurationError(
                f"the model 0x{job.request.model_id.hex()} is not served here any more: put it back into the settings "
                "and restart, or its results cannot be defended"
            )
        return self._traced(model, job, self._payload(job), draft, limits)

    def _computed(self, job: Job) -> Computed:
        model = self.models[job.request.model_id]
        payload = self._payload(job)
        fetched = None if reference_of(job.input) is None else payload
        if not model.traced:
            run = self.engine.run(model.identified, _inputs(model, job, payload), limits=model.limits)
            return Computed(output=self._encoded(model, run), fetched=fetched)
        if self.traces is None:
            raise ConfigurationError("models in profile bounded need a place for traces")
        draft = self.traces.draft(job.request_id)
        try:
            return replace(self._traced(model, job, payload, draft, model.limits), fetched=fetched)
        except SwornError:
            self.traces.discard(draft)
            raise

    def _traced(self, model: ServedModel, job: Job, payload: bytes, draft: Path, limits: RunLimits) -> Computed:
        run = self.engine.run(model.identified, _inputs(model, job, payload), limits=limits, trace_file=draft)
        output = self._encoded(model, run)
        _check_trace(draft, run, job, output)
        return Computed(output=output, trace_root=run.trace_root, draft=draft)

    def _encoded(self, model: ServedModel, run: Run) -> bytes:
        try:
            output = encode_tensors(run.outputs, model.schema.outputs)
        except ValueNotFinite as error:
            raise RunNotFinite(str(error)) from error
        if len(output) > self.max_output_bytes:
            raise SizeLimitExceeded(f"the output of {len(output)} bytes exceeds {self.max_output_bytes}")
        return output

    def _payload(self, job: Job) -> bytes:
        uri = reference_of(job.input)
        if uri is None:
            return job.input
        kept = self.fetched(job.request.input_root)
        if kept is not None:
            return kept
        try:
            parts = split_uri(uri)
        except ArtifactUnavailable as error:
            raise InputUnwanted(str(error)) from error
        # SAFETY: a requester chooses the URI; only hosts that the operator trusts are ever contacted.
        if parts.scheme not in ("https", "http") or parts.hostname not in self.guards.input_hosts:
            raise InputUnwanted("the input's host is not one from which inputs are fetched")
        return self.fetch(uri, self.guards.max_input_bytes)


def _inputs(model: ServedModel, job: Job, payload: bytes) -> Tensors:
    if payload_root(payload) != job.request.input_root:
        raise InputRejected("the payload does not have the request's input root")
    return decode_tensors(payload, model.schema.inputs)


def _check_trace(file: Path, run: Run, job: Job, output: bytes) -> None:
    """Raises `TraceError` for a trace that is not of this run: with it, the result could not be defended."""
    trace = TraceFile.load(file)
    stated = (trace.model_id, trace.input_root, trace.output_root, trace.trace_root)
    # INVARIANT: what is about to be sworn is what the trace shows.
    if stated != (job.request.model_id, job.request.input_root, payload_root(output), run.trace_root):
        raise TraceError("the engine's trace does not lead from the request's input to the output that it gave")
