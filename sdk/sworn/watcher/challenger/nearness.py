"""How far a sworn output in profile ``bounded`` is from our own, for results whose trace nobody has shown."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sworn.types import Tensors

Array = NDArray[Any]


def is_near(sworn: Tensors, own: Tensors, *, tolerance: float) -> bool:
    """Whether an output is as near to our own as honest runs are: floats relative to the largest element.

    An integer, such as a label, is near another one only where two of our own scores are so near that a rounding may
    turn which is the greater.
    """
    scores = [array for array in own.values() if array.dtype.kind == "f"]
    for name, claimed in sworn.items():
        ours = own[name]
        if claimed.dtype.kind == "f":
            if not _distance(claimed, ours) <= tolerance:
                return False
        elif not (np.array_equal(claimed, ours) or (tolerance > 0 and _may_turn(claimed, ours, scores, tolerance))):
            return False
    return True


def first_difference(sworn: Tensors, own: Tensors) -> str:
    """The first element in which an output differs from our own, for people."""
    for name, claimed in sworn.items():
        places = np.flatnonzero(np.asarray(claimed != own[name]))
        if places.size:
            index = tuple(int(axis) for axis in np.unravel_index(int(places[0]), claimed.shape))
            return f"{name}{list(index)} is sworn as {claimed[index]}, our own run gives {own[name][index]}"
    return "its output is encoded in another way than our own"


def _distance(claimed: Array, own: Array) -> float:
    """The largest difference, relative to the largest element of our own."""
    if not own.size:
        return 0.0
    left, right = claimed.astype(np.float64), own.astype(np.float64)
    return float(np.abs(left - right).max() / _size(right))


def _size(own: Array) -> float:
    return max(float(np.abs(own).max()), float(np.finfo(np.float32).tiny))


def _may_turn(claimed: Array, own: Array, scores: Iterable[Array], tolerance: float) -> bool:
    """Whether some scores have a row for every integer, and a tie in each row whose integer is another."""
    numbers, ours = claimed.reshape(-1).tolist(), own.reshape(-1).tolist()
    return any(
        all(
            left == right or _is_tie(row, left, right, tolerance)
            for left, right, row in zip(numbers, ours, _rows(each, own.size), strict=True)
        )
        for each in scores
        if own.size and each.size >= 2 * own.size and each.size % own.size == 0
    )


def _rows(scores: Array, count: int) -> Iterable[Array]:
    return list(scores.astype(np.float64).reshape(count, -1))


def _is_tie(row: Array, claimed: int, own: int, tolerance: float) -> bool:
    """Whether the claimed one could be the greatest; where labels are no positions, whether any other could."""
    allowed, top = tolerance * _size(row), int(np.argmax(row))
    if own == top:
        return 0 <= claimed < row.size and bool(row[top] - row[claimed] <= allowed)
    first, second = np.sort(row)[:-3:-1]
    return bool(first - second <= allowed)
