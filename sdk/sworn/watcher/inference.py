"""From a request's input to an output payload or a typed failure. No database, no chain: runs in a worker thread."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass

from sworn.codec.tensors import decode_tensors, encode_tensors, reference_of
from sworn.codec.trees import payload_root
from sworn.engine.protocol import Engine
from sworn.errors import (
    ArtifactTooLarge,
    ArtifactUnavailable,
    CodecError,
    InputRejected,
    ModelError,
    RunFailed,
    RunNotFinite,
    RunOutOfMemory,
    RunTimedOut,
    SizeLimitExceeded,
    SwornError,
    ValueNotFinite,
)
from sworn.storage.fetching import Fetcher, split_uri
from sworn.types import FailureCode
from sworn.watcher.jobs import Job
from sworn.watcher.policy import Guards, ServedModel

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
#: Failures that another attempt may not meet: a loaded machine, a mirror that is down.
RETRIED = frozenset({FailureCode.LIMIT_EXCEEDED, FailureCode.EXECUTION_FAILED, FailureCode.INPUT_UNAVAILABLE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Computed:
    """The model's output as a canonical payload."""

    output: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Unanswerable:
    """There is no output, and this is why."""

    code: FailureCode
    reason: str


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

    def compute(self, job: Job) -> Outcome:
        """The outcome of one job. Raises only what no `FailureCode` describes."""
        try:
            return Computed(output=self._output(job))
        except SwornError as error:
            for kind, code in FAILURES:
                if isinstance(error, kind):
                    return Unanswerable(code=code, reason=str(error))
            raise

    def _output(self, job: Job) -> bytes:
        model = self.models[job.request.model_id]
        payload = self._payload(job)
        if payload_root(payload) != job.request.input_root:
            raise InputRejected("the payload does not have the request's input root")
        inputs = decode_tensors(payload, model.schema.inputs)
        outputs = self.engine.run(model.artifact, inputs, limits=model.limits)
        try:
            output = encode_tensors(outputs, model.schema.outputs)
        except ValueNotFinite as error:
            raise RunNotFinite(str(error)) from error
        if len(output) > self.max_output_bytes:
            raise SizeLimitExceeded(f"the output of {len(output)} bytes exceeds {self.max_output_bytes}")
        return output

    def _payload(self, job: Job) -> bytes:
        uri = reference_of(job.input)
        if uri is None:
            return job.input
        parts = split_uri(uri)
        # SAFETY: a requester chooses the URI; only hosts that the operator trusts are ever contacted.
        if parts.scheme not in ("https", "http") or parts.hostname not in self.guards.input_hosts:
            raise ArtifactUnavailable("the input's host is not one from which inputs are fetched")
        return self.fetch(uri, self.guards.max_input_bytes)
