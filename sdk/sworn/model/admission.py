"""What a model file must be before anything else looks at it.

Nothing here opens a file that a model names: a model that points outside itself is refused before any check that would
follow the pointer.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType
from typing import Any

import onnx
from google.protobuf.message import DecodeError, Message  # type: ignore[import-untyped]
from onnx import checker, defs

from sworn.errors import ModelMalformed, ModelTooLarge, ModelUnsupported

#: Default limit on the size of an artifact: half of what a protobuf message can have, and with all that is made of it
#: some gigabytes of memory. What is fetched for others has a lower limit in `sworn.storage`.
MAX_ARTIFACT_BYTES = 1 << 30

#: Nodes, attributes, tensors and other parts of one model. A file may hold a part in two bytes; the largest graphs in
#: use have some hundred thousand.
MAX_PARTS = 2_000_000

_STANDARD_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml"})

#: Operators outside the standard that are known, in version 1 of their domain: onnxruntime's quantiser writes them.
FOREIGN_OPERATORS = MappingProxyType(
    {
        "com.microsoft": frozenset(
            {
                *("QGemm", "QLinearAdd", "QLinearAveragePool", "QLinearConcat", "QLinearGlobalAveragePool"),
                *("QLinearLeakyRelu", "QLinearMul", "QLinearSigmoid"),
            }
        )
    }
)

# The checker is C++ behind a binding: it reports a bad model as its own error or as whatever its exception maps to.
_CHECKER_ERRORS = (checker.ValidationError, ValueError, RuntimeError, TypeError, IndexError, OverflowError)


def admit(artifact: bytes, *, max_bytes: int = MAX_ARTIFACT_BYTES) -> onnx.ModelProto:
    """The parsed model, checked to be valid, self-contained and of known versions.

    Raises `ModelTooLarge`, `ModelMalformed` and `ModelUnsupported`.
    """
    if len(artifact) > max_bytes:
        raise ModelTooLarge(f"the model has {len(artifact)} bytes, more than {max_bytes}")
    if not artifact:
        raise ModelMalformed("the model is empty")
    try:
        model: onnx.ModelProto = onnx.ModelProto.FromString(artifact)
        if not model.HasField("graph"):
            raise ModelMalformed("not an ONNX model: it has no graph")
        _check_versions(model)
        _check_parts(model)
    except DecodeError as error:
        raise ModelMalformed("not an ONNX model: the file cannot be parsed") from error
    except UnicodeDecodeError as error:
        raise ModelMalformed("not an ONNX model: a text is not UTF-8") from error
    try:
        checker.check_model(artifact)
    except _CHECKER_ERRORS as error:
        raise ModelMalformed(f"not a valid ONNX model: {error}") from error
    return model


def _check_parts(model: onnx.ModelProto) -> None:
    own = {(function.domain, function.name) for function in model.functions}
    for count, part in enumerate(_parts(model)):
        if count >= MAX_PARTS:
            raise ModelTooLarge(f"the model has more than {MAX_PARTS} parts")
        if isinstance(part, onnx.TensorProto):
            _check_tensor(part)
        elif isinstance(part, onnx.NodeProto):
            _check_node(part, own)


def _parts(root: Message) -> Iterator[Message]:
    # By reflection, so that no place where a tensor can hide (subgraphs, attributes, functions) can be forgotten.
    pending: list[Iterator[Message]] = [iter([root])]
    while pending:
        part = next(pending[-1], None)
        if part is None:
            pending.pop()
            continue
        yield part
        for field, value in part.ListFields():
            if field.message_type is not None:
                pending.append(iter([value] if isinstance(value, Message) else value))


def _check_tensor(tensor: onnx.TensorProto) -> None:
    if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
        raise ModelUnsupported(
            f"tensor {tensor.name!r} keeps its data in another file; save the model with its data inside"
        )


def _check_node(node: onnx.NodeProto, own: set[tuple[str, str]]) -> None:
    known = node.domain in _STANDARD_DOMAINS or node.op_type in FOREIGN_OPERATORS.get(node.domain, ())
    if not known and (node.domain, node.op_type) not in own:
        raise ModelUnsupported(f"operator {node.domain}.{node.op_type} is unknown")


def _check_versions(model: onnx.ModelProto) -> None:
    if model.ir_version > onnx.IR_VERSION:
        raise ModelUnsupported(f"IR version {model.ir_version} is newer than {onnx.IR_VERSION}")
    for imports in (model.opset_import, *(function.opset_import for function in model.functions)):
        # skl2onnx writes the same import twice; only a contradiction is malformed.
        versions = {(entry.domain or "ai.onnx", entry.version) for entry in imports}
        if len({domain for domain, _ in versions}) != len(versions):
            raise ModelMalformed("an operator set is imported in two versions")
        for entry in imports:
            _check_opset(entry)


def _check_opset(entry: Any) -> None:
    # Tools import operator sets that no node is of; a node of an unknown one is refused by itself.
    if entry.domain in _STANDARD_DOMAINS:
        newest = _newest_opset(entry.domain)
        if not 1 <= entry.version <= newest:
            raise ModelUnsupported(
                f"operator set {entry.domain or 'ai.onnx'} version {entry.version} is not in 1..{newest}"
            )
    elif entry.domain in FOREIGN_OPERATORS and entry.version != 1:
        raise ModelUnsupported(f"operator set {entry.domain!r} version {entry.version} is not 1")


def _newest_opset(domain: str) -> int:
    if domain == "ai.onnx.ml":
        return max(schema.since_version for schema in defs.get_all_schemas() if schema.domain == domain)
    return defs.onnx_opset_version()
