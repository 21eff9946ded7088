"""What is known of a daemon: never waited for, never older than it says, never more than it may show."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from sworn.errors import StoreError
from sworn.watcher.observer import Observer, Source
from sworn.watcher.sealed_files import SealedFiles
from sworn.watcher.status import Figure, NodeStatus, Reading, Role, Standing, broken, doubtful, fine
from sworn.watcher.supervision import Pulse, ServiceManager


class Hand:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def observer(*sources: Source, clock: Callable[[], float] = time.monotonic) -> Observer:
    """An observer of a loop that turns."""
    pulse = Pulse(poll_interval_s=2, manager=ServiceManager(None), clock=clock)
    pulse.turn(0.1, False)
    return Observer(role=Role.WATCHER, version="1", account=None, pulse=pulse, sources=sources, clock=clock)


def source(read: Callable[[], Reading], name: str = "part", every_s: float = 0.01) -> Source:
    """A source to look at."""
    return Source(name=name, every_s=every_s, read=read, advice="mend it")


def standings(status: NodeStatus) -> dict[str, Standing]:
    """How the parts are."""
    return {each.name: each.standing for each in status.components}


def test_status_is_ready_when_all_parts_work() -> None:
    """A load balancer or a person must not be sent away from a node that works."""
    watched = observer(source(lambda: Reading(components=(fine("part", "works"),))))
    watched.look()

    assert watched.status().ready
    assert standings(watched.status()) == {"loop": Standing.OK, "part": Standing.OK}


def test_status_with_doubtful_part_is_ready() -> None:
    """An alarm for every small thing is an alarm that nobody hears."""
    watched = observer(source(lambda: Reading(components=(doubtful("part", "low", "fill"),))))
    watched.look()

    assert watched.status().ready


def test_status_before_first_look_is_not_ready() -> None:
    """Nothing known is not the same as nothing wrong."""
    assert not observer(source(lambda: Reading())).status().ready


def test_source_that_fails_is_a_failing_part_without_figures() -> None:
    """An old balance beside a dead node looks like a new one: figures that cannot be read are left out."""
    answers: list[Callable[[], Reading]] = [lambda: Reading(figures=(Figure(name="sworn_head_block", value=1),))]

    def read() -> Reading:
        return answers[-1]()

    def failing() -> Reading:
        raise StoreError("the disk is full")

    watched = observer(source(read))
    watched.look()
    answers.append(failing)
    watched.look()
    status = watched.status()

    assert [figure.name for figure in status.figures if figure.name == "sworn_head_block"] == []
    (part,) = status.failing
    assert (part.name, part.advice) == ("part", "mend it")


def test_source_that_is_stuck_makes_status_not_ready() -> None:
    """A look that never returns must not leave its last good answer standing."""
    clock = Hand()
    watched = observer(source(lambda: Reading(components=(fine("part", "works"),))), clock=clock)
    watched.look()
    clock.now += 1_000

    assert Standing.FAIL in standings(watched.status()).values()
    assert [each.name for each in watched.status().failing] == ["loop", "part"]


def test_source_with_little_patience_is_given_up_sooner() -> None:
    """A node that takes connections and answers nothing must not leave a leader ready for minutes."""
    clock = Hand()
    quick = Source(name="quick", every_s=10, read=Reading, advice="mend it", patience_s=30)
    watched = observer(quick, source(Reading, "slow", every_s=10), clock=clock)
    watched.look()
    clock.now += 39
    assert watched.status().ready
    clock.now += 2

    assert [each.name for each in watched.status().failing] == ["quick"]


def test_source_that_hangs_holds_up_nobody_else() -> None:
    """A node that does not answer must hide neither the database's trouble nor the loop's."""
    release = threading.Event()

    def hang() -> Reading:
        release.wait(10)
        return Reading()

    watched = observer(source(hang, "slow"), source(lambda: Reading(components=(broken("quick", "", ""),)), "quick"))
    begun = time.monotonic()
    with watched.observing():
        while "quick" not in {each.name for each in watched.status().failing if each.detail == ""}:
            assert time.monotonic() - begun < 5
            time.sleep(0.01)
        release.set()

    assert time.monotonic() - begun < 5


def test_loop_whose_turns_all_fail_is_not_ready() -> None:
    """A loop that turns but does nothing is alive, and of no use."""
    clock = Hand()
    pulse = Pulse(poll_interval_s=2, manager=ServiceManager(None), clock=clock)
    watched = Observer(role=Role.WATCHER, version="1", account=None, pulse=pulse, sources=(), clock=clock)
    pulse.turn(1, True)
    assert watched.status().ready
    clock.now += 61
    pulse.turn(1, True)

    assert watched.status().alive
    assert not watched.status().ready


def test_file_that_changes_after_loading_is_named(tmp_path: Path) -> None:
    """A model file that was replaced under a running watcher makes its next start fail: said before it happens."""
    kept, replaced, gone = (tmp_path / name for name in ("kept", "replaced", "gone"))
    for path in (kept, replaced, gone):
        path.write_bytes(b"model")
    sealed = SealedFiles((kept, replaced, gone))
    kept.touch()
    replaced.write_bytes(b"another")
    gone.unlink()

    assert sealed.changed() == (replaced, gone)


def test_file_that_is_put_back_is_not_named(tmp_path: Path) -> None:
    """An alarm that stays on after the repair teaches people to ignore it."""
    path = tmp_path / "model"
    path.write_bytes(b"model")
    sealed = SealedFiles((path,))
    path.write_bytes(b"another")
    assert sealed.changed() == (path,)
    path.write_bytes(b"model")

    assert sealed.changed() == ()
