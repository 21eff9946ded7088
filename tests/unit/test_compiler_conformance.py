from __future__ import annotations

from functools import cache

import pytest
from tests.support.conformance import Outcome, cases, outcome

CASES = cases()

#: Operators of which onnx tests only types or forms that are refused.
UNTESTED = frozenset(
    {
        "Cast",
        "CastLike",
        "CumSum",
        "IsInf",
        "IsNaN",
        "LabelEncoder",
        "ReduceLogSumExp",
        "TreeEnsemble",
    }
)

#: Parts of the names of tests that are meant to be refused: types and shapes that no program has.
BEYOND = (
    "16",
    "FLOAT8",
    "FLOAT4",
    "e8m0",
    "INT4",
    "INT2",
    "64",
    "DOUBLE",
    "string",
    "STRING",
    "empty_set",
)


@cache
def found(place: int) -> Outcome:
    """What one of the tests gives; tests below ask for it several times."""
    return outcome(CASES[place])


@pytest.mark.parametrize("operator", sorted({case.operator for case in CASES}))
def test_operator_by_its_onnx_tests_passes_or_is_refused(operator: str) -> None:
    """Every test of a supported operator gives what it must, in both profiles, or a typed refusal; some give values."""
    refusals = [found(place).refusal for place, case in enumerate(CASES) if case.operator == operator]
    assert None in refusals or operator in UNTESTED


def test_onnx_tests_within_supported_types_are_rarely_refused() -> None:
    """Support does not shrink unnoticed."""
    plain = [place for place, case in enumerate(CASES) if not any(part in case.name for part in BEYOND)]
    refused = sorted(CASES[place].name for place in plain if found(place).refusal is not None)
    assert len(plain) - len(refused) >= 585 and len(refused) <= 65, refused


def test_onnx_tests_in_profile_bounded_reach_the_kernels() -> None:
    """What the referee admits there is in most cases onnxruntime's, not the exact executor's."""
    kernels = sum(found(place).in_kernels for place in range(len(CASES)))
    assert kernels >= 400
