"""How waiting is done: clocks and sleeps, injected so that tests can turn them."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

Sleep = Callable[[float], None]
AsyncSleep = Callable[[float], Awaitable[None]]

sleep: Sleep = time.sleep
async_sleep: AsyncSleep = asyncio.sleep

Lock = threading.Lock
AsyncLock = asyncio.Lock


@dataclass(frozen=True, slots=True, kw_only=True)
class Pacing:
    """How often the chain is asked, and for how long a transaction may stay unmined."""

    poll_s: float = 1.0
    transaction_timeout_s: float = 300.0
    #: Monotonic seconds.
    clock: Callable[[], float] = time.monotonic


DEFAULT_PACING = Pacing()
