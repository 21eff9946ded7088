"""Runs models off chain; `sworn.engine.onnx_engine` holds the implementation over onnxruntime."""

from __future__ import annotations

from sworn.engine.protocol import Engine, RunLimits

__all__ = ["Engine", "RunLimits"]
