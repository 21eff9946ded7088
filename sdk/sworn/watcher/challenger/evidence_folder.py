"""The folder in which challengers keep traces: which files are ours, and who may clear them away."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Final

from sworn.errors import ConfigurationError

#: Of folders of runs under way.
RUN_PREFIX: Final = "sworn-run-"
#: What challengers name their files, and what they write before it has its name.
_OURS: Final = re.compile(rf"[0-9a-f]{{64}}\.(trace|own)|\.partial-[a-z0-9_]{{8}}|{RUN_PREFIX}[a-z0-9_]{{8}}")


class EvidenceFolder:
    """A folder that several processes may use, replicas for one, and that may hold other things besides.

    Every process has a share of its lock until it ends, so whoever gets all of it is alone.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None

    def clear(self, needed: Collection[Path]) -> None:
        """Makes the folder, or removes what processes that are gone have left in it, but what is ``needed``.

        SAFETY: nothing is removed beside another challenger, and nothing that has another name than ours. Raises
        `ConfigurationError` for a folder that cannot be used.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if self._enter():
                self._remove(needed)
                self._share()
        except OSError as error:
            raise ConfigurationError(f"traces cannot be kept in {self.path}: {error.strerror}") from error

    def close(self) -> None:
        """Gives up the share; idempotent."""
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)

    def __del__(self) -> None:
        self.close()

    def _enter(self) -> bool:
        """Takes a share of the lock; whether nobody else has one."""
        if sys.platform == "win32":
            return False
        import fcntl

        if self._lock is None:
            self._lock = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._share()
            return False
        return True

    def _share(self) -> None:
        if sys.platform != "win32" and self._lock is not None:
            import fcntl

            # While another one clears the folder this waits: it takes as long as removing some files.
            fcntl.flock(self._lock, fcntl.LOCK_SH)

    def _remove(self, needed: Collection[Path]) -> None:
        for path in self.path.iterdir():
            if path in needed or not _OURS.fullmatch(path.name):
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
