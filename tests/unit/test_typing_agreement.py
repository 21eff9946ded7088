"""Typing rules, referee and executor take the same functions of the same types, and give the same bits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import product
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.support.programs import program, step, tensor, value
from tests.support.refereeing import executed, refereed

from sworn.errors import ModelError
from sworn.model.program import Function, Pointwise, Program
from sworn.model.typing_rules import check_types
from sworn.referee.functions import Call, apply
from sworn.types import DType

#: The number 1 in every type: no function fails on it.
ONES = {
    dtype: int.from_bytes(np.ones(1, dtype.numpy).astype(dtype.numpy.newbyteorder(">")).tobytes()) for dtype in DType
}
#: Functions whose third operand has a type of its own.
MIXED = (Function.WHERE, Function.QUANTIZE, Function.DEQUANTIZE, Function.REQUANTIZE)


def made(function: Function, types: Sequence[DType], output: DType, *, elements: int = 1) -> Program:
    """A program of one step; parameters that every function and type takes."""
    operands = tuple(value(number, (1,)) for number in range(len(types)))
    body = Pointwise(function=function, operands=operands, alpha=1.0, beta=1.0)
    return program([tensor((elements,), dtype) for dtype in types], (step(body, (elements,), output),))


def signatures(function: Function) -> Iterator[tuple[tuple[DType, ...], DType]]:
    """Operand types and output type: all of up to two operands, and of three where types may differ."""
    for count in (1, 2, 3) if function in MIXED else (1, 2):
        for *types, output in product(DType, repeat=count + 1):
            yield tuple(types), output
    if function not in MIXED:
        yield from (((dtype,) * 3, dtype) for dtype in DType)


@cache
def is_typed(function: Function, types: tuple[DType, ...], output: DType) -> bool:
    """What the typing rules say."""
    written = made(function, types, output)
    try:
        check_types(written, written.steps[0])
    except ModelError:
        return False
    return True


def is_refereed(function: Function, types: Sequence[DType], output: DType) -> bool:
    """What the referee says."""
    operands = tuple(ONES[dtype] for dtype in types)
    try:
        apply(Call(function=function, operands=operands, dtypes=tuple(types), output=output, alpha=1.0, beta=1.0))
    except ModelError:
        return False
    return True


def samples(dtype: DType, generator: np.random.Generator) -> NDArray[Any]:
    """Values that few functions refuse: small ones, and the edges of unsigned types."""
    if dtype is DType.FLOAT32:
        return np.array([0.5, 1.0, 1.5, 2.5, 3.0, 7.25, 1e-40, 100.0], dtype=np.float32)
    if dtype is DType.BOOL:
        return np.array([True] * 8)
    return generator.integers(1, 100, 8).astype(dtype.numpy)


@pytest.mark.parametrize("function", Function, ids=lambda function: function.name)
def test_types_that_the_rules_accept_are_those_that_the_referee_computes(function: Function) -> None:
    """No program is valid whose faults nobody can judge, and nothing is judged that no program may hold."""
    accepted = []
    for types, output in signatures(function):
        typed = is_typed(function, types, output)
        assert typed == is_refereed(function, types, output), (types, output)
        accepted += [(types, output)] if typed else []
    assert accepted


@pytest.mark.parametrize("function", Function, ids=lambda function: function.name)
def test_types_that_the_rules_accept_run_to_the_referee_s_bits(function: Function) -> None:
    """What is accepted also runs, and to the same bits."""
    generator = np.random.default_rng(int(function))
    for types, output in signatures(function):
        if not is_typed(function, types, output):
            continue
        written = made(function, types, output, elements=8)
        inputs = [samples(dtype, generator) for dtype in types]
        assert executed(written, inputs) == refereed(written, inputs), (types, output)
