from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.unit.test_remote_signer import DOMAIN, RESULT, STATEMENT

from sworn.chain.gateway import Block, BlockRef
from sworn.chain.signer import LocalSigner
from sworn.codec.statements import Statement
from sworn.errors import SignerError, SignerUnavailable
from sworn.types import Address, Deployment
from sworn.watcher.logs import make_logger
from sworn.watcher.signing import ResultSigners

OLD, NEW = LocalSigner.from_key(b"\x31" * 32), LocalSigner.from_key(b"\x32" * 32)
NO_END = 2**40 - 1
OPERATOR = RESULT.operator
NOW = 1_700_000_000


@dataclass(slots=True)
class Registry:
    """Who may sign until when, since which block: what `ResultSigners` reads of the contracts."""

    #: By signer: pairs of the block from which on it holds, and the last expiry.
    authority: dict[Address, list[tuple[int, int]]] = field(default_factory=dict)
    head: int = 100
    reads: int = 0

    @property
    def deployment(self) -> Deployment:
        return _Deployed()  # type: ignore[return-value]

    @property
    def gateway(self) -> Registry:
        return self

    def block(self, ref: BlockRef) -> Block:
        return Block(number=self.head, hash=b"", parent_hash=b"", timestamp=NOW, base_fee=0)

    def signer_not_after(
        self, operator: Address, signer: Address, *, block: BlockRef = "latest", is_past: bool = False
    ) -> int:
        self.reads += 1
        assert isinstance(block, int)
        ends = [end for since, end in self.authority.get(signer, []) if since <= block]
        return ends[-1] if ends else 0


class _Deployed:
    block = 1


class Away:
    """A signer that does not answer, or answers wrongly."""

    def __init__(self, address: Address, error: SignerError) -> None:
        self.address = address
        self.error = error

    def sign_transaction(self, transaction: Mapping[str, Any]) -> bytes:
        raise self.error

    def sign_statement(self, statement: Statement) -> bytes:
        raise self.error


def ring(registry: Registry, *signers: Any, log: io.StringIO | None = None, clock: Any = lambda: 0.0) -> ResultSigners:
    """The keys, refreshed at every look."""
    return ResultSigners(
        signers=signers,
        contracts=registry,  # type: ignore[arg-type]
        operator=OPERATOR,
        confirmations=5,
        log=make_logger(log or io.StringIO()),
        refresh_s=0.0,
        clock=clock,
    )


def test_result_signers_prefer_the_new_key_once_its_authority_is_deep() -> None:
    """A new key whose authority a reorganisation could take back leaves the signing to the old one."""
    registry = Registry({OLD.address: [(1, NO_END)], NEW.address: [(98, NO_END)]})
    keys = ring(registry, NEW, OLD)
    assert keys.sign(STATEMENT, expiry=RESULT.expiry) == OLD.sign_statement(STATEMENT)
    registry.head = 103
    keys.refresh(registry.block("latest"))
    assert keys.sign(STATEMENT, expiry=RESULT.expiry) == NEW.sign_statement(STATEMENT)
    assert keys.address == NEW.address


def test_result_signers_use_a_fresh_authority_when_there_is_no_other() -> None:
    """An operator that has just started does not wait for depth: nothing better could be signed."""
    keys = ring(Registry({NEW.address: [(100, NO_END)]}), NEW, OLD)
    assert keys.sign(STATEMENT, expiry=RESULT.expiry) == NEW.sign_statement(STATEMENT)


def test_revoked_key_signs_only_what_expires_in_its_time() -> None:
    """A revoked key finishes what is under way, and nothing that the contracts would refuse."""
    registry = Registry({OLD.address: [(1, NO_END), (90, RESULT.expiry)], NEW.address: []})
    keys = ring(registry, NEW, OLD)
    assert keys.sign(STATEMENT, expiry=RESULT.expiry) == OLD.sign_statement(STATEMENT)
    with pytest.raises(SignerError):
        keys.sign(STATEMENT, expiry=RESULT.expiry + 1)


def test_stored_signatures_are_kept_while_the_contracts_take_them() -> None:
    """A signature of the old key stays; one of a stranger, of a key without authority or of no form is made anew."""
    registry = Registry({OLD.address: [(1, RESULT.expiry)], NEW.address: [(1, NO_END)]})
    keys = ring(registry, NEW, OLD)
    old = OLD.sign_statement(STATEMENT)
    assert keys.accepts(STATEMENT.digest, old, expiry=RESULT.expiry)
    assert not keys.accepts(STATEMENT.digest, old, expiry=RESULT.expiry + 1)
    assert not keys.accepts(b"\x01" * 32, old, expiry=RESULT.expiry)
    assert not keys.accepts(STATEMENT.digest, b"\x01" * 64, expiry=RESULT.expiry)
    stranger = LocalSigner.from_key(b"\x33" * 32)
    assert not keys.accepts(STATEMENT.digest, stranger.sign_statement(STATEMENT), expiry=RESULT.expiry)


def test_unavailable_key_is_replaced_by_the_next_that_may_sign() -> None:
    """While two keys are authorised, an outage of one signer stops nothing; without a second it is told."""
    registry = Registry({OLD.address: [(1, NO_END)], NEW.address: [(1, NO_END)]})
    away = Away(NEW.address, SignerUnavailable("away"))
    assert ring(registry, away, OLD).sign(STATEMENT, expiry=RESULT.expiry) == OLD.sign_statement(STATEMENT)
    with pytest.raises(SignerUnavailable):
        ring(registry, away).sign(STATEMENT, expiry=RESULT.expiry)


def test_signer_that_lies_is_not_covered_up_by_another() -> None:
    """A signer that returns something else than asked for is a matter for a person, whoever else could sign."""
    registry = Registry({OLD.address: [(1, NO_END)], NEW.address: [(1, NO_END)]})
    with pytest.raises(SignerError) as caught:
        ring(registry, Away(NEW.address, SignerError("lies")), OLD).sign(STATEMENT, expiry=RESULT.expiry)
    assert not isinstance(caught.value, SignerUnavailable)


def test_end_of_authority_is_warned_of_once_an_hour() -> None:
    """An operator hears of the end of a key days before, and not at every turn."""
    now = [0.0]
    log = io.StringIO()
    registry = Registry({OLD.address: [(1, NOW + 86_400)]})
    keys = ring(registry, OLD, log=log, clock=lambda: now[0])
    for seconds in (0.0, 1.0, 3_601.0, 3_602.0, -1e9):
        now[0] = seconds
        keys.refresh(registry.block("latest"))
    assert log.getvalue().count("result_signer_ends") == 3
    assert DOMAIN.oracle not in log.getvalue()


def test_authority_is_read_again_only_after_a_while_whatever_the_clock_does() -> None:
    """Every turn asks for a refresh; the chain is read every few seconds, and at once after the clock was set back."""
    now = [100.0]
    registry = Registry({OLD.address: [(1, NO_END)]})
    keys = ResultSigners(
        signers=[OLD],
        contracts=registry,  # type: ignore[arg-type]
        operator=OPERATOR,
        confirmations=0,
        log=make_logger(io.StringIO()),
        refresh_s=10.0,
        clock=lambda: now[0],
    )
    for seconds in (100.0, 105.0, 109.9, 110.0, 50.0):
        now[0] = seconds
        keys.refresh(registry.block("latest"))
    assert registry.reads == 3
