"""Which kernels an executor uses: compiled by numba where it is installed, else numpy's."""

from __future__ import annotations

import importlib
from typing import Any, Protocol, cast

from numpy.typing import NDArray

from sworn.engine.exact import interpreted
from sworn.errors import ConfigurationError

Array = NDArray[Any]


class Kernels(Protocol):
    """The loops that numpy has no function for; `sworn.engine.exact.compiled` describes them."""

    def settle(
        self,
        sums: Array,
        left_norms: Array,
        right_norms: Array,
        bias: Array,
        divisors: Array,
        factor: float,
        lower: float,
        upper: float,
        out: Array,
        first_row: int,
        /,
    ) -> int: ...

    def decide(self, values: Array, error: float, out: Array, /) -> int: ...

    def sweep(self, *arguments: Any) -> int: ...

    def resolve(self, *arguments: Any) -> int: ...

    def descend(self, *arguments: Any) -> None: ...


def kernels(*, accelerate: bool | None = None) -> Kernels:
    """The `Kernels` to use; None takes numba where it is installed.

    Raises `ConfigurationError` where numba is demanded and missing.
    """
    if accelerate is not False:
        try:
            return cast(Kernels, importlib.import_module("sworn.engine.exact.compiled"))
        except ImportError as error:
            if accelerate:
                raise ConfigurationError("numba is not installed") from error
    return cast(Kernels, interpreted)


class Loop(Protocol):
    """Runs the words of a tape from ``first`` to ``end``; `sworn.engine.exact.tape` describes them.

    Returns ``end``, or where the instruction begins that could not be done.
    """

    def __call__(self, words: Array, first: int, end: int, arena: Array, tables: Array, matrices: Array, /) -> int: ...


def tape_loop(*, accelerate: bool | None = None) -> Loop | None:
    """The loop of tapes; None without numba, and where what it compiles cannot be kept on disk.

    Compiling it takes half a minute of one core, once for each version of this package and of numba.
    """
    if accelerate is False:
        return None
    try:
        return cast(Loop, importlib.import_module("sworn.engine.exact.tape.loop").run)
    except (ImportError, RuntimeError):
        return None
