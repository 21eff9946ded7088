"""The blocks that a follower remembers, so that it finds where two chains part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockId:
    """A block that has been followed up to."""

    number: int
    hash: bytes


def thinned(history: Sequence[BlockId], *, dense: int) -> tuple[BlockId, ...]:
    """The newest ``dense`` blocks, and of the older ones two for each doubling of their distance.

    A reorganisation of any depth is then undone to at most about four times its depth, and what is stored grows with
    the logarithm of the chain.
    """
    if len(history) <= dense:
        return tuple(history)
    tip = history[-1].number
    buckets: dict[int, list[BlockId]] = {}
    for block in history[:-dense]:
        buckets.setdefault((tip - block.number).bit_length(), []).append(block)
    # The oldest of a bucket is there for what is deeper, the newest for what is less deep.
    sparse = {block for bucket in buckets.values() for block in (bucket[0], bucket[-1])}
    return (*sorted(sparse, key=lambda block: block.number), *history[-dense:])
