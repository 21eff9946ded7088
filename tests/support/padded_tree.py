"""Trees as `docs/encoding.md` defines them, by the book: every missing leaf is there, every node is hashed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from eth_utils.crypto import keccak

CHUNK_BYTES = 1024
#: Levels below a node with which it is shown.
SHOWN_LEVELS = 4

DISCLOSURE = "(uint32,bytes32,bytes32[],uint64,bytes32,bytes32[],bytes,bytes32[])"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """The fields of a `Disclosure`."""

    values: int
    values_tree: bytes
    value_siblings: tuple[bytes, ...] = ()
    length: int = 0
    chunks_tree: bytes = bytes(32)
    nodes: tuple[bytes, ...] = ()
    chunks: bytes = b""
    siblings: tuple[bytes, ...] = ()

    @property
    def fields(self) -> tuple[object, ...]:
        """In the order of the struct."""
        return (
            *(self.values, self.values_tree, list(self.value_siblings), self.length, self.chunks_tree),
            *(list(self.nodes), self.chunks, list(self.siblings)),
        )


class PaddedTree:
    """A tree over leaves of 32 bytes."""

    def __init__(self, leaves: Sequence[bytes], *, hidden: Sequence[bytes] = ()) -> None:
        """With ``hidden``, those stand where a leaf is missing first: what no honest tree has."""
        self.count = len(leaves)
        self.depth = next(depth for depth in range(40) if 1 << depth >= self.count)
        row = [*leaves, *hidden, *[bytes(32)] * ((1 << self.depth) - self.count - len(hidden))]
        self.rows = [row]
        while len(row) > 1:
            row = [keccak(b"\x01" + row[i] + row[i + 1]) for i in range(0, len(row), 2)]
            self.rows.append(row)

    @property
    def root(self) -> bytes:
        """Its root; without leaves, zero."""
        return self.rows[-1][0]

    def way(self, level: int, index: int) -> tuple[bytes, ...]:
        """What stands beside the way from a node to the root."""
        return tuple(self.rows[height][index >> (height - level) ^ 1] for height in range(level, self.depth))

    def below(self, level: int, index: int) -> tuple[bytes, ...]:
        """The descendants with which a node is shown: those with a leaf below them."""
        height = max(0, level - SHOWN_LEVELS)
        places = range(index << (level - height), index + 1 << (level - height))
        return tuple(self.rows[height][place] for place in places if place << height < self.count)


class CommittedValue:
    """The bytes of one value, and their tree."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.chunks = [data[start : start + CHUNK_BYTES] for start in range(0, len(data), CHUNK_BYTES)]
        self.tree = PaddedTree([keccak(b"\x00" + chunk) for chunk in self.chunks])
        self.root = keccak(b"\x02" + len(data).to_bytes(8) + self.tree.root)


def value_of_chunks(count: int, last: int, rest: random.Random) -> CommittedValue:
    """A value of so many chunks, the last of so many bytes."""
    return CommittedValue(rest.randbytes((count - 1) * CHUNK_BYTES + last))


def seal_trace(count: int, tree: bytes) -> bytes:
    """The trace root."""
    return keccak(b"\x09" + count.to_bytes(4) + tree)


def seal_payload(data_root: bytes, length: int) -> bytes:
    """The payload root of one tensor of bytes with one axis."""
    header = b"\x02\x01" + length.to_bytes(4)
    return keccak(b"\x04\x01" + keccak(b"\x03" + header + data_root))
