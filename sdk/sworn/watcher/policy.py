"""Which requests are answered: terms of the models served, guards, profit. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from sworn.codec.tensors import reference_of
from sworn.engine.protocol import IdentifiedModel, RunLimits
from sworn.errors import CodecError
from sworn.types import ZERO_ADDRESS, Address, ModelId, Offer, Profile, Request, Schema
from sworn.watcher.jobs import Job

#: Gas of `propose` and `finalize` for small payloads without callback, each in a transaction of its own, rounded up
#: from the committed gas snapshots; and the part of it that all who share a transaction pay together.
PROPOSE_GAS = 90_000
PROPOSE_SHARED_GAS = 45_000
FINALIZE_GAS = 70_000
FINALIZE_SHARED_GAS = 40_000
#: Calldata (EIP-7623 floor of 40 gas per non-zero byte) and event data (8 gas) of one output byte; proposed once,
#: passed again to finalize.
PROPOSE_BYTE_GAS = 40 + 8
FINALIZE_BYTE_GAS = 40
_OUTPUT_BYTES = 64
#: A request that would not pay at this fraction of the price of gas is not waited for.
HOPELESS_DIVISOR = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedModel:
    """A model, the terms on which it is served, and what a run of it may use."""

    identified: IdentifiedModel = field(repr=False)
    price_wei: int
    #: Besides, for each byte of the input as it was emitted.
    price_per_byte_wei: int = 0
    max_value_at_risk_wei: int
    max_window_s: int
    max_callback_gas: int
    limits: RunLimits

    def price_of(self, input_bytes: int) -> int:
        """Smallest fee for an input of so many bytes."""
        return self.price_wei + self.price_per_byte_wei * input_bytes

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
    """What is not answered although a model's terms would allow it. Amounts in wei; None = no limit."""

    min_profit_wei: int = 0
    #: Set aside from every fee for the disputes that some results lead to.
    dispute_reserve_wei: int = 0
    #: How many results usually share a transaction; costs are reckoned with it.
    expected_batch: int = 1
    max_input_bytes: int = 1 << 20
    min_time_left_s: int = 30
    #: Who asks: accounts, or contracts that consume results. Empty = everybody.
    allow_requesters: frozenset[Address] = frozenset()
    deny_requesters: frozenset[Address] = frozenset()
    #: Models that are served but not now.
    deny_models: frozenset[bytes] = frozenset()
    #: Hosts from which inputs are fetched; empty = none are.
    input_hosts: frozenset[str] = frozenset()
    post_failures: bool = True
    #: Bonds of all results that are not final yet, those included that are being computed.
    max_bonds_wei: int | None = None
    #: The same, and the number of such results, for one requester.
    max_requester_bonds_wei: int | None = None
    max_requester_open: int | None = None
    #: Balance of the key that sends: below the first somebody is told, at the second or below nothing new is taken.
    min_balance_wei: int = 0
    pause_balance_wei: int = 0
    #: Runs that broke a limit or took their worker down: of one input, and of one requester within a day.
    max_input_crashes: int = 2
    max_requester_crashes: int = 10
    #: How long what is over that is left alone.
    quarantine_s: float = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """What the operator has promised besides the request that is looked at; amounts in wei."""

    #: Bonds that the chain holds already.
    locked_wei: int = 0
    #: Bonds of what is being computed, or is sworn and not yet proposed.
    promised_wei: int = 0
    #: Of the request's requester alone: bonds of both kinds, and how many.
    requester_wei: int = 0
    requester_open: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What is so at the moment of deciding; amounts in wei."""

    now: int
    deadline: int
    gas_price_wei: int
    #: What gas has cost for a while: the price for what is sent later. None = as now.
    usual_gas_price_wei: int | None = None
    free_stake_wei: int
    bond_wei: int
    #: The operator's published terms; they bind for requests that name nobody.
    offer: Offer
    barred: bool
    exposure: Exposure = Exposure()
    #: Why nothing new is taken at all, if so.
    paused: str = ""
    #: Why this model, input or requester is left alone, if so.
    quarantined: str = ""


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
    reason = _outside_terms(job, model) or _outside_guards(job, guards) or _hopeless(request, guards, circumstances)
    if reason is not None:
        return Refusal(reason=reason)
    # Whatever follows may pass: the price of gas falls, results become final, and the refutation of somebody else's
    # result moves the deadline.
    reason = (
        circumstances.paused
        or circumstances.quarantined
        or _too_late(circumstances, guards)
        or _unoffered(request, circumstances)
        or _over_exposed(guards, circumstances)
        or _unprofitable(request, guards, cost_wei(request, guards, circumstances))
    )
    return Refusal(reason=reason, for_now=True) if reason else None


def cost_wei(request: Request, guards: Guards, circumstances: Circumstances, *, divisor: int = 1) -> int:
    """What answering will cost: gas now to propose, gas later to finalize, and the reserve for disputes.

    ``divisor`` lowers the price of gas.
    """
    usual = circumstances.usual_gas_price_wei
    later = circumstances.gas_price_wei if usual is None else usual
    gas_wei = (
        propose_gas(request, guards.expected_batch) * circumstances.gas_price_wei
        + finalize_gas(request, guards.expected_batch) * later
    )
    return gas_wei // divisor + guards.dispute_reserve_wei


def propose_gas(request: Request, batch: int = 1) -> int:
    """Gas of one proposal among ``batch``, the consumer's provisional callback included."""
    callback = request.callback_gas if request.assurance else 0
    each = PROPOSE_GAS - PROPOSE_SHARED_GAS + _shared(PROPOSE_SHARED_GAS, batch)
    return each + callback + _OUTPUT_BYTES * PROPOSE_BYTE_GAS


