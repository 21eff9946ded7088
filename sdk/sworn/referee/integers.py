"""Integers and booleans as bits: two's complement of the type's width, right-aligned in an unsigned integer."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from sworn.errors import DivisionByZero, ModelMalformed
from sworn.types import DType

#: Bits per element.
WIDTHS: Final = MappingProxyType(
    {
        DType.FLOAT32: 32,
        DType.UINT8: 8,
        DType.INT8: 8,
        DType.UINT16: 16,
        DType.INT16: 16,
        DType.INT32: 32,
        DType.INT64: 64,
        DType.BOOL: 8,
        DType.FLOAT64: 64,
        DType.UINT32: 32,
        DType.UINT64: 64,
    }
)

SIGNED: Final = frozenset({DType.INT8, DType.INT16, DType.INT32, DType.INT64})
INTEGERS: Final = SIGNED | {DType.UINT8, DType.UINT16, DType.UINT32, DType.UINT64}


def decode(bits: int, dtype: DType) -> int:
    """The value of an integer's bits; a boolean is 0 or 1. Raises `ModelMalformed` for a float type."""
    if dtype in SIGNED:
        return bits - (1 << WIDTHS[dtype]) if bits >> WIDTHS[dtype] - 1 else bits
    if dtype is DType.BOOL:
        return int(bits != 0)
    if dtype not in INTEGERS:
        raise ModelMalformed(f"{dtype.name} stands where an integer belongs")
    return bits


def wrap(value: int, dtype: DType) -> int:
    """The bits of a value modulo 2**width."""
    return value & (1 << WIDTHS[dtype]) - 1


def bounds(dtype: DType) -> tuple[int, int]:
    """The least and the greatest value of an integer type."""
    width = WIDTHS[dtype]
    return (-(1 << width - 1), (1 << width - 1) - 1) if dtype in SIGNED else (0, (1 << width) - 1)


def saturate(value: int, dtype: DType) -> int:
    """The bits of the value of an integer type that is nearest."""
    low, high = bounds(dtype)
    return wrap(min(max(value, low), high), dtype)


def divide(left: int, right: int) -> int:
    """The quotient, truncated towards zero. Raises `DivisionByZero`."""
    if right == 0:
        raise DivisionByZero(f"{left} / 0")
    quotient = abs(left) // abs(right)
    return -quotient if (left < 0) != (right < 0) else quotient


def floor_remainder(left: int, right: int) -> int:
    """The remainder with the divisor's sign. Raises `DivisionByZero`."""
    if right == 0:
        raise DivisionByZero(f"{left} mod 0")
    return left % right


def truncated_remainder(left: int, right: int) -> int:
    """The remainder with the dividend's sign. Raises `DivisionByZero`."""
    return left - right * divide(left, right)
