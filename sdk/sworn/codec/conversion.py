"""Python scalars and lists as arrays of a stated dtype, refusing whatever would change a value unnoticed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sworn.errors import ShapeMismatch, ValueNotFinite
from sworn.types import DType, TensorSpec


def array_for(value: Any, spec: TensorSpec) -> NDArray[Any]:
    """Numpy arrays as they are; scalars and nested lists as an array of the spec's dtype.

    Raises `ShapeMismatch` for ragged lists and for values that the dtype cannot hold, `ValueNotFinite` for floats
    beyond its range.
    """
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, np.generic):
        return np.asarray(value)
    try:
        objects = np.array(value, dtype=object)
    except ValueError as error:
        raise ShapeMismatch(f"tensor {spec.name!r}: the lists are ragged") from error
    for element in objects.flat:
        _check_element(element, spec)
    with np.errstate(over="ignore"):
        array = objects.astype(spec.dtype.numpy)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueNotFinite(f"tensor {spec.name!r} contains NaN, infinity or a value beyond {spec.dtype.name.lower()}")
    return array


def _check_element(element: Any, spec: TensorSpec) -> None:
    kind = spec.dtype.numpy.kind
    if isinstance(element, bool | np.bool_):
        held = kind == "b"
    elif isinstance(element, int | np.integer):
        held = _holds_int(int(element), spec.dtype)
    else:
        held = kind == "f" and isinstance(element, float | np.floating)
    if not held:
        shown = element if isinstance(element, bool | int | float | np.generic) else type(element).__name__
        raise ShapeMismatch(f"tensor {spec.name!r}: expected {spec.dtype.name.lower()}, which cannot hold {shown}")


def _holds_int(value: int, dtype: DType) -> bool:
    kind = dtype.numpy.kind
    if kind == "b":
        return False
    if kind == "f":
        try:
            with np.errstate(over="ignore"):
                return int(dtype.numpy.type(value)) == value
        except OverflowError:
            # Beyond float64, or infinite after the conversion.
            return False
    bounds = np.iinfo(dtype.numpy)
    return int(bounds.min) <= value <= int(bounds.max)
