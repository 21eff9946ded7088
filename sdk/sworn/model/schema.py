"""What a model takes and gives, read from its graph as it is written there: nothing is inferred."""

from __future__ import annotations

from collections.abc import Iterable

import onnx

from sworn.codec.payload import MAX_DIMENSION, MAX_RANK, MAX_TENSORS
from sworn.errors import ModelMalformed, ModelUnsupported
from sworn.types import DType, Schema, TensorSpec


def graph_schema(graph: onnx.GraphProto) -> Schema:
    """Inputs (without initializers) and outputs, in the file's order. Raises `ModelMalformed`, `ModelUnsupported`."""
    fixed = {tensor.name for tensor in graph.initializer}
    fixed |= {tensor.values.name for tensor in graph.sparse_initializer}
    inputs = [value for value in graph.input if value.name not in fixed]
    return Schema(inputs=_specs(inputs, side="input"), outputs=_specs(graph.output, side="output"))


def _specs(values: Iterable[onnx.ValueInfoProto], *, side: str) -> tuple[TensorSpec, ...]:
    specs = tuple(_spec(value, side=side) for value in values)
    if not 1 <= len(specs) <= MAX_TENSORS:
        raise ModelUnsupported(f"the model has {len(specs)} {side}s; 1 to {MAX_TENSORS} are supported")
    names = [spec.name for spec in specs]
    if len(set(names)) != len(names):
        raise ModelMalformed(f"two {side}s have the same name")
    return specs


def _spec(value: onnx.ValueInfoProto, *, side: str) -> TensorSpec:
    name: object = value.name
    # protobuf hands out texts that are not UTF-8 as bytes.
    if not isinstance(name, str) or not name:
        raise ModelMalformed(f"an {side} has no name, or one that is not UTF-8")
    label = f"{side} {name!r}"
    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":
        hint = "; convert the model with zipmap=False" if kind in ("sequence_type", "map_type") else ""
        raise ModelUnsupported(f"{label} is not a tensor but {_kind_name(kind)}{hint}")
    tensor = value.type.tensor_type
    try:
        dtype = DType(tensor.elem_type)
    except ValueError as error:
        raise ModelUnsupported(f"{label} has element type {_dtype_name(tensor.elem_type)}") from error
    if not tensor.HasField("shape"):
        raise ModelUnsupported(f"{label} does not state its shape")
    if len(tensor.shape.dim) > MAX_RANK:
        raise ModelUnsupported(f"{label} has rank {len(tensor.shape.dim)}, more than {MAX_RANK}")
    return TensorSpec(name=name, dtype=dtype, shape=tuple(_size(dim, label) for dim in tensor.shape.dim))


def _size(dim: onnx.TensorShapeProto.Dimension, label: str) -> int | None:
    # Exporters write a dimension that varies as a name, as nothing, or as -1.
    if dim.WhichOneof("value") != "dim_value" or dim.dim_value == -1:
        return None
    if not 0 <= dim.dim_value <= MAX_DIMENSION:
        raise ModelUnsupported(f"{label} has a dimension of {dim.dim_value}")
    return int(dim.dim_value)


def _kind_name(kind: str | None) -> str:
    return "a value without a type" if kind is None else kind.removesuffix("_type").replace("_", " ")


def _dtype_name(number: int) -> str:
    known = onnx.TensorProto.DataType.DESCRIPTOR.values_by_number
    return f"{known[number].name.lower()}, which is not supported" if number in known else f"{number}, which is unknown"
