"""Runs programs in profile ``exact``: the same bits on every IEEE 754 machine, with numpy's speed."""

from __future__ import annotations

from sworn.engine.exact.executor import ExactExecutor, execute

__all__ = ["ExactExecutor", "execute"]
