from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from tests.support import referee_cases
from tests.support.programs import program as made_of
from tests.support.programs import step, tensor, unary, value
from tests.support.referee_cases import array_of
from tests.support.referee_chain import Case

from sworn.model.program import Contract, Function, Pointwise, Reduction
from sworn.types import DType

Generate = Callable[[np.random.Generator], Iterator[Case]]
GENERATORS: tuple[Generate, ...] = (
    referee_cases.copy,
    referee_cases.float_contraction,
    referee_cases.integer_contraction,
    referee_cases.pointwise,
    referee_cases.real_functions,
    referee_cases.lookup,
    referee_cases.extremum,
    referee_cases.rank,
    referee_cases.tree,
    referee_cases.bounded_float_contraction,
    referee_cases.bounded_pointwise,
    referee_cases.bounded_real_functions,
)
#: Cases per rule: always, and in the long run.
FEW, MANY = 300, 100_000
#: Arguments of real functions that come nearest to half-way points or to multiples of a right angle, and both sides of
#: every border behind which a value is settled.
HARD = {
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


def agree(generate: Generate, cases: int, *, seed: int) -> Counter[bool | None]:
    """Puts so many claims before both referees; how often they convict, acquit and refuse."""
    generator, verdicts = np.random.default_rng(seed), Counter[bool | None]()
    while verdicts.total() < cases:
        for case in generate(generator):
            answer, expected = case.asked(), case.expected()
            assert answer.faulty == expected, (answer, case)
            assert answer.faulty is not None or answer.error not in ("", "Panic"), (answer, case)
            verdicts[expected] += 1
    return verdicts


@pytest.mark.parametrize("generate", GENERATORS, ids=lambda generate: generate.__name__)
def test_referees_on_claims_of_every_rule_agree(generate: Generate) -> None:
    """Chain and Python convict, acquit and refuse alike; refusals are custom errors, not panics."""
    verdicts = agree(generate, FEW, seed=1)
    assert verdicts[True] > FEW // 10
    assert verdicts[False] > FEW // 20


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("generate", GENERATORS, ids=lambda generate: generate.__name__)
def test_referees_on_a_hundred_thousand_claims_agree(generate: Generate) -> None:
    """The same at length."""
    agree(generate, MANY, seed=2)


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
