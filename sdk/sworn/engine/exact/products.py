"""Float contractions: float64 matrix products whose error is bounded, rounded where the bound decides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sworn.engine.exact.kernels import Kernels
from sworn.engine.exact.layout import Layout
from sworn.engine.exact.terms import Terms, bounds, error_factor
from sworn.engine.exact.views import Memory
from sworn.model.program import Contract, Program, Space, Step

Array = NDArray[Any]
Run = Callable[[Memory], Array]


def plan_product(program: Program, step: Step, body: Contract, *, kernels: Kernels) -> Run:
    """How a float contraction is computed, all elements flat; raises `RunNotFinite` when run."""
    terms = Terms(step, body, kernels)
    layout = Layout.of(program, step, body)
    divisors = _divisors(layout, body)
    if layout is None or divisors is None or not layout.pays:
        return lambda memory: terms.sweep(memory, step.output.elements)
    return _Product(layout, body, terms=terms, kernels=kernels, divisors=divisors)


def _divisors(layout: Layout | None, body: Contract) -> Array | None:
    if body.divisor or layout is None:
        return np.array([body.divisor], dtype=np.float64)
    counts = layout.row_counts()
    return None if counts is None else counts.astype(np.float64)


class _Product:
    """A contraction as matrix products; what is constant about it is prepared by its first run."""

    def __init__(self, layout: Layout, body: Contract, *, terms: Terms, kernels: Kernels, divisors: Array) -> None:
        self._layout, self._terms, self._kernels = layout, terms, kernels
        self._divisors = divisors
        self._sizes = layout.sizes
        # Windows are widened once, before elements are copied out of them many times; the rest is widened by its copy.
        self._dtype = np.float64 if layout.left.windows.dimensions else np.float32
        self._blocks = layout.blocks(8)
        self._factor = error_factor(layout.terms)
        self._bounds = bounds(body)
        self._bias = body.bias
        self._known_right: tuple[Array, Array] | None = None if layout.right else self._ones()
        self._known_bias: Array | None = None if body.bias else np.zeros((1, 1, layout.sizes[2]))

    def __call__(self, memory: Memory) -> Array:
        batch, rows, columns = self._sizes
        left, terms, scratch = self._layout.left, self._layout.terms, memory.scratch
        right, norms = self._known_right or self._make_right(memory)
        bias = self._make_bias(memory) if self._known_bias is None else self._known_bias
        seen = left.over(left.windows.load(memory.read(left.operand), self._dtype))
        out = np.empty((batch, rows, columns), dtype=np.float32)
        undecided = 0
        for block in self._blocks:
            chosen = seen if len(self._blocks) == 1 else seen[block.index]
            copied = scratch.take(0, (batch, block.rows, terms))
            np.copyto(copied.reshape(chosen.shape), chosen)
            undecided += self._kernels.settle(
                np.matmul(copied, right, out=scratch.take(1, (batch, block.rows, columns))),
                np.sqrt(np.vecdot(copied, copied)),
                norms,
                bias if bias.shape[1] == 1 else np.ascontiguousarray(bias[:, block.first : block.first + block.rows]),
                self._divisors if self._divisors.size == 1 else self._divisors[block.first : block.first + block.rows],
                self._factor,
                *self._bounds,
                out,
                block.first,
            )
        flat = self._layout.in_order(out)
        if undecided:
            self._terms.resolve(memory, flat)
        return flat

    def _ones(self) -> tuple[Array, Array]:
        batch, _, _ = self._sizes
        terms = self._layout.terms
        return np.ones((1, terms, 1)), np.full((batch, 1), np.sqrt(terms))

    def _make_right(self, memory: Memory) -> tuple[Array, Array]:
        """The right matrices [batch, terms, columns] and the norms of their columns."""
        matrix, (batch, _, columns) = self._layout.right, self._sizes
        assert matrix is not None, "INVARIANT: without a right operand it is known"  # noqa: S101
        buffer = matrix.windows.load(memory.read(matrix.operand), np.float64)
        columns_first = matrix.over(buffer).reshape(batch, columns, self._layout.terms)
        made = columns_first.swapaxes(1, 2), np.sqrt(np.vecdot(columns_first, columns_first))
        if matrix.is_constant:
            self._known_right = made
        return made

    def _make_bias(self, memory: Memory) -> Array:
        assert self._bias is not None, "INVARIANT: without a bias it is known"  # noqa: S101
        made = self._layout.by_rows(memory.read(self._bias), self._bias)
        if self._bias.space is Space.WEIGHT:
            self._known_bias = made
        return made
