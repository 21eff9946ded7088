"""The deepest trace that can be committed to, of which nothing exists but the way down to one group of chunks."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

from sworn.codec.dispute_structs import encode_disclosure
from sworn.codec.trees import CHUNK_BYTES, HASH_BYTES, depth_of, keccak, leaf_hash, seal_data, tree_levels
from sworn.types import Disclosure, Part, Target

_WIDTH: Final = 16
_LEVELS: Final = 4


class DeepTree:
    """A tree whose depth is a multiple of four, on one way down: 16 nodes at every fourth height, most made up."""

    def __init__(self, lowest: Sequence[bytes], *, index: int, depth: int, source: random.Random) -> None:
        self.index = index
        self._groups = [tree_levels(b"".join(lowest))]
        for height in range(_LEVELS, depth, _LEVELS):
            nodes = [source.randbytes(HASH_BYTES) for _ in range(_WIDTH)]
            nodes[(index >> height) % _WIDTH] = self.root
            self._groups.append(tree_levels(b"".join(nodes)))

    @property
    def root(self) -> bytes:
        """Root of the whole."""
        return self._groups[-1][-1]

    def below(self, level: int) -> tuple[bytes, ...]:
        """The 16 nodes four levels below the way's node of that height."""
        row = self._groups[level // _LEVELS - 1][0]
        return tuple(row[start : start + HASH_BYTES] for start in range(0, len(row), HASH_BYTES))

    def way(self, level: int) -> tuple[bytes, ...]:
        """Siblings from the way's node of that height to the root."""
        found = []
        for height in range(level, _LEVELS * len(self._groups)):
            row = self._groups[height // _LEVELS][height % _LEVELS]
            width = _WIDTH >> height % _LEVELS
            place = ((self.index >> height) ^ 1) % width
            found.append(row[HASH_BYTES * place : HASH_BYTES * (place + 1)])
        return tuple(found)


class DeepTrace:
    """2^32 − 1 values, and one of them of 2^34 bytes."""

    VALUES: Final = 2**32 - 1
    LENGTH: Final = 2**34

    def __init__(self, seed: int = 1) -> None:
        source = random.Random(seed)
        self.value = source.randrange(2**31)
        self.group = source.randrange(self.LENGTH // CHUNK_BYTES // _WIDTH)
        self.chunks = source.randbytes(_WIDTH * CHUNK_BYTES)
        starts = range(0, len(self.chunks), CHUNK_BYTES)
        leaves = [leaf_hash(self.chunks[start : start + CHUNK_BYTES]) for start in starts]
        depth = depth_of(self.LENGTH // CHUNK_BYTES)
        self.data = DeepTree(leaves, index=self.group * _WIDTH, depth=depth, source=source)
        roots = [source.randbytes(HASH_BYTES) for _ in range(_WIDTH)]
        roots[self.value % _WIDTH] = seal_data(self.LENGTH, self.data.root)
        self.tree = DeepTree(roots, index=self.value, depth=depth_of(self.VALUES), source=source)
        self.root = keccak(b"\x09" + self.VALUES.to_bytes(4) + self.tree.root)

    def walk(self) -> list[Target]:
        """What is demanded on the way down, one answer after another."""
        values = [Target(part=Part.VALUES, level=k, index=self.value >> k) for k in range(32, 0, -_LEVELS)]
        place = self.group * _WIDTH
        # The chunks of a group give their own hashes: nobody has to ask for those.
        levels = range(depth_of(self.LENGTH // CHUNK_BYTES), _LEVELS, -_LEVELS)
        nodes = [Target(part=Part.NODES, value=self.value, level=k, index=place >> k) for k in levels]
        return [*values, *nodes, Target(part=Part.CHUNKS, value=self.value, index=self.group)]

    def show(self, target: Target) -> bytes:
        """The encoded answer to a target on the way."""
        if target.part is Part.VALUES:
            nodes, way = self.tree.below(target.level), self.tree.way(target.level)
            return encode_disclosure(
                Disclosure(values=self.VALUES, values_tree=self.tree.root, nodes=nodes, siblings=way)
            )
        chunks = target.part is Part.CHUNKS
        return encode_disclosure(
            Disclosure(
                values=self.VALUES,
                values_tree=self.tree.root,
                value_siblings=self.tree.way(0),
                length=self.LENGTH,
                chunks_tree=self.data.root,
                nodes=() if chunks else self.data.below(target.level),
                chunks=self.chunks if chunks else b"",
                siblings=self.data.way(_LEVELS if chunks else target.level),
            )
        )
