"""Functions without an IEEE operation of their own, correctly rounded: float64 decides nearly all, decimals the rest.

numpy's float64 functions differ between machines in their last bits. They serve as approximations only, with a bound
that is far wider than any of them needs and that each executor tests at points spread over the range.
"""

from __future__ import annotations

import decimal
import math
from collections.abc import Callable
from decimal import Decimal
from functools import cache, lru_cache
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sworn.engine.exact.kernels import Kernels
from sworn.engine.exact.rounding import evaluate, round_function
from sworn.errors import ConfigurationError, RunNotFinite
from sworn.model.program import Function

Array = NDArray[Any]

#: Relative error that an approximation may have: 128 units in the last place of a float64.
BOUND: Final = 2.0**-46
_TEST_POINTS: Final = (
    0.0,
    2.0**-149,
    1e-30,
    3e-8,
    1e-3,
    0.03,
    0.3,
    0.7,
    0.99999994,
    1.0,
    1.0000001,
    1.7,
    3.1415927,
    5.5,
)
_FAR_TEST_POINTS: Final = (17.25, 50.0, 88.7, 103.9, 1234.5, 1e7, 3e9, 2.2e22, 3e38)
#: From 6 on erf is 1 to within 2**-55; its pieces are this wide.
_ERF_END, _ERF_PIECE, _ERF_DEGREE = 6.0, 1 / 16, 14


def round_all(function: Function, operand: Array, alpha: float, *, kernels: Kernels) -> Array:
    """RN(function(x)) of float32 elements, same shape. Raises `RunNotFinite`."""
    x = operand.astype(np.float64).reshape(-1)
    approximation = approximate(function, x, alpha)
    out = np.empty(x.shape, dtype=np.float32)
    if kernels.decide(approximation, BOUND, out):
        undecided = np.flatnonzero(np.isnan(out))
        broken = undecided[np.isnan(approximation[undecided])]
        if broken.size:
            raise RunNotFinite(f"element {broken[0]}: {function.name} of {x[broken[0]]!r}")
        # Whoever chooses the operands may repeat one that is hard: each is computed once.
        points, places = np.unique(x[undecided], return_inverse=True)
        out[undecided] = np.array([_decided(function, point, alpha) for point in points.tolist()])[places]
    return out.reshape(operand.shape)


@lru_cache(maxsize=1 << 14)
def _decided(function: Function, x: float, alpha: float) -> float:
    """`round_function`, remembered: about 2,000 of all float32 are hard for any one function."""
    return round_function(function, x, alpha)


def approximate(function: Function, x: Array, alpha: float) -> Array:
    """The function of float64 elements [n] to within `BOUND`; NaN where it has no value."""
    if function is Function.POW:
        return _power(x, alpha)
    return _APPROXIMATIONS[function](x, alpha)


@cache
def check_function(function: Function, alpha: float) -> None:
    """Raises `ConfigurationError` where this machine's float64 function is not eight times as good as `BOUND`.

    Once in a process for each function and parameter: neither processor nor library changes.
    """
    sizes = _TEST_POINTS + _FAR_TEST_POINTS
    points = [float(np.float32(sign * size)) for size in sizes for sign in (1, -1)]
    values = approximate(function, np.array(points), alpha)
    with decimal.localcontext(decimal.Context(prec=120)):
        for point, value in zip(points, values.tolist(), strict=True):
            # Infinities and NaN are edge cases of IEEE 754, and below 2**-200 everything rounds to zero.
            if not math.isfinite(value) or abs(value) < 2.0**-200 or not point:
                continue
            true = evaluate(function, Decimal(point), Decimal(alpha))
            if abs(Decimal(value) - true) > abs(true) * Decimal(BOUND / 8):
                raise ConfigurationError(f"float64 {function.name} of {point!r} is too inaccurate on this machine")


def _power(x: Array, alpha: float) -> Array:
    """IEEE 754 `pow` with positive zeros, and NaN for a fractional power of −Inf.

    Edge cases are spelt out: numpy's depend on the machine.
    """
    if alpha == 0.0:
        return np.ones(x.shape)
    size = np.abs(x)
    value = np.power(size, alpha)
    value[size == 1.0] = 1.0
    value[size == 0.0] = 0.0 if alpha > 0 else np.inf
    value[np.isinf(size)] = np.inf if alpha > 0 else 0.0
    if not float(alpha).is_integer():
        value[x < 0] = np.nan
    elif alpha % 2.0:
        np.negative(value, where=x < 0, out=value)
    return np.asarray(value)


def _sigmoid(x: Array, _: float) -> Array:
    # Beyond 200 the value is 0 or 1 in float32; the bound keeps exp finite.
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(x, -200.0, 200.0))))


def _softplus(x: Array, _: float) -> Array:
    return np.asarray(np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x))))


def _elu(x: Array, alpha: float) -> Array:
    return np.where(x >= 0, x, alpha * np.expm1(np.minimum(x, 0.0)))


@cache
def erf_pieces() -> Array:
    """Taylor coefficients of erf about the middles of its pieces, float64 [degree + 1, pieces].

    With g = erf', (n+1)·g[n+1] = −2c·g[n] − 2·g[n−1]. Pieces reach 1/32 to either side of c, where the terms left out
    are below 2**-70 of the value.
    """
    count = round(_ERF_END / _ERF_PIECE) + 1
    pieces = np.empty((_ERF_DEGREE + 1, count))
    with decimal.localcontext(decimal.Context(prec=60)):
        for i in range(count):
            c = Decimal(i) * Decimal(_ERF_PIECE)
            # The scale 2/√π is erf(x)/x for small x; taking it from erf itself keeps one definition.
            slope = evaluate(Function.ERF, Decimal("1e-40"), c) / Decimal("1e-40") * (-c * c).exp()
            slopes = [slope, -2 * c * slope]
            for n in range(1, _ERF_DEGREE):
                slopes.append((-2 * c * slopes[n] - 2 * slopes[n - 1]) / (n + 1))
            pieces[0, i] = evaluate(Function.ERF, c, c)
            pieces[1:, i] = [float(slopes[n] / (n + 1)) for n in range(_ERF_DEGREE)]
    return pieces


def _erf(x: Array, _: float) -> Array:
    pieces = erf_pieces()
    size = np.minimum(np.abs(x), _ERF_END)
    piece = np.rint(size / _ERF_PIECE).astype(np.intp)
    h = size - piece * _ERF_PIECE
    value = pieces[_ERF_DEGREE, piece]
    for n in range(_ERF_DEGREE - 1, -1, -1):
        value *= h
        value += pieces[n, piece]
    return np.asarray(np.copysign(value, x))


_APPROXIMATIONS: MappingProxyType[Function, Callable[[Array, float], Array]] = MappingProxyType(
    {
        Function.EXP: lambda x, _: np.exp(x),
        Function.LOG: lambda x, _: np.log(x),
        Function.TANH: lambda x, _: np.tanh(x),
        Function.SIGMOID: _sigmoid,
        Function.ERF: _erf,
        Function.SOFTPLUS: _softplus,
        Function.ELU: _elu,
        Function.SIN: lambda x, _: np.sin(x),
        Function.COS: lambda x, _: np.cos(x),
    }
)

#: What `round_all` serves.
ROUNDED: Final = frozenset({*_APPROXIMATIONS, Function.POW})
