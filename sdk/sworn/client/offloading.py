"""Blocking work (files, model parsing, artifact downloads) called from either colour of the client."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

_Value = TypeVar("_Value")


async def async_offloaded(work: Callable[[], _Value]) -> _Value:
    """Runs blocking work beside the event loop."""
    return await asyncio.to_thread(work)


def offloaded(work: Callable[[], _Value]) -> _Value:
    """Runs blocking work here."""
    return work()
