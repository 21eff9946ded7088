"""The watcher's way to the chain: several endpoints, none of which can be relied on."""

from __future__ import annotations

from collections.abc import Sequence

from sworn.chain.endpoints import FailoverGateway
from sworn.chain.endpoints_health import Rests
from sworn.chain.endpoints_node import Endpoint
from sworn.chain.endpoints_policy import CrossCheck, FailoverPolicy
from sworn.chain.gateway import Gateway
from sworn.chain.telemetry import NO_CHAIN_TELEMETRY, ChainTelemetry
from sworn.chain.web3_gateway import connect_gateway

#: As short as blocks are here, which come every fifth of a second.
_TIMEOUT_S = 2.0
_RESTS = Rests(first_s=0.2, longest_s=2.0, first_ban_s=1.0, longest_ban_s=5.0)
#: Two of three have to say the same: one that leaves logs out is not believed while the others rest.
_POLICY = FailoverPolicy(quorum=2, patience_s=3.0, return_after_s=3.0, wait_s=1.0)


def gateway_over(urls: Sequence[str], telemetry: ChainTelemetry) -> Gateway:
    """A gateway over all of them."""
    return FailoverGateway(_endpoints(urls, telemetry), policy=_POLICY)


def bystander_over(urls: Sequence[str]) -> Gateway:
    """The same nodes for those who only look on, as the watcher's own command opens them."""
    policy = FailoverPolicy(cross_check=CrossCheck.OFF, broadcast=False)
    return FailoverGateway(_endpoints(urls, NO_CHAIN_TELEMETRY), policy=policy)


def _endpoints(urls: Sequence[str], telemetry: ChainTelemetry) -> list[Endpoint]:
    return [
        Endpoint(connect_gateway(url, timeout_s=_TIMEOUT_S), name=f"node-{number}", rests=_RESTS, telemetry=telemetry)
        for number, url in enumerate(urls)
    ]
