"""The keys that may sign an operator's results, and which of them signs now.

A change of key overlaps: the new one signs as soon as its authority is deep enough in the chain to stay, and what the
old one has signed stays as it is while the contracts take it. A key that is revoked keeps its authority over results
that expire within the longest lifetime of a request, so that nothing under way is lost.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

from structlog.typing import FilteringBoundLogger

from sworn.chain.gateway import Block
from sworn.chain.signer import Signer
from sworn.codec.hashing import recover_signer
from sworn.codec.statements import Statement
from sworn.errors import CodecError, SignerError, SignerUnavailable
from sworn.types import Address
from sworn.watcher.contracts import Contracts

_DAY_S = 86_400
#: Seconds between two warnings of the same thing.
_REMIND_S = 3_600.0
#: Refresh periods after which an authority is read again before it is relied on.
_STALE = 6
#: Signatures whose signer is remembered; recovering one is most of what `accepts` costs.
_REMEMBERED = 10_000


class ResultSigners:
    """An operator's result keys, the preferred one first."""

    def __init__(
        self,
        *,
        signers: Sequence[Signer],
        contracts: Contracts,
        operator: Address,
        confirmations: int,
        log: FilteringBoundLogger,
        warning_days: float = 7.0,
        refresh_s: float = 10.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._signers = {signer.address: signer for signer in signers}
        self._contracts = contracts
        self._operator = operator
        self._confirmations = confirmations
        self._log = log
        self._warning_s = warning_days * _DAY_S
        self._refresh_s = refresh_s
        self._clock = clock
        #: Last expiry that each may sign: now, and the lesser of now and of some blocks ago.
        self._not_after: dict[Address, int] = {}
        self._settled: dict[Address, int] = {}
        self._refreshed_at: float | None = None
        self._in_use: Address | None = None
        self._warned_at: dict[str, float] = {}
        self._known: OrderedDict[tuple[bytes, bytes], Address | None] = OrderedDict()

    @property
    def address(self) -> Address:
        """The key that signs now; the preferred one while none may."""
        return self._in_use or next(iter(self._signers))

    @property
    def addresses(self) -> tuple[Address, ...]:
        """All keys, the preferred one first."""
        return tuple(self._signers)

    def refresh(self, head: Block) -> None:
        """Reads what each key may sign, at most every few seconds. Raises `ChainError`."""
        now = self._clock()
        since = None if self._refreshed_at is None else now - self._refreshed_at
        # A clock that was set back must not keep an old answer alive.
        if since is not None and 0 <= since < self._refresh_s:
            return
        deep = min(max(head.number - self._confirmations, self._contracts.deployment.block), head.number)
        self._not_after = {address: self._authority(address, head.number) for address in self._signers}
        self._settled = (
            self._not_after
            if deep == head.number
            else {
                address: min(end, self._authority(address, deep, is_past=True))
                for address, end in self._not_after.items()
            }
        )
        self._refreshed_at = now
        self._tell(head)

    def sign(self, statement: Statement, *, expiry: int) -> bytes:
        """A signature by the first key that may sign until ``expiry`` and answers.

        Raises `SignerError` when no key may, and `SignerUnavailable` when none that may answers.
        """
        self._require_refreshed()
        unavailable: SignerUnavailable | None = None
        # INVARIANT: a key signs only what the contracts would take from it.
        for address in self._covering(expiry):
            try:
                signature = self._signers[address].sign_statement(statement)
            except SignerUnavailable as error:
                self._warn(f"away:{address}", "signer_unavailable", signer=address, reason=str(error))
                unavailable = error
            else:
                # Whose signature it is was checked where it was made.
                self._remember((statement.digest, signature), address)
                return signature
        if unavailable is not None:
            raise unavailable
        raise SignerError(
            f"none of {', '.join(self._signers)} may sign results of {self._operator} that expire at {expiry}: "
            "authorise one from the operator's account with `sworn operator signer authorize`"
        )

    def accepts(self, digest: bytes, signature: bytes, *, expiry: int) -> bool:
        """Whether a signature is by one of these keys, and still counts."""
        self._require_refreshed()
        signer = self._signer_of(digest, signature)
        return signer is not None and self._not_after.get(signer, 0) >= expiry

    def _covering(self, expiry: int) -> list[Address]:
        """Keys that may sign until ``expiry``; those whose authority no reorganisation takes back come first."""
        usable = [address for address, end in self._not_after.items() if end >= max(expiry, 1)]
        return sorted(usable, key=lambda address: self._settled[address] < expiry)

    def _authority(self, address: Address, block: int, *, is_past: bool = False) -> int:
        return self._contracts.signer_not_after(self._operator, address, block=block, is_past=is_past)

    def _require_refreshed(self) -> None:
        # Whoever signs rarely, as a defence does, does not refresh every turn.
        if self._refreshed_at is None or not 0 <= self._clock() - self._refreshed_at < _STALE * self._refresh_s:
            self.refresh(self._contracts.gateway.block("latest"))

    def _signer_of(self, digest: bytes, signature: bytes) -> Address | None:
        key = (digest, signature)
        if key not in self._known:
            try:
                self._remember(key, recover_signer(digest, signature))
            except CodecError:
                self._remember(key, None)
        return self._known[key]

    def _remember(self, key: tuple[bytes, bytes], signer: Address | None) -> None:
        self._known[key] = signer
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)

    def _tell(self, head: Block) -> None:
        usable = self._covering(head.timestamp)
        in_use = usable[0] if usable else None
        if in_use != self._in_use:
            self._log.info("result_signer", signer=in_use, authorised=usable)
        self._in_use = in_use
        if in_use is None:
            self._warn("none", "no_result_signer", signers=list(self._signers))
            return
        left_s = self._not_after[in_use] - head.timestamp
        if left_s < self._warning_s:
            days = round(left_s / _DAY_S, 1)
            self._warn("end", "result_signer_ends", signer=in_use, not_after=self._not_after[in_use], days_left=days)

    def _warn(self, what: str, event: str, **facts: object) -> None:
        now = self._clock()
        last = self._warned_at.get(what)
        if last is None or not 0 <= now - last < _REMIND_S:
            self._warned_at[what] = now
            self._log.warning(event, **facts)
