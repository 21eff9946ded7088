"""Runs a program of one step and asks the referee for every element of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sworn.engine.exact import ExactExecutor
from sworn.errors import SwornError
from sworn.model.program import Program, Space
from sworn.referee import element

Array = NDArray[Any]


def words(array: Array) -> list[int]:
    """The bits of all elements, flat."""
    flat = np.ascontiguousarray(array).reshape(-1)
    return [int(word) for word in flat.view(f"u{flat.itemsize}")]


def refereed(
    made: Program, inputs: Sequence[Array], weights: Sequence[Array] = (), *, number: int = 0
) -> list[int | type[SwornError]]:
    """What the referee says of each element of a step that reads inputs and weights alone: bits, or the failure."""
    tensors = {Space.VALUE: [words(array) for array in inputs], Space.WEIGHT: [words(array) for array in weights]}
    found: list[int | type[SwornError]] = []
    for index in range(made.steps[number].output.elements):
        try:
            found.append(element(made, number, index, lambda space, tensor, flat: tensors[space][tensor][flat]))
        except SwornError as error:
            found.append(type(error))
    return found


def executed(
    made: Program, inputs: Sequence[Array], weights: Sequence[Array] = (), *, accelerate: bool | None = None
) -> list[int]:
    """The bits that the executor gives for the last step."""
    results = ExactExecutor(made, weights, accelerate=accelerate).run(inputs)
    return words(results[len(made.inputs) + len(made.steps) - 1])
