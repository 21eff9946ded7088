"""Structured logs: one event name and its facts, bytes as hex, secrets and URLs masked."""

from __future__ import annotations

import logging
import re
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog
from structlog.typing import FilteringBoundLogger, WrappedLogger

from sworn.watcher.settings import MASK, LogFormat, mask_url

_SECRET_NAME = re.compile(r"password|secret|private|mnemonic|token", re.IGNORECASE)
_URL = re.compile(r"\b(?:https?|wss?|postgresql(?:\+\w+)?)://[^\s'\"<>)\]}]+")


def make_logger(stream: TextIO, *, form: LogFormat = LogFormat.JSON, level: str = "info") -> FilteringBoundLogger:
    """A logger that writes to ``stream``; nothing global is configured."""
    renderer: Any = (
        structlog.processors.JSONRenderer(sort_keys=False)
        if form is LogFormat.JSON
        else structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback)
    )
    logger: FilteringBoundLogger = structlog.wrap_logger(
        structlog.PrintLogger(stream),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            masked,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
    )
    return logger


def masked(logger: WrappedLogger, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor: hides secrets by name and URLs by form, and writes bytes as hex."""
    return {name: MASK if _SECRET_NAME.search(name) else _shown(value) for name, value in event.items()}


def _shown(value: Any) -> Any:
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, str):
        return _URL.sub(lambda match: mask_url(match.group()), value)
    if isinstance(value, (list, tuple)):
        return [_shown(item) for item in value]
    if isinstance(value, dict):
        return {name: MASK if _SECRET_NAME.search(str(name)) else _shown(item) for name, item in value.items()}
    return value
