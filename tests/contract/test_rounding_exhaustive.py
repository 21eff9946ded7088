from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import cache
from itertools import product
from typing import Any

import pytest
from tests.support.ieee754 import BINARY32
from tests.support.pure_contract import PureContract

Term = tuple[bool, int, int]

#: Exponent of a unit of the product bins, and of the last bit that a wide sum keeps.
UNIT, LEAST = -298, -640
LANES = 8
#: Exponent fields at the edges of what a bin holds and of what a float is.
EDGES = (0, 1, 2, 63, 64, 65, 126, 127, 128, 129, 191, 192, 253, 254)

_ROUNDED = "rounded((bool,uint256,int256)[],bool)"
_SIGNS = "signs((bool,uint256,int256)[])"


@cache
def harness() -> PureContract:
    """One for all tests: calls leave nothing behind."""
    return PureContract("ArithmeticHarness")


def nearest(value: Fraction) -> int:
    """Bits of the nearest float, by exact arithmetic; infinite where none is nearer."""
    bits = BINARY32.nearest(value)
    if bits is None:
        return BINARY32.infinity | (BINARY32.sign if value < 0 else 0)
    # -0 is never given.
    return 0 if bits == BINARY32.sign else bits


def scaled(magnitude: int, exponent: int) -> Fraction:
    """Magnitude * 2^exponent."""
    return Fraction(magnitude) * Fraction(2) ** exponent


