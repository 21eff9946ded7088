from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import pytest
from tests.support.sender_world import SIGNER, Crash, World, intent_named, record_named

from sworn.chain.gateway import Call
from sworn.chain.sender import FeePolicy
from sworn.chain.transactions import TransactionStatus
from sworn.errors import ContractRevert, TransactionRejected, TransactionUnderpriced, TransientChainError
from sworn.testing.gateway import PoolTransaction


def test_sender_several_intents_get_gapless_nonces() -> None:
    """Intents submitted in a row are mined in order with consecutive nonces."""
    world = World()
    for name in "abc":
        world.sender.submit(intent_named(name))
    world.settle()
    assert [(item.nonce, item.data) for item in world.mined()] == [(0, b"a"), (1, b"b"), (2, b"c")]
    assert record_named(world, "c").status is TransactionStatus.CONFIRMED
    assert record_named(world, "c").succeeded is True


def test_sender_same_key_twice_sends_once() -> None:
    """A key is an idempotency key: while under way and after success."""
    world = World()
    first = world.sender.submit(intent_named("a"))
    assert world.sender.submit(intent_named("a")) == first
    world.settle()
    world.sender.submit(intent_named("a"))
    world.settle()
    assert len(world.mined()) == 1


@pytest.mark.parametrize("point", ["intent_stored", "raw_stored", "broadcast", "receipt_stored"])
def test_sender_killed_at_any_point_sends_exactly_once(point: str) -> None:
    """Whatever the moment of the crash, the restarted sender ends with one transaction for the intent."""
    world = World()
    world.crash_at = f"propose_{point}"
    with suppress(Crash):
        world.sender.submit(intent_named("a"))
        world.gateway.mine()
        world.sender.poll()
    assert world.crashes == [f"propose_{point}"]
    world.restart().submit(intent_named("a"))
    world.sender.submit(intent_named("b"))
    world.settle()
    assert [(item.nonce, item.data) for item in world.mined()] == [(0, b"a"), (1, b"b")]


def test_sender_simulation_reverts_spends_no_nonce() -> None:
    """A revert is handed back before anything is signed, and the key can be used again."""
    world = World()

    def refuse(call: Call) -> bytes:
        raise ContractRevert("refused", data=b"")

    world.gateway.on_call = refuse
    with pytest.raises(ContractRevert):
        world.sender.submit(intent_named("a"))
    assert record_named(world, "a").status is TransactionStatus.REJECTED
    assert world.gateway.sent == []
    world.gateway.on_call = lambda call: b""
    world.sender.submit(intent_named("a"))
    world.settle()
    assert [item.nonce for item in world.mined()] == [0]


def test_sender_gas_over_cap_refused_without_nonce() -> None:
    """An intent that needs more gas than its cap is refused before signing."""
    world = World()
    with pytest.raises(TransactionRejected):
        world.sender.submit(replace(intent_named("a"), gas_cap=50_000))
    assert world.gateway.sent == []


def test_sender_base_fee_over_cap_refused_without_nonce() -> None:
    """No transaction is signed while the base fee is over the cap."""
    world = World()
    world.gateway.base_fee_wei = 10**12
    with pytest.raises(TransactionUnderpriced):
        world.sender.submit(intent_named("a"))
    assert world.store.live(SIGNER.address) == []


def test_sender_node_down_at_broadcast_sends_later() -> None:
    """A transaction that could not be broadcast is stored and broadcast by a later poll."""
    world = World()
    world.gateway.send_error = TransientChainError("down")
    assert world.sender.submit(intent_named("a")).note == "TransientChainError"
    world.gateway.send_error = None
    world.settle()
    assert len(world.mined()) == 1


def test_sender_transaction_dropped_from_pool_is_rebroadcast() -> None:
    """A node that forgets a transaction is given the same bytes again."""
    world = World()
    world.sender.submit(intent_named("a"))
    world.gateway.pool.clear()
    world.sender.poll()
    world.settle()
    assert len(world.mined()) == 1
    assert len(set(world.gateway.sent)) == 1


def test_sender_reorg_drops_mined_transaction_rebroadcasts() -> None:
    """A mined transaction that a reorg removes is broadcast again, not signed again."""
    world = World(confirmations=3)
    world.sender.submit(intent_named("a"))
    world.gateway.mine()
    world.sender.poll()
    assert record_named(world, "a").status is TransactionStatus.MINED
    world.gateway.reorganise(1, keep_transactions=False)
    world.sender.poll()
    assert record_named(world, "a").status is TransactionStatus.SIGNED
    world.settle()
    assert len(world.mined()) == 1
    assert len(set(world.gateway.sent)) == 1


def test_sender_reorg_deeper_than_confirmations_revives_confirmed() -> None:
    """Even a confirmed transaction comes back when the chain loses it, and later nonces do not hang."""
    world = World(confirmations=0)
    world.sender.submit(intent_named("a"))
    world.settle()
    world.gateway.reorganise(len(world.gateway.blocks) - 1, keep_transactions=False)
    world.sender.submit(intent_named("b"))
    world.settle()
    assert [(item.nonce, item.data) for item in world.mined()] == [(0, b"a"), (1, b"b")]


def test_sender_stuck_transaction_is_bumped() -> None:
    """A transaction that is not mined in time is replaced at the same nonce with at least 12.5 % more of both fees."""
    world = World()
    record = world.sender.submit(intent_named("a"))
    world.wait(61)
    bumped = record_named(world, "a")
    old, new = record.attempts[0], bumped.attempts[-1]
    assert new.max_fee_wei * 8 >= old.max_fee_wei * 9
    assert new.tip_wei * 8 >= old.tip_wei * 9
    assert bumped.nonce == record.nonce
    world.settle()
    assert [item.hash for item in world.mined()] == [new.hash]


