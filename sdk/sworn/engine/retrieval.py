"""Brings files that were written on another machine to where they belong here."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from sworn.errors import TraceError

#: One piece; more would have to be held in memory twice.
_PIECE_BYTES: Final = 16 << 20

#: A piece of a file by name, offset and length. Raises what its way raises.
ReadPiece = Callable[[str, int, int], bytes]


class Retrieval:
    """Reads files piece by piece; each appears in its place when it is whole and durable."""

    def __init__(self, read: ReadPiece) -> None:
        self._read = read

    def bring(self, files: Sequence[tuple[str, int]], place: str) -> None:
        """Brings a single nameless file to ``place``, or named ones into the folder ``place``, in order.

        Raises `TraceError` where they cannot be written or come short, and what reading raises.
        """
        for name, size in files:
            if not name:
                self._fetch(name, size, Path(place))
                continue
            # SAFETY: another machine chooses the names; none leads out of the folder.
            if name != Path(name).name or name in (".", ".."):
                raise TraceError("a file on another machine has a name that leads elsewhere")
            try:
                Path(place).mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise TraceError(f"the exhibit cannot be written: {error}") from error
            self._fetch(name, size, Path(place) / name)

    def _fetch(self, name: str, size: int, path: Path) -> None:
        try:
            handle, partial = tempfile.mkstemp(prefix=".partial-", dir=path.parent)
        except OSError as error:
            raise TraceError(f"the trace cannot be written: {error}") from error
        try:
            with os.fdopen(handle, "wb") as file:
                for offset in range(0, size, _PIECE_BYTES):
                    length = min(_PIECE_BYTES, size - offset)
                    piece = self._read(name, offset, length)
                    if len(piece) != length:
                        raise TraceError(f"a trace on another machine came short by {length - len(piece)} bytes")
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
            Path(partial).replace(path)
            _sync(path.parent)
        except OSError as error:
            raise TraceError(f"the trace cannot be written: {error}") from error
        finally:
            Path(partial).unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
