"""Checks before and after a run."""

from __future__ import annotations

import numpy as np
import pytest

from sworn.engine.tensors import checked_inputs, checked_outputs
from sworn.errors import InputRejected, RunFailed, RunNotFinite
from sworn.types import DType, Schema, TensorSpec

SCHEMA = Schema(
    inputs=(
        TensorSpec(name="a", dtype=DType.FLOAT32, shape=(None, 2)),
        TensorSpec(name="b", dtype=DType.INT64, shape=()),
    ),
    outputs=(
        TensorSpec(name="p", dtype=DType.FLOAT64, shape=(2,)),
        TensorSpec(name="q", dtype=DType.BOOL, shape=(None,)),
    ),
)
GOOD = {"b": np.array(7), "a": np.zeros((3, 2), dtype=np.float32)}
CAP = 100


def test_inputs_in_another_order_come_back_in_the_schemas() -> None:
    """Order in, layout in memory and byte order do not matter; what comes back is ordered, contiguous and native."""
    inputs = {"b": GOOD["b"], "a": np.arange(6, dtype=">f4").reshape(2, 3).T}
    checked = checked_inputs(SCHEMA, inputs, max_elements=CAP)
    assert list(checked) == ["a", "b"]
    assert checked["a"].flags.c_contiguous and checked["a"].dtype == np.float32
    assert checked["a"].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert checked["b"].shape == ()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"a": np.zeros((3, 2))}, ("'a'", "float32", "float64")),
        ({"a": np.zeros((3, 4), dtype=np.float32)}, ("'a'", "any, 2", "3, 4")),
        ({"a": np.zeros(2, dtype=np.float32)}, ("'a'", "any, 2", "[2]")),
        ({"b": np.zeros(1, dtype=np.int64)}, ("'b'", "int64[]", "int64[1]")),
        ({"b": 7}, ("'b'", "numpy array", "int")),
        ({"c": np.zeros(1)}, ("'c'", "'a', 'b'", "unknown")),
    ],
)
def test_inputs_that_do_not_fit_are_rejected_with_expected_and_given(
    change: dict[str, np.ndarray], told: tuple[str, ...]
) -> None:
    """A rejection names the tensor, what was expected and what was given."""
    with pytest.raises(InputRejected) as caught:
        checked_inputs(SCHEMA, {**GOOD, **change}, max_elements=CAP)
    assert all(text in str(caught.value) for text in told)


def test_inputs_without_a_tensor_are_rejected() -> None:
    """A missing input is named."""
    with pytest.raises(InputRejected, match="'b'"):
        checked_inputs(SCHEMA, {"a": GOOD["a"]}, max_elements=CAP)


def test_inputs_over_the_cap_are_rejected_before_they_are_copied() -> None:
    """A view of a thousand million elements over four bytes of memory is refused by its shape."""
    view = np.broadcast_to(np.float32(0), (500_000_000, 2))
    with pytest.raises(InputRejected, match="1000000001"):
        checked_inputs(SCHEMA, {**GOOD, "a": view}, max_elements=CAP)


def test_outputs_that_fit_are_ordered_by_the_schema() -> None:
    """Outputs come back in the schema's order."""
    outputs = {"q": np.array([True]), "p": np.zeros(2)}
    assert list(checked_outputs(SCHEMA, outputs)) == ["p", "q"]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_outputs_that_are_not_finite_are_refused_with_their_index(bad: float) -> None:
    """The error says which element of which output it was."""
    with pytest.raises(RunNotFinite) as caught:
        checked_outputs(SCHEMA, {"p": np.array([0.0, bad]), "q": np.array([True])})
    assert "'p'" in str(caught.value) and "(1,)" in str(caught.value)


@pytest.mark.parametrize(
    "outputs",
    [
        {"p": np.zeros(2)},
        {"p": np.zeros(2, dtype=np.float32), "q": np.array([True])},
        {"p": np.zeros(3), "q": np.array([True])},
    ],
)
def test_outputs_that_do_not_fit_the_schema_fail_the_run(outputs: dict[str, np.ndarray]) -> None:
    """A missing output, another dtype or another shape is the model's fault."""
    with pytest.raises(RunFailed):
        checked_outputs(SCHEMA, outputs)
