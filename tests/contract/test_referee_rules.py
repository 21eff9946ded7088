from __future__ import annotations

import numpy as np
import pytest
from tests.support.programs import program as made_of
from tests.support.programs import step, tensor, unary, value
from tests.support.referee_cases import FAMILIES
from tests.support.referee_chain import Case
from tests.support.referee_elements import HARD, array_of
from tests.support.referee_fuzz import compare

from sworn.model.program import Contract, Function, Pointwise, Reduction
from sworn.types import DType, Profile

#: Claims per family and profile: always, and in the long run, of which `scripts/fuzz_referee.py` says more.
FEW, MANY = 250, 100_000
PROFILES = (Profile.EXACT, Profile.BOUNDED)


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name.lower())
@pytest.mark.parametrize("family", FAMILIES)
def test_referees_on_claims_of_every_rule_agree(family: str, profile: Profile) -> None:
    """Chain and Python convict, acquit and refuse alike; refusals are custom errors, not panics."""
    tally = compare(family, profile, FEW, seed=1)
    assert tally.of(True) > FEW // 10
    assert tally.of(False) > FEW // 20


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name.lower())
@pytest.mark.parametrize("family", FAMILIES)
def test_referees_on_a_hundred_thousand_claims_agree(family: str, profile: Profile) -> None:
    """The same at length."""
    tally = compare(family, profile, MANY, seed=2)
    assert tally.total == MANY


@pytest.mark.parametrize("function", HARD, ids=lambda function: function.name.lower())
def test_real_functions_at_their_hardest_arguments_are_rounded_alike(function: Function) -> None:
    """Where rounding is hardest and where a value stops being settled, every neighbour of the right claim convicts."""
    for bits in HARD[function]:
        inputs = [array_of([bits], DType.FLOAT32)]
        case = Case(program=unary(function, 1, alpha=0.75), inputs=inputs, weights=(), index=0, claimed=0)
        right = case.value()
        for claimed in (right - 1, right, right + 1):
            other = Case(program=case.program, inputs=inputs, weights=(), index=0, claimed=claimed & 0xFFFFFFFF)
            assert other.asked().faulty == other.expected()


@pytest.mark.parametrize("terms", [8192, 8193])
def test_contractions_of_the_greatest_length_are_judged_and_longer_ones_refused(terms: int) -> None:
    """The greatest sum of products, all of one sign, overflows no bin; a term more is no contraction."""
    body = Contract(
        left=value(0, (0,)),
        right=value(1, (0,)),
        reductions=(Reduction(extent=terms, left_stride=1, right_stride=1),),
        divisor=(1 << 31) - 1,
    )
    made = made_of((tensor((terms,)), tensor((terms,))), (step(body, (1,)),))
    for left, right in ((0x7F7FFFFF, 0x7F7FFFFF), (0x7F7FFFFF, 0xFF7FFFFF), (0x3F7FFFFF, 0xBF7FFFFF), (1, 1)):
        inputs = [array_of([bits] * terms, DType.FLOAT32) for bits in (left, right)]
        for claimed in (0, 0x7F800000, 0xFF800000, 0xB7800000):
            case = Case(program=made, inputs=inputs, weights=(), index=0, claimed=claimed)
            assert case.asked().faulty == case.expected()


@pytest.mark.parametrize("signs", [(255, 255), (0, 255), (255, 0)])
def test_sums_of_the_greatest_bytes_carry_into_no_other_lane(signs: tuple[int, int]) -> None:
    """8,192 products of the greatest bytes, with and without a sign."""
    for dtype in (DType.UINT8, DType.INT8):
        body = Contract(
            left=value(0, (0,)),
            right=value(1, (0,)),
            reductions=(Reduction(extent=8192, left_stride=1, right_stride=1),),
            left_zero=-128,
            right_zero=255,
        )
        made = made_of((tensor((8192,), dtype), tensor((8192,), dtype)), (step(body, (1,), DType.INT32),))
        inputs = [np.full(8192, sign, dtype=np.uint8).view(dtype.numpy) for sign in signs]
        case = Case(program=made, inputs=inputs, weights=(), index=0, claimed=0)
        right = Case(program=made, inputs=inputs, weights=(), index=0, claimed=case.value())
        assert right.asked().faulty is False


def test_operands_that_are_not_opened_are_refused() -> None:
    """No verdict without the operands, whatever is claimed."""
    body = Pointwise(function=Function.ADD, operands=(value(0, (1,)), value(1, (1,))))
    made = made_of((tensor((2,)), tensor((2,))), (step(body, (2,)),))
    array = np.ones(2, dtype=np.float32)
    assert Case(program=made, inputs=[array], weights=(), index=0, claimed=0).asked().error == "ElementNotOpened"
    short = Case(program=made, inputs=[array, array[:1]], weights=(), index=0, claimed=0)
    assert short.asked().error == "ElementNotOpened"
