"""Trace files: all values of one run in committed order, with their trees. `docs/encoding.md` is the norm.

Since the bytes are those that are committed to, any range of elements can be read, opened and served as it lies there.
"""

from __future__ import annotations

import mmap
import os
import struct
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import accumulate, pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, Self

import numpy as np
from numpy.typing import NDArray

from sworn.codec.openings import DataOpening, open_chunks
from sworn.codec.trees import HASH_BYTES, chunk_count, chunk_leaves, keccak, level_sizes, seal_data, tree_levels
from sworn.errors import CodecError, ConfigurationError, TraceCorrupt, TraceError
from sworn.model.commitment import BULK_BYTES, committed_bytes, input_root, output_root, pieces, trace_root
from sworn.model.program import Program
from sworn.model.trace_stream import TraceStream
from sworn.types import DType, ModelId

#: Version of the format.
TRACE_FILE_VERSION: Final = 1

_MAGIC: Final = b"\x89swtrace"
#: Magic, version, number of values; model id, input root, output root, trace root; then keccak256 of all that.
_HEAD: Final = struct.Struct(">8sII32s32s32s32s")
_HEAD_BYTES: Final = _HEAD.size + HASH_BYTES
#: Bytes and data root of a value.
_ROW: Final = struct.Struct(">Q32s")


class TraceRecorder:
    """Appends values to a file that can be sought in; the head is written last."""

    def __init__(self, file: BinaryIO, count: int) -> None:
        """Begins a trace of ``count`` values. Raises `TraceError`."""
        self._file, self._count = file, count
        self._rows: list[tuple[int, bytes]] = []
        with _translated("written"):
            file.seek(_HEAD_BYTES + _ROW.size * count)

    def record(self, array: NDArray[Any], bulk: bool) -> bytes:
        """Appends the next value, and gives its data root. Raises `TraceError`."""
        leaves = []
        with _translated("written"):
            for piece in pieces(array):
                data = committed_bytes(piece)
                self._file.write(data)
                leaves.append(chunk_leaves(data, bulk=bulk))
            levels = tree_levels(b"".join(leaves), bulk=bulk)
            self._file.write(b"".join(levels))
        root = seal_data(array.nbytes, levels[-1])
        self._rows.append((array.nbytes, root))
        return root

    def seal(self, *, model_id: ModelId, input_root: bytes, output_root: bytes) -> bytes:
        """Writes the head, without which the file is no trace, and gives the trace root. Raises `TraceError`."""
        assert len(self._rows) == self._count, "INVARIANT: sealed when all values are there"  # noqa: S101
        root = trace_root([root for _, root in self._rows])
        head = _HEAD.pack(_MAGIC, TRACE_FILE_VERSION, self._count, model_id, input_root, output_root, root)
        with _translated("written"):
            self._file.seek(0)
            self._file.write(head + keccak(head) + b"".join(_ROW.pack(*row) for row in self._rows))
            self._file.flush()
        return root


