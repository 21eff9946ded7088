"""Looks that a watcher and a challenger have in common: at the chain's head, at transactions, at tables, at a key."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sworn.chain.gateway import Gateway
from sworn.chain.signer import Signer
from sworn.codec.hashing import Domain, recover_signer
from sworn.codec.statements import failure_statement
from sworn.errors import CodecError, SignerError
from sworn.types import ZERO_HASH, Address, Failure, FailureCode, RequestId
from sworn.watcher.status import Component, Figure, Reading, broken, doubtful, fine
from sworn.watcher.store.census import Census

#: Blocks between the head and what has been read of it, beyond which somebody is told.
_MAX_BEHIND: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """From when on something counts as late, old or low."""

    overdue_after_s: float = 300.0
    max_head_age_s: float = 120.0
    min_time_left_s: float = 30.0
    min_balance_wei: int = 0
    #: Below it nothing new is taken.
    pause_balance_wei: int = 0


def head_look(
    gateway: Gateway, *, cursor: int | None, now: float, thresholds: Thresholds
) -> tuple[int, Component, list[Figure]]:
    """The newest block's time; whether the node keeps up with its chain, and we with the node. Raises `ChainError`."""
    head = gateway.block("latest")
    age_s = max(now - head.timestamp, 0.0)
    figures = [
        Figure(name="sworn_head_block", value=head.number),
        Figure(name="sworn_head_lag_seconds", value=age_s),
        Figure(name="sworn_base_fee_wei", value=head.base_fee),
    ]
    behind = 0
    if cursor is not None:
        figures.append(Figure(name="sworn_cursor_block", value=cursor))
        behind = head.number - cursor
    if age_s > thresholds.max_head_age_s:
        advice = "Check that the node is in sync, or use another endpoint: see the runbook 'RPC behind'."
        return head.timestamp, broken("rpc", f"the newest block is {age_s:.0f} s old", advice), figures
    if behind > _MAX_BEHIND:
        detail = f"{behind} blocks of {head.number} are still to be read"
        return head.timestamp, doubtful("rpc", detail, "After a downtime this passes; watch that it falls."), figures
    return head.timestamp, fine("rpc", f"block {head.number}, {age_s:.0f} s old"), figures


def balance_look(
    gateway: Gateway, accounts: Sequence[Address], thresholds: Thresholds
) -> tuple[Component, list[Figure]]:
    """Whether the first of some accounts can pay for transactions; the others only see through. Raises `ChainError`."""
    balances = {account: gateway.balance(account) for account in accounts}
    figures = [
        Figure(name="sworn_balance_wei", value=balance_wei, labels={"account": account})
        for account, balance_wei in balances.items()
    ]
    for account in accounts:
        labels = {"account": account, "source": "chain"}
        figures.append(Figure(name="sworn_nonce", value=gateway.nonce(account), labels=labels))
    account, balance_wei = next(iter(balances.items()))
    advice = f"Send ether to {account}."
    if balance_wei == 0:
        return broken("funds", f"{account} has nothing", advice), figures
    if balance_wei < thresholds.pause_balance_wei:
        return broken("funds", f"{account} has {ether(balance_wei)}: nothing new is answered", advice), figures
    if balance_wei < thresholds.min_balance_wei:
        detail = f"{account} has {ether(balance_wei)}, less than {ether(thresholds.min_balance_wei)}"
        return doubtful("funds", detail, advice), figures
    return fine("funds", f"{account} has {ether(balance_wei)}"), figures


def transactions_look(census: Census, *, now: float, thresholds: Thresholds) -> tuple[Component, list[Figure]]:
    """How transactions get on. Raises `StoreError`."""
    pending = census.pending()
    age_s = 0.0 if pending.since is None else max(now - pending.since, 0.0)
    figures = [
        *counted("sworn_transactions", "status", {each.value: n for each, n in census.transactions().items()}),
        *gas_figures(census),
        Figure(name="sworn_pending_transactions", value=pending.count),
        Figure(name="sworn_pending_oldest_seconds", value=age_s),
    ]
    if age_s > thresholds.overdue_after_s:
        advice = "See the runbook 'Stuck transaction'."
        return doubtful("transactions", f"the oldest of {pending.count} waits for {age_s:.0f} s", advice), figures
    return fine("transactions", f"{pending.count} wait to be mined"), figures


def gas_figures(census: Census) -> Iterator[Figure]:
    """What transactions have cost so far, by whichever process. Raises `StoreError`."""
    for (account, kind), paid_wei in census.gas_paid().items():
        yield Figure(name="sworn_gas_paid_wei", value=paid_wei, labels={"account": account, "kind": kind})


def nonce_figures(census: Census, accounts: Sequence[Address]) -> Iterator[Figure]:
    """The next nonces by the database, where it knows one. Raises `StoreError`."""
    for account in accounts:
        nonce = census.next_nonce(account)
        if nonce is not None:
            yield Figure(name="sworn_nonce", value=nonce, labels={"account": account, "source": "database"})


def tables_look(census: Census) -> Callable[[], Reading]:
    """How large the database is."""

    def look() -> Reading:
        rows = counted("sworn_database_rows", "table", census.rows())
        return Reading(figures=(*rows, Figure(name="sworn_database_bytes", value=census.size_bytes())))

    return look


def keys_look(signers: Sequence[Signer], domain: Domain) -> Callable[[], Reading]:
    """Whether keys sign, wherever they lie; one that does is enough."""

    def look() -> Reading:
        mute = [reason for signer in signers if (reason := _muteness(signer, domain)) is not None]
        if len(mute) == len(signers):
            advice = "Check the remote signer and the way to it; results wait until it signs."
            return Reading(components=(broken("key", "; ".join(mute), advice),))
        if mute:
            return Reading(components=(doubtful("key", "; ".join(mute), "Another key signs meanwhile: repair it."),))
        return Reading(components=(fine("key", f"{', '.join(signer.address for signer in signers)} signs"),))

    return look


def _muteness(signer: Signer, domain: Domain) -> str | None:
    """Why a key does not sign, if so."""
    # SAFETY: ids are hashes: no request has the id zero, so that this statement says nothing about any.
    nothing = Failure(request_id=RequestId(ZERO_HASH), operator=signer.address, code=FailureCode.EXECUTION_FAILED)
    statement = failure_statement(nothing, domain)
    try:
        signature = signer.sign_statement(statement)
        found = recover_signer(statement.digest, signature)
    except (SignerError, CodecError) as error:
        return f"{signer.address} does not sign: {error}"
    return None if found == signer.address else f"{signer.address} signs with another key, that of {found}"


def ether(amount_wei: int) -> str:
    """An amount for people."""
    return f"{amount_wei / 10**18:.6g} ether"


def counted(name: str, label: str, counts: Mapping[str, int]) -> Iterator[Figure]:
    """One figure for each value of a label."""
    for value, count in counts.items():
        yield Figure(name=name, value=count, labels={label: value})
