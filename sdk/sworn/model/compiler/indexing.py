"""Elements picked by index tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sworn.model.compiler.operators import Call, lowers
from sworn.model.compiler.values import Value, picked
from sworn.model.program import Lookup
from sworn.types import DType

_INDEX_TYPES = frozenset({DType.INT32, DType.INT64})


@lowers("Gather", 1, 11, 13)
def gather(call: Call) -> Value:
    """Slices of the data by index; one constant index is a view."""
    data, index = call.value(0), call.value(1)
    axis = call.axis(call.integer("axis", 0), data.rank)
    _require_index(call, index)
    known = call.build.array(index)
    size = data.shape[axis]
    if known is not None and ((known < -size) | (known >= size)).any():
        raise call.refused(f"a constant index is not in an axis of {size}")
    if known is not None and index.elements == 1 and index.rank == 0:
        return picked(data, axis, int(known) % size)
    shape = (*data.shape[:axis], *index.shape, *data.shape[axis + 1 :])
    still = (0,) * index.rank
    body = Lookup(
        source=data.operand((*data.strides[:axis], *still, *data.strides[axis + 1 :])),
        index=index.operand((*(0,) * axis, *index.strides, *(0,) * (data.rank - axis - 1))),
        extents=(size,),
        strides=(data.strides[axis],),
    )
    return call.build.emit(data.dtype, shape, axes=shape, body=body)


@lowers("GatherElements", 11, 13)
def gather_elements(call: Call) -> Value:
    """One element per index, from the index's own row."""
    data, index = call.value(0), call.value(1)
    axis = call.axis(call.integer("axis", 0), data.rank)
    _require_index(call, index)
    rest = [k for k in range(data.rank) if k != axis]
    if index.rank != data.rank or any(index.shape[k] > data.shape[k] for k in rest):
        raise call.refused(f"an index of shape {index.shape} does not fit data of shape {data.shape}")
    body = Lookup(
        source=data.operand([0 if k == axis else stride for k, stride in enumerate(data.strides)]),
        index=index.operand(index.strides),
        extents=(data.shape[axis],),
        strides=(data.strides[axis],),
    )
    return call.build.emit(data.dtype, index.shape, axes=index.shape, body=body)


@lowers("GatherND", 11, 12, 13)
def gather_nd(call: Call) -> Value:
    """Slices by index tuples: of any length where they are constant, else of length 1; no batch axes."""
    data, index = call.value(0), call.value(1)
    _require_index(call, index)
    if index.rank < 1 or not 1 <= index.shape[-1] <= data.rank or call.integer("batch_dims", 0) != 0:
        raise call.refused(f"index tuples of shape {index.shape}, or batch axes, are not supported")
    length, known = index.shape[-1], call.build.array(index)
    if known is not None:
        places = call.build.constant(_flat(call, known, data.shape[:length]))
    elif length == 1:
        places = index.view(index.shape[:-1], index.strides[:-1])
    else:
        raise call.refused("index tuples of more than one index must be constant")
    shape = (*places.shape, *data.shape[length:])
    body = Lookup(
        source=data.operand((*(0,) * places.rank, *data.strides[length:])),
        index=places.operand((*places.strides, *(0,) * (data.rank - length))),
        extents=data.shape[:length],
        strides=data.strides[:length],
    )
    return call.build.emit(data.dtype, shape, axes=shape, body=body)


def _flat(call: Call, tuples: npt.NDArray[Any], sizes: tuple[int, ...]) -> npt.NDArray[Any]:
    """Row-major positions over sizes."""
    limits = np.array(sizes, np.int64)
    if ((tuples < -limits) | (tuples >= limits)).any():
        raise call.refused(f"a constant index is not in {sizes}")
    places = np.moveaxis(np.where(tuples < 0, tuples + limits, tuples), -1, 0)
    return np.asarray(np.ravel_multi_index(tuple(places), sizes), np.int64)


def _require_index(call: Call, index: Value) -> None:
    if index.dtype not in _INDEX_TYPES:
        raise call.refused(f"indices of type {index.dtype.name.lower()} are not supported")
