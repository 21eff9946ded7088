"""Traces of runs whose results have been sworn: what the operator defends them with, for as long as it may have to."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final, Protocol
from uuid import uuid4

from sworn.errors import TraceError
from sworn.types import ModelId, RequestId

_NAME: Final = re.compile(r"([0-9a-f]{64})-([0-9a-f]{64})\.trace")
#: Runs under way write here, each replica in a folder of its own; nothing has been sworn about them yet.
_DRAFTS: Final = "drafts"
#: Seconds without a write after which no run is under way any more: twice the longest that one may take.
_DRAFT_S: Final = 7_200.0
#: What the folder calls itself, so that replicas notice whether they share it.
_IDENTITY: Final = ".identity"
#: Models as challengers are shown them.
_MODELS: Final = "models"
#: Files hold the hash trees too: so much more, and a little for tables.
_OVERHEAD: Final = 16
_TABLES_BYTES: Final = 1 << 20
#: The part of the bound, and as much of the disk, that is left to runs for defences, which ask nobody for room. The
#: database is often on the same disk.
_KEPT_BACK: Final = 10
NONE_UNDER_WAY: Final[Mapping[RequestId, int]] = MappingProxyType({})


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

    def age_s(self, trace: KeptTrace) -> float:
        """Seconds since the run of a trace ended, by the file system's clock; 0 where the trace is not here."""
        ...

    def sweep_drafts(self) -> None:
        """Removes what runs of dead replicas have begun."""
        ...

    def drop(self, trace: KeptTrace) -> None:
        """Removes a trace."""
        ...

    def has_room(self, trace_bytes: int, *, under_way: Mapping[RequestId, int] = NONE_UNDER_WAY) -> bool:
        """Whether the values of one more run fit, besides those of runs that have begun, of so many bytes each."""
        ...

    def exhibit(self, model_id: ModelId) -> Path:
        """Where a model lies as challengers are shown it; nothing need be there."""
        ...


class FileTraceStore:
    """A `TraceStore` in a folder that replicas may share: a file per result, named by request and trace root.

    ``max_total_bytes`` bounds all of them together. What a watcher of the name ``replica`` had begun when it was killed
    is removed; two that live have different names.
    """

    def __init__(self, folder: Path, *, max_total_bytes: int, replica: str = "alone") -> None:
        """Makes the folder. Raises `TraceError`."""
        self._folder = folder
        self._drafts = folder / _DRAFTS / replica
        self._max_total_bytes = max_total_bytes
        with _translated("opened"):
            shutil.rmtree(self._drafts, ignore_errors=True)
            self._drafts.mkdir(parents=True)

    def identity(self) -> str:
        """What the folder calls itself: the same for all who share it, another one for every other folder."""
        path = self._folder / _IDENTITY
        with _translated("opened"):
            # The first one to link its own name in wins, and everybody reads that.
            draft = self._drafts / _IDENTITY
            draft.write_text(uuid4().hex)
            with suppress(FileExistsError):
                path.hardlink_to(draft)
            draft.unlink()
            return path.read_text()

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

    def age_s(self, trace: KeptTrace) -> float:
        """By modification times alone: the machines that share the folder need not agree on the time."""
        with _translated("read"):
            return self._age_s(self._path(trace))

    def sweep_drafts(self) -> None:
        """Removes drafts of others that nobody has written to for longer than any run takes."""
        with _translated("removed"):
            for replica in self._drafts.parent.iterdir():
                for draft in replica.iterdir() if replica != self._drafts else ():
                    if min(map(self._age_s, (draft, *_below(draft)))) > _DRAFT_S:
                        _remove(draft)

    def drop(self, trace: KeptTrace) -> None:
        """Removes a trace's file, if it is there."""
        with _translated("removed"):
            self._path(trace).unlink(missing_ok=True)

    def has_room(self, trace_bytes: int, *, under_way: Mapping[RequestId, int] = NONE_UNDER_WAY) -> bool:
        """Whether one more trace fits the bound and the disk, with a tenth of the bound left for defences."""
        with _translated("read"):
            written = {name: sum(map(_size, _below(self._drafts / name.hex()))) for name in under_way}
            used = sum(map(_size, _below(self._folder)))
            free = shutil.disk_usage(self._folder).free
        # INVARIANT: what has been promised to runs that have begun is never promised again.
        coming = _whole(trace_bytes) + sum(max(0, _whole(size) - written[name]) for name, size in under_way.items())
        kept_back = self._max_total_bytes // _KEPT_BACK
        return used + coming + kept_back <= self._max_total_bytes and coming + kept_back <= free

    def exhibit(self, model_id: ModelId) -> Path:
        """A folder of the model's own."""
        return self._folder / _MODELS / model_id.hex()

    def _age_s(self, path: Path) -> float:
        """Seconds since a file was written, by the clock that stamps files; 0 for one that is gone."""
        now = self._drafts / ".now"
        now.touch()
        try:
            return now.stat().st_mtime - path.stat().st_mtime
        except FileNotFoundError:
            return 0.0

    def _path(self, trace: KeptTrace) -> Path:
        return self._folder / f"{trace.request_id.hex()}-{trace.trace_root.hex()}.trace"


def _whole(trace_bytes: int) -> int:
    """Bytes of the file of a trace, at most."""
    return trace_bytes + trace_bytes // _OVERHEAD + _TABLES_BYTES


def _below(folder: Path) -> Iterator[Path]:
    """Every file below a folder; what another replica removes meanwhile is left out."""
    for place, _, names in os.walk(folder):
        yield from (Path(place, name) for name in names)


def _size(path: Path) -> int:
    """Of a file that another replica may be removing."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _remove(path: Path) -> None:
    """Removes a file or a folder, unless somebody else does."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


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
