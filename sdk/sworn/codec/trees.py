"""Commitments: chunk trees, tensor roots, payload roots. `docs/encoding.md` is the norm.

The first byte of every preimage says what it is, so that no leaf can pass for a node or a root.
"""

from __future__ import annotations

from collections.abc import Sequence

from Crypto.Hash import keccak as _keccak

from sworn.codec.payload import split_payload, tensor_header
from sworn.errors import CodecError
from sworn.types import ZERO_HASH, DType

#: Bytes of data under one leaf; the last leaf may have fewer.
CHUNK_BYTES = 1024

_LEAF, _NODE, _DATA, _TENSOR, _PAYLOAD = (bytes([tag]) for tag in range(5))


def keccak(data: bytes) -> bytes:
    """keccak256, 32 bytes."""
    return _keccak.new(digest_bits=256, data=data).digest()


def data_root(data: bytes | memoryview) -> bytes:
    """Root over the bytes of one tensor's data, bound to their number."""
    return keccak(_DATA + len(data).to_bytes(8) + _levels(data)[-1][0])


def tensor_root(dtype: DType, shape: Sequence[int], data: bytes | memoryview) -> bytes:
    """Root over element type, shape and big-endian data. Raises `SizeLimitExceeded`."""
    return keccak(_TENSOR + tensor_header(dtype, shape) + data_root(data))


def payload_root(payload: bytes) -> bytes:
    """Root over all tensors of a payload: what `Request.input_root` and `Result.output_root` hold.

    Checks structure, not element values, exactly as the contracts do. Raises `PayloadMalformed`, `DTypeUnsupported`.
    """
    tensors = split_payload(payload)
    roots = b"".join(tensor_root(tensor.dtype, tensor.shape, tensor.data) for tensor in tensors)
    return keccak(_PAYLOAD + bytes([len(tensors)]) + roots)


def open_chunk(data: bytes | memoryview, index: int) -> tuple[bytes, ...]:
    """Siblings of chunk ``index``, from its leaf upwards. Raises `CodecError` when there is no such chunk."""
    if not 0 <= index < _chunk_count(len(data)):
        raise CodecError(f"no chunk {index} in {len(data)} bytes")
    siblings: list[bytes] = []
    empty = ZERO_HASH
    for level in _levels(data)[:-1]:
        siblings.append(level[index ^ 1] if index ^ 1 < len(level) else empty)
        empty = _parent(empty, empty)
        index >>= 1
    return tuple(siblings)


def verify_chunk(root: bytes, chunk: bytes, *, index: int, siblings: Sequence[bytes], byte_length: int) -> bool:
    """Whether ``chunk`` is chunk ``index`` of the ``byte_length`` bytes under a `data_root`."""
    count = _chunk_count(byte_length)
    if not 0 <= index < count or len(siblings) != (count - 1).bit_length():
        return False
    if len(chunk) != min(CHUNK_BYTES, byte_length - index * CHUNK_BYTES):
        return False
    node = keccak(_LEAF + chunk)
    for sibling in siblings:
        node = _parent(sibling, node) if index & 1 else _parent(node, sibling)
        index >>= 1
    return keccak(_DATA + byte_length.to_bytes(8) + node) == root


def _levels(data: bytes | memoryview) -> list[list[bytes]]:
    view = memoryview(data)
    level = [keccak(_LEAF + view[start : start + CHUNK_BYTES]) for start in range(0, len(view), CHUNK_BYTES)]
    levels = [level or [ZERO_HASH]]
    empty = ZERO_HASH
    while len(levels[-1]) > 1:
        below = levels[-1]
        padded = [*below, empty] if len(below) % 2 else below
        levels.append([_parent(padded[i], padded[i + 1]) for i in range(0, len(padded), 2)])
        empty = _parent(empty, empty)
    return levels


def _parent(left: bytes, right: bytes) -> bytes:
    return keccak(_NODE + left + right)


def _chunk_count(byte_length: int) -> int:
    return -(-byte_length // CHUNK_BYTES)
