"""The compiler's one entrance: from the bytes of an .onnx file to its program."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from sworn.codec.payload import MAX_RANK
from sworn.errors import ConfigurationError, ModelMalformed, ModelUnsupported
from sworn.model.admission import MAX_ARTIFACT_BYTES, admit
from sworn.model.compiler.assembly import assembled
from sworn.model.compiler.builder import Builder
from sworn.model.compiler.graph import Graph, Node, decoded, import_graph
from sworn.model.compiler.operators import Call
from sworn.model.compiler.registry import LOWERINGS
from sworn.model.compiler.values import Value
from sworn.model.lowered import Evaluator, Lowered
from sworn.model.program import TensorType
from sworn.model.schema import graph_schema
from sworn.types import DType, Schema, TensorSpec


def lower(
    artifact: bytes,
    *,
    input_shapes: Mapping[str, tuple[int, ...]] | None = None,
    evaluate: Evaluator,
    max_bytes: int = MAX_ARTIFACT_BYTES,
) -> Lowered:
    """The program of a model, with every shape fixed.

    ``input_shapes`` gives the shapes of inputs that leave dimensions open; ``evaluate`` runs a program exactly and is
    used to compute constants. The same file and shapes give the same program everywhere.

    Raises `ModelMalformed`, `ModelTooLarge`, `ModelUnsupported` (with operator, node and reason), and
    `ConfigurationError` for ``input_shapes`` that do not fit.
    """
    model = admit(artifact, max_bytes=max_bytes)
    declared = graph_schema(model.graph)
    inputs = _fixed_inputs(declared, dict(input_shapes or {}))
    kinds = [TensorType(dtype=spec.dtype, shape=shape) for spec, shape in inputs]
    build = Builder(kinds, evaluate=evaluate, artifact_bytes=len(artifact))
    graph = import_graph(model)
    values = _Values(graph, build, {spec.name: build.input(k) for k, (spec, _) in enumerate(inputs)})
    values.run()
    outputs = tuple(values.read(name, "the model's output") for name in graph.outputs)
    build.label = "output"
    result = assembled(build, outputs)
    return Lowered(
        program=result.program,
        weights=result.weights,
        schema=Schema(
            inputs=tuple(TensorSpec(name=spec.name, dtype=spec.dtype, shape=shape) for spec, shape in inputs),
            outputs=tuple(map(_fixed_output, declared.outputs, outputs)),
        ),
        step_names=result.labels,
    )


class _Values:
    """The values of a graph by name, as nodes are lowered one after the other."""

    def __init__(self, graph: Graph, build: Builder, inputs: Mapping[str, Value]) -> None:
        self._graph = graph
        self._build = build
        self._values: dict[str, Value | None] = dict(inputs)
        self._calls: dict[str, Call] = {}
        self._readers = graph.readers()

    def run(self) -> None:
        for node in self._graph.nodes:
            self._lower(node)

    def read(self, name: str, reader: str) -> Value:
        if name not in self._values and name in self._graph.initializers:
            self._build.label = f"constant {name}"
            self._values[name] = self._build.constant(decoded(self._graph.initializers[name]))
        if name not in self._values:
            raise ModelMalformed(f"{reader} reads {name!r}, which nothing makes")
        value = self._values[name]
        if value is None:
            raise ModelUnsupported(f"{reader} reads {name!r}, an output that is not supported")
        return value

    def _lower(self, node: Node) -> None:
        lowering = LOWERINGS.get((node.domain, node.operator, node.version))
        if lowering is None:
            domain = f" of {node.domain}" if node.domain else ""
            raise ModelUnsupported(f"{node.label}: operator {node.operator}-{node.version}{domain} is not supported")
        inputs = tuple(self.read(name, node.label) if name else None for name in node.inputs)
        self._build.label = node.label
        call = Call(
            node=node,
            values=inputs,
            build=self._build,
            readers=self._readers,
            earlier=self._calls,
            lowering=lowering,
        )
        try:
            result = lowering(call)
        except IndexError as error:
            # A lowering takes an axis of a tensor that has none: only a file with wrong shapes leads there.
            raise call.refused("an input has too few axes") from error
        unread = sorted(set(node.attributes) - call.asked - lowering.ignored)
        if unread:
            raise call.refused(f"attribute {unread[0]} is not supported")
        results = result if isinstance(result, tuple) else (result,)
        if any(value is not None and value.rank > MAX_RANK for value in results):
            raise call.refused(f"a result of rank beyond {MAX_RANK} is not supported")
        for position, name in enumerate(node.outputs):
            if name:
                self._values[name] = results[position] if position < len(results) else None
                self._calls[name] = call


def _fixed_inputs(schema: Schema, given: dict[str, tuple[int, ...]]) -> list[tuple[TensorSpec, tuple[int, ...]]]:
    unknown = sorted(set(given) - {spec.name for spec in schema.inputs})
    if unknown:
        raise ConfigurationError(f"input_shapes names {unknown[0]!r}, which is not an input of the model")
    return [(spec, _fixed_shape(spec, given.get(spec.name))) for spec in schema.inputs]


def _fixed_shape(spec: TensorSpec, given: tuple[int, ...] | None) -> tuple[int, ...]:
    shape = tuple(spec.shape if given is None else given)
    if given is None and None in shape:
        example = tuple(1 if size is None else size for size in shape)
        raise ModelUnsupported(
            f"input {spec.name!r} has shape {_text(spec.shape)}: a program needs every dimension fixed; "
            f"give for example input_shapes={{{spec.name!r}: {example}}}"
        )
    fits = len(shape) == len(spec.shape) and all(
        size is not None and (wanted is None or size == wanted) for size, wanted in zip(shape, spec.shape, strict=True)
    )
    fixed = tuple(size for size in shape if size is not None)
    if not fits:
        raise ConfigurationError(f"input {spec.name!r} has shape {_text(spec.shape)}; {_text(shape)} does not fit")
    if spec.dtype is DType.FLOAT64:
        raise ModelUnsupported(f"input {spec.name!r} is float64, which is not supported; convert the model to float32")
    if prod(fixed) < 1 or any(size < 0 for size in fixed):
        raise ModelUnsupported(f"input {spec.name!r} has shape {_text(shape)}: it has no elements")
    return fixed


def _text(shape: tuple[int | None, ...]) -> str:
    inner = ", ".join("?" if size is None else str(size) for size in shape)
    return f"({inner},)" if len(shape) == 1 else f"({inner})"


def _fixed_output(spec: TensorSpec, value: Value) -> TensorSpec:
    """The output with the shape that it is computed in; its type and rank must be what the file states.

    Converters state sizes wrongly (skl2onnx: one column for several targets), and runtimes overrule them.
    """
    if spec.dtype is not value.dtype or len(spec.shape) != value.rank:
        raise ModelMalformed(
            f"output {spec.name!r} is stated as {spec.dtype.name.lower()} {_text(spec.shape)} but is "
            f"{value.dtype.name.lower()} {_text(value.shape)}"
        )
    return TensorSpec(name=spec.name, dtype=value.dtype, shape=value.shape)
