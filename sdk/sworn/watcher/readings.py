"""What a watcher is looked at for: database, work, disputes, chain, keys, models, traces."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sworn.chain.signer import Signer
from sworn.engine.protocol import LoadReporter
from sworn.errors import TraceError
from sworn.types import Address
from sworn.watcher.contracts import Contracts
from sworn.watcher.defence.alarms import Alarm, Duty, alarm_of, duties
from sworn.watcher.defence.records import DefenceStatus
from sworn.watcher.defence.store import DefenceStore
from sworn.watcher.intake import REQUESTS
from sworn.watcher.jobs import JobStatus
from sworn.watcher.looks import (
    Thresholds,
    balance_look,
    counted,
    ether,
    head_look,
    keys_look,
    nonce_figures,
    tables_look,
    transactions_look,
)
from sworn.watcher.observer import CHAIN_PATIENCE_S, Source
from sworn.watcher.policy import ServedModel
from sworn.watcher.sealed_files import SealedFiles
from sworn.watcher.status import Component, Figure, Reading, broken, doubtful, fine
from sworn.watcher.store.census import Census, Overdue, read_only, release, require_writable
from sworn.watcher.store.database import Database

#: Time before the end of a key's authority from which on it is pointed out: rotating takes a transaction and a restart.
_SIGNER_NOTICE_S: Final = 7 * 86_400
#: Periods of looks that cost something: counting rows, asking a key, hashing files.
_ROWS_EVERY_S: Final = 60.0
_KEY_EVERY_S: Final = 300.0
_FILES_EVERY_S: Final = 600.0
_CHAIN_EVERY_S: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What there is of a watcher to look at."""

    #: Over a gateway that the loop does not use.
    contracts: Contracts
    database: Database
    operator: Address
    #: Accounts that send transactions, and keys that sign results: the preferred one first.
    senders: Sequence[Address]
    result_signers: Sequence[Signer]
    models: Sequence[ServedModel]
    #: The model files as they were loaded.
    files: SealedFiles = field(default_factory=SealedFiles)
    #: None where nothing is traced.
    trace_folder: Path | None = None
    max_trace_bytes: int = 0
    thresholds: Thresholds = field(default_factory=Thresholds)
    #: What the engine has under way; None where it does not say.
    engine: LoadReporter | None = None
    #: Whether this replica sends transactions.
    leads: Callable[[], bool] = lambda: True
    clock: Callable[[], float] = time.time


