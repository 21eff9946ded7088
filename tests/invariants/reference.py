"""The protocol once more, in plain Python: predicts what every call does, or the error by which it is refused.

Amounts are unbounded integers, bonds are listed one by one, and nothing is packed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sworn.codec.hashing import Domain, request_id, result_digest, result_of
from sworn.codec.trees import payload_root
from sworn.types import (
    ZERO_ADDRESS,
    ZERO_HASH,
    Address,
    Answer,
    Assurance,
    CallbackKind,
    FailureCode,
    Offer,
    Profile,
    Request,
    Result,
    Status,
)

NO_END = 2**40 - 1
NO_OFFER = Offer(active=False, price_wei=0, max_value_at_risk_wei=0, max_window_s=0, max_callback_gas=0)


class Refused(Exception):
    """The protocol refuses a call with the custom error ``name``."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def require(condition: bool, name: str) -> None:
    """Raises `Refused` unless the condition holds."""
    if not condition:
        raise Refused(name)


@dataclass(slots=True, kw_only=True)
class State:
    """A request's storage."""

    status: Status = Status.NONE
    pending: CallbackKind = CallbackKind.NONE
    round: int = 0
    has_barred: bool = False
    extension_s: int = 0
    proposed_at: int = 0
    tag: bytes = bytes(20)

    def reading(self) -> tuple[Any, ...]:
        """What `stateOf` returns."""
        kinds = (int(self.status), int(self.pending))
        return *kinds, self.round, self.has_barred, self.extension_s, self.proposed_at, self.tag


@dataclass(slots=True, kw_only=True)
class Operator:
    """An operator's account. ``bonds`` holds every locked bond by what it stands behind."""

    registered: bool = False
    leaving: bool = False
    stake_wei: int = 0
    earned_wei: int = 0
    unbonding_wei: int = 0
    release_at: int = 0
    cap: int = 0
    bonds: dict[object, int] = field(default_factory=dict)
    signers: dict[Address, int] = field(default_factory=dict)
    offers: dict[bytes, Offer] = field(default_factory=dict)

    @property
    def locked_wei(self) -> int:
        """Stake that backs something or is on its way out."""
        return sum(self.bonds.values()) + self.unbonding_wei

    @property
    def free_wei(self) -> int:
        """Stake that can back a new result."""
        return self.stake_wei - self.locked_wei

    def not_after(self, signer: Address) -> int:
        """Last expiry that a signer may sign."""
        end = self.signers.get(signer, 0)
        return min(end, self.cap) if self.leaving else end


@dataclass(slots=True, kw_only=True)
class Use:
    """A consumer's use of an off-chain result."""

    operator: Address
    compensate_to: Address
    bond_wei: int
    release_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sworn:
    """A statement, who signed it, and the request that it belongs to if any."""

    result: Result
    signer: Address
    request: Request | None


#: Whether a consumer's callback succeeds; what it does to the protocol meanwhile, it does to the ledger.
Callback = Callable[["Ledger", Address], bool]


