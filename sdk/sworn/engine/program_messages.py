"""What an engine and its program workers tell each other about models, as JSON."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from sworn import errors
from sworn.engine.protocol import IdentifiedModel, ModelSource
from sworn.errors import EngineError, SwornError
from sworn.types import DType, Model, ModelId, Profile, Schema, TensorSpec

#: Errors that cross the pipe by name: those that say something about a model, its inputs or the settings.
_KINDS = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type)
    and issubclass(kind, (errors.ModelError, errors.EngineError, errors.ConfigurationError, errors.TraceError))
}


def source_to_json(source: ModelSource) -> dict[str, Any]:
    """Profile and input shapes; the artifact travels as a blob."""
    return {"profile": int(source.profile), "input_shapes": {k: list(v) for k, v in source.input_shapes.items()}}


def source_from_json(header: dict[str, Any], artifact: bytes) -> ModelSource:
    """The inverse of `source_to_json`."""
    shapes = {name: tuple(shape) for name, shape in header["input_shapes"].items()}
    return ModelSource(artifact=artifact, profile=Profile(header["profile"]), input_shapes=shapes)


def identified_to_json(identified: IdentifiedModel) -> dict[str, Any]:
    """Everything but the source."""
    record = {
        field.name: value.hex() if isinstance(value := getattr(identified.model, field.name), bytes) else int(value)
        for field in fields(identified.model)
    }
    return {
        "model": record,
        "model_id": identified.model_id.hex(),
        "inputs": _specs_to_json(identified.schema.inputs),
        "outputs": _specs_to_json(identified.schema.outputs),
        "trace_bytes": identified.trace_bytes,
    }


def identified_from_json(answer: dict[str, Any], source: ModelSource) -> IdentifiedModel:
    """The inverse of `identified_to_json`. Raises `ValueError`, `KeyError` or `TypeError` for what does not fit."""
    return IdentifiedModel(
        source=source,
        model=_model_from_json(answer["model"]),
        model_id=ModelId(bytes.fromhex(answer["model_id"])),
        schema=Schema(inputs=_specs_from_json(answer["inputs"]), outputs=_specs_from_json(answer["outputs"])),
        trace_bytes=int(answer["trace_bytes"]),
    )


def error_to_json(error: SwornError) -> dict[str, Any]:
    """The kind and the text of an error."""
    return {"status": "error", "error": type(error).__name__, "detail": str(error)}


def error_from_json(answer: dict[str, Any]) -> SwornError:
    """The error that a worker told of; what it tells otherwise is a bare `EngineError`."""
    kind = _KINDS.get(str(answer.get("error")), EngineError)
    return kind(str(answer.get("detail", "the worker gave an answer that cannot be read")))


def _model_from_json(record: dict[str, Any]) -> Model:
    hashes = {name: bytes.fromhex(value) for name, value in record.items() if name not in ("version", "profile")}
    return Model(version=record["version"], profile=Profile(record["profile"]), **hashes)


def _specs_to_json(specs: tuple[TensorSpec, ...]) -> list[Any]:
    return [[spec.name, int(spec.dtype), list(spec.shape)] for spec in specs]


def _specs_from_json(entries: list[Any]) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(name=name, dtype=DType(dtype), shape=tuple(shape)) for name, dtype, shape in entries)
