"""Guards that change while the watcher runs: settings are read again when a signal asks for it."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from typing import Any, Protocol

from structlog.typing import FilteringBoundLogger

from sworn.errors import ConfigurationError
from sworn.watcher.policy import Guards
from sworn.watcher.settings import WatcherSettings, dump_settings


class Guarded(Protocol):
    """Takes new guards."""

    def reload(self, guards: Guards) -> None:
        """From now on these hold."""
        ...


class Reloading:
    """Reads settings again when asked, in the thread that calls `turn`."""

    def __init__(
        self,
        *,
        current: WatcherSettings,
        read: Callable[[], WatcherSettings],
        guarded: Guarded,
        log: FilteringBoundLogger,
        asked: Event | None = None,
    ) -> None:
        #: As they hold now.
        self.current = current
        #: Set by a signal handler.
        self.asked = asked or Event()
        self._read = read
        self._guarded = guarded
        self._log = log

    def turn(self) -> bool:
        """Whether new guards hold. What cannot be read changes nothing."""
        if not self.asked.is_set():
            return False
        self.asked.clear()
        try:
            wanted = self._read()
        except ConfigurationError as error:
            self._log.error("reload_refused", reason=str(error), advice="the old settings hold; correct the files")
            return False
        before, after = dump_settings(self.current), dump_settings(wanted)
        sections = before.keys() | after.keys()
        ignored = sorted(name for name in sections if name != "guards" and _differ(before, after, name))
        if ignored:
            self._log.warning("reload_partial", sections=ignored, advice="restart the watcher for these")
        changed = sorted(
            name
            for name in before["guards"].keys() | after["guards"].keys()
            if _differ(before["guards"], after["guards"], name)
        )
        # What is refused now is compared with again the next time.
        self.current = self.current.model_copy(update={"guards": wanted.guards})
        self._guarded.reload(wanted.guards.guards)
        self._log.info("guards_reloaded", changed=changed)
        return True


def _differ(before: dict[str, Any], after: dict[str, Any], name: str) -> bool:
    return before.get(name) != after.get(name)
