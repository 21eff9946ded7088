"""Commitments: chunk trees, tensor roots, payload roots. `docs/encoding.md` is the norm.

The first byte of every preimage says what it is, so that no leaf can pass for a node or a root.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from Crypto.Hash import keccak as _keccak

from sworn.codec.keccak_lanes import hash_rows
from sworn.codec.payload import split_payload, tensor_header
from sworn.errors import CodecError
from sworn.types import ZERO_HASH, DType

try:
    # Six times as fast; the operator's node has it.
    from sha3 import keccak_256 as _fast_keccak
except ImportError:
    _fast_keccak = None

#: Bytes of data under one leaf; the last leaf may have fewer.
CHUNK_BYTES = 1024

HASH_BYTES: Final = 32
#: Messages from which hashing them side by side is faster than one by one, even where most lanes stay empty.
_FEW: Final = 8
_LEAF, _NODE, _DATA, _TENSOR, _PAYLOAD = (bytes([tag]) for tag in range(5))


def keccak(data: bytes) -> bytes:
    """keccak256, 32 bytes."""
    if _fast_keccak is not None:
        return bytes(_fast_keccak(data).digest())
    return _keccak.new(digest_bits=256, data=data).digest()


def data_root(data: bytes | memoryview, *, bulk: bool = False) -> bytes:
    """Root over the bytes of one tensor's data, bound to their number.

    ``bulk`` hashes many chunks at once where numba is installed, which pays from some megabytes of data on.
    """
    return seal_data(len(data), chunk_levels(data, bulk=bulk)[-1])


def seal_data(byte_length: int, tree_root: bytes) -> bytes:
    """The data root of so many bytes under the root of a chunk tree."""
    return keccak(_DATA + byte_length.to_bytes(8) + tree_root)


def tensor_root(dtype: DType, shape: Sequence[int], data: bytes | memoryview) -> bytes:
    """Root over element type, shape and big-endian data. Raises `SizeLimitExceeded`."""
    return seal_tensor(dtype, shape, data_root(data))


def seal_tensor(dtype: DType, shape: Sequence[int], root_of_data: bytes) -> bytes:
    """The tensor root of data whose root is known. Raises `SizeLimitExceeded`."""
    return keccak(_TENSOR + tensor_header(dtype, shape) + root_of_data)


def payload_root(payload: bytes) -> bytes:
    """Root over all tensors of a payload: what `Request.input_root` and `Result.output_root` hold.

    Checks structure, not element values, exactly as the contracts do. Raises `PayloadMalformed`, `DTypeUnsupported`.
    """
    tensors = split_payload(payload)
    return seal_payload([tensor_root(tensor.dtype, tensor.shape, tensor.data) for tensor in tensors])


def seal_payload(tensor_roots: Sequence[bytes]) -> bytes:
    """The payload root of tensors whose roots are known."""
    return keccak(_PAYLOAD + bytes([len(tensor_roots)]) + b"".join(tensor_roots))


def open_chunk(data: bytes | memoryview, index: int) -> tuple[bytes, ...]:
    """Siblings of chunk ``index``, from its leaf upwards. Raises `CodecError` when there is no such chunk."""
    if not 0 <= index < chunk_count(len(data)):
        raise CodecError(f"no chunk {index} in {len(data)} bytes")
    siblings: list[bytes] = []
    empty = ZERO_HASH
    for level in chunk_levels(data)[:-1]:
        start = HASH_BYTES * (index ^ 1)
        siblings.append(level[start : start + HASH_BYTES] or empty)
        empty = node_hash(empty, empty)
        index >>= 1
    return tuple(siblings)


def verify_chunk(root: bytes, chunk: bytes, *, index: int, siblings: Sequence[bytes], byte_length: int) -> bool:
    """Whether ``chunk`` is chunk ``index`` of the ``byte_length`` bytes under a `data_root`."""
    count = chunk_count(byte_length)
    if not 0 <= index < count or len(siblings) != depth_of(count):
        return False
    if len(chunk) != chunk_size(byte_length, index):
        return False
    node = leaf_hash(chunk)
    for sibling in siblings:
        node = node_hash(sibling, node) if index & 1 else node_hash(node, sibling)
        index >>= 1
    return seal_data(byte_length, node) == root


def chunk_levels(data: bytes | memoryview, *, bulk: bool = False) -> tuple[bytes, ...]:
    """The levels of a chunk tree from its leaves to its root; each level is its hashes one after another."""
    return tree_levels(chunk_leaves(data, bulk=bulk), bulk=bulk)


def chunk_leaves(data: bytes | memoryview, *, bulk: bool = False) -> bytes:
    """The leaves over the chunks of some data, one after another."""
    view = memoryview(data)
    whole = len(view) // CHUNK_BYTES if bulk else 0
    leaves = _many(_LEAF, view[: whole * CHUNK_BYTES], CHUNK_BYTES)
    rest = [leaf_hash(view[i : i + CHUNK_BYTES]) for i in range(whole * CHUNK_BYTES, len(view), CHUNK_BYTES)]
    return leaves + b"".join(rest)


def tree_levels(leaves: bytes, *, bulk: bool = False) -> tuple[bytes, ...]:
    """The levels of a tree over 32-byte leaves that are given one after another; without any, 32 zero bytes."""
    levels = [leaves or ZERO_HASH]
    empty = ZERO_HASH
    while len(levels[-1]) > HASH_BYTES:
        below = levels[-1]
        padded = below + empty if len(below) % (2 * HASH_BYTES) else below
        levels.append(_many(_NODE, memoryview(padded), 2 * HASH_BYTES, bulk=bulk))
        empty = node_hash(empty, empty)
    return tuple(levels)


def leaf_hash(chunk: bytes | memoryview) -> bytes:
    """The leaf over one chunk."""
    return keccak(_LEAF + chunk)


def node_hash(left: bytes, right: bytes) -> bytes:
    """The node over two."""
    return keccak(_NODE + left + right)


def chunk_count(byte_length: int) -> int:
    """Number of chunks of so many bytes."""
    return -(-byte_length // CHUNK_BYTES)


def chunk_size(byte_length: int, index: int) -> int:
    """Bytes in one chunk of so many bytes."""
    return min(CHUNK_BYTES, byte_length - index * CHUNK_BYTES)


def level_sizes(leaves: int) -> tuple[int, ...]:
    """Bytes of each level of a tree, from its leaves to its root, as `tree_levels` makes them."""
    return tuple(HASH_BYTES * max(1, -(-leaves >> height)) for height in range(depth_of(leaves) + 1))


def depth_of(leaves: int) -> int:
    """Levels above the leaves of a tree."""
    return max(leaves - 1, 0).bit_length()


def _many(tag: bytes, rows: memoryview, size: int, *, bulk: bool = True) -> bytes:
    count = len(rows) // size
    if bulk and count >= _FEW:
        hashed = hash_rows(np.frombuffer(rows, dtype=np.uint8).reshape(count, size), tag=tag[0])
        if hashed is not None:
            return hashed.tobytes()
    return b"".join(keccak(tag + rows[start : start + size]) for start in range(0, len(rows), size))
