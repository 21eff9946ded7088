"""How a challenger finds its way through somebody else's trace: what it asks to see, from what it has seen."""

from __future__ import annotations

from collections.abc import Generator, Iterator

from tests.support.court import ShownTrace, Target

from sworn.codec.trees import CHUNK_BYTES, HASH_BYTES, chunk_levels, depth_of, tree_levels
from sworn.types import Part

_LEVELS = 4
_GROUP = 1 << _LEVELS


def guided_walk(shown: ShownTrace, own: ShownTrace) -> Generator[Target, None, None]:
    """Profile exact: hashes lead to the first difference from one's own run. Nothing but answers is looked at.

    It is over early where an answer already shows what no true trace has: another number of values, another length.
    """
    if shown.root == own.root:
        return
    roots = len(own.data_roots)
    value = yield from _descend(Part.VALUES, 0, b"".join(shown.data_roots), b"".join(own.data_roots), stop=0)
    if len(shown.data_roots) != roots:
        return
    theirs, mine = shown.values[value], own.values[value]
    chunks = -(-len(mine) // CHUNK_BYTES)
    group = 0
    if chunks > _GROUP:
        leaves, others = chunk_levels(theirs)[0], chunk_levels(mine)[0]
        group = yield from _descend(Part.NODES, value, leaves, others, stop=_LEVELS)
    if len(theirs) != len(mine) and chunks > _GROUP:
        return
    yield Part.CHUNKS, value, 0, group


def full_walk(shown: ShownTrace) -> Iterator[Target]:
    """Profile bounded: hashes say nothing, so everything is asked for."""
    for value, data in enumerate(shown.values):
        for group in range(max(1, -(-len(data) // (CHUNK_BYTES * _GROUP)))):
            yield Part.CHUNKS, value, 0, group


def _descend(part: Part, value: int, leaves: bytes, others: bytes, *, stop: int) -> Generator[Target, None, int]:
    """From a tree's root towards the first leaf that differs, down to level ``stop``: the index there is the result."""
    levels, mine = tree_levels(leaves), tree_levels(others)
    level, index = depth_of(len(others) // HASH_BYTES), 0
    if len(leaves) != len(others):
        yield part, value, level, 0
        return 0
    while level > stop:
        yield part, value, level, index
        below = min(level, _LEVELS)
        first, level = index << below, level - below
        row, other = levels[level], mine[level]
        span = range(first, min(first + (1 << below), len(row) // HASH_BYTES))
        index = next(at for at in span if _at(row, at) != _at(other, at))
    return index >> (stop - level) if level < stop else index


def _at(row: bytes, index: int) -> bytes:
    return row[HASH_BYTES * index : HASH_BYTES * (index + 1)]
