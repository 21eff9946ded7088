"""Which elements an affine map can touch: least and greatest, exactly, over everything that counts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sworn.errors import ModelUnsupported
from sworn.model.program import Clip, Operand, Reduction

#: Longest axis that windows may slide along: each of its positions is looked at.
MAX_CLIPPED_AXIS: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Least and greatest element; nothing at all when ``empty``."""

    least: int
    greatest: int
    empty: bool = False

    def within(self, elements: int) -> bool:
        """Whether a tensor of so many elements has all of them."""
        return self.empty or (self.least >= 0 and self.greatest < elements)


_EMPTY: Final = Span(least=0, greatest=-1, empty=True)


def box_span(offset: int, terms: Iterable[tuple[int, int]]) -> Span:
    """The span of ``offset + Σ stride·i`` over all ``0 ≤ i < extent``, given as (stride, extent)."""
    least = greatest = offset
    for stride, extent in terms:
        if extent <= 0:
            return _EMPTY
        least += min(0, stride * (extent - 1))
        greatest += max(0, stride * (extent - 1))
    return Span(least=least, greatest=greatest)


def window_span(
    operand: Operand, axes: Sequence[int], reductions: Sequence[Reduction], *, strides: Sequence[int]
) -> Span:
    """The span of an operand whose element moves by ``strides[j]`` along ``reductions[j]``, over terms that count.

    Raises `ModelUnsupported` for a clipped axis longer than `MAX_CLIPPED_AXIS`.
    """
    clipped = _by_axis(reductions)
    terms = [(operand.strides[axis], extent) for axis, extent in enumerate(axes) if axis not in clipped]
    terms += [(strides[j], reduction.extent) for j, reduction in enumerate(reductions) if reduction.clip is None]
    span = box_span(operand.offset, terms)
    if span.empty or 0 in axes:
        return _EMPTY
    least, greatest = span.least, span.greatest
    for axis, members in clipped.items():
        positions = _positions(axes[axis])
        low = high = positions * operand.strides[axis]
        counts = np.ones(len(positions), dtype=np.bool_)
        for j in members:
            first, last = _window(reductions[j], positions)
            ends = first * strides[j], last * strides[j]
            low, high = low + np.minimum(*ends), high + np.maximum(*ends)
            counts &= first <= last
        if not counts.any():
            return _EMPTY
        least, greatest = least + int(low[counts].min()), greatest + int(high[counts].max())
    return Span(least=least, greatest=greatest)


def windows_filled(axes: Sequence[int], reductions: Sequence[Reduction]) -> bool:
    """Whether at least one term counts at every output index. Raises as `window_span` does."""
    if any(reduction.extent < 1 for reduction in reductions):
        return False
    for axis, members in _by_axis(reductions).items():
        positions = _positions(axes[axis])
        for j in members:
            first, last = _window(reductions[j], positions)
            if not (first <= last).all():
                return False
    return True


def _by_axis(reductions: Sequence[Reduction]) -> dict[int, list[int]]:
    # Windows on different axes do not know of each other; those on one axis are looked at together.
    groups: dict[int, list[int]] = {}
    for j, reduction in enumerate(reductions):
        if reduction.clip is not None:
            groups.setdefault(reduction.clip.axis, []).append(j)
    return groups


def _positions(extent: int) -> NDArray[Any]:
    if extent > MAX_CLIPPED_AXIS:
        raise ModelUnsupported(f"a window slides along an axis of {extent}, more than {MAX_CLIPPED_AXIS}")
    return np.arange(extent, dtype=np.int64)


def _window(reduction: Reduction, positions: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """First and last r that count at each position; last < first where none does."""
    clip = reduction.clip
    assert clip is not None  # noqa: S101 - only clipped reductions are grouped
    start = positions * clip.step + clip.origin
    first, last = _solve(clip, start)
    return np.maximum(first, 0), np.minimum(last, reduction.extent - 1)


def _solve(clip: Clip, start: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    if clip.dilation > 0:
        return -(start // clip.dilation), (clip.extent - 1 - start) // clip.dilation
    return -((clip.extent - 1 - start) // -clip.dilation), start // -clip.dilation
