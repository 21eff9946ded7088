"""The loop that runs a tape. For numba to compile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

from sworn.engine.exact.jit import kept, merged, sources_digest
from sworn.engine.exact.tape import codes
from sworn.engine.exact.tape.bytes import contract_bytes
from sworn.engine.exact.tape.choices import extremum, tree
from sworn.engine.exact.tape.curves import curve
from sworn.engine.exact.tape.floats import binary, compare, logic, unary
from sworn.engine.exact.tape.moves import canonical, choose, gather, lookup
from sworn.engine.exact.tape.numbers import arithmetic, cast, dequantize, quantize, requantize
from sworn.engine.exact.tape.products import contract, sum_products

Array = NDArray[Any]


@merged
def _move(code: int, words: Array, p: int, arena: Array, tables: Array) -> bool:
    if code == codes.CANONICAL:
        return canonical(words, p, arena)
    if code == codes.GATHER:
        return gather(words, p, arena)
    if code == codes.LOOKUP:
        return lookup(words, p, arena, tables)
    return choose(words, p, arena)


@merged
def _integer(code: int, words: Array, p: int, arena: Array) -> bool:
    if code == codes.INTEGER:
        return arithmetic(words, p, arena)
    if code == codes.CAST:
        return cast(words, p, arena)
    if code == codes.QUANTIZE:
        return quantize(words, p, arena)
    if code == codes.DEQUANTIZE:
        return dequantize(words, p, arena)
    return requantize(words, p, arena)


@merged
def _float(code: int, words: Array, p: int, arena: Array, matrices: Array) -> bool:
    if code == codes.BINARY:
        return binary(words, p, arena)
    if code == codes.UNARY:
        return unary(words, p, arena)
    if code == codes.CURVE:
        return curve(words, p, arena, matrices)
    if code == codes.COMPARE:
        return compare(words, p, arena)
    return logic(words, p, arena)


@merged
def _reduce(code: int, words: Array, p: int, arena: Array, tables: Array, matrices: Array) -> bool:
    if code == codes.CONTRACT:
        return contract(words, p, arena, tables, matrices)
    if code == codes.SUM_PRODUCTS:
        return sum_products(words, p, arena, tables, matrices)
    if code == codes.CONTRACT_BYTES:
        return contract_bytes(words, p, arena, tables, matrices)
    if code == codes.EXTREMUM:
        return extremum(words, p, arena, tables)
    return tree(words, p, arena, tables, matrices)


def _make_loop(digest: str) -> Callable[[Array, int, int, Array, Array, Array], int]:
    """The loop. The digest is part of what it is kept on disk under: numba itself watches only this file."""

    @kept
    def run(words: Array, first: int, end: int, arena: Array, tables: Array, matrices: Array) -> int:
        digest  # noqa: B018
        p = first
        while p < end:
            code = words[p]
            if code <= codes.WHERE:
                is_done = _move(code, words, p, arena, tables)
            elif code <= codes.LOGIC:
                is_done = _float(code, words, p, arena, matrices)
            elif code <= codes.REQUANTIZE:
                is_done = _integer(code, words, p, arena)
            else:
                is_done = _reduce(code, words, p, arena, tables, matrices)
            if not is_done:
                return p
            p += words[p + 1]
        return p

    return run


#: Runs the words from ``first`` to ``end``; returns ``end``, or where the instruction begins that could not be done.
run = _make_loop(sources_digest())
