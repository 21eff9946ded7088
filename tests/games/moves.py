"""What anyone can do in a dispute and around it, as data."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from eth_abi.abi import encode
from tests.games.subjects import Where
from tests.support.court import ROOT_TARGET, Target

from sworn.codec.trees import keccak
from sworn.types import ZERO_ADDRESS, ZERO_HASH, Address

#: Stands for any error: what is wrong with the payload is for others to say exactly.
ANY: Final = "any error"


class Action(Enum):
    """A kind of move."""

    OPEN = auto()
    JOIN = auto()
    COMMIT_TRACE = auto()
    DEMAND = auto()
    DISCLOSE = auto()
    COMMIT_FAULT = auto()
    PROVE = auto()
    CONVICT_SILENCE = auto()
    RESOLVE = auto()
    CLAIM = auto()
    WITHDRAW = auto()
    #: Two contradicting statements of the operator are shown.
    EQUIVOCATE = auto()
    #: The bond behind a use of a convicted off-chain result is taken.
    SLASH_USE = auto()
    #: What an off-chain lie has not cost yet is taken.
    COLLECT = auto()
    #: The bond behind a use is freed.
    RELEASE = auto()
    FINALIZE = auto()
    EXPIRE = auto()
    #: The same answer is proposed again.
    PROPOSE = auto()
    #: The operator starts to take out what stake it can.
    UNBOND = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """The block in which a move is made."""

    time: int
    number: int
    base_fee_wei: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One transaction. What an action does not need is ignored."""

    action: Action
    by: Address
    value_wei: int = 0
    #: Whose demand, share, reward or use.
    account: Address = ZERO_ADDRESS
    target: Target = ROOT_TARGET
    #: Signature, disclosure, or proof.
    payload: bytes = field(default=b"", repr=False)
    #: The root that a trace is committed with; for a disclosure, the root that it belongs to.
    root: bytes = ZERO_HASH
    #: Given where data roots are committed with the trace.
    roots: tuple[bytes, ...] = field(default=(), repr=False)
    commitment: bytes = ZERO_HASH
    salt: bytes = ZERO_HASH
    #: What a proof is about, and the statement that it contradicts.
    where: Where = (0, 0, 0)
    statement: bytes = ZERO_HASH
    #: Errors that the payload deserves by itself, however the dispute stands.
    flaws: frozenset[str] = frozenset()
    #: Whether another request is passed than the one that was answered.
    other_request: bool = False

    def __str__(self) -> str:
        shown = {name: _short(getattr(self, name)) for name in ("value_wei", "account", "root", "commitment", "where")}
        if self.action in (Action.DEMAND, Action.DISCLOSE, Action.CONVICT_SILENCE):
            shown["target"] = str(tuple(map(int, self.target)))
        extras = [*sorted(self.flaws), *(["another request"] if self.other_request else [])]
        said = " ".join(f"{name}={value}" for name, value in shown.items() if value)
        return f"{self.by[-4:]} {self.action.name} {said} {' '.join(extras)}".rstrip()


def _short(value: object) -> str:
    match value:
        case bytes():
            return value.hex()[:8] if any(value) else ""
        case str():
            return value[-4:] if int(value, 16) else ""
        case tuple():
            return str(value) if any(value) else ""
        case _:
            return str(value or "")


def hidden(result_id: bytes, prover: Address, where: Where, salt: bytes) -> bytes:
    """The commitment to a fault."""
    kinds = ["bytes32", "address", "uint8", "uint32", "uint64", "bytes32"]
    return keccak(encode(kinds, [result_id, prover, *where, salt]))
