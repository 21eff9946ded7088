"""One worker process as its owner sees it: started when first needed, watched while it works, killed when it errs."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import psutil

from sworn.engine.worker import Message, MessageTooLarge, read_message, write_message
from sworn.errors import EngineError, RunOutOfMemory, RunTimedOut

Clock = Callable[[], float]
#: Looks at a worker's first message, which says what it can do. Raises `ConfigurationError` when that is not enough.
Welcome = Callable[[dict[str, Any]], None]

#: Python, numpy and onnxruntime load in half a second; a starved machine may need this long.
START_TIMEOUT_S = 60.0
_START_MEMORY_BYTES = 4 << 30
#: Memory can outgrow its limit by what is touched in this time, about 20 MB at the speed of one core.
_WATCH_INTERVAL_S = 0.02
#: A process whose pipe has closed is about to end; its exit status is worth this wait.
_END_TIMEOUT_S = 1.0
#: What loaders, drivers and temporary files need; everything else, secrets above all, stays out of the worker.
_ENVIRONMENT_NAMES = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "TMPDIR", "TEMP", "TMP", "LANG")
_ENVIRONMENT_PREFIXES = ("NUMBA_CACHE_", "CUDA_", "NVIDIA_", "ROCM_", "HIP_", "LC_")


class WorkerDied(Exception):
    """The process ended in the middle of an exchange without having broken a limit."""


class _Process:
    """A started process, its pipes and its memory; raises `EngineError` when it does not start."""

    def __init__(self, *, program: Path, capacity: int) -> None:
        try:
            self.handle = subprocess.Popen(
                [sys.executable, "-P", str(program), str(capacity)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=_environment(),
            )
            self._probe = psutil.Process(self.handle.pid)
        except (OSError, psutil.Error) as error:
            raise EngineError("a worker process could not be started") from error
        if self.handle.stdin is None or self.handle.stdout is None:
            raise EngineError("a worker process has no pipes")
        self.requests: IO[bytes] = self.handle.stdin
        self.answers: IO[bytes] = self.handle.stdout

    def used_bytes(self) -> int:
        """Resident memory; 0 once the process has ended."""
        try:
            return int(self._probe.memory_info().rss)
        except psutil.Error:
            return 0

    def exit_status(self) -> int | None:
        """Waits for the end of a process whose pipe has closed; None when it does not come."""
        try:
            return self.handle.wait(timeout=_END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            return None

    def end(self) -> None:
        """Kills it and waits for its end."""
        self.handle.kill()
        self.handle.wait()


class _Watch:
    """Kills a process that outlives its deadline or outgrows its memory, and remembers which."""

    def __init__(self, process: _Process, *, timeout_s: float, memory_bytes: int, clock: Clock) -> None:
        self._process = process
        self._clock = clock
        self._deadline = clock() + timeout_s
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="sworn-engine-watch", daemon=True)
        self._timeout_s = timeout_s
        self._memory_bytes = memory_bytes
        self._ceiling_bytes = memory_bytes + process.used_bytes()
        self.broken: EngineError | None = None

    def __enter__(self) -> _Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(min(_WATCH_INTERVAL_S, max(self._deadline - self._clock(), 0.0))):
            if self._clock() >= self._deadline:
                self.broken = RunTimedOut(f"not done after {self._timeout_s:g} s")
            elif self._process.used_bytes() > self._ceiling_bytes:
                self.broken = RunOutOfMemory(f"more than {self._memory_bytes} bytes of memory")
            if self.broken is not None:
                self._process.handle.kill()
                return


class Worker:
    """A process that holds prepared models; `start` brings it up, and after `close` it stays down.

    It runs ``program``, a file that speaks the messages of `worker` and keeps ``capacity`` models. One thread at a time
    may exchange messages with it; any thread may close it.
    """

    def __init__(
        self, *, program: Path, capacity: int, clock: Clock, welcome: Welcome, start_timeout_s: float = START_TIMEOUT_S
    ) -> None:
        self._program = program
        self._start_timeout_s = start_timeout_s
        self._capacity = capacity
        self._clock = clock
        self._welcome = welcome
        self._process: _Process | None = None
        self._is_closed = False
        self._lock = threading.Lock()
        #: Keys of the models that it has prepared, whether or not they are still cached.
        self.keys: set[str] = set()

    @property
    def pid(self) -> int | None:
        """Process id, or None before `start`."""
        return None if self._process is None else self._process.handle.pid

    @property
    def is_usable(self) -> bool:
        """Whether it may serve another exchange."""
        return not self._is_closed and (self._process is None or self._process.handle.poll() is None)

    def start(self) -> None:
        """Starts the process unless it runs; raises `EngineError`, or what its welcome raises."""
        if self._process is not None:
            return
        with self._sound():
            process = self._spawn()
            try:
                with self._start_watch(process):
                    header = read_message(process.answers).header
            except (EOFError, OSError, ValueError, MessageTooLarge) as error:
                status = process.exit_status()
                raise EngineError(f"a worker process could not be started (exit status {status})") from error
            if header.get("status") == "unavailable":
                raise EngineError(f"a worker process could not be started: {header.get('detail')}")
            self._welcome(header)

    def exchange(
        self,
        header: dict[str, Any],
        blobs: Sequence[bytes | memoryview] = (),
        *,
        timeout_s: float,
        memory_bytes: int,
    ) -> Message:
        """Sends a message and returns the answer; raises `RunTimedOut`, `RunOutOfMemory` or `WorkerDied`."""
        process = self._process
        if process is None:
            raise WorkerDied("not started")
        limits = {"timeout_s": timeout_s, "memory_bytes": memory_bytes}
        watch = _Watch(process, timeout_s=timeout_s, memory_bytes=memory_bytes, clock=self._clock)
        with self._sound():
            try:
                with watch:
                    write_message(process.requests, {**header, **limits}, blobs)
                    answer = read_message(process.answers, max_bytes=memory_bytes)
            except MessageTooLarge as error:
                raise RunOutOfMemory(f"a message is too large: {error}") from error
            except (EOFError, OSError, ValueError) as error:
                if watch.broken is not None:
                    raise watch.broken from error
                raise WorkerDied(f"exit status {process.exit_status()}") from error
            if watch.broken is not None:
                raise watch.broken
            return answer

    def close(self) -> None:
        """Kills the process and waits for its end; idempotent."""
        with self._lock:
            self._is_closed = True
            process = self._process
        if process is not None:
            process.end()

    def release(self) -> None:
        """Closes the process and its pipes; only for the thread that exchanges messages with it."""
        self.close()
        if self._process is None:
            return
        for pipe in (self._process.requests, self._process.answers):
            # What the dead process never read is flushed into a broken pipe.
            with contextlib.suppress(OSError):
                pipe.close()

    @contextlib.contextmanager
    def _sound(self) -> Iterator[None]:
        # INVARIANT: a worker lives on only when its last answer was read in full; the next exchange would read the rest
        is_sound = False
        try:
            yield
            is_sound = True
        finally:
            if not is_sound:
                self.close()

    def _start_watch(self, process: _Process) -> _Watch:
        timeout_s = self._start_timeout_s
        return _Watch(process, timeout_s=timeout_s, memory_bytes=_START_MEMORY_BYTES, clock=self._clock)

    def _spawn(self) -> _Process:
        with self._lock:
            if self._is_closed:
                raise EngineError("the engine is closed")
            self._process = _Process(program=self._program, capacity=self._capacity)
            return self._process


def _environment() -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in _ENVIRONMENT_NAMES or name.startswith(_ENVIRONMENT_PREFIXES)
    }
    return {**kept, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
