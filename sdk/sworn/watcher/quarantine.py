"""Leaves alone what has done harm: inputs that kill workers, who sends them, models that cannot be defended."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from structlog.typing import FilteringBoundLogger

from sworn.types import Address
from sworn.watcher.jobs import Job
from sworn.watcher.policy import Guards
from sworn.watcher.store.quarantine import QuarantineStore, Suspect

#: What is not left alone any more is forgotten after so long; looked for once an hour.
_KEPT_S = 7 * 86_400.0
_SWEEP_S = 3_600.0
#: Crashes of one requester that lie further apart are not added up.
REQUESTER_WINDOW_S = 86_400.0


class Quarantine:
    """What is left alone, as it was last read; `refresh` reads what other replicas and people have changed."""

    def __init__(
        self, *, store: QuarantineStore, log: FilteringBoundLogger, clock: Callable[[], float] = time.time
    ) -> None:
        self._store = store
        self._log = log
        self._clock = clock
        self._known: Mapping[bytes, Suspect] = {}
        self._swept_at: float | None = None

    def refresh(self) -> None:
        """Reads everything anew. Raises `StoreError`."""
        now = self._clock()
        if self._swept_at is None or not 0 <= now - self._swept_at < _SWEEP_S:
            self._store.sweep(older_s=_KEPT_S)
            self._swept_at = now
        self._known = {suspect.subject: suspect for suspect in self._store.suspects()}

    def reason(self, job: Job) -> str:
        """Why a job is left alone; empty when it is not."""
        now = self._clock()
        for what, subject in (
            ("model", bytes(job.request.model_id)),
            ("input", statement_of(job)),
            ("requester", address_bytes(job.request.requester)),
        ):
            suspect = self._known.get(subject)
            if suspect is not None and suspect.holds(now):
                return f"the {what} is in quarantine: {suspect.reason}"
        return ""

    def crashed(self, job: Job, reason: str, guards: Guards) -> None:
        """Counts a run that broke a limit or took its worker down. Raises `StoreError`."""
        found = [
            self._store.crash(
                statement_of(job),
                reason,
                limit=guards.max_input_crashes,
                window_s=guards.quarantine_s,
                bar_s=guards.quarantine_s,
            ),
            self._store.crash(
                address_bytes(job.request.requester),
                reason,
                limit=guards.max_requester_crashes,
                window_s=REQUESTER_WINDOW_S,
                bar_s=guards.quarantine_s,
            ),
        ]
        for suspect in found:
            if suspect.barred:
                facts = {"subject": suspect.subject, "crashes": suspect.crashes, "until": suspect.until}
                self._log.warning("quarantined", request_id=job.request_id, reason=reason, **facts)
        self._known = {**self._known, **{suspect.subject: suspect for suspect in found}}

    def bar_model(self, model_id: bytes, reason: str) -> None:
        """Leaves a model alone until a person clears it. Raises `StoreError`."""
        self._store.bar(bytes(model_id), reason)
        advice = "find out what changed, then `sworn operator quarantine clear 0x…`"
        self._log.critical("model_quarantined", model_id=bytes(model_id), reason=reason, advice=advice)
        self.refresh()


def statement_of(job: Job) -> bytes:
    """A model and an input, 64 bytes."""
    return bytes(job.request.model_id) + bytes(job.request.input_root)


def address_bytes(address: Address) -> bytes:
    """The 20 bytes of an address."""
    return bytes.fromhex(address.removeprefix("0x"))
