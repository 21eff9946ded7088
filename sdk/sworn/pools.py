"""Pools of threads that are all there from the start."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor


def filled_pool(threads: int, *, name: str) -> ThreadPoolExecutor:
    """A pool that has all of its threads at once, where the library's own starts them one by one as work comes.

    So a limit on threads shows when a node starts and not under its first load, and a node has as many threads after a
    month as after a minute: more of them are a leak. Raises `RuntimeError` where the system gives no more threads.
    """
    pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix=name)
    # A thread that waits here is not idle, so each task needs one of its own.
    together = threading.Barrier(threads)
    try:
        for _ in range(threads):
            pool.submit(together.wait)
    except RuntimeError:
        together.abort()
        pool.shutdown(cancel_futures=True)
        raise
    return pool
