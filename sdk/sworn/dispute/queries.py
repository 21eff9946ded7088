"""What can be read of disputes: each read as a call and the function that decodes its return data.

So they serve blocking and async gateways alike: ``query.decode(gateway.call(query.call))``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sworn.abi import interface
from sworn.chain.gateway import Call, Log, Topic
from sworn.codec.dispute_structs import challenger_from_abi, demand_from_abi, dispute_from_abi, target_from_abi
from sworn.types import Address, ChallengerState, Demand, Deployment, Dispute, Part, ResultId, Target

_Value = TypeVar("_Value")
#: Events about one dispute, in all of which the result id is the first topic.
DISPUTE_EVENTS = (
    "DisputeOpened",
    "DisputeJoined",
    "TraceCommitted",
    "Demanded",
    "Disclosed",
    "FaultCommitted",
    "FaultProven",
    "SilenceConvicted",
    "DisputeResolved",
    "ShareClaimed",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Query(Generic[_Value]):
    """A read."""

    call: Call
    decode: Callable[[bytes], _Value]


@dataclass(frozen=True, slots=True, kw_only=True)
class DisputeEvent:
    """Something that happened in a dispute; ``arguments`` by their names in `IDisputeGame`."""

    name: str
    result_id: ResultId
    arguments: dict[str, Any]
    block_number: int
    transaction_hash: bytes

    @property
    def target(self) -> Target:
        """What was demanded; for ``Demanded`` only."""
        return target_from_abi(self.arguments["target"])


class Queries:
    """Reads of one deployment's `DisputeGame`."""

    def __init__(self, deployment: Deployment) -> None:
        self._game = deployment.dispute_game

    def dispute(self, result_id: ResultId) -> Query[Dispute]:
        """Where a dispute stands."""
        return self._query(dispute_from_abi, "disputeOf", result_id)

    def challenger(self, result_id: ResultId, account: Address) -> Query[ChallengerState]:
        """A party to a dispute."""
        return self._query(challenger_from_abi, "challengerOf", result_id, account)

    def demand(self, demand_id: bytes) -> Query[Demand]:
        """A demand, by `sworn.codec.dispute_structs.demand_id`."""
        return self._query(demand_from_abi, "demandOf", demand_id)

    def challenge_bond(self, value_at_risk_wei: int) -> Query[int]:
        """The smallest bond of an opener at the current base fee, in wei."""
        return self._query(int, "challengeBondFor", value_at_risk_wei)

    def disclosure_price(self, part: Part) -> Query[int]:
        """What a demand costs at the current base fee, in wei."""
        return self._query(int, "disclosurePrice", int(part))

    def max_open_demands(self) -> Query[int]:
        """How many demands of one challenger may wait for answers."""
        return self._query(int, "MAX_OPEN_DEMANDS")

    def reward(self, account: Address) -> Query[int]:
        """What an account can withdraw, in wei."""
        return self._query(int, "rewardOf", account)

    def topics(self, *names: str, result_id: ResultId | None = None) -> tuple[Topic, ...]:
        """Topics of dispute events of these names (default: all), of one dispute if one is named."""
        game = interface("DisputeGame")
        signatures = [game.topic(name) for name in names or DISPUTE_EVENTS]
        return (signatures,) if result_id is None else (signatures, result_id)

    def event(self, log: Log) -> DisputeEvent:
        """A log of `topics` as an event. Raises `CodecError` for another log."""
        decoded = interface("DisputeGame").decode_log(log.topics, log.data)
        arguments = dict(decoded.arguments)
        return DisputeEvent(
            name=decoded.name,
            result_id=ResultId(arguments.pop("resultId")),
            arguments=arguments,
            block_number=log.block_number,
            transaction_hash=log.transaction_hash,
        )

    def _query(self, convert: Callable[[Any], _Value], function: str, *arguments: Any) -> Query[_Value]:
        game = interface("DisputeGame")
        call = Call(to=self._game, data=game.encode(function, *arguments))
        return Query(call=call, decode=lambda data: convert(game.decode(function, data)))
