"""Arithmetic, comparisons and logic, element by element."""

from __future__ import annotations

from functools import reduce
from math import inf
from types import MappingProxyType

import numpy as np

from sworn.model.compiler.operators import Call, lowers
from sworn.model.compiler.steps import pointwise
from sworn.model.compiler.values import Value, broadcast, expanded
from sworn.model.program import Function
from sworn.types import DType

_BINARY = MappingProxyType(
    {
        "Add": Function.ADD,
        "Sub": Function.SUB,
        "Mul": Function.MUL,
        "Div": Function.DIV,
        "Max": Function.MAX,
        "Min": Function.MIN,
        "Sum": Function.ADD,
        "Mean": Function.ADD,
    }
)
_COMPARISONS = MappingProxyType(
    {
        "Equal": Function.EQUAL,
        "Less": Function.LESS,
        "LessOrEqual": Function.LESS_OR_EQUAL,
        "Greater": Function.GREATER,
        "GreaterOrEqual": Function.GREATER_OR_EQUAL,
        "And": Function.AND,
        "Or": Function.OR,
        "Xor": Function.XOR,
    }
)
_UNARY = MappingProxyType(
    {
        "Neg": Function.NEG,
        "Abs": Function.ABS,
        "Sign": Function.SIGN,
        "Sqrt": Function.SQRT,
        "Reciprocal": Function.RECIPROCAL,
        "Floor": Function.FLOOR,
        "Ceil": Function.CEIL,
        "Round": Function.ROUND,
        "Exp": Function.EXP,
        "Log": Function.LOG,
        "Erf": Function.ERF,
        "Sin": Function.SIN,
        "Cos": Function.COS,
    }
)
#: Attributes of casts to types that are refused.
_FLOAT8_ONLY = ("saturate", "round_mode")
#: The version of Mod from which floats need no fmod.
FLOAT_MOD = 28
_INFINITIES = (("detect_negative", -inf), ("detect_positive", inf))
_FLOAT_ONLY = frozenset(_UNARY) - {"Neg", "Abs", "Sign"}


@lowers("Add", 7, 13, 14)
@lowers("Sub", 7, 13, 14)
@lowers("Mul", 7, 13, 14)
@lowers("Div", 7, 13, 14)
def binary(call: Call) -> Value:
    """One operation on two values of one type."""
    left, right = same_type(call)
    return pointwise(call.build, _BINARY[call.operator], left, right)


@lowers("Sum", 6, 8, 13)
@lowers("Max", 6, 8, 12, 13)
@lowers("Min", 6, 8, 12, 13)
def variadic(call: Call) -> Value:
    """A left fold."""
    return reduce(lambda left, right: pointwise(call.build, _BINARY[call.operator], left, right), same_type(call))


@lowers("Mean", 6, 8, 13)
def mean(call: Call) -> Value:
    """A left fold of additions, then one division."""
    values = same_type(call)
    total = reduce(lambda left, right: pointwise(call.build, Function.ADD, left, right), values)
    return pointwise(call.build, Function.DIV, total, call.build.scalar(len(values), dtype=total.dtype))


@lowers("Equal", 7, 11, 13, 19)
@lowers("Less", 7, 9, 13)
@lowers("LessOrEqual", 12, 16)
@lowers("Greater", 7, 9, 13)
@lowers("GreaterOrEqual", 12, 16)
@lowers("And", 7)
@lowers("Or", 7)
@lowers("Xor", 7)
def comparison(call: Call) -> Value:
    """A truth value from two values of one type."""
    left, right = same_type(call)
    return pointwise(call.build, _COMPARISONS[call.operator], left, right, dtype=DType.BOOL)


@lowers("Not", 1)
def negation(call: Call) -> Value:
    """Not."""
    return pointwise(call.build, Function.NOT, call.value(0))


@lowers("Neg", 6, 13)
@lowers("Abs", 6, 13)
@lowers("Sign", 9, 13)
@lowers("Sqrt", 6, 13)
@lowers("Reciprocal", 6, 13)
@lowers("Floor", 6, 13)
@lowers("Ceil", 6, 13)
@lowers("Round", 11, 22)
@lowers("Exp", 6, 13)
@lowers("Log", 6, 13)
@lowers("Erf", 9, 13)
@lowers("Sin", 7, 22)
@lowers("Cos", 7, 22)
def unary(call: Call) -> Value:
    """A function of one value."""
    value = call.value(0)
    if call.operator in _FLOAT_ONLY:
        require_float(call, value)
    return pointwise(call.build, _UNARY[call.operator], value)


