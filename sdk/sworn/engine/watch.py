"""Looks after processes that work: whoever outlives its time or outgrows its memory is killed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

from sworn.errors import EngineError, RunOutOfMemory, RunTimedOut

Clock = Callable[[], float]

#: Memory can outgrow its limit by what is touched in this time, about 20 MB at the speed of one core.
_INTERVAL_S = 0.02
#: So many looks at nothing, and the thread rests until it is woken: one that is awake costs an exchange nothing.
_IDLE_LOOKS = 50


class Watched(Protocol):
    """A process under a limit."""

    def used_bytes(self) -> int:
        """Resident memory; 0 once the process has ended."""
        ...

    def kill(self) -> None:
        """Ends it without waiting for its end; idempotent."""
        ...


class Watch:
    """One exchange under its limits; `Watchman` makes it."""

    def __init__(self, process: Watched, *, timeout_s: float, memory_bytes: int, clock: Clock) -> None:
        self._process = process
        self._clock = clock
        self._deadline = clock() + timeout_s
        self._timeout_s = timeout_s
        self._memory_bytes = memory_bytes
        self._ceiling_bytes = memory_bytes + process.used_bytes()
        #: The limit that it broke, and for which it was killed.
        self.broken: EngineError | None = None

    def look(self) -> None:
        """Kills the process if it has broken a limit."""
        if self.broken is not None:
            return
        if self._clock() >= self._deadline:
            self.broken = RunTimedOut(f"not done after {self._timeout_s:g} s")
        elif self._process.used_bytes() > self._ceiling_bytes:
            self.broken = RunOutOfMemory(f"more than {self._memory_bytes} bytes of memory")
        if self.broken is not None:
            self._process.kill()


class Watchman:
    """One thread for all exchanges of a pool; it starts with the first one. A thread per exchange would cost more."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._watches: set[Watch] = set()
        self._wake = threading.Condition()
        self._is_resting = False
        self._is_ended = False
        self._thread: threading.Thread | None = None

    def begin(self, process: Watched, *, timeout_s: float, memory_bytes: int) -> Watch:
        """Has a process watched until `end`."""
        watch = Watch(process, timeout_s=timeout_s, memory_bytes=memory_bytes, clock=self._clock)
        with self._wake:
            self._watches.add(watch)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="sworn-engine-watch", daemon=True)
                self._thread.start()
            elif self._is_resting:
                self._wake.notify()
        return watch

    def end(self, watch: Watch) -> None:
        """Leaves a process alone; when this returns, nobody kills it any more for this watch."""
        with self._wake:
            self._watches.discard(watch)

    def dismiss(self) -> None:
        """Ends the thread once nothing is watched any more; idempotent."""
        with self._wake:
            self._is_ended = True
            self._wake.notify()

    def _work(self) -> None:
        looks = 0
        with self._wake:
            while self._watches or not self._is_ended:
                for watch in self._watches:
                    watch.look()
                looks = 0 if self._watches else looks + 1
                self._is_resting = looks > _IDLE_LOOKS
                self._wake.wait(None if self._is_resting else _INTERVAL_S)
            self._thread = None
