"""A dispute as its parties see it: short words for every move, and traces that can be shown piece by piece."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from eth_abi.abi import encode
from tests.support.accounts import Account
from tests.support.chain import Contract, TransactionReceipt
from tests.support.scene import Scene, make_model, make_output
from tests.support.system import DISPUTE_PARAMETERS, ETHER

from sworn import types
from sworn.codec.dispute_structs import encode_disclosure
from sworn.codec.hashing import result_digest
from sworn.codec.trees import chunk_levels, data_root, keccak
from sworn.dispute.disclosure import show
from sworn.model.commitment import trace_root
from sworn.types import (
    ZERO_ADDRESS,
    ZERO_HASH,
    Address,
    Answer,
    Assurance,
    ModelId,
    Part,
    Profile,
    Request,
    RequestId,
    Result,
)

BOND_WEI: Final = ETHER // 1000
SALT: Final = b"\x5a" * 32
MATURITY_S: Final = 60
MATURITY_BLOCKS: Final = 5
#: Version, profile and five hashes.
_MODEL_BYTES: Final = 2 + 1 + 5 * 32

#: Where a call ignores its request.
NO_REQUEST: Final = Request(
    model_id=ModelId(ZERO_HASH),
    input_root=ZERO_HASH,
    requester=ZERO_ADDRESS,
    operator=ZERO_ADDRESS,
    refund_to=ZERO_ADDRESS,
    fee_wei=0,
    value_at_risk_wei=0,
    callback_gas=0,
    window_s=0,
    deadline=0,
    assurance=Assurance.FINAL,
    salt=ZERO_HASH,
)


#: Part, value, level, index.
Target = tuple[Part, int, int, int]
ROOT_TARGET: Final[Target] = (Part.VALUES, 0, 0, 0)


class ShownTrace:
    """The values of a run, and what their operator shows of them."""

    def __init__(self, values: Sequence[bytes]) -> None:
        self.values = tuple(values)
        self.data_roots = tuple(data_root(value) for value in values)
        self.lengths = tuple(map(len, values))
        self.root = trace_root(self.data_roots)

    def levels(self, value: int) -> Sequence[bytes]:
        """The levels of a value's chunk tree."""
        return chunk_levels(self.values[value])

    def read(self, value: int, start: int, stop: int) -> bytes:
        """Bytes of a value."""
        return self.values[value][start:stop]

    def show(self, target: Target, **changes: Any) -> bytes:
        """The ABI encoding of the disclosure for a target; ``changes`` replace fields."""
        part, value, level, index = target
        wanted = types.Target(part=part, value=value, level=level, index=index)
        return encode_disclosure(replace(show(self, wanted), **changes))


