"""Brings operands into the order of dimensions that a node wants, with as few nodes as will do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np
from numpy.lib.stride_tricks import as_strided

from sworn.model.canonical.forms import (
    Axes,
    Digit,
    Form,
    Moves,
    Part,
    cuts_of,
    flat_form,
    joined_cuts,
    locate,
    row_major,
    stored,
)
from sworn.model.canonical.writer import Array, GraphWriter
from sworn.model.program import Operand, Space


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """An operand over axes: where a value's elements lie in a tensor, or a constant."""

    moves: Moves
    form: Form | None = None
    parts: tuple[Part, ...] = ()
    #: The weight tensor, flat.
    weight: Array | None = None

    @property
    def axes(self) -> Axes:
        """The axes that it moves along, from the outermost in memory; those of a constant from the first."""
        if self.form is None:
            sizes = zip(self.moves.sizes, self.moves.strides, strict=True)
            return tuple(k for k, (size, stride) in enumerate(sizes) if size > 1 and stride)
        return tuple(part.axis for part in self.parts if part.axis is not None)

    @property
    def is_whole(self) -> bool:
        """Whether it uses all elements of its tensor."""
        return self.form is not None and all(part.is_whole for part in self.parts)

    @property
    def natural(self) -> Axes | None:
        """The shape in which it leaves its tensor without being reshaped; None for a constant."""
        if self.form is None or self.is_whole:
            return None if self.form is None else self.form.shape
        groups = _grouped(self.form.shape, self.parts)
        if groups is None:
            return tuple(part.count for part in self.parts)
        pairs = zip(self.form.shape, groups, strict=True)
        return tuple(parts[0].count if parts and not parts[0].is_whole else size for size, parts in pairs)

    def holds(self, axis: int) -> bool:
        """Whether it moves along an axis."""
        return self.moves.sizes[axis] > 1 and self.moves.strides[axis] != 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Aligned:
    """Operands over axes so fine that each axis is one dimension of every tensor.

    ``origins[k]`` is the axis that fine axis k is a part of, and ``inner[k]`` what a step along k adds to that one.
    """

    sizes: Axes
    origins: Axes
    inner: Axes
    sources: tuple[Source, ...]