def edges_of_rounding(length: int) -> Iterator[int]:
    """Magnitudes of so many bits around every place where rounding turns: floats, middles and their neighbours."""
    top = 1 << (length - 1)
    yield from (top, 2 * top - 1)
    for kept in (1, 2, 22, 23, 24, 25):
        if length > kept:
            unit = 1 << (length - kept)
            for middle in (top + unit // 2, top + unit + unit // 2, 2 * top - unit // 2):
                yield from (near for near in (middle - 1, middle, middle + 1) if top <= near < 2 * top)


@pytest.mark.parametrize(
    "step", [pytest.param(29, id="some"), pytest.param(1, id="all_lengths", marks=pytest.mark.slow)]
)
def test_rounding_at_every_length_and_exponent_is_to_nearest_even(step: int) -> None:
    """For every number of bits and every exponent at which rounding behaves in another way."""
    for length in range(1, 257, step):
        magnitudes = sorted(set(edges_of_rounding(length)))
        leading = (-152, -151, -150, -149, -148, -127, -126, -125, -1, 0, 103, 126, 127, 128, 129)
        terms = [(place % 2 == 1, m, lead + 1 - length) for lead in leading for place, m in enumerate(magnitudes)]
        (found,) = harness().call(_ROUNDED, [terms, False], ["uint256[]"])
        assert list(found) == [nearest((-1) ** negative * scaled(m, e)) for negative, m, e in terms]
        kept = [(negative, m, e) for negative, m, e in terms if length > 25 or e < -150]
        (found,) = harness().call(_ROUNDED, [kept, True], ["uint256[]"])
        little = Fraction(1, 1 << 40)
        assert list(found) == [nearest((-1) ** negative * scaled(1, e) * (m + little)) for negative, m, e in kept]


@pytest.mark.parametrize(
    ("fields", "turns"),
    [
        pytest.param(EDGES, LANES, id="edges"),
        pytest.param(range(255), LANES, id="all_fields", marks=pytest.mark.slow),
    ],
)
def test_products_of_every_two_exponents_are_added_exactly_in_every_lane(fields: Sequence[int], turns: int) -> None:
    """Eight products at a time, signs and fractions drawn: their sum is the bins' value, to the last bit."""
    rest = random.Random(7)
    pairs = list(product(fields, fields))
    for turn in range(turns):
        for some in batched(pairs[turn:] + pairs[:turn], LANES):
            lanes = [*some, *[(0, 0)] * (LANES - len(some))]
            left = [rest.getrandbits(1) << 31 | p << 23 | _fraction(rest) for p, _ in lanes]
            right = [rest.getrandbits(1) << 31 | q << 23 | _fraction(rest) for _, q in lanes]
            spoilt, bins = harness().call(
                "products(uint256,uint256)", [_joined(left), _joined(right)], ["uint256", "uint256[8]"]
            )
            expected = sum(BINARY32.value(a) * BINARY32.value(b) for a, b in zip(left, right, strict=True))
            total = sum((bins[k] - bins[k + 4]) << (128 * k) for k in range(4))
            assert scaled(total, UNIT) == expected
            # A raised field that reaches bit 8 is that of an infinity.
            assert not spoilt & _joined([0x100] * LANES)


@pytest.mark.parametrize("lane", range(LANES))
def test_products_of_what_is_not_finite_are_spoilt_in_every_lane(lane: int) -> None:
    """An infinity or a NaN on either side shows."""
    for bits in (0x7F800000, 0xFF800000, 0x7FC00000, 0xFFFFFFFF):
        words = [0x3F800000] * LANES
        words[lane] = bits
        for sides in ((words, [0x3F800000] * LANES), ([0x3F800000] * LANES, words)):
            spoilt, _ = harness().call(
                "products(uint256,uint256)", list(map(_joined, sides)), ["uint256", "uint256[8]"]
            )
            assert spoilt & _joined([0x100] * LANES)


def batched(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """So many at a time."""
    return (items[start : start + size] for start in range(0, len(items), size))


def _fraction(rest: random.Random) -> int:
    return rest.choice((0, 1, 0x7FFFFF, rest.getrandbits(23)))


def _joined(lanes: Sequence[int]) -> int:
    return sum(bits << (32 * lane) for lane, bits in enumerate(lanes))


@pytest.mark.parametrize(
    ("step", "divisors"),
    [
        pytest.param(23, (1, 3, 2**32 - 1), id="some"),
        pytest.param(1, (1, 2, 3, 7, 49, 4608, 65_537, 2**31, 2**32 - 1), id="all", marks=pytest.mark.slow),
    ],
)
def test_sums_of_every_length_are_rounded_once(step: int, divisors: Sequence[int]) -> None:
    """For every leading bit of a sum: floats, middles, and middles with one unit more or less anywhere below."""
    rest = random.Random(8)
    for divisor in divisors:
        for length in range(1, 560, step):
            magnitudes = [
                m * divisor + d for m in set(edges_of_rounding(length)) for d in (-1, 0, 1) if m * divisor + d
            ]
            signed = [rest.choice((1, -1)) * m for m in magnitudes if m.bit_length() < 570]
            contents = [word for value in signed for word in _spread(value, rest)]
            (found,) = harness().call("quotients(uint256[],uint256)", [contents, divisor], ["uint256[]"])
            assert list(found) == [nearest(scaled(value, UNIT) / divisor) for value in signed]


def _spread(value: int, rest: random.Random) -> list[int]:
    """A sum as four positive and four negative bins, each below 2^188, as many ways as there are."""
    negative = [rest.getrandbits(rest.choice((1, 100, 127))) for _ in range(4)]
    total = abs(value) + sum(word << (128 * k) for k, word in enumerate(negative))
    positive = []
    for k in range(4):
        here = total & ((1 << 128) - 1) if k < 3 else total
        # Some of what belongs to the next bin may still stand here.
        carried = min(rest.getrandbits(30), total >> 128) if k < 3 else 0
        positive.append(here + (carried << 128))
        total = (total >> 128) - carried
    return [*positive, *negative] if value > 0 else [*negative, *positive]


@pytest.mark.parametrize("step", [pytest.param(17, id="some"), pytest.param(1, id="all", marks=pytest.mark.slow)])
def test_signs_of_sums_at_every_exponent_are_exact(step: int) -> None:
    """For every exponent: a number, nearly its opposite, and one bit far above, beside or far below."""
    rest = random.Random(9)
    for exponent in range(LEAST, 192, step):
        terms: list[Term] = []
        for size in (1, 24, 63, 64, 65, 127, 128, 129, 192, 256):
            magnitude = rest.getrandbits(size) | 1 << (size - 1)
            for other, last in product((magnitude - 1, magnitude, magnitude + 1), (LEAST, exponent, 447)):
                third = rest.choice((0, 1))
                terms += [(False, magnitude, exponent), (True, other % 2**256, exponent), (bool(last & 1), third, last)]
        (found,) = harness().call(_SIGNS, [terms], ["int256[]"])
        sums = [sum((-1) ** n * scaled(m, e) for n, m, e in three) for three in batched(terms, 3)]
        assert list(found) == [(value > 0) - (value < 0) for value in sums]