@lowers("Mod", 10, 13, 28)
def modulo(call: Call) -> Value:
    """The remainder with the divisor's sign, or with the dividend's when ``fmod`` is set."""
    left, right = same_type(call)
    if call.integer("fmod", 0):
        return pointwise(call.build, Function.FMOD, left, right)
    if left.dtype is not DType.FLOAT32:
        return pointwise(call.build, Function.MOD, left, right)
    if call.version < FLOAT_MOD:
        raise call.refused("floats need fmod=1")
    return _floored(call, left, right)


def _floored(call: Call, left: Value, right: Value) -> Value:
    """The remainder of floats with the divisor's sign: that of FMOD, plus the divisor where signs differ."""
    build, nothing = call.build, call.build.scalar(0)
    rest = pointwise(build, Function.FMOD, left, right)
    signs = (pointwise(build, Function.LESS, value, nothing, dtype=DType.BOOL) for value in (rest, right))
    apart = pointwise(build, Function.XOR, *signs)
    exact = pointwise(build, Function.EQUAL, rest, nothing, dtype=DType.BOOL)
    moved = pointwise(build, Function.AND, apart, pointwise(build, Function.NOT, exact))
    shifted = pointwise(build, Function.ADD, rest, right)
    return pointwise(build, Function.WHERE, moved, shifted, rest, dtype=DType.FLOAT32)


@lowers("IsNaN", 9, 13, 20)
def is_nan(call: Call) -> Value:
    """Never: no value is NaN."""
    require_float(call, call.value(0))
    return expanded(call.build.constant(np.zeros((), np.bool_)), call.value(0).shape)


@lowers("IsInf", 10, 20)
def is_infinite(call: Call) -> Value:
    """Equal to one infinity, or to one of the two."""
    build, value = call.build, call.value(0)
    require_float(call, value)
    wanted = [number for name, number in _INFINITIES if call.integer(name, 1)]
    found = [pointwise(build, Function.EQUAL, value, build.scalar(number), dtype=DType.BOOL) for number in wanted]
    if not found:
        return expanded(build.constant(np.zeros((), np.bool_)), value.shape)
    return reduce(lambda left, right: pointwise(build, Function.OR, left, right), found)


@lowers("Where", 9, 16)
def where(call: Call) -> Value:
    """One of two values by a truth value."""
    condition, chosen, other = call.present()
    if chosen.dtype is not other.dtype:
        raise call.refused("the two branches have different types")
    return pointwise(call.build, Function.WHERE, condition, chosen, other, dtype=chosen.dtype)


@lowers("Cast", 6, 9, 13, 19, 21, 23, 24, 25, 28, ignored=_FLOAT8_ONLY)
def cast(call: Call) -> Value:
    """Another element type."""
    value = call.value(0)
    try:
        dtype = DType(call.integer("to"))
    except ValueError as error:
        raise call.refused(f"element type {call.integer('to')} is not supported") from error
    return value if dtype is value.dtype else pointwise(call.build, Function.CAST, value, dtype=dtype)


@lowers("CastLike", 15, 19, 21, 23, 24, 25, ignored=_FLOAT8_ONLY)
def cast_like(call: Call) -> Value:
    """The element type of another value."""
    value, like = call.present()
    same = like.dtype is value.dtype
    return value if same else pointwise(call.build, Function.CAST, value, dtype=like.dtype)


def same_type(call: Call) -> tuple[Value, ...]:
    """All inputs, which must have one element type."""
    values = call.present()
    if len({value.dtype for value in values}) != 1:
        raise call.refused("the inputs have different element types")
    return values


def require_float(call: Call, value: Value) -> None:
    """Refuses anything but float32."""
    if value.dtype is not DType.FLOAT32:
        raise call.refused(f"only float32 is supported, not {value.dtype.name.lower()}")


def require_broadcast(call: Call, value: Value, target: Value) -> None:
    """Refuses a value that does not broadcast to the target's shape."""
    if broadcast([value.shape, target.shape]) != target.shape:
        raise call.refused(f"shape {value.shape} does not broadcast to {target.shape}")
