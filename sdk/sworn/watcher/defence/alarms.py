"""Says, early and then louder, that an answer is due: from what is stored, so that it works without any node."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from structlog.typing import FilteringBoundLogger

from sworn.types import ResultId
from sworn.watcher.defence.records import Defence, OpenDemand

#: Percent of the time that are left when an alarm is raised.
_WARNED_AT: Final = 50
_CRITICAL_AT: Final = 10


class Alarm(IntEnum):
    """How near a deadline is."""

    NONE = 0
    #: Half of the time has passed.
    HALF = 1
    #: A tenth of the time is left.
    TENTH = 2
    #: It has passed: the operator can be convicted.
    MISSED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Duty:
    """Something that is owed until a second, after which silence convicts."""

    key: bytes
    result_id: ResultId
    #: What is owed.
    what: str
    since: int
    until: int


def duties(defences: Iterable[Defence], demands: Iterable[OpenDemand], *, disclose_s: int) -> list[Duty]:
    """Everything that is owed in open disputes."""
    owed = [
        Duty(
            key=defence.result_id,
            result_id=defence.result_id,
            what="trace",
            since=defence.opened_at,
            until=defence.answer_by,
        )
        for defence in defences
        if defence.opened_at is not None and defence.answer_by is not None
    ]
    return owed + [
        Duty(
            key=demand.demand_id,
            result_id=demand.result_id,
            what="disclosure",
            since=demand.due_at - disclose_s,
            until=demand.due_at,
        )
        for demand in demands
    ]


def alarm_of(duty: Duty, now: int) -> Alarm:
    """How near the end of a duty is."""
    left, whole = duty.until - now, max(duty.until - duty.since, 1)
    if left < 0:
        return Alarm.MISSED
    if 100 * left <= _CRITICAL_AT * whole:
        return Alarm.TENTH
    return Alarm.HALF if 100 * left <= _WARNED_AT * whole else Alarm.NONE


class Alarms:
    """Logs every alarm once per process."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        self._log = log
        self._raised: dict[bytes, Alarm] = {}

    def look(self, owed: Iterable[Duty], now: int) -> None:
        """Raises what has not been raised yet; what is not owed any more is forgotten."""
        raised: dict[bytes, Alarm] = {}
        for duty in owed:
            alarm, before = alarm_of(duty, now), self._raised.get(duty.key, Alarm.NONE)
            raised[duty.key] = max(alarm, before)
            if alarm > before:
                self._raise(duty, alarm, now)
        self._raised = raised

    def _raise(self, duty: Duty, alarm: Alarm, now: int) -> None:
        facts = {"result_id": duty.result_id, "what": duty.what, "until": duty.until, "left_s": duty.until - now}
        if alarm is Alarm.MISSED:
            self._log.critical("deadline_missed", **facts)
        elif alarm is Alarm.TENTH:
            self._log.critical("deadline_near", **facts)
        else:
            self._log.warning("deadline_near", **facts)
