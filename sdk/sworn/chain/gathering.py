"""One view of one contract, asked many times in one ``eth_call``.

The call creates a contract whose init code makes the calls and whose "code" is what they returned; nothing is deployed.
A node answers it in a tenth of the time of as many calls in a batch. What a node does not answer so is asked call by
call.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from sworn.chain.gateway import BlockRef, Call, Gateway
from sworn.errors import ChainError, ConfigurationError, RateLimited, TransientChainError
from sworn.types import Address

#: Fewer calls than that are made one by one, in a batch.
LEAST: Final = 20
#: Bytes that a created contract may have (EIP-170), and so all answers of one call together.
_MOST_BYTES: Final = 24_576
#: Seconds until a node that refused is asked in this way again: another one may be behind the same URL. The second
#: counts for refusals that look like a node in trouble, which is what some make of a call that they do not know.
_FORGET_S: Final = 600.0
_FORGET_TROUBLE_S: Final = 60.0
#: Bytes of the init code before the questions.
CODE_BYTES: Final = 0x53
_OUT: Final = 0x40


class Gathering:
    """Asks one view of a contract; safe to share where its gateway is."""

    def __init__(
        self,
        gateway: Gateway,
        contract: Address,
        *,
        ask_bytes: int,
        answer_bytes: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``ask_bytes`` is the length of every calldata, ``answer_bytes`` that of every answer (both under 256).

        Answers begin with a byte that is not 0xef: no contract may have such code (EIP-3541).
        """
        self._gateway = gateway
        self._contract = contract
        self._ask_bytes, self._answer_bytes = ask_bytes, answer_bytes
        self._clock = clock
        self._not_before = float("-inf")

    def ask(self, asked: Sequence[bytes], *, block: BlockRef) -> list[bytes | ChainError]:
        """The answers, in their order; an error in the place of each that could not be had. Raises `ChainError`."""
        if len(asked) < LEAST or self._clock() < self._not_before:
            return self._each(asked, block)
        most = _MOST_BYTES // self._answer_bytes
        parts = [asked[start : start + most] for start in range(0, len(asked), most)]
        try:
            answers = self._gateway.calls([Call(to=None, data=self._code(part)) for part in parts], block=block)
        except RateLimited:
            raise
        except (ChainError, ConfigurationError) as error:
            # Nodes and proxies may refuse by an HTTP status. One that is really away is away for single calls too.
            self._wait(_FORGET_TROUBLE_S if isinstance(error, TransientChainError) else _FORGET_S)
            return self._each(asked, block)
        found: list[bytes | ChainError] = []
        for part, answer in zip(parts, answers, strict=True):
            if isinstance(answer, bytes) and len(answer) == len(part) * self._answer_bytes:
                size = self._answer_bytes
                found += [answer[at : at + size] for at in range(0, len(answer), size)]
                continue
            if not isinstance(answer, TransientChainError):
                self._wait(_FORGET_S)
            found += self._each(part, block)
        return found

    def _wait(self, for_s: float) -> None:
        self._not_before = self._clock() + for_s

    def _each(self, asked: Sequence[bytes], block: BlockRef) -> list[bytes | ChainError]:
        calls = [Call(to=self._contract, data=data) for data in asked]
        return self._gateway.calls(calls, block=block) if calls else []

    def _code(self, asked: Sequence[bytes]) -> bytes:
        """Init code that returns all answers one after the other, or reverts where a call fails or answers else."""
        data = b"".join(asked)
        ask, answer = self._ask_bytes.to_bytes(1), self._answer_bytes.to_bytes(1)
        contract = bytes.fromhex(self._contract.removeprefix("0x"))
        loop, done, fail, size = 0x05, 0x46, 0x4E, CODE_BYTES
        code = b"".join(
            (
                # Where to read, and where to write.
                b"\x61" + size.to_bytes(2) + b"\x60" + bytes([_OUT]),
                # loop: until everything is read
                b"\x5b\x81\x61" + (size + len(data)).to_bytes(2) + b"\x14\x60" + bytes([done]) + b"\x57",
                # CODECOPY(0, read, ask)
                b"\x60" + ask + b"\x82\x60\x00\x39",
                # STATICCALL(gas, contract, 0, ask, write, answer)
                b"\x60" + answer + b"\x81\x60" + ask + b"\x60\x00\x73" + contract + b"\x5a\xfa",
                # unless it succeeded with an answer of that size: fail
                b"\x3d\x60" + answer + b"\x14\x16\x15\x60" + bytes([fail]) + b"\x57",
                # write += answer, read += ask
                b"\x60" + answer + b"\x01\x90\x60" + ask + b"\x01\x90\x60" + bytes([loop]) + b"\x56",
                # done: RETURN(out, write - out)
                b"\x5b\x60" + bytes([_OUT]) + b"\x90\x03\x60" + bytes([_OUT]) + b"\xf3",
                # fail: REVERT(0, 0)
                b"\x5b\x60\x00\x80\xfd",
            )
        )
        return code + data