class WatcherReadings:
    """Makes the sources that an `Observer` looks at."""

    def __init__(self, watched: Watched) -> None:
        self._of = watched
        self._read = read_only(watched.database)
        self._census = Census(database=self._read)
        #: By how much the chain's clock is ahead of ours, as far as it has been heard of.
        self._ahead_s = 0.0

    def sources(self, *, refresh_s: float) -> tuple[Source, ...]:
        """Every source, with the period in which it is looked at."""
        of = self._of
        database = "Check the database server, or the room on its disk: see the runbook 'Database full'."
        sources = [
            Source(name="database", every_s=refresh_s, read=self.database, advice=database, counts=True),
            Source(name="tables", every_s=_ROWS_EVERY_S, read=tables_look(self._census), advice=database, counts=True),
            Source(
                name="rpc",
                every_s=max(refresh_s, _CHAIN_EVERY_S),
                read=self.chain,
                advice="Check the node, or use another endpoint: see the runbook 'RPC behind'.",
                patience_s=CHAIN_PATIENCE_S,
            ),
            Source(
                name="key",
                every_s=_KEY_EVERY_S,
                read=keys_look(of.result_signers, of.contracts.domain),
                advice="Check the remote signer and the way to it; results wait until it signs.",
            ),
            Source(name="models", every_s=_FILES_EVERY_S, read=self.models, advice="Put the model files back."),
        ]
        if of.trace_folder is not None:
            advice = "Check the disk of the trace folder: see the runbook 'Database full'."
            sources.append(Source(name="traces", every_s=_ROWS_EVERY_S, read=self.traces, advice=advice))
        return tuple(sources)

    def close(self) -> None:
        """Closes the connections of its own; idempotent."""
        release(self._read, self._of.database)

    def database(self) -> Reading:
        """Writes, then counts. Raises `StoreError`."""
        require_writable(self._of.database)
        now, leads = self._of.clock(), self._of.leads()
        jobs = self._census.jobs()
        late = self._census.overdue(
            now=now,
            chain_now=now + self._ahead_s,
            after_s=self._of.thresholds.overdue_after_s,
            min_time_left_s=self._of.thresholds.min_time_left_s,
        )
        transactions, pending = transactions_look(self._census, now=now, thresholds=self._of.thresholds)
        disputes, owed = defence_look(
            self._census,
            self._read,
            disclose_s=self._of.contracts.deployment.parameters.get("discloseSeconds", 0),
            now=int(max(now, now + self._ahead_s)),
        )
        figures = [
            *counted("sworn_jobs", "status", {each.value: count for each, count in jobs.items()}),
            *counted("sworn_overdue_jobs", "kind", _kinds(late)),
            *pending,
            *owed,
            Figure(name="sworn_leader", value=float(leads)),
        ]
        if self._of.engine is not None:
            figures += _load(self._of.engine)
        deadline = self._census.next_deadline()
        if deadline is not None:
            left_s = deadline - (now + self._ahead_s)
            figures.append(Figure(name="sworn_deadline_seconds", value=left_s, labels={"duty": "answer"}))
        components = (
            fine("database", "written to"),
            _lead(leads),
            work_look(jobs, late),
            disputes,
            transactions,
        )
        return Reading(components=components, figures=tuple(figures))

    def chain(self) -> Reading:
        """Asks the chain. Raises `ChainError`, and `StoreError` for the cursor."""
        of = self._of
        contracts, now = of.contracts, of.clock()
        cursor = self._census.cursor(REQUESTS)
        chain_now, rpc, figures = head_look(contracts.gateway, cursor=cursor, now=now, thresholds=of.thresholds)
        self._ahead_s = chain_now - now
        funds, balance = balance_look(contracts.gateway, of.senders, of.thresholds)
        account = contracts.account_of(of.operator)
        free_wei = contracts.free_stake_of(of.operator)
        authority = {key.address: contracts.signer_not_after(of.operator, key.address) for key in of.result_signers}
        offers = {model.model_id: contracts.offer_of(of.operator, model.model_id).active for model in of.models}
        figures += [
            *balance,
            # After the chain's: what is signed in between is in the database first.
            *nonce_figures(self._census, of.senders),
            Figure(name="sworn_stake_wei", value=account.stake_wei),
            Figure(name="sworn_free_stake_wei", value=free_wei),
            Figure(name="sworn_bonds_at_risk_wei", value=account.locked_wei),
            *(
                Figure(
                    name="sworn_signer_expires_seconds",
                    value=max(not_after - chain_now, 0),
                    labels={"signer": address},
                )
                for address, not_after in authority.items()
            ),
            *(
                Figure(name="sworn_model_offered", value=float(active), labels={"model": short_id(model_id)})
                for model_id, active in offers.items()
            ),
        ]
        stake = _stake(account.registered, free_wei, contracts.bond_for(0))
        signer = _signer(authority, chain_now)
        return Reading(components=(rpc, funds, stake, signer, _offers(offers.values())), figures=tuple(figures))

    def models(self) -> Reading:
        """Looks at the files from which the models were loaded."""
        of, changed = self._of, self._of.files.changed()
        figures = [
            Figure(name="sworn_models_served", value=len(of.models)),
            Figure(name="sworn_model_mismatches", value=len(changed)),
        ]
        for model in of.models:
            labels = {
                "model": short_id(model.model_id),
                "model_id": "0x" + model.model_id.hex(),
                "profile": model.profile.name.lower(),
            }
            figures.append(Figure(name="sworn_model_info", value=1, labels=labels))
        component = fine("models", f"{len(of.models)} loaded")
        if changed:
            names = ", ".join(path.name for path in changed)
            advice = "What is loaded goes on; a restart would fail. See the runbook 'Model hash mismatch'."
            component = doubtful("models", f"changed on disk since they were loaded: {names}", advice)
        return Reading(components=(component,), figures=tuple(figures))

    def traces(self) -> Reading:
        """Measures the traces. Raises `TraceError`."""
        folder = self._of.trace_folder
        if folder is None:
            return Reading()
        try:
            used = sum(path.stat().st_size for path in folder.rglob("*.trace") if path.is_file())
            free = shutil.disk_usage(folder).free
        except OSError as error:
            raise TraceError(f"traces cannot be measured: {error.strerror}") from error
        figures = (
            Figure(name="sworn_trace_bytes", value=used),
            Figure(name="sworn_trace_free_bytes", value=min(free, max(self._of.max_trace_bytes - used, 0))),
        )
        if figures[1].value < used // 10:
            advice = "Raise traces.max_total_bytes, or give the disk more room: requests wait when it is full."
            return Reading(
                components=(doubtful("traces", f"{used / 2**20:.0f} MiB kept, nearly full", advice),), figures=figures
            )
        return Reading(components=(fine("traces", f"{used / 2**20:.0f} MiB kept"),), figures=figures)


