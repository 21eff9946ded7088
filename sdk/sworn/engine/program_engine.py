"""Runs the programs of profiles ``exact`` and ``bounded`` in worker processes that can be killed."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import OrderedDict
from pathlib import Path
from typing import Any

from sworn.engine.pool import WorkerPool
from sworn.engine.process import Processes
from sworn.engine.program_messages import error_from_json, identified_from_json, source_to_json
from sworn.engine.protocol import IdentifiedModel, ModelSource, Run, RunLimits
from sworn.engine.tensors import checked_inputs, checked_outputs
from sworn.engine.watch import Clock
from sworn.engine.worker import Message, pack_tensor, unpack_tensor
from sworn.engine.workers import Worker, Workforce
from sworn.errors import ConfigurationError, RunFailed, RunOutOfMemory, SwornError
from sworn.types import ZERO_HASH, ModelId, Profile, Tensors

#: What a worker runs; what it imports is not needed here.
_WORKER = Path(__file__).with_name("program_worker.py")
#: Beyond any payload that a chain carries; the model's shapes are the tighter bound.
_MAX_INPUT_ELEMENTS = 1 << 26
#: The first worker on a machine compiles the kernels, which takes half a minute of one core; later ones find them.
_START_TIMEOUT_S = 600.0
#: Models whose ids are remembered.
_MAX_IDENTIFIED = 256


class ProgramEngine:
    """An `Engine` for the profiles with programs, safe for many threads.

    ``workers`` processes run at most that many models at once, each with ``threads`` threads, which change no bit; a
    process checks its machine's arithmetic when it starts, compiles a model once, keeps its ``max_models`` latest ones
    and is replaced after it was killed. ``workforce`` says where the workers are; None = processes here. Raises
    `ConfigurationError` for numbers that are not positive.
    """

    def __init__(
        self,
        *,
        workers: int = 1,
        threads: int = 1,
        max_models: int = 8,
        workforce: Workforce | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        for name, number in (("workers", workers), ("threads", threads), ("max_models", max_models)):
            if isinstance(number, bool) or number < 1:
                raise ConfigurationError(f"{name} must be a positive integer, not {number!r}")
        self._threads = threads
        self._own = Processes(clock=clock) if workforce is None else None
        #: For whoever minds the memory of several engines.
        self.pool = WorkerPool(
            program=_WORKER,
            workers=workers,
            capacity=max_models,
            welcome=_welcome,
            start_timeout_s=_START_TIMEOUT_S,
            workforce=workforce or self._own or Processes(clock=clock),
        )
        self._lock = threading.Lock()
        #: Keys under which models are loaded, by id: hashing a large artifact for every run would cost more than it.
        self._keys: OrderedDict[ModelId, str] = OrderedDict()
        self._identified: OrderedDict[str, IdentifiedModel] = OrderedDict()

    @property
    def programs_built(self) -> int:
        """How often a model was compiled rather than found in a worker's cache."""
        return self.pool.loads

    @property
    def worker_pids(self) -> tuple[int, ...]:
        """Process ids of the workers that have been started."""
        return self.pool.pids

    def identify(self, source: ModelSource, *, limits: RunLimits | None = None) -> IdentifiedModel:
        """What a source is, compiled in a worker.

        Raises `ModelError`, of it `ProfileUnavailable` for a model that cannot be compiled, `ConfigurationError` for
        shapes that do not fit and for a machine that computes wrongly, `RunTimedOut`, `RunOutOfMemory`, `RunFailed` for
        a model on which the compiler dies, and `EngineError`.
        """
        key = self._key(source)
        with self._lock:
            known = self._identified.get(key)
        if known is None:
            bounds = limits or RunLimits()
            known = self.pool.attempt(key, lambda worker: self._load(worker, key, source, None, limits=bounds))
            with self._lock:
                self._identified[key] = known
                while len(self._identified) > _MAX_IDENTIFIED:
                    self._identified.popitem(last=False)
        return known

    def run(
        self,
        model: IdentifiedModel,
        inputs: Tensors,
        *,
        limits: RunLimits | None = None,
        trace_file: Path | None = None,
    ) -> Run:
        """The outputs of a model, after a check that its id is what its file compiles to; see `Engine.run`.

        Raises `InputRejected`, `RunTimedOut`, `RunOutOfMemory`, `RunNotFinite`, `RunFailed` and its subclasses,
        `ModelError`, `TraceError`, `ConfigurationError` for an id that belongs to another program, and `EngineError`.
        """
        if model.model.profile is Profile.BOUNDED and trace_file is None:
            raise ConfigurationError("a result in profile bounded cannot be defended without a trace: name a file")
        arrays = checked_inputs(model.schema, inputs, max_elements=_MAX_INPUT_ELEMENTS)
        packed = [pack_tensor(name, array) for name, array in arrays.items()]
        key, bounds = self._key_of(model), limits or RunLimits()
        order = {
            "operation": "run",
            "key": key,
            "model_id": model.model_id.hex(),
            "trace_file": None if trace_file is None else str(trace_file),
            "outputs": [spec.name for spec in model.schema.outputs],
            "tensors": [entry for entry, _ in packed],
        }

        def work(worker: Worker) -> Message:
            blobs = [blob for _, blob in packed]
            answer = self.pool.ask(
                worker,
                order,
                blobs,
                limits=bounds,
                load=lambda: self._load(worker, key, model.source, model, limits=bounds),
            )
            return _accepted(worker, answer, status="done")

        answer = self.pool.attempt(key, work)
        with self._lock:
            # A worker has compiled the file to this id.
            self._keys[model.model_id] = key
            while len(self._keys) > _MAX_IDENTIFIED:
                self._keys.popitem(last=False)
        try:
            return _run_of(model, answer)
        except SwornError:
            if trace_file is not None:
                trace_file.unlink(missing_ok=True)
            raise

    def prepare(self, model: IdentifiedModel, *, limits: RunLimits | None = None) -> None:
        """Has every worker compile a model and run it once. Raises as `identify` does."""
        key, bounds = self._key_of(model), limits or RunLimits()
        self.pool.everywhere(key, lambda worker: self._load(worker, key, model.source, model, limits=bounds))

    def exhibit(self, model: IdentifiedModel, folder: Path, *, limits: RunLimits | None = None) -> None:
        """Writes a model's weights and program into a folder; see `Exhibitor.exhibit`. Raises as `run` does."""
        key, bounds = self._key(model.source), limits or RunLimits()
        order = {"operation": "exhibit", "key": key, "folder": str(folder)}

        def work(worker: Worker) -> None:
            self._load(worker, key, model.source, model, limits=bounds)
            answer = worker.exchange(order, timeout_s=bounds.load_timeout_s, memory_bytes=bounds.memory_bytes)
            _accepted(worker, answer, status="shown")

        self.pool.attempt(key, work)

    def close(self) -> None:
        """Kills every worker; runs under way raise `EngineError`. Idempotent."""
        self.pool.close()
        if self._own is not None:
            self._own.close()

    def __enter__(self) -> ProgramEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _key_of(self, model: IdentifiedModel) -> str:
        with self._lock:
            known = self._keys.get(model.model_id)
        return self._key(model.source) if known is None else known

    def _key(self, source: ModelSource) -> str:
        digest = hashlib.sha256(source.artifact).hexdigest()
        return json.dumps([digest, source_to_json(source), self._threads], sort_keys=True)

    def _load(
        self, worker: Worker, key: str, source: ModelSource, model: IdentifiedModel | None, *, limits: RunLimits
    ) -> IdentifiedModel:
        expected = None if model is None else model.model_id.hex()
        header = {**source_to_json(source), "threads": self._threads, "model_id": expected}
        answer = _accepted(worker, self.pool.load(worker, key, header, source.artifact, limits=limits), status="loaded")
        try:
            return identified_from_json(answer.header, source)
        except (KeyError, TypeError, ValueError) as error:
            raise RunFailed("the worker described the model in a way that cannot be read") from error


def _welcome(header: dict[str, Any]) -> None:
    if header.get("status") != "ready":
        raise error_from_json(header)


def _accepted(worker: Worker, answer: Message, *, status: str) -> Message:
    """The answer, when it says ``status``; raises the error that it tells of."""
    found = answer.header.get("status")
    if found == status:
        return answer
    if found == "memory":
        # What a failed allocation leaves behind is not known to be sound.
        worker.close()
        raise RunOutOfMemory(str(answer.header.get("detail")))
    error: SwornError = error_from_json(answer.header)
    raise error


def _run_of(model: IdentifiedModel, answer: Message) -> Run:
    try:
        entries = zip(answer.header["tensors"], answer.blobs, strict=True)
        outputs = dict(unpack_tensor(entry, blob) for entry, blob in entries)
        root = bytes.fromhex(answer.header["trace_root"]) or ZERO_HASH
    except (KeyError, TypeError, ValueError) as error:
        raise RunFailed("the worker gave outputs that cannot be read") from error
    return Run(outputs=checked_outputs(model.schema, outputs), trace_root=root)
