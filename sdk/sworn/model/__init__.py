"""Reads .onnx files: checks, schema, identity. Nothing else in sworn imports onnx."""

from __future__ import annotations

from sworn.model.admission import MAX_ARTIFACT_BYTES
from sworn.model.identity import MODEL_VERSION, identify_signed, read_artifact, schema_of

__all__ = ["MAX_ARTIFACT_BYTES", "MODEL_VERSION", "identify_signed", "read_artifact", "schema_of"]
