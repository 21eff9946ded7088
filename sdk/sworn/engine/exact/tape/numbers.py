"""Instructions on integers: arithmetic, casts, quantisation. For numba to compile.

Bytes are read as unsigned; ``flip`` is 128 where they are signed, else 0: the value is then (byte ^ flip) - flip.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sworn.engine.exact.jit import callee
from sworn.model.program import Function

Array = NDArray[Any]

_ADD, _SUB = int(Function.ADD), int(Function.SUB)


@callee
def arithmetic(words: Array, p: int, arena: Array) -> bool:
    """Function, count, two operands and target: int32, wrapping."""
    function, count, left, right, target = words[p + 2], words[p + 3], words[p + 4], words[p + 5], words[p + 6]
    view = arena.view(np.int32)
    a, b, out = view[left : left + count], view[right : right + count], view[target : target + count]
    if function == _ADD:
        for i in range(count):
            out[i] = a[i] + b[i]
    elif function == _SUB:
        for i in range(count):
            out[i] = a[i] - b[i]
    else:
        for i in range(count):
            out[i] = a[i] * b[i]
    return True


@callee
def cast(words: Array, p: int, arena: Array) -> bool:
    """Kind as in `codes.CASTS`, count, operand, target."""
    kind, count, a, target = words[p + 2], words[p + 3], words[p + 4], words[p + 5]
    floats, narrow, wide = arena.view(np.float32), arena.view(np.int32), arena.view(np.int64)
    if kind == 0:
        for i in range(count):
            wide[target + i] = narrow[a + i]
    elif kind == 1:
        for i in range(count):
            floats[target + i] = np.float32(narrow[a + i])
    elif kind == 2:
        for i in range(count):
            floats[target + i] = np.float32(arena[a + i] != 0)
    else:
        for i in range(count):
            arena[target + i] = floats[a + i] != 0
    return True


@callee
def quantize(words: Array, p: int, arena: Array) -> bool:
    """Flip, count, two operands of float32, one of bytes, target. False where there is no quotient."""
    flip, count, first, scale = words[p + 2], words[p + 3], words[p + 4], words[p + 5]
    view, c = arena.view(np.float32), arena[words[p + 6] : words[p + 6] + count]
    a, b, out = view[first : first + count], view[scale : scale + count], arena[words[p + 7] : words[p + 7] + count]
    is_sound = True
    for i in range(count):
        rounded = np.rint(np.float64(a[i]) / np.float64(b[i]))
        is_sound &= rounded == rounded
        moved = rounded + np.float64(np.int32(c[i] ^ flip) - flip)
        least, most = -np.float64(flip), 255.0 - np.float64(flip)
        moved = moved if moved > least else least
        out[i] = np.int32(moved if moved < most else most)
    return is_sound


@callee
def dequantize(words: Array, p: int, arena: Array) -> bool:
    """Flip, count, operands of bytes, float32, bytes, target. False at 0 · ∞."""
    flip, count, first, scale = words[p + 2], words[p + 3], words[p + 4], words[p + 5]
    view, c = arena.view(np.float32), arena[words[p + 6] : words[p + 6] + count]
    a, b, out = arena[first : first + count], view[scale : scale + count], view[words[p + 7] : words[p + 7] + count]
    is_sound = True
    for i in range(count):
        # Exact before it is rounded: 9 bits times 24.
        difference = np.float64(np.int32(a[i] ^ flip) - np.int32(c[i] ^ flip))
        value = np.float32(difference * np.float64(b[i])) + np.float32(0.0)
        is_sound &= value == value
        out[i] = value
    return is_sound


@callee
def requantize(words: Array, p: int, arena: Array) -> bool:
    """Flip, count, operands of int32, float32, bytes, target. False at 0 · ∞."""
    flip, count, first, scale = words[p + 2], words[p + 3], words[p + 4], words[p + 5]
    view, c = arena.view(np.float32), arena[words[p + 6] : words[p + 6] + count]
    a, b = arena.view(np.int32)[first : first + count], view[scale : scale + count]
    out = arena[words[p + 7] : words[p + 7] + count]
    is_sound = True
    for i in range(count):
        rounded = np.float64(np.rint(np.float32(a[i]) * b[i]))
        is_sound &= rounded == rounded
        moved = rounded + np.float64(np.int32(c[i] ^ flip) - flip)
        least, most = -np.float64(flip), 255.0 - np.float64(flip)
        moved = moved if moved > least else least
        out[i] = np.int32(moved if moved < most else most)
    return is_sound
