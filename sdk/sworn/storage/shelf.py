"""The directory behind the artifact cache: files by sha256, whole and verified or absent, the oldest making room."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from sworn.errors import ArtifactCorrupt, ArtifactError, ArtifactTooLarge
from sworn.storage.files import open_regular
from sworn.storage.pins import Pins

#: Seconds for which what was just fetched or read stays, so that nobody loses it between fetching and reading.
GRACE_S: Final = 60.0
#: Files of writers that were killed; none writes for so long.
_ABANDONED_S: Final = 86_400.0
_PARTIAL: Final = ".partial-"
_NAME: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One cached artifact."""

    artifact_hash: bytes
    size: int
    #: Unix seconds.
    used_at: float
    #: Who has pinned it.
    holders: tuple[str, ...]


class Shelf:
    """``<root>/<first two hex digits>/<sha256 in hex>``, shared by any number of processes.

    ``max_bytes`` limits one artifact; ``limit_bytes`` all of them, None = no limit. The one that has not been used for
    the longest time goes first; pinned ones, and those used within the last minute, do not go.
    """

    def __init__(
        self, root: Path, *, max_bytes: int, limit_bytes: int | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self.pins = Pins(root)
        self._root = root
        self._max_bytes = max_bytes
        self._limit_bytes = limit_bytes
        self._clock = clock

    def path(self, artifact_hash: bytes) -> Path:
        """Where an artifact lies, if it is there."""
        name = artifact_hash.hex()
        return self._root / name[:2] / name

    def read(self, artifact_hash: bytes) -> bytes | None:
        """The artifact, verified; None when it is not here.

        Raises `ArtifactCorrupt` for a damaged copy, which is removed, `ArtifactTooLarge`, and plain `ArtifactError`
        when the directory cannot be used.
        """
        path = self.path(artifact_hash)
        try:
            with open_regular(path) as file:
                artifact = file.read(self._max_bytes + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unusable(error) from error
        if len(artifact) > self._max_bytes:
            raise ArtifactTooLarge(f"the cached copy has more than {self._max_bytes} bytes")
        if hashlib.sha256(artifact).digest() == artifact_hash:
            self._touch(path)
            return artifact
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise self._unusable(error) from error
        raise ArtifactCorrupt("the cached copy was damaged and has been removed")

    def write(self, chunks: Iterable[bytes], artifact_hash: bytes, *, label: str) -> None:
        """Streams an artifact into its place, verified, and makes room.

        Raises `ArtifactCorrupt`, `ArtifactTooLarge`, and plain `ArtifactError` when the directory cannot be used.
        """
        target = self.path(artifact_hash)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=_PARTIAL, dir=target.parent)
            try:
                with os.fdopen(handle, "wb") as file:
                    self._copy(chunks, file, artifact_hash, label=label)
                    file.flush()
                    os.fsync(file.fileno())
                # The time by which room is made, set before anybody else can see the file.
                self._touch(Path(name))
                Path(name).replace(target)
            finally:
                Path(name).unlink(missing_ok=True)
            _sync_directory(target.parent)
        except OSError as error:
            raise self._unusable(error) from error
        self.make_room()

    def entries(self) -> tuple[Entry, ...]:
        """Everything that is cached, the one that was used last first. Raises `ArtifactError`."""
        holders = self.pins.holders()
        found = [
            Entry(
                artifact_hash=artifact_hash,
                size=status.st_size,
                used_at=status.st_atime,
                holders=tuple(name for name, pinned in holders.items() if artifact_hash in pinned),
            )
            for artifact_hash, status in self._files()
        ]
        return tuple(sorted(found, key=lambda entry: (-entry.used_at, entry.artifact_hash)))

    def make_room(self) -> tuple[Entry, ...]:
        """Removes what is over the limit, and returns it. Raises `ArtifactError`."""
        if self._limit_bytes is None:
            return ()
        # INVARIANT: pins are read and files removed under one lock, so that nothing goes that was pinned before.
        with self.pins.locked():
            self._sweep()
            entries = self.entries()
            excess = sum(entry.size for entry in entries) - self._limit_bytes
            removed: list[Entry] = []
            for entry in reversed(entries):
                if excess <= 0:
                    break
                if entry.holders or entry.used_at > self._clock() - GRACE_S:
                    continue
                try:
                    self.path(entry.artifact_hash).unlink(missing_ok=True)
                except OSError as error:
                    raise self._unusable(error) from error
                excess -= entry.size
                removed.append(entry)
        return tuple(removed)

    def _files(self) -> Iterator[tuple[bytes, os.stat_result]]:
        try:
            paths = list(self._root.glob("[0-9a-f][0-9a-f]/*"))
        except OSError as error:
            raise self._unusable(error) from error
        for path in paths:
            if not _NAME.fullmatch(path.name):
                continue
            # Another process may remove it at any time.
            with suppress(FileNotFoundError):
                yield bytes.fromhex(path.name), path.lstat()

    def _sweep(self) -> None:
        for path in self._root.glob(f"[0-9a-f][0-9a-f]/{_PARTIAL}*"):
            with suppress(OSError):
                if path.lstat().st_mtime < self._clock() - _ABANDONED_S:
                    path.unlink()

    def _touch(self, path: Path) -> None:
        # Set by hand, because most file systems are mounted so that reading does not set it. A cache that others own
        # and that can only be read is still a cache.
        with suppress(OSError):
            os.utime(path, (self._clock(), path.lstat().st_mtime))

    def _copy(self, chunks: Iterable[bytes], file: BinaryIO, artifact_hash: bytes, *, label: str) -> None:
        size = 0
        digest = hashlib.sha256()
        for chunk in chunks:
            size += len(chunk)
            if size > self._max_bytes:
                raise ArtifactTooLarge(f"{label}: more than {self._max_bytes} bytes")
            digest.update(chunk)
            file.write(chunk)
        # INVARIANT: a file under a hash's name has that hash.
        if digest.digest() != artifact_hash:
            raise ArtifactCorrupt(f"{label}: {size} bytes with sha256 {digest.hexdigest()}")

    def _unusable(self, error: OSError) -> ArtifactError:
        return ArtifactError(f"the artifact cache at {self._root} cannot be used: {error}")


def _sync_directory(path: Path) -> None:
    if os.name != "posix":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