def test_sender_bumps_end_at_the_ceiling() -> None:
    """No fee bump exceeds the cap, however long the transaction is stuck."""
    world = World()
    world.sender.submit(intent_named("a"))
    for _ in range(60):
        world.wait(61)
    assert max(attempt.max_fee_wei for attempt in record_named(world, "a").attempts) <= 10**11


def test_sender_underpriced_at_broadcast_is_bumped_until_accepted() -> None:
    """A transaction below the node's floor is bumped at the next poll."""
    world = World()
    world.gateway.floor_fee_wei = 5 * 10**9
    assert world.sender.submit(intent_named("a")).note == "TransactionUnderpriced"
    for _ in range(10):
        world.now += 2
        world.sender.poll()
    world.settle()
    assert len(world.mined()) == 1


def test_sender_foreign_nonce_unwanted_is_abandoned() -> None:
    """When a foreign transaction took the nonce and the effect is no longer wanted, nothing more is sent."""
    world = World()
    world.sender.submit(intent_named("a"))
    world.gateway.pool.clear()
    world.foreign(0)
    world.settle()
    assert record_named(world, "a").status is TransactionStatus.ABANDONED
    assert [item.data for item in world.mined()] == [b"foreign"]


def test_sender_foreign_nonce_still_wanted_is_signed_anew() -> None:
    """When the effect is still wanted, it is sent with a fresh nonce, once."""
    world = World()
    world.sender.submit(intent_named("a"))
    world.gateway.pool.clear()
    world.foreign(0)
    for _ in range(8):
        world.gateway.mine()
        world.sender.poll(wanted=lambda key: key == "propose:a")
    assert [(item.nonce, item.data) for item in world.mined()] == [(0, b"foreign"), (1, b"a")]


def test_sender_foreign_nonce_not_deep_enough_waits() -> None:
    """A foreign transaction that a reorg may still remove does not make a record abandoned."""
    world = World(confirmations=5)
    world.sender.submit(intent_named("a"))
    world.gateway.pool.clear()
    world.foreign(0)
    world.gateway.mine()
    world.sender.poll()
    assert record_named(world, "a").status is TransactionStatus.SIGNED


def test_sender_gap_below_own_nonce_is_filled() -> None:
    """A nonce that a vanished foreign transaction leaves open is filled, so that later ones are mined."""
    world = World()
    world.foreign(0)
    world.sender.submit(intent_named("a"))
    assert record_named(world, "a").nonce == 1
    del world.gateway.pool[next(iter(world.gateway.pool))]
    world.gateway.mine()
    world.sender.poll()
    assert world.mined() == []
    world.now += 61
    world.sender.poll()
    world.settle()
    assert [item.nonce for item in world.mined()] == [0, 1]


def test_sender_gap_while_base_fee_is_over_cap_waits() -> None:
    """A gap that cannot be filled at present prices fails nothing else; it is filled when prices fall."""
    world = World()
    world.foreign(0)
    world.sender.submit(intent_named("a"))
    del world.gateway.pool[next(iter(world.gateway.pool))]
    base_fee_wei, world.gateway.base_fee_wei = world.gateway.base_fee_wei, 10**12
    world.now += 61
    assert world.sender.poll() == []
    world.gateway.base_fee_wei = base_fee_wei
    world.sender.poll()
    world.settle()
    assert [item.nonce for item in world.mined()] == [0, 1]


def test_sender_reverted_on_chain_may_be_submitted_again() -> None:
    """A mined revert ends the record; the same key then starts a new transaction."""
    world = World()

    def fail(transaction: PoolTransaction) -> tuple[()]:
        raise ContractRevert("late")

    world.gateway.on_transaction = fail
    world.sender.submit(intent_named("a"))
    world.settle()
    assert record_named(world, "a").succeeded is False
    world.gateway.on_transaction = lambda transaction: ()
    world.sender.submit(intent_named("a"))
    world.settle()
    assert record_named(world, "a").succeeded is True
    assert [item.nonce for item in world.mined()] == [0, 1]


def test_sender_urgent_transaction_is_bumped_sooner_and_higher() -> None:
    """Where being late costs more than gas, a quarter of the time passes, and the ordinary cap does not hold."""
    world = World()
    record = world.sender.submit(replace(intent_named("a"), urgent=True))
    world.wait(16)
    assert len(record_named(world, "a").attempts) == len(record.attempts) + 1
    for _ in range(60):
        world.wait(16)
    highest = max(attempt.max_fee_wei for attempt in record_named(world, "a").attempts)
    assert 10**11 < highest <= FeePolicy().urgent_cap_wei


def test_sender_bumps_what_an_urgent_transaction_waits_behind() -> None:
    """The ordinary transaction at the lower nonce would hold the urgent one up."""
    world = World()
    world.sender.submit(intent_named("a"))
    world.wait(16)
    assert len(record_named(world, "a").attempts) == 1
    world.sender.submit(replace(intent_named("b"), urgent=True))
    world.sender.poll()
    assert len(record_named(world, "a").attempts) == 2
    for _ in range(60):
        world.wait(16)
    assert max(attempt.max_fee_wei for attempt in record_named(world, "a").attempts) > 10**11


def test_sender_base_fee_over_the_cap_stops_all_but_urgent_transactions() -> None:
    """A congested chain makes proposals wait, answers in disputes it does not."""
    world = World()
    world.gateway.base_fee_wei = 2 * 10**11
    with pytest.raises(TransactionUnderpriced):
        world.sender.submit(intent_named("a"))
    assert world.sender.submit(replace(intent_named("b"), urgent=True)).status is TransactionStatus.SIGNED
