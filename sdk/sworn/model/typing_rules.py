"""Which element types each rule takes and gives."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from sworn.errors import ModelMalformed, ModelUnsupported
from sworn.model.program import Contract, Copy, Extremum, Function, Lookup, Pointwise, Program, Rank, Step, Tree
from sworn.model.words import float_word
from sworn.types import DType

_FLOAT: Final = frozenset({DType.FLOAT32})
_BOOL: Final = frozenset({DType.BOOL})
_BYTES: Final = frozenset({DType.UINT8, DType.INT8})
_NUMBERS: Final = frozenset(DType) - {DType.BOOL, DType.FLOAT64}
_INTEGERS: Final = _NUMBERS - _FLOAT
_ANY: Final = _NUMBERS | _BOOL
#: What floats are quantised to, and what is turned back.
_QUANTIZED: Final = _BYTES | {DType.UINT16, DType.INT16}
_DEQUANTIZED: Final = _QUANTIZED | {DType.INT32}

_F = Function
#: Two operands and a result of one type.
_BINARY: Final = {
    **dict.fromkeys((_F.ADD, _F.SUB, _F.MUL, _F.DIV, _F.MIN, _F.MAX, _F.FMOD), _NUMBERS),
    _F.PRELU: _FLOAT,
    _F.MOD: _INTEGERS,
    **dict.fromkeys((_F.AND, _F.OR, _F.XOR), _BOOL),
}
#: One operand and a result of one type.
_UNARY: Final = {
    **dict.fromkeys((_F.NEG, _F.ABS, _F.SIGN, _F.RELU, _F.CLIP), _NUMBERS),
    **dict.fromkeys((_F.SQRT, _F.RECIPROCAL, _F.FLOOR, _F.CEIL, _F.ROUND, _F.EXP, _F.LOG), _FLOAT),
    **dict.fromkeys((_F.TANH, _F.SIGMOID, _F.ERF, _F.SOFTPLUS, _F.ELU, _F.HARD_SIGMOID, _F.LEAKY_RELU), _FLOAT),
    **dict.fromkeys((_F.SIN, _F.COS, _F.POW), _FLOAT),
    _F.NOT: _BOOL,
}
#: Two operands of one type, a bool.
_COMPARISON: Final = {
    _F.EQUAL: _ANY,
    **dict.fromkeys((_F.LESS, _F.LESS_OR_EQUAL, _F.GREATER, _F.GREATER_OR_EQUAL), _NUMBERS),
}
#: Functions whose parameters may be infinite.
_UNBOUNDED: Final = frozenset({_F.CLIP})


def arity(function: Function) -> range:
    """How many operands a function may have: a zero point that is 0 may be left out."""
    if function in _BINARY or function in _COMPARISON:
        return range(2, 3)
    if function in _UNARY or function is Function.CAST:
        return range(1, 2)
    return range(3, 4) if function is Function.WHERE else range(2, 4)


def check_types(program: Program, step: Step) -> None:
    """Raises `ModelMalformed`, or `ModelUnsupported`, unless the types of a step's operands and output fit its rule."""
    if step.output.dtype not in _ANY:
        raise ModelUnsupported(f"element type {step.output.dtype.name.lower()} inside a program")
    output, body = step.output.dtype, step.body
    match body:
        case Copy():
            _same(output, *(program.type_of(piece.source).dtype for piece in body.pieces))
            _check_fill(output, body.fill)
        case Contract():
            _check_contract(program, output, body)
        case Pointwise():
            _check_pointwise(output, body, [program.type_of(operand).dtype for operand in body.operands])
        case Lookup():
            _same(output, program.type_of(body.source).dtype)
            _among(program.type_of(body.index).dtype, _INTEGERS)
        case Extremum() | Rank():
            _among(program.type_of(body.source).dtype, _NUMBERS)
            _same(output, DType.INT64)
        case Tree():
            _same(program.type_of(body.features).dtype, DType.FLOAT32)
            _same(output, DType.INT32, *(program.weights[number].dtype for number in (body.nodes, body.roots)))


