"""What the float unit and the BLAS library must be like, and how many threads the library may use."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np

from sworn.errors import ConfigurationError

#: Terms of the products that are tried: enough for every loop of a BLAS kernel.
_SIZES = (1, 7, 64, 515)


def check_subnormals() -> None:
    """Raises `ConfigurationError` where this thread takes subnormal numbers for zero, or makes them zero."""
    # Variables, so that the compiler does not compute the products; one mode serves both formats.
    least, small, half = 5e-324, 2.2250738585072014e-308, 0.5
    if not (least * 2.0 > 0.0 and small * half > 0.0):
        raise ConfigurationError("this process flushes subnormal floats to zero (FTZ or DAZ is set)")


@cache
def check_products() -> None:
    """Raises `ConfigurationError` where matrix products are computed with fewer bits than their type has."""
    for dtype, largest in ((np.float64, 2.0**52), (np.float32, 2.0**23)):
        for terms in _SIZES:
            left, right = np.ones((5, terms), dtype=dtype), np.ones((terms, 6), dtype=dtype)
            left[:, -1] = largest
            if not np.array_equal(left @ right, np.full((5, 6), largest + terms - 1)):
                raise ConfigurationError(f"this machine's BLAS library does not multiply {dtype.__name__} in full")


@cache
def _blas_libraries() -> tuple[Any, ...]:
    """The BLAS libraries of the process, which threadpoolctl takes milliseconds to find."""
    try:
        controller: Any = importlib.import_module("threadpoolctl").ThreadpoolController()
    except ImportError:
        return ()
    return tuple(controller.select(user_api="blas").lib_controllers)


class BlasThreads:
    """The threads of numpy's BLAS library, where threadpoolctl can reach it; its results do not depend on them."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._libraries = _blas_libraries()

    @contextmanager
    def limited(self) -> Iterator[None]:
        """At most ``threads`` threads inside the block."""
        changed = [
            (library, before) for library in self._libraries if (before := library.get_num_threads()) != self._threads
        ]
        for library, _ in changed:
            library.set_num_threads(self._threads)
        try:
            yield
        finally:
            for library, before in changed:
                library.set_num_threads(before)
