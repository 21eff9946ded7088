"""What becomes of a job, a claim or a defence whose step fails: its trouble stays its own, whoever it belongs to.

Three services work through many subjects in one loop. What ails the node or the database ails all of them and ends the
turn; everything else is put off, or given up, for one subject alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Generic, TypeVar

from structlog.typing import FilteringBoundLogger

from sworn.errors import StoreError

Subject = TypeVar("Subject")
Given = TypeVar("Given")


#: Seconds for which a subject that meets only trouble with the node is tried at every poll: as long as it takes until
#: another replica leads, and a person is told.
PATIENCE_S: Final = 120.0
#: The longest that it is put off for then; and the silence after which nothing is held against it any more.
LONGEST_S, FORGIVEN_S = 60.0, 300.0


class Care(Enum):
    """What is done about a trouble."""

    #: Nothing is stored, and the turn ends: everything meets it, or nothing can be stored.
    EVERYBODYS = "everybodys"
    #: Put off until the next poll, and the turn ends: the others would meet the same node.
    NODE = "node"
    #: Put off until the next poll; it does not count.
    SOON = "soon"
    #: Put off for longer with every trouble in a row.
    LATER = "later"
    #: Given up until a person has looked at it.
    PARK = "park"


def attempted(step: Callable[[], Given]) -> Given | Exception:
    """What a step gives, or what it raised: in a group one subject's trouble is dealt with when the others are done."""
    try:
        return step()
    except Exception as error:  # noqa: BLE001 -- `Containment.treat_all` tells what it was
        return error


@dataclass(frozen=True, slots=True, kw_only=True)
class Remedy:
    """What is done about errors of a class, and how it is told."""

    care: Care
    #: Name of a log entry; empty = whoever puts it off tells.
    event: str = ""
    level: str = "error"


class Patience:
    """How long subjects are put off for trouble with the node, which may be their own: others may be served by it.

    Some nodes answer one call for ever as if they had failed. What makes such a call is tried ever more rarely, or
    every turn would end with it; not so rarely that it would be late once the node is well.
    """

    def __init__(self, *, poll_interval_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._poll_interval_s, self._clock = poll_interval_s, clock
        #: Since when each has met nothing else, when it did last, and how long it was put off.
        self._met: dict[Hashable, tuple[float, float, float]] = {}

    def wait_s(self, subject: Hashable) -> float:
        """Seconds for which a subject is put off that has met such trouble once more."""
        now = self._clock()
        self._met = {name: met for name, met in self._met.items() if 0 <= now - met[1] < FORGIVEN_S}
        since, _, waited_s = self._met.get(subject, (now, now, self._poll_interval_s))
        wait_s = self._poll_interval_s
        if now - since >= PATIENCE_S:
            wait_s = max(min(2 * waited_s, LONGEST_S), self._poll_interval_s)
        self._met[subject] = since, now, wait_s
        return wait_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Containment(Generic[Subject]):
    """Runs steps of subjects and deals with what they raise."""

    #: The first class that fits counts, so subclasses come first. What fits none is a crash.
    remedies: Sequence[tuple[type[Exception], Remedy]]
    #: Name of the log entry for an error that nobody expected.
    crashed: str
    #: Puts a subject off: for some seconds, or with None for longer each time.
    postpone: Callable[[Subject, Exception, float | None], object]
    #: Gives a subject up if it may be given up for this; whether it was.
    park: Callable[[Subject, Exception], bool]
    #: What names a subject in a log.
    facts: Callable[[Subject], Mapping[str, Any]]
    poll_interval_s: float
    log: FilteringBoundLogger

    def run(self, subject: Subject, step: Callable[[], bool]) -> bool:
        """The step's answer; False, or what parking changed, when it failed. Raises what is everybody's."""
        try:
            return step()
        except Exception as error:  # noqa: BLE001 -- `treat` tells what it was
            return self.treat(subject, error)

    def treat(self, subject: Subject, error: Exception) -> bool:
        """Deals with what a step of the subject raised; whether it was given up. Raises what is everybody's."""
        remedy = next((remedy for kind, remedy in self.remedies if isinstance(error, kind)), None)
        if remedy is None:
            # One poisoned subject must not stop the others.
            self.log.error(self.crashed, **self.facts(subject), exc_info=error)
            return self._given_up(subject, error)
        if remedy.event:
            facts = {"error": type(error).__name__, "reason": str(error)}
            getattr(self.log, remedy.level)(remedy.event, **self.facts(subject), **facts)
        match remedy.care:
            case Care.EVERYBODYS:
                raise error
            case Care.NODE:
                self.postpone(subject, error, self.poll_interval_s)
                # If only this one meets it, it is the last in the next turn.
                raise error
            case Care.SOON:
                self.postpone(subject, error, self.poll_interval_s)
            case Care.LATER:
                self.postpone(subject, error, None)
            case Care.PARK:
                return self._given_up(subject, error)
        return False

    def treat_all(self, troubles: Sequence[tuple[Subject, Exception]]) -> bool:
        """Deals with the troubles of a group; whether any subject was given up.

        Raises what is everybody's, after every other one has been dealt with.
        """
        changed, raised = False, None
        for subject, error in troubles:
            try:
                changed |= self.treat(subject, error)
            except StoreError:
                raise
            except Exception as everybodys:  # noqa: BLE001 -- raised below, when the others have been dealt with
                raised = raised or everybodys
        if raised is not None:
            raise raised
        return changed

    def _given_up(self, subject: Subject, error: Exception) -> bool:
        if self.park(subject, error):
            return True
        self.postpone(subject, error, None)
        return False
