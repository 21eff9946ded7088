from __future__ import annotations

import io
import json
from dataclasses import dataclass, field

import pytest

from sworn.errors import (
    DigestConflict,
    SignerUnavailable,
    StoreError,
    TransientChainError,
)
from sworn.watcher.containment import (
    FORGIVEN_S,
    LONGEST_S,
    PATIENCE_S,
    Care,
    Containment,
    Patience,
    Remedy,
    attempted,
)
from sworn.watcher.logs import make_logger

REMEDIES = (
    (DigestConflict, Remedy(care=Care.PARK, event="conflict", level="critical")),
    (StoreError, Remedy(care=Care.EVERYBODYS)),
    (TransientChainError, Remedy(care=Care.NODE)),
    (SignerUnavailable, Remedy(care=Care.SOON)),
    (KeyError, Remedy(care=Care.LATER, event="troubled")),
)


@dataclass(slots=True, kw_only=True)
class Ward:
    """A containment whose every deed is written down."""

    may_park: bool = True
    deeds: list[tuple[str, str, float | None]] = field(default_factory=list)
    logs: io.StringIO = field(default_factory=io.StringIO)

    def containment(self) -> Containment[str]:
        """For subjects that are strings."""
        return Containment(
            remedies=REMEDIES,
            crashed="crashed",
            postpone=lambda subject, error, wait_s: self.deeds.append(("postponed", subject, wait_s)),
            park=self._park,
            facts=lambda subject: {"subject": subject},
            poll_interval_s=2.0,
            log=make_logger(self.logs),
        )

    def treat(self, error: Exception) -> bool:
        """What a step that raises leads to."""

        def step() -> bool:
            raise error

        return self.containment().run("one", step)

    def events(self) -> list[str]:
        """Names of log entries."""
        return [json.loads(line)["event"] for line in self.logs.getvalue().splitlines()]

    def _park(self, subject: str, error: Exception) -> bool:
        if self.may_park:
            self.deeds.append(("parked", subject, None))
        return self.may_park


@pytest.mark.parametrize(
    ("error", "deeds", "raised"),
    [
        (DigestConflict("x"), [("parked", "one", None)], False),
        (StoreError("x"), [], True),
        (TransientChainError("x"), [("postponed", "one", 2.0)], True),
        (SignerUnavailable("x"), [("postponed", "one", 2.0)], False),
        (KeyError("x"), [("postponed", "one", None)], False),
        (ZeroDivisionError("x"), [("parked", "one", None)], False),
    ],
)
def test_trouble_of_each_kind_gets_its_care(
    error: Exception, deeds: list[tuple[str, str, float | None]], raised: bool
) -> None:
    """One subject's trouble stays its own, and what ails node or database ends the turn: else a bad job stops all."""
    ward = Ward()
    if raised:
        with pytest.raises(type(error)):
            ward.treat(error)
    else:
        ward.treat(error)
    assert ward.deeds == deeds


def test_step_that_passes_answers_and_touches_nothing() -> None:
    """Containment is invisible while nothing is wrong."""
    ward = Ward()
    assert ward.containment().run("one", lambda: True) is True
    assert (ward.deeds, ward.events()) == ([], [])


def test_crash_that_may_not_be_given_up_yet_is_put_off_and_told() -> None:
    """An unexpected error is told with its traceback, and tried again, ever more rarely."""
    ward = Ward(may_park=False)
    assert ward.treat(ZeroDivisionError("poison")) is False
    assert ward.deeds == [("postponed", "one", None)]
    (entry,) = [json.loads(line) for line in ward.logs.getvalue().splitlines()]
    assert (entry["event"], entry["subject"]) == ("crashed", "one")
    assert "poison" in entry["exception"]


def test_troubles_of_a_group_are_all_dealt_with_before_the_turn_ends() -> None:
    """The node's failure in the first of a group does not keep the others' troubles from being stored."""
    ward = Ward()
    troubles = [("one", TransientChainError("x")), ("two", KeyError("x")), ("three", DigestConflict("x"))]
    with pytest.raises(TransientChainError):
        ward.containment().treat_all(troubles)
    assert [subject for _, subject, _ in ward.deeds] == ["one", "two", "three"]


def test_store_that_fails_in_a_group_ends_it_at_once() -> None:
    """Where nothing can be stored, nothing more is tried."""
    ward = Ward()
    with pytest.raises(StoreError):
        ward.containment().treat_all([("one", StoreError("x")), ("two", KeyError("x"))])
    assert ward.deeds == []


def test_step_that_crashes_gives_what_it_raised() -> None:
    """A signer that raises what nobody expected would end the loop, and with it the defence of everything else."""

    def full_disk() -> int:
        raise OSError(28, "No space left on device")

    assert attempted(lambda: 7) == 7
    assert isinstance(attempted(full_disk), OSError)


def test_subject_that_only_the_node_fails_is_tried_ever_more_rarely_after_a_while() -> None:
    """A call that a node fails for ever would end every turn; an outage of two minutes must not make anything late."""
    now = [1_000.0]
    patience = Patience(poll_interval_s=2.0, clock=lambda: now[0])
    waits: list[float] = []
    while now[0] < 1_000 + 10 * PATIENCE_S:
        waits.append(patience.wait_s("one"))
        now[0] += waits[-1]
    assert waits[:60] == [2.0] * 60
    assert waits[60:66] == [4.0, 8.0, 16.0, 32.0, LONGEST_S, LONGEST_S]
    assert set(waits[66:]) == {LONGEST_S}
    assert patience.wait_s("another") == 2.0
    now[0] += FORGIVEN_S
    assert patience.wait_s("one") == 2.0
    assert len(patience._met) == 1


def test_subject_is_not_tried_more_often_than_the_chain_is_looked_at() -> None:
    """With a poll every five minutes, the longest wait is that of a poll."""
    now = [0.0]
    patience = Patience(poll_interval_s=200.0, clock=lambda: now[0])
    for _ in range(9):
        assert patience.wait_s("one") == 200.0
        now[0] += 200
