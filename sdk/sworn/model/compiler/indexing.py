"""Elements picked by index tensors."""

from __future__ import annotations

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
    """Slices by index tuples; only tuples of one index are supported."""
    data, index = call.value(0), call.value(1)
    _require_index(call, index)
    batch = call.integer("batch_dims", 0)
    if index.rank < 1 or index.shape[-1] != 1 or batch != 0:
        raise call.refused("only index tuples of length 1 without batch axes are supported")
    places = index.view(index.shape[:-1], index.strides[:-1])
    shape = (*places.shape, *data.shape[1:])
    body = Lookup(
        source=data.operand((*(0,) * places.rank, *data.strides[1:])),
        index=places.operand((*places.strides, *(0,) * (data.rank - 1))),
        extents=(data.shape[0],),
        strides=(data.strides[0],),
    )
    return call.build.emit(data.dtype, shape, axes=shape, body=body)


def _require_index(call: Call, index: Value) -> None:
    if index.dtype not in _INDEX_TYPES:
        raise call.refused(f"indices of type {index.dtype.name.lower()} are not supported")
