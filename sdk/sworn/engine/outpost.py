"""A worker process on another machine, and the files that it writes, for an owner who is far away.

Whatever happens is told as data: nothing that a model does becomes an exception of the way between the machines.
"""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sworn.engine.process import Processes, ProcessWorker
from sworn.engine.scratch import Scratch
from sworn.engine.workers import Post, WorkerDied
from sworn.errors import EngineError, RunOutOfMemory, RunTimedOut

#: Fields of an order that name a place to write to; here it is another place.
PLACES: Final = ("trace_file", "folder")
_NAME: Final = "written"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A message for the worker process, with its limits; one object, as Ray wraps each argument by itself."""

    header: dict[str, Any]
    #: Arrays of bytes, which Ray copies once; bytes it pickles before.
    blobs: tuple[NDArray[np.uint8], ...]
    timeout_s: float
    memory_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came of an order."""

    #: "answered", or why there is no answer: "timeout", "memory", "died", "failed".
    outcome: str
    detail: str = ""
    header: dict[str, Any] = field(default_factory=dict)
    blobs: tuple[NDArray[np.uint8], ...] = ()
    #: Names and sizes of the files that were written, in the order in which they were.
    files: tuple[tuple[str, int], ...] = ()
    pid: int | None = None
    used_bytes: int = 0
    #: What a process that has just been started says of itself.
    greeting: dict[str, Any] | None = None


def code_digest() -> str:
    """A digest of the sources of the whole package: machines that have the same one mean the same by every message."""
    package = Path(__file__).resolve().parent.parent
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(package).as_posix()} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:16]


class Outpost:
    """One worker process, started when it is first needed and again after it was killed."""

    def __init__(self, program: str, capacity: int, start_timeout_s: float) -> None:
        """``program`` is the name of a file of this package."""
        self._processes = Processes()
        self._greeting: dict[str, Any] | None = None
        self._post = Post(
            program=Path(__file__).with_name(Path(program).name),
            capacity=capacity,
            welcome=self._greeted,
            start_timeout_s=start_timeout_s,
        )
        self._worker: ProcessWorker | None = None
        self._scratch = Scratch()

    def code(self) -> str:
        """What is installed here, as `code_digest` says it."""
        return code_digest()

    def start(self) -> Reply:
        """Starts the process unless it runs."""
        try:
            self._ready()
        except EngineError as error:
            return Reply(outcome="failed", detail=str(error))
        return self._reply("answered")

    def exchange(self, order: Order) -> Reply:
        """Passes an order on, with its limits; what it has to write lies here until the next one."""
        place = self._scratch.path / _NAME
        _clear(place)
        header = {**order.header, **{name: str(place) for name in PLACES if order.header.get(name) is not None}}
        try:
            answer = self._ready().exchange(
                header,
                [blob.data for blob in order.blobs],
                timeout_s=order.timeout_s,
                memory_bytes=order.memory_bytes,
            )
        except RunTimedOut as error:
            return self._reply("timeout", detail=str(error))
        except RunOutOfMemory as error:
            return self._reply("memory", detail=str(error))
        except WorkerDied as error:
            return self._reply("died", detail=str(error))
        except EngineError as error:
            return self._reply("failed", detail=str(error))
        blobs = tuple(np.frombuffer(blob, dtype=np.uint8) for blob in answer.blobs)
        return self._reply("answered", header=answer.header, blobs=blobs, files=_written(place))

    def read(self, name: str, offset: int, size: int) -> bytes:
        """A part of a file that the last order has written."""
        place = self._scratch.path / _NAME
        path = place if not name else place / Path(name).name
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(size)

    def close(self) -> None:
        """Ends the process and removes what it wrote. An owner who kills the keeper instead leaves that to others."""
        if self._worker is not None:
            self._worker.release()
        self._processes.close()
        self._scratch.close()

    def _ready(self) -> ProcessWorker:
        if self._worker is not None and not self._worker.is_usable:
            self._worker.release()
            self._worker = None
        if self._worker is None:
            self._worker = self._processes.hire(self._post)
        self._worker.start()
        return self._worker

    def _greeted(self, greeting: dict[str, Any]) -> None:
        self._greeting = greeting

    def _reply(self, outcome: str, **facts: Any) -> Reply:
        greeting, self._greeting = self._greeting, None
        worker = self._worker
        return Reply(
            outcome=outcome,
            pid=None if worker is None else worker.pid,
            used_bytes=0 if worker is None else worker.used_bytes(),
            greeting=greeting,
            **facts,
        )


def _written(place: Path) -> tuple[tuple[str, int], ...]:
    if place.is_file():
        return (("", place.stat().st_size),)
    if not place.is_dir():
        return ()
    files = sorted(place.iterdir(), key=lambda path: path.stat().st_mtime_ns)
    return tuple((path.name, path.stat().st_size) for path in files if path.is_file())


def _clear(place: Path) -> None:
    if place.is_dir():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)
