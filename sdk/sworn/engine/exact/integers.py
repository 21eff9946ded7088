"""Integer contractions: float matrix products of so few terms that every sum is exact, wrapped to int32."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from sworn.engine.exact.layout import Layout, Matrix
from sworn.engine.exact.terms import term_offsets
from sworn.engine.exact.views import Memory, counted, operand_view
from sworn.errors import ModelUnsupported
from sworn.model.program import Contract, Operand, Program, Step
from sworn.types import DType

Array = NDArray[Any]
Run = Callable[[Memory], Array]

#: Every integer up to these is a float, and so is every partial sum below them.
_FLOAT32_EXACT, _FLOAT64_EXACT = 1 << 24, 1 << 53
#: More parts than this cost more than a float64 product.
_MAX_PARTS = 4
_BLOCK_TERMS = 1 << 20


def plan_integers(program: Program, step: Step, body: Contract) -> Run:
    """How an integer contraction is computed, all elements flat int32."""
    layout = Layout.of(program, step, body)
    if body.right is None or layout is None or not layout.pays:
        return lambda memory: _sum_terms(memory, step, body)
    return _IntegerProduct(layout, program, body)


def _reach(dtype: DType, zero: int) -> int:
    """The greatest absolute value of an operand minus its zero point."""
    information = np.iinfo(dtype.numpy)
    return max(int(information.max) - zero, zero - int(information.min))


class _IntegerProduct:
    """A contraction of bytes as float matrix products, split so that no sum is rounded."""

    def __init__(self, layout: Layout, program: Program, body: Contract) -> None:
        self._layout, self._body = layout, body
        if layout.right is None:
            raise ModelUnsupported("an integer product without a right operand")
        self._right = layout.right
        product = _reach(program.type_of(layout.left.operand).dtype, layout.left.zero)
        product *= _reach(program.type_of(self._right.operand).dtype, self._right.zero)
        most = _FLOAT32_EXACT // product
        is_short = layout.terms <= most * _MAX_PARTS
        self._dtype: DTypeLike = np.float32 if is_short else np.float64
        self._part = most if is_short else layout.terms
        self._blocks = layout.blocks(4 if is_short else 8)
        self._constant: Array | None = None

    def __call__(self, memory: Memory) -> Array:
        layout, body = self._layout, self._body
        batch, rows, columns = layout.sizes
        right = self._columns(memory)
        buffer = layout.left.windows.load(memory.read(layout.left.operand), self._dtype, zero=layout.left.zero)
        seen = layout.left.over(buffer)
        out = np.empty((batch, rows, columns), dtype=np.int64)
        for block in self._blocks:
            left = seen[block.index].reshape(batch, block.rows, layout.terms)
            target = out[:, block.first : block.first + block.rows]
            target[...] = np.matmul(left[:, :, : self._part], right[:, : self._part])
            for first in range(self._part, layout.terms, self._part):
                part = slice(first, first + self._part)
                target += np.matmul(left[:, :, part], right[:, part]).astype(np.int64)
        flat = layout.in_order(out)
        if body.bias is not None:
            flat = flat + operand_view(memory, body.bias, layout.axes).reshape(-1)
        return flat.astype(np.int32)

    def _columns(self, memory: Memory) -> Array:
        if self._constant is not None:
            return self._constant
        batch, _, columns = self._layout.sizes
        matrix: Matrix = self._right
        buffer = matrix.windows.load(memory.read(matrix.operand), self._dtype, zero=matrix.zero)
        right = matrix.over(buffer).reshape(batch, columns, self._layout.terms).swapaxes(1, 2)
        if matrix.is_constant:
            self._constant = right
        return right


def _sum_terms(memory: Memory, step: Step, body: Contract) -> Array:
    """Term by term in int64, which 8,192 products of bytes or int32 elements cannot overflow."""
    out = np.zeros(step.output.elements, dtype=np.int64)
    left_terms = term_offsets(body.reductions, [r.left_stride for r in body.reductions])
    right_terms = term_offsets(body.reductions, [r.right_stride for r in body.reductions])
    block = max(1, _BLOCK_TERMS // len(left_terms))
    for first in range(0, len(out), block):
        flat = np.arange(first, min(first + block, len(out)))
        o = np.unravel_index(flat, step.axes) if step.axes else ()
        counts = _counts(step, body, o, len(flat))
        terms = _elements(memory, body.left, o, terms=left_terms, counts=counts) - body.left_zero
        if body.right is not None:
            terms *= _elements(memory, body.right, o, terms=right_terms, counts=counts) - body.right_zero
        terms[~counts] = 0
        out[first : first + len(flat)] = terms.sum(axis=1)
    if body.bias is not None:
        out += operand_view(memory, body.bias, step.axes).reshape(-1)
    return out.astype(np.int32)


def _counts(step: Step, body: Contract, o: tuple[Array, ...], elements: int) -> Array:
    counts = np.ones((elements, *(r.extent for r in body.reductions)), dtype=np.bool_)
    for j, reduction in enumerate(body.reductions):
        if reduction.clip is not None:
            axis = reduction.clip.axis
            inside = counted(reduction, step.axes[axis])[o[axis]]
            shape = [elements, *(r.extent if i == j else 1 for i, r in enumerate(body.reductions))]
            counts &= inside.reshape(shape)
    return counts.reshape(elements, -1)


def _elements(memory: Memory, operand: Operand, o: tuple[Array, ...], *, terms: Array, counts: Array) -> Array:
    base = np.full(counts.shape[0], operand.offset, dtype=np.int64)
    for index, stride in zip(o, operand.strides, strict=True):
        base += index * stride
    where = np.where(counts, base[:, None] + terms, 0)
    return memory.read(operand)[where].astype(np.int64)
