"""Values of functions in float64: nearly real numbers, where float32 is what is judged."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sworn.model.program import Function

Array = NDArray[Any]

#: Part of a value by which float64 may be off: 128 units in the last place, which executors test on each machine.
ERROR: Final = 2.0**-46


def values(function: Function, operands: Sequence[Array], expected: Array) -> tuple[Array, Array] | None:
    """A function of float64 operands [n], to within `ERROR`, and where rounding settles it: there it is ``expected``.

    None for a function that is not known; NaN and infinities are no values.
    """
    if function not in _REALS:
        return None
    real, low, high = _REALS[function]
    with np.errstate(all="ignore"):
        size = np.abs(operands[0])
        settled = (size < low) | (size >= high)
        return np.where(settled, expected, real(*operands)), settled


def _sigmoid(x: Array) -> Array:
    return np.asarray(np.where(x < 0, np.exp(np.minimum(x, 0.0)), 1.0) / (1.0 + np.exp(-np.abs(x))))


def _softplus(x: Array) -> Array:
    return np.asarray(np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x))))


def _erf(x: Array) -> Array:
    return np.array([math.erf(each) for each in x.tolist()])


#: Each function, and the sizes of arguments between which it is no settled value. Beyond 32 sigmoid and softplus are
#: settled, too, but nearer to what they are settled at than `ERROR`.
_REALS: Final[Mapping[Function, tuple[Callable[..., Array], float, float]]] = MappingProxyType(
    {
        Function.EXP: (np.exp, 0.0, 128.0),
        Function.LOG: (np.log, 0.0, math.inf),
        Function.TANH: (np.tanh, 2.0**-13, 16.0),
        Function.ERF: (_erf, 0.0, 4.0),
        Function.SIGMOID: (_sigmoid, 0.0, 128.0),
        Function.SOFTPLUS: (_softplus, 0.0, 128.0),
        Function.SIN: (np.sin, 2.0**-12, math.inf),
        Function.COS: (np.cos, 2.0**-13, math.inf),
    }
)
