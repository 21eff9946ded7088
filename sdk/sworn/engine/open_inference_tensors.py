"""Tensors as the Open Inference Protocol carries them, in JSON and in its binary extension.

The protocol: https://github.com/kserve/open-inference-protocol (version 2); the extension:
https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sworn.errors import ConfigurationError, RunFailed
from sworn.types import DType, Schema, TensorSpec

#: Element types by the protocol's names; FP16 and BF16 are no types of a schema, so no endpoint may have them.
DATATYPES: Final = MappingProxyType(
    {
        "FP32": DType.FLOAT32,
        "FP64": DType.FLOAT64,
        "BOOL": DType.BOOL,
        "INT8": DType.INT8,
        "INT16": DType.INT16,
        "INT32": DType.INT32,
        "INT64": DType.INT64,
        "UINT8": DType.UINT8,
        "UINT16": DType.UINT16,
        "UINT32": DType.UINT32,
        "UINT64": DType.UINT64,
    }
)
_NAMES: Final = MappingProxyType({dtype: name for name, dtype in DATATYPES.items()})
#: Nesting of a tensor in JSON: numpy's limit.
_MAX_RANK: Final = 64
#: With what is around a tensor.
_MAX_DEPTH: Final = 80
_STRINGS: Final = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_PIECE_BYTES: Final = 1 << 20

Array = NDArray[Any]


def read_json(data: bytes) -> Any:
    """What a stranger's JSON says. Raises `ValueError`, also for what is nested deeper than any tensor."""
    bare = _STRINGS.sub(b"", data)
    depth = 0
    for start in range(0, len(bare), _PIECE_BYTES):
        piece = np.frombuffer(bare[start : start + _PIECE_BYTES], dtype=np.uint8)
        # "[" and "{" are 91 and 123, their ends two more.
        steps = np.isin(piece, (91, 123)).astype(np.int8) - np.isin(piece, (93, 125)).astype(np.int8)
        depths = depth + np.cumsum(steps, dtype=np.int64)
        # SAFETY: the parser recurses in C; where somebody raised Python's limit, too great a depth ends the process.
        if depths.max() > _MAX_DEPTH:
            raise ValueError(f"nested deeper than {_MAX_DEPTH}")
        depth = int(depths[-1])
    return json.loads(data)


def check_metadata(schema: Schema, metadata: Mapping[str, Any], *, where: str) -> None:
    """Raises `ConfigurationError` for a server's model that takes or gives other tensors than the artifact."""
    for kind, specs in (("inputs", schema.inputs), ("outputs", schema.outputs)):
        stated = metadata.get(kind)
        if not isinstance(stated, list) or not all(isinstance(entry, dict) for entry in stated):
            raise ConfigurationError(f"{where} states no {kind}")
        found = {str(entry.get("name")): entry for entry in stated}
        if sorted(found) != sorted(spec.name for spec in specs):
            raise ConfigurationError(
                f"{where} has the {kind} {sorted(found)}, the artifact {sorted(spec.name for spec in specs)}"
            )
        for spec in specs:
            entry = found[spec.name]
            if DATATYPES.get(str(entry.get("datatype"))) != spec.dtype or not _same_shape(spec, entry.get("shape")):
                raise ConfigurationError(
                    f"{where}: {spec.name!r} is {entry.get('datatype')} {entry.get('shape')} there, "
                    f"{_NAMES[spec.dtype]} {[-1 if size is None else size for size in spec.shape]} in the artifact"
                )


def encode_request(schema: Schema, arrays: Mapping[str, Array], *, binary: bool) -> tuple[bytes, int | None]:
    """The body of a request, and for a binary one the length of its JSON part."""
    inputs: list[dict[str, Any]] = []
    parts: list[bytes] = []
    for spec in schema.inputs:
        array = arrays[spec.name]
        entry: dict[str, Any] = {"name": spec.name, "datatype": _NAMES[spec.dtype], "shape": list(array.shape)}
        if binary:
            parts.append(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())
            entry["parameters"] = {"binary_data_size": len(parts[-1])}
        else:
            # A float32 as the float64 that it is: its shortest digits are read back as the same bits.
            entry["data"] = array.reshape(-1).tolist()
        inputs.append(entry)
    outputs: list[dict[str, Any]] = [{"name": spec.name} for spec in schema.outputs]
    if binary:
        outputs = [{**entry, "parameters": {"binary_data": True}} for entry in outputs]
    head = json.dumps({"inputs": inputs, "outputs": outputs}, allow_nan=False).encode()
    return b"".join((head, *parts)), len(head) if binary else None


