"""One worker process as its owner sees it: started when first needed, watched while it works, killed when it errs."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import psutil

from sworn.engine.watch import Clock, Watchman
from sworn.engine.worker import Message, MessageTooLarge, read_message, write_message
from sworn.engine.workers import Post, WorkerDied
from sworn.errors import EngineError, RunOutOfMemory

#: Python, numpy and onnxruntime load in half a second; a starved machine may need this long.
START_TIMEOUT_S = 60.0
_START_MEMORY_BYTES = 4 << 30
#: A process whose pipe has closed is about to end; its exit status is worth this wait.
_END_TIMEOUT_S = 1.0
#: What Linux lets everybody have.
_PIPE_BYTES = 1 << 20
#: What loaders, drivers and temporary files need; everything else, secrets above all, stays out of the worker.
_ENVIRONMENT_NAMES = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "TMPDIR", "TEMP", "TMP", "LANG")
_ENVIRONMENT_PREFIXES = ("NUMBA_CACHE_", "CUDA_", "NVIDIA_", "ROCM_", "HIP_", "LC_")


class _Memory:
    """Reads a process's resident memory; on Linux from a file that stays open, as every run asks twice."""

    def __init__(self, pid: int) -> None:
        self._probe = psutil.Process(pid)
        self._page_bytes = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 0
        self._file = os.open(f"/proc/{pid}/statm", os.O_RDONLY | os.O_CLOEXEC) if sys.platform == "linux" else None

    def used_bytes(self) -> int:
        """0 once the process has ended."""
        file = self._file
        try:
            if file is not None:
                return int(os.pread(file, 256, 0).split()[1]) * self._page_bytes
            return int(self._probe.memory_info().rss)
        except (OSError, IndexError, ValueError, psutil.Error):
            return 0

    def close(self) -> None:
        """Closes the file; idempotent."""
        # SAFETY: forgotten first, as its number may soon be another file's.
        file, self._file = self._file, None
        if file is not None:
            os.close(file)


class _Process:
    """A started process, its pipes and its memory; raises `EngineError` when it does not start."""

    def __init__(self, *, program: Path, capacity: int, environment: Mapping[str, str]) -> None:
        try:
            self.handle = subprocess.Popen(
                [sys.executable, "-P", str(program), str(capacity)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**_environment(), **environment},
            )
            self._memory = _Memory(self.handle.pid)
        except (OSError, psutil.Error) as error:
            raise EngineError("a worker process could not be started") from error
        if self.handle.stdin is None or self.handle.stdout is None:
            raise EngineError("a worker process has no pipes")
        self.requests: IO[bytes] = self.handle.stdin
        self.answers: IO[bytes] = self.handle.stdout
        _widen(self.requests)
        _widen(self.answers)

    def used_bytes(self) -> int:
        """Resident memory; 0 once the process has ended."""
        return self._memory.used_bytes()

    def exit_status(self) -> int | None:
        """Waits for the end of a process whose pipe has closed; None when it does not come."""
        try:
            return self.handle.wait(timeout=_END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            return None

    def kill(self) -> None:
        """Kills it."""
        self.handle.kill()

    def end(self) -> None:
        """Kills it and waits for its end."""
        self.handle.kill()
        self.handle.wait()

    def release(self) -> None:
        """Closes what leads to it, once it has ended and nobody watches it."""
        self._memory.close()
        for pipe in (self.requests, self.answers):
            # What the dead process never read is flushed into a broken pipe.
            with contextlib.suppress(OSError):
                pipe.close()


class ProcessWorker:
    """A `Worker` that is a process on this machine."""

    def __init__(self, *, post: Post, watchman: Watchman, environment: Mapping[str, str]) -> None:
        self._post = post
        self._environment = environment
        self._watchman = watchman
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
            watch = self._watchman.begin(
                process, timeout_s=self._post.start_timeout_s, memory_bytes=_START_MEMORY_BYTES
            )
            try:
                header = read_message(process.answers).header
            except (EOFError, OSError, ValueError, MessageTooLarge) as error:
                status = process.exit_status()
                raise EngineError(f"a worker process could not be started (exit status {status})") from error
            finally:
                self._watchman.end(watch)
            if header.get("status") == "unavailable":
                raise EngineError(f"a worker process could not be started: {header.get('detail')}")
            self._post.welcome(header)

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
        with self._sound():
            watch = self._watchman.begin(process, timeout_s=timeout_s, memory_bytes=memory_bytes)
            try:
                write_message(process.requests, {**header, **limits}, blobs)
                answer = read_message(process.answers, max_bytes=memory_bytes)
            except MessageTooLarge as error:
                raise RunOutOfMemory(f"a message is too large: {error}") from error
            except (EOFError, OSError, ValueError) as error:
                if watch.broken is not None:
                    raise watch.broken from error
                raise WorkerDied(f"exit status {process.exit_status()}") from error
            finally:
                self._watchman.end(watch)
            if watch.broken is not None:
                raise watch.broken
            return answer

    def used_bytes(self) -> int:
        """Resident memory of the process."""
        return 0 if self._process is None else self._process.used_bytes()

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
        self._process.release()

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

    def _spawn(self) -> _Process:
        with self._lock:
            if self._is_closed:
                raise EngineError("the engine is closed")
            self._process = _Process(
                program=self._post.program, capacity=self._post.capacity, environment=self._environment
            )
            return self._process


class Processes:
    """A `Workforce` of processes on this machine, with one watchman."""

    def __init__(self, *, cache_folder: Path | None = None, clock: Clock = time.monotonic) -> None:
        """``cache_folder`` is where numba keeps what it has compiled; None = beside the package or the user's cache."""
        self._watchman = Watchman(clock)
        self._environment = {} if cache_folder is None else {"NUMBA_CACHE_DIR": str(cache_folder.expanduser())}

    def hire(self, post: Post) -> ProcessWorker:
        """A process that starts when it is told to."""
        return ProcessWorker(post=post, watchman=self._watchman, environment=self._environment)

    def close(self) -> None:
        """Dismisses the watchman; idempotent."""
        self._watchman.dismiss()


def _widen(pipe: IO[bytes]) -> None:
    """Makes room for an image in one go: through 64 KiB, both ends would wake each other ten times."""
    if sys.platform == "linux":
        import fcntl

        # A pipe stays narrow where the administrator allows no more: slower, not wrong.
        with contextlib.suppress(OSError):
            fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


def _environment() -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in _ENVIRONMENT_NAMES or name.startswith(_ENVIRONMENT_PREFIXES)
    }
    return {**kept, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
