"""The door to numba, which is optional: importing this module fails where it is missing."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar, cast

_NUMBA: Any = importlib.import_module("numba")
_F = TypeVar("_F", bound=Callable[..., Any])

#: The files of which the loop of a tape is compiled, in this folder.
TAPE_SOURCES = (
    "compiled_rounding.py",
    "compiled_trees.py",
    "jit.py",
    *(f"tape/{name}.py" for name in ("bytes", "choices", "codes", "curves", "floats", "loop", "moves", "numbers")),
    *(f"tape/{name}.py" for name in ("products", "tiles")),
)
#: Without fastmath LLVM neither reorders nor contracts float operations.
_SETTINGS = MappingProxyType({"nogil": True, "error_model": "numpy", "fastmath": False})


def compiled(function: _F) -> _F:
    """A function that is compiled when it is first called, and kept on disk where there is a place for that."""
    return _compile(function)


def inlined(function: _F) -> _F:
    """As `compiled`, and made part of each function that calls it."""
    return _compile(function, forceinline=True)


def callee(function: _F) -> _F:
    """As `compiled`, for functions that only compiled ones call."""
    return cast(_F, _NUMBA.njit(**_SETTINGS, no_cpython_wrapper=True, no_cfunc_wrapper=True)(function))


def merged(function: _F) -> _F:
    """As `callee`, but compiled anew within each function that calls it."""
    return cast(_F, _NUMBA.njit(**_SETTINGS, inline="always")(function))


def kept(function: _F) -> _F:
    """As `compiled`, for what takes too long to be compiled in every process.

    Raises `RuntimeError` where there is no place on disk to keep it.
    """
    return cast(_F, _NUMBA.njit(**_SETTINGS, cache=True)(function))


def _compile(function: _F, **options: Any) -> _F:
    try:
        return cast(_F, _NUMBA.njit(cache=True, **_SETTINGS, **options)(function))
    except RuntimeError:
        # Neither the package's folder nor the user's cache can be written.
        return cast(_F, _NUMBA.njit(**_SETTINGS, **options)(function))


def sources_digest() -> str:
    """A digest of the sources of all kernels of a tape: what a kept one was made of, its callees included."""
    folder = Path(__file__).parent
    return hashlib.sha256(b"".join((folder / name).read_bytes() for name in TAPE_SOURCES)).hexdigest()
