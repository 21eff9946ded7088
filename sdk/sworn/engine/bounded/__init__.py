"""Runs programs within the bounds of profile `bounded`, mostly with onnxruntime's float kernels."""

from __future__ import annotations

from sworn.engine.bounded.executor import BoundedExecutor

__all__ = ["BoundedExecutor"]
