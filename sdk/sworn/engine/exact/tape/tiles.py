"""Register tiles of matrix products, written in LLVM's own vectors: numba's loops keep sums in memory. For numba.

A tile is a few rows by a few vectors of columns, its sums in registers while it runs over the terms. Vectors are wider
than many machines have; LLVM splits them there. Float tiles may use fused multiply-add where there is one: no bound
depends on it. Integer tiles add pairs of products of int16 to int32, modulo 2**32, which is exact.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

_EXTENDING: Any = importlib.import_module("numba.extending")
_TYPES: Any = importlib.import_module("numba.core.types")
_CODE: Any = importlib.import_module("numba.core.cgutils")
_IR: Any = importlib.import_module("llvmlite.ir")

#: Columns in one vector of sums.
FLOAT_COLUMNS, INTEGER_COLUMNS = 8, 16


class _Floats:
    """float64 sums; a term is one element of the left row and a vector of the right one."""

    columns = FLOAT_COLUMNS
    #: Elements of a left row, and of a right row per column, that one step takes.
    taken = 1

    def __init__(self) -> None:
        self.element, self.unit = _IR.DoubleType(), _IR.DoubleType()
        self.sums = self.right = _IR.VectorType(self.element, self.columns)
        self.alignment, self.sums_alignment = 8, 8

    def add(self, builder: Any, total: Any, left: Any, right: Any) -> Any:
        """Total + left · right."""
        kind = _IR.FunctionType(total.type, [total.type] * 3)
        function = _CODE.get_or_insert_function(builder.module, kind, f"llvm.fmuladd.v{self.columns}f64")
        return builder.call(function, [_spread(builder, left, self.columns), right, total])


class _Integers:
    """int32 sums; a step is a pair of neighbouring int16 of the left row and the pairs of all columns."""

    columns = INTEGER_COLUMNS
    taken = 2

    def __init__(self) -> None:
        self.element, self.unit = _IR.IntType(16), _IR.IntType(32)
        self.sums = _IR.VectorType(self.unit, self.columns)
        self.right = _IR.VectorType(self.element, 2 * self.columns)
        self.alignment, self.sums_alignment = 2, 4

    def add(self, builder: Any, total: Any, left: Any, right: Any) -> Any:
        """Total + the pair's two products."""
        wide = _IR.VectorType(self.unit, 2 * self.columns)
        pairs = builder.bitcast(_spread(builder, left, self.columns), self.right)
        products = builder.mul(builder.sext(pairs, wide), builder.sext(right, wide))
        halves = [
            builder.shuffle_vector(products, products, _mask([2 * i + k for i in range(self.columns)])) for k in (0, 1)
        ]
        return builder.add(total, builder.add(*halves))


def _mask(lanes: list[int]) -> Any:
    return _IR.Constant(_IR.VectorType(_IR.IntType(32), len(lanes)), lanes)


def _spread(builder: Any, scalar: Any, lanes: int) -> Any:
    """A vector of one scalar."""
    empty = _IR.Constant(_IR.VectorType(scalar.type, lanes), _IR.Undefined)
    single = builder.insert_element(empty, scalar, _IR.Constant(_IR.IntType(32), 0))
    return builder.shuffle_vector(single, single, _mask([0] * lanes))


def _load(builder: Any, pointer: Any, index: Any, kind: Any, alignment: int) -> Any:
    return builder.load(builder.bitcast(builder.gep(pointer, [index]), kind.as_pointer()), align=alignment)


def _emit(builder: Any, kind: Any, rows: int, vectors: int, arrays: list[Any], words: list[Any]) -> None:
    """The loops over runs and their steps; arrays are pointers, words as `_tile` names them."""
    left, table, right, sums = arrays
    table_step, right_step, sums_step, runs, steps = words

    def number(value: int) -> Any:
        return _IR.Constant(steps.type, value)

    zero = _IR.Constant(kind.sums, None)
    totals = [[_CODE.alloca_once_value(builder, zero) for _ in range(vectors)] for _ in range(rows)]
    with _CODE.for_range(builder, runs) as run:
        places = [builder.add(builder.mul(table_step, number(row)), run.index) for row in range(rows)]
        starts = [builder.load(builder.gep(table, [place])) for place in places]
        before = builder.mul(run.index, steps)
        with _CODE.for_range(builder, steps) as loop:
            first = builder.mul(builder.add(before, loop.index), right_step)
            loaded = []
            for v in range(vectors):
                place = builder.add(first, number(v * kind.columns * kind.taken))
                loaded.append(_load(builder, right, place, kind.right, kind.alignment))
            term = builder.mul(loop.index, number(kind.taken))
            for row in range(rows):
                scalar = _load(builder, left, builder.add(starts[row], term), kind.unit, kind.alignment)
                for total, vector in zip(totals[row], loaded, strict=True):
                    builder.store(kind.add(builder, builder.load(total), scalar, vector), total)
    for row in range(rows):
        for v in range(vectors):
            place = builder.add(builder.mul(sums_step, number(row)), number(v * kind.columns))
            target = builder.bitcast(builder.gep(sums, [place]), kind.sums.as_pointer())
            builder.store(builder.load(totals[row][v]), target, align=kind.sums_alignment)


def _tile(make_kind: Callable[[], Any], rows: int, vectors: int) -> Any:
    """A function for kernels that writes the sums of some rows and vectors of columns.

    It takes arrays left, table (int64), right and sums, for each of the last three a place in it and the distance of
    rows there, then the runs of a row and the steps of a run. The table tells where each run begins in ``left``.
    """

    def tile(
        _: Any,
        left: Any,
        table: Any,
        table_at: Any,
        table_step: Any,
        right: Any,
        right_at: Any,
        right_step: Any,
        sums: Any,
        sums_at: Any,
        sums_step: Any,
        runs: Any,
        steps: Any,
    ) -> Any:
        word = _TYPES.intp

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            def pointer(k: int) -> Any:
                return context.make_array(signature.args[k])(context, builder, arguments[k]).data

            arrays = [pointer(0), *(builder.gep(pointer(k), [arguments[k + 1]]) for k in (1, 4, 7))]
            words = [arguments[k] for k in (3, 6, 9, 10, 11)]
            _emit(builder, make_kind(), rows, vectors, arrays, words)
            return context.get_dummy_value()

        return _TYPES.void(left, table, word, word, right, word, word, sums, word, word, word, word), generate

    return _EXTENDING.intrinsic(tile)


floats_4x2, floats_4x1 = _tile(_Floats, 4, 2), _tile(_Floats, 4, 1)
floats_1x4, floats_1x1 = _tile(_Floats, 1, 4), _tile(_Floats, 1, 1)
integers_4x2, integers_4x1 = _tile(_Integers, 4, 2), _tile(_Integers, 4, 1)
integers_1x1 = _tile(_Integers, 1, 1)
