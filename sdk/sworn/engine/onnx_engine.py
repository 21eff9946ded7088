"""Runs ONNX models with onnxruntime in worker processes that can be killed."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Any

from numpy.typing import NDArray

from sworn.engine.process import Clock, Worker, WorkerDied
from sworn.engine.protocol import RunLimits
from sworn.engine.tensors import checked_inputs, checked_outputs
from sworn.engine.worker import Message, pack_tensor, unpack_tensor
from sworn.errors import (
    ConfigurationError,
    EngineError,
    ModelMalformed,
    ModelUnsupported,
    RunFailed,
    RunOutOfMemory,
    SwornError,
)
from sworn.model import schema_of
from sworn.types import Schema, Tensors

#: Providers that onnxruntime has in one build or another.
PROVIDERS = (
    "CPUExecutionProvider",
    "CUDAExecutionProvider",
    "TensorrtExecutionProvider",
    "ROCMExecutionProvider",
    "MIGraphXExecutionProvider",
    "OpenVINOExecutionProvider",
    "DmlExecutionProvider",
    "CoreMLExecutionProvider",
)
#: 256 MiB of float32: far beyond any payload that a chain carries.
DEFAULT_MAX_INPUT_ELEMENTS = 1 << 26
_SCHEMAS_PER_SESSION = 8
#: Each with the whole time limit. A stranger may have killed a worker that dies; a model that kills two is to blame.
_ATTEMPTS = 2

_STATUS_ERRORS: dict[str, type[SwornError]] = {
    "malformed": ModelMalformed,
    "unsupported": ModelUnsupported,
    "memory": RunOutOfMemory,
    "failed": RunFailed,
    "provider": ConfigurationError,
}


class Optimisation(IntEnum):
    """How far onnxruntime may rewrite a graph, numbered as its GraphOptimizationLevel."""

    #: The graph as written.
    DISABLED = 0
    #: Rewrites that keep every value: folded constants, removed identities.
    BASIC = 1
    #: Fused operators too.
    EXTENDED = 2
    #: Memory layouts that suit the processor, too.
    ALL = 99


class OnnxEngine:
    """An `Engine` over onnxruntime, safe for many threads.

    ``workers`` processes run at most that many models at once, each with ``threads`` threads; a process starts with
    the first run that needs it, keeps its ``max_sessions`` latest sessions and is replaced after it was killed.
    Raises `ConfigurationError` for numbers that are not positive and unknown providers; a provider that this machine's
    onnxruntime lacks is found by the first run.
    """

    def __init__(
        self,
        *,
        workers: int = 1,
        threads: int = 1,
        provider: str = "CPUExecutionProvider",
        max_sessions: int = 8,
        optimisation: Optimisation = Optimisation.ALL,
        max_input_elements: int = DEFAULT_MAX_INPUT_ELEMENTS,
        clock: Clock = time.monotonic,
    ) -> None:
        numbers: dict[str, object] = {
            "workers": workers,
            "threads": threads,
            "max_sessions": max_sessions,
            "max_input_elements": max_input_elements,
        }
        for name, number in numbers.items():
            if isinstance(number, bool) or not isinstance(number, int) or number < 1:
                raise ConfigurationError(f"{name} must be a positive integer, not {number!r}")
        if provider not in PROVIDERS:
            raise ConfigurationError(f"unknown provider {provider!r}; known: {', '.join(PROVIDERS)}")
        self._settings: dict[str, Any] = {
            "provider": provider,
            "intra_threads": threads,
            "inter_threads": 1,
            "optimisation": int(optimisation),
        }
        self._max_sessions = max_sessions
        self._max_input_elements = max_input_elements
        self._clock = clock
        self._lock = threading.Lock()
        self._slots = threading.BoundedSemaphore(workers)
        self._idle: list[Worker] = []
        self._busy: set[Worker] = set()
        self._schemas: OrderedDict[str, Schema] = OrderedDict()
        self._is_closed = False
        self._sessions_built = 0

    @property
    def sessions_built(self) -> int:
        """How often a model was loaded rather than found in a worker's cache."""
        return self._sessions_built

    @property
    def worker_pids(self) -> tuple[int, ...]:
        """Process ids of the workers that have been started."""
        with self._lock:
            return tuple(worker.pid for worker in (*self._idle, *self._busy) if worker.pid is not None)

    def schema(self, artifact: bytes) -> Schema:
        """Names, dtypes and shapes of inputs and outputs; raises `ModelError`."""
        return self._schema(artifact, hashlib.sha256(artifact).hexdigest())

    def run(self, artifact: bytes, inputs: Tensors, *, limits: RunLimits | None = None) -> dict[str, NDArray[Any]]:
        """Outputs by name, in the schema's order, shapes and dtypes.

        Waits for a free worker, which no limit counts. Raises `InputRejected`, `RunTimedOut`, `RunOutOfMemory`,
        `RunNotFinite`, `RunFailed`, `ModelError`, or `EngineError` when the engine is closed or no worker starts.
        """
        digest = hashlib.sha256(artifact).hexdigest()
        schema = self._schema(artifact, digest)
        arrays = checked_inputs(schema, inputs, max_elements=self._max_input_elements)
        limits = RunLimits() if limits is None else limits
        key = json.dumps([digest, self._settings], sort_keys=True)
        answer = self._attempt(artifact, key, arrays, schema=schema, limits=limits)
        try:
            entries = zip(answer.header["tensors"], answer.blobs, strict=True)
            outputs = dict(unpack_tensor(entry, blob) for entry, blob in entries)
        except (KeyError, TypeError, ValueError) as error:
            raise RunFailed("the worker gave outputs that cannot be read") from error
        return checked_outputs(schema, outputs)

    def close(self) -> None:
        """Kills every worker; runs under way raise `EngineError`. Idempotent."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
            busy = tuple(self._busy)
        for worker in idle:
            worker.release()
        for worker in busy:
            worker.close()

    def __enter__(self) -> OnnxEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _schema(self, artifact: bytes, digest: str) -> Schema:
        with self._lock:
            known = self._schemas.get(digest)
        if known is not None:
            return known
        schema = schema_of(artifact)
        with self._lock:
            self._schemas[digest] = schema
            while len(self._schemas) > _SCHEMAS_PER_SESSION * self._max_sessions:
                self._schemas.popitem(last=False)
        return schema

    def _attempt(
        self, artifact: bytes, key: str, arrays: dict[str, NDArray[Any]], *, schema: Schema, limits: RunLimits
    ) -> Message:
        for _ in range(_ATTEMPTS):
            with self._lease(key) as worker:
                try:
                    worker.start(provider=self._settings["provider"])
                    self._load(worker, artifact, key, limits=limits)
                    return self._execute(worker, key, arrays, schema=schema, limits=limits)
                except WorkerDied as error:
                    death = error
            if self._is_closed:
                raise EngineError("the engine was closed during the run") from death
        raise RunFailed(f"the model crashed {_ATTEMPTS} workers ({death})") from death

    def _load(self, worker: Worker, artifact: bytes, key: str, *, limits: RunLimits) -> None:
        header = {"operation": "load", "key": key, **self._settings}
        answer: Message | None = None
        for blobs in ((), (artifact,)):
            answer = worker.exchange(header, blobs, timeout_s=limits.load_timeout_s, memory_bytes=limits.memory_bytes)
            status = answer.header.get("status")
            if status == "loaded":
                worker.keys.add(key)
                if blobs:
                    with self._lock:
                        self._sessions_built += 1
                return
            if status != "needed":
                break
        raise self._error(worker, answer)

    def _execute(
        self, worker: Worker, key: str, arrays: dict[str, NDArray[Any]], *, schema: Schema, limits: RunLimits
    ) -> Message:
        packed = [pack_tensor(name, array) for name, array in arrays.items()]
        header = {
            "operation": "run",
            "key": key,
            "provider": self._settings["provider"],
            "outputs": [spec.name for spec in schema.outputs],
            "tensors": [entry for entry, _ in packed],
        }
        answer = worker.exchange(
            header,
            [blob for _, blob in packed],
            timeout_s=limits.timeout_s,
            memory_bytes=limits.memory_bytes,
        )
        if answer.header.get("status") != "done":
            raise self._error(worker, answer)
        return answer

    def _error(self, worker: Worker, answer: Message | None) -> SwornError:
        header = {} if answer is None else answer.header
        kind = _STATUS_ERRORS.get(str(header.get("status")), RunFailed)
        if kind is RunOutOfMemory:
            # What onnxruntime leaves behind after a failed allocation is not known to be sound.
            worker.close()
        return kind(str(header.get("detail", "the worker gave an answer that cannot be read")))

    @contextmanager
    def _lease(self, key: str) -> Iterator[Worker]:
        self._slots.acquire()
        worker: Worker | None = None
        try:
            with self._lock:
                if self._is_closed:
                    raise EngineError("the engine is closed")
                worker = self._pick(key)
                self._busy.add(worker)
            yield worker
        finally:
            if worker is not None:
                self._give_back(worker)
            self._slots.release()

    def _pick(self, key: str) -> Worker:
        for worker in tuple(self._idle):
            if not worker.is_usable:
                self._idle.remove(worker)
                worker.release()
        for index, worker in enumerate(self._idle):
            if key in worker.keys:
                return self._idle.pop(index)
        return self._idle.pop() if self._idle else Worker(capacity=self._max_sessions, clock=self._clock)

    def _give_back(self, worker: Worker) -> None:
        with self._lock:
            self._busy.discard(worker)
            is_kept = worker.is_usable and not self._is_closed
            if is_kept:
                self._idle.append(worker)
        if not is_kept:
            worker.release()
