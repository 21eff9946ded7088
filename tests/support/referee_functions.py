"""Claims about functions of one to three elements: of every function, for every type that it takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from tests.support.programs import program, step, tensor, value
from tests.support.referee_chain import Case
from tests.support.referee_elements import (
    INTEGERS,
    Generator,
    any_dtype,
    argument_bits,
    array_of,
    claims,
    element_bits,
    finite_parameter,
)

from sworn.model.program import Function, Pointwise
from sworn.model.typing_rules import arity
from sworn.types import DType

_F = Function
#: Functions by series.
REAL: Final = (*(_F.EXP, _F.LOG, _F.TANH, _F.SIGMOID, _F.ERF, _F.SOFTPLUS, _F.ELU, _F.SIN, _F.COS, _F.POW),)
#: Functions between floats and integers.
SCALED: Final = (_F.QUANTIZE, _F.DEQUANTIZE, _F.REQUANTIZE, _F.CAST)
PLAIN: Final = tuple(function for function in _F if function not in (*REAL, *SCALED))
_QUANTIZED: Final = (DType.UINT8, DType.INT8, DType.UINT16, DType.INT16)
#: Exponents with which powers are rational, ties, or just beyond.
_EXPONENTS: Final = (-3.0, -2.0, -1.5, -1.0, -1.0, -0.5, 0.25, 0.5, 0.75, 1.5, 2.0, 3.0, 7.0, 15.0, 17.0)


def pointwise(rng: Generator) -> Iterator[Case]:
    """Functions without a series, of every type, now and then of types for which they are not defined."""
    yield from _sometimes_undefined(rng, _F(int(rng.choice(PLAIN))))


def quantise(rng: Generator) -> Iterator[Case]:
    """Floats to integers and back, now and then of types for which that is not defined."""
    yield from _sometimes_undefined(rng, _F(int(rng.choice(SCALED))))


def real_functions(rng: Generator) -> Iterator[Case]:
    """Functions by series, of one float."""
    yield from _function(rng, _F(int(rng.choice(REAL))), [DType.FLOAT32], DType.FLOAT32)


def _sometimes_undefined(rng: Generator, function: Function) -> Iterator[Case]:
    types, output = _types(rng, function)
    if rng.integers(40) == 0:
        types = [*types[:-1], DType(int(rng.choice(list(DType))))]
    if rng.integers(40) == 0:
        types = types[:-1] or [output, output]
    yield from _function(rng, function, types, output)


def _function(rng: Generator, function: Function, types: Sequence[DType], output: DType) -> Iterator[Case]:
    alpha, beta = _parameters(rng, function, output)
    operands = tuple(value(number, (1,)) for number in range(len(types)))
    body = Pointwise(function=function, operands=operands, alpha=alpha, beta=beta)
    made = program([tensor((1,), dtype) for dtype in types], (step(body, (1,), output),))
    bits = [argument_bits(rng, function) if dtype is DType.FLOAT32 else element_bits(rng, dtype) for dtype in types]
    arrays = [array_of([each], dtype) for each, dtype in zip(bits, types, strict=True)]
    if len(arrays) > 1 and types[0] == types[1] and rng.integers(6) == 0:
        arrays[1] = arrays[0]
    yield from claims(rng, Case(program=made, inputs=arrays, weights=(), index=0, claimed=0))


def _parameters(rng: Generator, function: Function, output: DType) -> tuple[float, float]:
    alpha, beta = finite_parameter(rng), finite_parameter(rng)
    if function is _F.CLIP and output is not DType.FLOAT32 and rng.integers(8):
        return float(rng.integers(-5, 50)), float(rng.integers(0, 200))
    if function is _F.POW and rng.integers(2):
        return float(rng.choice(_EXPONENTS)), beta
    if function in (_F.ELU, _F.HARD_SIGMOID) and rng.integers(2):
        return float(rng.choice([1.0, 0.5, 0.25, 0.75])), 0.5
    if function not in (_F.CLIP, _F.POW, _F.ELU, _F.HARD_SIGMOID, _F.LEAKY_RELU):
        # No valid step has an infinite parameter that its function does not look at.
        return 0.5, 0.0
    return alpha, beta


def _types(rng: Generator, function: Function) -> tuple[list[DType], DType]:
    quantized, anything = DType(int(rng.choice(_QUANTIZED))), any_dtype(rng)
    operands = int(rng.choice(list(arity(function))))
    match function:
        case _F.CAST:
            return [anything], DType(int(rng.choice([*INTEGERS, DType.FLOAT32, DType.BOOL])))
        case _F.WHERE:
            return [DType.BOOL, anything, anything], anything
        case _F.QUANTIZE:
            return [DType.FLOAT32, DType.FLOAT32, quantized][:operands], quantized
        case _F.DEQUANTIZE:
            source = DType.INT32 if rng.integers(4) == 0 else quantized
            return [source, DType.FLOAT32, source][:operands], DType.FLOAT32
        case _F.REQUANTIZE:
            return [DType.INT32, DType.FLOAT32, quantized][:operands], quantized
        case _F.AND | _F.OR | _F.XOR | _F.NOT:
            return [DType.BOOL] * operands, DType.BOOL
        case _F.EQUAL | _F.LESS | _F.LESS_OR_EQUAL | _F.GREATER | _F.GREATER_OR_EQUAL:
            return [anything] * operands, DType.BOOL
        case _F.SQRT | _F.RECIPROCAL | _F.FLOOR | _F.CEIL | _F.ROUND | _F.HARD_SIGMOID | _F.LEAKY_RELU | _F.PRELU:
            # Of floats alone; others are refused.
            kind = anything if rng.integers(10) == 0 and anything is not DType.BOOL else DType.FLOAT32
            return [kind] * operands, kind
        case _:
            kind = DType.FLOAT32 if anything is DType.BOOL else anything
            return [kind] * operands, kind
