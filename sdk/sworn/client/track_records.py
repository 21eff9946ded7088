"""What the chain's events say about operators: who has announced which model, and how well each has answered.

Counted from topics alone: payloads are not decoded, so that a million events take seconds.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache, lru_cache
from types import MappingProxyType
from typing import Any, Final

from eth_utils.address import to_checksum_address

from sworn import abi
from sworn.chain.gateway import Log
from sworn.errors import CodecError
from sworn.types import ZERO_ADDRESS, Address, ModelId, Offer

#: The order in which tallies are stored.
_PROPOSED, _FINALIZED, _REFUTED, _FAILED, _MISSED = range(5)
_ZERO_WORD: Final = bytes(32)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackRecord:
    """How an operator has answered requests for one model."""

    #: Results that it has sworn on chain.
    proposed: int
    #: Those that nobody refuted in time.
    finalized: int
    #: Those that were proven false.
    refuted: int
    #: Requests that it has answered with a signed failure.
    failed: int
    #: Requests that named it and expired without an answer.
    missed: int
    #: From request, or from its reopening, to the proposal; None without proposals.
    median_blocks: float | None
    #: Results of any model, on chain or not, for which it was convicted.
    disputes_lost: int
    #: Convictions for two results about one request.
    equivocations: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """One operator that has announced a model, with what stands behind it now; amounts in wei."""

    model_id: ModelId
    operator: Address
    offer: Offer
    registered: bool
    stake_wei: int
    #: In bonds and in unbonding.
    locked_wei: int
    free_wei: int
    #: Last expiry that any of its signers may sign, when the operator is leaving; None when it stays.
    not_after: int | None
    record: TrackRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Everything that has been counted up to a block. `count` changes it; `copy` first where others look at it."""

    #: Operators by model, in the order in which they first announced it, with the block of that.
    announced: dict[str, dict[str, int]] = field(default_factory=dict)
    #: Numbers by operator and model.
    numbers: dict[str, list[int]] = field(default_factory=dict)
    #: How often an answer took so many blocks, by operator and model.
    waits: dict[str, dict[str, int]] = field(default_factory=dict)
    #: Requests that can still be answered: model, block since when, named operator.
    open: dict[str, tuple[str, int, str]] = field(default_factory=dict)
    #: Results of convictions, by operator; each counts once, however many convict it.
    lost: dict[str, list[str]] = field(default_factory=dict)
    equivocations: dict[str, int] = field(default_factory=dict)

    def copy(self) -> Tally:
        """The same, to be changed."""
        return deepcopy(self)

    def count(self, logs: Iterable[Log]) -> None:
        """Adds events, in chain order."""
        kinds = _kinds()
        for log in logs:
            kind = kinds.get(log.topics[0]) if log.topics else None
            if kind is not None:
                _HANDLERS[kind](self, log)

    def operators(self, model_id: ModelId) -> tuple[Address, ...]:
        """Who has ever announced a model."""
        return tuple(map(Address, self.announced.get(model_id.hex(), ())))

    def models(self) -> tuple[ModelId, ...]:
        """Every model that somebody has announced."""
        return tuple(ModelId(bytes.fromhex(name)) for name in self.announced)

    def record(self, operator: Address, model_id: ModelId) -> TrackRecord:
        """How an operator has answered requests for a model."""
        key = _key(operator, model_id.hex())
        numbers = self.numbers.get(key, [0] * 5)
        return TrackRecord(
            proposed=numbers[_PROPOSED],
            finalized=numbers[_FINALIZED],
            refuted=numbers[_REFUTED],
            failed=numbers[_FAILED],
            missed=numbers[_MISSED],
            median_blocks=_median(self.waits.get(key, {})),
            disputes_lost=len(self.lost.get(operator, ())),
            equivocations=self.equivocations.get(operator, 0),
        )

    def dump(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "announced": self.announced,
            "numbers": self.numbers,
            "waits": self.waits,
            "open": {key: list(value) for key, value in self.open.items()},
            "lost": self.lost,
            "equivocations": self.equivocations,
        }

    @classmethod
    def load(cls, values: Mapping[str, Any]) -> Tally:
        """From JSON. Raises `CodecError`."""
        try:
            return cls(
                announced={str(key): _numbers(value) for key, value in values["announced"].items()},
                numbers={str(key): _five(value) for key, value in values["numbers"].items()},
                waits={str(key): _numbers(value) for key, value in values["waits"].items()},
                open={str(key): (str(m), int(b), str(o)) for key, (m, b, o) in values["open"].items()},
                lost={str(key): [str(item) for item in value] for key, value in values["lost"].items()},
                equivocations=_numbers(values["equivocations"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CodecError("not a tally") from error


def _bump(tally: Tally, operator: str, model: str, column: int) -> None:
    tally.numbers.setdefault(_key(operator, model), [0] * 5)[column] += 1


def _announced(tally: Tally, log: Log) -> None:
    operator, model = _account(log.topics[1]), log.topics[2].hex()
    tally.announced.setdefault(model, {}).setdefault(operator, log.block_number)


def _requested(tally: Tally, log: Log) -> None:
    tally.open[log.topics[1].hex()] = (log.topics[2].hex(), log.block_number, _account(log.topics[3]))


def _proposed(tally: Tally, log: Log) -> None:
    model, since, _ = tally.open.get(log.topics[1].hex(), ("", 0, ""))
    if model:
        operator = _account(log.topics[2])
        _bump(tally, operator, model, _PROPOSED)
        waits = tally.waits.setdefault(_key(operator, model), {})
        blocks = str(log.block_number - since)
        waits[blocks] = waits.get(blocks, 0) + 1


def _ended(tally: Tally, log: Log, column: int) -> None:
    model, _, _ = tally.open.pop(log.topics[1].hex(), ("", 0, ""))
    if model:
        _bump(tally, _account(log.topics[2]), model, column)


def _finalized(tally: Tally, log: Log) -> None:
    _ended(tally, log, _FINALIZED)


def _failed(tally: Tally, log: Log) -> None:
    _ended(tally, log, _FAILED)


def _reported(tally: Tally, log: Log) -> None:
    model, _, _ = tally.open.get(log.topics[1].hex(), ("", 0, ""))
    if model:
        _bump(tally, _account(log.topics[2]), model, _FAILED)


def _refuted(tally: Tally, log: Log) -> None:
    request = log.topics[1].hex()
    model, _, _ = tally.open.pop(request, ("", 0, ""))
    if model:
        _bump(tally, _account(log.topics[2]), model, _REFUTED)
        # Second word: whether others may answer now.
        if log.data[32:64] != _ZERO_WORD:
            tally.open[request] = (model, log.block_number, str(ZERO_ADDRESS))


def _expired(tally: Tally, log: Log) -> None:
    model, _, named = tally.open.pop(log.topics[1].hex(), ("", 0, ""))
    if model and named != ZERO_ADDRESS:
        _bump(tally, named, model, _MISSED)


def _barred(tally: Tally, log: Log) -> None:
    # The only word: whether the request has been refunded.
    if log.data[:32] != _ZERO_WORD:
        tally.open.pop(log.topics[1].hex(), None)


def _convicted(tally: Tally, log: Log) -> None:
    lost = tally.lost.setdefault(_account(log.topics[2]), [])
    if log.topics[1].hex() not in lost:
        lost.append(log.topics[1].hex())


def _equivocated(tally: Tally, log: Log) -> None:
    operator = _account(log.topics[1])
    tally.equivocations[operator] = tally.equivocations.get(operator, 0) + 1


#: Contract by its field in `Deployment`, interface, event, and what counts it.
_EVENTS: Final = (
    ("operator_registry", "IOperatorRegistry", "OfferChanged", _announced),
    ("oracle", "IInferenceOracle", "InferenceRequested", _requested),
    ("oracle", "IInferenceOracle", "ResultProposed", _proposed),
    ("oracle", "IInferenceOracle", "ResultFinalized", _finalized),
    ("oracle", "IInferenceOracle", "ResultRefuted", _refuted),
    ("oracle", "IInferenceOracle", "RequestFailed", _failed),
    ("oracle", "IInferenceOracle", "FailureReported", _reported),
    ("oracle", "IInferenceOracle", "RequestExpired", _expired),
    ("oracle", "IInferenceOracle", "OperatorBarred", _barred),
    ("dispute_game", "IDisputeGame", "FaultProven", _convicted),
    ("dispute_game", "IDisputeGame", "SilenceConvicted", _convicted),
    ("dispute_game", "IDisputeGame", "EquivocationProven", _equivocated),
)
_HANDLERS: Final = MappingProxyType({event: handler for _, _, event, handler in _EVENTS})
#: The contracts whose events say everything, and the one whose events say who has announced what.
ALL_CONTRACTS: Final = ("operator_registry", "oracle", "dispute_game")
OFFERS_ONLY: Final = ("operator_registry",)


def topics_of(contracts: tuple[str, ...]) -> tuple[bytes, ...]:
    """First topics of the events of some contracts that are counted."""
    return tuple(abi.interface(name).topic(event) for contract, name, event, _ in _EVENTS if contract in contracts)


@cache
def _kinds() -> Mapping[bytes, str]:
    return {abi.interface(name).topic(event): event for _, name, event, _ in _EVENTS}


def _numbers(value: Mapping[str, Any]) -> dict[str, int]:
    return {str(name): int(number) for name, number in value.items()}


def _five(value: list[Any]) -> list[int]:
    numbers = [int(item) for item in value]
    if len(numbers) != 5:
        raise ValueError("five numbers were expected")
    return numbers


def _key(operator: str, model: str) -> str:
    return f"{operator}|{model}"


@lru_cache(maxsize=1 << 16)
def _account(word: bytes) -> str:
    return str(to_checksum_address(word[12:]))


def _median(waits: Mapping[str, int]) -> float | None:
    total = sum(waits.values())
    if not total:
        return None
    middle = ((total - 1) // 2, total // 2)
    found: list[int] = []
    seen = 0
    for blocks in sorted(map(int, waits)):
        seen += waits[str(blocks)]
        found += [blocks for position in middle[len(found) :] if position < seen]
    return sum(found) / 2


def encoded(values: Mapping[str, Any]) -> bytes:
    """JSON as it is stored."""
    return json.dumps(values, separators=(",", ":")).encode()
