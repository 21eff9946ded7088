"""What a run must show of some of its values, so that the ranges of all others follow."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray


class GuardKind(Enum):
    """How one scalar of a value is judged. NaN never passes."""

    #: The sum of all elements is a number: none is NaN.
    NUMBER = "number"
    #: The sum of all magnitudes is at most the limit: each is.
    BOUND = "bound"
    #: The least element is at least the limit.
    LEAST = "least"
    #: The greatest element is at most the limit.
    GREATEST = "greatest"
    #: The least magnitude is at least the limit.
    APART = "apart"


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """A demand on one value of a run. A run that does not meet it is computed by other means."""

    value: int
    kind: GuardKind
    limit: float = 0.0

    def holds(self, array: NDArray[np.float32]) -> bool:
        """Whether a value without NaN meets the demand."""
        flat = array.reshape(-1)
        match self.kind:
            case GuardKind.NUMBER:
                return True
            case GuardKind.BOUND:
                return bool(flat.dot(flat) <= self.limit * self.limit)
            case GuardKind.LEAST:
                return bool(flat.min() >= self.limit)
            case GuardKind.GREATEST:
                return bool(flat.max() <= self.limit)
            case GuardKind.APART:
                return bool(np.abs(flat).min() >= self.limit)

    def passes(self, scalar: float) -> bool:
        """Whether the value's scalar meets the demand."""
        if self.kind is GuardKind.NUMBER:
            return scalar == scalar
        if self.kind in (GuardKind.BOUND, GuardKind.GREATEST):
            return scalar <= self.limit
        return scalar >= self.limit
