"""Puts the challenger together from its settings."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from structlog.typing import FilteringBoundLogger

from sworn.chain.endpoints import FailoverGateway
from sworn.chain.gateway import Gateway
from sworn.chain.heads import Wakeup
from sworn.chain.keystore import kept_secret
from sworn.chain.signer import Signer
from sworn.cli import compose, compose_observe
from sworn.cli.compose_artifacts import artifact_store, reported
from sworn.cli.compose_endpoints import bystander, chain_of, deployment, fees, second_opinion, wakeup_of
from sworn.cli.compose_engine import engine_of
from sworn.cli.compose_keys import opened
from sworn.cli.compose_replicas import replica
from sworn.cli.output import Output
from sworn.cli.places import HOME
from sworn.dispute.trace_source import HttpTraceSource
from sworn.engine.serving import ServingEngine
from sworn.errors import ConfigurationError
from sworn.storage import HttpFetcher
from sworn.types import Address, Deployment
from sworn.verification.assembly import assemble
from sworn.watcher.challenger.assembly import ChallengerSurroundings, assemble_challenger
from sworn.watcher.challenger.readings import WatchedChallenger
from sworn.watcher.challenger.service import Challenger
from sworn.watcher.challenger.settings import ChallengerSettings, load_challenger_settings
from sworn.watcher.inference import fetch_from
from sworn.watcher.logs import make_logger
from sworn.watcher.replica import Replica
from sworn.watcher.settings_observe import MetricsSettings
from sworn.watcher.store.database import Database, open_database
from sworn.watcher.store.migration import upgrade

_RPC_TIMEOUT_S = 30.0


def settings(files: Sequence[Path], overrides: dict[str, Any]) -> ChallengerSettings:
    """Files, then environment, then what was said on the command line. Raises `ConfigurationError`."""
    return load_challenger_settings(files, overrides=overrides)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Opened:
    """What has been opened for a challenger, in the order in which it was."""

    heard: compose_observe.Listeners
    log: FilteringBoundLogger
    chain: FailoverGateway
    wakeup: Wakeup
    contracts: Deployment
    signers: tuple[Signer, ...]
    database: Database
    engine: ServingEngine
    role: Replica


@contextmanager
def challenger(
    values: ChallengerSettings, output: Output, *, observes: bool, log: TextIO | None = None
) -> Iterator[Challenger]:
    """A challenger that can start. Raises `ConfigurationError`, `SignerError`, `ChainError`, `StoreError`."""
    with ExitStack() as closing:
        logger = make_logger(log or sys.stderr, form=values.log.format, level=values.log.level)
        opened = _opened(values, output, logger, closing, observes=observes)
        around = _surroundings(values, opened)
        built = assemble_challenger(around)
        if values.metrics is not None:
            subject = _watched(values, values.metrics, around)
            closing.enter_context(compose_observe.watched(values.metrics, subject, opened.heard, around.log))
        closing.enter_context(opened.heard.supervised())
        yield built


def _opened(
    values: ChallengerSettings, output: Output, log: FilteringBoundLogger, closing: ExitStack, *, observes: bool
) -> _Opened:
    heard = compose_observe.listeners(values.metrics, poll_interval_s=values.chain.poll_interval_s)
    chain = closing.enter_context(chain_of(values.chain, log, heard.telemetry))
    wakeup = closing.enter_context(wakeup_of(values.chain, log))
    with output.busy("reading the deployment"):
        contracts = deployment(values.chain, chain)
    signers = () if observes else _signers(values, output)
    database = open_database(values.database_url.get_secret_value())
    closing.callback(database.close)
    upgrade(database)
    engine = closing.enter_context(engine_of(values.engine))
    senders = [each.address for each in signers]
    shared = replica(
        values.replica,
        role="challenger",
        database=database,
        deployment=contracts,
        senders=senders,
        log=log,
        pulse=heard.pulse,
    )
    return _Opened(
        heard=heard,
        log=log,
        chain=chain,
        wakeup=wakeup,
        contracts=contracts,
        signers=signers,
        database=database,
        engine=engine,
        role=closing.enter_context(shared),
    )


def _surroundings(values: ChallengerSettings, opened: _Opened) -> ChallengerSurroundings:
    fetcher = HttpFetcher(allow_private_hosts=values.challenge.private_hosts)
    return ChallengerSurroundings(
        role=opened.role,
        keep_rows_s=values.retention.keep_s if values.retention.prune else None,
        prune_interval_s=values.retention.interval_s,
        gateway=opened.chain,
        # Without a node named for it, any other endpoint has to say the same before a bond is put at risk.
        witness=_witness(values, opened.contracts) or second_opinion(opened.chain),
        deployment=opened.contracts,
        signer=opened.signers[0] if opened.signers else None,
        retiring_signers=opened.signers[1:],
        make_secret=None if values.keys.secret_file is None else partial(kept_secret, values.keys.secret_file),
        engine=opened.engine,
        compile_model=partial(assemble, threads=values.engine.threads),
        artifacts=artifact_store(
            values.artifacts, private_hosts=values.challenge.private_hosts, report=reported(opened.log)
        ),
        database=opened.database,
        scrutiny=values.challenge.scrutiny,
        fetch=fetch_from(fetcher),
        input_hosts=frozenset(host.lower() for host in values.challenge.input_hosts),
        max_input_bytes=values.challenge.max_input_bytes,
        sources=_sources(values, fetcher),
        input_shapes=values.challenge.shapes,
        folder=values.folder or HOME.expanduser() / "challenges",
        tolerance=values.challenge.tolerance,
        accuse_by_distance=values.challenge.accuse_by_distance,
        limits=values.challenge.limits,
        log=opened.log,
        fees=fees(values.chain),
        confirmations=values.chain.confirmations,
        finality=values.chain.finality,
        wakeup=opened.wakeup,
        max_log_range=values.chain.max_log_range,
        start_block=values.chain.start_block,
        workers=values.engine.workers,
        poll_interval_s=values.chain.poll_interval_s,
        checkpoint=opened.heard.pulse.reached,
        telemetry=opened.heard.telemetry,
    )


def _watched(values: ChallengerSettings, metrics: MetricsSettings, around: ChallengerSurroundings) -> WatchedChallenger:
    """What there is of a challenger to look at."""
    # SAFETY: a gateway of its own: the loop's is used by one thread.
    return WatchedChallenger(
        gateway=bystander(values.chain),
        database=around.database,
        sender=None if around.signer is None else around.signer.address,
        max_exposure_wei=around.scrutiny.max_exposure_wei,
        thresholds=metrics.thresholds(),
    )


def _signers(values: ChallengerSettings, output: Output) -> tuple[Signer, ...]:
    sources = values.keys.transaction_sources
    if not sources:
        raise ConfigurationError("a challenger posts bonds: name keys.transaction, or give --observe")
    return tuple(opened(source, output) for source in sources)


def _witness(values: ChallengerSettings, contracts: Deployment) -> Gateway | None:
    """The second node. Raises `ConfigurationError` where it serves another chain."""
    url = values.challenge.witness_rpc_url
    if url is None:
        return None
    witness = compose.gateway(url.get_secret_value(), timeout_s=_RPC_TIMEOUT_S)
    served = witness.chain_id()
    if served != contracts.chain_id:
        raise ConfigurationError(f"challenge.witness_rpc_url serves chain {served}, not {contracts.chain_id}")
    return witness


def _sources(values: ChallengerSettings, fetcher: HttpFetcher) -> dict[Address, HttpTraceSource]:
    limit = values.challenge.max_trace_bytes
    return {
        Address(operator): HttpTraceSource(url=url, fetcher=fetcher, max_bytes=limit)
        for operator, url in values.challenge.trace_servers.items()
    }