def defence_look(census: Census, reading: Database, *, disclose_s: int, now: int) -> tuple[Component, list[Figure]]:
    """Whether disputes over results of ours are answered in time. Raises `StoreError`."""
    defences = DefenceStore(database=reading)
    owed = duties(defences.open(), defences.demands(), disclose_s=disclose_s)
    counts = census.defences()
    figures = [
        *counted("sworn_disputes", "state", {each.value: count for each, count in counts.items()}),
        Figure(name="sworn_duties", value=len(owed)),
    ]
    if owed:
        left_s = min(duty.until for duty in owed) - now
        figures.append(Figure(name="sworn_deadline_seconds", value=left_s, labels={"duty": "defence"}))
    return _defence(counts, owed, now), figures


def short_id(model_id: bytes) -> str:
    """As models are called in labels."""
    return "0x" + model_id[:4].hex()


def _load(engine: LoadReporter) -> Iterator[Figure]:
    load = engine.load()
    yield Figure(name="sworn_engine_slots", value=load.slots)
    yield Figure(name="sworn_engine_running", value=load.running)
    yield Figure(name="sworn_engine_queued", value=load.queued)
    yield Figure(name="sworn_engine_memory_bytes", value=load.memory_bytes)


def _lead(leads: bool) -> Component:
    """Which of several replicas this is."""
    if leads:
        return fine("lead", "leads: follows the chain and sends transactions")
    return fine("lead", "stands by: runs models, and takes over when the leader is gone")


def _kinds(late: Overdue) -> Mapping[str, int]:
    return {"untouched": late.untouched, "unsent": late.unsent, "unfinished": late.unfinished}


def work_look(jobs: Mapping[JobStatus, int], late: Overdue) -> Component:
    """Whether requests are answered in time."""
    if late.total:
        kinds = ", ".join(f"{count} {kind}" for kind, count in _kinds(late).items() if count)
        return broken("work", f"{late.total} job(s) are overdue: {kinds}", "See the runbook 'Overdue work'.")
    parked = jobs[JobStatus.PARKED]
    if parked:
        return doubtful("work", f"{parked} job(s) are parked", "See the runbook 'Parked jobs'.")
    waiting = sum(count for status, count in jobs.items() if not status.terminal)
    return fine("work", f"{waiting} open job(s), none overdue")


def _defence(counts: Mapping[DefenceStatus, int], owed: Sequence[Duty], now: int) -> Component:
    lost = counts[DefenceStatus.INDEFENSIBLE]
    if lost:
        detail = f"{lost} result(s) of ours differ from our own run: they are not defended"
        return broken("disputes", detail, "See the runbook 'Dispute lost'.")
    worst = max((alarm_of(duty, now) for duty in owed), default=Alarm.NONE)
    left_s = min((duty.until for duty in owed), default=now) - now
    if worst >= Alarm.TENTH:
        advice = "See the runbook 'Dispute opened' now: silence convicts."
        return broken("disputes", f"an answer is due in {left_s} s", advice)
    if counts[DefenceStatus.OPEN]:
        detail = f"{counts[DefenceStatus.OPEN]} open, {len(owed)} answer(s) owed"
        return doubtful("disputes", detail, "See the runbook 'Dispute opened'.")
    return fine("disputes", "none is open")


def _stake(registered: bool, free_wei: int, bond_wei: int) -> Component:
    if not registered:
        return broken("stake", "the operator is not registered", "Run `sworn operator register` with its account.")
    if free_wei < bond_wei:
        detail = f"the free stake of {ether(free_wei)} covers no bond of {ether(bond_wei)}"
        return doubtful("stake", detail, "Run `sworn operator stake AMOUNT`, or wait for windows to end.")
    return fine("stake", f"{ether(free_wei)} free")


def _signer(authority: Mapping[Address, int], now: int) -> Component:
    """How long the key with the longest authority may sign."""
    signer = max(authority, key=lambda address: authority[address])
    left_s = authority[signer] - now
    advice = "See the runbook 'Key rotation'."
    if left_s <= 0:
        return broken("signer", f"{signer} may not sign results for the operator", advice)
    if left_s < _SIGNER_NOTICE_S:
        return doubtful("signer", f"{signer} may sign for {left_s // 3600} more hours", advice)
    return fine("signer", f"{signer} may sign")


def _offers(offers: Collection[bool]) -> Component:
    missing = sum(not active for active in offers)
    if missing:
        detail = f"{missing} of {len(offers)} model(s) have no active offer"
        advice = "Run `sworn operator announce --config watcher.toml --keystore keys/operator.json`."
        return doubtful("offers", detail, advice)
    return fine("offers", f"{len(offers)} active")
