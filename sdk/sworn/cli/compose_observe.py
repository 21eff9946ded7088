"""Lets a daemon be watched: health and metrics over HTTP, and a service manager that is told how it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from structlog.typing import FilteringBoundLogger

import sworn
from sworn.errors import ConfigurationError
from sworn.types import Address
from sworn.watcher.challenger.readings import ChallengerReadings, WatchedChallenger
from sworn.watcher.observer import Observer
from sworn.watcher.readings import Watched, WatcherReadings
from sworn.watcher.settings_observe import MetricsSettings
from sworn.watcher.status import Role
from sworn.watcher.supervision import Pulse, ServiceManager
from sworn.watcher.telemetry import Ensemble, Telemetry

if TYPE_CHECKING:
    from sworn.web.metrics import PrometheusTelemetry


@dataclass(frozen=True, slots=True, kw_only=True)
class Listeners:
    """Who hears of what a daemon does."""

    pulse: Pulse
    manager: ServiceManager
    telemetry: Telemetry
    #: None where metrics are off.
    prometheus: PrometheusTelemetry | None

    @contextmanager
    def supervised(self) -> Iterator[None]:
        """Tells the service manager that the daemon has started, and when it ends."""
        self.manager.tell("READY=1")
        try:
            yield
        finally:
            self.manager.tell("STOPPING=1")


def listeners(metrics: MetricsSettings | None, *, poll_interval_s: float) -> Listeners:
    """Who listens under these settings. Raises `ConfigurationError`."""
    manager = ServiceManager.of_environment()
    manager.require_patience(poll_interval_s)
    pulse = Pulse(poll_interval_s=poll_interval_s, manager=manager)
    if metrics is None:
        return Listeners(pulse=pulse, manager=manager, telemetry=pulse, prometheus=None)
    try:
        from sworn.web.metrics import PrometheusTelemetry
    except ImportError as error:
        raise ConfigurationError("metrics need the web extra: pip install 'sworn-oracle[web]'") from error
    prometheus = PrometheusTelemetry(version=sworn.__version__)
    return Listeners(pulse=pulse, manager=manager, telemetry=Ensemble(pulse, prometheus), prometheus=prometheus)


@contextmanager
def watched(
    metrics: MetricsSettings, subject: Watched | WatchedChallenger, heard: Listeners, log: FilteringBoundLogger
) -> Iterator[Observer]:
    """Looks at a daemon and serves what is seen, for the length of a ``with`` block. Raises `ConfigurationError`."""
    from sworn.web.health import health_app
    from sworn.web.server import serving

    if heard.prometheus is None:
        raise ConfigurationError("metrics are off")
    readings: WatcherReadings | ChallengerReadings
    account: Address | None
    if isinstance(subject, Watched):
        role, account, readings = Role.WATCHER, subject.operator, WatcherReadings(subject)
    else:
        role, account, readings = Role.CHALLENGER, subject.sender, ChallengerReadings(subject)
    observer = Observer(
        role=role,
        version=sworn.__version__,
        account=account,
        pulse=heard.pulse,
        sources=readings.sources(refresh_s=metrics.refresh_s),
    )
    heard.prometheus.show(observer.status)
    app = health_app(observer.status, heard.prometheus)
    try:
        with observer.observing(), serving(app, host=metrics.host, port=metrics.port, name="health server") as where:
            log.info("health_served", host=where[0], port=where[1])
            yield observer
    finally:
        readings.close()
