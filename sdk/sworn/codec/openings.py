"""Openings: some leaves of a tree with just the hashes that lead to its root. `docs/encoding.md` is the norm.

The hashes stand level by level from the leaves upwards, in each level from left to right; a hash that follows from the
leaves, or that no data stands under, is not among them. Where no leaf is opened, the root is the only one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sworn.codec.trees import (
    CHUNK_BYTES,
    HASH_BYTES,
    chunk_count,
    chunk_levels,
    chunk_size,
    depth_of,
    leaf_hash,
    node_hash,
    seal_data,
)
from sworn.errors import CodecError
from sworn.types import ZERO_HASH


@dataclass(frozen=True, slots=True, kw_only=True)
class DataOpening:
    """Some chunks of one tensor's data, by their index."""

    byte_length: int
    chunks: Mapping[int, bytes]
    siblings: tuple[bytes, ...]

    def data_root(self) -> bytes:
        """The data root that the chunks lead to. Raises `CodecError` where they cannot lie in so many bytes."""
        count = chunk_count(self.byte_length)
        for index, chunk in self.chunks.items():
            if not 0 <= index < count or len(chunk) != chunk_size(self.byte_length, index):
                raise CodecError(f"chunk {index} of {len(chunk)} bytes is no part of {self.byte_length} bytes")
        leaves = {index: leaf_hash(chunk) for index, chunk in self.chunks.items()}
        return seal_data(self.byte_length, opened_root(count, leaves, self.siblings))

    def read(self, start: int, stop: int) -> bytes:
        """Bytes ``start`` to ``stop``. Raises `CodecError` for bytes that are not opened."""
        if not 0 <= start < stop <= self.byte_length:
            raise CodecError(f"bytes {start} to {stop} do not lie in {self.byte_length}")
        first, last = start // CHUNK_BYTES, (stop - 1) // CHUNK_BYTES
        try:
            joined = b"".join(self.chunks[index] for index in range(first, last + 1))
        except KeyError as error:
            raise CodecError(f"bytes {start} to {stop} are not opened") from error
        return joined[start - first * CHUNK_BYTES : stop - first * CHUNK_BYTES]


def open_data(data: bytes | memoryview, indices: Iterable[int], *, bulk: bool = False) -> DataOpening:
    """Opens chunks of a tensor's data. Raises `CodecError` for one that is not there."""
    view = memoryview(data)

    def read(start: int, stop: int) -> bytes:
        return bytes(view[start:stop])

    return open_chunks(read, chunk_levels(data, bulk=bulk), indices, byte_length=len(view))


def open_chunks(
    read: Callable[[int, int], bytes], levels: Sequence[bytes | memoryview], indices: Iterable[int], *, byte_length: int
) -> DataOpening:
    """Opens chunks of data whose tree is known; ``read`` gives the bytes from a start to a stop.

    Raises `CodecError` for a chunk that is not there, and whatever ``read`` raises.
    """
    chosen, count = sorted(set(indices)), chunk_count(byte_length)
    siblings = open_leaves(levels, chosen, count=count)
    starts = ((index, index * CHUNK_BYTES) for index in chosen)
    chunks = {index: read(start, start + chunk_size(byte_length, index)) for index, start in starts}
    return DataOpening(byte_length=byte_length, chunks=chunks, siblings=siblings)


def open_leaves(levels: Sequence[bytes | memoryview], indices: Iterable[int], *, count: int) -> tuple[bytes, ...]:
    """The hashes that go with some leaves of a tree of ``count``. Raises `CodecError` for a leaf that is not there."""
    known = set(indices)
    if not all(0 <= index < count for index in known):
        raise CodecError(f"no such leaf among {count}")
    if not known:
        return (bytes(levels[-1]),) if count else ()
    siblings: list[bytes] = []
    for level in levels[:-1]:
        wanted = sorted({index ^ 1 for index in known} - known)
        parts = (bytes(level[HASH_BYTES * index : HASH_BYTES * (index + 1)]) for index in wanted)
        siblings += [part for part in parts if part]
        known = {index >> 1 for index in known}
    return tuple(siblings)


def opened_root(count: int, leaves: Mapping[int, bytes], siblings: Sequence[bytes]) -> bytes:
    """The root of a tree of ``count`` leaves from some of them and the hashes that go with them.

    Raises `CodecError` for leaves that are not there and for too few or too many hashes.
    """
    if not all(0 <= index < count for index in leaves):
        raise CodecError(f"no such leaf among {count}")
    if any(len(each) != HASH_BYTES for each in (*leaves.values(), *siblings)):
        raise CodecError(f"a hash has {HASH_BYTES} bytes")
    rest = iter(siblings)
    root = ZERO_HASH
    if count:
        root = _climb(count, dict(leaves), rest) if leaves else _next(rest)
    if next(rest, None) is not None:
        raise CodecError("more hashes than lead to the root")
    return root


def _climb(count: int, known: dict[int, bytes], rest: Iterable[bytes]) -> bytes:
    empty, width, siblings = ZERO_HASH, count, iter(rest)
    for _ in range(depth_of(count)):
        for index in sorted({index ^ 1 for index in known} - known.keys()):
            known[index] = _next(siblings) if index < width else empty
        known = {index >> 1: node_hash(known[index], known[index + 1]) for index in known if index % 2 == 0}
        empty, width = node_hash(empty, empty), -(-width // 2)
    return known[0]


def _next(siblings: Iterable[bytes]) -> bytes:
    found = next(iter(siblings), None)
    if found is None:
        raise CodecError("fewer hashes than lead to the root")
    return found
