"""About how much gas the referee on the chain takes for one element of a step, at most.

The figures were measured on `contracts/referee`; `tests/contract/test_lies_gas.py` and `docs/proof_gas.md` hold them
against it. They decide which models are refused, so they err upwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Final, Self

from sworn.codec.trees import CHUNK_BYTES
from sworn.model.program import Contract, Function, Pointwise, Program, Rank, Reduction, Step
from sworn.types import DType

#: Of any judgement: reading the proof's head and the step, and calling the rule.
_BASE: Final = 42_000
#: Of a contraction: its reductions, and rounding.
_CONTRACTION: Final = 20_000
#: Of a function by series, beyond one without: the dearest, with a bound on either side.
_SERIES: Final = 90_000
#: Of going on to the next run of terms, and of each reduction outside of it.
_RUN, _REDUCTION = 1_100, 130
#: Of finding where the next piece of a run stands: it leaves no chunk, of neither operand.
_PIECE: Final = 2_400
#: Of going on to the next opened chunk, and of each halving of them where it is another one.
_NEXT_CHUNK, _HALVING = 400, 145
#: Of a word of float or byte products, and of gathering one term into it.
_FLOAT_WORD, _FLOAT_LANES, _FLOAT_GATHER = 1_105, 8, 220
_BYTE_WORD, _BYTE_LANES, _BYTE_GATHER = 640, 32, 190
#: Of one element that is read alone: of an int32 sum, and of a row that a rank is taken of.
_READ, _FLOAT_KEY, _INTEGER_KEY = 790, 910, 1_045

_BY_SERIES: Final = frozenset(
    {
        *(Function.EXP, Function.LOG, Function.TANH, Function.SIGMOID, Function.ERF, Function.SOFTPLUS),
        *(Function.ELU, Function.SIN, Function.COS, Function.POW, Function.HARD_SIGMOID),
    }
)


def referee_gas(program: Program, step: Step, *, chunks: int) -> int:
    """Gas of judging one element of a step, for which at most so many chunks are opened; without opening them."""
    match step.body:
        case Contract() as body:
            return _BASE + _CONTRACTION + _contraction(program, step, body, chunks)
        case Rank() as body:
            return _BASE + _row(body, program.type_of(body.source).dtype, chunks)
        case Pointwise() as body if body.function in _BY_SERIES:
            return _BASE + _SERIES
        case _:
            return _BASE


def _row(body: Rank, dtype: DType, chunks: int) -> int:
    each = _FLOAT_KEY if dtype is DType.FLOAT32 else _INTEGER_KEY
    crossings = min(body.extent, -(-abs(body.stride) * dtype.itemsize * body.extent // CHUNK_BYTES))
    return each * body.extent + crossings * (_NEXT_CHUNK + (_search(chunks) if body.stride < 0 else 0))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Side:
    """How the referee goes through one operand: run by run, from chunk to chunk."""

    #: Times that a run goes on in another chunk.
    crossings: int
    #: Times that a chunk is neither the one read last nor the next one that is opened.
    searches: int

    @classmethod
    def of(cls, step: int, terms: int, outer: Sequence[tuple[int, int]]) -> Self:
        """Of runs whose terms lie so many bytes apart; ``outer`` moves them, (bytes, extent), the innermost first."""
        span = step * (terms - 1)
        crossings = -(-abs(span) // CHUNK_BYTES)
        searches = crossings if step < 0 else 0
        for move, extent in outer:
            # Where one run begins behind the end of the other, no two cross the same border.
            rising = 0 <= span <= move
            borders = -(-(abs(move) * (extent - 1) + abs(span)) // CHUNK_BYTES)
            crossings = min(crossings * extent, borders) if rising else crossings * extent
            searches = searches * extent + (0 if rising else extent)
            span = span + move * (extent - 1) if rising else abs(span) + abs(move) * (extent - 1)
        return cls(crossings=crossings, searches=searches)


def _contraction(program: Program, step: Step, body: Contract, chunks: int) -> int:
    operands = [body.left] if body.right is None else [body.left, body.right]
    sizes = [program.type_of(operand).dtype.itemsize for operand in operands]
    terms, outer, strides = _runs(body)
    sides = [
        _Side.of(strides[k] * size, terms, [(_strides(each)[k] * size, each.extent) for each in outer])
        for k, size in enumerate(sizes)
    ]
    runs = prod(each.extent for each in outer)
    gas = runs * (_RUN + _REDUCTION * len(outer)) + sum(side.searches for side in sides) * _search(chunks)
    if body.right is None and program.type_of(body.left).dtype is DType.INT32:
        return gas + _READ * runs * terms
    pieces = min(runs * terms, runs + sum(side.crossings for side in sides))
    in_row = terms == 1 or set(strides[: len(sides)]) == {1}
    word, lanes, gather = _FLOAT_WORD, _FLOAT_LANES, _FLOAT_GATHER
    if step.output.dtype is not DType.FLOAT32:
        word, lanes, gather, in_row = _BYTE_WORD, _BYTE_LANES, _BYTE_GATHER, in_row and body.right is not None
    words = -(-(runs * terms + (lanes - 1) * pieces) // lanes)
    return gas + pieces * _PIECE + words * word + (0 if in_row else gather * runs * terms)


def _runs(body: Contract) -> tuple[int, Sequence[Reduction], tuple[int, int]]:
    """Terms of a run, what moves from run to run, innermost first, and the strides in a run.

    Runs are joined as the referee joins them, but not over the edge of a window that may be clipped.
    """
    if not body.reductions:
        return 1, (), (1, 1)
    *outer, inner = body.reductions
    terms, clipped = inner.extent, inner.clip is not None
    while outer and not clipped and _strides(outer[-1]) == tuple(terms * stride for stride in _strides(inner)):
        clipped = outer[-1].clip is not None
        terms *= outer.pop().extent
    return terms, outer[::-1], _strides(inner)


def _strides(reduction: Reduction) -> tuple[int, int]:
    return reduction.left_stride, reduction.right_stride


def _search(chunks: int) -> int:
    """Gas of finding a chunk among so many."""
    return _HALVING * chunks.bit_length()
