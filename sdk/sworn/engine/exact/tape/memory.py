"""What a tape's words refer to: places of values and constants in an arena, tables, matrices."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sworn.engine.exact.tape.codes import ALIGNMENT, TEMPORARY_END, TEMPORARY_FIRST
from sworn.engine.exact.views import view
from sworn.model.program import Operand, Program, Space

Array = NDArray[Any]

#: Bytes of an arena, of all tables and of all matrices, at most; and of one tensor in an arena.
_MAX_ARENA, _MAX_TABLES, _MAX_MATRICES, _MAX_TENSOR = 128 << 20, 64 << 20, 256 << 20, 1 << 20


class NotOnTape(Exception):
    """A step is computed outside of the tape: its work is large, or no instruction does it."""


class Places:
    """Gives out places while a tape is written; afterwards the memories are made from it."""

    def __init__(self, program: Program, weights: Sequence[Array]) -> None:
        self._program, self.weights = program, weights
        self._end = TEMPORARY_END
        self._temporary = TEMPORARY_FIRST
        #: Where value tensors begin, in bytes.
        self.values: dict[int, int] = {}
        self._constants: dict[tuple[Any, ...], tuple[int, Array]] = {}
        self._tables: list[Array] = []
        self._matrices: list[Array] = []
        self._shared: dict[Hashable, int] = {}
        self._table_words = self._matrix_words = 0

    def begin_step(self) -> None:
        """Frees the temporary tensors of the step before."""
        self._temporary = TEMPORARY_FIRST

    def value(self, number: int) -> int:
        """Where a value tensor begins, in its own elements."""
        kind = self._program.value(number)
        if number not in self.values:
            self.values[number] = self._reserve(kind.elements * kind.dtype.numpy.itemsize)
        return self.values[number] // kind.dtype.numpy.itemsize

    def has(self, number: int) -> bool:
        """Whether a value tensor has a place."""
        return number in self.values

    def byte(self, number: int) -> int:
        """Where a value tensor begins, in bytes."""
        return self.values[number]

    def _reserve(self, size: int) -> int:
        if size > _MAX_TENSOR or self._end + size > _MAX_ARENA:
            raise NotOnTape
        place = self._end
        self._end += -(-max(size, 1) // ALIGNMENT) * ALIGNMENT
        return place

    def temporary(self, size: int, itemsize: int) -> int:
        """Room for one step, in elements of a size."""
        place = self._temporary
        self._temporary += -(-size * itemsize // ALIGNMENT) * ALIGNMENT
        if self._temporary > TEMPORARY_END:
            raise NotOnTape
        return place // itemsize

    def constant(self, operand: Operand, axes: Sequence[int]) -> int:
        """The elements of a weight over axes, one after another, in its own elements."""
        key = (operand.tensor, operand.offset, operand.strides, tuple(axes))
        flat = self.weights[operand.tensor]
        if key not in self._constants:
            seen = view(flat, offset=operand.offset, shape=axes, strides=operand.strides)
            place = self._reserve(seen.nbytes)
            self._constants[key] = (place, np.ascontiguousarray(seen).reshape(-1))
        return self._constants[key][0] // flat.itemsize

    def tensor(self, operand: Operand) -> int:
        """Where the whole tensor that an operand reads from begins, in its own elements."""
        if operand.space is Space.VALUE:
            return self.value(operand.tensor)
        flat = Operand(space=Space.WEIGHT, tensor=operand.tensor, strides=(1,))
        return self.constant(flat, (self.weights[operand.tensor].size,))

    def literal(self, array: Array) -> int:
        """Where constant elements begin, in their own size."""
        key = (array.tobytes(), array.itemsize)
        if key not in self._constants:
            place = self._reserve(array.nbytes)
            self._constants[key] = (place, array)
        return self._constants[key][0] // array.itemsize

    def weight(self, operand: Operand) -> Array:
        """The whole weight that an operand reads from, flat."""
        return self.weights[operand.tensor]

    def table(self, array: Array) -> int:
        """Where a table of int64 begins."""
        flat = np.ascontiguousarray(array, dtype=np.int64).reshape(-1)
        place = self._table_words
        self._table_words += flat.size
        if 8 * self._table_words > _MAX_TABLES:
            raise NotOnTape
        self._tables.append(flat)
        return place

    def matrix(self, array: Array) -> int:
        """Where a constant of float64 or float32 begins, in its own elements."""
        flat = np.ascontiguousarray(array).reshape(-1)
        words = -(-flat.nbytes // 8)
        place = self._matrix_words
        self._matrix_words += words
        if 8 * self._matrix_words > _MAX_MATRICES:
            raise NotOnTape
        padded = np.zeros(words * 8 // flat.itemsize, dtype=flat.dtype)
        padded[: flat.size] = flat
        self._matrices.append(padded.view(np.float64))
        return place * 8 // flat.itemsize

    def shared(self, key: Hashable, array: Array) -> int:
        """Where a constant begins that several instructions use."""
        if key not in self._shared:
            self._shared[key] = self.matrix(array)
        return self._shared[key]

    def tables(self) -> Array:
        """All tables, int64."""
        return np.concatenate([np.zeros(1, dtype=np.int64), *self._tables])[1:].copy()

    def matrices(self) -> Array:
        """All matrices, as float64."""
        return np.concatenate([np.zeros(1), *self._matrices])[1:].copy()

    def arena(self) -> Array:
        """A new arena with the constants in their places, uint8."""
        made = np.empty(self._end, dtype=np.uint8)
        for place, array in self._constants.values():
            made[place : place + array.nbytes] = array.view(np.uint8)
        return made
