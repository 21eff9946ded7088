"""The contract that checks what operators show of their traces, in a fast EVM inside the process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pyrevm
from eth_abi.abi import decode as abi_decode
from eth_abi.abi import encode as abi_encode
from eth_utils.crypto import keccak
from tests.support.artifacts import artifacts

from sworn.codec.dispute_structs import TARGET_ABI, target_to_abi
from sworn.types import Target

_CHECK: Final = keccak(text=f"check(bytes,{TARGET_ABI},bytes32)")[:4]
_PLAUSIBLE: Final = keccak(text=f"isPlausible({TARGET_ABI})")[:4]
_ROOT_OF: Final = keccak(text="rootOf(bytes32[])")[:4]
_CALLER: Final = "0x" + "11" * 20
_GAS: Final = 1 << 30


class TraceVerifierChain:
    """The deployed `TraceVerifier`."""

    def __init__(self) -> None:
        self._evm = pyrevm.EVM()
        self._address = self._evm.deploy(
            _CALLER, bytes.fromhex(artifacts()["TraceVerifier"].bytecode.removeprefix("0x"))
        )

    def accepts(self, disclosure: bytes, target: Target, trace_root: bytes) -> bool:
        """Whether the contract takes encoded bytes for an answer."""
        types = ["bytes", TARGET_ABI, "bytes32"]
        try:
            self._call(_CHECK + abi_encode(types, [disclosure, target_to_abi(target), trace_root]))
        except RuntimeError:
            return False
        return True

    def is_plausible(self, target: Target) -> bool:
        """Whether the contract takes the demand."""
        data = self._call(_PLAUSIBLE + abi_encode([TARGET_ABI], [target_to_abi(target)]))
        return bool(abi_decode(["bool"], data)[0])

    def root_of(self, data_roots: Sequence[bytes]) -> bytes:
        """The trace root over data roots."""
        (root,) = abi_decode(["bytes32"], self._call(_ROOT_OF + abi_encode(["bytes32[]"], [list(data_roots)])))
        return bytes(root)

    def _call(self, data: bytes) -> bytes:
        return bytes(self._evm.message_call(_CALLER, self._address, data, gas=_GAS, is_static=True))
