"""Affine operands of contractions and windows as numpy views, forwards and backwards, in float64.

A step's *dimensions* are its axes followed by its reductions. A tap fixes some of them to one index each and leaves a
box of the others in which every term counts, so that sums over a box are matrix products and need no padding.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sworn.model.program import Operand, Reduction

Array = NDArray[Any]
#: First and last + 1 index of each dimension.
Box = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """A flat buffer, and where in it the dimensions of a step lie."""

    flat: Array
    offset: int
    #: One per axis, then one per reduction; 0 where it does not move.
    strides: tuple[int, ...]

    @classmethod
    def of(cls, operand: Operand, flat: Array, moves: Sequence[int] = ()) -> Side:
        """An operand that moves by ``moves[j]`` along reduction j."""
        return cls(flat=flat, offset=operand.offset, strides=(*operand.strides, *moves))

    @property
    def moving(self) -> frozenset[int]:
        """The dimensions along which it moves."""
        return frozenset(k for k, stride in enumerate(self.strides) if stride)

    def over(self, box: Box) -> Array:
        """The view of a box, one element wide in the dimensions along which the side does not move."""
        start = self.offset + sum(stride * first for stride, (first, _) in zip(self.strides, box, strict=True))
        shape = [last - first if stride else 1 for stride, (first, last) in zip(self.strides, box, strict=True)]
        size = self.flat.itemsize
        return np.ndarray(shape, self.flat.dtype, self.flat, start * size, tuple(size * move for move in self.strides))


def taps(axes: Sequence[int], reductions: Sequence[Reduction], looped: Collection[int] = ()) -> Iterator[Box]:
    """Boxes that hold every term that counts once; each is one index wide in ``looped`` and in clipped reductions."""
    sizes = (*axes, *(reduction.extent for reduction in reductions))
    clipped = {len(axes) + j for j, reduction in enumerate(reductions) if reduction.clip is not None}
    fixed = sorted({*looped, *clipped})
    for chosen in product(*(range(sizes[k]) for k in fixed)):
        ranges = [(0, size) for size in sizes]
        for k, i in zip(fixed, chosen, strict=True):
            ranges[k] = (i, i + 1)
        for j, reduction in enumerate(reductions):
            if (clip := reduction.clip) is not None:
                shift = ranges[len(axes) + j][0] * clip.dilation + clip.origin
                ranges[clip.axis] = _within(ranges[clip.axis], clip.step, shift, clip.extent)
        if all(first < last for first, last in ranges):
            yield tuple(ranges)


def _within(span: tuple[int, int], step: int, shift: int, extent: int) -> tuple[int, int]:
    """The part of a span in which 0 ≤ o·step + shift < extent; empty where there is none."""
    first, last = span
    if step == 0:
        return span if 0 <= shift < extent else (0, 0)
    low, high = (0 - shift, extent - 1 - shift) if step > 0 else (shift - extent + 1, shift)
    return max(first, -(-low // abs(step))), min(last, high // abs(step) + 1)


def counts(axes: Sequence[int], reductions: Sequence[Reduction]) -> Array:
    """How many terms count at each output index, float64 in the shape of the axes."""
    found = np.zeros(tuple(axes))
    for box in taps(axes, reductions):
        terms = math.prod(last - first for first, last in box[len(axes) :])
        found[slices(box[: len(axes)])] += terms
    return found


def summed(axes: Sequence[int], reductions: Sequence[Reduction], left: Side, right: Side | None) -> Array:
    """Σ left·right (or Σ left) over the terms that count, float64 in the shape of the axes."""
    found, kept = np.zeros(tuple(axes)), frozenset(range(len(axes)))
    for box in taps(axes, reductions):
        part = _contracted(left.over(box), left.moving, right, box, kept)
        found[slices(box[: len(axes)])] += part.reshape(part.shape[: len(axes)])
    return found


def spread(
    axes: Sequence[int], reductions: Sequence[Reduction], gradient: Array, other: Side | None, target: Side
) -> None:
    """Adds to ``target`` what each of its elements is multiplied with: Σ gradient·other (or Σ gradient)."""
    sizes = (*axes, *(reduction.extent for reduction in reductions))
    every = frozenset(range(len(axes)))
    looped = _overlapping(sizes, target.strides)
    whole = gradient.reshape(tuple(axes))
    for box in taps(axes, reductions, looped):
        part = whole[slices(box[: len(axes)])].reshape(
            *(last - first for first, last in box[: len(axes)]), *(1 for _ in reductions)
        )
        view = target.over(box)
        view += _contracted(part, every, other, box, target.moving)


def whole(sizes: Sequence[int]) -> Box:
    """The box of everything."""
    return tuple((0, size) for size in sizes)


def greatest(axes: Sequence[int], reductions: Sequence[Reduction], side: Side) -> Array:
    """The greatest element that counts, float64 in the shape of the axes; −Inf where none does."""
    found, reduced = np.full(tuple(axes), -np.inf), tuple(range(len(axes), len(axes) + len(reductions)))
    for box in taps(axes, reductions):
        part = found[slices(box[: len(axes)])]
        np.maximum(part, side.over(box).max(axis=reduced), out=part)
    return found


def slices(box: Sequence[tuple[int, int]]) -> tuple[slice, ...]:
    """The index of a box."""
    return tuple(slice(first, last) for first, last in box)


def _contracted(left: Array, left_moving: frozenset[int], right: Side | None, box: Box, kept: frozenset[int]) -> Array:
    """Σ left·right over the dimensions that are not kept, one wide in those and in those that neither moves along."""
    right_moving = frozenset[int]() if right is None else right.moving
    other = np.ones((1,) * len(box)) if right is None else right.over(box)
    left = _alone(left, left_moving - right_moving - kept)
    other = _alone(other, right_moving - left_moving - kept)
    both = sorted(left_moving & right_moving)
    batch, inner = [k for k in both if k in kept], [k for k in both if k not in kept]
    rows = sorted((left_moving - right_moving) & kept)
    columns = sorted((right_moving - left_moving) & kept)
    sizes = [last - first for first, last in box]
    matrices = np.matmul(_matrix(left, (batch, rows, inner), sizes), _matrix(other, (batch, inner, columns), sizes))
    order = [*batch, *rows, *columns]
    made = matrices.reshape([sizes[k] for k in order]).transpose(np.argsort(order, kind="stable"))
    # Terms that move neither side count as often as there are.
    times = math.prod(sizes[k] for k in range(len(box)) if k not in kept | left_moving | right_moving)
    return np.asarray(made.reshape([sizes[k] if k in order else 1 for k in range(len(box))]) * times)


def _alone(array: Array, dimensions: Collection[int]) -> Array:
    return array.sum(axis=tuple(sorted(dimensions)), keepdims=True) if dimensions else array


def _matrix(array: Array, parts: Sequence[Sequence[int]], sizes: Sequence[int]) -> Array:
    """[batch, …, …] with each part of the dimensions joined; all others are one wide."""
    order = [k for part in parts for k in part]
    rest = [k for k in range(array.ndim) if k not in order]
    return array.transpose(*order, *rest).reshape([math.prod(sizes[k] for k in part) for part in parts])


def _overlapping(sizes: Sequence[int], strides: Sequence[int]) -> set[int]:
    """Dimensions to take index by index so that no two terms of a box meet in one element."""
    looped: set[int] = set()
    while (clash := _clash(sizes, strides, looped)) is not None:
        looped.add(clash)
    return looped


def _clash(sizes: Sequence[int], strides: Sequence[int], looped: set[int]) -> int | None:
    """The smaller of two dimensions that reach into one another; None where none do."""
    moving = [k for k in range(len(sizes)) if strides[k] and sizes[k] > 1 and k not in looped]
    reach, widest = 0, -1
    for k in sorted(moving, key=lambda k: abs(strides[k])):
        span = abs(strides[k]) * (sizes[k] - 1)
        if abs(strides[k]) <= reach:
            return min(k, widest, key=sizes.__getitem__)
        reach += span
        if widest < 0 or span >= abs(strides[widest]) * (sizes[widest] - 1):
            widest = k
    return None
