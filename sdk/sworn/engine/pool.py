"""Worker processes of one kind: lent out one run at a time, replaced when they were killed."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from sworn.engine.protocol import RunLimits
from sworn.engine.worker import Message
from sworn.engine.workers import Post, Welcome, Worker, WorkerDied, WorkerLost, Workforce
from sworn.errors import EngineError, WorkerCrashed

#: Each with the whole time limit. A stranger may have killed a worker that dies; a model that kills two is to blame.
_ATTEMPTS = 2

#: What forgetting a model may take: nothing is computed.
_FORGET_TIMEOUT_S = 10.0
_FORGET_MEMORY_BYTES = 1 << 30
#: Models whose last use is remembered.
_MAX_REMEMBERED = 1024

_Value = TypeVar("_Value")


class WorkerPool:
    """At most ``workers`` processes, each started by the first run that needs it; safe for many threads."""

    def __init__(
        self,
        *,
        program: Path,
        workers: int,
        capacity: int,
        welcome: Welcome,
        start_timeout_s: float,
        workforce: Workforce,
    ) -> None:
        self._program = program
        self._start_timeout_s = start_timeout_s
        self._capacity = capacity
        self._welcome = welcome
        self._workforce = workforce
        self._lock = threading.Lock()
        self._slots = threading.BoundedSemaphore(workers)
        self._idle: list[Worker] = []
        self._busy: set[Worker] = set()
        self._is_closed = False
        self._loads = 0
        self._workers = workers
        #: Held while workers are waited for one after the other: two who do that would wait for each other.
        self._gathering = threading.Lock()
        #: When each model was last asked for, and how many work with it now.
        self._last: dict[str, float] = {}
        self._at_work: Counter[str] = Counter()

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

        Waits for a free worker, which no limit counts. Raises what ``work`` raises, `WorkerCrashed` when workers die of
        it, and `EngineError` when the pool is closed, no worker starts, or the way to workers was lost.
        """
        for _ in range(_ATTEMPTS):
            with self._lease(key) as worker:
                try:
                    worker.start()
                    return work(worker)
                except (WorkerDied, WorkerLost) as error:
                    death = error
            if self._is_closed:
                raise EngineError("the engine was closed during the run") from death
        if isinstance(death, WorkerLost):
            raise EngineError(f"{_ATTEMPTS} workers were lost ({death})") from death
        raise WorkerCrashed(f"the model crashed {_ATTEMPTS} workers ({death})") from death

    def ask(
        self,
        worker: Worker,
        order: dict[str, Any],
        blobs: Sequence[bytes | memoryview],
        *,
        limits: RunLimits,
        load: Callable[[], object],
    ) -> Message:
        """The answer to an order about the model ``order["key"]``, which ``load`` prepares where it is needed.

        A worker that has the model gets one message, not two. Raises what ``load`` and an exchange raise.
        """
        exchange = partial(worker.exchange, timeout_s=limits.timeout_s, memory_bytes=limits.memory_bytes)
        if order["key"] in worker.keys:
            answer = exchange(order, blobs)
            if answer.header.get("status") != "needed":
                return answer
        load()
        return exchange(order, blobs)

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

    def everywhere(self, key: str, work: Callable[[Worker], object]) -> None:
        """Does ``work`` with every worker at once, once all are free, starting those that do not run.

        Raises what `attempt` raises, but tries nothing again.
        """
        with self._gathering, ExitStack() as leases:
            workers = [leases.enter_context(self._lease(key)) for _ in range(self._workers)]

            def begin(worker: Worker) -> None:
                try:
                    worker.start()
                    work(worker)
                except (WorkerDied, WorkerLost) as error:
                    raise EngineError(f"a worker ended while it was prepared ({error})") from error

            with ThreadPoolExecutor(max_workers=len(workers)) as threads:
                for begun in [threads.submit(begin, worker) for worker in workers]:
                    begun.result()

    def used_bytes(self) -> int:
        """Memory of all workers."""
        with self._lock:
            workers = (*self._idle, *self._busy)
        return sum(worker.used_bytes() for worker in workers)

    def resting(self) -> dict[str, float]:
        """When each model that nobody works with was last used, by key."""
        with self._lock:
            keys = {key for worker in self._idle for key in worker.keys if not self._at_work[key]}
            return {key: self._last.get(key, 0.0) for key in keys}

    def unload(self, key: str) -> bool:
        """Has workers that rest forget a model, and ends those that hold no other; whether there was any."""
        found = False
        while self._slots.acquire(blocking=False):
            try:
                with self._lock:
                    worker = next((each for each in self._idle if key in each.keys), None)
                    if worker is None:
                        return found
                    self._idle.remove(worker)
                    self._busy.add(worker)
                found = True
                self._forget(worker, key)
            finally:
                self._slots.release()
        return found

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

    def _forget(self, worker: Worker, key: str) -> None:
        try:
            worker.keys.discard(key)
            if not worker.keys:
                worker.close()
                return
            order = {"operation": "forget", "key": key}
            worker.exchange(order, timeout_s=_FORGET_TIMEOUT_S, memory_bytes=_FORGET_MEMORY_BYTES)
        except (EngineError, WorkerDied, WorkerLost):
            # It forgets everything then.
            worker.close()
        finally:
            self._give_back(worker)

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
                self._at_work[key] += 1
                self._last[key] = time.monotonic()
            yield worker
        finally:
            if worker is not None:
                self._give_back(worker, key)
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
        return self._workforce.hire(
            Post(
                program=self._program,
                capacity=self._capacity,
                welcome=self._welcome,
                start_timeout_s=self._start_timeout_s,
            )
        )

    def _give_back(self, worker: Worker, key: str | None = None) -> None:
        with self._lock:
            if key is not None:
                self._at_work[key] -= 1
                if not self._at_work[key]:
                    del self._at_work[key]
                while len(self._last) > _MAX_REMEMBERED:
                    del self._last[min(self._last, key=lambda each: self._last[each])]
            self._busy.discard(worker)
            is_kept = worker.is_usable and not self._is_closed
            if is_kept:
                self._idle.append(worker)
        if not is_kept:
            worker.release()
