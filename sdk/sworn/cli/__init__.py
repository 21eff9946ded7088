"""The `sworn` command. Nothing else in sworn prints."""

from __future__ import annotations

from sworn.cli.app import main

__all__ = ["main"]