class TraceWriter:
    """Writes one run's values to a trace file as they are computed; the file appears when it is whole.

    ::

        with TraceWriter(path, program, model_id=model_id) as writer:
            executor.run(inputs, include_virtual=True, on_value=writer.write)
            root = writer.finish()

    Values are hashed and written in another thread. What is not finished leaves no file behind.
    """

    def __init__(self, path: str | os.PathLike[str], program: Program, *, model_id: ModelId) -> None:
        """Begins a file beside ``path``. Raises `TraceError`."""
        self._path, self._program, self._model_id = Path(path), program, model_id
        with _translated("written"):
            handle, name = tempfile.mkstemp(prefix=".partial-", dir=self._path.parent)
        self._partial, self._file = Path(name), os.fdopen(handle, "wb")
        self._recorder = TraceRecorder(self._file, len(program.inputs) + len(program.steps))
        self._stream = TraceStream(program, self._recorder.record)

    def write(self, value: int, array: NDArray[Any]) -> None:
        """Takes the next value: the model's inputs first, then one per step, the virtual ones too.

        Raises `ConfigurationError` for a value out of order, `ShapeMismatch` for one of another type than the program
        says, and `TraceError` where it cannot be written.
        """
        self._stream.write(value, array)

    def finish(self, *, durable: bool = True) -> bytes:
        """Puts the file in its place and gives the trace root; if ``durable``, it outlives a loss of power.

        Raises `ConfigurationError` before the last value has come and after the file has been closed, and `TraceError`.
        """
        if self._file.closed:
            raise ConfigurationError("the trace file is closed already")
        roots = self._stream.finish()
        root = self._recorder.seal(
            model_id=self._model_id,
            input_root=input_root(self._program, roots),
            output_root=output_root(self._program, roots),
        )
        with _translated("written"):
            if durable:
                os.fsync(self._file.fileno())
            self._file.close()
            self._partial.replace(self._path)
            if durable:
                _sync_directory(self._path.parent)
        return root

    def close(self) -> None:
        """Removes what is not finished. Raises `TraceError`."""
        self._stream.close()
        with _translated("written"):
            try:
                self._file.close()
            finally:
                self._partial.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class TraceFile:
    """A trace file that lies open: nothing is read before it is asked for. Safe for many threads.

    The head is checked at once, every opening when it is made, the rest by `verify`.
    """

    def __init__(self, file: BinaryIO) -> None:
        """Maps a file into memory, which may be closed then. Raises `TraceCorrupt` and `TraceError`."""
        with _translated("read"):
            size = os.fstat(file.fileno()).st_size
            if size < _HEAD_BYTES:
                raise TraceCorrupt(f"{size} bytes are no trace")
            self._bytes = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        magic, version, count, *roots = _HEAD.unpack_from(self._bytes)
        if magic != _MAGIC or version != TRACE_FILE_VERSION:
            raise TraceCorrupt(f"no trace of version {TRACE_FILE_VERSION}")
        if keccak(bytes(self._bytes[: _HEAD.size])) != self._bytes[_HEAD.size : _HEAD_BYTES]:
            raise TraceCorrupt("the head of the trace is damaged")
        self.model_id = ModelId(roots[0])
        #: What the run is stated to have taken and given.
        self.input_root: bytes = roots[1]
        self.output_root: bytes = roots[2]
        self.trace_root: bytes = roots[3]
        start = _HEAD_BYTES + _ROW.size * count
        if start > size:
            raise TraceCorrupt(f"{count} values do not fit {size} bytes")
        rows = list(_ROW.iter_unpack(self._bytes[_HEAD_BYTES:start]))
        #: Bytes of each value.
        self.lengths: tuple[int, ...] = tuple(length for length, _ in rows)
        self.data_roots: tuple[bytes, ...] = tuple(root for _, root in rows)
        *self._starts, end = accumulate((_region(length) for length in self.lengths), initial=start)
        if end != size or trace_root(self.data_roots) != self.trace_root:
            raise TraceCorrupt("the sizes or roots of the trace are damaged")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Opens a trace file. Raises `TraceCorrupt` and `TraceError`."""
        with _translated("read"), Path(path).open("rb") as file:
            return cls(file)

    def read(self, value: int, start: int, stop: int) -> bytes:
        """Bytes ``start`` to ``stop`` of a value, unchecked. Raises `CodecError` for bytes that are not there."""
        if not (0 <= value < len(self.lengths) and 0 <= start <= stop <= self.lengths[value]):
            raise CodecError(f"no bytes {start} to {stop} in value {value}")
        return bytes(self._bytes[self._starts[value] + start : self._starts[value] + stop])

    def array(self, value: int, dtype: DType) -> NDArray[Any]:
        """A value's elements, flat, in the machine's own order, unchecked. Raises `CodecError` for another dtype."""
        if not 0 <= value < len(self.lengths) or self.lengths[value] % dtype.itemsize:
            raise CodecError(f"value {value} has no elements of {dtype.itemsize} bytes")
        start = self._starts[value]
        swapped = np.frombuffer(self._bytes[start : start + self.lengths[value]], dtype.numpy.newbyteorder(">"))
        return swapped.astype(dtype.numpy)

    def open(self, value: int, chunks: Iterable[int]) -> DataOpening:
        """Opens chunks of a value. Raises `CodecError` for one that is not there and `TraceCorrupt` for damage."""
        if not 0 <= value < len(self.lengths):
            raise CodecError(f"no value {value} among {len(self.lengths)}")

        def read(start: int, stop: int) -> bytes:
            return self.read(value, start, stop)

        opening = open_chunks(read, self.levels(value), chunks, byte_length=self.lengths[value])
        # INVARIANT: nothing that damage on disk has changed is served or proved with.
        if opening.data_root() != self.data_roots[value]:
            raise TraceCorrupt(f"value {value} is damaged")
        return opening

    def verify(self) -> None:
        """Hashes everything. Raises `TraceCorrupt` for a byte that is not as it was committed to."""
        bulk = len(self._bytes) >= BULK_BYTES
        for value, (start, length) in enumerate(zip(self._starts, self.lengths, strict=True)):
            levels = tree_levels(chunk_leaves(self._bytes[start : start + length], bulk=bulk), bulk=bulk)
            stored = b"".join(self.levels(value))
            if seal_data(length, levels[-1]) != self.data_roots[value] or b"".join(levels) != stored:
                raise TraceCorrupt(f"value {value} is damaged")

    def levels(self, value: int) -> tuple[memoryview, ...]:
        """The levels of a value's chunk tree, unchecked. Raises `IndexError` for a value that is not there."""
        sizes = level_sizes(chunk_count(self.lengths[value]))
        start = self._starts[value] + self.lengths[value]
        places = list(accumulate(sizes, initial=start))
        return tuple(self._bytes[first:last] for first, last in pairwise(places))


def _region(length: int) -> int:
    return length + sum(level_sizes(chunk_count(length)))


@contextmanager
def _translated(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TraceError(f"the trace cannot be {what}: {error}") from error


def _sync_directory(path: Path) -> None:
    if os.name != "posix":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
