"""Files that ought to stay as they were when they were loaded."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

#: Size and time of change: while they stay, the content is not read again.
_Stamp = tuple[int, int]


class SealedFiles:
    """Remembers what files held, and says which hold something else now. Used by one thread at a time."""

    def __init__(self, files: Iterable[Path] = ()) -> None:
        self._seals = {path: (_stamp(path), _digest(path)) for path in files}

    def changed(self) -> tuple[Path, ...]:
        """The files that are gone, or hold something else."""
        changed = []
        for path, (stamp, digest) in self._seals.items():
            now = _stamp(path)
            if now == stamp:
                continue
            if now is None or _digest(path) != digest:
                changed.append(path)
            else:
                self._seals[path] = (now, digest)
        return tuple(changed)


def _stamp(path: Path) -> _Stamp | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return (stat.st_size, stat.st_mtime_ns)


def _digest(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError:
        return None
