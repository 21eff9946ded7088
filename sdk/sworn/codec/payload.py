"""The byte layout of payloads: structure only, as the contracts check it. `docs/encoding.md` is the norm.

::

    payload := count:uint8 (1..64) | tensor x count
    tensor  := dtype:uint8 | rank:uint8 | dims: rank x uint32 | data
    by reference := 0x00 | URI in UTF-8
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from sworn.errors import CodecError, DTypeUnsupported, PayloadMalformed, SizeLimitExceeded
from sworn.types import DType

#: Tensors in one payload.
MAX_TENSORS = 64
#: Dimensions of one tensor; what numpy can hold everywhere.
MAX_RANK = 32
#: Largest dimension: it is written as uint32.
MAX_DIMENSION = 2**32 - 1
#: Largest byte size of a decoded shape, zero dimensions counted as one: what a signed 64-bit size can express. Only an
#: empty tensor can exceed it.
MAX_SHAPE_BYTES = 2**63 - 1

_REFERENCE = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RawTensor:
    """One tensor as a payload carries it: ``data`` is a view of its big-endian elements."""

    dtype: DType
    shape: tuple[int, ...]
    data: memoryview


def shape_bytes(dtype: DType, shape: Sequence[int]) -> int:
    """Bytes of a tensor's data. Raises `SizeLimitExceeded` for shapes that no payload can have."""
    if len(shape) > MAX_RANK:
        raise SizeLimitExceeded(f"rank {len(shape)} exceeds {MAX_RANK}")
    for dimension in shape:
        if not 0 <= dimension <= MAX_DIMENSION:
            raise SizeLimitExceeded(f"dimension {dimension} is outside 0..{MAX_DIMENSION}")
    return dtype.itemsize * math.prod(shape)


def tensor_header(dtype: DType, shape: Sequence[int]) -> bytes:
    """Element type, rank and dimensions as they precede a tensor's data. Raises `SizeLimitExceeded`."""
    shape_bytes(dtype, shape)
    return struct.pack(f">BB{len(shape)}I", dtype, len(shape), *shape)


def split_payload(payload: bytes) -> list[RawTensor]:
    """The tensors of a payload, undecoded; nothing is allocated that the payload does not contain.

    Raises `PayloadMalformed` for any structural fault and `DTypeUnsupported` for an unknown element type. Element
    values are not looked at.
    """
    if not payload:
        raise PayloadMalformed("the payload is empty")
    count = payload[0]
    if count == _REFERENCE:
        raise PayloadMalformed("the payload is a reference, not tensors")
    if count > MAX_TENSORS:
        raise PayloadMalformed(f"{count} tensors exceed {MAX_TENSORS}")
    view = memoryview(payload)
    tensors: list[RawTensor] = []
    position = 1
    for index in range(count):
        tensor, position = _read_tensor(view, position, index=index)
        tensors.append(tensor)
    if position != len(view):
        raise PayloadMalformed(f"{len(view) - position} bytes follow the last tensor")
    return tensors


def encode_reference(uri: str) -> bytes:
    """The payload that stands for an input kept elsewhere. Raises `CodecError` for an unusable URI."""
    _check_uri(uri)
    try:
        return bytes([_REFERENCE]) + uri.encode()
    except UnicodeEncodeError as error:
        raise CodecError("the URI cannot be written in UTF-8") from error


def reference_of(payload: bytes) -> str | None:
    """The URI of a by-reference payload, None for any other. Raises `PayloadMalformed` for an unusable URI."""
    if not payload or payload[0] != _REFERENCE:
        return None
    try:
        uri = payload[1:].decode()
        _check_uri(uri)
    except CodecError as error:
        raise PayloadMalformed(str(error)) from error
    except UnicodeDecodeError as error:
        raise PayloadMalformed("the reference is not UTF-8") from error
    return uri


def _read_tensor(view: memoryview, start: int, *, index: int) -> tuple[RawTensor, int]:
    if start + 2 > len(view):
        raise PayloadMalformed(f"the payload ends inside the header of tensor {index}")
    code, rank = view[start], view[start + 1]
    try:
        dtype = DType(code)
    except ValueError as error:
        raise DTypeUnsupported(f"tensor {index} has unknown element type {code}") from error
    if rank > MAX_RANK:
        raise PayloadMalformed(f"tensor {index} has rank {rank}, more than {MAX_RANK}")
    begin = start + 2 + 4 * rank
    if begin > len(view):
        raise PayloadMalformed(f"the payload ends inside the dimensions of tensor {index}")
    shape = struct.unpack(f">{rank}I", view[start + 2 : begin])
    size = shape_bytes(dtype, shape)
    if size > len(view) - begin:
        raise PayloadMalformed(f"tensor {index} needs {size} bytes of data, {len(view) - begin} are left")
    return RawTensor(dtype=dtype, shape=shape, data=view[begin : begin + size]), begin + size


def _check_uri(uri: str) -> None:
    if not uri:
        raise CodecError("the URI is empty")
    if any(character <= " " or character == "\x7f" for character in uri):
        raise CodecError("the URI contains blanks or control characters")
