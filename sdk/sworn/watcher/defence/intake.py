"""From logs of the dispute game to disputes over our own results, in step with the cursor."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from structlog.typing import FilteringBoundLogger

from sworn.chain.follower import Follower
from sworn.chain.gateway import Log
from sworn.dispute.queries import DisputeEvent, Queries
from sworn.errors import CodecError
from sworn.types import Address, ResultId
from sworn.watcher.defence.records import Defence, OpenDemand
from sworn.watcher.defence.store import DefenceStore, News

#: Events that are followed; those that only concern challengers are not.
FOLLOWED: Final = (
    "DisputeOpened",
    "TraceCommitted",
    "Demanded",
    "Disclosed",
    "FaultProven",
    "SilenceConvicted",
    "DisputeResolved",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DisputeIntake:
    """Follows disputes and remembers those over results of our operator."""

    follower: Follower
    queries: Queries
    store: DefenceStore
    operator: Address
    log: FilteringBoundLogger
    checkpoint: Callable[[str], None]

    def follow(self) -> bool:
        """One step; whether it brought the cursor forward or back. Raises `ChainError` and `StoreError`."""
        history = self.store.history()
        step = self.follower.step(history)
        if step.history == history and step.rewound_to is None:
            return not step.caught_up
        self.checkpoint("dispute_logs_fetched")
        news = self._news(step.logs)
        # INVARIANT: the cursor never passes a dispute or a demand that is not stored: both move in one transaction.
        self.store.advance(history=step.history, news=news, rewound_to=step.rewound_to)
        self.checkpoint("dispute_logs_stored")
        for defence in news.opened:
            self.log.warning("result_challenged", result_id=defence.result_id, block=defence.block_number)
        for demand in news.demanded:
            self.log.info("part_demanded", result_id=demand.result_id, demand_id=demand.demand_id, due_at=demand.due_at)
        return True

    def _news(self, logs: Iterable[Log]) -> News:
        events = [event for log in logs if (event := self._event(log)) is not None]
        opened = [
            event
            for event in events
            if event.name == "DisputeOpened" and event.arguments["operator"].lower() == self.operator.lower()
        ]
        ours = self.store.known() | {event.result_id for event in opened}
        events = [event for event in events if event.result_id in ours]
        return News(
            opened=tuple(Defence(result_id=event.result_id, block_number=event.block_number) for event in opened),
            demanded=tuple(_demand(event) for event in events if event.name == "Demanded"),
            answered=tuple(
                (event.arguments["demandId"], event.block_number) for event in events if event.name == "Disclosed"
            ),
            touched=frozenset(ResultId(event.result_id) for event in events),
        )

    def _event(self, log: Log) -> DisputeEvent | None:
        try:
            return self.queries.event(log)
        except CodecError as error:
            self.log.error("dispute_log_unreadable", block=log.block_number, reason=str(error))
            return None


def _demand(event: DisputeEvent) -> OpenDemand:
    return OpenDemand(
        demand_id=event.arguments["demandId"],
        result_id=event.result_id,
        challenger=event.arguments["challenger"],
        target=event.target,
        due_at=event.arguments["dueAt"],
        block_number=event.block_number,
    )