@dataclass(frozen=True, slots=True, kw_only=True)
class Court:
    """One result under challenge, and everybody's moves."""

    scene: Scene
    result: Result
    request: Request = NO_REQUEST

    @property
    def game(self) -> Contract:
        """The contract."""
        return self.scene.system.dispute_game

    @property
    def result_id(self) -> bytes:
        """What the dispute is kept under."""
        return result_digest(self.result, self.scene.system.domain)

    @property
    def state(self) -> dict[str, Any]:
        """The dispute as stored."""
        names = (
            *("status", "opened_at", "closes_at", "opener", "joined_wei", "spent_wei", "open_demands", "trace_root"),
            *("prover", "committed_at", "proof_cost_gwei", "reward_wei"),
        )
        opening, *rest = self.game.call("disputeOf", self.result_id)
        return dict(zip(names, (*opening, *rest), strict=True))

    @property
    def ends_at(self) -> int:
        """Last second of the dispute."""
        return int(self.game.call("endsAt", self.result_id))

    def parameter(self, name: str) -> int:
        """A parameter of the deployment."""
        return DISPUTE_PARAMETERS[name]

    def open(self, *, by: Account, bond_wei: int = BOND_WEI, signature: bytes | None = None) -> TransactionReceipt:
        """Challenges the result."""
        result = self.result
        if result.request_id == ZERO_HASH:
            proof = self.scene.sign(result) if signature is None else signature
            return self.game.send("challengeOffchain", result, proof, by=by, value_wei=bond_wei)
        claim = (result.operator, result.output_root, result.trace_root)
        return self.game.send("challenge", self.request, *claim, by=by, value_wei=bond_wei)

    def join(self, *, by: Account, bond_wei: int = BOND_WEI) -> TransactionReceipt:
        """Joins the challengers."""
        return self.game.send("join", self.result_id, by=by, value_wei=bond_wei)

    def sworn_with(self, trace_root: bytes) -> bytes:
        """The operator's signature under the same result with a trace."""
        return self.scene.sign(replace(self.result, trace_root=trace_root))

    def commit_trace(
        self, trace: ShownTrace, *, signature: bytes | None = None, inline: bool = False
    ) -> TransactionReceipt:
        """The operator's trace, relayed by a stranger."""
        proof = self.sworn_with(trace.root) if signature is None else signature
        by = self.scene.cast.stranger
        if inline:
            return self.game.send("commitTraceRoots", self.result, list(trace.data_roots), proof, by=by)
        return self.game.send("commitTrace", self.result, trace.root, proof, by=by)

    def price(self, part: Part) -> int:
        """What a demand costs in the next transaction."""
        return int(self.game.call("disclosurePrice", part))

    def demand(self, target: Target, *, by: Account, price_wei: int | None = None) -> TransactionReceipt:
        """Pays to see a part of the trace."""
        paid = 2 * self.price(target[0]) if price_wei is None else price_wei
        return self.game.send("demand", self.result, target, by=by, value_wei=paid)

    def disclose(self, target: Target, shown: bytes, *, to: Account) -> TransactionReceipt:
        """Answers a demand; a stranger relays."""
        return self.game.send("disclose", self.result, to, target, shown, by=self.scene.cast.stranger)

    def finding(self, *, trace_root: bytes, kind: int = 1, value: int = 1, index: int = 0, **changes: Any) -> bytes:
        """A proof that the stub of the referee believes."""
        result = replace(self.result, **changes)
        statement = b"".join((result.model_id, result.input_root, result.output_root, trace_root))
        digest = keccak(b"\x0b" + statement)
        where = value.to_bytes(4) + index.to_bytes(8)
        return b"\x01" + bytes([kind]) + bytes(_MODEL_BYTES) + statement + digest + where

    def commitment(self, *, by: Account, kind: int = 1, value: int = 1, index: int = 0, salt: bytes = SALT) -> bytes:
        """What hides a fault."""
        kinds = ["bytes32", "address", "uint8", "uint32", "uint64", "bytes32"]
        return keccak(encode(kinds, [self.result_id, by.address, kind, value, index, salt]))

    def commit_fault(self, *, by: Account, **fault: Any) -> TransactionReceipt:
        """Commits to a fault."""
        return self.game.send("commitFault", self.result_id, self.commitment(by=by, **fault), by=by)

    def ripen(self) -> None:
        """Lets a commitment made just now become ripe: blocks, then seconds."""
        chain, start = self.scene.chain, self.scene.chain.now - 1
        registry, stranger = self.scene.system.model_registry, self.scene.cast.stranger
        for _ in range(MATURITY_BLOCKS):
            # Registered already: a block, and nothing else.
            registry.send("register", make_model(Profile.EXACT), by=stranger)
        chain.travel(to=max(chain.now, start + MATURITY_S))

    def prove(
        self, *, by: Account, trace_root: bytes, proof: bytes | None = None, salt: bytes = SALT
    ) -> TransactionReceipt:
        """Proves a fault."""
        shown = self.finding(trace_root=trace_root) if proof is None else proof
        return self.game.send("proveFault", self.result, self.request, shown, salt, by=by)

    def convict(self, *, by: Account, trace_root: bytes) -> TransactionReceipt:
        """Commits, waits, proves."""
        self.commit_fault(by=by)
        self.ripen()
        return self.prove(by=by, trace_root=trace_root)

    def convict_silence(
        self, *, challenger: Account | Address = ZERO_ADDRESS, target: Target = ROOT_TARGET
    ) -> TransactionReceipt:
        """A stranger says that the operator has not answered."""
        arguments = (self.result, self.request, challenger, target)
        return self.game.send("convictSilence", *arguments, by=self.scene.cast.stranger)

    def resolve(self) -> TransactionReceipt:
        """A stranger ends the dispute in the operator's favour."""
        return self.game.send("resolve", self.result, self.request, by=self.scene.cast.stranger)

    def claim(self, account: Account) -> TransactionReceipt:
        """A stranger has a challenger's share credited."""
        return self.game.send("claim", self.result_id, account, by=self.scene.cast.stranger)

    def reward_of(self, account: Account | Address) -> int:
        """What an account can withdraw."""
        return int(self.game.call("rewardOf", account))

    def use(self) -> TransactionReceipt:
        """The requester uses the off-chain result: a bond is locked behind it."""
        user = self.scene.cast.requester
        arguments = (self.result, make_output(), self.scene.sign(self.result), 0, user)
        return self.scene.system.signed_results.send("use", *arguments, by=user)

    def settle(self) -> None:
        """Travels past the last second in which somebody could take the prover's place."""
        self.scene.chain.travel(to=self.state["committed_at"] + self.parameter("revealSeconds") + 1)


def try_result(scene: Scene, **changes: Any) -> Court:
    """A proposed result of the operator, ready to be challenged."""
    answer_changes = {key: changes.pop(key) for key in ("trace_root",) if key in changes}
    request = scene.ask(**changes)
    answer: Answer = scene.make_answer(**answer_changes)
    scene.propose(request, answer)
    return Court(scene=scene, result=scene.result_of(request, answer), request=request)


def try_offchain_result(scene: Scene, **changes: Any) -> Court:
    """An off-chain result of the operator, ready to be challenged."""
    return Court(scene=scene, result=scene.make_offchain_result(**changes))


def request_id_of(court: Court) -> RequestId:
    """The request that the result answers."""
    return court.result.request_id
