"""Pointwise steps. Where IEEE 754 demands the correctly rounded result of one operation, it is that operation.

Those are +, −, ×, ÷ and √ of float32: numpy performs each as one instruction (scalar or vector) with nothing to
contract it with, so their bits are the same everywhere. What such an operation makes −0 becomes +0 by adding +0.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sworn.engine.exact.conversions import cast, dequantize, quantize, requantize
from sworn.engine.exact.functions import ROUNDED, check_function, round_all
from sworn.engine.exact.kernels import Kernels
from sworn.engine.exact.summation import round_sum
from sworn.engine.exact.views import Memory, operand_view
from sworn.errors import DivisionByZero, ModelUnsupported, RunNotFinite
from sworn.model.program import Function, Pointwise, Step
from sworn.types import DType

Array = NDArray[Any]
Run = Callable[[Memory], Array]
Rule = Callable[[list[Array], Pointwise, DType], Array]

_ZERO = np.float32(0.0)


def plan_pointwise(step: Step, body: Pointwise, *, kernels: Kernels) -> Run:
    """How a pointwise step is computed, all elements flat. Raises `ConfigurationError` on an inaccurate machine."""
    function, dtype = body.function, step.output.dtype
    if function is Function.POW and body.alpha in _POWERS:
        rule: Rule = _POWERS[body.alpha]
    elif function in ROUNDED:
        check_function(function, body.alpha)
        rule = _rounded(function, kernels)
    elif function in _RULES and (function, dtype) != (Function.MOD, DType.FLOAT32):
        rule = _RULES[function]
    else:
        raise ModelUnsupported(f"function {function.name} of {dtype.name.lower()}")

    def run(memory: Memory) -> Array:
        operands = [operand_view(memory, operand, step.axes) for operand in body.operands]
        # A scalar's result is numpy's own kind of scalar.
        out = np.ascontiguousarray(rule(operands, body, dtype)).reshape(-1)
        if out.size and dtype is DType.FLOAT32 and np.isnan(np.max(out)):
            raise RunNotFinite(f"element {int(np.flatnonzero(np.isnan(out))[0])}: {function.name} gave NaN")
        return out

    return run


def _rounded(function: Function, kernels: Kernels) -> Rule:
    return lambda operands, body, _: round_all(function, operands[0], body.alpha, kernels=kernels)


def _positive_zero(array: Array) -> Array:
    return array + _ZERO if array.dtype == np.float32 else array


def _parameter(value: float, array: Array) -> Any:
    return array.dtype.type(value) + array.dtype.type(0)


def _mul(operands: list[Array], *_: Any) -> Array:
    return _positive_zero(np.multiply(*operands))


def _div(operands: list[Array], *_: Any) -> Array:
    left, right = operands
    if left.dtype == np.float32:
        return np.divide(left, right) + _ZERO
    _check_divisor(right)
    if left.dtype.kind == "u":
        return np.floor_divide(left, right)
    # The least integer divided by −1 wraps to itself, as its negation does; no processor is asked to try.
    is_negation = right == -1
    safe = np.where(is_negation, 1, right)
    quotient = np.floor_divide(left, safe)
    quotient += ((left - quotient * safe) != 0) & ((left < 0) != (safe < 0))
    return np.where(is_negation, -left, quotient)


def _check_divisor(right: Array) -> None:
    if not np.all(right):
        raise DivisionByZero(f"element {int(np.flatnonzero(right.reshape(-1) == 0)[0])} is divided by zero")


def _mod(operands: list[Array], *_: Any) -> Array:
    left, right = operands
    _check_divisor(right)
    return np.remainder(left, np.where(right == -1, 1, right) if left.dtype.kind == "i" else right)


def _fmod(operands: list[Array], *_: Any) -> Array:
    left, right = operands
    if left.dtype == np.float32:
        return np.fmod(left, right) + _ZERO
    _check_divisor(right)
    return np.fmod(left, np.where(right == -1, 1, right) if left.dtype.kind == "i" else right)


def _leaky_relu(operands: list[Array], body: Pointwise, _: DType) -> Array:
    a = operands[0]
    return np.where(a >= 0, a, np.asarray(_parameter(body.alpha, a) * a + _ZERO))


def _prelu(operands: list[Array], *_: Any) -> Array:
    a, b = operands
    return np.where(a >= 0, a, a * b + _ZERO)


def _clip(operands: list[Array], body: Pointwise, _: DType) -> Array:
    a = operands[0]
    if a.dtype == np.float32:
        clipped: Array = np.minimum(np.maximum(a, _parameter(body.alpha, a)), _parameter(body.beta, a))
        return clipped
    limits = np.iinfo(a.dtype)
    low, high = (int(min(max(bound, limits.min), limits.max)) for bound in (body.alpha, body.beta))
    return np.minimum(np.maximum(a, low), high)


def _hard_sigmoid(operands: list[Array], body: Pointwise, _: DType) -> Array:
    """The product is exact in float64; the sum is rounded to odd there, so that rounding it again does no harm."""
    product = operands[0].astype(np.float64) * float(body.alpha)
    return np.clip(round_sum(product, np.float64(body.beta)), np.float32(0), np.float32(1)) + _ZERO


def _binary(function: Callable[[Any, Any], Any]) -> Rule:
    return lambda operands, _body, _dtype: np.asarray(function(operands[0], operands[1]))


def _unary(function: Callable[[Any], Any]) -> Rule:
    return lambda operands, _body, _dtype: _positive_zero(np.asarray(function(operands[0])))


_RULES: MappingProxyType[Function, Rule] = MappingProxyType(
    {
        Function.ADD: _binary(np.add),
        Function.SUB: _binary(np.subtract),
        Function.MUL: _mul,
        Function.DIV: _div,
        Function.MIN: _binary(np.minimum),
        Function.MAX: _binary(np.maximum),
        Function.MOD: _mod,
        Function.FMOD: _fmod,
        Function.NEG: _unary(np.negative),
        Function.ABS: _unary(np.abs),
        Function.SIGN: _unary(np.sign),
        Function.SQRT: _unary(np.sqrt),
        Function.RECIPROCAL: lambda operands, _body, _dtype: np.divide(np.float32(1), operands[0]) + _ZERO,
        Function.FLOOR: _unary(np.floor),
        Function.CEIL: _unary(np.ceil),
        Function.ROUND: _unary(np.rint),
        Function.HARD_SIGMOID: _hard_sigmoid,
        Function.LEAKY_RELU: _leaky_relu,
        Function.PRELU: _prelu,
        Function.RELU: lambda operands, _body, _dtype: np.maximum(operands[0], operands[0].dtype.type(0)),
        Function.CLIP: _clip,
        Function.EQUAL: _binary(np.equal),
        Function.LESS: _binary(np.less),
        Function.LESS_OR_EQUAL: _binary(np.less_equal),
        Function.GREATER: _binary(np.greater),
        Function.GREATER_OR_EQUAL: _binary(np.greater_equal),
        Function.AND: _binary(np.logical_and),
        Function.OR: _binary(np.logical_or),
        Function.XOR: _binary(np.logical_xor),
        Function.NOT: lambda operands, _body, _dtype: np.logical_not(operands[0]),
        Function.WHERE: lambda operands, _body, _dtype: np.where(*operands),
        Function.CAST: lambda operands, _body, dtype: cast(operands[0], dtype),
        Function.QUANTIZE: lambda operands, _body, dtype: quantize(*operands, dtype=dtype),
        Function.DEQUANTIZE: lambda operands, _body, _dtype: dequantize(*operands),
        Function.REQUANTIZE: lambda operands, _body, dtype: requantize(*operands, dtype=dtype),
    }
)

#: Powers that are one IEEE operation.
_POWERS: MappingProxyType[float, Rule] = MappingProxyType(
    {
        1.0: lambda operands, _body, _dtype: operands[0].copy(),
        2.0: lambda operands, _body, _dtype: np.multiply(operands[0], operands[0]),
        -1.0: lambda operands, _body, _dtype: np.divide(np.float32(1), operands[0]) + _ZERO,
    }
)
