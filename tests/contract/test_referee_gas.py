from __future__ import annotations

import numpy as np
import pytest
from tests.support.programs import matmul, program, random_floats, step, tensor, value, weight
from tests.support.referee_chain import Case

from sworn.model.program import Contract, Reduction
from sworn.types import DType

TERMS = 4608
#: Execution gas per term that a contraction of this length may take.
FLOAT_GAS, BYTE_GAS = 190, 30


@pytest.fixture
def generator() -> np.random.Generator:
    """Seeded."""
    return np.random.default_rng(4)


def test_float_contraction_per_term_stays_within_its_gas(generator: np.random.Generator) -> None:
    """A sum of 4,608 products of floats, everything included but the transaction."""
    made = matmul(1, TERMS, 2)
    inputs = [random_floats(generator, (1, TERMS))]
    weights = [random_floats(generator, (2, TERMS)), random_floats(generator, (2,))]
    verdict = Case(program=made, inputs=inputs, weights=weights, index=1, claimed=0).asked()
    assert verdict.faulty is True
    assert verdict.gas / TERMS <= FLOAT_GAS


def test_byte_contraction_per_term_stays_within_its_gas(generator: np.random.Generator) -> None:
    """A sum of 4,608 products of bytes with zero points."""
    body = Contract(
        left=value(0, (0, 0)),
        right=weight(0, (0, TERMS)),
        reductions=(Reduction(extent=TERMS, left_stride=1, right_stride=1),),
        left_zero=3,
        right_zero=-4,
    )
    made = program(
        (tensor((1, TERMS), DType.UINT8),), (step(body, (1, 2), DType.INT32),), (tensor((2, TERMS), DType.INT8),)
    )
    inputs = [generator.integers(0, 256, (1, TERMS)).astype(np.uint8)]
    weights = [generator.integers(-128, 128, (2, TERMS)).astype(np.int8)]
    verdict = Case(program=made, inputs=inputs, weights=weights, index=1, claimed=0).asked()
    assert verdict.faulty is True
    assert verdict.gas / TERMS <= BYTE_GAS
