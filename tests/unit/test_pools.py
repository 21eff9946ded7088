"""Pools that have all of their threads from the start."""

from __future__ import annotations

import threading
from concurrent.futures import wait

import pytest

from sworn.pools import filled_pool


def named(name: str) -> list[threading.Thread]:
    """The threads of a pool that are alive."""
    return [thread for thread in threading.enumerate() if thread.name.startswith(name)]


def test_pools_have_all_their_threads_before_the_first_task() -> None:
    """Threads that start one by one look like a leak for hours, and hide one."""
    with filled_pool(7, name="filled") as pool:
        assert len(named("filled")) == 7
        wait([pool.submit(threading.Event().wait, 0.01) for _ in range(50)])
        assert len(named("filled")) == 7
    assert not named("filled")


def test_pools_that_get_too_few_threads_say_so_at_once_and_leave_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit on threads has to show at the start: under load it would stop answers, and threads left would hang."""
    start = threading.Thread.start
    started: list[threading.Thread] = []

    def scarce(thread: threading.Thread) -> None:
        if len(started) == 3:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", scarce)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        filled_pool(5, name="scarce")
    for thread in started:
        thread.join(5)
    assert len(started) == 3
    assert not named("scarce")
