from __future__ import annotations

from tests.support.long_contractions import TERMS, byte_case, float_case

#: Execution gas per term that a contraction of this length may take.
FLOAT_GAS, BYTE_GAS = 190, 30


def test_float_contraction_per_term_stays_within_its_gas() -> None:
    """A sum of 4,608 products of floats, everything included but the transaction."""
    verdict = float_case().asked()
    assert verdict.faulty is True
    assert verdict.gas / TERMS <= FLOAT_GAS


def test_byte_contraction_per_term_stays_within_its_gas() -> None:
    """A sum of 4,608 products of bytes with zero points."""
    verdict = byte_case().asked()
    assert verdict.faulty is True
    assert verdict.gas / TERMS <= BYTE_GAS
