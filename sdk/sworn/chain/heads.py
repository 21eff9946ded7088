"""Being woken by new blocks instead of waiting out the poll interval.

A wake-up is a hint and nothing else: what is true is read by polling. Losing it costs a part of an interval.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from random import Random
from typing import Any, Final, Protocol

from websockets.exceptions import InvalidURI, WebSocketException
from websockets.sync.client import connect

#: The newest part of a header is all that is looked at; anything larger is no header.
_MAX_MESSAGE_BYTES: Final = 1 << 20
_SUBSCRIBE: Final = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": ["newHeads"]})
#: Seconds until the next attempt after a connection was lost: doubled each time, up to the second number.
_FIRST_RETRY_S: Final = 1.0
_LONGEST_RETRY_S: Final = 60.0
#: A connection that was silent for so long is taken for dead; silent ends are the usual way to lose a subscription.
SILENCE_S: Final = 120.0
#: Seconds between two wakes; no chain makes blocks faster.
_SHORTEST_GAP_S: Final = 0.1


class Wakeup(Protocol):
    """Cuts a wait short when there may be something new on the chain."""

    def wait(self, timeout_s: float) -> bool:
        """Waits for a hint, at most so long. True = there was one since the last call; it is used up."""
        ...

    def close(self) -> None:
        """Ends it; `wait` then only waits."""
        ...


class PollingOnly:
    """A `Wakeup` that never wakes anybody."""

    def wait(self, timeout_s: float) -> bool:
        threading.Event().wait(timeout_s)
        return False

    def close(self) -> None:
        """Nothing to end."""


POLLING: Final[Wakeup] = PollingOnly()


class Socket(Protocol):
    """What is used of a WebSocket connection."""

    def send(self, message: str) -> None: ...
    def recv(self, timeout: float | None = None) -> str | bytes: ...


Connect = Callable[[], AbstractContextManager[Socket]]


def websocket(url: str, *, timeout_s: float = 10.0) -> Connect:
    """How to connect to a node's WebSocket."""

    def opened() -> Any:
        return connect(url, open_timeout=timeout_s, close_timeout=1.0, max_size=_MAX_MESSAGE_BYTES)

    return opened


class HeadSubscription:
    """A `Wakeup` by ``eth_subscribe newHeads``, in a thread of its own.

    ``on_change`` hears True when the subscription stands and, once per loss, False with the kind of error.
    """

    def __init__(
        self,
        connect_to: Connect,
        *,
        on_change: Callable[[bool, str], None] = lambda up, reason: None,
        silence_s: float = SILENCE_S,
        random: Random | None = None,
    ) -> None:
        self._connect = connect_to
        self._on_change = on_change
        self._silence_s = silence_s
        self._random = random or Random()  # noqa: S311 -- spreads reconnects, keeps no secret
        self._hint = threading.Event()
        self._closed = threading.Event()
        #: None = it has never stood.
        self._up: bool | None = None
        self._stood = False
        self._woke_at = -_SHORTEST_GAP_S
        # A daemon: a socket that hangs must not keep the process from ending.
        self._thread = threading.Thread(target=self._listen, name="heads", daemon=True)
        self._thread.start()

    def wait(self, timeout_s: float) -> bool:
        woken = self._hint.wait(timeout_s)
        self._hint.clear()
        if woken:
            # SAFETY: a node that floods us with heads must not make us flood all nodes with questions.
            self._closed.wait(min(self._woke_at + _SHORTEST_GAP_S - time.monotonic(), timeout_s))
            self._woke_at = time.monotonic()
        return woken

    def close(self) -> None:
        """Ends the thread after the message or the attempt under way."""
        self._closed.set()
        self._thread.join(timeout=2.0)

    def _listen(self) -> None:
        for pause_s in self._pauses():
            try:
                with self._connect() as socket:
                    self._follow(socket)
            except (OSError, TimeoutError, WebSocketException, ValueError, KeyError, TypeError) as error:
                self._changed(up=False, reason=type(error).__name__)
                if isinstance(error, InvalidURI):
                    return
            if self._closed.wait(pause_s):
                return

    def _pauses(self) -> Iterator[float]:
        pause_s = _FIRST_RETRY_S
        while not self._closed.is_set():
            yield pause_s * self._random.uniform(0.5, 1.0)
            pause_s = _FIRST_RETRY_S if self._stood else min(2 * pause_s, _LONGEST_RETRY_S)
            self._stood = False

    def _follow(self, socket: Socket) -> None:
        """Reads until the connection ends. Raises when it does, or when the node refuses."""
        socket.send(_SUBSCRIBE)
        accepted = json.loads(socket.recv(timeout=self._silence_s))
        if "result" not in accepted:
            raise ValueError("the node takes no subscriptions")
        self._stood = True
        self._changed(up=True, reason="")
        # What happened while nobody listened is found by polling: now, not after an interval.
        self._hint.set()
        waited_s = 0.0
        while not self._closed.is_set():
            try:
                socket.recv(timeout=1.0)
            except TimeoutError:
                waited_s += 1.0
                if waited_s >= self._silence_s:
                    raise
                continue
            waited_s = 0.0
            self._hint.set()

    def _changed(self, *, up: bool, reason: str) -> None:
        if up != self._up:
            self._up = up
            self._on_change(up, reason)
