"""Where the values of a trace lie: in memory, or in a trace file."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from sworn.codec.openings import DataOpening, open_chunks
from sworn.model.commitment import committed_bytes
from sworn.model.program import TensorType
from sworn.model.trace_file import TraceFile

Array = NDArray[Any]


class TraceValues(Sequence[Array]):
    """The values of one run by their number, each C-contiguous and in the machine's own byte order."""

    @abstractmethod
    def array(self, value: int) -> Array:
        """A value, in its own shape where it has the right size."""

    @abstractmethod
    def elements(self, value: int) -> int:
        """Number of elements of a value."""

    @abstractmethod
    def bits(self, value: int, index: int) -> int:
        """An element as unsigned bits, by its flat index. Raises `IndexError` or `CodecError` where there is none."""

    @abstractmethod
    def open(self, value: int, chunks: Iterable[int]) -> DataOpening:
        """Opens chunks of a value. Raises `CodecError` for one that is not there, and `TraceCorrupt`."""

    @abstractmethod
    def length(self, value: int) -> int:
        """Bytes of a value."""

    @abstractmethod
    def levels(self, value: int) -> Sequence[bytes | memoryview]:
        """The levels of a value's chunk tree, from its leaves to its root."""

    @abstractmethod
    def read(self, value: int, start: int, stop: int) -> bytes:
        """Committed bytes of a value, from the start of one element to the end of another."""

    @overload
    def __getitem__(self, index: int) -> Array: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Array, ...]: ...
    def __getitem__(self, index: int | slice) -> Array | tuple[Array, ...]:
        """One value, or several. Raises `IndexError`."""
        numbers = range(len(self))[index]
        return self.array(numbers) if isinstance(numbers, int) else tuple(map(self.array, numbers))


class KeptValues(TraceValues):
    """Values in memory, with their trees."""

    def __init__(self, arrays: Iterable[Array], trees: Sequence[tuple[bytes, ...]]) -> None:
        """``trees[i]`` are the levels of the chunk tree over the i-th array."""
        self._arrays = tuple(np.asarray(array, order="C") for array in arrays)
        self._trees = tuple(trees)

    def __len__(self) -> int:
        return len(self._arrays)

    def array(self, value: int) -> Array:
        """As `TraceValues.array`."""
        return self._arrays[value]

    def elements(self, value: int) -> int:
        """As `TraceValues.elements`."""
        return int(self._arrays[value].size)

    def bits(self, value: int, index: int) -> int:
        """As `TraceValues.bits`."""
        return element_bits(self._arrays[value], index)

    def open(self, value: int, chunks: Iterable[int]) -> DataOpening:
        """As `TraceValues.open`."""
        # SAFETY: chunks and data end where elements end.
        return open_chunks(partial(self.read, value), self._trees[value], chunks, byte_length=self.length(value))

    def length(self, value: int) -> int:
        """As `TraceValues.length`."""
        return self._arrays[value].nbytes

    def levels(self, value: int) -> Sequence[bytes | memoryview]:
        """As `TraceValues.levels`."""
        return self._trees[value]

    def read(self, value: int, start: int, stop: int) -> bytes:
        """As `TraceValues.read`."""
        flat = self._arrays[value].reshape(-1)
        return bytes(committed_bytes(flat[start // flat.itemsize : stop // flat.itemsize]))


class FiledValues(TraceValues):
    """Values in a trace file; each is read anew whenever it is asked for."""

    def __init__(self, file: TraceFile, types: Sequence[TensorType]) -> None:
        """``types`` are those of the program; every value in the file has whole elements."""
        self._file, self._types = file, tuple(types)

    def __len__(self) -> int:
        return len(self._types)

    def array(self, value: int) -> Array:
        """As `TraceValues.array`."""
        kind = self._types[value]
        flat = self._file.array(value, kind.dtype)
        return flat.reshape(kind.shape) if flat.size == kind.elements else flat

    def elements(self, value: int) -> int:
        """As `TraceValues.elements`."""
        return self._file.lengths[value] // self._types[value].dtype.itemsize

    def bits(self, value: int, index: int) -> int:
        """As `TraceValues.bits`."""
        size = self._types[value].dtype.itemsize
        return int.from_bytes(self._file.read(value, index * size, (index + 1) * size))

    def open(self, value: int, chunks: Iterable[int]) -> DataOpening:
        """As `TraceValues.open`."""
        return self._file.open(value, chunks)

    def length(self, value: int) -> int:
        """As `TraceValues.length`."""
        return self._file.lengths[value]

    def levels(self, value: int) -> Sequence[bytes | memoryview]:
        """As `TraceValues.levels`."""
        return self._file.levels(value)

    def read(self, value: int, start: int, stop: int) -> bytes:
        """As `TraceValues.read`."""
        return self._file.read(value, start, stop)


def element_bits(array: Array, index: int) -> int:
    """An element as unsigned bits, right-aligned, by its flat index."""
    return int(array.reshape(-1)[index : index + 1].view(f"u{array.itemsize}")[0])
