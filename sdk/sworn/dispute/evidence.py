"""As much of a stranger's trace as a proof needs: what was shown of it, and one's own values where they are equal."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sworn.codec.openings import DataOpening
from sworn.codec.trees import CHUNK_BYTES, HASH_BYTES, chunk_levels
from sworn.dispute.shown_trace import KnownTree, ShownTrace, siblings_of
from sworn.referee.proof import Statement, TensorsOpening
from sworn.verification import Subject, Trace
from sworn.verification.trace_values import Array, TraceValues


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownEvidence:
    """`sworn.verification.proving.Evidence` from pieces. Raises `KeyError` for what has not been shown."""

    subject: Subject
    statement: Statement
    shown: ShownTrace
    #: The first ``agreeing`` values of one's own trace are the stranger's as well; ``own_tree`` are the levels over its
    #: data roots.
    own: Trace | None = None
    own_tree: Sequence[bytes] = ()
    agreeing: int = 0

    def bits(self, value: int, index: int) -> int:
        """An element as unsigned bits, by its flat index."""
        if self.own is not None and value < self.agreeing:
            return self.own.bits(value, index)
        return shown_bits(self.subject, self.shown, value, index)

    def open_chunks(self, chunks: Mapping[int, Iterable[int]]) -> TensorsOpening:
        """Opens chunks of several values, by the value's number."""
        tensors = {value: self._open(value, wanted) for value, wanted in sorted(chunks.items())}
        return self._opening(tensors)

    def open_roots(self, values: Collection[int]) -> TensorsOpening:
        """Opens no more than the data roots of some values."""
        return self._opening({value: self._node(0, value) for value in sorted(values)})

    def _open(self, value: int, chunks: Iterable[int]) -> DataOpening:
        if self.own is not None and value < self.agreeing:
            return self.own.values.open(value, chunks)
        return self.shown.values[value].open(chunks)

    def _opening(self, tensors: Mapping[int, DataOpening | bytes]) -> TensorsOpening:
        count = self._tree.leaves
        return TensorsOpening(count=count, tensors=tensors, siblings=siblings_of(count, tensors, self._node))

    def _node(self, level: int, index: int) -> bytes:
        if (index + 1) << level <= self.agreeing:
            return node_of(self.own_tree, level, index)
        return self._tree.known(level, index)

    @property
    def _tree(self) -> KnownTree:
        if self.shown.tree is None:
            raise KeyError("nothing of the trace has been shown")
        return self.shown.tree


class ShownValues(TraceValues):
    """Values that have been shown as a whole; others raise `KeyError`."""

    def __init__(self, subject: Subject, shown: ShownTrace) -> None:
        self._subject = subject
        #: May be replaced by one that knows more of the same trace.
        self.shown = shown

    def __len__(self) -> int:
        return self._subject.value_count

    def array(self, value: int) -> Array:
        """As `TraceValues.array`."""
        kind = self._subject.program.value(value)
        swapped = np.frombuffer(self.shown.values[value].data(), kind.dtype.numpy.newbyteorder(">"))
        flat = swapped if kind.dtype.itemsize == 1 else swapped.astype(kind.dtype.numpy)
        return flat.reshape(kind.shape) if flat.size == kind.elements else flat

    def elements(self, value: int) -> int:
        """As `TraceValues.elements`."""
        return self.length(value) // self._subject.program.value(value).dtype.itemsize

    def bits(self, value: int, index: int) -> int:
        """As `TraceValues.bits`."""
        return shown_bits(self._subject, self.shown, value, index)

    def open(self, value: int, chunks: Iterable[int]) -> DataOpening:
        """As `TraceValues.open`."""
        return self.shown.values[value].open(chunks)

    def length(self, value: int) -> int:
        """As `TraceValues.length`."""
        return self.shown.values[value].length

    def levels(self, value: int) -> Sequence[bytes | memoryview]:
        """As `TraceValues.levels`."""
        return chunk_levels(self.shown.values[value].data())

    def read(self, value: int, start: int, stop: int) -> bytes:
        """As `TraceValues.read`."""
        return self.shown.values[value].data()[start:stop]


def shown_bits(subject: Subject, shown: ShownTrace, value: int, index: int) -> int:
    """An element of a value of the right length as unsigned bits. Raises `KeyError` where it has not been shown."""
    size = subject.program.value(value).dtype.itemsize
    # INVARIANT: element sizes divide the size of a chunk, so no element lies in two.
    chunk, start = divmod(index * size, CHUNK_BYTES)
    return int.from_bytes(shown.values[value].chunks[chunk][start : start + size])


def node_of(levels: Sequence[bytes | memoryview], level: int, index: int) -> bytes:
    """A node with leaves under it, in a tree by its levels."""
    return bytes(levels[level][HASH_BYTES * index : HASH_BYTES * (index + 1)])
