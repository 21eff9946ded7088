"""Structured logs: one event name and its facts, bytes as hex, secrets and URLs masked."""

from __future__ import annotations

import logging
import re
from collections.abc import MutableMapping
from functools import lru_cache
from typing import Any, TextIO

import structlog
from structlog.typing import FilteringBoundLogger, WrappedLogger

from sworn.masking import MASK, masked_text
from sworn.watcher.settings import LogFormat

_SECRET_NAME = re.compile(r"password|secret|private|mnemonic|token", re.IGNORECASE)


class _Unfailing:
    """A stream that loses lines rather than raise: a full disk or a closed pipe stops nobody's defence."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lost = 0

    def write(self, text: str) -> None:
        try:
            if self._lost:
                self._stream.write(f'{{"level": "error", "event": "log_lines_lost", "lines": {self._lost}}}\n')
                self._lost = 0
            self._stream.write(text)
        except OSError:
            self._lost += text.count("\n")

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            self._lost += 1


def make_logger(stream: TextIO, *, form: LogFormat = LogFormat.JSON, level: str = "info") -> FilteringBoundLogger:
    """A logger that writes to ``stream``; nothing global is configured."""
    renderer: Any = (
        structlog.processors.JSONRenderer(sort_keys=False)
        if form is LogFormat.JSON
        else structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback)
    )
    logger: FilteringBoundLogger = structlog.wrap_logger(
        structlog.PrintLogger(_Unfailing(stream)),  # type: ignore[arg-type]  # it writes and flushes, no more
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
    return {name: MASK if _is_secret(name) else _shown(value) for name, value in event.items()}


@lru_cache(maxsize=1_024)
def _is_secret(name: str) -> bool:
    return _SECRET_NAME.search(name) is not None


def _shown(value: Any) -> Any:
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, str):
        return masked_text(value)
    if isinstance(value, (list, tuple)):
        return [_shown(item) for item in value]
    if isinstance(value, dict):
        return {name: MASK if _is_secret(str(name)) else _shown(item) for name, item in value.items()}
    return value
