"""Traces of runs whose results have been sworn: what the operator defends them with, for as long as it may have to."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from sworn.errors import TraceError
from sworn.types import ModelId, RequestId

_NAME: Final = re.compile(r"([0-9a-f]{64})-([0-9a-f]{64})\.trace")
#: Runs under way write here; nothing has been sworn about them yet.
_DRAFTS: Final = "drafts"
#: Models as challengers are shown them.
_MODELS: Final = "models"
_OVERHEAD: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptTrace:
    """The trace of one run for one request."""

    request_id: RequestId
    trace_root: bytes


class TraceStore(Protocol):
    """Keeps trace files. All methods raise `TraceError`."""

    def draft(self, request_id: RequestId) -> Path:
        """A path at which nothing lies, for the run that is about to be traced."""
        ...

    def keep(self, trace: KeptTrace, draft: Path) -> None:
        """Makes a finished draft the request's trace; durable when this returns. The same trace again is fine."""
        ...

    def discard(self, draft: Path) -> None:
        """Removes a draft and what was begun of it, if anything is there."""
        ...

    def find(self, trace: KeptTrace) -> Path | None:
        """The file of a trace, for `sworn.model.trace_file.TraceFile`; None when it is not here."""
        ...

    def kept(self) -> tuple[KeptTrace, ...]:
        """Every trace that is here."""
        ...

    def drop(self, trace: KeptTrace) -> None:
        """Removes a trace."""
        ...

    def has_room(self, trace_bytes: int) -> bool:
        """Whether the values of one more run fit."""
        ...

    def exhibit(self, model_id: ModelId) -> Path:
        """Where a model lies as challengers are shown it; nothing need be there."""
        ...


class FileTraceStore:
    """A `TraceStore` in a folder of one watcher: a file per result, named by request and trace root.

    ``max_total_bytes`` bounds all of them together. What a watcher that was killed had begun is removed.
    """

    def __init__(self, folder: Path, *, max_total_bytes: int) -> None:
        """Makes the folder. Raises `TraceError`."""
        self._folder = folder
        self._drafts = folder / _DRAFTS
        self._max_total_bytes = max_total_bytes
        with _translated("opened"):
            self._drafts.mkdir(parents=True, exist_ok=True)
            for left in self._drafts.iterdir():
                shutil.rmtree(left)

    def draft(self, request_id: RequestId) -> Path:
        """A path in a folder of its own, where nothing of an earlier run is left, in the same file system."""
        path = self._drafts / request_id.hex() / "trace"
        self.discard(path)
        with _translated("begun"):
            path.parent.mkdir()
        return path

    def keep(self, trace: KeptTrace, draft: Path) -> None:
        """Renames the draft."""
        with _translated("kept"):
            # INVARIANT: the name holds the root, so that no other run's trace ever takes the place of a sworn one.
            draft.replace(self._path(trace))
            _sync(self._folder)
        self.discard(draft)

    def discard(self, draft: Path) -> None:
        """Removes a draft's folder, with whatever a worker that was killed has left there."""
        with _translated("removed"):
            if draft.parent.exists():
                shutil.rmtree(draft.parent)

    def find(self, trace: KeptTrace) -> Path | None:
        """The file of a trace."""
        path = self._path(trace)
        with _translated("read"):
            return path if path.is_file() else None

    def kept(self) -> tuple[KeptTrace, ...]:
        """Every trace in the folder, by name."""
        with _translated("read"):
            names = sorted(path.name for path in self._folder.iterdir())
        return tuple(
            KeptTrace(request_id=RequestId(bytes.fromhex(match[1])), trace_root=bytes.fromhex(match[2]))
            for name in names
            if (match := _NAME.fullmatch(name))
        )

    def drop(self, trace: KeptTrace) -> None:
        """Removes a trace's file, if it is there."""
        with _translated("removed"):
            self._path(trace).unlink(missing_ok=True)

    def has_room(self, trace_bytes: int) -> bool:
        """Whether one more trace fits the bound and the disk; files hold the hash trees too, a sixteenth more."""
        needed = trace_bytes + trace_bytes // _OVERHEAD + (1 << 20)
        with _translated("read"):
            used = sum(path.stat().st_size for path in self._folder.rglob("*") if path.is_file())
            free = shutil.disk_usage(self._folder).free
        return used + needed <= self._max_total_bytes and needed <= free

    def exhibit(self, model_id: ModelId) -> Path:
        """A folder of the model's own."""
        return self._folder / _MODELS / model_id.hex()

    def _path(self, trace: KeptTrace) -> Path:
        return self._folder / f"{trace.request_id.hex()}-{trace.trace_root.hex()}.trace"


@contextmanager
def _translated(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TraceError(f"traces cannot be {what}: {error.strerror}") from error


def _sync(folder: Path) -> None:
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
