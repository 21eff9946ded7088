"""A model's own functions, put in place of their calls."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import onnx

from sworn.errors import ModelMalformed, ModelTooLarge, ModelUnsupported

#: Calls within calls, and nodes and calls in all: a small file can ask for more than any machine has.
MAX_DEPTH, MAX_NODES = 32, 1 << 18


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlacedNode:
    """A node with the operator sets that it is read by."""

    proto: onnx.NodeProto
    opsets: Mapping[str, int]
    #: Numbers of the calls that led to it, which keep the names of every call apart.
    place: tuple[int, ...]


def expanded(model: onnx.ModelProto) -> list[PlacedNode]:
    """All nodes with calls replaced, in order. Raises `ModelUnsupported`, `ModelTooLarge`, `ModelMalformed`."""
    functions = {_key(function.domain, function.name, function.overload): function for function in model.functions}
    opsets = _opsets(model.opset_import)
    pending = [PlacedNode(proto=proto, opsets=opsets, place=(k,)) for k, proto in enumerate(model.graph.node)][::-1]
    nodes: list[PlacedNode] = []
    visited = 0
    while pending:
        node = pending.pop()
        visited += 1
        if visited > MAX_NODES:
            raise ModelTooLarge(f"the model has more than {MAX_NODES} nodes once its functions are put in place")
        _check_texts(node.proto)
        function = functions.get(_key(node.proto.domain, node.proto.op_type, node.proto.overload))
        if function is None:
            nodes.append(node)
        else:
            pending += _body(node, function)[::-1]
    return nodes


def _body(call: PlacedNode, function: onnx.FunctionProto) -> list[PlacedNode]:
    """The nodes of a function for one call."""
    proto = call.proto
    if len(call.place) > MAX_DEPTH:
        raise ModelUnsupported(f"{proto.op_type}: functions call each other more than {MAX_DEPTH} deep")
    if len(proto.input) > len(function.input) or len(proto.output) > len(function.output):
        raise ModelMalformed(f"{proto.op_type}: a call does not fit its function")
    require_texts(*function.input, *function.output, *function.attribute)
    for body in function.node:
        _check_texts(body)
    names = dict(zip(function.input, (*proto.input, *[""] * len(function.input)), strict=False))
    names |= {inner: outer for inner, outer in zip(function.output, proto.output, strict=False) if outer}
    opsets, prefix = _opsets(function.opset_import), "/".join(map(str, call.place))
    return [
        PlacedNode(
            proto=_bound(body, proto, function, names, prefix=prefix), opsets=opsets, place=(*call.place, number)
        )
        for number, body in enumerate(function.node)
    ]


def _bound(
    body: onnx.NodeProto,
    call: onnx.NodeProto,
    function: onnx.FunctionProto,
    names: Mapping[str, str],
    *,
    prefix: str,
) -> onnx.NodeProto:
    """A node of a function with the names and attributes of one call."""
    node = onnx.NodeProto()
    node.CopyFrom(body)
    del node.input[:], node.output[:], node.attribute[:]

    def outer(name: str) -> str:
        return names.get(name, f"{prefix}//{name}") if name else ""

    node.input.extend(map(outer, body.input))
    node.output.extend(map(outer, body.output))
    node.name = f"{call.name}/{body.name}" if call.name else body.name
    given = {attribute.name: attribute for attribute in (*function.attribute_proto, *call.attribute)}
    for attribute in body.attribute:
        source = given.get(attribute.ref_attr_name) if attribute.ref_attr_name else attribute
        if source is not None:
            copy = node.attribute.add()
            copy.CopyFrom(source)
            copy.name = attribute.name
    return node


def require_texts(*texts: object) -> None:
    """Raises `ModelMalformed` for a text that is not UTF-8: protobuf hands it out as bytes."""
    if not all(isinstance(text, str) for text in texts):
        raise ModelMalformed("a name is not UTF-8")


def _check_texts(proto: onnx.NodeProto) -> None:
    require_texts(proto.domain, proto.op_type, proto.name, proto.overload, *proto.input, *proto.output)
    for attribute in proto.attribute:
        require_texts(attribute.name, attribute.ref_attr_name)


def _opsets(entries: Iterable[onnx.OperatorSetIdProto]) -> dict[str, int]:
    return {"" if entry.domain == "ai.onnx" else entry.domain: entry.version for entry in entries}


def _key(domain: str, name: str, overload: str) -> tuple[str, str, str]:
    return ("" if domain == "ai.onnx" else domain, name, overload)