def _check_contract(program: Program, output: DType, body: Contract) -> None:
    left = program.type_of(body.left).dtype
    right = None if body.right is None else program.type_of(body.right).dtype
    if body.bias is not None:
        _same(output, program.type_of(body.bias).dtype)
    _require(right is not None or body.right_zero == 0, "a zero point of an operand that is not there")
    if output is DType.FLOAT32:
        _same(DType.FLOAT32, left, right or output)
        _require(body.left_zero == body.right_zero == 0, "zero points among floats")
        bounds = [bound for bound in (body.lower, body.upper) if bound is not None]
        _require(not any(math.isnan(bound) or float_word(bound) is None for bound in bounds), "a bound that is NaN")
        return
    _same(output, DType.INT32)
    _require(body.divisor == 1 and body.lower is None and body.upper is None, "integers are not divided or clamped")
    if right is None:
        _among(left, _BYTES | {DType.INT32})
    else:
        _among(left, _BYTES)
        _among(right, _BYTES)
    for dtype, zero in ((left, body.left_zero), (right, body.right_zero)):
        low, high = (-128, 127) if dtype is DType.INT8 else (0, 255) if dtype is DType.UINT8 else (0, 0)
        _require(low <= zero <= high, f"the zero point {zero} is no value of its operand")


def _check_pointwise(output: DType, body: Pointwise, types: Sequence[DType]) -> None:
    function = body.function
    _require(len(types) in arity(function), f"{function.name} of {len(types)} operands")
    for parameter in (body.alpha, body.beta):
        _require(not math.isnan(parameter), "a parameter that is NaN")
        _require(math.isfinite(parameter) or function in _UNBOUNDED, "a parameter that is infinite")
        float_word(parameter)
    if function in _BINARY or function in _UNARY:
        _among(output, _BINARY.get(function) or _UNARY[function])
        _same(output, *types)
        _check_integral(function, output, body)
    elif function in _COMPARISON:
        _among(types[0], _COMPARISON[function])
        _same(*types)
        _same(output, DType.BOOL)
    else:
        _check_mixed(function, output, types)


def _check_mixed(function: Function, output: DType, types: Sequence[DType]) -> None:
    match function:
        case Function.CAST:
            _among(types[0], _ANY)
        case Function.WHERE:
            _same(types[0], DType.BOOL)
            _same(output, *types[1:])
        case Function.QUANTIZE:
            _same(DType.FLOAT32, *types[:2])
            _among(output, _QUANTIZED)
            _same(output, *types[2:])
        case Function.DEQUANTIZE:
            _among(types[0], _DEQUANTIZED)
            _same(types[0], *types[2:])
            _same(DType.FLOAT32, types[1], output)
        case _:
            _same(DType.INT32, types[0])
            _same(DType.FLOAT32, types[1])
            _among(output, _QUANTIZED)
            _same(output, *types[2:])


def _check_integral(function: Function, output: DType, body: Pointwise) -> None:
    if output in _FLOAT or function is not Function.CLIP:
        return
    info = np.iinfo(output.numpy)
    for bound in (body.alpha, body.beta):
        fits = math.isinf(bound) or (float(bound).is_integer() and info.min <= int(bound) <= info.max)
        _require(fits, f"the bound {bound} is no {output.name.lower()}")


def _check_fill(dtype: DType, fill: int) -> None:
    bits = 8 * dtype.itemsize
    _require(0 <= fill < 1 << bits, f"the fill {fill:#x} has more than {bits} bits")
    _require(canonical(dtype, fill), f"the fill {fill:#x} is no canonical {dtype.name.lower()}")


def canonical(dtype: DType, bits: int) -> bool:
    """Whether bits may stand in a tensor: no NaN, no −0, no bool but 0 and 1. Infinities may."""
    if dtype is DType.BOOL:
        return bits <= 1
    if dtype is DType.FLOAT32:
        return bits & 0x7FFFFFFF <= 0x7F800000 and bits != 0x80000000
    return True


def _same(*types: DType) -> None:
    if len(set(types)) > 1:
        raise ModelMalformed(f"element types differ: {', '.join(dtype.name.lower() for dtype in types)}")


def _among(dtype: DType, allowed: frozenset[DType]) -> None:
    if dtype not in allowed:
        raise ModelMalformed(f"element type {dtype.name.lower()} is not taken")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ModelMalformed(message)
