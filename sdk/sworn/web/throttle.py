"""How much one client may ask for."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

#: Clients that are remembered; beyond that the ones that were quiet for longest are forgotten.
_MAX_CLIENTS: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """Requests of one address: so many at once, and so many more every second."""

    burst: int = 2_000
    per_second: float = 100.0


DEFAULT_LIMIT: Final = RateLimit()


class Throttle:
    """An ASGI middleware that answers 429 to clients that ask for too much, and 405 to all but reads."""

    def __init__(self, app: ASGIApp, *, limit: RateLimit, clock: Callable[[], float] = time.monotonic) -> None:
        self._app, self._limit, self._clock = app, limit, clock
        self._lock = threading.Lock()
        #: What is left for each client, and when that was so.
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        if scope["method"] not in ("GET", "HEAD"):
            await _refusal(405, "method not allowed", "traces are only read")(scope, receive, send)
        elif not self._admits((scope.get("client") or ("",))[0]):
            await _refusal(429, "too many requests", "ask again in a second")(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _admits(self, client: str) -> bool:
        with self._lock:
            now = self._clock()
            left, since = self._left.pop(client, (float(self._limit.burst), now))
            left = min(left + (now - since) * self._limit.per_second, float(self._limit.burst))
            self._left[client] = (left - 1 if left >= 1 else left, now)
            while len(self._left) > _MAX_CLIENTS:
                self._left.popitem(last=False)
            return left >= 1


def _refusal(status: int, error: str, detail: str) -> JSONResponse:
    headers = {"Retry-After": "1"} if status == 429 else {"Allow": "GET, HEAD"}
    return JSONResponse({"error": error, "detail": detail}, status_code=status, headers=headers)
