"""Puts the way to the chain together: the configured nodes behind one gateway, and what wakes a daemon."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from structlog.typing import FilteringBoundLogger

from sworn.chain.endpoints import FailoverGateway, SecondOpinion
from sworn.chain.endpoints_node import Endpoint, Notice, NoticeKind, Notify
from sworn.chain.endpoints_policy import CrossCheck, FailoverPolicy
from sworn.chain.gateway import Gateway
from sworn.chain.heads import POLLING, HeadSubscription, Wakeup, websocket
from sworn.chain.sender import FeePolicy
from sworn.chain.telemetry import NO_CHAIN_TELEMETRY, ChainTelemetry
from sworn.chain.web3_gateway import Web3Gateway, connect_gateway
from sworn.cli import compose
from sworn.errors import ChainError
from sworn.types import Deployment
from sworn.watcher.settings import ChainSettings
from sworn.watcher.settings_endpoints import EndpointSettings, failover_policy
from sworn.watcher.settings_values import mask_url

#: Seconds in which a node says which chain it serves, or another one is asked.
_PROBE_S: Final = 5.0
#: What is no trouble.
_GOOD: Final = (NoticeKind.BACK,)
#: What an operator has to look into: nothing is done meanwhile, or a node lies.
_GRAVE: Final = (NoticeKind.DISAGREEMENT, NoticeKind.CONTRADICTED)


@contextmanager
def chain_of(
    chain: ChainSettings, log: FilteringBoundLogger, telemetry: ChainTelemetry = NO_CHAIN_TELEMETRY
) -> Iterator[FailoverGateway]:
    """The configured nodes as one gateway, each on the configured chain.

    Raises `ChainIdMismatch` when a node serves another chain, `TransientChainError` when none answers.
    """
    policy = failover_policy(chain, confirmations=chain.confirmations)
    gateway = FailoverGateway(_endpoints(chain, telemetry, _noted(log)), policy=policy)
    try:
        gateway.identify()
        yield gateway
    finally:
        gateway.close()


def deployment(chain: ChainSettings, gateway: Gateway) -> Deployment:
    """The configured deployment on the configured chain. Raises `ChainIdMismatch`, `DeploymentUnknown`."""
    found = compose.deployment(gateway, chain.deployment)
    compose.require_chain(found, chain.chain_id)
    return found


def fees(chain: ChainSettings) -> FeePolicy:
    """What transactions may cost."""
    return FeePolicy(
        max_fee_cap_wei=chain.max_fee_cap_wei,
        max_cost_wei=chain.max_cost_wei,
        urgent_cap_wei=chain.urgent_fee_cap_wei,
        min_tip_wei=chain.min_tip_wei,
        max_tip_wei=chain.max_tip_wei,
        bump_after_s=chain.bump_after_s,
    )


def bystander(chain: ChainSettings) -> FailoverGateway:
    """The same nodes for those who only look on: whichever is well, unchecked, and nobody hears of its trouble."""
    return FailoverGateway(
        _endpoints(chain, NO_CHAIN_TELEMETRY, lambda notice: None),
        policy=FailoverPolicy(cross_check=CrossCheck.OFF, broadcast=False),
    )


def answering(chain: ChainSettings, *, timeout_s: float) -> Gateway:
    """The first node that answers on the configured chain, for commands that ask a single one.

    Where none does it is the first of all: what is wrong with it is said when it is asked.
    """
    urls = [endpoint.url.get_secret_value() for endpoint in chain.endpoints]
    alone = len(urls) == 1
    chosen = urls[0] if alone else next((url for url in urls if _serves(url, chain.chain_id)), urls[0])
    return compose.gateway(chosen, timeout_s=timeout_s)


def each_node(chain: ChainSettings) -> Iterator[tuple[str, EndpointSettings, Web3Gateway]]:
    """Every configured node by itself, with its name."""
    for name, settings in zip(endpoint_names(chain), chain.endpoints, strict=True):
        yield name, settings, connect_gateway(settings.url.get_secret_value(), timeout_s=settings.timeout_s)


def second_opinion(gateway: FailoverGateway) -> Gateway | None:
    """Another node than the one in use; None where there is only one."""
    return SecondOpinion(gateway) if len(gateway.circle.endpoints) > 1 else None


def endpoint_names(chain: ChainSettings) -> tuple[str, ...]:
    """Masked hosts; where several endpoints have the same one, they are numbered."""
    hosts = [mask_url(endpoint.url.get_secret_value()) for endpoint in chain.endpoints]
    several = {host for host, count in Counter(hosts).items() if count > 1}
    return tuple(f"{host}#{number}" if host in several else host for number, host in enumerate(hosts, start=1))


@contextmanager
def wakeup_of(chain: ChainSettings, log: FilteringBoundLogger) -> Iterator[Wakeup]:
    """What cuts the wait for the next block short."""
    if chain.ws_url is None:
        yield POLLING
        return

    def changed(up: bool, reason: str) -> None:
        if up:
            log.info("heads_subscribed")
        else:
            log.warning("heads_lost", reason=reason)

    wakeup = HeadSubscription(websocket(chain.ws_url.get_secret_value()), on_change=changed)
    try:
        yield wakeup
    finally:
        wakeup.close()


def _serves(url: str, chain_id: int) -> bool:
    try:
        return connect_gateway(url, timeout_s=_PROBE_S).chain_id() == chain_id
    except ChainError:
        return False


def _endpoints(chain: ChainSettings, telemetry: ChainTelemetry, notify: Notify) -> list[Endpoint]:
    return [
        Endpoint(
            gateway,
            name=name,
            chain_id=chain.chain_id,
            max_log_range=settings.max_log_range or chain.max_log_range,
            requests_per_second=settings.requests_per_second,
            rests=chain.rests,
            telemetry=telemetry,
            notify=notify,
        )
        for name, settings, gateway in each_node(chain)
    ]


def _noted(log: FilteringBoundLogger) -> Notify:
    def note(notice: Notice) -> None:
        tell = log.error if notice.kind in _GRAVE else log.info if notice.kind in _GOOD else log.warning
        tell(f"endpoint_{notice.kind.value}", endpoint=notice.endpoint, reason=notice.reason)

    return note
