from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sworn.codec.openings import DataOpening, open_data, open_leaves, opened_root
from sworn.codec.trees import CHUNK_BYTES, data_root, keccak, tree_levels
from sworn.errors import CodecError


def leaves(count: int) -> list[bytes]:
    """Distinct leaves."""
    return [keccak(index.to_bytes(4)) for index in range(count)]


@pytest.mark.parametrize("count", range(1, 10))
def test_opening_of_any_leaves_leads_to_the_root(count: int) -> None:
    """Every subset of every small tree opens, and with no more hashes than needed."""
    given_leaves = leaves(count)
    levels = tree_levels(b"".join(given_leaves))
    for size in range(count + 1):
        for chosen in combinations(range(count), size):
            siblings = open_leaves(levels, chosen, count=count)
            opened = {index: given_leaves[index] for index in chosen}
            assert opened_root(count, opened, siblings) == levels[-1]
            assert len(siblings) <= (1 if not chosen else size * (count - 1).bit_length())
    assert open_leaves(levels, range(count), count=count) == ()


@pytest.mark.parametrize("count", [1, 2, 5, 8])
def test_opening_with_a_changed_part_misses_the_root(count: int) -> None:
    """A leaf, a hash, the index or the number of leaves: nothing can be exchanged."""
    given_leaves = leaves(count)
    levels = tree_levels(b"".join(given_leaves))
    for index in range(count):
        siblings = open_leaves(levels, [index], count=count)
        assert opened_root(count, {index: keccak(b"other")}, siblings) != levels[-1]
        for place in range(len(siblings)):
            changed = [*siblings]
            changed[place] = keccak(changed[place])
            assert opened_root(count, {index: given_leaves[index]}, changed) != levels[-1]
        for other in set(range(count)) - {index}:
            assert different(count, {other: given_leaves[index]}, siblings, levels[-1])
        assert different(count, {index: given_leaves[index]}, [*siblings, bytes(32)], levels[-1])
        assert different(count, {index: given_leaves[index]}, siblings[:-1], levels[-1]) or not siblings


def different(count: int, opened: dict[int, bytes], siblings: list[bytes] | tuple[bytes, ...], root: bytes) -> bool:
    """Whether an opening is refused or leads elsewhere."""
    try:
        return opened_root(count, opened, siblings) != root
    except CodecError:
        return True


@given(st.binary(max_size=6000), st.sets(st.integers(0, 5)))
def test_data_opening_of_any_chunks_gives_root_and_bytes(data: bytes, wanted: set[int]) -> None:
    """Chunks lead to the data root, and their bytes can be read across their borders."""
    count = -(-len(data) // CHUNK_BYTES)
    chosen = {index for index in wanted if index < count}
    opening = open_data(data, chosen)
    assert opening.data_root() == data_root(data)
    for index in chosen:
        start, stop = index * CHUNK_BYTES, min((index + 1) * CHUNK_BYTES, len(data))
        assert opening.read(start, stop) == data[start:stop]
    if {0, 1} <= chosen:
        assert opening.read(1000, min(1030, len(data))) == data[1000:1030]


def test_data_opening_of_what_is_not_there_raises() -> None:
    """Chunks past the end, of the wrong size, and bytes that are not opened."""
    opening = open_data(bytes(3000), [1])
    with pytest.raises(CodecError):
        opening.read(0, 4)
    with pytest.raises(CodecError):
        opening.read(1024, 2049)
    with pytest.raises(CodecError):
        open_data(bytes(3000), [3])
    with pytest.raises(CodecError):
        DataOpening(byte_length=3000, chunks={2: bytes(1024)}, siblings=opening.siblings).data_root()
    with pytest.raises(CodecError):
        DataOpening(byte_length=1024, chunks=opening.chunks, siblings=opening.siblings).data_root()
