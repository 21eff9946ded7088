from __future__ import annotations

import struct
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.accounts import Account
from tests.support.assertions import reverts
from tests.support.chain import Chain, Contract
from tests.support.ieee754 import BINARY32, BINARY64, WAD, Format

INT256_MAX = 2**255 - 1
INT256_MIN = -(2**255)
#: `toWad` gives at most 254 bits.
WAD_BITS = 254

FORMATS = pytest.mark.parametrize("form", [BINARY32, BINARY64], ids=lambda form: form.name)
#: Calls change nothing, so examples may share a chain.
PROPERTY = settings(
    max_examples=30, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

#: Magnitudes of every size, not only large ones.
WADS = st.integers(0, 255).flatmap(lambda size: st.integers(-(2**size), 2**size - 1))


@pytest.fixture
def floats(chain: Chain, deployer: Account) -> Contract:
    """`Float` from outside."""
    return chain.deploy("TensorsHarness", by=deployer)


def from_wads(floats: Contract, form: Format, wads: Iterable[int]) -> list[int]:
    """The contract's floats for wads."""
    return list(floats.call("fromWads", list(wads), form.exponent_bits, form.fraction_bits))


def to_wads(floats: Contract, form: Format, bits: Iterable[int]) -> list[int]:
    """The contract's wads for floats."""
    return list(floats.call("toWads", list(bits), form.exponent_bits, form.fraction_bits))


def finite_bits(form: Format) -> st.SearchStrategy[int]:
    """Finite floats, every exponent as likely as any other."""
    return st.builds(
        lambda magnitude, negative: magnitude | (form.sign if negative else 0),
        st.integers(0, form.infinity - 1),
        st.booleans(),
    )


@FORMATS
def test_from_wad_of_ties_picks_even_significand(floats: Contract, form: Format) -> None:
    """Half-way values go to the even neighbour, also when that carries into the next power of two; one wad decides."""
    odd = 1 << (form.fraction_bits + 1)
    ties = [(odd + 1) * WAD, (odd + 3) * WAD, (2 * odd - 1) * WAD, (odd + 1) * WAD // 2, (odd + 3) * WAD // 2**18]
    wads = [sign * (tie + step) for tie in ties for step in (-1, 0, 1) for sign in (1, -1)]

    found = from_wads(floats, form, wads)

    assert found == [form.from_wad(wad) for wad in wads]
    carried = found[wads.index((2 * odd - 1) * WAD)]
    assert form.value(carried) == 2 * odd


@FORMATS
def test_from_wad_of_extremes_rounds_to_nearest(floats: Contract, form: Format) -> None:
    """Zero, single wads, powers of two and of ten and their neighbours become the nearest floats."""
    powers = [*(10**exponent for exponent in range(0, 37, 3)), *(2**exponent for exponent in range(0, 186, 15))]
    magnitudes = {0, *powers, *(power - 1 for power in powers), *(power + 1 for power in powers)}
    wads = [sign * magnitude for magnitude in sorted(magnitudes) for sign in (1, -1)]

    assert from_wads(floats, form, wads) == [form.from_wad(wad) for wad in wads]


def test_from_wad_of_integer_limits_fits_binary64(floats: Contract) -> None:
    """The largest and the smallest int256 are finite as binary64."""
    found = from_wads(floats, BINARY64, [INT256_MAX, INT256_MIN])

    assert found == [BINARY64.from_wad(INT256_MAX), BINARY64.from_wad(INT256_MIN)]
    assert found[1] == struct.unpack(">Q", struct.pack(">d", -(2.0**255) / 1e18))[0]


@pytest.mark.parametrize("wad", [INT256_MAX, INT256_MIN, (2**25 - 1) * 2**103 * WAD, -(2**128) * WAD])
def test_from_wad_beyond_binary32_reverts(floats: Contract, wad: int) -> None:
    """A wad whose nearest binary32 would be infinite is refused, from the tie above the largest float on."""
    assert BINARY32.from_wad(wad) is None

    with reverts("WadOutOfRange", wad=wad):
        from_wads(floats, BINARY32, [wad])


def test_from_wad_below_overflow_gives_largest_float(floats: Contract) -> None:
    """The last wad before the tie above the largest binary32 still becomes the largest binary32."""
    last = (2**25 - 1) * 2**103 * WAD - 1

    found = from_wads(floats, BINARY32, [last, -last])

    largest = BINARY32.infinity - 1
    assert found == [largest, BINARY32.sign | largest]


@FORMATS
@PROPERTY
@given(wads=st.lists(WADS, min_size=20, max_size=60))
def test_from_wad_of_any_wad_rounds_to_nearest(floats: Contract, form: Format, wads: list[int]) -> None:
    """Every wad becomes the float that exact arithmetic gives."""
    expected = [(wad, bits) for wad in wads if (bits := form.from_wad(wad)) is not None]

    assert from_wads(floats, form, [wad for wad, _ in expected]) == [bits for _, bits in expected]


@FORMATS
def test_to_wad_of_edges_truncates_toward_zero(floats: Contract, form: Format) -> None:
    """Zeros, subnormals, the smallest float that is a wad and its neighbours are cut off toward zero."""
    wad = form.from_wad(1) or 0
    one = form.from_wad(WAD) or 0
    smallest_normal = 1 << form.fraction_bits
    magnitudes = [0, 1, smallest_normal - 1, smallest_normal, wad - 1, wad, wad + 1, one - 1, one, one + 1]
    bits = [magnitude | sign for magnitude in magnitudes for sign in (0, form.sign)]

    found = to_wads(floats, form, bits)

    assert found == [form.to_wad(one_float) for one_float in bits]
    assert found[:8] == [0] * 8


def test_to_wad_of_largest_binary32_is_exact(floats: Contract) -> None:
    """Every finite binary32 fits a wad, up to the largest."""
    largest = BINARY32.infinity - 1

    assert to_wads(floats, BINARY32, [largest, largest | BINARY32.sign]) == [
        (2**24 - 1) * 2**104 * WAD,
        -(2**24 - 1) * 2**104 * WAD,
    ]


@FORMATS
@pytest.mark.parametrize("fraction", [0, 1, 5])
def test_to_wad_of_not_finite_reverts(floats: Contract, form: Format, fraction: int) -> None:
    """Infinities and NaNs of either sign are no wads."""
    for bits in (form.infinity | fraction, form.sign | form.infinity | fraction):
        with reverts("FloatOutOfRange", bits=bits):
            to_wads(floats, form, [bits])


def test_to_wad_of_huge_binary64_reverts(floats: Contract) -> None:
    """A float of more bits than a wad is refused, and the last one below is not."""
    limit = next(bits for bits in _binary64_powers() if BINARY64.to_wad(bits).bit_length() > WAD_BITS)
    fitting = next(
        bits for bits in range(limit, limit - 2**52, -(2**49)) if BINARY64.to_wad(bits).bit_length() <= WAD_BITS
    )

    assert to_wads(floats, BINARY64, [fitting]) == [BINARY64.to_wad(fitting)]
    for bits in (limit, limit | BINARY64.sign, BINARY64.infinity - 1):
        with reverts("FloatOutOfRange", bits=bits):
            to_wads(floats, BINARY64, [bits])


def _binary64_powers() -> list[int]:
    return [(exponent + BINARY64.bias) << BINARY64.fraction_bits for exponent in range(150, 300)]


@FORMATS
@PROPERTY
@given(data=st.data())
def test_to_wad_of_any_float_truncates_toward_zero(floats: Contract, form: Format, data: st.DataObject) -> None:
    """Every finite float that fits becomes the wad that exact arithmetic gives."""
    bits = data.draw(st.lists(finite_bits(form), min_size=20, max_size=60))
    fitting = [one for one in bits if form.to_wad(one).bit_length() <= WAD_BITS]

    assert to_wads(floats, form, fitting) == [form.to_wad(one) for one in fitting]


@FORMATS
@PROPERTY
@given(data=st.data())
def test_wads_through_floats_come_back_nearby(floats: Contract, form: Format, data: st.DataObject) -> None:
    """A float that comes from a wad gives a wad no further away than half a unit in the last place and one wad."""
    size = 180 if form is BINARY32 else 250
    wads = data.draw(st.lists(st.integers(-(2**size), 2**size), min_size=10, max_size=40))

    back = to_wads(floats, form, from_wads(floats, form, wads))

    half_unit = form.fraction_bits + 1
    assert all(abs(wad - other) <= (abs(wad) >> half_unit) + 1 for wad, other in zip(wads, back, strict=True))


@FORMATS
@PROPERTY
@given(data=st.data())
def test_order_of_any_floats_follows_values(floats: Contract, form: Format, data: st.DataObject) -> None:
    """Orders compare as the floats' values do, and both zeros are one number."""
    bits = [0, form.sign, *data.draw(st.lists(finite_bits(form), min_size=5, max_size=40))]

    orders = floats.call("orders", bits, form.width)

    pairs = sorted(zip((form.value(one) for one in bits), orders, strict=True))
    for (value, order), (next_value, next_order) in pairwise(pairs):
        assert (value < next_value) == (order < next_order)
        assert (value == next_value) == (order == next_order)
