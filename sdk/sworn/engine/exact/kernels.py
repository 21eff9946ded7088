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
