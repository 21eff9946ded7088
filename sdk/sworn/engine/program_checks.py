"""What a machine must compute right before a result in profile ``exact`` or ``bounded`` is sworn on it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sworn.engine.exact import ExactExecutor
from sworn.errors import ConfigurationError
from sworn.model.program import Contract, Operand, Program, ProgramOutput, Reduction, Space, Step, TensorType
from sworn.types import DType

#: Terms of the products that are tried: more than any vector register holds.
_TERMS = 512
#: Cancels in every order but the exact sum's: 2^60 + 1 − 2^60 − … leaves what is small.
_LARGE = 2.0**60


def check_machine() -> None:
    """Raises `ConfigurationError` where floats or 8-bit products come out wrong on this machine.

    An executor checks subnormals and matrix products itself, when it is made.
    """
    _check_bytes()
    _check_rounding()


def _check_bytes() -> None:
    """Sums of 255 · 127: kernels that add pairs of products in 16 bits saturate here."""
    left = np.full((1, _TERMS), 255, dtype=np.uint8)
    for right_value in (127, -128):
        right = np.full(_TERMS, right_value, dtype=np.int8)
        found = _contract(left, right, DType.INT32)
        if found != 255 * right_value * _TERMS:
            raise ConfigurationError(
                f"this machine's 8-bit products are wrong: {_TERMS} times 255 · {right_value} gives {found}"
            )


def _check_rounding() -> None:
    """A sum in which all that is large cancels, a tie, and a subnormal product."""
    large = np.zeros((1, _TERMS), dtype=np.float32)
    large[0, :3] = (_LARGE, 1.0, -_LARGE)
    tie = np.zeros((1, _TERMS), dtype=np.float32)
    tie[0, :2] = (2.0**24, 1.0)
    least = np.zeros((1, _TERMS), dtype=np.float32)
    least[0, 0] = 2.0**-149
    ones = np.ones(_TERMS, dtype=np.float32)
    for row, expected in ((large, 1.0), (tie, 2.0**24), (least, 2.0**-149)):
        found = _contract(row, ones, DType.FLOAT32)
        if found != expected:
            raise ConfigurationError(
                f"this machine's float arithmetic is not IEEE 754: a sum that is {expected} gives {found}"
            )


def _contract(left: NDArray[Any], right: NDArray[Any], output: DType) -> Any:
    """The product of one row with one vector, as a program computes it."""
    types = {array.dtype: DType[array.dtype.name.upper()] for array in (left, right)}
    body = Contract(
        left=Operand(space=Space.VALUE, tensor=0, strides=(0,)),
        right=Operand(space=Space.WEIGHT, tensor=0, strides=(0,)),
        reductions=(Reduction(extent=_TERMS, left_stride=1, right_stride=1),),
    )
    program = Program(
        inputs=(TensorType(dtype=types[left.dtype], shape=left.shape),),
        weights=(TensorType(dtype=types[right.dtype], shape=right.shape),),
        steps=(Step(output=TensorType(dtype=output, shape=(1,)), axes=(1,), body=body),),
        outputs=(ProgramOutput(value=1, shape=(1,)),),
    )
    return ExactExecutor(program, (right,)).run((left,))[1][0]
