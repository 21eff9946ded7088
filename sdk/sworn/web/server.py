"""Serves an application from a thread of the watcher's process."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from sworn.errors import ConfigurationError

#: Connections at a time; more are answered 503.
_MAX_CONNECTIONS: Final = 128
_START_TIMEOUT_S: Final = 10.0
#: For answers under way when the watcher ends.
_STOP_TIMEOUT_S: Final = 5
_HEAD_BYTES: Final = 16 << 10


@contextmanager
def serving(app: ASGIApp, *, host: str, port: int, name: str = "trace server") -> Iterator[tuple[str, int]]:
    """Serves ``app`` for the length of a ``with`` block and gives the address; port 0 takes a free one.

    Raises `ConfigurationError` for an address that cannot be had.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.create_server((host, port), family=family)
    except OSError as error:
        raise ConfigurationError(f"the {name} cannot listen on {host}:{port}: {error.strerror}") from error
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            limit_concurrency=_MAX_CONNECTIONS,
            timeout_keep_alive=5,
            timeout_graceful_shutdown=_STOP_TIMEOUT_S,
            h11_max_incomplete_event_size=_HEAD_BYTES,
        )
    )
    # A thread that the process does not wait for: whatever ends the watcher ends it too.
    thread = threading.Thread(target=server.run, args=([listening],), name=name.replace(" ", "-"), daemon=True)
    thread.start()
    try:
        _await_start(server, thread, name)
        yield listening.getsockname()[:2]
    finally:
        server.should_exit = True
        thread.join(timeout=2 * _STOP_TIMEOUT_S)
        listening.close()


def _await_start(server: uvicorn.Server, thread: threading.Thread, name: str) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            raise ConfigurationError(f"the {name} did not start")
        time.sleep(0.01)
