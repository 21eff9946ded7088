"""What a request asks for, and who serves it: decisions without I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Literal

from sworn.client.records import Cause, Obstacle, OperatorOffer
from sworn.engine.identification import ProfileLike
from sworn.errors import ConfigurationError, QuoteError
from sworn.types import DEFAULT_PROFILE, ZERO_ADDRESS, Address, Assurance, InputShapes, ModelId, Request

#: Any operator with an offer for the model may answer.
ANY: Final = "any"
OperatorLike = Address | str | None
AssuranceLike = Assurance | Literal["final", "provisional"]

DEFAULT_DEADLINE_S: Final = 600
#: A request from an account with a short input; each byte of input adds the calldata floor of EIP-7623.
REQUEST_GAS: Final = 62_000
GAS_PER_INPUT_BYTE: Final = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The part of a request on which an operator decides."""

    model_id: ModelId
    value_at_risk_wei: int
    window_s: int
    callback_gas: int
    deadline: int
    #: What the requester pays at most; None = whatever the operator asks.
    max_fee_wei: int | None
    #: What the operator must be able to lock.
    bond_wei: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestOptions:
    """Everything that a caller may choose about a request; see `Client.request`."""

    #: Of a model that is named by its file.
    profile: ProfileLike = DEFAULT_PROFILE
    input_shapes: InputShapes | None = None
    assurance: Assurance = Assurance.FINAL
    window_s: int | None = None
    deadline: float | datetime | None = None
    callback: int = False
    max_fee_wei: int | None = None
    fee_wei: int | None = None
    operator: OperatorLike = None
    refund_to: str | None = None
    value_at_risk_wei: int = 0
    salt: bytes | None = None
    input_uri: str | None = None


def assurance_of(value: AssuranceLike) -> Assurance:
    """The enum member for a word. Raises `ConfigurationError`."""
    if isinstance(value, Assurance):
        return value
    try:
        return Assurance[value.upper()]
    except (KeyError, AttributeError):
        raise ConfigurationError(f"assurance is 'final' or 'provisional', not {value!r}") from None


def callback_gas_of(value: int) -> int:
    """Gas for the callback; False means none. Raises `ConfigurationError` for True, which names no amount."""
    if value is True:
        raise ConfigurationError("callback takes the gas to give to it, for example callback=200_000")
    if value < 0:
        raise ConfigurationError("callback gas cannot be negative")
    return int(value)


def deadline_of(value: float | datetime | None, *, now: int) -> int:
    """Unix seconds for a deadline given as seconds from now or as a datetime. Raises `ConfigurationError`."""
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ConfigurationError("a deadline needs a time zone")
        return int(value.timestamp())
    seconds = DEFAULT_DEADLINE_S if value is None else value
    if seconds <= 0:
        raise ConfigurationError("a deadline lies in the future: give a positive number of seconds")
    return now + int(seconds)


def window_of(value: int | None, parameters: Mapping[str, int]) -> int:
    """Seconds of the challenge window; by default the shortest that the deployment permits."""
    return parameters.get("minWindowSeconds", 0) if value is None else value


def assessed(offer: OperatorOffer, terms: Terms) -> OperatorOffer:
    """The offer with everything that speaks against it on these terms."""
    return replace(offer, obstacles=tuple(_obstacles(offer, terms)))


def ranked(offers: Iterable[OperatorOffer]) -> tuple[OperatorOffer, ...]:
    """Viable ones first, then by price, then by free stake, then by address, so that everyone ranks alike."""
    return tuple(sorted(offers, key=lambda o: (not o.viable, o.offer.price_wei, -o.free_stake_wei, o.operator.lower())))


def chosen(offers: tuple[OperatorOffer, ...], *, model_id: ModelId, operator: OperatorLike) -> OperatorOffer:
    """The best viable offer, or the named operator's. Raises `QuoteError` with every operator's reasons."""
    if operator not in (None, ANY):
        offers = tuple(offer for offer in offers if offer.operator == operator)
        if not offers:
            raise QuoteError(f"operator {operator} has never offered this model")
    if not offers:
        raise QuoteError(
            f"no operator offers the model 0x{model_id.hex()}: a file has another id in every profile and with every "
            "input shape, so name those that an operator offers"
        )
    best = offers[0]
    if not best.viable:
        reasons = "; ".join(f"{offer.operator}: {_joined(offer.obstacles)}" for offer in offers)
        raise QuoteError(f"no operator serves this request: {reasons}")
    return best


def requested_operator(operator: OperatorLike, best: Address) -> Address:
    """The operator that the request names."""
    return ZERO_ADDRESS if operator == ANY else best


def terms_of(request: Request, *, bond_wei: int) -> Terms:
    """The terms of a request that has been made."""
    return Terms(
        model_id=request.model_id,
        value_at_risk_wei=request.value_at_risk_wei,
        window_s=request.window_s,
        callback_gas=request.callback_gas,
        deadline=request.deadline,
        max_fee_wei=request.fee_wei,
        bond_wei=bond_wei,
    )


def _obstacles(candidate: OperatorOffer, terms: Terms) -> Iterable[Obstacle]:
    offer = candidate.offer
    if not candidate.registered:
        yield Obstacle(cause=Cause.OPERATOR_UNREGISTERED, text="it is not registered")
    if candidate.barred:
        yield Obstacle(cause=Cause.OPERATOR_BARRED, text="a conviction has barred it from this request")
    if candidate.not_after is not None and candidate.not_after < terms.deadline:
        text = f"it is leaving and signs nothing that expires after {candidate.not_after}"
        yield Obstacle(cause=Cause.OPERATOR_LEAVING, text=text)
    if not offer.active:
        yield Obstacle(cause=Cause.OFFER_INACTIVE, text="it has no active offer for the model")
    elif terms.max_fee_wei is not None and terms.max_fee_wei < offer.price_wei:
        text = f"it asks {offer.price_wei} wei, the fee is {terms.max_fee_wei} wei"
        yield Obstacle(cause=Cause.FEE_TOO_LOW, text=text)
    if offer.active:
        yield from _limits(candidate, terms)
    if candidate.free_stake_wei < terms.bond_wei:
        text = f"its free stake is {candidate.free_stake_wei} wei, the bond is {terms.bond_wei} wei"
        yield Obstacle(cause=Cause.FREE_STAKE_TOO_LOW, text=text)


def _limits(candidate: OperatorOffer, terms: Terms) -> Iterable[Obstacle]:
    offer = candidate.offer
    limits = (
        (Cause.VALUE_AT_RISK_TOO_HIGH, "value at risk", terms.value_at_risk_wei, offer.max_value_at_risk_wei, "wei"),
        (Cause.WINDOW_TOO_LONG, "challenge window", terms.window_s, offer.max_window_s, "s"),
        (Cause.CALLBACK_GAS_TOO_HIGH, "callback gas", terms.callback_gas, offer.max_callback_gas, "gas"),
    )
    for cause, what, asked, most, unit in limits:
        if asked > most:
            yield Obstacle(cause=cause, text=f"it accepts a {what} of at most {most} {unit}, asked are {asked} {unit}")


def _joined(obstacles: tuple[Obstacle, ...]) -> str:
    return ", ".join(obstacle.text for obstacle in obstacles)