class Ledger:
    """State and money of all five contracts."""

    def __init__(
        self,
        domain: Domain,
        *,
        parameters: Mapping[str, int],
        profiles: Mapping[bytes, Profile],
        callback: Callback,
    ) -> None:
        self.domain = domain
        self.parameters = parameters
        self.profiles = profiles
        self.callback = callback
        self.requests: dict[bytes, Request] = {}
        self.states: dict[bytes, State] = defaultdict(State)
        self.barred: set[tuple[bytes, Address]] = set()
        self.operators: dict[Address, Operator] = defaultdict(Operator)
        self.credits: dict[Address, int] = defaultdict(int)
        self.rewards: dict[Address, int] = defaultdict(int)
        self.uses: dict[tuple[bytes, Address], Use] = {}
        #: Every use that there ever was.
        self.used: dict[tuple[bytes, Address], None] = {}
        self.behind: dict[bytes, int] = defaultdict(int)
        self.convicted: dict[bytes, Address] = {}
        #: What each lie has cost so far, by request and operator or by off-chain result.
        self.paid: dict[object, int] = defaultdict(int)
        self.burnt_wei = 0
        self.now = 0

    def copy(self) -> Ledger:
        """A ledger in the same state."""
        other = Ledger(self.domain, parameters=self.parameters, profiles=self.profiles, callback=self.callback)
        other.requests = dict(self.requests)
        other.states.update((identity, replace(state)) for identity, state in self.states.items())
        other.barred = set(self.barred)
        for address, account in self.operators.items():
            other.operators[address] = replace(
                account, bonds=dict(account.bonds), signers=dict(account.signers), offers=dict(account.offers)
            )
        other.credits.update(self.credits)
        other.rewards.update(self.rewards)
        other.uses = dict(self.uses)
        other.used = dict(self.used)
        other.behind.update(self.behind)
        other.convicted = dict(self.convicted)
        other.paid.update(self.paid)
        other.burnt_wei, other.now = self.burnt_wei, self.now
        return other

    # Requests

    def id_of(self, request: Request) -> bytes:
        """A request's id."""
        return request_id(request, chain_id=self.domain.chain_id, oracle=self.domain.oracle)

    def result_of(self, request: Request, answer: Answer) -> Result:
        """The statement that an answer makes."""
        return result_of(request, answer, chain_id=self.domain.chain_id, oracle=self.domain.oracle)

    def bond_for(self, value_at_risk_wei: int) -> int:
        """The bond behind a result."""
        return max(2 * value_at_risk_wei, self.parameters["minBondWei"])

    def ask(self, request: Request) -> None:
        """`InferenceOracle.request`."""
        latest = self.now + self.parameters["maxLifetimeSeconds"]
        require(self.now <= request.deadline <= latest, "DeadlineOutOfRange")
        identity = self.id_of(request)
        require(self.states[identity] == State(), "RequestExists")
        self.requests[identity] = request
        self.states[identity].status = Status.REQUESTED

    def propose(self, request: Request, answer: Answer, signer: Address) -> None:
        """`InferenceOracle.propose`."""
        state = self._in_status(request, Status.REQUESTED)
        require(self.now <= request.deadline + state.extension_s, "DeadlinePassed")
        self._propose(request, answer, signer)

    def propose_many(self, requests: list[Request], answers: list[Answer], signers: list[Address]) -> None:
        """`InferenceOracle.proposeMany`; a refusal leaves the ledger half-way, so work on a copy."""
        for request, answer, signer in zip(requests, answers, signers, strict=True):
            state = self.states[self.id_of(request)]
            if state.status is Status.REQUESTED and self.now <= request.deadline + state.extension_s:
                self._propose(request, answer, signer)

    def _propose(self, request: Request, answer: Answer, signer: Address) -> None:
        identity = self.id_of(request)
        state = self.states[identity]
        named = request.operator != ZERO_ADDRESS
        require(not named or answer.operator == request.operator, "OperatorNotNamed")
        require((identity, answer.operator) not in self.barred, "OperatorBarredFromRequest")
        profile = self.profiles.get(request.model_id, Profile.NONE)
        require(profile is not Profile.NONE, "ModelNotRegistered")
        require(profile is not Profile.BOUNDED or answer.trace_root != ZERO_HASH, "TraceRootMissing")
        operator = self.operators[answer.operator]
        self._authorized(answer.operator, signer, request.deadline)
        require(named or operator.offers.get(request.model_id, NO_OFFER).active, "OfferMissing")
        bond_wei = self.bond_for(request.value_at_risk_wei)
        require(bond_wei <= operator.free_wei, "FreeStakeTooLow")
        operator.bonds[identity] = bond_wei
        state.status, state.pending = Status.PROPOSED, CallbackKind.NONE
        state.proposed_at = self.now
        state.tag = result_digest(self.result_of(request, answer), self.domain)[:20]
        if request.assurance is Assurance.PROVISIONAL:
            self.tell(request, CallbackKind.PROVISIONAL)

    def fail(self, request: Request, operator: Address, code: FailureCode, signer: Address) -> None:
        """`InferenceOracle.fail`."""
        state = self._in_status(request, Status.REQUESTED)
        named = request.operator != ZERO_ADDRESS
        require(not named or operator == request.operator, "OperatorNotNamed")
        require(request.deadline <= self.operators[operator].not_after(signer), "SignerNotAuthorized")
        if not named:
            return
        state.status, state.pending = Status.FAILED, CallbackKind.NONE
        state.tag = bytes(19) + bytes([code])
        self.credits[request.refund_to] += request.fee_wei
        self.tell(request, CallbackKind.FAILED)

    def finalize(self, request: Request, answer: Answer) -> None:
        """`InferenceOracle.finalize`."""
        state = self._in_status(request, Status.PROPOSED)
        require(self.now > state.proposed_at + request.window_s, "WindowOpen")
        require(self._matches(state, request, answer), "ResultMismatch")
        self._finalize(request, answer)

    def finalize_many(self, requests: list[Request], answers: list[Answer]) -> None:
        """`InferenceOracle.finalizeMany`."""
        for request, answer in zip(requests, answers, strict=True):
            state = self.states[self.id_of(request)]
            due = state.status is Status.PROPOSED and self.now > state.proposed_at + request.window_s
            if due and self._matches(state, request, answer):
                self._finalize(request, answer)

    def _finalize(self, request: Request, answer: Answer) -> None:
        identity = self.id_of(request)
        state, operator = self.states[identity], self.operators[answer.operator]
        state.status, state.pending = Status.FINALIZED, CallbackKind.NONE
        del operator.bonds[identity]
        operator.earned_wei += request.fee_wei
        self.tell(request, CallbackKind.FINAL)

    def expire(self, request: Request) -> None:
        """`InferenceOracle.expire`."""
        state = self._in_status(request, Status.REQUESTED)
        require(self.now > request.deadline + state.extension_s, "DeadlineNotPassed")
        state.status = Status.EXPIRED
        self.credits[request.refund_to] += request.fee_wei

    def retry_callback(self, request: Request, answer: Answer) -> None:
        """`InferenceOracle.retryCallback`."""
        state = self.states[self.id_of(request)]
        require(state.pending is not CallbackKind.NONE, "CallbackNotPending")
        if state.pending in (CallbackKind.PROVISIONAL, CallbackKind.FINAL):
            require(self._matches(state, request, answer), "ResultMismatch")
        require(self.callback(self, request.requester), "CallbackStillFailing")
        state.pending = CallbackKind.NONE

    def withdraw(self, account: Address) -> int:
        """`InferenceOracle.withdrawFor`: what is paid out."""
        require(self.credits[account] != 0, "CreditMissing")
        return self.credits.pop(account)

    def _in_status(self, request: Request, status: Status) -> State:
        state = self.states[self.id_of(request)]
        require(state.status is status, "StatusUnexpected")
        return state

    def _matches(self, state: State, request: Request, answer: Answer) -> bool:
        return result_digest(self.result_of(request, answer), self.domain)[:20] == state.tag

    def _authorized(self, operator: Address, signer: Address, expiry: int) -> None:
        end = self.operators[operator].not_after(signer)
        require(end != 0 and expiry <= end, "SignerNotAuthorized")

    def tell(self, request: Request, kind: CallbackKind) -> None:
        """Calls the consumer back, and remembers the callback if it fails."""
        if request.callback_gas and not self.callback(self, request.requester):
            self.states[self.id_of(request)].pending = kind

    # Operators

    def register(self, operator: Address, value_wei: int) -> None:
        """`OperatorRegistry.register`."""
        account = self.operators[operator]
        has_left = account.leaving and account.unbonding_wei == 0
        require(not account.registered or has_left, "OperatorAlreadyRegistered")
        account.registered, account.leaving = True, False
        account.stake_wei += value_wei
        account.unbonding_wei = account.release_at = account.cap = 0

    def add_stake(self, operator: Address, value_wei: int) -> None:
        """`OperatorRegistry.addStake`."""
        self._registered(operator)
        require(value_wei != 0, "AmountInvalid")
        self.operators[operator].stake_wei += value_wei

    def authorize(self, operator: Address, signer: Address) -> None:
        """`OperatorRegistry.authorizeSigner`."""
        self._registered(operator).signers[signer] = NO_END

    def revoke(self, operator: Address, signer: Address) -> None:
        """`OperatorRegistry.revokeSigner`."""
        account = self._registered(operator)
        end = self.now + self.parameters["maxLifetimeSeconds"]
        require(account.signers.get(signer, 0) > end, "SignerInvalid")
        account.signers[signer] = end

    def offer(self, operator: Address, model_id: bytes, offer: Offer) -> None:
        """`OperatorRegistry.setOffer`."""
        self._registered(operator).offers[model_id] = offer

    def unbond(self, operator: Address, amount_wei: int) -> None:
        """`OperatorRegistry.unbond`."""
        account = self._registered(operator)
        require(account.unbonding_wei == 0, "UnbondingPending")
        if amount_wei == 2**256 - 1:
            amount_wei = account.free_wei
        require(amount_wei != 0, "AmountInvalid")
        require(amount_wei <= account.free_wei, "FreeStakeTooLow")
        names = ("maxLifetimeSeconds", "tailSeconds", "maxWindowSeconds", "maxDisputeSeconds")
        if amount_wei == account.stake_wei and not account.leaving:
            account.leaving = True
            account.cap = self.now + self.parameters["maxLifetimeSeconds"]
        account.unbonding_wei = amount_wei
        account.release_at = self.now + sum(self.parameters[name] for name in names)

    def cancel_unbonding(self, operator: Address) -> None:
        """`OperatorRegistry.cancelUnbonding`."""
        account = self.operators[operator]
        require(account.unbonding_wei != 0, "UnbondingMissing")
        account.leaving = False
        account.unbonding_wei = account.release_at = account.cap = 0

    def withdraw_stake(self, operator: Address) -> int:
        """`OperatorRegistry.withdrawStake`: what is paid out."""
        account = self.operators[operator]
        require(self.now >= account.release_at, "UnbondingNotReleased")
        require(account.unbonding_wei != 0, "UnbondingMissing")
        paid_wei, account.unbonding_wei = account.unbonding_wei, 0
        account.stake_wei -= paid_wei
        return paid_wei

    def withdraw_earnings(self, operator: Address) -> int:
        """`OperatorRegistry.withdrawEarnings`: what is paid out."""
        account = self.operators[operator]
        require(account.earned_wei != 0, "EarningsMissing")
        paid_wei, account.earned_wei = account.earned_wei, 0
        return paid_wei

    def _registered(self, operator: Address) -> Operator:
        require(self.operators[operator].registered, "OperatorNotRegistered")
        return self.operators[operator]

    # Off-chain results

    def use(self, sworn: Sworn, output: bytes, value_at_risk_wei: int, consumer: Address, victim: Address) -> None:
        """`SignedResults.use`."""
        result = sworn.result
        latest = self.now + self.parameters["maxLifetimeSeconds"]
        require(self.now <= result.expiry <= latest, "ExpiryOutOfRange")
        profile = self.profiles.get(result.model_id, Profile.NONE)
        require(profile in (Profile.EXACT, Profile.BOUNDED), "ProfileNotProvable")
        require(profile is not Profile.BOUNDED or result.trace_root != ZERO_HASH, "ResultTraceMissing")
        require(payload_root(output) == result.output_root, "OutputMismatch")
        identity = result_digest(result, self.domain)
        require(identity not in self.convicted, "ResultConvicted")
        operator = self.operators[result.operator]
        bond_wei = self.bond_for(value_at_risk_wei)
        most_wei = self.bond_for(operator.offers.get(result.model_id, NO_OFFER).max_value_at_risk_wei)
        require(self.behind[identity] + bond_wei <= most_wei, "ResultExhausted")
        self._authorized(result.operator, sworn.signer, result.expiry)
        require(operator.offers.get(result.model_id, NO_OFFER).active, "OfferMissing")
        require(bond_wei <= operator.free_wei, "FreeStakeTooLow")
        self.behind[identity] += bond_wei
        key = (identity, consumer)
        self.used[key] = None
        before = self.uses[key].bond_wei if key in self.uses else 0
        operator.bonds[key] = before + bond_wei
        release_at = result.expiry + self.parameters["tailSeconds"]
        self.uses[key] = Use(
            operator=result.operator, compensate_to=victim, bond_wei=before + bond_wei, release_at=release_at
        )

    def release(self, result_id: bytes, consumer: Address) -> None:
        """`SignedResults.release`."""
        key = (result_id, consumer)
        require(key in self.uses, "UseMissing")
        require(self.now > self.uses[key].release_at, "UseNotReleased")
        require(result_id not in self.convicted, "ResultConvicted")
        del self.operators[self.uses.pop(key).operator].bonds[key]
