"""Powers: one step where the exponent is one constant; several where it is not."""

from __future__ import annotations

from math import inf
from typing import Any

import numpy as np
import numpy.typing as npt

from sworn.model.compiler.conversions import along
from sworn.model.compiler.operators import Call, lowers
from sworn.model.compiler.steps import concatenated, pointwise
from sworn.model.compiler.values import Value, broadcast, expanded, sliced
from sworn.model.program import Function
from sworn.types import DType

#: Greatest exponent of integers: from here on every even number wraps to 0.
MAX_INTEGER_POWER = 64
#: Places of an axis along which exponents differ: each is a step.
MAX_EXPONENTS = 1024


@lowers("Pow", 7, 12, 13, 15)
def power(call: Call) -> Value:
    """Constant exponents that differ along one axis at most, or a constant positive base."""
    base, exponent = call.value(0), call.value(1)
    shape = broadcast([base.shape, exponent.shape])
    if shape is None:
        raise call.refused("base and exponent do not broadcast")
    exponents = call.build.array(exponent)
    if exponents is None:
        return _of_base(call, base, exponent)
    if exponents.size == 0:
        raise call.refused("there are no exponents")
    if (exponents == exponents.flat[0]).all():
        return _constant_power(call, expanded(base, shape), float(exponents.flat[0]))
    return _along_axis(call, expanded(base, shape), np.broadcast_to(exponents, shape))


def _constant_power(call: Call, base: Value, exponent: float) -> Value:
    if base.dtype is not DType.FLOAT32:
        return _integer_power(call, base, exponent)
    if float(np.float32(exponent)) != exponent:
        raise call.refused(f"the exponent {exponent} is not a float32")
    return pointwise(call.build, Function.POW, base, alpha=exponent)


def _integer_power(call: Call, base: Value, exponent: float) -> Value:
    """A product of squares, the least first."""
    if base.dtype is DType.BOOL or not exponent.is_integer() or not 1 <= exponent <= MAX_INTEGER_POWER:
        raise call.refused(f"{base.dtype.name.lower()} to the power {exponent} is not supported")
    result, square, left = None, base, int(exponent)
    while left:
        if left & 1:
            result = square if result is None else pointwise(call.build, Function.MUL, result, square)
        left >>= 1
        square = pointwise(call.build, Function.MUL, square, square) if left else square
    return base if result is None else result


def _along_axis(call: Call, base: Value, exponents: npt.NDArray[Any]) -> Value:
    """One power for each place of the axis along which exponents differ."""
    for axis, size in enumerate(base.shape):
        line = along(exponents, axis)
        if line is None:
            continue
        if size > MAX_EXPONENTS:
            raise call.refused(f"{size} exponents; {MAX_EXPONENTS} are possible")
        parts = [
            _constant_power(call, sliced(base, axis, start=place, count=1), float(exponent))
            for place, exponent in enumerate(line)
        ]
        return concatenated(call.build, parts, axis=axis)
    raise call.refused("exponents that differ along more than one axis are not supported")


def _of_base(call: Call, base: Value, exponent: Value) -> Value:
    """RN(exp(RN(x · RN(log b)))) for a constant b > 0."""
    build, bases = call.build, call.build.array(base)
    floats = base.dtype is exponent.dtype is DType.FLOAT32
    if bases is None or bases.size != 1 or not floats or not 0 < float(bases.flat[0]) < inf:
        raise call.refused("only constant exponents, or one constant finite base above 0, of float32, are supported")
    logarithm = pointwise(build, Function.LOG, base)
    return pointwise(build, Function.EXP, pointwise(build, Function.MUL, exponent, logarithm))
