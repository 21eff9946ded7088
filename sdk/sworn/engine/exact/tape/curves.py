"""Instructions for functions without an IEEE operation: float64 approximations, kept where they decide. For numba.

All of it is +, −, ×, ÷ of float64 and no library function, so that one bound holds on every machine: e^x by two-part
reduction to |r| ≤ ln 2 / 2 and its Taylor polynomial of degree 13, off by less than 2**-50 of e^x, and of e^x − 1 too.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sworn.engine.exact.compiled_rounding import decide
from sworn.engine.exact.jit import callee, compiled, merged
from sworn.engine.exact.tape.codes import CHUNK, MAX_DIMENSIONS
from sworn.model.program import Function

Array = NDArray[Any]

_EXP, _TANH, _SIGMOID = int(Function.EXP), int(Function.TANH), int(Function.SIGMOID)
_ERF = int(Function.ERF)

_INVERSE_LN2 = 1.4426950408889634
#: ln 2 in two parts; products of the first, of 32 bits, with whole numbers below 2**21 are exact.
_LN2_HIGH, _LN2_LOW = 0.6931471803691238, 1.9082149292705877e-10
#: Adding it leaves a whole number in the low bits of the sum.
_SHIFTER = 6755399441055744.0
#: The functions here are 0, 1 or infinite in float32 long before.
_FAR = 200.0
#: As in `sworn.engine.exact.functions`: where erf becomes 1, its pieces, and terms per piece.
_ERF_END, _ERF_PIECES_PER_UNIT, _ERF_TERMS = 6.0, 16.0, 15


@merged
def _exponentials(x: Array, factor: float, less_one: Array, powers: Array) -> None:
    """e^(factor · x) = powers · (less_one + 1), elementwise over float32 x."""
    for i in range(x.shape[0]):
        y = min(max(np.float64(x[i]) * factor, -_FAR), _FAR)
        shifted = y * _INVERSE_LN2 + _SHIFTER
        powers[i] = shifted
        k = shifted - _SHIFTER
        r = (y - k * _LN2_HIGH) - k * _LN2_LOW
        q = 1.0 / 479001600.0 + r * (1.0 / 6227020800.0)
        q = 1.0 / 39916800.0 + r * q
        q = 1.0 / 3628800.0 + r * q
        q = 1.0 / 362880.0 + r * q
        q = 1.0 / 40320.0 + r * q
        q = 1.0 / 5040.0 + r * q
        q = 1.0 / 720.0 + r * q
        q = 1.0 / 120.0 + r * q
        q = 1.0 / 24.0 + r * q
        q = 1.0 / 6.0 + r * q
        q = 0.5 + r * q
        less_one[i] = r + r * r * q
    bits = powers.view(np.int64)
    for i in range(x.shape[0]):
        bits[i] = (bits[i] << 52) + 0x3FF0000000000000


@merged
def _erf(x: Array, pieces: Array, out: Array) -> None:
    """Taylor polynomials [pieces, terms] about the middles of pieces."""
    for i in range(x.shape[0]):
        size = min(abs(np.float64(x[i])), _ERF_END)
        piece = int(size * _ERF_PIECES_PER_UNIT + 0.5)
        h = size - piece / _ERF_PIECES_PER_UNIT
        row = pieces[piece * _ERF_TERMS : (piece + 1) * _ERF_TERMS]
        value = row[_ERF_TERMS - 1]
        for n in range(_ERF_TERMS - 2, -1, -1):
            value = value * h + row[n]
        out[i] = value if x[i] >= 0 else -value


@compiled
def approximate(function: int, x: Array, alpha: float, pieces: Array, rows: Array, out: Array) -> None:
    """The function of at most `CHUNK` float32 elements to within `sworn.engine.exact.functions.BOUND` of itself."""
    count = x.shape[0]
    q, s = rows[:count], rows[CHUNK : CHUNK + count]
    if function == _ERF:
        _erf(x, pieces, out)
    elif function == _EXP:
        _exponentials(x, 1.0, q, s)
        for i in range(count):
            out[i] = s[i] * q[i] + s[i]
    elif function == _SIGMOID:
        _exponentials(x, -1.0, q, s)
        for i in range(count):
            out[i] = 1.0 / (1.0 + (s[i] * q[i] + s[i]))
    elif function == _TANH:
        _exponentials(x, 2.0, q, s)
        for i in range(count):
            grown = s[i] * q[i] + (s[i] - 1.0)
            out[i] = grown / (grown + 2.0)
    else:
        _exponentials(x, 1.0, q, s)
        for i in range(count):
            fallen = alpha * (s[i] * q[i] + (s[i] - 1.0))
            out[i] = np.float64(x[i]) if x[i] >= 0 else fallen


@callee
def curve(words: Array, p: int, arena: Array, matrices: Array) -> bool:
    """Function, count, a, target, alpha and the relative error as bits of float64, pieces of erf in the matrices.

    False where an approximation does not decide.
    """
    function, count, a, out = words[p + 2], words[p + 3], words[p + 4], words[p + 5]
    parameters, pieces = words[p + 6 : p + 8].view(np.float64), matrices[words[p + 8] :]
    view = arena.view(np.float32)
    rows = arena.view(np.float64)[MAX_DIMENSIONS : MAX_DIMENSIONS + 3 * CHUNK]
    undecided = 0
    for first in range(0, count, CHUNK):
        width = min(CHUNK, count - first)
        values = rows[2 * CHUNK : 2 * CHUNK + width]
        approximate(function, view[a + first : a + first + width], parameters[0], pieces, rows, values)
        undecided += decide(values, parameters[1], view[out + first : out + first + width])
    return undecided == 0
