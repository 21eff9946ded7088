"""Functions of one element for an adversary: real values, slopes, and where a small motion of an operand makes a jump.

All arrays are float64 and broadcast against each other; integers are numbers like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sworn.engine.exact.functions import approximate
from sworn.model.program import Function, Pointwise
from sworn.types import DType

Array = NDArray[Any]
Operands = Sequence[Array]
Slopes = Callable[[Operands, Array, Pointwise], tuple[Array | float, ...]]

#: Comparisons and choices: what they decide turns over, by no amount that follows from the motion.
BRANCHES: Final = frozenset(
    {
        Function.EQUAL,
        Function.LESS,
        Function.LESS_OR_EQUAL,
        Function.GREATER,
        Function.GREATER_OR_EQUAL,
        Function.SIGN,
        Function.MOD,
        Function.FMOD,
    }
)
#: To a neighbouring integer: a motion across the boundary between two moves the result by one.
ROUNDINGS: Final = frozenset(
    {Function.FLOOR, Function.CEIL, Function.ROUND, Function.CAST, Function.QUANTIZE, Function.REQUANTIZE}
)
#: One rounding of an exact result, to float32: two nearby results may round apart.
ROUNDED: Final = frozenset(
    {
        *(Function.ADD, Function.SUB, Function.MUL, Function.DIV, Function.SQRT, Function.RECIPROCAL),
        *(Function.LEAKY_RELU, Function.PRELU, Function.DEQUANTIZE),
    }
)
_TWO_OVER_ROOT_PI: Final = 1.1283791670955126


def real_value(body: Pointwise, operands: Operands) -> Array:
    """The function before it is rounded, to within 2⁻⁴⁶ of itself, for functions that have a tolerance."""
    first = operands[0]
    match body.function:
        case Function.HARD_SIGMOID:
            return np.clip(body.alpha * first + body.beta, 0.0, 1.0)
        case _:
            return np.asarray(approximate(body.function, first.reshape(-1), body.alpha)).reshape(first.shape)


def slopes(body: Pointwise, operands: Operands, value: Array) -> tuple[Array | float, ...]:
    """The partial derivative by each operand; 0 where the function is constant between jumps."""
    found = _SLOPES.get(body.function)
    return (0.0,) * len(operands) if found is None else found(operands, value, body)


def jumps(body: Pointwise, operands: Operands, reaches: Operands, output: DType) -> Array:
    """By how many units a rounding to integers may move, either way, when its operands move by ``reaches``."""
    first, moved = operands[0], reaches[0]
    if body.function is Function.CAST:
        if output is DType.FLOAT32:
            return np.zeros(first.shape)
        if output is DType.BOOL:
            return np.asarray((np.abs(first) <= moved) & (moved > 0), dtype=np.float64)
    if body.function in (Function.QUANTIZE, Function.REQUANTIZE):
        scale = operands[1]
        turned = first * scale if body.function is Function.REQUANTIZE else first / scale
        moved = np.abs(turned) * (_relative(moved, first) + _relative(reaches[1], scale))
        first = turned
    shift = {Function.FLOOR: 0.0, Function.CEIL: 0.0, Function.CAST: 0.0}.get(body.function, 0.5)
    # A little more on both sides: distances are themselves rounded.
    around = np.where(moved > 0, moved + np.abs(first) * 2.0**-50, 0.0)
    here = np.floor(first + shift)
    return np.asarray(np.maximum(np.floor(first + shift + around) - here, here - np.floor(first + shift - around)))


def turns(body: Pointwise, operands: Operands, reaches: Operands) -> Array:
    """Where a comparison or a choice may turn over when its operands move by ``reaches``."""
    moved = np.asarray(sum(reaches))
    if body.function is Function.SIGN:
        return np.asarray((np.abs(operands[0]) <= moved) & (moved > 0))
    if body.function in (Function.MOD, Function.FMOD):
        return moved > 0
    return np.asarray((np.abs(operands[0] - operands[1]) <= moved) & (moved > 0))


def _relative(reach: Array, value: Array) -> Array:
    return np.divide(reach, np.abs(value), out=np.zeros(np.broadcast(reach, value).shape), where=np.abs(value) > 0)


def _power(operands: Operands, value: Array, body: Pointwise) -> tuple[Array | float, ...]:
    first = operands[0]
    return (np.divide(body.alpha * value, first, out=np.zeros(first.shape), where=first != 0),)


def _hard_sigmoid(operands: Operands, _value: Array, body: Pointwise) -> tuple[Array | float, ...]:
    line = body.alpha * operands[0] + body.beta
    return (np.where((line >= 0) & (line <= 1), body.alpha, 0.0),)


def _clip(operands: Operands, _value: Array, body: Pointwise) -> tuple[Array | float, ...]:
    first = operands[0]
    return (np.asarray((first >= body.alpha) & (first <= body.beta), dtype=np.float64),)


def _where(operands: Operands, *_: Any) -> tuple[Array | float, ...]:
    taken = operands[0] != 0
    return 0.0, taken * 1.0, ~taken * 1.0


def _chosen(is_first: Callable[[Array, Array], Any]) -> Slopes:
    def found(operands: Operands, *_: Any) -> tuple[Array | float, ...]:
        taken = np.asarray(is_first(operands[0], operands[1]), dtype=np.float64)
        return taken, 1.0 - taken

    return found


def _cast(operands: Operands, value: Array, _body: Pointwise) -> tuple[Array | float, ...]:
    # Between integers, and to floats; from floats to integers it is a rounding.
    return (np.asarray(operands[0] == value, dtype=np.float64),)


_SLOPES: Final[Mapping[Function, Slopes]] = MappingProxyType(
    {
        Function.ADD: lambda *_: (1.0, 1.0),
        Function.SUB: lambda *_: (1.0, -1.0),
        Function.MUL: lambda x, *_: (x[1], x[0]),
        Function.DIV: lambda x, *_: (1.0 / x[1], -x[0] / np.square(x[1])),
        Function.MIN: _chosen(np.less_equal),
        Function.MAX: _chosen(np.greater_equal),
        Function.FMOD: lambda x, *_: (1.0, -np.trunc(x[0] / x[1])),
        Function.MOD: lambda x, *_: (1.0, -np.floor(x[0] / x[1])),
        Function.POW: _power,
        Function.NEG: lambda *_: (-1.0,),
        Function.ABS: lambda x, *_: (np.sign(x[0]),),
        Function.SQRT: lambda _, y, __: (0.5 / y,),
        Function.RECIPROCAL: lambda x, *_: (-1.0 / np.square(x[0]),),
        Function.EXP: lambda _, y, __: (y,),
        Function.LOG: lambda x, *_: (1.0 / x[0],),
        Function.TANH: lambda _, y, __: (1.0 - np.square(y),),
        Function.SIGMOID: lambda _, y, __: (y * (1.0 - y),),
        Function.ERF: lambda x, *_: (_TWO_OVER_ROOT_PI * np.exp(-np.square(x[0])),),
        Function.SOFTPLUS: lambda x, *_: (0.5 + 0.5 * np.tanh(0.5 * x[0]),),
        Function.ELU: lambda x, _, body: (np.where(x[0] >= 0, 1.0, body.alpha * np.exp(np.minimum(x[0], 0.0))),),
        Function.HARD_SIGMOID: _hard_sigmoid,
        Function.LEAKY_RELU: lambda x, _, body: (np.where(x[0] >= 0, 1.0, body.alpha),),
        Function.PRELU: lambda x, *_: (np.where(x[0] >= 0, 1.0, x[1]), np.minimum(x[0], 0.0)),
        Function.RELU: lambda x, *_: (np.asarray(x[0] >= 0, dtype=np.float64),),
        Function.CLIP: _clip,
        Function.SIN: lambda x, *_: (np.cos(x[0]),),
        Function.COS: lambda x, *_: (-np.sin(x[0]),),
        Function.WHERE: _where,
        Function.CAST: _cast,
        Function.DEQUANTIZE: lambda x, *_: (x[1], x[0] - x[2] if len(x) > 2 else x[0], -x[1])[: len(x)],
    }
)
