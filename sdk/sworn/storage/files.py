"""Artifacts from the local file system."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote

from sworn.errors import ArtifactUnavailable
from sworn.storage.fetching import mask_uri, split_uri

_CHUNK_BYTES = 1 << 20


class FileFetcher:
    """Reads ``file://`` URIs and plain paths; regular files only."""

    @property
    def schemes(self) -> frozenset[str]:
        """``file``, which includes plain paths."""
        return frozenset({"file"})

    def open(self, uri: str) -> Generator[bytes, None, None]:
        """Chunks of the file. Raises `ArtifactUnavailable`."""
        path = _path_of(uri)
        try:
            with open_regular(path) as file:
                while chunk := file.read(_CHUNK_BYTES):
                    yield chunk
        except (OSError, ValueError) as error:
            raise ArtifactUnavailable(f"{mask_uri(uri)}: {error}") from error


def open_regular(path: Path) -> BinaryIO:
    """Opens a regular file for reading, never a device, a pipe or a directory. Raises `OSError`."""
    # Looked at first because opening a device can have effects, and again because it may have been replaced.
    _check_regular(path, path.stat().st_mode)
    # Windows has no O_NONBLOCK; elsewhere it keeps a pipe from blocking.
    file = os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb")
    try:
        _check_regular(path, os.fstat(file.fileno()).st_mode)
    except OSError:
        file.close()
        raise
    return file


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file that others may read: there with its whole content, or not at all. Raises `OSError`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".partial-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # What is made for one user only is of no use in a folder that is served.
        Path(name).chmod(0o644)
        # A link under this name is replaced, not followed.
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)


def _check_regular(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise OSError(f"{path} is not a regular file")


def _path_of(uri: str) -> Path:
    parts = split_uri(uri)
    if not parts.scheme:
        return Path(uri)
    if parts.netloc not in ("", "localhost"):
        raise ArtifactUnavailable(f"{mask_uri(uri)}: files on other hosts cannot be read")
    return Path(unquote(parts.path))
