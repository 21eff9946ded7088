"""The door to numba, which is optional: importing this module fails where it is missing."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, TypeVar, cast

_NUMBA: Any = importlib.import_module("numba")
_F = TypeVar("_F", bound=Callable[..., Any])


def compiled(function: _F) -> _F:
    """A function that is compiled when it is first called, and kept on disk where there is a place for that.

    Without fastmath, so that LLVM neither reorders nor contracts float operations.
    """
    return _compile(function)


def inlined(function: _F) -> _F:
    """As `compiled`, and made part of each function that calls it."""
    return _compile(function, forceinline=True)


def _compile(function: _F, **options: bool) -> _F:
    settings: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": False, **options}
    try:
        return cast(_F, _NUMBA.njit(cache=True, **settings)(function))
    except RuntimeError:
        # Neither the package's folder nor the user's cache can be written.
        return cast(_F, _NUMBA.njit(**settings)(function))
