"""Elements that claims are made about: random bits of every kind, and those at which something changes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from tests.support.referee_chain import Case

from sworn.errors import SwornError
from sworn.model.program import Function
from sworn.referee.floats import order_key
from sworn.types import DType

Array = NDArray[Any]
Generator = np.random.Generator
#: Makes claims, one family of cases after the other.
Generate = Callable[[Generator], Iterator[Case]]

#: Bits of floats at which something changes: zeros, subnormals, ones, halves, integers, the greatest, infinities, NaN.
EDGES: Final = (
    *(0x00000000, 0x80000000, 0x00000001, 0x80000001, 0x007FFFFF, 0x00800000, 0x80800001, 0x3F800000, 0xBF800000),
    *(0x3F7FFFFF, 0x3F800001, 0x3F000000, 0xBF000000, 0x3FC00000, 0x40200000, 0xC0200000, 0x4B7FFFFF, 0x4B800001),
    *(0x4EFFFFFF, 0x4F000000, 0xCF000000, 0x5F000000, 0x7F7FFFFF, 0xFF7FFFFF, 0x7F800000, 0xFF800000, 0x7FC00000),
)
#: Arguments of real functions that come nearest to half-way points or to multiples of a right angle, and both sides of
#: every border behind which a value is settled.
HARD: Final = MappingProxyType(
    {
        Function.SIGMOID: (0xB3800000, 0x33800000, 0x41FFFFFF, 0x42000000, 0xC2FFFFFF, 0xC3000000),
        Function.SIN: (0x6F79BE45, 0x397FFFFF, 0x39800000, 0x7F7FFFFF, 0x40490FDB),
        Function.COS: (0x6F79BE45, 0x38FFFFFF, 0x39000000, 0x7F7FFFFF, 0x3FC90FDB),
        Function.TANH: (0x38FFFFFF, 0x39000000, 0x3E7FFFFF, 0x3E800000, 0x417FFFFF, 0x41800000),
        Function.EXP: (0x42B17218, 0x42B17217, 0xC2CFF1B5, 0x00000001, 0x42FFFFFF, 0xC3000000),
        Function.LOG: (0x3F7FFFFF, 0x3F800001, 0x00000001, 0x7F7FFFFF, 0x3FB504F3, 0x3FB504F4),
        Function.ERF: (0x407FFFFF, 0x40800000, 0x00000001, 0x80000001, 0x3F800000),
        Function.SOFTPLUS: (0x00000000, 0x41FFFFFF, 0x42000000, 0xC2FFFFFF, 0xC3000000),
        Function.ELU: (0xA17FFFFF, 0xA1800000, 0xC1FFFFFF, 0xC2000000, 0xBE7FFFFF, 0xBE800000),
    }
)
#: Odd numbers whose inverses have bounds that are floats, as they divide 2**21 + 1 or 2**21 − 1, and others.
ODD: Final = (1, 3, 5, 7, 9, 15, 43, 49, 127, 129, 337, 387, 1849, 2_097_151, 2_097_153)
INTEGERS: Final = tuple(d for d in DType if d not in (DType.FLOAT32, DType.FLOAT64, DType.BOOL))
#: How far from the bits of a border an argument is taken.
_NEAR: Final = 3


def float_bits(rng: Generator) -> int:
    """A float32 of any kind: an edge, any bits, a subnormal, or an ordinary number."""
    kind = rng.integers(16)
    if kind <= 1:
        return int(rng.choice(EDGES))
    if kind <= 4:
        return int(rng.integers(1 << 32))
    if kind == 5:
        return int(rng.integers(1 << 32)) & 0x807FFFFF
    if kind <= 7:
        return int(np.float32(rng.integers(-300, 300) / rng.choice([1, 2, 4])).view(np.uint32))
    return int(np.float32(rng.standard_normal() * 2.0 ** rng.integers(-12, 12)).view(np.uint32))


def argument_bits(rng: Generator, function: Function) -> int:
    """An argument of a function: often where its value is hard to round or settles, else any float."""
    if function in HARD and rng.integers(4) == 0:
        return (int(rng.choice(HARD[function])) + int(rng.integers(-_NEAR, _NEAR + 1))) & 0xFFFFFFFF
    if function is Function.POW and rng.integers(3) == 0:
        # Whose powers are rational, and may lie on a bound.
        return int(np.float32(np.ldexp(float(rng.choice(ODD)), int(rng.integers(-149, 110)))).view(np.uint32))
    if rng.integers(3) == 0:
        # Where most functions are neither settled nor linear.
        return int(np.float32(rng.uniform(-1, 1) * 2.0 ** rng.integers(-3, 7)).view(np.uint32))
    return float_bits(rng)


def finite_parameter(rng: Generator) -> float:
    """A float32 that may stand in a step, seldom infinite."""
    found = float(np.array(float_bits(rng), np.uint32).view(np.float32))
    return 0.5 if math.isnan(found) else found + 0.0


def element_bits(rng: Generator, dtype: DType) -> int:
    """The bits of an element of a type."""
    if dtype is DType.FLOAT32:
        return float_bits(rng)
    width = 8 * dtype.itemsize
    if dtype is DType.BOOL:
        return int(rng.integers(2))
    if rng.integers(4) == 0:
        return (0, 1, (1 << width) - 1, 1 << width - 1, (1 << width - 1) - 1)[rng.integers(5)]
    return int(rng.integers(1 << min(width, 62))) ^ int(rng.integers(2)) << width - 1


def elements(rng: Generator, dtype: DType, count: int) -> Array:
    """So many elements of a type, all at once."""
    if dtype is DType.BOOL:
        return rng.integers(0, 2, count).astype(np.bool_)
    raw = rng.integers(0, 256, count * dtype.itemsize, dtype=np.uint8).view(f"u{dtype.itemsize}")
    if dtype is DType.FLOAT32:
        ordinary = rng.standard_normal(count) * np.exp2(rng.integers(-12, 12, count))
        edges = rng.choice(np.array(EDGES, np.uint32), count)
        quarters = (rng.integers(-300, 300, count) / 4).astype(np.float32).view(np.uint32)
        kind = rng.integers(0, 16, count)
        chosen = [kind <= 1, kind <= 4, kind == 5, kind <= 7]
        return np.asarray(
            np.select(
                chosen, [edges, raw, raw & np.uint32(0x807FFFFF), quarters], ordinary.astype(np.float32).view(np.uint32)
            ).view(np.float32)
        )
    width = 8 * dtype.itemsize
    edges = np.array([0, 1, (1 << width) - 1, 1 << width - 1, (1 << width - 1) - 1], raw.dtype)
    found = np.where(rng.integers(0, 4, count) == 0, rng.choice(edges, count), raw)
    return np.asarray(found.astype(raw.dtype).view(dtype.numpy))


def any_dtype(rng: Generator) -> DType:
    """Any type that a tensor may have, float32 as often as not."""
    return DType(int(rng.choice([*INTEGERS, DType.FLOAT32, DType.FLOAT32, DType.FLOAT32, DType.BOOL])))


def array_of(bits: Sequence[int], dtype: DType) -> Array:
    """Elements from their bits."""
    return np.array(bits, dtype=f"u{dtype.itemsize}").view(dtype.numpy)


def claims(rng: Generator, case: Case) -> Iterator[Case]:
    """The case with the right claim and with wrong ones: a bit off, and anything."""
    width = 8 * case.program.steps[0].output.dtype.itemsize
    wrong = int(rng.integers(1 << min(width, 62)))
    try:
        right = case.value()
    except SwornError:
        yield replace(case, claimed=wrong)
        return
    yield replace(case, claimed=right)
    yield replace(case, claimed=right ^ 1 << int(rng.integers(width)))


def bounded(generate: Generate) -> Generate:
    """The same claims in profile `bounded`, and the outermost ones that it admits with their neighbours."""

    def claims_of(rng: Generator) -> Iterator[Case]:
        for case in generate(rng):
            wide = replace(case, bounded=True)
            yield wide
            if case.expected() is False and case.program.steps[0].output.dtype is DType.FLOAT32:
                yield from _at_bounds(wide, 1 if rng.integers(2) else -1)

    return claims_of


def _at_bounds(case: Case, way: int) -> Iterator[Case]:
    """The last claims from here in one direction that are admitted, the next ones, and an infinity."""
    start = order_key(case.claimed)

    def claim(distance: int) -> Case:
        key = min(max(start + way * distance, -0x7F800000), 0x7F800000)
        return replace(case, claimed=key if key >= 0 else -key | 1 << 31)

    inside, outside = 0, 1
    while claim(outside).expected() is False and outside < 1 << 32:
        inside, outside = outside, 2 * outside
    while outside - inside > 1:
        middle = (inside + outside) // 2
        inside, outside = (inside, middle) if claim(middle).expected() else (middle, outside)
    distances = {inside // 2, max(inside - 1, 0), inside, outside, outside + 1, 2 * outside, 1 << 33}
    yield from map(claim, sorted(distances))
