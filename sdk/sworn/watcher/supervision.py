"""Whether the loop turns: for health checks, and for a service manager that restarts what hangs."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping
from typing import Final

from sworn.errors import ConfigurationError
from sworn.watcher.telemetry import SilentTelemetry

#: Between two messages to the service manager.
_QUIET_S: Final = 1.0
#: What a turn may take besides the pause after it: a node that does not answer, twice.
_TURN_S: Final = 60.0


class ServiceManager:
    """Tells systemd how the service is (``sd_notify``), through the socket that it names in the environment."""

    def __init__(self, address: str | None, *, watchdog_s: float | None = None) -> None:
        self._address, self.watchdog_s = address, watchdog_s

    @classmethod
    def of_environment(cls, environment: Mapping[str, str] = os.environ) -> ServiceManager:
        """As the environment says; silent where no service manager has started this process."""
        microseconds = environment.get("WATCHDOG_USEC", "")
        is_ours = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        watched = microseconds.isdigit() and is_ours
        return cls(environment.get("NOTIFY_SOCKET"), watchdog_s=int(microseconds) / 1e6 if watched else None)

    def tell(self, state: str) -> None:
        """Sends one message, ``READY=1`` for example. A manager that does not listen is no reason to stop."""
        if not self._address:
            return
        # A leading @ stands for the zero byte of an abstract address.
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
                channel.setblocking(False)
                channel.connect(address)
                channel.send(state.encode())
        except OSError:
            # SAFETY: without the message the manager restarts us at worst; nothing is lost by a restart.
            return

    def require_patience(self, poll_interval_s: float) -> None:
        """Raises `ConfigurationError` where the watchdog would end a healthy service between two polls."""
        if self.watchdog_s is not None and self.watchdog_s < 2 * poll_interval_s + _TURN_S:
            raise ConfigurationError(
                f"WatchdogSec is {self.watchdog_s:g} s, and chain.poll_interval_s {poll_interval_s:g} s: "
                f"set WatchdogSec to {2 * poll_interval_s + _TURN_S:g} or more, or poll more often"
            )


class Pulse(SilentTelemetry):
    """Remembers when the loop turned last, and passes that on to the service manager.

    It hears of turns as telemetry, and of progress within one as the loop's checkpoint.
    """

    def __init__(
        self,
        *,
        poll_interval_s: float,
        manager: ServiceManager,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        #: Silence after which the loop counts as hung.
        self.patience_s = 2 * poll_interval_s + _TURN_S
        self._manager, self._clock = manager, clock
        self._beaten_at = self._told_at = clock()
        self._failing_since: float | None = None
        self._unfit_since: float | None = None
        #: Whether a turn that led has failed, and none has passed since.
        self._blamed = False
        self.turns = self.failed_turns = 0

    def turn(self, seconds: float, failed: bool, led: bool = True) -> None:
        """A turn has ended; one that failed is a sign of life as well."""
        self.turns, self.failed_turns = self.turns + 1, self.failed_turns + failed
        self._failing_since = self._since(self._failing_since) if failed else None
        if failed:
            self._unfit_since, self._blamed = self._since(self._unfit_since), self._blamed or led
        elif led or not self._blamed:
            self._unfit_since, self._blamed = None, False
        self.beat()

    def beat(self) -> None:
        """The loop has come one step further."""
        self._beaten_at = self._clock()
        if self._beaten_at - self._told_at >= _QUIET_S:
            self._told_at = self._beaten_at
            self._manager.tell("WATCHDOG=1")

    def reached(self, point: str) -> None:
        """The same, as a checkpoint."""
        self.beat()

    @property
    def silence_s(self) -> float:
        """Seconds since the last sign of life."""
        return max(self._clock() - self._beaten_at, 0.0)

    @property
    def alive(self) -> bool:
        """Whether the loop turns."""
        return self.silence_s <= self.patience_s

    @property
    def failing_s(self) -> float:
        """Seconds for which every turn has failed."""
        return 0.0 if self._failing_since is None else self._clock() - self._failing_since

    @property
    def unfit_s(self) -> float:
        """Seconds since the first of the turns that failed, with none since that shows that a leader's would pass.

        A turn that does not lead does the least part of the work: after one that led and failed it shows nothing.
        """
        return 0.0 if self._unfit_since is None else self._clock() - self._unfit_since

    def _since(self, known: float | None) -> float:
        return self._clock() if known is None else known
