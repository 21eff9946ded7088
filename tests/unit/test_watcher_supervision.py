"""A hung loop is noticed, and a service manager hears of it."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sworn.errors import ConfigurationError
from sworn.watcher.supervision import Pulse, ServiceManager


class Hand:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def manager_socket(tmp_path: Path) -> Iterator[socket.socket]:
    """A service manager's end of the socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(5)
        yield listening


def told(listening: socket.socket) -> list[str]:
    """Everything that has arrived."""
    listening.setblocking(False)
    messages = []
    while True:
        try:
            messages.append(listening.recv(1024).decode())
        except BlockingIOError:
            return messages


def test_manager_named_by_environment_is_told(manager_socket: socket.socket) -> None:
    """Without READY=1 systemd would take the start for failed and end a healthy watcher."""
    manager = ServiceManager.of_environment({"NOTIFY_SOCKET": manager_socket.getsockname()})

    manager.tell("READY=1")

    assert told(manager_socket) == ["READY=1"]


def test_abstract_manager_address_is_understood() -> None:
    """Service managers name abstract sockets with an @; taken literally it would be a file that nobody reads."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind("\0sworn-test-supervision")
        ServiceManager("@sworn-test-supervision").tell("STOPPING=1")

        assert told(listening) == ["STOPPING=1"]


@pytest.mark.parametrize("address", [None, "", "/nowhere/at/all", "x" * 300])
def test_manager_that_does_not_listen_stops_nobody(address: str | None) -> None:
    """A service manager that has gone must not take the watcher, and its bonds, with it."""
    ServiceManager(address).tell("WATCHDOG=1")


def test_manager_with_full_queue_does_not_block(manager_socket: socket.socket) -> None:
    """A manager that reads nothing must not hold up the loop."""
    manager = ServiceManager(manager_socket.getsockname())

    for _ in range(5_000):
        manager.tell("WATCHDOG=1")


def test_pulse_tells_manager_of_every_sign_of_life(manager_socket: socket.socket) -> None:
    """A turn that failed, and progress within a long turn, are signs of life: a dead node is no hung loop."""
    clock = Hand()
    pulse = Pulse(poll_interval_s=2, manager=ServiceManager(manager_socket.getsockname()), clock=clock)
    signs: list[Callable[[], None]] = [
        lambda: pulse.turn(0.1, False),
        lambda: pulse.turn(30.0, True),
        lambda: pulse.reached("logs_stored"),
    ]
    for sign in signs:
        clock.now += 10
        sign()

    assert told(manager_socket) == ["WATCHDOG=1"] * 3


def test_pulse_is_not_told_more_often_than_every_second(manager_socket: socket.socket) -> None:
    """Hundreds of checkpoints in a second must not become hundreds of messages."""
    clock = Hand()
    pulse = Pulse(poll_interval_s=2, manager=ServiceManager(manager_socket.getsockname()), clock=clock)
    for _ in range(100):
        clock.now += 0.02
        pulse.beat()

    assert len(told(manager_socket)) <= 2


def test_pulse_of_silent_loop_is_dead() -> None:
    """A loop that hangs must be seen as such, or nothing is answered and nobody knows."""
    clock = Hand()
    pulse = Pulse(poll_interval_s=2, manager=ServiceManager(None), clock=clock)
    clock.now += pulse.patience_s - 1
    assert pulse.alive
    clock.now += 2

    assert not pulse.alive


def test_pulse_counts_how_long_turns_have_failed() -> None:
    """One failed turn is a mood; an hour of them is an outage, and ends with the first that does not fail."""
    clock = Hand()
    pulse = Pulse(poll_interval_s=2, manager=ServiceManager(None), clock=clock)
    for _ in range(6):
        pulse.turn(1.0, True)
        clock.now += 20
    assert pulse.failing_s == pytest.approx(120)
    pulse.turn(1.0, False)

    assert (pulse.failing_s, pulse.turns, pulse.failed_turns) == (0.0, 7, 6)


def test_turn_that_did_not_lead_shows_nothing_about_a_leader_s_work() -> None:
    """A challenger that offers the lead does nothing as a standby: taken for recovery, that would win it back at once.

    It is ready all the same, and a standby whose node was gone for a moment is fit as soon as it is back.
    """
    clock = Hand()
    pulse = Pulse(poll_interval_s=2, manager=ServiceManager(None), clock=clock)
    pulse.turn(1.0, True, True)
    clock.now += 30
    pulse.turn(1.0, False, False)
    assert (pulse.failing_s, pulse.unfit_s) == (0.0, 30.0)
    pulse.turn(1.0, True, False)
    pulse.turn(1.0, False, False)
    assert pulse.unfit_s == 30.0
    pulse.turn(1.0, False, True)
    assert pulse.unfit_s == 0.0

    pulse.turn(1.0, True, False)
    clock.now += 30
    assert pulse.unfit_s == 30.0
    pulse.turn(1.0, False, False)
    assert pulse.unfit_s == 0.0


def test_watchdog_shorter_than_poll_is_refused_at_start() -> None:
    """A watchdog that ends a healthy watcher between two polls would restart it for ever."""
    manager = ServiceManager.of_environment({"WATCHDOG_USEC": "90000000"})
    manager.require_patience(10)

    with pytest.raises(ConfigurationError):
        manager.require_patience(60)


def test_watchdog_of_another_process_is_ignored() -> None:
    """A variable that was inherited from a supervised parent says nothing about us."""
    manager = ServiceManager.of_environment({"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"})

    assert manager.watchdog_s is None
