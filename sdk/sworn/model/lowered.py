"""What the compiler hands on: a program with the constants and names that belong to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sworn.model.program import Program
from sworn.types import Schema

#: Runs a program: (program, weights, inputs) → every value tensor in order, inputs included, each in its own shape.
Evaluator = Callable[
    [Program, Sequence[npt.NDArray[Any]], Sequence[npt.NDArray[Any]]],
    list[npt.NDArray[Any]],
]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lowered:
    """A model's program.

    ``weights[i]`` has the dtype and shape of ``program.weights[i]``, is C-contiguous, and holds no NaN and no −0.
    """

    program: Program
    weights: tuple[npt.NDArray[np.generic], ...]
    #: Names, dtypes and fixed shapes of the model's inputs and outputs.
    schema: Schema
    #: For people: where each step comes from, like ``Conv conv1`` or ``Softmax attention/softmax: exp``.
    step_names: tuple[str, ...]
