"""Canonical payloads from numpy arrays and back. `docs/encoding.md` is the norm.

One value has one encoding: floats are finite and never -0.0, bools are 0 or 1, nothing follows the last tensor.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sworn.codec.conversion import array_for
from sworn.codec.payload import (
    MAX_SHAPE_BYTES,
    MAX_TENSORS,
    RawTensor,
    encode_reference,
    reference_of,
    split_payload,
    tensor_header,
)
from sworn.errors import DTypeUnsupported, PayloadMalformed, ShapeMismatch, SizeLimitExceeded, ValueNotFinite
from sworn.types import DType, TensorSpec

__all__ = [
    "decode_payload",
    "decode_tensors",
    "describe",
    "dtype_of",
    "encode_payload",
    "encode_reference",
    "encode_tensors",
    "reference_of",
]

_DTYPES: Final = {dtype.numpy: dtype for dtype in DType}


def dtype_of(array: NDArray[Any]) -> DType:
    """The element type of an array, whatever its byte order. Raises `DTypeUnsupported`."""
    dtype = _DTYPES.get(array.dtype.newbyteorder("="))
    if dtype is None:
        raise DTypeUnsupported(f"element type {array.dtype} has no canonical encoding")
    return dtype


def encode_payload(arrays: Sequence[NDArray[Any]]) -> bytes:
    """The canonical payload of arrays of any supported dtype, shape, stride and byte order.

    Raises `DTypeUnsupported`, `ValueNotFinite` and `SizeLimitExceeded` (0 or more than 64 arrays, rank over 32).
    """
    if not 1 <= len(arrays) <= MAX_TENSORS:
        raise SizeLimitExceeded(f"a payload has 1 to {MAX_TENSORS} tensors, not {len(arrays)}")
    parts = [bytes([len(arrays)])]
    for index, array in enumerate(arrays):
        parts += _encode_tensor(array, label=f"tensor {index}")
    return b"".join(parts)


def decode_payload(payload: bytes, *, max_bytes: int | None = None) -> list[NDArray[Any]]:
    """Arrays in native byte order, writable, from a canonical payload.

    Raises `SizeLimitExceeded` (longer than ``max_bytes``), `PayloadMalformed` (also for -0.0 and bools other than 0
    and 1), `DTypeUnsupported` and `ValueNotFinite`.
    """
    return [_decode_tensor(raw, label=f"tensor {index}") for index, raw in enumerate(_split(payload, max_bytes))]


def encode_tensors(tensors: Mapping[str, Any], specs: Sequence[TensorSpec]) -> bytes:
    """The canonical payload of tensors by name, in the order of ``specs``.

    Numpy arrays must have exactly the dtype of their spec. Python scalars and nested lists are converted: ints into
    any integer or float dtype that holds them exactly, floats into float dtypes (rounded), bools into bool.
    Raises `ShapeMismatch` naming the tensor and what was expected, and what `encode_payload` raises.
    """
    _check_names(tensors, specs)
    if not 1 <= len(specs) <= MAX_TENSORS:
        raise SizeLimitExceeded(f"a payload has 1 to {MAX_TENSORS} tensors, not {len(specs)}")
    parts = [bytes([len(specs)])]
    for spec in specs:
        array = array_for(tensors[spec.name], spec)
        _check_spec(spec, dtype_of(array), array.shape)
        parts += _encode_tensor(array, label=f"tensor {spec.name!r}")
    return b"".join(parts)


def decode_tensors(
    payload: bytes, specs: Sequence[TensorSpec], *, max_bytes: int | None = None
) -> dict[str, NDArray[Any]]:
    """Arrays by name from a canonical payload that fits ``specs``.

    Raises `ShapeMismatch` naming the tensor and what was expected, and what `decode_payload` raises.
    """
    raws = _split(payload, max_bytes)
    if len(raws) != len(specs):
        raise ShapeMismatch(f"expected {len(specs)} tensors ({_names(specs)}), got {len(raws)}")
    for spec, raw in zip(specs, raws, strict=True):
        _check_spec(spec, raw.dtype, raw.shape)
    return {
        spec.name: _decode_tensor(raw, label=f"tensor {spec.name!r}") for spec, raw in zip(specs, raws, strict=True)
    }


def describe(dtype: DType, shape: Sequence[int | None]) -> str:
    """An element type and a shape as people read them: ``float32[?, 4]``."""
    return f"{dtype.name.lower()}[{', '.join('?' if size is None else str(size) for size in shape)}]"


def _split(payload: bytes, max_bytes: int | None) -> list[RawTensor]:
    if max_bytes is not None and len(payload) > max_bytes:
        raise SizeLimitExceeded(f"the payload has {len(payload)} bytes, more than {max_bytes}")
    return split_payload(payload)


def _encode_tensor(array: Any, *, label: str) -> list[bytes]:
    if not isinstance(array, np.ndarray | np.generic) or isinstance(array, np.ma.MaskedArray):
        raise DTypeUnsupported(f"{label} is a {type(array).__name__}, not a plain numpy array")
    array = np.asarray(array)
    dtype = dtype_of(array)
    header = tensor_header(dtype, array.shape)
    if dtype is DType.BOOL:
        # A bool array made by `view` may hold other bytes than 0 and 1.
        return [header, (array.view(np.uint8) != 0).tobytes()]
    native = np.array(array, dtype=dtype.numpy, order="C")
    if native.dtype.kind == "f":
        if not np.isfinite(native).all():
            raise ValueNotFinite(f"{label} contains NaN or infinity")
        bits = _bits(native)
        bits[bits == _negative_zero(native)] = 0
    return [header, native.astype(native.dtype.newbyteorder(">")).tobytes()]


def _decode_tensor(raw: RawTensor, *, label: str) -> NDArray[Any]:
    if raw.dtype.itemsize * math.prod(max(size, 1) for size in raw.shape) > MAX_SHAPE_BYTES:
        raise PayloadMalformed(f"{label} is empty, with other dimensions too large to hold: {list(raw.shape)}")
    if raw.dtype is DType.BOOL:
        octets = np.frombuffer(raw.data, dtype=np.uint8)
        if (octets > 1).any():
            raise PayloadMalformed(f"{label} contains a bool other than 0 and 1")
        return octets.astype(np.bool_).reshape(raw.shape)
    native = np.frombuffer(raw.data, dtype=raw.dtype.numpy.newbyteorder(">")).astype(raw.dtype.numpy)
    if native.dtype.kind == "f":
        if not np.isfinite(native).all():
            raise ValueNotFinite(f"{label} contains NaN or infinity")
        if (_bits(native) == _negative_zero(native)).any():
            raise PayloadMalformed(f"{label} contains -0.0")
    return native.reshape(raw.shape)


def _bits(native: NDArray[Any]) -> NDArray[Any]:
    # Bits, not values: a thread that flushes subnormals would see them equal to zero.
    return native.view(f"u{native.itemsize}")


def _negative_zero(native: NDArray[Any]) -> Any:
    return _bits(np.array(-0.0, dtype=native.dtype))


def _check_names(tensors: Mapping[str, Any], specs: Sequence[TensorSpec]) -> None:
    expected = {spec.name for spec in specs}
    for spec in specs:
        if spec.name not in tensors:
            raise ShapeMismatch(f"tensor {spec.name!r} is missing: expected {describe(spec.dtype, spec.shape)}")
    unknown = sorted(str(name) for name in tensors if name not in expected)
    if unknown:
        raise ShapeMismatch(f"tensor {unknown[0]!r} is unknown: expected {_names(specs)}")


def _check_spec(spec: TensorSpec, dtype: DType, shape: tuple[int, ...]) -> None:
    fits = (
        dtype is spec.dtype
        and len(shape) == len(spec.shape)
        and all(want is None or want == got for want, got in zip(spec.shape, shape, strict=True))
    )
    if not fits:
        raise ShapeMismatch(
            f"tensor {spec.name!r}: expected {describe(spec.dtype, spec.shape)}, got {describe(dtype, shape)}"
        )


def _names(specs: Sequence[TensorSpec]) -> str:
    return ", ".join(repr(spec.name) for spec in specs)
