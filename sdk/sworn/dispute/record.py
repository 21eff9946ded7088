"""What the events of one dispute say, in chain order: who waits for what, and what has been shown to everybody."""

from __future__ import annotations

from collections.abc import Iterable

from sworn.codec.dispute_structs import decode_disclosure
from sworn.dispute.queries import DisputeEvent
from sworn.dispute.shown_trace import ShownTrace
from sworn.dispute.strategy import OpenDemand
from sworn.errors import CodecError, DisclosureInvalid
from sworn.types import Address, Part, Target

#: Parts of the trace; the others are of the model, of which every challenger has its own copy.
_OF_TRACE = frozenset({Part.VALUES, Part.NODES, Part.CHUNKS})


def demands_of(events: Iterable[DisputeEvent]) -> tuple[OpenDemand, ...]:
    """Demands that nobody has answered."""
    waiting: dict[bytes, OpenDemand] = {}
    for event in events:
        if event.name == "Demanded":
            waiting[event.arguments["demandId"]] = OpenDemand(
                challenger=Address(event.arguments["challenger"]),
                target=event.target,
                due_at=event.arguments["dueAt"],
            )
        elif event.name == "Disclosed":
            waiting.pop(event.arguments["demandId"], None)
    return tuple(waiting.values())


def asked_by(events: Iterable[DisputeEvent], account: Address) -> frozenset[Target]:
    """All that an account has demanded, answered or not."""
    return frozenset(
        event.target for event in events if event.name == "Demanded" and event.arguments["challenger"] == account
    )


def shown_in(events: Iterable[DisputeEvent], trace_root: bytes) -> ShownTrace:
    """All that has been shown of a trace, whoever demanded it.

    What the contract would not have taken is noted in ``refused``, and else passed over: a node that tells of it lies.
    """
    shown, targets = ShownTrace(trace_root), dict[bytes, Target]()
    for event in events:
        try:
            _take(event, shown, targets)
        except CodecError as error:
            # INVARIANT: nothing that somebody writes into the record keeps anybody from reading the rest of it.
            shown.refused.append(str(error))
    return shown


def _take(event: DisputeEvent, shown: ShownTrace, targets: dict[bytes, Target]) -> None:
    if event.name == "TraceCommitted" and event.arguments["dataRoots"]:
        shown.take_roots(event.arguments["dataRoots"])
    elif event.name == "Demanded":
        targets[event.arguments["demandId"]] = event.target
    elif event.name == "Disclosed":
        target = targets.get(event.arguments["demandId"])
        if target is None:
            raise DisclosureInvalid("a demand that nobody made was answered")
        if target.part in _OF_TRACE:
            shown.take(target, decode_disclosure(event.arguments["disclosure"]))
