"""Checks of what goes into a run and what comes out of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sworn.errors import InputRejected, RunFailed, RunNotFinite
from sworn.types import Schema, Tensors, TensorSpec


def checked_inputs(schema: Schema, inputs: Tensors, *, max_elements: int) -> dict[str, NDArray[Any]]:
    """The inputs in the schema's order, contiguous and in native byte order; nothing is copied before all are checked.

    Raises `InputRejected`, which names the tensor, what the schema expects and what was given.
    """
    expected = {spec.name for spec in schema.inputs}
    if missing := sorted(expected - set(inputs)):
        raise InputRejected(f"inputs {missing} are missing; the model takes {sorted(expected)}")
    if unknown := sorted(str(name) for name in set(inputs) - expected):
        raise InputRejected(f"inputs {unknown} are unknown; the model takes {sorted(expected)}")
    total = 0
    for spec in schema.inputs:
        array = inputs[spec.name]
        if not isinstance(array, np.ndarray):
            raise InputRejected(f"input {spec.name!r}: expected a numpy array, given {type(array).__name__}")
        if not _fits(spec, array):
            raise InputRejected(f"input {spec.name!r}: expected {_wanted(spec)}, given {_given(array)}")
        total += array.size
    if total > max_elements:
        raise InputRejected(f"inputs of {total} elements in all: expected at most {max_elements}")
    return {spec.name: _native(inputs[spec.name], spec) for spec in schema.inputs}


def checked_outputs(schema: Schema, outputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The outputs in the schema's order; raises `RunFailed` where they do not fit it, `RunNotFinite` for NaN or inf."""
    ordered: dict[str, NDArray[Any]] = {}
    for spec in schema.outputs:
        array = outputs.get(spec.name)
        if array is None:
            raise RunFailed(f"output {spec.name!r} is missing")
        if not _fits(spec, array):
            raise RunFailed(f"output {spec.name!r}: expected {_wanted(spec)}, the model gave {_given(array)}")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            index = tuple(int(axis) for axis in np.argwhere(~np.isfinite(array))[0])
            raise RunNotFinite(f"output {spec.name!r} is {array[index]} at index {index}")
        ordered[spec.name] = array
    return ordered


def _fits(spec: TensorSpec, array: NDArray[Any]) -> bool:
    return (
        array.dtype.newbyteorder("=") == spec.dtype.numpy
        and array.ndim == len(spec.shape)
        and all(want is None or want == have for want, have in zip(spec.shape, array.shape, strict=True))
    )


def _native(array: NDArray[Any], spec: TensorSpec) -> NDArray[Any]:
    # A plain ascontiguousarray would turn a scalar into a vector.
    return np.ascontiguousarray(array, dtype=spec.dtype.numpy).reshape(array.shape)


def _wanted(spec: TensorSpec) -> str:
    shape = ", ".join("any" if size is None else str(size) for size in spec.shape)
    return f"{spec.dtype.name.lower()}[{shape}]"


def _given(array: NDArray[Any]) -> str:
    count = math.prod(array.shape)
    return f"{array.dtype.name}[{', '.join(map(str, array.shape))}] of {count} elements"
