"""A deployment with its people: who asks, who answers, and short words for what they do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, NamedTuple

import numpy as np
from tests.support.accounts import Account
from tests.support.chain import Chain, Contract, Statement, TransactionReceipt
from tests.support.node import TRANSACTION_GAS
from tests.support.system import DAY, ETHER, System

from sworn.codec.hashing import failure_digest, request_id, result_digest, result_of
from sworn.codec.structs import request_params_to_abi, request_state_from_abi
from sworn.codec.tensors import encode_payload
from sworn.codec.trees import payload_root
from sworn.types import (
    ZERO_ADDRESS,
    ZERO_HASH,
    Address,
    Answer,
    Assurance,
    Failure,
    FailureCode,
    Model,
    ModelId,
    Offer,
    Profile,
    Request,
    RequestId,
    RequestState,
    Result,
)

STAKE_WEI = 10 * ETHER
FEE_WEI = ETHER // 1000
VALUE_AT_RISK_WEI = ETHER // 20
BOND_WEI = 2 * VALUE_AT_RISK_WEI
WINDOW_S = 600
LIFETIME_S = 3600

#: 32 float32: 128 bytes of data.
INPUT = encode_payload([np.arange(1, 33, dtype=np.float32)])
#: What an off-chain result may hold at most.
OFFER = Offer(
    active=True, price_wei=FEE_WEI, max_value_at_risk_wei=ETHER, max_window_s=7 * DAY, max_callback_gas=2_000_000
)


def make_output(value: float = 1.0) -> bytes:
    """A payload of 16 float32, 64 bytes of data, that differs by ``value``."""
    return encode_payload([np.full(16, value, dtype=np.float32)])


def make_model(profile: Profile, *, tag: int = 1) -> Model:
    """A model that can be registered, different by ``tag``."""
    root = ZERO_HASH if profile is Profile.SIGNED else bytes([tag]) * 32
    return Model(
        version=1,
        profile=profile,
        artifact_hash=bytes([tag]) * 32,
        program_root=root,
        weights_root=root,
        io_hash=bytes([tag]) * 32,
        limits_hash=root,
    )


class OperatorAccount(NamedTuple):
    """What `OperatorRegistry.accountOf` returns."""

    registered: bool
    stake_wei: int
    locked_wei: int
    earned_wei: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """Who acts. Signers are keys of their own: an operator's owner address never signs results."""

    requester: Account
    operator: Account
    rival: Account
    challenger: Account
    stranger: Account
    signers: Mapping[Address, Account]
    models: Mapping[Profile, ModelId]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Factories for records, and the usual moves."""

    system: System
    cast: Cast
    _salts: count[int] = field(default_factory=lambda: count(1))

    @property
    def chain(self) -> Chain:
        """The chain on which this plays."""
        return self.system.chain

    def make_request(self, *, profile: Profile = Profile.EXACT, **changes: Any) -> Request:
        """A request of the requester to the named operator, different from all before by its salt."""
        request = Request(
            model_id=self.cast.models[profile],
            input_root=payload_root(INPUT),
            requester=self.cast.requester.address,
            operator=self.cast.operator.address,
            refund_to=self.cast.requester.address,
            fee_wei=FEE_WEI,
            value_at_risk_wei=VALUE_AT_RISK_WEI,
            callback_gas=200_000,
            window_s=WINDOW_S,
            deadline=self.chain.now + LIFETIME_S,
            assurance=Assurance.FINAL,
            salt=next(self._salts).to_bytes(32),
        )
        return replace(request, **changes)

    def make_answer(
        self, value: float = 1.0, *, operator: Account | None = None, trace_root: bytes = ZERO_HASH
    ) -> Answer:
        """An answer whose output differs by ``value``."""
        author = operator or self.cast.operator
        return Answer(operator=author.address, trace_root=trace_root, output=make_output(value))

    def make_offchain_result(self, value: float = 1.0, *, profile: Profile = Profile.EXACT, **changes: Any) -> Result:
        """A result that answers no request, usable for an hour."""
        result = Result(
            request_id=RequestId(ZERO_HASH),
            model_id=self.cast.models[profile],
            input_root=payload_root(INPUT),
            output_root=payload_root(make_output(value)),
            trace_root=ZERO_HASH,
            operator=self.cast.operator.address,
            expiry=self.chain.now + LIFETIME_S,
        )
        return replace(result, **changes)

    def result_of(self, request: Request, answer: Answer) -> Result:
        """The statement that an answer makes here."""
        domain = self.system.domain
        return result_of(request, answer, chain_id=domain.chain_id, oracle=domain.oracle)

    def id_of(self, request: Request) -> RequestId:
        """The id that a request has here."""
        domain = self.system.domain
        return request_id(request, chain_id=domain.chain_id, oracle=domain.oracle)

    def digest_of(self, request: Request, answer: Answer) -> bytes:
        """The result id of an answer to a request."""
        return result_digest(self.result_of(request, answer), self.system.domain)

    def sign(self, result: Result, *, signer: Account | None = None) -> bytes:
        """The signature of the operator's own signer, or another, under a result."""
        key = signer or self.cast.signers[result.operator]
        return key.sign(result_digest(result, self.system.domain))

    def sign_result(self, request: Request, answer: Answer, *, signer: Account | None = None) -> bytes:
        """The signature under an answer to a request."""
        return self.sign(self.result_of(request, answer), signer=signer)

    def sign_failure(self, request: Request, code: FailureCode, *, operator: Account | None = None) -> bytes:
        """The signature under a failure."""
        author = (operator or self.cast.operator).address
        failure = Failure(request_id=self.id_of(request), operator=author, code=code)
        return self.cast.signers[author].sign(failure_digest(failure, self.system.domain))

    def swear(self, request: Request, answer: Answer) -> Statement:
        """An answer as a signed statement."""
        return self.swear_to(self.result_of(request, answer))

    def swear_to(self, result: Result) -> Statement:
        """A result as a signed statement."""
        return Statement(result=result, signature=self.sign(result))

    def send_request(
        self, request: Request, *, via: Contract | None = None, payload: bytes = INPUT
    ) -> TransactionReceipt:
        """Sends a request, from a `Puppet` if one is given."""
        arguments = (request_params_to_abi(request), payload)
        oracle, payer = self.system.oracle, self.cast.requester
        if via is None:
            return oracle.send("request", *arguments, by=payer, value_wei=request.fee_wei)
        return via.send("execute", oracle, oracle.encode("request", *arguments), by=payer, value_wei=request.fee_wei)

    def ask(self, *, via: Contract | None = None, **changes: Any) -> Request:
        """Makes and sends a request."""
        if via is not None:
            changes = {"requester": via.address} | changes
        request = self.make_request(**changes)
        self.send_request(request, via=via)
        return request

    def ask_anyone(self, **changes: Any) -> Request:
        """Makes and sends a request that any operator with an offer may answer."""
        return self.ask(operator=ZERO_ADDRESS, **changes)

    def propose(
        self,
        request: Request,
        answer: Answer | None = None,
        *,
        signature: bytes | None = None,
        by: Account | None = None,
        gas: int = TRANSACTION_GAS,
    ) -> TransactionReceipt:
        """Proposes an answer; a stranger relays it unless somebody else does."""
        answer = answer or self.make_answer()
        signature = self.sign_result(request, answer) if signature is None else signature
        oracle, relayer = self.system.oracle, by or self.cast.stranger
        return oracle.send("propose", request, answer, signature, by=relayer, gas=gas)

    def close_window(self, request: Request) -> None:
        """Travels to the first second in which the proposed result can be finalized."""
        self.chain.travel(to=self.state_of(request).proposed_at + request.window_s + 1)

    def finalize(
        self, request: Request, answer: Answer | None = None, *, by: Account | None = None, gas: int = TRANSACTION_GAS
    ) -> TransactionReceipt:
        """Finalizes now; a stranger does unless somebody else does."""
        arguments = (request, answer or self.make_answer())
        return self.system.oracle.send("finalize", *arguments, by=by or self.cast.stranger, gas=gas)

    def complete(self, request: Request, answer: Answer | None = None) -> TransactionReceipt:
        """Proposes, waits for the window, finalizes."""
        self.propose(request, answer)
        self.close_window(request)
        return self.finalize(request, answer)

    def expire(self, request: Request) -> TransactionReceipt:
        """Travels past the effective deadline and expires the request."""
        latest = request.deadline + self.state_of(request).extension_s
        self.chain.travel(to=max(self.chain.now, latest + 1))
        return self.system.oracle.send("expire", request, by=self.cast.stranger)

    def fail(
        self, request: Request, code: FailureCode = FailureCode.BAD_INPUT, *, operator: Account | None = None
    ) -> TransactionReceipt:
        """Relays a signed failure."""
        author = operator or self.cast.operator
        signature = self.sign_failure(request, code, operator=author)
        return self.system.oracle.send("fail", request, author, code, signature, by=self.cast.stranger)

    def convict(
        self,
        first: Statement,
        second: Statement,
        *,
        requests: tuple[Request, Request],
        by: Account | None = None,
    ) -> TransactionReceipt:
        """Proves equivocation; the challenger does unless somebody else does."""
        arguments = (first, requests[0], second, requests[1])
        return self.system.dispute_game.send("proveEquivocation", *arguments, by=by or self.cast.challenger)

    def convict_over(
        self, request: Request, first: Answer, second: Answer, *, by: Account | None = None
    ) -> TransactionReceipt:
        """Proves that two answers were sworn to one request."""
        statements = (self.swear(request, first), self.swear(request, second))
        return self.convict(*statements, requests=(request, request), by=by)

    def state_of(self, request: Request) -> RequestState:
        """Where a request stands on chain."""
        return request_state_from_abi(self.system.oracle.call("stateOf", self.id_of(request)))

    def account_of(self, operator: Account | Contract) -> OperatorAccount:
        """Stake, bonds and earnings of an operator."""
        return OperatorAccount(*self.system.operator_registry.call("accountOf", operator))

    def credit_of(self, account: Account | Contract) -> int:
        """Refunds that an account can withdraw, in wei."""
        return int(self.system.oracle.call("creditOf", account))

    def reward_of(self, account: Account | Contract | Address) -> int:
        """Rewards and compensations that an account can withdraw, in wei."""
        return int(self.system.dispute_game.call("rewardOf", account))


def set_scene(system: System, accounts: tuple[Account, ...]) -> Scene:
    """Registers models and operators on a fresh deployment. Needs ten accounts; the first has deployed."""
    requester, operator, rival, challenger, stranger = accounts[1:6]
    signers = {operator.address: accounts[8], rival.address: accounts[9]}
    models: dict[Profile, ModelId] = {}
    for profile in (Profile.EXACT, Profile.BOUNDED, Profile.SIGNED):
        receipt = system.model_registry.send("register", make_model(profile, tag=profile), by=stranger)
        models[profile] = ModelId(receipt.returned)
    registry = system.operator_registry
    for owner in (operator, rival):
        registry.send("register", "https://operator.example", by=owner, value_wei=STAKE_WEI)
        registry.send("authorizeSigner", signers[owner.address], by=owner)
        for model_id in models.values():
            registry.send("setOffer", model_id, OFFER, by=owner)
    cast = Cast(
        requester=requester,
        operator=operator,
        rival=rival,
        challenger=challenger,
        stranger=stranger,
        signers=signers,
        models=models,
    )
    return Scene(system=system, cast=cast)
