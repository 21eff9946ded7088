"""Puts the watcher together from its settings."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import Any, Final, TextIO

from structlog.typing import FilteringBoundLogger

from sworn.chain.endpoints import FailoverGateway
from sworn.chain.gateway import Gateway
from sworn.chain.heads import Wakeup
from sworn.cli import compose_engine, compose_observe
from sworn.cli.compose_artifacts import artifact_store, kept, reported
from sworn.cli.compose_endpoints import bystander, chain_of, deployment, fees, wakeup_of
from sworn.cli.compose_keys import Keys, opened_keys
from sworn.cli.compose_replicas import replica, traces
from sworn.cli.output import Output
from sworn.cli.places import HOME
from sworn.engine.protocol import Engine, IdentifiedModel
from sworn.engine.serving import ServingEngine
from sworn.errors import ConfigurationError
from sworn.model import read_artifact
from sworn.storage import HttpFetcher
from sworn.storage.mirrors import BadMirrorReport, no_report
from sworn.types import Address, Deployment
from sworn.watcher.assembly import Surroundings, assemble
from sworn.watcher.contracts import Contracts
from sworn.watcher.inference import fetch_from
from sworn.watcher.logs import make_logger
from sworn.watcher.models import load_models
from sworn.watcher.policy import ServedModel
from sworn.watcher.readings import Watched
from sworn.watcher.reloading import Guarded, Reloading
from sworn.watcher.replica import Replica
from sworn.watcher.sealed_files import SealedFiles
from sworn.watcher.service import Watcher
from sworn.watcher.settings import WatcherSettings, load_settings
from sworn.watcher.settings_observe import MetricsSettings
from sworn.watcher.settings_traces import TraceServerSettings
from sworn.watcher.startup import check_startup
from sworn.watcher.store.database import Database, open_database
from sworn.watcher.store.migration import upgrade

#: Threads for inputs that are fetched, which mostly wait.
_FETCHERS: Final = 12


def settings(files: Sequence[Path], overrides: dict[str, Any]) -> WatcherSettings:
    """Files, then environment, then what was said on the command line. Raises `ConfigurationError`."""
    return load_settings(files, overrides=overrides)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Opened:
    """What has been opened for a watcher, in the order in which it was."""

    heard: compose_observe.Listeners
    log: FilteringBoundLogger
    chain: FailoverGateway
    wakeup: Wakeup
    contracts: Deployment
    keys: Keys
    database: Database
    engine: ServingEngine
    models: tuple[ServedModel, ...]
    role: Replica


@contextmanager
def watcher(
    values: WatcherSettings,
    output: Output,
    *,
    log: TextIO | None = None,
    adapt: Callable[[Surroundings], Surroundings] = lambda around: around,
) -> Iterator[Watcher]:
    """A watcher that has passed its start-up checks; ``adapt`` changes what it stands on.

    Raises `ConfigurationError` that lists every problem.
    """
    with ExitStack() as closing:
        opened = _opened(values, output, log, closing)
        around = adapt(_surroundings(values, opened))
        built = _checked(around)
        if values.trace_server is not None:
            closing.enter_context(_serving(values.trace_server, around))
        if values.metrics is not None:
            subject = _watched(values, values.metrics, around)
            closing.enter_context(compose_observe.watched(values.metrics, subject, opened.heard, around.log))
        closing.enter_context(opened.heard.supervised())
        yield built


def _opened(values: WatcherSettings, output: Output, log: TextIO | None, closing: ExitStack) -> _Opened:
    heard = compose_observe.listeners(values.metrics, poll_interval_s=values.chain.poll_interval_s)
    logger = make_logger(log or sys.stderr, form=values.log.format, level=values.log.level)
    chain = closing.enter_context(chain_of(values.chain, logger, heard.telemetry))
    wakeup = closing.enter_context(wakeup_of(values.chain, logger))
    with output.busy("reading the deployment"):
        contracts = deployment(values.chain, chain)
    keys = unlock_keys(values, output)
    database = open_database(values.database_url.get_secret_value())
    closing.callback(database.close)
    upgrade(database)
    engine = closing.enter_context(engine_of(values))
    with output.busy("compiling the models"):
        models = served_models(values, chain, contracts, engine, report=reported(logger))
    closing.enter_context(kept(values, contracts, operator_of(values, keys), models))
    _warmed(values, engine, models, logger, output)
    senders = [each.address for each in keys.transactions]
    shared = replica(
        values.replica,
        role="watcher",
        database=database,
        deployment=contracts,
        senders=senders,
        log=logger,
        pulse=heard.pulse,
    )
    return _Opened(
        heard=heard,
        log=logger,
        chain=chain,
        wakeup=wakeup,
        contracts=contracts,
        keys=keys,
        database=database,
        engine=engine,
        models=models,
        role=closing.enter_context(shared),
    )


def _callers(values: WatcherSettings, engine: ServingEngine) -> int:
    # Inputs that are fetched may be long in coming; runs whose inputs are there must not wait behind them.
    fetching = _FETCHERS if values.guards.guards.input_hosts else 0
    return engine.callers + fetching


def _surroundings(values: WatcherSettings, opened: _Opened) -> Surroundings:
    return Surroundings(
        gateway=opened.chain,
        deployment=opened.contracts,
        operator=operator_of(values, opened.keys),
        transaction_signer=opened.keys.transaction,
        retiring_signers=opened.keys.transactions[1:],
        result_signer=opened.keys.result,
        other_result_signers=opened.keys.results[1:],
        expiry_warning_days=values.keys.expiry_warning_days,
        models=opened.models,
        guards=values.guards.guards,
        engine=opened.engine,
        exhibitor=opened.engine,
        database=opened.database,
        fetch=fetch_from(HttpFetcher()),
        traces=traces(values, opened.models, opened.role),
        keep_traces_s=values.traces.keep_s,
        keep_rows_s=values.retention.keep_s if values.retention.prune else None,
        prune_interval_s=values.retention.interval_s,
        log=opened.log,
        fees=replace(fees(values.chain), max_in_flight=values.service.max_in_flight),
        confirmations=values.chain.confirmations,
        finality=values.chain.finality,
        wakeup=opened.wakeup,
        max_log_range=values.chain.max_log_range,
        start_block=values.chain.start_block,
        workers=values.engine.workers,
        callers=_callers(values, opened.engine),
        poll_interval_s=values.chain.poll_interval_s,
        queue=values.service.queue,
        batching=values.batching.batching,
        give_up_before_s=values.service.give_up_before_s,
        checkpoint=opened.heard.pulse.reached,
        telemetry=opened.heard.telemetry,
        role=opened.role,
    )


def reloading(
    around: Surroundings, *, values: WatcherSettings, read: Callable[[], WatcherSettings], asked: Event
) -> Surroundings:
    """The same surroundings, whose guards are read again when ``asked`` is set."""

    def made(guarded: Guarded) -> Reloading:
        return Reloading(current=values, read=read, guarded=guarded, log=around.log, asked=asked)

    return replace(around, reloading=made)


@contextmanager
def _serving(server: TraceServerSettings, around: Surroundings) -> Iterator[None]:
    """Serves the traces of a watcher. Raises `ConfigurationError`."""
    try:
        from sworn.web.library import WatcherLibrary
        from sworn.web.server import serving
        from sworn.web.throttle import RateLimit
        from sworn.web.traces import trace_app
    except ImportError as error:
        raise ConfigurationError("the trace server needs the web extra: pip install 'sworn-oracle[web]'") from error
    if around.traces is None:
        raise ConfigurationError("no model that is served has traces: remove the table trace_server")
    library = WatcherLibrary(traces=around.traces, database=around.database, operator=around.operator)
    app = trace_app(library, limit=RateLimit(burst=server.burst, per_second=server.per_second))
    with serving(app, host=server.host, port=server.port) as (host, port):
        around.log.info("traces_served", host=host, port=port)
        yield


def _watched(values: WatcherSettings, metrics: MetricsSettings, around: Surroundings) -> Watched:
    """What there is of a watcher to look at."""
    # SAFETY: a gateway of its own: the loop's is used by one thread.
    return Watched(
        contracts=Contracts(gateway=bystander(values.chain), deployment=around.deployment),
        database=around.database,
        operator=around.operator,
        leads=lambda: around.role.led,
        senders=[each.address for each in (around.transaction_signer, *around.retiring_signers)],
        result_signers=(around.result_signer, *around.other_result_signers),
        models=around.models,
        files=SealedFiles(entry.artifact for entry in values.models if entry.artifact is not None),
        trace_folder=None if around.traces is None else values.trace_folder or HOME.expanduser() / "traces",
        max_trace_bytes=values.traces.max_total_bytes,
        engine=around.engine if isinstance(around.engine, ServingEngine) else None,
        thresholds=metrics.thresholds(
            min_time_left_s=values.guards.min_time_left_s,
            min_balance_wei=values.guards.min_balance_wei,
            pause_balance_wei=values.guards.pause_balance_wei,
        ),
    )


def _checked(around: Surroundings) -> Watcher:
    built = assemble(around)
    warnings = check_startup(
        contracts=Contracts(gateway=around.gateway, deployment=around.deployment),
        store=built.store,
        operator=around.operator,
        result_signers=[around.result_signer.address, *(each.address for each in around.other_result_signers)],
        sender=around.transaction_signer.address,
        models=around.models,
        retiring=[each.address for each in around.retiring_signers],
    )
    for model in around.models:
        name = model.profile.name.lower()
        around.log.info("model_served", model_id=model.model_id, profile=name, promise=model.profile.promise)
    for warning in warnings:
        around.log.warning("startup_warning", reason=warning)
    return built


def unlock_keys(values: WatcherSettings, output: Output) -> Keys:
    """The configured keys. Raises `SignerError`."""
    return opened_keys(values.keys.transaction_sources, values.keys.result_sources, output)


def operator_of(values: WatcherSettings, keys: Keys) -> Address:
    """The operator's owner address. Raises `ConfigurationError` where it would change with the key that sends."""
    if values.operator_address is None and len(keys.transactions) > 1:
        raise ConfigurationError("several transaction keys are named: name the operator's address in `operator` too")
    return values.operator_address or keys.transaction.address


