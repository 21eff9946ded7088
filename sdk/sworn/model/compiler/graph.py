"""A model's graph without protobuf: nodes with decoded attributes, constants still undecoded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import defs, numpy_helper

from sworn.errors import ModelMalformed, ModelUnsupported
from sworn.model.compiler.functions import PlacedNode, expanded, require_texts

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Node:
    """One node. ``version`` is that of the operator: the newest one that the model's operator set includes."""

    domain: str
    operator: str
    version: int
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    #: Python numbers, texts, tuples of them, `onnx.TensorProto`; anything else is refused by who asks for it.
    attributes: Mapping[str, Any]

    @property
    def label(self) -> str:
        """Operator and name, for messages and step names."""
        return f"{self.operator} {self.name or next(filter(None, self.outputs), '?')}"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Graph:
    """Nodes that outputs depend on, in an order in which every node comes after those it reads."""

    nodes: tuple[Node, ...]
    initializers: Mapping[str, onnx.TensorProto]
    outputs: tuple[str, ...]

    def readers(self) -> Mapping[str, int]:
        """How often each value is read; being an output of the graph counts too."""
        counts: dict[str, int] = {}
        for name in (*(name for node in self.nodes for name in node.inputs), *self.outputs):
            counts[name] = counts.get(name, 0) + 1
        return MappingProxyType(counts)


def import_graph(model: onnx.ModelProto) -> Graph:
    """The graph of an admitted model, dead nodes left out.

    Raises `ModelMalformed`, `ModelTooLarge`, and `ModelUnsupported` for sparse constants.
    """
    if model.graph.sparse_initializer:
        raise ModelUnsupported("sparse constants are not supported")
    outputs = tuple(value.name for value in model.graph.output)
    require_texts(*outputs, *(tensor.name for tensor in model.graph.initializer))
    nodes = tuple(_node(node.proto, node.opsets) for node in _live(expanded(model), set(outputs)))
    return Graph(
        nodes=nodes,
        initializers=MappingProxyType({tensor.name: tensor for tensor in model.graph.initializer}),
        outputs=outputs,
    )


def _live(placed: list[PlacedNode], needed: set[str]) -> list[PlacedNode]:
    nodes = []
    for node in reversed(placed):
        if needed.intersection(node.proto.output):
            nodes.append(node)
            needed.update(node.proto.input)
    return nodes[::-1]


def _node(proto: onnx.NodeProto, opsets: Mapping[str, int]) -> Node:
    domain = "" if proto.domain == "ai.onnx" else proto.domain
    return Node(
        domain=domain,
        operator=proto.op_type,
        version=_version(domain, proto.op_type, opsets.get(domain, 0)),
        name=proto.name,
        inputs=tuple(proto.input),
        outputs=tuple(proto.output),
        attributes=MappingProxyType(dict(_attributes(proto))),
    )


def _version(domain: str, operator: str, opset: int) -> int:
    # A domain without schemas has one version of everything.
    if not defs.has(operator, domain):
        return opset
    try:
        return int(defs.get_schema(operator, opset, domain).since_version)
    except defs.SchemaError as error:
        raise ModelMalformed(f"operator {operator} is not in operator set {opset}") from error


def _attributes(proto: onnx.NodeProto) -> Iterator[tuple[str, Any]]:
    for attribute in proto.attribute:
        try:
            value = onnx.helper.get_attribute_value(attribute)
            if isinstance(value, bytes):
                value = value.decode()
            elif isinstance(value, list):
                value = tuple(item.decode() if isinstance(item, bytes) else item for item in value)
        except ValueError as error:
            raise ModelMalformed(f"{proto.op_type} {proto.name}: attribute {attribute.name!r} is malformed") from error
        yield attribute.name, value


def decoded(tensor: onnx.TensorProto) -> Array:
    """The elements of a constant. Raises `ModelMalformed`, `ModelUnsupported`."""
    try:
        array = numpy_helper.to_array(tensor)
    except (KeyError, ValueError, TypeError) as error:
        raise ModelMalformed(f"tensor {tensor.name!r} is malformed") from error
    if array.dtype.kind not in "fiub":
        raise ModelUnsupported(f"tensor {tensor.name!r} has element type {array.dtype}, which is not supported")
    return np.asarray(array)
