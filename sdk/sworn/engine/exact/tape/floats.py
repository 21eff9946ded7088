"""Pointwise instructions on float32: one IEEE operation per element, comparisons, logic. For numba to compile.

Each is the operation that `sworn.engine.exact.pointwise` performs, in float32 throughout; what may be −0 has +0 added.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sworn.engine.exact.jit import callee, merged
from sworn.engine.exact.tape.moves import holds_nan
from sworn.model.program import Function

Array = NDArray[Any]

_ADD, _SUB, _MUL, _DIV = int(Function.ADD), int(Function.SUB), int(Function.MUL), int(Function.DIV)
_MIN, _PRELU = int(Function.MIN), int(Function.PRELU)
_NEG, _ABS, _SIGN, _SQRT = int(Function.NEG), int(Function.ABS), int(Function.SIGN), int(Function.SQRT)
_FLOOR, _CEIL = int(Function.FLOOR), int(Function.CEIL)
_ROUND, _LEAKY_RELU, _RELU = int(Function.ROUND), int(Function.LEAKY_RELU), int(Function.RELU)
_EQUAL, _LESS, _LESS_OR_EQUAL = int(Function.EQUAL), int(Function.LESS), int(Function.LESS_OR_EQUAL)
_GREATER = int(Function.GREATER)
_AND, _OR, _XOR = int(Function.AND), int(Function.OR), int(Function.XOR)


@merged
def _arithmetic(function: int, a: Array, b: Array, out: Array) -> None:
    if function == _ADD:
        for i in range(out.shape[0]):
            out[i] = a[i] + b[i]
    elif function == _SUB:
        for i in range(out.shape[0]):
            out[i] = a[i] - b[i]
    elif function == _MUL:
        for i in range(out.shape[0]):
            out[i] = a[i] * b[i] + np.float32(0.0)
    else:
        for i in range(out.shape[0]):
            out[i] = a[i] / b[i] + np.float32(0.0)


@merged
def _selection(function: int, a: Array, b: Array, out: Array) -> None:
    if function == _MIN:
        for i in range(out.shape[0]):
            out[i] = a[i] if a[i] < b[i] else b[i]
    elif function == _PRELU:
        for i in range(out.shape[0]):
            product = a[i] * b[i] + np.float32(0.0)
            out[i] = a[i] if a[i] >= 0 else product
    else:
        for i in range(out.shape[0]):
            out[i] = a[i] if a[i] > b[i] else b[i]


@callee
def binary(words: Array, p: int, arena: Array) -> bool:
    """Function, count, a, b, target. False at a result that is no number."""
    function, count, a, b, out = words[p + 2], words[p + 3], words[p + 4], words[p + 5], words[p + 6]
    view = arena.view(np.float32)
    row = view[out : out + count]
    if function in (_ADD, _SUB, _MUL, _DIV):
        _arithmetic(function, view[a : a + count], view[b : b + count], row)
    else:
        _selection(function, view[a : a + count], view[b : b + count], row)
    return not holds_nan(row)


@merged
def _rounded(function: int, a: Array, out: Array) -> None:
    if function == _FLOOR:
        for i in range(out.shape[0]):
            out[i] = np.floor(a[i]) + np.float32(0.0)
    elif function == _CEIL:
        for i in range(out.shape[0]):
            out[i] = np.ceil(a[i]) + np.float32(0.0)
    elif function == _ROUND:
        for i in range(out.shape[0]):
            out[i] = np.rint(a[i]) + np.float32(0.0)
    elif function == _SQRT:
        for i in range(out.shape[0]):
            out[i] = np.sqrt(a[i])
    else:
        for i in range(out.shape[0]):
            out[i] = np.float32(1.0) / a[i] + np.float32(0.0)


@merged
def _signed(function: int, a: Array, out: Array) -> None:
    zero = np.float32(0.0)
    if function == _NEG:
        for i in range(out.shape[0]):
            out[i] = zero - a[i]
    elif function == _ABS:
        for i in range(out.shape[0]):
            out[i] = a[i] if a[i] >= zero else zero - a[i]
    else:
        for i in range(out.shape[0]):
            positive, negative = np.float32(a[i] > zero), np.float32(a[i] < zero)
            out[i] = positive - negative


@merged
def _clamped(function: int, a: Array, alpha: float, beta: float, out: Array) -> None:
    zero, low, high = np.float32(0.0), np.float32(alpha), np.float32(beta)
    if function == _RELU:
        for i in range(out.shape[0]):
            out[i] = a[i] if a[i] > zero else zero
    elif function == _LEAKY_RELU:
        for i in range(out.shape[0]):
            product = low * a[i] + zero
            out[i] = a[i] if a[i] >= zero else product
    else:
        for i in range(out.shape[0]):
            raised = a[i] if a[i] > low else low
            out[i] = (raised if raised < high else high) + zero


@callee
def unary(words: Array, p: int, arena: Array) -> bool:
    """Function, count, a, target, alpha, beta as bits of float64. False at a result that is no number."""
    function, count, a, out = words[p + 2], words[p + 3], words[p + 4], words[p + 5]
    view, parameters = arena.view(np.float32), words[p + 6 : p + 8].view(np.float64)
    operand, row = view[a : a + count], view[out : out + count]
    if function in (_NEG, _ABS, _SIGN):
        _signed(function, operand, row)
    elif function >= _SQRT and function <= _ROUND:
        _rounded(function, operand, row)
    else:
        _clamped(function, operand, parameters[0], parameters[1], row)
    return not holds_nan(row)


@callee
def compare(words: Array, p: int, arena: Array) -> bool:
    """Function, count, a, b of float32, target of bool."""
    function, count, left, right, out = words[p + 2], words[p + 3], words[p + 4], words[p + 5], words[p + 6]
    view, row = arena.view(np.float32), arena[out : out + count]
    a, b = view[left : left + count], view[right : right + count]
    if function == _EQUAL:
        for i in range(count):
            row[i] = a[i] == b[i]
    elif function == _LESS:
        for i in range(count):
            row[i] = a[i] < b[i]
    elif function == _LESS_OR_EQUAL:
        for i in range(count):
            row[i] = a[i] <= b[i]
    elif function == _GREATER:
        for i in range(count):
            row[i] = a[i] > b[i]
    else:
        for i in range(count):
            row[i] = a[i] >= b[i]
    return True


@callee
def logic(words: Array, p: int, arena: Array) -> bool:
    """Function, count, a, b, target, all bool; NOT has no b."""
    function, count, left, right, out = words[p + 2], words[p + 3], words[p + 4], words[p + 5], words[p + 6]
    a, b, row = arena[left : left + count], arena[right : right + count], arena[out : out + count]
    if function == _AND:
        for i in range(count):
            row[i] = (a[i] != 0) & (b[i] != 0)
    elif function == _OR:
        for i in range(count):
            row[i] = (a[i] != 0) | (b[i] != 0)
    elif function == _XOR:
        for i in range(count):
            row[i] = (a[i] != 0) ^ (b[i] != 0)
    else:
        for i in range(count):
            row[i] = a[i] == 0
    return True