def engine_of(values: WatcherSettings) -> ServingEngine:
    """The configured engine; nothing runs yet. Raises `ConfigurationError` where what it needs is not installed."""
    return compose_engine.engine_of(values.engine, models=len(values.models))


def _warmed(
    values: WatcherSettings,
    engine: ServingEngine,
    models: Sequence[ServedModel],
    log: FilteringBoundLogger,
    output: Output,
) -> None:
    """Gives the models their terms, and has them loaded. Raises `ConfigurationError` and what a run raises."""

    def report(model: IdentifiedModel, seconds: float) -> None:
        log.info("model_ready", model_id=model.model_id, seconds=round(seconds, 2), warm=values.engine.warm)

    # Models come in the order of their settings.
    pairs = zip(models, values.models, strict=True)
    served = [(model.identified, entry.terms, model.limits) for model, entry in pairs]
    with output.busy("loading the models"):
        compose_engine.serve_models(engine, served, warm=values.engine.warm, report=report)


def served_models(
    values: WatcherSettings,
    chain: Gateway,
    contracts: Deployment,
    engine: Engine,
    *,
    report: BadMirrorReport = no_report,
) -> tuple[ServedModel, ...]:
    """The configured models with their artifacts, compiled by the engine, ids recomputed.

    Raises `ModelError`, `ConfigurationError`, `ArtifactError`, `EngineError`.
    """
    loaded = load_models(
        values.models,
        contracts=Contracts(gateway=chain, deployment=contracts),
        artifacts=artifact_store(values.artifacts, report=report),
        identify=engine.identify,
        read=read_artifact,
        max_trace_bytes=values.traces.max_bytes,
        max_log_range=values.chain.max_log_range,
    )
    return tuple(loaded.values())