def decode_answer(schema: Schema, body: bytes, *, json_bytes: int | None) -> tuple[Mapping[str, Any], dict[str, Array]]:
    """The JSON part of an answer, and its outputs by name. Raises `RunFailed` for an answer that cannot be read."""
    length = len(body) if json_bytes is None else json_bytes
    if not 0 <= length <= len(body):
        raise RunFailed("the server states a JSON part that is longer than its answer")
    try:
        answer = read_json(body[:length])
    except ValueError as error:
        raise RunFailed("the server's answer is no JSON") from error
    entries = answer.get("outputs") if isinstance(answer, dict) else None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise RunFailed("the server's answer has no outputs")
    specs = {spec.name: spec for spec in schema.outputs}
    arrays: dict[str, Array] = {}
    rest = memoryview(body)[length:]
    for entry in entries:
        size = _binary_size(entry)
        data, rest = (None, rest) if size is None else (rest[:size], rest[size:])
        spec = specs.get(str(entry.get("name")))
        # An output that was not asked for is passed over, its bytes too.
        if spec is not None:
            arrays[spec.name] = _array(spec, entry, data)
    if len(rest):
        raise RunFailed(f"the server's answer has {len(rest)} bytes too many")
    return answer, arrays


def _binary_size(entry: Mapping[str, Any]) -> int | None:
    parameters = entry.get("parameters")
    size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
    if size is None:
        return None
    if isinstance(size, bool) or not isinstance(size, int) or size < 0:
        raise RunFailed("the server states a size of binary data that is none")
    return size


def _array(spec: TensorSpec, entry: Mapping[str, Any], data: memoryview | None) -> Array:
    shape = entry.get("shape")
    if not isinstance(shape, list) or not all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in shape):
        raise RunFailed(f"output {spec.name!r}: the server states no shape")
    if DATATYPES.get(str(entry.get("datatype"))) != spec.dtype:
        raise RunFailed(f"output {spec.name!r} is {entry.get('datatype')}, not {_NAMES[spec.dtype]}")
    count = math.prod(shape)
    if data is not None:
        if len(data) != count * spec.dtype.itemsize:
            raise RunFailed(f"output {spec.name!r}: {len(data)} bytes are not {count} elements")
        return np.frombuffer(data, dtype=spec.dtype.numpy.newbyteorder("<")).astype(spec.dtype.numpy).reshape(shape)
    values = _flat(entry.get("data"))
    if len(values) != count:
        raise RunFailed(f"output {spec.name!r}: {len(values)} elements are not {count}")
    return _from_json(spec, values).reshape(shape)


def _flat(data: Any) -> list[Any]:
    """Elements in row-major order, whether the server nests them or not."""
    values = data
    for _ in range(_MAX_RANK):
        if not isinstance(values, list):
            break
        if not any(isinstance(value, list) for value in values):
            return values
        if not all(isinstance(value, list) for value in values):
            break
        values = [element for value in values for element in value]
    raise RunFailed("the server's answer has an output without elements in a list")


def _from_json(spec: TensorSpec, values: Sequence[Any]) -> Array:
    try:
        if spec.dtype is DType.BOOL:
            if not all(value is True or value is False or value in (0, 1) for value in values):
                raise RunFailed(f"output {spec.name!r} has elements that are no truth values")
            return np.array(values, dtype=np.bool_)
        if any(isinstance(value, bool) or not isinstance(value, int | float) for value in values):
            raise RunFailed(f"output {spec.name!r} has elements that are no numbers")
        if spec.dtype.numpy.kind in "iu":
            if not all(isinstance(value, int) for value in values):
                raise RunFailed(f"output {spec.name!r} has elements that are no integers")
            return np.array(values, dtype=spec.dtype.numpy)
        return _floats(spec, values)
    except (OverflowError, ValueError) as error:
        raise RunFailed(f"output {spec.name!r} has elements that do not fit {_NAMES[spec.dtype]}") from error


def _floats(spec: TensorSpec, values: Sequence[Any]) -> Array:
    wide = np.array(values, dtype=np.float64)
    if spec.dtype is DType.FLOAT64:
        return wide
    with np.errstate(over="ignore"):
        narrow = wide.astype(np.float32)
    inexact = np.flatnonzero((narrow.astype(np.float64) != wide) & ~np.isnan(wide))
    for index in inexact:
        # A server writes a float32 in full, or in the fewest digits that lead back to it; anything else lost its bits.
        if float(str(narrow[index])) != wide[index]:
            raise RunFailed(f"output {spec.name!r} has the element {wide[index]!r}, which is no float32")
    return narrow


def _same_shape(spec: TensorSpec, shape: Any) -> bool:
    """Whether a server takes every shape that the artifact does; -1 is any size, also where the artifact fixes one."""
    if not isinstance(shape, list) or len(shape) != len(spec.shape):
        return False
    return all(there == -1 or there == here for there, here in zip(shape, spec.shape, strict=True))
