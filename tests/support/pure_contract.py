"""A contract without state, called in an EVM of its own: fast enough for every case there is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyrevm
from eth_abi.abi import decode as abi_decode
from eth_abi.abi import encode as abi_encode
from eth_utils.crypto import keccak
from tests.support.artifacts import artifacts, decode_revert

_CALLER = "0x" + "11" * 20
_GAS = 1 << 32


class PureContract:
    """One deployed contract."""

    def __init__(self, name: str) -> None:
        self._evm = pyrevm.EVM()
        self._address = self._evm.deploy(_CALLER, bytes.fromhex(artifacts()[name].bytecode.removeprefix("0x")))

    def call(self, signature: str, arguments: Sequence[Any], returns: Sequence[str] = ()) -> tuple[Any, ...]:
        """What a function gives, by its signature. Raises `Reverted`."""
        inputs = _types_of(signature)
        data = keccak(text=signature)[:4] + abi_encode(inputs, arguments)
        try:
            answer = self._evm.message_call(_CALLER, self._address, data, gas=_GAS, is_static=True)
        except RuntimeError as error:
            _, found, rest = str(error).partition("output: 0x")
            if not found:
                raise
            raise decode_revert(bytes.fromhex(rest.partition(" ")[0])) from None
        return tuple(abi_decode(returns, bytes(answer)))


def _types_of(signature: str) -> list[str]:
    parts, depth, start = [], 0, signature.index("(") + 1
    for place in range(start, len(signature)):
        depth += {"(": 1, ")": -1}.get(signature[place], 0)
        if depth < 0 or (depth == 0 and signature[place] == ","):
            parts.append(signature[start:place])
            start = place + 1
    return [part for part in parts if part]
