"""A real watcher that works only when it is told to: database, engine and all, in this process."""

from __future__ import annotations

import io
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event

from sworn.chain.gateway import Gateway
from sworn.chain.signer import Signer
from sworn.engine.protocol import IdentifiedModel, ModelSource
from sworn.engine.serving import ServingEngine
from sworn.errors import ArtifactUnavailable, ConfigurationError
from sworn.testing.lying_engine import Lie, LyingEngine
from sworn.types import Address, Deployment

try:
    from sworn.watcher.assembly import Surroundings, assemble
    from sworn.watcher.jobs import JobStatus
    from sworn.watcher.logs import make_logger
    from sworn.watcher.policy import Guards, ServedModel
    from sworn.watcher.service import Watcher
    from sworn.watcher.store.database import open_database
    from sworn.watcher.store.migration import upgrade
    from sworn.watcher.traces import FileTraceStore
except ImportError as error:
    raise ConfigurationError("the watcher is not installed: pip install 'sworn-oracle[node]'") from error

#: A local chain mines at once: nothing is gained by waiting long.
_POLL_INTERVAL_S = 0.02
_PATIENCE_S = 10.0
_MAX_TRACES_BYTES = 4 << 30
_UNDER_WAY = frozenset({JobStatus.PROPOSING, JobStatus.FINALIZING, JobStatus.FAILING})


class LocalWatcher:
    """One operator's watcher; `step` lets it do everything that can be done now."""

    def __init__(
        self,
        *,
        gateway: Gateway,
        deployment: Deployment,
        operator: Address,
        transaction_signer: Signer,
        result_signer: Signer,
    ) -> None:
        self._directory = TemporaryDirectory(prefix="sworn-")
        self._database = open_database(f"sqlite:///{Path(self._directory.name) / 'watcher.db'}")
        upgrade(self._database)
        self._serving = ServingEngine()
        self._engine = LyingEngine(self._serving)
        #: Traces of runs in profile bounded.
        self.traces = FileTraceStore(Path(self._directory.name) / "traces", max_total_bytes=_MAX_TRACES_BYTES)
        self._log = io.StringIO()
        self._around = Surroundings(
            gateway=gateway,
            deployment=deployment,
            operator=operator,
            transaction_signer=transaction_signer,
            result_signer=result_signer,
            models=(),
            # Ether is free here: fees need not pay for gas.
            guards=Guards(min_profit_wei=-(10**18), min_time_left_s=0),
            engine=self._engine,
            exhibitor=self._serving,
            database=self._database,
            fetch=_fetch_nothing,
            traces=self.traces,
            log=make_logger(self._log),
            confirmations=0,
            poll_interval_s=_POLL_INTERVAL_S,
        )
        self._watcher: Watcher | None = None

    @property
    def log(self) -> str:
        """Everything that the watcher has logged, one JSON object per line."""
        return self._log.getvalue()

    def identify(self, source: ModelSource) -> IdentifiedModel:
        """What a model is, computed by the watcher's engine. Raises `ModelError`, `ConfigurationError`."""
        return self._serving.identify(source)

    def lie(self, lie: Lie | None) -> None:
        """From now on every run is false in one element, in its output and in its trace; None = honest again.

        The journal is not fooled: for an input that it has answered, a watcher swears no other output.
        """
        self._engine.lie = lie

    def serve(self, model: ServedModel) -> None:
        """Adds a model to those that are answered."""
        self._around = replace(self._around, models=(*self._around.models, model))
        self._watcher = None

    def step(self) -> None:
        """Answers, fails and finalizes whatever can be now. Raises `ChainError`, `StoreError`."""
        if self._watcher is None:
            self._watcher = assemble(self._around)
        watcher = self._watcher
        watcher.run(Event(), once=True)
        # A node of its own may take a moment to mine what it has been sent.
        patience = time.monotonic() + _PATIENCE_S
        while time.monotonic() < patience and any(job.status in _UNDER_WAY for job in watcher.store.jobs()):
            time.sleep(_POLL_INTERVAL_S)
            watcher.run(Event(), once=True)

    def due_at(self) -> int | None:
        """Block timestamp from which every result that is in its window can be finalized; None when none is."""
        jobs = [] if self._watcher is None else self._watcher.store.jobs()
        return max((job.due_at for job in jobs if job.status is JobStatus.PROPOSED), default=None)

    def close(self) -> None:
        """Ends the engine and forgets the database; idempotent."""
        self._engine.close()
        self._database.close()
        self._directory.cleanup()


def _fetch_nothing(uri: str, max_bytes: int) -> bytes:
    raise ArtifactUnavailable(f"a local watcher fetches no inputs: {uri}")
