"""Sums of two float64 numbers, rounded to float32 once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def round_sum(left: Array, right: Any) -> Array:
    """RN(left + right) of float64 numbers, one rounding: float64 has enough bits more than float32 for that."""
    total = left + right
    part = total - left
    lost = (left - (total - part)) + (right - part)
    is_even = (total.view(np.int64) & 1) == 0 if total.ndim else (np.float64(total).view(np.int64) & 1) == 0
    direction = np.where(lost > 0, np.inf, -np.inf)
    odd = np.where(is_even & (lost != 0) & np.isfinite(total), np.nextafter(total, direction), total)
    return np.asarray(odd, dtype=np.float64).astype(np.float32)
