"""Runs ONNX models with plain onnxruntime, as in profile ``signed``, in worker processes that can be killed."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import OrderedDict
from enum import IntEnum
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from sworn.engine import worker as worker_program
from sworn.engine.pool import WorkerPool
from sworn.engine.process import START_TIMEOUT_S, Processes
from sworn.engine.protocol import RunLimits
from sworn.engine.tensors import checked_inputs, checked_outputs
from sworn.engine.watch import Clock
from sworn.engine.worker import Message, pack_tensor, unpack_tensor
from sworn.engine.workers import Worker, Workforce
from sworn.errors import (
    ConfigurationError,
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
    """Runs files as they are, whatever onnxruntime makes of them; safe for many threads.

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
        workforce: Workforce | None = None,
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
        self._own = Processes(clock=clock) if workforce is None else None
        #: For whoever minds the memory of several engines.
        self.pool = WorkerPool(
            program=Path(worker_program.__file__),
            workers=workers,
            capacity=max_sessions,
            welcome=self._welcome,
            start_timeout_s=START_TIMEOUT_S,
            workforce=workforce or self._own or Processes(clock=clock),
        )
        self._lock = threading.Lock()
        self._schemas: OrderedDict[str, Schema] = OrderedDict()

    @property
    def sessions_built(self) -> int:
        """How often a model was loaded rather than found in a worker's cache."""
        return self.pool.loads

    @property
    def worker_pids(self) -> tuple[int, ...]:
        """Process ids of the workers that have been started."""
        return self.pool.pids

    def schema(self, artifact: bytes) -> Schema:
        """Names, dtypes and shapes of inputs and outputs; raises `ModelError`."""
        return self._schema(artifact, hashlib.sha256(artifact).hexdigest())

    def run(
        self, artifact: bytes, inputs: Tensors, *, limits: RunLimits | None = None, digest: str | None = None
    ) -> dict[str, NDArray[Any]]:
        """Outputs by name, in the schema's order, shapes and dtypes.

        Waits for a free worker, which no limit counts. ``digest`` is of this artifact and no other; without it, the
        artifact is hashed. Raises `InputRejected`, `RunTimedOut`, `RunOutOfMemory`,
        `RunNotFinite`, `RunFailed`, `ModelError`, or `EngineError` when the engine is closed or no worker starts.
        """
        digest = digest or hashlib.sha256(artifact).hexdigest()
        schema = self._schema(artifact, digest)
        arrays = checked_inputs(schema, inputs, max_elements=self._max_input_elements)
        bounds = RunLimits() if limits is None else limits
        key = self._key(digest)

        packed = [pack_tensor(name, array) for name, array in arrays.items()]
        order = {
            "operation": "run",
            "key": key,
            "provider": self._settings["provider"],
            "outputs": [spec.name for spec in schema.outputs],
            "tensors": [entry for entry, _ in packed],
        }

        def work(worker: Worker) -> Message:
            blobs = [blob for _, blob in packed]
            answer = self.pool.ask(
                worker, order, blobs, limits=bounds, load=lambda: self._load(worker, artifact, key, limits=bounds)
            )
            if answer.header.get("status") != "done":
                raise self._error(worker, answer)
            return answer

        answer = self.pool.attempt(key, work)
        try:
            entries = zip(answer.header["tensors"], answer.blobs, strict=True)
            outputs = dict(unpack_tensor(entry, blob) for entry, blob in entries)
        except (KeyError, TypeError, ValueError) as error:
            raise RunFailed("the worker gave outputs that cannot be read") from error
        return checked_outputs(schema, outputs)

    def prepare(self, artifact: bytes, *, limits: RunLimits | None = None, digest: str | None = None) -> None:
        """Has every worker load a model. Raises as `run` does, but nothing about inputs."""
        key, bounds = self._key(digest or hashlib.sha256(artifact).hexdigest()), limits or RunLimits()
        self.pool.everywhere(key, lambda worker: self._load(worker, artifact, key, limits=bounds))

    def close(self) -> None:
        """Kills every worker; runs under way raise `EngineError`. Idempotent."""
        self.pool.close()
        if self._own is not None:
            self._own.close()

    def __enter__(self) -> OnnxEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _key(self, digest: str) -> str:
        return json.dumps([digest, self._settings], sort_keys=True)

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

    def _welcome(self, header: dict[str, Any]) -> None:
        if self._settings["provider"] not in header["providers"]:
            known = ", ".join(header["providers"])
            raise ConfigurationError(f"this onnxruntime has no {self._settings['provider']}; it has {known}")

    def _load(self, worker: Worker, artifact: bytes, key: str, *, limits: RunLimits) -> None:
        answer = self.pool.load(worker, key, self._settings, artifact, limits=limits)
        if answer.header.get("status") != "loaded":
            raise self._error(worker, answer)

    def _error(self, worker: Worker, answer: Message) -> SwornError:
        kind = _STATUS_ERRORS.get(str(answer.header.get("status")), RunFailed)
        if kind is RunOutOfMemory:
            # What onnxruntime leaves behind after a failed allocation is not known to be sound.
            worker.close()
        return kind(str(answer.header.get("detail", "the worker gave an answer that cannot be read")))
