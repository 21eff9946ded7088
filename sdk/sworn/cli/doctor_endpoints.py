"""The part of `sworn doctor` that looks at each node that the settings name, and at whether they agree."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from sworn.cli.doctor_findings import Finding, Verdict, bad, failure, good, poor
from sworn.cli.session import Session
from sworn.errors import LogRangeRefused, SwornError, TransientChainError

if TYPE_CHECKING:
    from sworn.chain.gateway import Block
    from sworn.chain.web3_gateway import Web3Gateway
    from sworn.types import Address
    from sworn.watcher.settings import ChainSettings

#: Blocks by which a node may be behind the best one.
_MAX_LAG: Final = 5
#: Requests that are sent at once to see whether the node takes them.
_BATCH: Final = 10
#: Seconds for which a subscription is waited for.
_SUBSCRIPTION_S: Final = 10.0


def findings(session: Session) -> list[Finding]:
    """Each endpoint by itself, and then all of them together."""
    from sworn.cli.compose_endpoints import each_node

    chain, oracle = session.node_settings.chain, _oracle(session)
    found: list[Finding] = []
    heads: dict[str, tuple[Web3Gateway, Block]] = {}
    for name, settings, gateway in each_node(chain):
        try:
            about = _endpoint(chain, name, gateway)
            if oracle is not None and about[0].verdict is not Verdict.FAIL:
                about += _log_range(name, gateway, oracle, settings.max_log_range or chain.max_log_range)
            found += about
            if about[0].verdict is not Verdict.FAIL:
                heads[name] = gateway, gateway.block("latest")
        except SwornError as error:
            found.append(failure(f"endpoint {name}", error))
    return [*found, *_together(chain, heads), *_subscription(chain)]


def _oracle(session: Session) -> Address | None:
    """Whose logs are asked for. None where it is not known: the check of the contracts says why."""
    try:
        return session.deployment.oracle
    except SwornError:
        return None


def _endpoint(chain: ChainSettings, name: str, gateway: Web3Gateway) -> list[Finding]:
    check, expected = f"endpoint {name}", chain.chain_id
    begun = time.monotonic()
    served = gateway.chain_id()
    took_ms = 1000 * (time.monotonic() - begun)
    if served != expected:
        return [bad(check, f"serves chain {served}, not {expected}", "Take it off chain.rpc_urls.")]
    head = gateway.block("latest")
    age_s = max(int(time.time()) - head.timestamp, 0)
    found = [good(check, f"chain {served}, block {head.number}, {age_s} s old; answers in {took_ms:.0f} ms")]
    return [*found, *_batches(check, gateway)]


def _log_range(name: str, gateway: Web3Gateway, oracle: Address, log_range: int) -> list[Finding]:
    head = gateway.block("latest")
    first = max(head.number - log_range + 1, 0)
    try:
        gateway.logs(addresses=(oracle,), topics=(), from_block=first, to_block=head.number)
    except LogRangeRefused:
        advice = "Nothing has to be done: smaller ranges are used. A smaller chain.max_log_range saves the attempts."
        return [poor(f"endpoint {name}", f"does not serve the logs of {log_range} blocks at once", advice)]
    return []


def _batches(check: str, gateway: Web3Gateway) -> list[Finding]:
    gateway.receipts([bytes([number]) * 32 for number in range(_BATCH)])
    if gateway.batch_size >= _BATCH:
        return []
    advice = "It works, one request at a time. For many requests per second use a node that takes batches."
    return [poor(check, f"takes {gateway.batch_size} request(s) at once", advice)]


def _together(chain: ChainSettings, heads: dict[str, tuple[Web3Gateway, Block]]) -> list[Finding]:
    if len(heads) < 2:
        if len(chain.endpoints) > 1:
            return []
        advice = "Name a node of another provider in chain.rpc_urls: it checks this one and stands in for it."
        return [poor("endpoints", "there is only one", advice)]
    best = max(head.number for _, head in heads.values())
    found = [
        poor(f"endpoint {name}", f"is {best - head.number} blocks behind", "Check that the node is in sync.")
        for name, (_, head) in heads.items()
        if best - head.number > _MAX_LAG
    ]
    height = max(min(head.number for _, head in heads.values()) - chain.confirmations, 0)
    hashes: dict[bytes, list[str]] = {}
    for name, (gateway, _) in heads.items():
        try:
            hashes.setdefault(gateway.block(height).hash, []).append(name)
        except TransientChainError as error:
            found.append(failure(f"endpoint {name}", error))
    if len(hashes) > 1:
        parties = "; ".join(f"0x{key.hex()[:16]}… at {', '.join(names)}" for key, names in hashes.items())
        advice = "One of them is on another chain or lies: nothing is acted on until it is taken off chain.rpc_urls."
        return [*found, bad("endpoints", f"disagree on block {height}: {parties}", advice)]
    return [*found, good("endpoints", f"{len(heads)} agree on block {height}")]


def _subscription(chain: ChainSettings) -> list[Finding]:
    from sworn.chain.heads import HeadSubscription, websocket

    if chain.ws_url is None:
        return []
    wakeup = HeadSubscription(websocket(chain.ws_url.get_secret_value()))
    try:
        stands = wakeup.wait(_SUBSCRIPTION_S)
    finally:
        wakeup.close()
    if stands:
        return [good("chain.ws_url", "tells of new blocks")]
    advice = "Nothing is lost: blocks are polled for. Check the URL, or take it out."
    return [poor("chain.ws_url", f"gives no subscription within {_SUBSCRIPTION_S:.0f} s", advice)]
