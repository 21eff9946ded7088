from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from tests.support.compiling import evaluate
from tests.support.conformance import Case, cases

from sworn.errors import ModelUnsupported
from sworn.model.compiler import lower
from sworn.model.validation import validate

CASES = cases()

#: Operators of which onnx tests only types or forms that are refused.
UNTESTED = frozenset(
    {
        "Cast",
        "CastLike",
        "GatherND",
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


def outcome(case: Case) -> str:
    """``passed`` or ``refused``; anything else fails the test."""
    try:
        lowered = lower(case.model, input_shapes=dict(case.shapes), evaluate=evaluate)
    except ModelUnsupported:
        return "refused"
    validate(lowered.program)
    values = evaluate(lowered.program, lowered.weights, case.feeds)
    for output, expected in zip(lowered.program.outputs, case.expected, strict=True):
        got = values[output.value].reshape(output.shape)
        assert (got.dtype, got.shape) == (expected.dtype, expected.shape)
        np.testing.assert_allclose(got, expected, rtol=case.rtol, atol=case.atol)
    return "passed"


@pytest.mark.parametrize("operator", sorted({case.operator for case in CASES}))
def test_operator_by_its_onnx_tests_passes_or_is_refused(operator: str) -> None:
    """Every test of a supported operator gives the expected values or a typed refusal, and some give values."""
    outcomes = Counter(outcome(case) for case in CASES if case.operator == operator)
    assert outcomes["passed"] or operator in UNTESTED


def test_onnx_tests_within_supported_types_are_rarely_refused() -> None:
    """Support does not shrink unnoticed."""
    plain = [case for case in CASES if not any(part in case.name for part in BEYOND)]
    refused = sorted(case.name for case in plain if _is_refused(case))
    assert len(plain) - len(refused) >= 570 and len(refused) <= 70, refused


def _is_refused(case: Case) -> bool:
    try:
        lower(case.model, input_shapes=dict(case.shapes), evaluate=evaluate)
    except ModelUnsupported:
        return True
    return False
