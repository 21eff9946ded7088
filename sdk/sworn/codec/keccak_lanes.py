"""keccak256 of many messages of one length at once, some eight times as fast as one by one.

Needs numba, and is worth its start-up only for megabytes: `hash_rows` says None where numba is missing, and callers
then hash one by one. The bytes are the same.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

#: Messages that are permuted side by side: inner loops over so many words become vector instructions.
LANES: Final = 64
_ROUNDS, _RATE_WORDS = 24, 17

_Kernel = Callable[[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]], None]


def hash_rows(rows: NDArray[np.uint8], *, tag: int) -> NDArray[np.uint8] | None:
    """keccak256 of the byte ``tag`` followed by each row: uint8[n, 32] for uint8[n, m]; None without numba."""
    kernel = _compiled()
    if kernel is None:
        return None
    digests = np.empty((len(rows), 4), dtype=np.uint64)
    kernel(np.ascontiguousarray(rows), _padded(rows.shape[1], tag=tag), digests, *_constants())
    return digests.view(np.uint8)


@cache
def _compiled() -> _Kernel | None:
    try:
        from numba import njit
    except ImportError:
        return None
    # SAFETY: the kernel reads and writes whole little-endian words.
    if sys.byteorder != "little":
        return None
    kernel: _Kernel
    try:
        kernel = njit(cache=True, nogil=True)(_hash_rows)
    except RuntimeError:
        # Neither the package's folder nor the user's cache can be written.
        kernel = njit(nogil=True)(_hash_rows)
    return kernel


def _padded(size: int, *, tag: int) -> NDArray[np.uint8]:
    """Tag and padding of messages of 1 + ``size`` bytes, one per lane; the bytes between are still to be filled in."""
    blocks = (size + 1) // (8 * _RATE_WORDS) + 1
    message = np.zeros((LANES, blocks * 8 * _RATE_WORDS), dtype=np.uint8)
    message[:, 0] = tag
    message[:, size + 1] = 0x01
    message[:, -1] |= 0x80
    return message


@cache
def _constants() -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Round constants and rotation distances, as FIPS 202 generates them."""
    constants, register = [], 1
    for _ in range(_ROUNDS):
        constant = 0
        for power in range(7):
            constant |= (register & 1) << ((1 << power) - 1)
            register = register << 1 ^ (0x171 if register & 0x80 else 0)
        constants.append(constant)
    distances, x, y = [0] * 25, 1, 0
    for step in range(_ROUNDS):
        distances[x + 5 * y] = (step + 1) * (step + 2) // 2 % 64
        x, y = y, (2 * x + 3 * y) % 5
    return np.array(constants, dtype=np.uint64), np.array(distances, dtype=np.uint64)


def _hash_rows(
    rows: NDArray[Any], message: NDArray[Any], digests: NDArray[Any], constants: NDArray[Any], distances: NDArray[Any]
) -> None:
    # One function, so that the compiled code can be cached; shifts need uint64 on both sides.
    words, size = message.view(np.uint64), rows.shape[1]
    state, moved = np.empty((25, LANES), dtype=np.uint64), np.empty((25, LANES), dtype=np.uint64)
    parity, mixed = np.empty((5, LANES), dtype=np.uint64), np.empty((5, LANES), dtype=np.uint64)
    one, top, full = np.uint64(1), np.uint64(63), np.uint64(64)
    for start in range(0, len(rows), LANES):
        used = min(LANES, len(rows) - start)
        for lane in range(used):
            message[lane, 1 : size + 1] = rows[start + lane]
        state[:] = 0
        for first in range(0, words.shape[1], _RATE_WORDS):
            for word in range(_RATE_WORDS):
                for i in range(LANES):
                    state[word, i] ^= words[i, first + word]
            for turn in range(_ROUNDS):
                for x in range(5):
                    for i in range(LANES):
                        half = state[x, i] ^ state[x + 5, i] ^ state[x + 10, i]
                        parity[x, i] = half ^ state[x + 15, i] ^ state[x + 20, i]
                for x in range(5):
                    for i in range(LANES):
                        right = parity[(x + 1) % 5, i]
                        mixed[x, i] = parity[(x + 4) % 5, i] ^ ((right << one) | (right >> top))
                for y in range(5):
                    for x in range(5):
                        left, target = distances[x + 5 * y], y + 5 * ((2 * x + 3 * y) % 5)
                        back = (full - left) & top
                        for i in range(LANES):
                            value = state[x + 5 * y, i] ^ mixed[x, i]
                            moved[target, i] = (value << left) | (value >> back)
                for y in range(0, 25, 5):
                    for x in range(5):
                        for i in range(LANES):
                            state[x + y, i] = moved[x + y, i] ^ (~moved[(x + 1) % 5 + y, i] & moved[(x + 2) % 5 + y, i])
                for i in range(LANES):
                    state[0, i] ^= constants[turn]
        for lane in range(used):
            digests[start + lane] = state[:4, lane]
