from __future__ import annotations

import numpy as np
import pytest

from sworn.codec import keccak_lanes
from sworn.codec.keccak_lanes import LANES, hash_rows
from sworn.codec.trees import CHUNK_BYTES, data_root, keccak, tree_levels


@pytest.mark.parametrize("size", [0, 1, 64, 134, 135, 136, 271, CHUNK_BYTES])
@pytest.mark.parametrize("count", [1, LANES, LANES + 1])
def test_hash_rows_of_every_size_equals_keccak(size: int, count: int) -> None:
    """One by one or side by side: the same digests, whatever the padding."""
    pytest.importorskip("numba")
    rows = np.random.default_rng(size).integers(0, 256, (count, size)).astype(np.uint8)
    hashed = hash_rows(rows, tag=size % 5)
    assert hashed is not None
    assert [row.tobytes() for row in hashed] == [keccak(bytes([size % 5]) + row.tobytes()) for row in rows]


@pytest.mark.parametrize("size", [0, 1, 100 * CHUNK_BYTES - 1, 100 * CHUNK_BYTES, 200 * CHUNK_BYTES + 7])
def test_data_root_in_bulk_equals_the_plain_one(size: int) -> None:
    """Hashing in bulk changes no root, wherever the last chunk ends."""
    data = np.random.default_rng(1).integers(0, 256, size).astype(np.uint8).tobytes()
    assert data_root(data, bulk=True) == data_root(data)
    nodes = b"".join(keccak(index.to_bytes(2)) for index in range(201))
    assert tree_levels(nodes, bulk=True) == tree_levels(nodes)


def test_data_root_in_bulk_without_numba_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where numba is missing, hashes are made one by one."""
    data = bytes(100 * CHUNK_BYTES)
    monkeypatch.setattr(keccak_lanes, "_compiled", lambda: None)
    assert hash_rows(np.zeros((2, 8), dtype=np.uint8), tag=0) is None
    assert data_root(data, bulk=True) == data_root(data)
