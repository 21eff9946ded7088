"""Pointwise steps written as instructions."""

from __future__ import annotations

import numpy as np

from sworn.engine.exact.functions import BOUND, erf_pieces
from sworn.engine.exact.tape import codes
from sworn.engine.exact.tape.memory import NotOnTape
from sworn.engine.exact.tape.writer import Writer, bits
from sworn.model.program import Function, Pointwise, Step
from sworn.types import DType

_COMPARISONS = frozenset(
    {Function.EQUAL, Function.LESS, Function.LESS_OR_EQUAL, Function.GREATER, Function.GREATER_OR_EQUAL}
)
_LOGIC = frozenset({Function.AND, Function.OR, Function.XOR, Function.NOT})
_BYTES = frozenset({DType.INT8, DType.UINT8})
_QUANTISED = {
    Function.QUANTIZE: codes.QUANTIZE,
    Function.DEQUANTIZE: codes.DEQUANTIZE,
    Function.REQUANTIZE: codes.REQUANTIZE,
}


def write_pointwise(writer: Writer, step: Step, body: Pointwise, out: int) -> None:
    """A pointwise step, its operands gathered first where they do not lie one after another."""
    kinds = [writer.dtype(operand) for operand in body.operands]
    if body.function in _QUANTISED:
        _write_quantised(writer, step, body, kinds, out)
        return
    if body.function is Function.WHERE and step.output.dtype.numpy.itemsize != 4:
        raise NotOnTape
    rows = [writer.row(operand, step.axes) for operand in body.operands]
    count = step.output.elements
    if body.function is Function.WHERE:
        writer.emit(codes.WHERE, count, *rows, out)
    elif body.function is Function.CAST:
        _write_cast(writer, step, kinds[0], rows[0], out)
    elif body.function in _LOGIC:
        writer.emit(codes.LOGIC, body.function, count, rows[0], rows[-1], out)
    elif all(kind is DType.FLOAT32 for kind in kinds):
        _write_float(writer, step, body, rows, out)
    elif body.function in codes.INTEGER_FUNCTIONS and step.output.dtype is DType.INT32:
        writer.emit(codes.INTEGER, body.function, count, *rows, out)
    else:
        raise NotOnTape


def _write_cast(writer: Writer, step: Step, kind: DType, row: int, out: int) -> None:
    names = kind.numpy.name, step.output.dtype.numpy.name
    if names not in codes.CASTS:
        raise NotOnTape
    writer.emit(codes.CAST, codes.CASTS[names], step.output.elements, row, out)


def _write_float(writer: Writer, step: Step, body: Pointwise, rows: list[int], out: int) -> None:
    function, count = body.function, step.output.elements
    if function is Function.POW and body.alpha in {2.0, -1.0}:
        # As in `sworn.engine.exact.pointwise`, these are one IEEE operation each.
        function = Function.MUL if body.alpha > 0 else Function.RECIPROCAL
        rows = rows * 2 if body.alpha > 0 else rows
    if function in codes.BINARY_FUNCTIONS:
        writer.emit(codes.BINARY, function, count, *rows, out)
    elif function in codes.UNARY_FUNCTIONS:
        writer.emit(codes.UNARY, function, count, rows[0], out, bits(body.alpha), bits(body.beta))
    elif function in codes.CURVES:
        pieces = writer.places.shared(Function.ERF, erf_pieces().T) if function is Function.ERF else 0
        writer.emit(codes.CURVE, function, count, rows[0], out, bits(body.alpha), bits(BOUND), pieces)
    elif function in _COMPARISONS:
        writer.emit(codes.COMPARE, function, count, *rows, out)
    else:
        raise NotOnTape


def _write_quantised(writer: Writer, step: Step, body: Pointwise, kinds: list[DType], out: int) -> None:
    stored = kinds[0] if body.function is Function.DEQUANTIZE else step.output.dtype
    if stored not in _BYTES:
        raise NotOnTape
    count, flip = step.output.elements, 128 if stored is DType.INT8 else 0
    rows = [writer.row(operand, step.axes) for operand in body.operands]
    if len(rows) == 2:
        rows.append(writer.places.literal(np.zeros(count, dtype=np.uint8)))
    writer.emit(_QUANTISED[body.function], flip, count, *rows, out)
