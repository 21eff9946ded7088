"""Runs models off chain; `sworn.engine.serving` holds the implementation for every profile."""

from __future__ import annotations

from sworn.engine.protocol import Engine, IdentifiedModel, ModelSource, Run, RunLimits

__all__ = ["Engine", "IdentifiedModel", "ModelSource", "Run", "RunLimits"]
