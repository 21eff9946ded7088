"""Which cached artifacts must stay: named by people, and by watchers for as long as they serve them."""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sworn.errors import ArtifactError, ConfigurationError

if sys.platform != "win32":
    import fcntl

#: The holder of what a person has pinned.
BY_HAND: Final = "by-hand"
_HOLDER: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,99}")
_HASH: Final = re.compile(r"[0-9a-f]{64}")


class Pins:
    """One file per holder under ``<root>/pins``, replaced whole; ``<root>/.lock`` keeps processes apart."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folder = root / "pins"

    def add(self, holder: str, hashes: Iterable[bytes]) -> None:
        """Pins artifacts for a holder, besides those that it has pinned already. Raises `ArtifactError`."""
        with self.locked():
            self._write(holder, self._read(holder) | frozenset(hashes))

    def remove(self, holder: str, hashes: Iterable[bytes]) -> None:
        """Takes a holder's pins off artifacts. Raises `ArtifactError`."""
        with self.locked():
            self._write(holder, self._read(holder) - frozenset(hashes))

    def replace(self, holder: str, hashes: Iterable[bytes]) -> None:
        """Makes these the only pins of a holder. Raises `ArtifactError`."""
        with self.locked():
            self._write(holder, frozenset(hashes))

    @contextmanager
    def held(self, holder: str, hashes: Iterable[bytes]) -> Iterator[None]:
        """Pins artifacts for processes that serve them. Raises `ArtifactError`.

        The first process of a holder replaces what earlier ones have pinned; others that run beside it add to it. What
        is pinned stays so after the end: a process that starts again finds it.
        """
        with self.locked():
            handle = self._opened(self._path(holder).with_suffix(".lock"))
            try:
                known = frozenset[bytes]() if _alone(handle) else self._read(holder)
                self._write(holder, known | frozenset(hashes))
                fcntl.flock(handle, fcntl.LOCK_SH)
            except ArtifactError:
                os.close(handle)
                raise
        try:
            yield
        finally:
            os.close(handle)

    def holders(self) -> Mapping[str, frozenset[bytes]]:
        """Every holder's pins. Raises `ArtifactError` for a file that cannot be read: nothing is evicted then."""
        try:
            names = sorted(path.stem for path in self._folder.glob("*.json")) if self._folder.is_dir() else []
        except OSError as error:
            raise ArtifactError(f"the pins in {self._folder} cannot be read: {error.strerror}") from error
        return {name: self._read(name) for name in names}

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Alone among all processes that pin or evict here. Raises `ArtifactError`."""
        handle = self._opened(self._root / ".lock")
        try:
            # The system takes it off when the process ends, however it ends.
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _opened(self, path: Path) -> int:
        if sys.platform == "win32":
            raise ConfigurationError("pins and limits of the artifact cache need a POSIX system")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise ArtifactError(f"the artifact cache at {self._root} cannot be locked: {error.strerror}") from error

    def _path(self, holder: str) -> Path:
        if not _HOLDER.fullmatch(holder):
            raise ConfigurationError("a holder of pins is named in lower-case letters, digits and dashes")
        return self._folder / f"{holder}.json"

    def _read(self, holder: str) -> frozenset[bytes]:
        path = self._path(holder)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return frozenset()
        except (OSError, ValueError) as error:
            raise ArtifactError(f"the pins in {path} cannot be read: repair or remove the file") from error
        if not isinstance(content, list) or not all(
            isinstance(item, str) and _HASH.fullmatch(item) for item in content
        ):
            raise ArtifactError(f"{path} is no list of artifact hashes: repair or remove the file")
        return frozenset(bytes.fromhex(item) for item in content)

    def _write(self, holder: str, hashes: frozenset[bytes]) -> None:
        path = self._path(holder)
        try:
            if not hashes:
                path.unlink(missing_ok=True)
                return
            self._folder.mkdir(exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=".pins-", dir=self._folder)
            try:
                with os.fdopen(handle, "w", encoding="utf-8") as file:
                    json.dump(sorted(item.hex() for item in hashes), file)
                    file.flush()
                    os.fsync(file.fileno())
                Path(name).replace(path)
            finally:
                Path(name).unlink(missing_ok=True)
        except OSError as error:
            raise ArtifactError(f"the pins in {path} cannot be written: {error.strerror}") from error


def _alone(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
