"""Between floats and the integers that stand for them, and which floats came from which integers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from sworn.model.compiler.builder import Builder, strided
from sworn.model.compiler.steps import pointwise
from sworn.model.compiler.values import Value
from sworn.model.program import Function
from sworn.types import DType

Array = npt.NDArray[Any]

#: Scales between which (x − zero) · scale divided by the scale gives back every integer of 8 bits, and products of two
#: scales are ordinary numbers.
LEAST_SCALE, GREATEST_SCALE = 2.0**-60, 2.0**60


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Quantised:
    """Integers with the constants by which they stand for floats, (elements − zero) · scale.

    Scale and zero point are one number each, without axes, or have the elements' shape.
    """

    elements: Value
    scale: Array
    zero: Array


def quantized(build: Builder, value: Value, scale: Value, zero: Value) -> Value:
    """saturate(RNE(RN(x / scale)) + zero)."""
    ratio = pointwise(build, Function.DIV, value, scale)
    return pointwise(build, Function.QUANTIZE, ratio, build.scalar(1), zero, dtype=zero.dtype)


def dequantized(build: Builder, value: Value, scale: Value, zero: Value) -> Value:
    """RN((x − zero) · scale); the builder remembers where the result comes from."""
    result = pointwise(build, Function.DEQUANTIZE, value, scale, zero, dtype=DType.FLOAT32)
    numbers = [build.array(part) for part in (scale, zero)]
    # Elements lie alike in both tensors, so that a view of one is the same view of the other.
    if all(number is not None and _usual(number) for number in numbers) and result.strides == value.strides:
        origin = Quantised(elements=value, scale=np.asarray(numbers[0]), zero=np.asarray(numbers[1]))
        build.origins.setdefault((result.space, result.tensor), (result, origin))
    return result


def origin(build: Builder, value: Value) -> Quantised | None:
    """What a value was dequantised from, seen through the same map; None where it was not, or not by constants."""
    known = build.origins.get((value.space, value.tensor))
    if known is None:
        return None
    whole, source = known
    shift = value.offset - whole.offset
    elements = replace(source.elements, shape=value.shape, strides=value.strides, offset=source.elements.offset + shift)
    scale, zero = (_seen(part, whole, value, shift) for part in (source.scale, source.zero))
    return Quantised(elements=elements, scale=scale, zero=zero)


def along(numbers: Array, axis: int) -> Array | None:
    """Numbers that differ along one axis only, as a row; one number as it is; None where they differ elsewhere too."""
    if numbers.ndim == 0:
        return numbers
    line = numbers[tuple(slice(None) if k == axis else slice(1) for k in range(numbers.ndim))]
    if not bool((numbers == line).all()):
        return None
    return np.asarray(line.reshape(-1))


def _usual(numbers: Array) -> bool:
    if numbers.dtype != np.float32:
        return True
    return bool(((numbers >= LEAST_SCALE) & (numbers <= GREATEST_SCALE)).all())


def _seen(numbers: Array, whole: Value, value: Value, shift: int) -> Array:
    """Numbers that broadcast to a whole value, one per element of a view of it."""
    if numbers.size == 1:
        return numbers.reshape(())
    laid = np.empty(prod(whole.shape), numbers.dtype)
    strided(laid, whole.shape, offset=0, strides=whole.strides)[...] = numbers
    return strided(laid, value.shape, offset=shift, strides=value.strides)