def finalize_gas(request: Request, batch: int = 1) -> int:
    """Gas of one finalization among ``batch``, the consumer's final callback included."""
    each = FINALIZE_GAS - FINALIZE_SHARED_GAS + _shared(FINALIZE_SHARED_GAS, batch)
    return each + request.callback_gas + _OUTPUT_BYTES * FINALIZE_BYTE_GAS


def _shared(gas: int, batch: int) -> int:
    return -(-gas // max(batch, 1))


def _outside_terms(job: Job, model: ServedModel) -> str | None:
    request, price_wei = job.request, model.price_of(len(job.input))
    if request.fee_wei < price_wei:
        return f"the fee of {request.fee_wei} wei is below the price of {price_wei} wei"
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
    if job.request.model_id in guards.deny_models:
        return "the model is on the deny list"
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


def _unoffered(request: Request, circumstances: Circumstances) -> str | None:
    if request.operator == ZERO_ADDRESS and not circumstances.offer.active:
        return "the request is open and this operator has no active offer for the model"
    return None


def _over_exposed(guards: Guards, circumstances: Circumstances) -> str | None:
    bond_wei, exposure = circumstances.bond_wei, circumstances.exposure
    # INVARIANT: no more is sworn than the stake covers: a run whose bond is promised to another one is for nothing.
    free_wei = circumstances.free_stake_wei - exposure.promised_wei
    if bond_wei > free_wei:
        return f"the bond of {bond_wei} wei exceeds the free stake of {max(free_wei, 0)} wei"
    bonds_wei = exposure.locked_wei + exposure.promised_wei + bond_wei
    if guards.max_bonds_wei is not None and bonds_wei > guards.max_bonds_wei:
        return f"bonds at risk would be {bonds_wei} wei, more than {guards.max_bonds_wei} wei"
    theirs_wei = exposure.requester_wei + bond_wei
    if guards.max_requester_bonds_wei is not None and theirs_wei > guards.max_requester_bonds_wei:
        return f"bonds for this requester would be {theirs_wei} wei, more than {guards.max_requester_bonds_wei} wei"
    if guards.max_requester_open is not None and exposure.requester_open >= guards.max_requester_open:
        return f"this requester has {exposure.requester_open} results under way, as many as allowed"
    return None


def _hopeless(request: Request, guards: Guards, circumstances: Circumstances) -> str | None:
    # Strangers may ask for free as often as they like: what no fall of the price would make worth its gas is not looked
    # at again and again.
    return _unprofitable(request, guards, cost_wei(request, guards, circumstances, divisor=HOPELESS_DIVISOR))


def _unprofitable(request: Request, guards: Guards, cost: int) -> str | None:
    if request.fee_wei - cost < guards.min_profit_wei:
        return (
            f"the fee of {request.fee_wei} wei minus an estimated cost of {cost} wei "
            f"is below the profit wanted, {guards.min_profit_wei} wei"
        )
    return None
