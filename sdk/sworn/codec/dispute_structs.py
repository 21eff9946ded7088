"""Records of disputes as ABI tuples and back; twins of `contracts/types/Dispute.sol`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sworn.codec.structs import (
    abi_encode,
    checked_address,
    checked_bytes,
    checked_fields,
    checked_int,
    checked_member,
    checked_word,
)
from sworn.codec.trees import keccak
from sworn.errors import CodecError
from sworn.types import Address, ChallengerState, Demand, Disclosure, Dispute, DisputeStatus, Part, ResultId, Target

TARGET_ABI: Final = "(uint8,uint32,uint8,uint32)"
DISCLOSURE_ABI: Final = "(uint32,bytes32,bytes32[],uint64,bytes32,bytes32[],bytes,bytes32[])"
_WORD_BYTES: Final = 32


def target_to_abi(target: Target) -> tuple[int, int, int, int]:
    """`Target` as an ABI tuple."""
    return (int(target.part), target.value, target.level, target.index)


def target_from_abi(values: Sequence[Any]) -> Target:
    """`Target` from an ABI tuple. Raises `CodecError`."""
    part, value, level, index = checked_fields("Target", values, 4)
    return Target(
        part=checked_member(Part, part), value=checked_int(value), level=checked_int(level), index=checked_int(index)
    )


def encode_disclosure(disclosure: Disclosure) -> bytes:
    """The bytes that `DisputeGame.disclose` takes. Raises `CodecError` for values that do not fit their type."""
    return abi_encode([DISCLOSURE_ABI], [disclosure_to_abi(disclosure)])


def disclosure_to_abi(disclosure: Disclosure) -> tuple[Any, ...]:
    """`Disclosure` as an ABI tuple."""
    return (
        disclosure.values,
        disclosure.values_tree,
        list(disclosure.value_siblings),
        disclosure.length,
        disclosure.chunks_tree,
        list(disclosure.nodes),
        disclosure.chunks,
        list(disclosure.siblings),
    )


def decode_disclosure(data: bytes) -> Disclosure:
    """A disclosure from bytes, read as the contract reads them. Raises `CodecError`.

    The contract minds neither gaps nor padding, and so an operator may have shown something in such bytes.
    """
    return disclosure_at(AbiWords(data=data, start=0).inner(0))


def disclosure_at(body: AbiWords) -> Disclosure:
    """A disclosure from the words that it consists of. Raises `CodecError`."""
    body.require(8)
    return Disclosure(
        values=body.number(0, bits=32),
        values_tree=body.word(1),
        value_siblings=body.inner(2).words(),
        length=body.number(3, bits=64),
        chunks_tree=body.word(4),
        nodes=body.inner(5).words(),
        chunks=body.inner(6).string(),
        siblings=body.inner(7).words(),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AbiWords:
    """ABI-encoded fields from a place on, read as Solidity reads them. Methods raise `CodecError`."""

    data: bytes
    start: int

    def require(self, words: int) -> None:
        """Refuses fewer words from here on."""
        self._read(self.start, words * _WORD_BYTES)

    def word(self, index: int) -> bytes:
        """A word."""
        return self._read(self.start + index * _WORD_BYTES, _WORD_BYTES)

    def number(self, index: int, *, bits: int) -> int:
        """An unsigned number of so many bits."""
        value = int.from_bytes(self.word(index))
        if value >> bits:
            raise CodecError(f"not a disclosure: {value} has more than {bits} bits")
        return value

    def inner(self, index: int) -> AbiWords:
        """What a word points to."""
        return AbiWords(data=self.data, start=self.start + self.number(index, bits=64))

    def words(self) -> tuple[bytes, ...]:
        """An array of words that begins here, behind its length."""
        count = self.number(0, bits=64)
        joined = self._read(self.start + _WORD_BYTES, count * _WORD_BYTES)
        return tuple(joined[place : place + _WORD_BYTES] for place in range(0, len(joined), _WORD_BYTES))

    def string(self) -> bytes:
        """Bytes that begin here, behind their length."""
        return self._read(self.start + _WORD_BYTES, self.number(0, bits=64))

    def _read(self, start: int, size: int) -> bytes:
        if start + size > len(self.data):
            raise CodecError("not a disclosure: it ends early")
        return self.data[start : start + size]


def dispute_from_abi(values: Sequence[Any]) -> Dispute:
    """`Dispute` from an ABI tuple. Raises `CodecError`."""
    opening, *rest = checked_fields("Dispute", values, 9)
    status, opened_at, closes_at, opener = checked_fields("Opening", opening, 4)
    joined, spent, demands, trace_root, prover, committed_at, cost, reward = rest
    return Dispute(
        status=checked_member(DisputeStatus, status),
        opened_at=checked_int(opened_at),
        closes_at=checked_int(closes_at),
        opener=checked_address(opener),
        joined_wei=checked_int(joined),
        spent_wei=checked_int(spent),
        open_demands=checked_int(demands),
        trace_root=checked_word(trace_root),
        prover=checked_address(prover),
        committed_at=checked_int(committed_at),
        proof_cost_gwei=checked_int(cost),
        reward_wei=checked_int(reward),
    )


def challenger_from_abi(values: Sequence[Any]) -> ChallengerState:
    """`Challenger` from an ABI tuple. Raises `CodecError`."""
    bond, locked, spent, commitment, committed_at, block, demands, claimed = checked_fields("Challenger", values, 8)
    return ChallengerState(
        bond_wei=checked_int(bond),
        locked_wei=checked_int(locked),
        spent_wei=checked_int(spent),
        commitment=checked_word(commitment),
        committed_at=checked_int(committed_at),
        committed_in_block=checked_int(block),
        open_demands=checked_int(demands),
        claimed=bool(claimed),
    )


def demand_from_abi(values: Sequence[Any]) -> Demand:
    """`Demand` from an ABI tuple. Raises `CodecError`."""
    due_at, price = checked_fields("Demand", values, 2)
    return Demand(due_at=checked_int(due_at), price_wei=checked_int(price))


def demand_id(result_id: ResultId, challenger: Address, target: Target) -> bytes:
    """The id that a challenger's demand has: keccak256(abi.encode(result id, challenger, target))."""
    return keccak(abi_encode(["bytes32", "address", TARGET_ABI], [result_id, challenger, target_to_abi(target)]))


def fault_commitment(result_id: ResultId, prover: Address, *, kind: int, value: int, index: int, salt: bytes) -> bytes:
    """What hides a fault until it is proven: keccak256(abi.encode(…)) over all of these.

    ``salt``: 32 bytes that nobody can guess. Raises `CodecError`.
    """
    types = ["bytes32", "address", "uint8", "uint32", "uint64", "bytes32"]
    return keccak(abi_encode(types, [result_id, prover, kind, value, index, checked_bytes(salt, size=32)]))
