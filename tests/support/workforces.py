"""The places where an engine's workers may be, for tests that hold for all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil
import pytest

from sworn.engine.process import Processes
from sworn.engine.workers import Workforce

#: Ray takes seconds to start and to place a worker.
KINDS = ["pool", pytest.param("ray", marks=[pytest.mark.slow, pytest.mark.filterwarnings("default")])]

#: Room for every engine that a module's tests have at once.
_RAY_WORKERS = 16


@contextmanager
def workforce(kind: str) -> Iterator[Workforce]:
    """Workers of a kind, for any number of engines one after the other."""
    if kind == "pool":
        found: Workforce = Processes()
    else:
        pytest.importorskip("ray")
        from sworn.engine.ray_workforce import RayPlacement, RayWorkforce

        found = RayWorkforce(RayPlacement(), workers=_RAY_WORKERS)
    try:
        yield found
    finally:
        found.close()


def until(condition: Callable[[], bool], *, timeout_s: float = 20.0) -> bool:
    """Whether a condition came true in time."""
    deadline = time.monotonic() + timeout_s
    while not (is_true := condition()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return is_true


def is_gone(pid: int) -> bool:
    """Whether a process has ended, be it that nobody has asked for its exit status."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
