"""Runs programs in the bounded executor and asks the referee for the elements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.support.refereeing import words

from sworn.engine.bounded import BoundedExecutor, plan
from sworn.model.program import Program, Space, TensorType
from sworn.referee.bounded import admits

Array = NDArray[Any]


def prefer_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has small programs run in onnxruntime, too."""
    monkeypatch.setattr(plan, "prefers_exact", lambda _: False)


def inadmissible(
    made: Program, weights: Sequence[Array], values: dict[int, Array], *, most: int | None = None
) -> list[tuple[int, int]]:
    """Steps and flat elements that the referee does not admit; of large tensors only ``most`` elements are tried."""
    tensors = {(Space.VALUE, number): words(array) for number, array in values.items()}
    tensors |= {(Space.WEIGHT, number): words(array) for number, array in enumerate(weights)}

    def type_of(space: Space, tensor: int) -> TensorType:
        return made.value(tensor) if space is Space.VALUE else made.weights[tensor]

    generator = np.random.default_rng(7)
    wrong = []
    for number, step in enumerate(made.steps):
        own = tensors[Space.VALUE, len(made.inputs) + number]
        indices = np.arange(len(own))
        if most is not None and len(own) > most:
            indices = generator.choice(indices, most, replace=False)
        for index in map(int, indices):
            read = lambda space, tensor, flat: tensors[space, tensor][flat]  # noqa: E731
            if not admits(step, type_of, index, read, claimed=own[index]):
                wrong.append((number, index))
    return wrong


def check_run(
    made: Program, weights: Sequence[Array], inputs: Sequence[Array], *, most: int | None = None
) -> BoundedExecutor:
    """Asserts that answers are a trace's, bit for bit, and that the referee admits every element of the trace."""
    executor = BoundedExecutor(made, weights)
    traced = executor.run(inputs, keep=True, include_virtual=True)
    answer = executor.run(inputs)
    for value, array in answer.items():
        assert words(array) == words(traced[value])
        assert array.shape == made.value(value).shape
    assert set(traced) == set(range(len(made.inputs) + len(made.steps)))
    assert inadmissible(made, weights, traced, most=most) == []
    return executor
