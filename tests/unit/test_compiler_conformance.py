from __future__ import annotations

import pytest
from tests.support.conformance import cases, refusal

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


@pytest.mark.parametrize("operator", sorted({case.operator for case in CASES}))
def test_operator_by_its_onnx_tests_passes_or_is_refused(operator: str) -> None:
    """Every test of a supported operator gives the expected values or a typed refusal, and some give values."""
    refusals = [refusal(case) for case in CASES if case.operator == operator]
    assert None in refusals or operator in UNTESTED


def test_onnx_tests_within_supported_types_are_rarely_refused() -> None:
    """Support does not shrink unnoticed."""
    plain = [case for case in CASES if not any(part in case.name for part in BEYOND)]
    refused = sorted(case.name for case in plain if refusal(case) is not None)
    assert len(plain) - len(refused) >= 570 and len(refused) <= 70, refused
