"""Puts the watcher together from its settings."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from sworn.chain.gateway import Gateway
from sworn.chain.sender import FeePolicy
from sworn.chain.signer import Signer
from sworn.cli import compose
from sworn.cli.output import Output
from sworn.cli.places import HOME
from sworn.engine.protocol import Engine
from sworn.engine.serving import ServingEngine
from sworn.errors import ConfigurationError
from sworn.model import read_artifact
from sworn.storage import CachedArtifactStore, HttpFetcher
from sworn.types import Address, Deployment, Profile
from sworn.watcher.assembly import Surroundings, assemble
from sworn.watcher.contracts import Contracts
from sworn.watcher.inference import fetch_from
from sworn.watcher.logs import make_logger
from sworn.watcher.models import load_models
from sworn.watcher.policy import ServedModel
from sworn.watcher.service import Watcher
from sworn.watcher.settings import WatcherSettings, load_settings
from sworn.watcher.settings_traces import TraceServerSettings
from sworn.watcher.startup import check_startup
from sworn.watcher.store.database import open_database
from sworn.watcher.store.migration import upgrade
from sworn.watcher.traces import FileTraceStore

_RPC_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """Who pays for transactions and who signs results."""

    transaction: Signer
    result: Signer


def settings(files: Sequence[Path], overrides: dict[str, Any]) -> WatcherSettings:
    """Files, then environment, then what was said on the command line. Raises `ConfigurationError`."""
    return load_settings(files, overrides=overrides)


@contextmanager
def watcher(values: WatcherSettings, output: Output, *, log: TextIO | None = None) -> Iterator[Watcher]:
    """A watcher that has passed its start-up checks. Raises `ConfigurationError` that lists every problem."""
    with ExitStack() as closing:
        chain = compose.gateway(values.chain.rpc_url.get_secret_value(), timeout_s=_RPC_TIMEOUT_S)
        with output.busy("reading the deployment"):
            contracts = deployment(values, chain)
        keys = unlock_keys(values, output)
        database = open_database(values.database_url.get_secret_value())
        closing.callback(database.close)
        upgrade(database)
        engine = closing.enter_context(engine_of(values))
        with output.busy("compiling the models"):
            models = served_models(values, chain, contracts, engine)
        around = Surroundings(
            gateway=chain,
            deployment=contracts,
            operator=operator_of(values, keys),
            transaction_signer=keys.transaction,
            result_signer=keys.result,
            models=models,
            guards=values.guards.guards,
            engine=engine,
            exhibitor=engine,
            database=database,
            fetch=fetch_from(HttpFetcher()),
            traces=_traces(values) if any(model.profile is not Profile.SIGNED for model in models) else None,
            keep_traces_s=values.traces.keep_s,
            log=make_logger(log or sys.stderr, form=values.log.format, level=values.log.level),
            fees=_fees(values),
            confirmations=values.chain.confirmations,
            max_log_range=values.chain.max_log_range,
            start_block=values.chain.start_block,
            workers=values.engine.workers,
            poll_interval_s=values.chain.poll_interval_s,
        )
        built = _checked(around)
        if values.trace_server is not None:
            closing.enter_context(_serving(values.trace_server, around))
        yield built


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


def _checked(around: Surroundings) -> Watcher:
    built = assemble(around)
    warnings = check_startup(
        contracts=Contracts(gateway=around.gateway, deployment=around.deployment),
        store=built.store,
        operator=around.operator,
        result_signer=around.result_signer.address,
        sender=around.transaction_signer.address,
        models=around.models,
    )
    for model in around.models:
        name = model.profile.name.lower()
        around.log.info("model_served", model_id=model.model_id, profile=name, promise=model.profile.promise)
    for warning in warnings:
        around.log.warning("startup_warning", reason=warning)
    return built


def deployment(values: WatcherSettings, chain: Gateway) -> Deployment:
    """The configured deployment on the configured chain. Raises `ChainIdMismatch`, `DeploymentUnknown`."""
    found = compose.deployment(chain, values.chain.deployment)
    if found.chain_id != values.chain.chain_id:
        raise ConfigurationError(
            f"chain.chain_id is {values.chain.chain_id}, but the node serves chain {found.chain_id}"
        )
    return found


def unlock_keys(values: WatcherSettings, output: Output) -> Keys:
    """The configured keys. Raises `SignerError`."""
    keys = values.keys
    transaction = compose.unlocked(output, keys.transaction_key, keys.password_file)
    if keys.result_key is None:
        return Keys(transaction=transaction, result=transaction)
    password_file = keys.result_password_file or keys.password_file
    return Keys(transaction=transaction, result=compose.unlocked(output, keys.result_key, password_file))


def operator_of(values: WatcherSettings, keys: Keys) -> Address:
    """The operator's owner address."""
    return values.operator_address or keys.transaction.address


def engine_of(values: WatcherSettings) -> ServingEngine:
    """The configured engine; nothing runs yet."""
    return ServingEngine(workers=values.engine.workers, threads=values.engine.threads)


def served_models(
    values: WatcherSettings, chain: Gateway, contracts: Deployment, engine: Engine
) -> tuple[ServedModel, ...]:
    """The configured models with their artifacts, compiled by the engine, ids recomputed.

    Raises `ModelError`, `ConfigurationError`, `ArtifactError`, `EngineError`.
    """
    cache = values.artifacts or (HOME / "artifacts")
    loaded = load_models(
        values.models,
        contracts=Contracts(gateway=chain, deployment=contracts),
        artifacts=CachedArtifactStore(cache.expanduser()),
        identify=engine.identify,
        read=read_artifact,
        max_trace_bytes=values.traces.max_bytes,
    )
    return tuple(loaded.values())


def _fees(values: WatcherSettings) -> FeePolicy:
    chain = values.chain
    return FeePolicy(
        max_fee_cap_wei=chain.max_fee_cap_wei,
        urgent_cap_wei=chain.urgent_fee_cap_wei,
        bump_after_s=chain.bump_after_s,
    )


def _traces(values: WatcherSettings) -> FileTraceStore:
    return FileTraceStore(
        values.trace_folder or HOME.expanduser() / "traces", max_total_bytes=values.traces.max_total_bytes
    )
