"""Commitments against a second, naive implementation of the norm."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from eth_utils.crypto import keccak as reference_keccak
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from sworn.codec.tensors import encode_payload
from sworn.codec.trees import (
    CHUNK_BYTES,
    data_root,
    keccak,
    level_sizes,
    open_chunk,
    payload_root,
    tensor_root,
    tree_levels,
    verify_chunk,
)
from sworn.errors import CodecError
from sworn.types import DType

SIZES = [0, 1, 1023, 1024, 1025, 2048, 2049, 3 * 1024, 5 * 1024, 7 * 1024 + 3, 8 * 1024, 17 * 1024 + 1]


def naive_tree(leaves: list[bytes], depth: int) -> bytes:
    """The norm's words: a full tree of fixed depth whose missing leaves are zero."""
    if depth == 0:
        return leaves[0] if leaves else bytes(32)
    half = 2 ** (depth - 1)
    return reference_keccak(b"\x01" + naive_tree(leaves[:half], depth - 1) + naive_tree(leaves[half:], depth - 1))


def naive_data_root(data: bytes) -> bytes:
    """Leaves first, depth second, tree last."""
    leaves = [reference_keccak(b"\x00" + data[i : i + 1024]) for i in range(0, len(data), 1024)]
    depth = 0
    while 2**depth < len(leaves):
        depth += 1
    return reference_keccak(b"\x02" + len(data).to_bytes(8, "big") + naive_tree(leaves, depth))


def some_bytes(size: int) -> bytes:
    """Bytes that differ from chunk to chunk."""
    return bytes((7 * i + i // 1024) % 251 for i in range(size))


def test_keccak_is_the_same_without_the_faster_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two machines that disagreed about a root would accuse each other, for a library that one of them lacks."""
    messages = [bytes(range(256)) * size for size in (0, 1, 3)] + [bytes(size) for size in (1, 135, 136, 137)]
    hashed = [keccak(message) for message in messages]
    monkeypatch.setattr("sworn.codec.trees._fast_keccak", None)
    assert [keccak(message) for message in messages] == hashed == [reference_keccak(message) for message in messages]


def test_keccak_is_keccak256_not_sha3() -> None:
    """The padding is Ethereum's."""
    assert keccak(b"").hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"


@pytest.mark.parametrize("size", SIZES)
def test_data_root_at_every_tree_shape_equals_the_naive_one(size: int) -> None:
    """Empty, single, full and ragged trees."""
    data = some_bytes(size)
    assert data_root(data) == data_root(memoryview(data)) == naive_data_root(data)


@given(st.binary(max_size=40), st.integers(0, 9 * 1024))
def test_data_root_of_any_data_equals_the_naive_one(seed: bytes, size: int) -> None:
    """Any length, any content."""
    data = (seed * (size // max(len(seed), 1) + 1))[:size]
    assert data_root(data) == naive_data_root(data)


def test_payload_root_is_built_from_tensor_roots() -> None:
    """Header, data root and count are bound as the norm says."""
    first, second = np.arange(600, dtype=np.float32).reshape(2, 300), np.array([True])
    big_endian = first.astype(">f4").tobytes()
    header = bytes([1, 2, 0, 0, 0, 2, 0, 0, 1, 44])
    root = reference_keccak(b"\x03" + header + naive_data_root(big_endian))
    assert tensor_root(DType.FLOAT32, (2, 300), big_endian) == root
    other = reference_keccak(b"\x03" + bytes([9, 1, 0, 0, 0, 1]) + naive_data_root(b"\x01"))
    assert payload_root(encode_payload([first, second])) == reference_keccak(b"\x04\x02" + root + other)


def test_payload_root_tells_apart_what_only_differs_in_structure() -> None:
    """Same data bytes under another shape, dtype or split have other roots."""
    zeros = np.zeros(4, dtype=np.uint8)
    variants: list[list[NDArray[Any]]] = [
        [zeros],
        [zeros.reshape(2, 2)],
        [zeros.view(np.int8)],
        [zeros.view(np.uint32)],
        [zeros[:2], zeros[2:]],
    ]
    assert len({payload_root(encode_payload(arrays)) for arrays in variants}) == len(variants)


@pytest.mark.parametrize("size", SIZES[1:])
def test_chunk_proof_of_every_chunk_verifies_and_only_there(size: int) -> None:
    """Each chunk opens at its own index; another index, chunk, length or sibling does not."""
    data = some_bytes(size)
    root = data_root(data)
    count = -(-size // CHUNK_BYTES)
    for index in range(count):
        chunk = data[index * CHUNK_BYTES : (index + 1) * CHUNK_BYTES]
        siblings = open_chunk(data, index)
        assert verify_chunk(root, chunk, index=index, siblings=siblings, byte_length=size)
        assert not verify_chunk(root, chunk, index=index + 1, siblings=siblings, byte_length=size)
        assert not verify_chunk(root, chunk[:-1], index=index, siblings=siblings, byte_length=size)
        assert not verify_chunk(root, chunk, index=index, siblings=siblings, byte_length=size + 1)
        assert not verify_chunk(root, chunk, index=index, siblings=(*siblings, bytes(32)), byte_length=size)
        changed = bytes([chunk[0] ^ 1]) + chunk[1:]
        assert not verify_chunk(root, changed, index=index, siblings=siblings, byte_length=size)


@pytest.mark.parametrize(("size", "index"), [(0, 0), (1024, 1), (1024, -1)])
def test_opening_a_chunk_that_is_not_there_raises(size: int, index: int) -> None:
    """There is no proof of padding."""
    with pytest.raises(CodecError):
        open_chunk(bytes(size), index)


@pytest.mark.parametrize("leaves", [*range(18), 63, 64, 65, 1000])
def test_level_sizes_are_those_of_the_levels(leaves: int) -> None:
    """What a tree takes is known before it is built; one without leaves has its root alone."""
    assert level_sizes(leaves) == tuple(map(len, tree_levels(bytes(32 * leaves))))
