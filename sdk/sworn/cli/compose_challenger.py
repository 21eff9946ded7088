"""Puts the challenger together from its settings."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from sworn.chain.gateway import Gateway
from sworn.chain.sender import FeePolicy
from sworn.chain.signer import Signer
from sworn.cli import compose
from sworn.cli.output import Output
from sworn.cli.places import HOME
from sworn.dispute.trace_source import HttpTraceSource
from sworn.engine.serving import ServingEngine
from sworn.errors import ConfigurationError
from sworn.storage import CachedArtifactStore, HttpFetcher
from sworn.types import Address, Deployment
from sworn.verification.assembly import assemble
from sworn.watcher.challenger.assembly import ChallengerSurroundings, assemble_challenger
from sworn.watcher.challenger.service import Challenger
from sworn.watcher.challenger.settings import ChallengerSettings, load_challenger_settings
from sworn.watcher.inference import fetch_from
from sworn.watcher.logs import make_logger
from sworn.watcher.store.database import open_database
from sworn.watcher.store.migration import upgrade

_RPC_TIMEOUT_S = 30.0


def settings(files: Sequence[Path], overrides: dict[str, Any]) -> ChallengerSettings:
    """Files, then environment, then what was said on the command line. Raises `ConfigurationError`."""
    return load_challenger_settings(files, overrides=overrides)


@contextmanager
def challenger(
    values: ChallengerSettings, output: Output, *, observes: bool, log: TextIO | None = None
) -> Iterator[Challenger]:
    """A challenger that can start. Raises `ConfigurationError`, `SignerError`, `ChainError`, `StoreError`."""
    with ExitStack() as closing:
        chain = compose.gateway(values.chain.rpc_url.get_secret_value(), timeout_s=_RPC_TIMEOUT_S)
        with output.busy("reading the deployment"):
            contracts = _deployment(values, chain)
        signer = None if observes else _signer(values, output)
        database = open_database(values.database_url.get_secret_value())
        closing.callback(database.close)
        upgrade(database)
        engine = closing.enter_context(ServingEngine(workers=values.engine.workers, threads=values.engine.threads))
        fetcher = HttpFetcher(allow_private_hosts=values.challenge.private_hosts)
        around = ChallengerSurroundings(
            gateway=chain,
            witness=_witness(values, contracts),
            deployment=contracts,
            signer=signer,
            engine=engine,
            compile_model=partial(assemble, threads=values.engine.threads),
            artifacts=CachedArtifactStore((values.artifacts or HOME / "artifacts").expanduser()),
            database=database,
            scrutiny=values.challenge.scrutiny,
            fetch=fetch_from(fetcher),
            input_hosts=frozenset(host.lower() for host in values.challenge.input_hosts),
            max_input_bytes=values.challenge.max_input_bytes,
            sources=_sources(values, fetcher),
            input_shapes=values.challenge.shapes,
            folder=values.folder or HOME.expanduser() / "challenges",
            tolerance=values.challenge.tolerance,
            limits=values.challenge.limits,
            log=make_logger(log or sys.stderr, form=values.log.format, level=values.log.level),
            fees=FeePolicy(max_fee_cap_wei=values.chain.max_fee_cap_wei, bump_after_s=values.chain.bump_after_s),
            confirmations=values.chain.confirmations,
            max_log_range=values.chain.max_log_range,
            start_block=values.chain.start_block,
            workers=values.engine.workers,
            poll_interval_s=values.chain.poll_interval_s,
        )
        yield assemble_challenger(around)


def _deployment(values: ChallengerSettings, chain: Gateway) -> Deployment:
    found = compose.deployment(chain, values.chain.deployment)
    if found.chain_id != values.chain.chain_id:
        raise ConfigurationError(
            f"chain.chain_id is {values.chain.chain_id}, but the node serves chain {found.chain_id}"
        )
    return found


def _signer(values: ChallengerSettings, output: Output) -> Signer:
    key = values.keys.transaction_key
    if key is None:
        raise ConfigurationError("a challenger posts bonds: name keys.transaction_key, or give --observe")
    return compose.unlocked(output, key, values.keys.password_file)


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
