"""Folders of processes that may be killed at any time: whoever makes one removes those whose owners are gone."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

_PREFIX: Final = "sworn-outpost-"
_LOCK: Final = "lock"
#: A folder that is younger may have an owner who has not locked it yet.
_FRESH_S: Final = 60.0


class Scratch:
    """A folder of this process, locked as long as it lives: the kernel lets go of the lock however it ends."""

    def __init__(self) -> None:
        sweep(Path(tempfile.gettempdir()))
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX))
        self._lock: int | None = os.open(self.path / _LOCK, os.O_CREAT | os.O_RDWR | getattr(os, "O_CLOEXEC", 0), 0o600)
        _is_ours(self._lock)

    def close(self) -> None:
        """Removes the folder; idempotent."""
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)
            shutil.rmtree(self.path, ignore_errors=True)


def sweep(place: Path) -> None:
    """Removes folders in a place whose owners have ended; those of other users are left alone."""
    if sys.platform == "win32":
        return
    for folder in place.glob(_PREFIX + "*"):
        with suppress(OSError):
            # SAFETY: a place for everybody's temporary files may hold anything under this name.
            facts = folder.lstat()
            if facts.st_uid != os.getuid() or time.time() - facts.st_mtime < _FRESH_S:
                continue
            lock = os.open(folder / _LOCK, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                if _is_ours(lock):
                    shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)


def _is_ours(lock: int) -> bool:
    """Whether nobody else holds a lock, which is then held here as long as the file is open."""
    if sys.platform == "win32":
        return False
    import fcntl

    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