class Reader:
    """Reads operands of steps from the values written so far, and from weights."""

    def __init__(self, writer: GraphWriter, weights: Sequence[Array]) -> None:
        self.writer = writer
        self.forms: dict[int, Form] = {}
        self._weights = [weight.reshape(-1) for weight in weights]
        #: What was reshaped: the tensor and its shape before.
        self._reshaped: dict[str, tuple[str, Axes]] = {}

    def align(
        self, operands: Sequence[tuple[Operand, Moves]], *, gather: bool = False, is_flat: bool = False
    ) -> Aligned | None:
        """Operands over common fine axes; None where that is impossible, and ``gather`` does not allow to pick.

        With ``is_flat``, values are brought into the program's order at once.
        """
        for attempt in range(int(is_flat), 3 if gather else 2):
            found = self._try_align(operands, attempt)
            if found is not None:
                return found
        return None

    def _try_align(self, operands: Sequence[tuple[Operand, Moves]], attempt: int) -> Aligned | None:
        sizes = operands[0][1].sizes
        origins, inner = tuple(range(len(sizes))), (1,) * len(sizes)
        moved = [moves for _, moves in operands]
        while True:
            sources = [
                self._source(operand, moves, attempt) for (operand, _), moves in zip(operands, moved, strict=True)
            ]
            found = [source for source in sources if source is not None]
            if len(found) < len(sources):
                return None
            cuts = joined_cuts(sizes, (cuts_of(source.parts, len(sizes)) for source in found))
            if cuts is None:
                return None
            if not any(cuts):
                return Aligned(sizes=sizes, origins=origins, inner=inner, sources=tuple(found))
            ordered = [sorted(each) for each in cuts]
            scale = Moves(offset=0, sizes=sizes, strides=inner).cut(ordered)
            origins = tuple(origins[k] for k, each in enumerate(ordered) for _ in range(len(each) + 1))
            sizes, inner = scale.sizes, scale.strides
            moved = [moves.cut(ordered) for moves in moved]

    def _source(self, operand: Operand, moves: Moves, attempt: int) -> Source | None:
        if operand.space is Space.WEIGHT:
            return Source(moves=moves, weight=self._weights[operand.tensor])
        form = self.forms[operand.tensor]
        if attempt:
            form = self.flattened(form)
        parts = locate(form, moves)
        if parts is None:
            return self._picked(form, moves) if attempt > 1 else None
        return Source(moves=moves, form=form, parts=parts)

    def _picked(self, form: Form, moves: Moves) -> Source:
        """Any elements at all, picked one by one."""
        flat = self.flattened(form)
        size = prod(digit.size for digit in flat.digits)
        name = self.reshape(flat.name, flat.shape, (size,))
        kept = [k for k, (n, s) in enumerate(zip(moves.sizes, moves.strides, strict=True)) if n > 1 and s]
        index = np.array(moves.offset, dtype=np.int64)
        for k in kept:
            index = index[..., None] + np.arange(moves.sizes[k], dtype=np.int64) * moves.strides[k]
        shape = tuple(moves.sizes[k] for k in kept)
        picked = self.writer.node("Gather", [name, self.writer.constant(index)], axis=0)
        parts = tuple(Part(size=moves.sizes[k], start=0, count=moves.sizes[k], axis=k, inner=1) for k in kept)
        return Source(moves=moves, form=flat_form(picked, shape), parts=parts)

    def flattened(self, form: Form) -> Form:
        """The same elements in the program's order, as one dimension that can be cut anywhere."""
        whole = (Digit(size=prod(digit.size for digit in form.digits), stride=1),) if form.digits else ()
        if form.is_flat:
            return replace(form, digits=whole)
        sizes = tuple(digit.size for digit in form.digits)
        order = form.order
        name = self._transpose(self.reshape(form.name, form.shape, sizes), sizes, order)
        shape = tuple(sizes[k] for k in order)
        return Form(name=name, shape=shape, digits=whole)

    def take(self, source: Source, order: Sequence[int], shape: Sequence[int], *, rank: int = 0) -> str:
        """The tensor with the operand's axes in an order, in a shape of as many elements.

        Up to ``rank`` dimensions, more ones in front will do as well.
        """
        if source.form is None:
            return self.writer.constant(stored(self.constant(source, order, shape)))
        name, now = self._sliced(source)
        axes = source.axes
        if axes != tuple(order):
            sizes = tuple(source.moves.sizes[axis] for axis in axes)
            places = tuple(axes.index(axis) for axis in order)
            name = self._transpose(self.reshape(name, now, sizes), sizes, places)
            now = tuple(sizes[place] for place in places)
        if len(now) <= rank and _lean(now) == _lean(shape):
            return name
        return self.reshape(name, now, tuple(shape))

    def constant(self, source: Source, order: Sequence[int], shape: Sequence[int]) -> Array:
        """A constant's elements over some axes."""
        weight, moves = source.weight, source.moves
        assert weight is not None, "INVARIANT: only weights are read as constants"  # noqa: S101
        sizes = tuple(moves.sizes[axis] for axis in order)
        strides = tuple(moves.strides[axis] * weight.itemsize for axis in order)
        seen = as_strided(weight[moves.offset :], shape=sizes, strides=strides, writeable=False)
        return np.ascontiguousarray(seen).reshape(tuple(shape))

    def spread(self, operand: Operand, sizes: Axes, strides: Axes, order: Sequence[int]) -> Array:
        """A weight over some of its axes, flat."""
        moves = Moves(offset=operand.offset, sizes=sizes, strides=strides)
        source = Source(moves=moves, weight=self._weights[operand.tensor])
        return self.constant(source, order, (prod(sizes[axis] for axis in order),))

    def spread_all(self, operand: Operand, sizes: Sequence[int], strides: Sequence[int]) -> Array:
        """A weight's elements over axes of their own."""
        moves = Moves(offset=operand.offset, sizes=tuple(sizes), strides=tuple(strides))
        source = Source(moves=moves, weight=self._weights[operand.tensor])
        return self.constant(source, tuple(range(len(sizes))), tuple(sizes))

    def _sliced(self, source: Source) -> tuple[str, Axes]:
        form = source.form
        assert form is not None, "INVARIANT: only values are sliced"  # noqa: S101
        if source.is_whole:
            return form.name, form.shape
        shape = form.shape
        groups = _grouped(shape, source.parts)
        if groups is None:
            shape = tuple(part.size for part in source.parts)
            groups = [[part] for part in source.parts]
        name = self.reshape(form.name, form.shape, shape)
        cut = [(k, parts[0]) for k, parts in enumerate(groups) if parts and not parts[0].is_whole]
        lists = ([p.start for _, p in cut], [p.start + p.count for _, p in cut], [k for k, _ in cut])
        name = self.writer.node("Slice", [name, *(self.writer.shape(numbers) for numbers in lists)])
        left = dict(cut)
        return name, tuple(left[k].count if k in left else size for k, size in enumerate(shape))

    def reshape(self, name: str, now: Axes, shape: Axes) -> str:
        """The same elements in the same order under another shape."""
        name, now = self._reshaped.get(name, (name, now))
        if now == shape:
            return name
        made = self.writer.node("Reshape", [name, self.writer.shape(shape)])
        self._reshaped[made] = (name, now)
        return made

    def _transpose(self, name: str, sizes: Axes, order: Axes) -> str:
        """Dimensions in another order; neighbours that stay neighbours move as one."""
        runs: list[list[int]] = []
        for place in order:
            if runs and runs[-1][-1] + 1 == place:
                runs[-1].append(place)
            else:
                runs.append([place])
        if len(runs) == 1:
            return name
        before = sorted(runs)
        name = self.reshape(name, sizes, tuple(prod(sizes[k] for k in run) for run in before))
        name = self.writer.node("Transpose", [name], perm=[before.index(run) for run in runs])
        return self.reshape(name, tuple(prod(sizes[k] for k in run) for run in runs), tuple(sizes[k] for k in order))


