"""Float contractions: float64 matrix products whose error is bounded, rounded where the bound decides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sworn.engine.exact.kernels import Kernels
from sworn.engine.exact.layout import Layout, Matrix
from sworn.engine.exact.terms import Terms, bounds, error_factor
from sworn.engine.exact.views import Memory
from sworn.model.program import Contract, Operand, Program, Space, Step

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
        self._layout, self._body, self._terms, self._kernels = layout, body, terms, kernels
        self._divisors = divisors
        self._blocks = layout.blocks(8)
        self._factor = error_factor(layout.terms)
        self._bounds = bounds(body)
        self._constants: dict[str, Any] = {}

    def __call__(self, memory: Memory) -> Array:
        layout = self._layout
        batch, rows, columns = layout.sizes
        right, right_norms = self._right(memory)
        bias = self._bias(memory)
        lower, upper = self._bounds
        seen = layout.left.over(self._buffer(memory, layout.left, "left"))
        out = np.empty((batch, rows, columns), dtype=np.float32)
        undecided = 0
        for block in self._blocks:
            left = seen[block.index].reshape(batch, block.rows, layout.terms)
            norms = np.sqrt(np.vecdot(left, left))
            undecided += self._kernels.settle(
                np.matmul(left, right),
                norms,
                right_norms,
                bias if bias.shape[1] == 1 else np.ascontiguousarray(bias[:, block.first : block.first + block.rows]),
                self._divisors if len(self._divisors) == 1 else self._divisors[block.first : block.first + block.rows],
                self._factor,
                lower,
                upper,
                out,
                block.first,
            )
        flat = layout.in_order(out)
        if undecided:
            self._terms.resolve(memory, flat)
        return flat

    def _cached(self, key: str, make: Callable[[], Any], *, is_constant: bool) -> Any:
        if not is_constant:
            return make()
        if key not in self._constants:
            self._constants[key] = make()
        return self._constants[key]

    def _buffer(self, memory: Memory, matrix: Matrix, key: str) -> Array:
        def make() -> Array:
            assert matrix.operand is not None, "INVARIANT: only the absent right operand has none"  # noqa: S101
            return matrix.windows.load(memory.read(matrix.operand), np.float64)

        buffer: Array = self._cached(key, make, is_constant=matrix.is_constant)
        return buffer

    def _right(self, memory: Memory) -> tuple[Array, Array]:
        """The right matrices [batch, terms, columns] and the norms of their columns."""
        matrix, (batch, _, columns), terms = self._layout.right, self._layout.sizes, self._layout.terms
        if matrix is None:
            ones: tuple[Array, Array] = self._cached(
                "ones", lambda: (np.ones((1, terms, 1)), np.full((batch, 1), np.sqrt(terms))), is_constant=True
            )
            return ones

        def make() -> tuple[Array, Array]:
            assert matrix is not None and matrix.operand is not None, "INVARIANT: checked above"  # noqa: PT018, S101
            buffer = matrix.windows.load(memory.read(matrix.operand), np.float64)
            rows = matrix.over(buffer).reshape(batch, columns, terms)
            return rows.swapaxes(1, 2), np.sqrt(np.vecdot(rows, rows))

        prepared: tuple[Array, Array] = self._cached("right", make, is_constant=matrix.is_constant)
        return prepared

    def _bias(self, memory: Memory) -> Array:
        operand: Operand | None = self._body.bias
        if operand is None:
            _, _, columns = self._layout.sizes
            zeros: Array = self._cached("bias", lambda: np.zeros((1, 1, columns)), is_constant=True)
            return zeros
        bias: Array = self._cached(
            "bias",
            lambda: self._layout.by_rows(memory.read(operand), operand),
            is_constant=operand.space is Space.WEIGHT,
        )
        return bias
