"""Worker processes of one kind: lent out one run at a time, replaced when they were killed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from sworn.engine.process import START_TIMEOUT_S, Clock, Welcome, Worker, WorkerDied
from sworn.engine.protocol import RunLimits
from sworn.engine.worker import Message
from sworn.errors import EngineError, RunFailed

#: Each with the whole time limit. A stranger may have killed a worker that dies; a model that kills two is to blame.
_ATTEMPTS = 2

_Value = TypeVar("_Value")


class WorkerPool:
    """At most ``workers`` processes, each started by the first run that needs it; safe for many threads."""

    def __init__(
        self,
        *,
        program: Path,
        workers: int,
        capacity: int,
        clock: Clock,
        welcome: Welcome,
        start_timeout_s: float = START_TIMEOUT_S,
    ) -> None:
        self._program = program
        self._start_timeout_s = start_timeout_s
        self._capacity = capacity
        self._clock = clock
        self._welcome = welcome
        self._lock = threading.Lock()
        self._slots = threading.BoundedSemaphore(workers)
        self._idle: list[Worker] = []
        self._busy: set[Worker] = set()
        self._is_closed = False
        self._loads = 0

    @property
    def loads(self) -> int:
        """How often a model was loaded rather than found in a worker's cache."""
        return self._loads

    @property
    def pids(self) -> tuple[int, ...]:
        """Process ids of the workers that have been started."""
        with self._lock:
            return tuple(worker.pid for worker in (*self._idle, *self._busy) if worker.pid is not None)

    def attempt(self, key: str, work: Callable[[Worker], _Value]) -> _Value:
        """What ``work`` makes of a worker, by preference one that has the model ``key``; tried again when it dies.

        Waits for a free worker, which no limit counts. Raises what ``work`` raises, `RunFailed` when workers die of it,
        and `EngineError` when the pool is closed or no worker starts.
        """
        for _ in range(_ATTEMPTS):
            with self._lease(key) as worker:
                try:
                    worker.start()
                    return work(worker)
                except WorkerDied as error:
                    death = error
            if self._is_closed:
                raise EngineError("the engine was closed during the run") from death
        raise RunFailed(f"the model crashed {_ATTEMPTS} workers ({death})") from death

    def load(self, worker: Worker, key: str, header: dict[str, Any], artifact: bytes, *, limits: RunLimits) -> Message:
        """Has a worker prepare a model unless it has it; the artifact travels only when it is needed."""
        order = {"operation": "load", "key": key, **header}
        exchange = partial(worker.exchange, timeout_s=limits.load_timeout_s, memory_bytes=limits.memory_bytes)
        answer = exchange(order)
        if answer.header.get("status") == "needed":
            answer = exchange(order, (artifact,))
            if answer.header.get("status") == "loaded":
                with self._lock:
                    self._loads += 1
        if answer.header.get("status") == "loaded":
            worker.keys.add(key)
        return answer

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
        if self._idle:
            return self._idle.pop()
        return Worker(
            program=self._program,
            capacity=self._capacity,
            clock=self._clock,
            welcome=self._welcome,
            start_timeout_s=self._start_timeout_s,
        )

    def _give_back(self, worker: Worker) -> None:
        with self._lock:
            self._busy.discard(worker)
            is_kept = worker.is_usable and not self._is_closed
            if is_kept:
                self._idle.append(worker)
        if not is_kept:
            worker.release()