def _lean(shape: Sequence[int]) -> Axes:
    """A shape without the ones in front."""
    first = next((k for k, size in enumerate(shape) if size != 1), len(shape))
    return tuple(shape[first:])


def _grouped(shape: Axes, parts: Sequence[Part]) -> list[list[Part]] | None:
    """The parts in each dimension of a shape, where each holds one part or only whole ones."""
    groups: list[list[Part]] = []
    rest = list(parts)
    for size in shape:
        group: list[Part] = []
        while size > 1 and prod(part.size for part in group) < size and rest:
            group.append(rest.pop(0))
        if size > 1 and prod(part.size for part in group) != size:
            return None
        if len(group) > 1 and not all(part.is_whole for part in group):
            return None
        groups.append(group)
    return None if rest else groups


def operand_moves(operand: Operand, axes: Sequence[int]) -> Moves:
    """An operand of a step over the step's axes."""
    return Moves(offset=operand.offset, sizes=tuple(axes), strides=operand.strides)


def flat_strides(axes: Sequence[int], aligned: Aligned) -> Axes:
    """What a step along each fine axis adds to the output's flat element; ``axes`` are the output's."""
    outer = row_major(axes)
    pairs = zip(aligned.origins, aligned.inner, strict=True)
    return tuple(outer[origin] * inner if origin < len(axes) else 0 for origin, inner in pairs)
