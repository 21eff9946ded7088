"""How a value lies in memory inside an ONNX graph, and how a step's operand is found in it.

A program's tensors are flat. In a graph the same elements may lie in another order, channels before pixels behind a
convolution say; a `Form` remembers that order as digits, so that nothing is transposed until somebody must have it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sworn.types import DType

Array = NDArray[Any]
Axes = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Digit:
    """One dimension of a tensor: ``size`` elements that are ``stride`` apart in the program's flat order."""

    size: int
    stride: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A tensor of a graph that holds all elements of one value.

    ``digits``, from the outermost, are the finest dimensions known; ``shape`` is what the graph gives the tensor, in
    which some of them may be joined. Digits have more than one element each.
    """

    name: str
    shape: Axes
    digits: tuple[Digit, ...]

    @property
    def order(self) -> Axes:
        """The digits by number as the program's flat order has them."""
        return tuple(sorted(range(len(self.digits)), key=lambda number: -self.digits[number].stride))

    @property
    def is_flat(self) -> bool:
        """Whether the elements lie in the program's order."""
        return self.order == tuple(range(len(self.digits)))


def values_of(form: Form, tensor: Array) -> Array:
    """A tensor's elements in the program's order, flat."""
    seen = tensor.reshape([digit.size for digit in form.digits]).transpose(form.order)
    return np.ascontiguousarray(seen).reshape(-1)


#: What turns int8 into uint8 of the same order and back.
_TOP_BIT = np.uint8(0x80)


def stored(array: Array) -> Array:
    """An array as graphs hold it: int8 as uint8, 128 more. Kernels for products of int8 by int8 are slow."""
    return array.view(np.uint8) ^ _TOP_BIT if array.dtype == np.int8 else array


def restored(array: Array, dtype: DType) -> Array:
    """The inverse of `stored` for values of a type."""
    return (array ^ _TOP_BIT).view(np.int8) if dtype is DType.INT8 else array


def storage_of(dtype: DType) -> DType:
    """The type in which graphs hold values of a type."""
    return DType.UINT8 if dtype is DType.INT8 else dtype


def row_major(sizes: Sequence[int]) -> Axes:
    """Strides of sizes in row-major order."""
    return tuple(prod(sizes[k + 1 :]) for k in range(len(sizes)))


def flat_form(name: str, shape: Axes) -> Form:
    """The form of a tensor in the program's own order."""
    pairs = zip(shape, row_major(shape), strict=True)
    return Form(
        name=name, shape=shape, digits=tuple(Digit(size=size, stride=stride) for size, stride in pairs if size > 1)
    )


def joined(form: Form) -> Form:
    """The form with digits as one that lie side by side in one dimension of the tensor and in the program's order."""
    ends = {prod(form.shape[k:]) for k in range(len(form.shape))}
    digits: list[Digit] = []
    left = prod(form.shape)
    for digit in form.digits:
        if digits and left not in ends and digits[-1].stride == digit.stride * digit.size:
            digits[-1] = Digit(size=digits[-1].size * digit.size, stride=digit.stride)
        else:
            digits.append(digit)
        left //= digit.size
    return replace(form, digits=tuple(digits))


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One dimension of a tensor as an operand uses it: ``count`` of ``size`` elements from ``start`` on.

    ``axis`` is the axis that moves along it, None where the operand stands still. ``inner`` is what one step along it
    adds to that axis.
    """

    size: int
    start: int
    count: int
    axis: int | None
    inner: int

    @property
    def is_whole(self) -> bool:
        """Whether every element is used."""
        return self.count == self.size


@dataclass(frozen=True, slots=True, kw_only=True)
class Moves:
    """An operand over axes: its first element and what a step along each axis adds to it."""

    offset: int
    sizes: Axes
    strides: Axes

    def cut(self, cuts: Sequence[Sequence[int]]) -> Moves:
        """The same over finer axes: axis k is cut before the places in ``cuts[k]``."""
        sizes: list[int] = []
        strides: list[int] = []
        for size, stride, inner in zip(self.sizes, self.strides, cuts, strict=True):
            bounds = [size, *sorted(inner, reverse=True), 1]
            sizes += [outer // place for outer, place in pairwise(bounds)]
            strides += [stride * place for place in bounds[1:]]
        return Moves(offset=self.offset, sizes=tuple(sizes), strides=tuple(strides))


def locate(form: Form, moves: Moves) -> tuple[Part, ...] | None:
    """The parts of a tensor that an operand uses, outermost first; None where they are no product of ranges."""
    wanted = [k for k, (size, stride) in enumerate(zip(moves.sizes, moves.strides, strict=True)) if size > 1 and stride]
    if moves.offset < 0 or any(moves.strides[k] < 0 for k in wanted):
        return None
    digits = _refined(form.digits, {moves.strides[k] for k in wanted})
    if digits is None:
        return None
    owners = _owners(digits, moves, wanted)
    return None if owners is None else _parts(digits, owners, moves.offset)


def _refined(digits: Iterable[Digit], strides: set[int]) -> list[Digit] | None:
    """Digits cut wherever an axis begins."""
    result: list[Digit] = []
    for digit in digits:
        top = digit.stride * digit.size
        for cut in sorted((stride for stride in strides if digit.stride < stride < top), reverse=True):
            if top % cut:
                return None
            result.append(Digit(size=top // cut, stride=cut))
            top = cut
        if top % digit.stride:
            return None
        result.append(Digit(size=top // digit.stride, stride=digit.stride))
    return result


def _owners(digits: Sequence[Digit], moves: Moves, wanted: Sequence[int]) -> dict[int, tuple[int, int, int]] | None:
    """Axis, inner step and count of every digit that an axis moves along."""
    places = {digit.stride: number for number, digit in enumerate(digits)}
    owners: dict[int, tuple[int, int, int]] = {}
    for axis in wanted:
        rest, stride, inner = moves.sizes[axis], moves.strides[axis], 1
        while rest > 1:
            number = places.get(stride)
            if number is None or number in owners:
                return None
            size = digits[number].size
            if rest > size and rest % size:
                return None
            owners[number] = (axis, inner, min(rest, size))
            rest, stride, inner = -(-rest // size), stride * size, inner * size
    return owners


def _parts(digits: Sequence[Digit], owners: dict[int, tuple[int, int, int]], offset: int) -> tuple[Part, ...] | None:
    starts = [0] * len(digits)
    for number in sorted(range(len(digits)), key=lambda number: -digits[number].stride):
        starts[number], offset = divmod(offset, digits[number].stride)
    parts = []
    for number, digit in enumerate(digits):
        axis, inner, count = owners.get(number, (None, 1, 1))
        if starts[number] + count > digit.size:
            return None
        parts.append(Part(size=digit.size, start=starts[number], count=count, axis=axis, inner=inner))
    return tuple(parts)


def cuts_of(parts: Iterable[Part], axes: int) -> list[set[int]]:
    """Where parts cut each axis."""
    cuts: list[set[int]] = [set() for _ in range(axes)]
    for part in parts:
        if part.axis is not None and part.inner > 1:
            cuts[part.axis].add(part.inner)
    return cuts


def joined_cuts(sizes: Axes, several: Iterable[Sequence[set[int]]]) -> list[set[int]] | None:
    """All cuts at once; None where they cross."""
    joined: list[set[int]] = [set() for _ in sizes]
    for cuts in several:
        for axis, found in enumerate(cuts):
            joined[axis] |= found
    for size, found in zip(sizes, joined, strict=True):
        bounds = [*sorted(found), size]
        if any(outer % inner for inner, outer in pairwise(bounds)):
            return None
    return joined
