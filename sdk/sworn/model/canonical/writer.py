"""Writes the nodes and constants of an ONNX graph; the same calls give the same bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from sworn.types import DType

Array = NDArray[Any]
#: Element type and shape.
Kind = tuple[DType, tuple[int, ...]]

IR_VERSION, OPSET, MICROSOFT = 10, 21, "com.microsoft"
#: Constants up to this many bytes stand in the graph's own bytes, larger ones beside it.
_INLINE_BYTES = 1024
_ELEMENTS = {np.dtype(dtype.numpy): helper.np_dtype_to_tensor_dtype(np.dtype(dtype.numpy)) for dtype in DType}


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A model's bytes, by name the constants that stand beside them, and the inputs that it needs."""

    artifact: bytes
    constants: Mapping[str, Array]
    inputs: tuple[str, ...]


class GraphWriter:
    """A graph in the making. Nodes that would compute the same again are not written twice."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._known: dict[tuple[Any, ...], str] = {}
        self._inline: list[onnx.TensorProto] = []
        self._beside: dict[str, Array] = {}
        self._names = 0

    def fresh(self, prefix: str = "t") -> str:
        """A name that is not taken."""
        self._names += 1
        return f"{prefix}{self._names}"

    def node(
        self,
        operator: str,
        inputs: Sequence[str],
        *,
        domain: str = "",
        **attributes: Any,
    ) -> str:
        """Writes a node with one output, and returns the output's name. ``None`` attributes are left out."""
        given = {key: value for key, value in attributes.items() if value is not None}
        key = (operator, domain, tuple(inputs), tuple(sorted((k, _frozen(v)) for k, v in given.items())))
        if key in self._known:
            return self._known[key]
        output = self.fresh()
        self._known[key] = output
        self._nodes.append(helper.make_node(operator, list(inputs), [output], domain=domain, **given))
        return output

    def constant(self, array: Array) -> str:
        """Adds a constant, or finds it again."""
        array = np.ascontiguousarray(array)
        key: tuple[Any, ...] = ("constant", array.dtype.str, array.shape, array.tobytes())
        if array.nbytes > _INLINE_BYTES:
            key = ("constant", array.dtype.str, array.shape, self.fresh("w"))
        if key in self._known:
            return self._known[key]
        name = self.fresh("c")
        self._known[key] = name
        if array.nbytes <= _INLINE_BYTES:
            self._inline.append(numpy_helper.from_array(array, name))
        else:
            self._beside[name] = array
        return name

    def shape(self, sizes: Sequence[int]) -> str:
        """A constant of int64 sizes."""
        return self.constant(np.array(sizes, dtype=np.int64))

    def finish(self, inputs: Mapping[str, Kind], outputs: Mapping[str, Kind]) -> Written:
        """A model with what its outputs need, and nothing else."""
        needed, nodes = set(outputs), []
        for node in reversed(self._nodes):
            if node.output[0] in needed:
                needed |= set(node.input)
                nodes.append(node)
        beside = {name: array for name, array in self._beside.items() if name in needed}
        taken = {name: kind for name, kind in inputs.items() if name in needed}
        graph = helper.make_graph(
            nodes[::-1],
            "canonical",
            [_described(name, *kind) for name, kind in taken.items()],
            [_described(name, *kind) for name, kind in outputs.items()],
            [
                *(tensor for tensor in self._inline if tensor.name in needed),
                *(_external(name, array) for name, array in beside.items()),
            ],
        )
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(MICROSOFT, 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="sworn")
        artifact = bytes(model.SerializeToString(deterministic=True))
        return Written(artifact=artifact, constants=beside, inputs=tuple(taken))


def _described(name: str, dtype: DType, shape: tuple[int, ...]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, _ELEMENTS[np.dtype(dtype.numpy)], shape)


def _external(name: str, array: Array) -> onnx.TensorProto:
    tensor = TensorProto(name=name, data_type=_ELEMENTS[array.dtype], dims=array.shape)
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "weights"), ("offset", "0"), ("length", str(array.nbytes))):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    return tensor


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
