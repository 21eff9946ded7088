"""Conversions between element types: casts, quantisation and back."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sworn.engine.exact.summation import round_sum
from sworn.errors import CastOutOfRange, RunNotFinite
from sworn.types import DType

Array = NDArray[Any]

#: Every integer up to this is a float64.
_FLOAT64_EXACT = 1 << 53


def cast(array: Array, dtype: DType) -> Array:
    """Elements in another type. Raises `CastOutOfRange` for a float that the integer type lacks."""
    if dtype is DType.BOOL:
        return np.not_equal(array, 0)
    if array.dtype == np.float32:
        return array.copy() if dtype is DType.FLOAT32 else _to_integers(array, dtype)
    return integers_to_float32(array) if dtype is DType.FLOAT32 else array.astype(dtype.numpy)


def _to_integers(array: Array, dtype: DType) -> Array:
    limits = np.iinfo(dtype.numpy)
    whole = np.trunc(array.astype(np.float64))
    # The greatest value may be no float64; the power of two above it is one.
    inside = (whole >= float(limits.min)) & (whole < float(int(limits.max) + 1))
    if not inside.all():
        index = int(np.flatnonzero(~inside.reshape(-1))[0])
        raise CastOutOfRange(f"element {index} is {array.reshape(-1)[index]!r}, which is no {dtype.name.lower()}")
    return whole.astype(dtype.numpy)


def integers_to_float32(array: Array) -> Array:
    """RN of integers and booleans."""
    if array.dtype.itemsize <= 4:
        return array.astype(np.float64).astype(np.float32)
    # What lies below bit 11 only has to be seen: 53 bits and the float32's 24 are far enough apart.
    sticky = (array >> 11) | ((array & 0x7FF) != 0).astype(array.dtype)
    is_small = (array <= _FLOAT64_EXACT) & (array >= -_FLOAT64_EXACT if array.dtype.kind == "i" else True)
    large = sticky.astype(np.float64) * 2048.0
    return np.where(is_small, array.astype(np.float64), large).astype(np.float32)


def quantize(a: Array, b: Array, c: Array | None = None, *, dtype: DType) -> Array:
    """saturate(RNE(a / b) + c).

    A quotient of two float32 below 2**17 that is not halfway between two integers differs from halfway by more than
    2**-43 of itself, so that rounding it to float64 first does no harm; larger ones saturate.
    """
    return _saturate(np.rint(a.astype(np.float64) / b.astype(np.float64)), c, dtype)


def requantize(a: Array, b: Array, c: Array | None = None, *, dtype: DType) -> Array:
    """saturate(RNE(RN(f32(a) · b)) + c)."""
    return _saturate(np.rint(integers_to_float32(a) * b).astype(np.float64), c, dtype)


def _saturate(rounded: Array, c: Array | None, dtype: DType) -> Array:
    broken = np.isnan(rounded)
    if broken.any():
        raise RunNotFinite(f"element {int(np.flatnonzero(broken.reshape(-1))[0])} has no quantised value")
    limits = np.iinfo(dtype.numpy)
    moved = rounded if c is None else rounded + c.astype(np.float64)
    clipped: Array = np.clip(moved, float(limits.min), float(limits.max))
    return clipped.astype(dtype.numpy)


def dequantize(a: Array, b: Array, c: Array | None = None) -> Array:
    """RN((a − c) · b): 33 bits times 24 in two exact halves."""
    difference = a.astype(np.int64) if c is None else a.astype(np.int64) - c.astype(np.int64)
    scale = b.astype(np.float64)
    if a.dtype.itemsize == 1:
        return (difference * scale).astype(np.float32) + np.float32(0.0)
    low = difference & 0xFFFF
    return np.where(
        np.isfinite(scale), round_sum((difference - low) * scale, low * scale), (difference * scale).astype(np.float32)
    ) + np.float32(0.0)
