"""A remote signer that is left alone for some seconds after it did not answer.

Whoever has four hundred results to sign would otherwise wait for it four hundred times, while defences have clocks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from sworn.chain.signer import Signer
from sworn.codec.statements import Statement
from sworn.errors import SignerUnavailable
from sworn.types import Address

_Value = TypeVar("_Value")


class RestingSigner:
    """A `Signer` around another one; ``rest_s`` seconds of a monotonic clock."""

    def __init__(self, signer: Signer, *, rest_s: float = 5.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._signer = signer
        self._rest_s = rest_s
        self._clock = clock
        self._until: float | None = None

    @property
    def address(self) -> Address:
        return self._signer.address

    def sign_transaction(self, transaction: Mapping[str, Any]) -> bytes:
        return self._asked(lambda: self._signer.sign_transaction(transaction))

    def sign_statement(self, statement: Statement) -> bytes:
        return self._asked(lambda: self._signer.sign_statement(statement))

    def __repr__(self) -> str:
        return repr(self._signer)

    def _asked(self, ask: Callable[[], _Value]) -> _Value:
        if self._until is not None and self._clock() < self._until:
            raise SignerUnavailable("the remote signer did not answer a moment ago: it is asked again soon")
        try:
            answer = ask()
        except SignerUnavailable:
            self._until = self._clock() + self._rest_s
            raise
        self._until = None
        return answer
