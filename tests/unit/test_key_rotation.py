from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.support.sender_world import SIGNER, World, intent_named
from tests.unit.test_remote_signer import LOCAL, STATEMENT, TRANSACTION

from sworn.chain.keystore import kept_secret
from sworn.chain.resting_signer import RestingSigner
from sworn.chain.rotation import RotatingSender
from sworn.chain.sender import Sender
from sworn.chain.signer import LocalSigner
from sworn.chain.transactions import TransactionRecord, TransactionStatus
from sworn.codec.statements import Statement
from sworn.errors import SignerError, SignerUnavailable
from sworn.types import Address
from sworn.watcher.challenger.assembly import secret_of

NEW = LocalSigner.from_key(bytes([8]) * 32)


def rotated(world: World) -> RotatingSender:
    """The same store and chain, with another key that sends."""
    current = Sender(
        gateway=world.node,
        signer=NEW,
        store=world.store,
        chain_id=31337,
        confirmations=world.confirmations,
        fees=world.fees,
        clock=lambda: world.now,
    )
    return RotatingSender(current=current, retiring=[world.restart()])


def settle(world: World, sender: RotatingSender) -> None:
    """Polls and mines until nothing is unfinished."""
    for _ in range(10):
        world.gateway.mine()
        sender.poll()
    assert world.store.live(SIGNER.address) == world.store.live(NEW.address) == []


def sent_by(world: World, key: str) -> Address:
    """Who sent what was confirmed under a key."""
    record = world.store.get(key)
    assert isinstance(record, TransactionRecord)
    assert record.status is TransactionStatus.CONFIRMED
    return record.sender


def test_rotation_sends_new_work_with_the_new_key_and_sees_the_old_through() -> None:
    """What the old key has under way is neither lost nor sent once more."""
    world = World()
    first = world.sender.submit(intent_named("a"))
    sender = rotated(world)
    assert sender.address == NEW.address
    assert sender.addresses == (NEW.address, SIGNER.address)
    assert sender.submit(intent_named("a")) == first
    assert sender.submit_many([intent_named("a"), intent_named("b")])[0] == first
    settle(world, sender)
    assert [item.data for item in world.mined()].count(b"a") == 1
    keys = [intent_named(name).key for name in "ab"]
    assert [sent_by(world, key) for key in keys] == [SIGNER.address, NEW.address]
    assert set(sender.records(keys)) == set(keys)


def test_rotation_with_a_stuck_transaction_bumps_it_with_its_own_key() -> None:
    """A transaction that the market has left behind is raised by the key whose nonce it has."""
    world = World()
    world.sender.submit(intent_named("a"))
    sender = rotated(world)
    sender.poll()
    world.gateway.mine(empty=True)
    world.now += 61
    sender.poll()
    record = sender.record(intent_named("a").key)
    assert record is not None
    assert len(record.attempts) == 2
    assert record.sender == SIGNER.address
    settle(world, sender)
    assert sent_by(world, intent_named("a").key) == SIGNER.address


def test_rotation_cancels_with_the_key_whose_nonce_it_is() -> None:
    """The new key cannot give up a nonce of the old one, and must not spend one of its own for it."""
    world = World()
    world.sender.submit(intent_named("a"))
    sender = rotated(world)
    cancelled = sender.cancel(intent_named("a").key)
    assert cancelled is not None
    assert cancelled.sender == SIGNER.address
    assert sender.cancel("propose:unknown") is None
    settle_all(world, sender)
    assert world.gateway.nonce(NEW.address) == 0
    assert world.gateway.nonce(SIGNER.address) == 1


def settle_all(world: World, sender: RotatingSender) -> None:
    """Some blocks, and what they bring."""
    for _ in range(6):
        world.gateway.mine()
        sender.poll()


class Flaky:
    """A remote signer that is away for some calls, and counts how often it is asked."""

    def __init__(self, away: int) -> None:
        self.away = away
        self.asked = 0

    @property
    def address(self) -> Address:
        return LOCAL.address

    def sign_transaction(self, transaction: Mapping[str, Any]) -> bytes:
        self._ask()
        return LOCAL.sign_transaction(transaction)

    def sign_statement(self, statement: Statement) -> bytes:
        self._ask()
        return LOCAL.sign_statement(statement)

    def _ask(self) -> None:
        self.asked += 1
        if self.asked <= self.away:
            raise SignerUnavailable("away")


def test_signer_that_is_away_is_not_asked_for_every_result() -> None:
    """Four hundred results must not wait four hundred timeouts while a defence has a clock; it is asked again soon."""
    now = [0.0]
    flaky = Flaky(away=1)
    signer = RestingSigner(flaky, rest_s=5.0, clock=lambda: now[0])
    for _ in range(400):
        with pytest.raises(SignerUnavailable):
            signer.sign_statement(STATEMENT)
    with pytest.raises(SignerUnavailable):
        signer.sign_transaction(TRANSACTION)
    assert flaky.asked == 1
    now[0] = 5.0
    assert signer.sign_statement(STATEMENT) == LOCAL.sign_statement(STATEMENT)
    assert signer.sign_transaction(TRANSACTION) == LOCAL.sign_transaction(TRANSACTION)
    assert (flaky.asked, signer.address) == (3, LOCAL.address)


def test_secret_file_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    """Salts that follow from the file are the same after a restart, and nobody else can read it."""
    path = tmp_path / "below" / "secret"
    secret = kept_secret(path)
    assert (len(secret), kept_secret(path)) == (32, secret)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    for content in ("", "zz" * 32, "00" * 31, "\xff"):
        path.write_text(content, encoding="latin-1")
        with pytest.raises(SignerError) as caught:
            kept_secret(path)
        assert not content.strip("\xff") or content not in str(caught.value)
        assert path.read_text(encoding="latin-1") == content


def test_secret_of_a_signer_that_draws_nonces_is_drawn_and_not_asked_for() -> None:
    """A signature that differs each time would lose the salts of the disputes under way."""
    flaky = Flaky(away=0)
    assert secret_of(RestingSigner(flaky)) != secret_of(RestingSigner(flaky))
    assert flaky.asked == 0
    assert secret_of(LOCAL) == secret_of(LOCAL)
