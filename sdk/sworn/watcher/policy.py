"""Which requests are answered: terms of the models served, guards, profit. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from sworn.codec.tensors import reference_of
from sworn.engine.protocol import IdentifiedModel, RunLimits
from sworn.errors import CodecError
from sworn.types import ZERO_ADDRESS, Address, ModelId, Offer, Profile, Request, Schema
from sworn.watcher.jobs import Job

#: Gas of `propose` and `finalize` for small payloads without callback, rounded up from the committed gas snapshots.
PROPOSE_GAS = 90_000
FINALIZE_GAS = 70_000
#: Calldata (EIP-7623 floor of 40 gas per non-zero byte) and event data (8 gas) of one output byte; proposed once,
#: passed again to finalize.
OUTPUT_BYTE_GAS = 40 + 8 + 40


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedModel:
    """A model, the terms on which it is served, and what a run of it may use."""

    identified: IdentifiedModel = field(repr=False)
    price_wei: int
    max_value_at_risk_wei: int
    max_window_s: int
    max_callback_gas: int
    limits: RunLimits

    @property
    def model_id(self) -> ModelId:
        """The id, computed from the artifact."""
        return self.identified.model_id

    @property
    def schema(self) -> Schema:
        """Names, dtypes and shapes of inputs and outputs."""
        return self.identified.schema

    @property
    def profile(self) -> Profile:
        """What its results promise."""
        return self.identified.model.profile

    @property
    def traced(self) -> bool:
        """Whether every run is kept, value by value, so that its result can be defended."""
        return self.profile is Profile.BOUNDED


@dataclass(frozen=True, slots=True, kw_only=True)
class Guards:
    """What is not answered although a model's terms would allow it."""

    min_profit_wei: int = 0
    max_input_bytes: int = 1 << 20
    min_time_left_s: int = 30
    #: Empty = everybody.
    allow_requesters: frozenset[Address] = frozenset()
    deny_requesters: frozenset[Address] = frozenset()
    #: Hosts from which inputs are fetched; empty = none are.
    input_hosts: frozenset[str] = frozenset()
    post_failures: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What the chain says at the moment of deciding; amounts in wei."""

    now: int
    deadline: int
    gas_price_wei: int
    free_stake_wei: int
    bond_wei: int
    #: The operator's published terms; they bind for requests that name nobody.
    offer: Offer
    barred: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a request is not answered; ``for_now`` = it may be later."""

    reason: str
    for_now: bool = False


def refusal(
    job: Job, *, model: ServedModel | None, guards: Guards, operator: Address, circumstances: Circumstances
) -> Refusal | None:
    """The first reason not to answer, or None. Whatever cannot change is asked before whatever can."""
    request = job.request
    if model is None:
        return Refusal(reason="the model is not served here")
    if request.operator not in (operator, ZERO_ADDRESS):
        return Refusal(reason=f"the request names {request.operator}")
    if circumstances.barred:
        return Refusal(reason="a conviction bars this operator from the request")
    reason = (
        _outside_terms(request, model) or _outside_guards(job, guards) or _unprofitable(request, guards, circumstances)
    )
    if reason is not None:
        return Refusal(reason=reason)
    late = _too_late(circumstances, guards)
    if late is not None:
        # The refutation of somebody else's result would move the deadline.
        return Refusal(reason=late, for_now=True)
    if request.operator == ZERO_ADDRESS and not circumstances.offer.active:
        return Refusal(reason="the request is open and this operator has no active offer for the model", for_now=True)
    if circumstances.free_stake_wei < circumstances.bond_wei:
        reason = (
            f"the bond of {circumstances.bond_wei} wei exceeds the free stake of {circumstances.free_stake_wei} wei"
        )
        return Refusal(reason=reason, for_now=True)
    return None


def estimated_gas(request: Request) -> int:
    """Gas that answering will use, the consumer's callbacks included."""
    callbacks = 2 if request.assurance else 1
    return PROPOSE_GAS + FINALIZE_GAS + callbacks * request.callback_gas + 64 * OUTPUT_BYTE_GAS


def _outside_terms(request: Request, model: ServedModel) -> str | None:
    if request.fee_wei < model.price_wei:
        return f"the fee of {request.fee_wei} wei is below the price of {model.price_wei} wei"
    if request.value_at_risk_wei > model.max_value_at_risk_wei:
        return f"the value at risk of {request.value_at_risk_wei} wei exceeds {model.max_value_at_risk_wei} wei"
    if request.window_s > model.max_window_s:
        return f"the window of {request.window_s} s exceeds {model.max_window_s} s"
    if request.callback_gas > model.max_callback_gas:
        return f"the callback gas of {request.callback_gas} exceeds {model.max_callback_gas}"
    return None


def _outside_guards(job: Job, guards: Guards) -> str | None:
    requester = job.request.requester
    if requester in guards.deny_requesters:
        return "the requester is on the deny list"
    if guards.allow_requesters and requester not in guards.allow_requesters:
        return "the requester is not on the allow list"
    if len(job.input) > guards.max_input_bytes:
        return f"the input of {len(job.input)} bytes exceeds {guards.max_input_bytes}"
    if not guards.input_hosts and _is_reference(job.input):
        return "inputs by reference are not fetched here"
    return None


def _is_reference(payload: bytes) -> bool:
    try:
        return reference_of(payload) is not None
    except CodecError:
        return False


def _too_late(circumstances: Circumstances, guards: Guards) -> str | None:
    left = circumstances.deadline - circumstances.now
    if left < guards.min_time_left_s:
        return f"only {left} s are left until the deadline, less than {guards.min_time_left_s} s"
    return None


def _unprofitable(request: Request, guards: Guards, circumstances: Circumstances) -> str | None:
    cost = estimated_gas(request) * circumstances.gas_price_wei
    if request.fee_wei - cost < guards.min_profit_wei:
        return (
            f"the fee of {request.fee_wei} wei minus an estimated gas cost of {cost} wei "
            f"is below the profit wanted, {guards.min_profit_wei} wei"
        )
    return None
