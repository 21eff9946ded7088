"""What becomes of a transaction that is not mined: raised, held back, cancelled, sent again, or given up."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.sender_walk import Walk
from tests.support.sender_world import SIGNER, World, intent_named, record_named

from sworn.chain.gateway import Fees
from sworn.chain.sender_fees import FeePolicy, Offer
from sworn.chain.transactions import TransactionRecord, TransactionStatus
from sworn.errors import FundsTooLow, SignerUnavailable, TransactionUnderpriced

GWEI = 10**9


def _last(world: World, name: str) -> Offer:
    attempt = record_named(world, name).attempts[-1]
    return Offer(max_fee_wei=attempt.max_fee_wei, tip_wei=attempt.tip_wei)


@pytest.mark.parametrize("seed", range(8))
def test_sender_after_any_faults_has_every_intent_mined_once_and_no_gap(seed: int) -> None:
    """Whatever the node, the chain and the disk did: nothing is lost, nothing is done twice, nothing hangs."""
    walk = Walk(seed)
    for _ in range(80):
        walk.step()
    walk.end()
    walk.check()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1_000, 1_080))
def test_sender_after_long_faults_has_every_intent_mined_once_and_no_gap(seed: int) -> None:
    """The same over longer histories, of which rare ones are made."""
    walk = Walk(seed)
    for _ in range(250):
        walk.step()
    walk.end()
    walk.check()


@pytest.mark.parametrize("base_fee", [1, GWEI, 44 * GWEI, 60 * GWEI, 10**13])
@pytest.mark.parametrize("last", [Offer(max_fee_wei=0, tip_wei=0), Offer(max_fee_wei=88 * GWEI, tip_wei=88 * GWEI)])
def test_replacement_raises_both_fees_by_a_tenth_or_is_none(base_fee: int, last: Offer) -> None:
    """A node has to refuse anything less, and the transaction would hang for good."""
    policy = FeePolicy(max_fee_cap_wei=100 * GWEI, max_tip_wei=2 * GWEI)
    for market_tip in (0, GWEI, 1_000 * GWEI):
        offer = policy.replacement(last, Fees(base_fee=base_fee, tip=market_tip), urgent=False)
        assert offer is not None
        assert offer.max_fee_wei * 10 >= last.max_fee_wei * 11 and offer.max_fee_wei > last.max_fee_wei
        assert offer.tip_wei * 10 >= last.tip_wei * 11 and offer.tip_wei > last.tip_wei
        assert offer.tip_wei <= offer.max_fee_wei <= 100 * GWEI


def test_replacement_over_the_cap_is_none_but_for_a_cancellation() -> None:
    """At the ceiling nothing is left to raise; room to give the nonce up is."""
    policy = FeePolicy(max_fee_cap_wei=100 * GWEI)
    last, market = Offer(max_fee_wei=100 * GWEI, tip_wei=GWEI), Fees(base_fee=GWEI, tip=GWEI)
    assert policy.replacement(last, market, urgent=False) is None
    cancelling = policy.replacement(last, market, urgent=False, cancels=True)
    assert cancelling == Offer(max_fee_wei=112_500_000_000, tip_wei=1_125_000_000)
    assert policy.replacement(cancelling, market, urgent=False, cancels=True) is None


def test_opening_takes_the_nodes_tip_within_bounds() -> None:
    """A node that suggests an absurd tip must not set the price."""
    policy = FeePolicy(min_tip_wei=GWEI, max_tip_wei=2 * GWEI)
    tips = [policy.opening(Fees(base_fee=GWEI, tip=tip), urgent=False) for tip in (0, 10**15)]
    assert [offer.tip_wei for offer in tips if offer] == [GWEI, 2 * GWEI]


def test_sender_is_not_moved_to_higher_fees_by_a_chain_that_stands_still() -> None:
    """An hour without blocks would raise the tip a thousandfold, and the first block would take it."""
    world = World()
    world.sender.submit(intent_named("a"))
    for _ in range(60):
        world.now += 61
        world.sender.poll()
    assert len(record_named(world, "a").attempts) == 1


def test_sender_without_ether_is_not_moved_to_higher_fees() -> None:
    """Whoever tops the account up after a night must not find the price at the cap."""
    world = World()
    world.gateway.send_error = FundsTooLow("insufficient funds")
    world.sender.submit(intent_named("a"))
    for _ in range(5):
        world.wait(61)
    assert len(record_named(world, "a").attempts) == 1
    assert record_named(world, "a").note == FundsTooLow.__name__
    world.gateway.send_error = None
    world.now += 6
    world.settle()
    assert record_named(world, "a").succeeded is True


def test_sender_base_fee_jump_raises_all_that_it_left_behind_at_once() -> None:
    """One bump per block would take as many blocks as transactions wait."""
    world = World()
    world.sender.submit_many([intent_named(name) for name in "abcd"])
    world.gateway.base_fee_wei *= 20
    world.wait(61)
    assert [len(record_named(world, name).attempts) for name in "abcd"] == [2, 2, 2, 2]
    assert world.sender.poll() == []
    world.settle()
    assert [item.data for item in world.mined()] == [b"a", b"b", b"c", b"d"]


def test_sender_at_the_cap_waits_tells_once_and_ends_when_prices_fall() -> None:
    """An operator has to hear that the cap holds transactions up; nothing beyond it is ever offered."""
    world = World()
    world.sender.submit(intent_named("a"))
    world.gateway.base_fee_wei = 10**12
    for _ in range(4):
        world.wait(61)
    assert _last(world, "a").max_fee_wei == world.fees.max_fee_cap_wei
    assert record_named(world, "a").note == TransactionUnderpriced.__name__
    assert world.telemetry.events.count("propose capped") == 1
    world.gateway.pool.clear()
    world.wait(61)
    world.gateway.base_fee_wei = GWEI
    world.settle()
    assert record_named(world, "a").succeeded is True


def test_sender_unwanted_at_the_front_is_cancelled_and_frees_the_others() -> None:
    """What nobody wants any more must neither be paid for nor stand in the way."""
    world = World()
    world.gateway.base_fee_wei = 10 * GWEI
    world.sender.submit_many([intent_named("a"), intent_named("b")])
    world.gateway.base_fee_wei = 30 * GWEI
    for _ in range(2):
        world.sender.poll(wanted=lambda key: key != "propose:a")
        world.gateway.mine(empty=True)
        world.now += 61
    world.sender.poll(wanted=lambda key: key != "propose:a")
    assert record_named(world, "a").cancelling
    world.settle()
    assert [(item.nonce, item.data, item.to) for item in world.mined()] == [
        (0, b"", SIGNER.address),
        (1, b"b", intent_named("b").to),
    ]
    cancelled = record_named(world, "a")
    assert (cancelled.status, cancelled.succeeded) == (TransactionStatus.ABANDONED, False)
    assert "propose cancelled" in world.telemetry.events and "propose abandoned" in world.telemetry.events


def test_sender_unwanted_in_nobodys_way_is_left_alone() -> None:
    """An empty transaction costs gas as well."""
    world = World()
    world.sender.submit(intent_named("a"))
    world.sender.poll(wanted=lambda key: False)
    world.gateway.mine(empty=True)
    world.now += 61
    world.sender.poll(wanted=lambda key: False)
    assert len(record_named(world, "a").attempts) == 1


def test_sender_past_its_deadline_is_cancelled_when_others_wait() -> None:
    """A move that comes too late reverts; its nonce is worth more than its effect."""
    world = World()
    world.sender.submit_many([intent_named("a", deadline=world.gateway.blocks[-1].header.timestamp), intent_named("b")])
    world.wait(61)
    assert record_named(world, "a").cancelling and not record_named(world, "b").cancelling


def test_sender_cancel_by_hand_replaces_and_may_still_lose_the_race() -> None:
    """Whoever cancels learns from the record which of the two was mined, and the key can be used again."""
    world = World()
    world.sender.submit(intent_named("a"))
    world.gateway.base_fee_wei = 10**12
    cancelled = world.sender.cancel("propose:a")
    assert cancelled is not None and cancelled.cancelling
    assert world.sender.cancel("propose:a") == cancelled
    world.gateway.base_fee_wei = GWEI
    world.settle()
    assert record_named(world, "a").status is TransactionStatus.ABANDONED
    world.sender.submit(intent_named("a"))
    world.gateway.mine()
    assert world.sender.cancel("propose:a") is not None
    world.settle()
    assert record_named(world, "a").succeeded is True
    assert world.sender.cancel("propose:a") == record_named(world, "a")
    assert world.sender.cancel("propose:never") is None


def test_sender_cancellation_that_is_stuck_is_raised_as_a_cancellation() -> None:
    """Once given up, a nonce is not fought over with the intent's own data again."""
    world = World()
    world.sender.submit_many([intent_named("a"), intent_named("b")])
    world.sender.cancel("propose:a")
    world.wait(61)
    assert [attempt.cancels for attempt in record_named(world, "a").attempts] == [False, True, True]


def test_sender_reorg_that_undoes_a_cancellation_sends_it_again() -> None:
    """The nonce stays given up, and is no gap."""
    world = World(confirmations=0)
    world.sender.submit(intent_named("a"))
    world.sender.cancel("propose:a")
    world.settle()
    world.gateway.reorganise(len(world.gateway.blocks) - 1, keep_transactions=False)
    world.sender.submit(intent_named("b"))
    world.settle()
    assert [(item.nonce, item.data) for item in world.mined()] == [(0, b""), (1, b"b")]


def test_sender_behind_a_lagging_node_takes_nothing_back() -> None:
    """A node that is some blocks behind must not undo what another has shown, nor have nonces filled that are used."""
    world = World(confirmations=1)
    for name in "ab":
        world.sender.submit(intent_named(name))
        world.gateway.mine()
        world.sender.poll()
    before = [record_named(world, name) for name in "ab"]
    assert [record.status for record in before] == [TransactionStatus.CONFIRMED, TransactionStatus.MINED]
    world.sender.submit(intent_named("c"))
    world.node.lag = 2
    for _ in range(3):
        world.now += 61
        world.sender.poll()
    assert [record_named(world, name) for name in "ab"] == before
    assert not any(record.key.startswith("fill") for record in world.store.live(SIGNER.address))
    world.node.lag = 0
    world.settle()
    assert [item.data for item in world.mined()] == [b"a", b"b", b"c"]


def test_sender_receipt_that_is_not_indexed_yet_is_not_taken_for_a_foreign_nonce(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A node that knows a transaction but not its receipt has it mined all the same: a second one would do it twice."""
    world = World()
    world.sender.submit(intent_named("a"))
    with monkeypatch.context() as patched:
        patched.setattr(type(world.node), "receipts", lambda node, hashes: [None for _ in hashes])
        for _ in range(6):
            world.gateway.mine()
            world.sender.poll(wanted=lambda key: True)
    world.settle()
    assert len(world.mined()) == 1
    assert record_named(world, "a").status is TransactionStatus.CONFIRMED


def test_sender_fleeting_nonce_without_receipt_is_not_given_up() -> None:
    """Without confirmations as well, two blocks are waited for: the nonce and the receipt may be two nodes' answers."""
    world = World(confirmations=0)
    world.sender.submit(intent_named("a"))
    world.gateway.pool.clear()
    world.foreign(0)
    world.gateway.mine()
    world.sender.poll(wanted=lambda key: True)
    assert record_named(world, "a").status is TransactionStatus.SIGNED
    world.gateway.mine(2)
    world.sender.poll(wanted=lambda key: True)
    assert record_named(world, "a").nonce == 1


def test_sender_dropped_pool_is_filled_again_from_the_foremost_on() -> None:
    """A node that restarts forgets all of it; one round brings all of it back."""
    world = World()
    world.sender.submit_many([intent_named(name) for name in "abcde"])
    world.sender.poll()
    world.gateway.pool.clear()
    world.gateway.mine()
    world.sender.poll()
    assert len(world.gateway.pool) == 5


def test_sender_clock_that_went_back_still_bumps() -> None:
    """A corrected clock must not make a stuck transaction wait for the hour that was taken back."""
    world = World()
    world.sender.submit(intent_named("a"))
    world.wait(-3600)
    assert len(record_named(world, "a").attempts) == 2
    world.wait(5)
    assert len(record_named(world, "a").attempts) == 2


def test_sender_signer_away_in_a_round_does_not_stop_the_others() -> None:
    """Receipts are stored and lost transactions sent again while nothing can be signed."""
    world = World(confirmations=0)
    world.sender.submit_many([intent_named("a"), intent_named("b")])

    class Away:
        address = SIGNER.address

        def sign_transaction(self, fields: dict[str, object]) -> bytes:
            raise SignerUnavailable("no answer")

    object.__setattr__(world.sender._outbox, "signer", Away())
    world.wait(61)
    assert record_named(world, "a").note == SignerUnavailable.__name__
    world.settle()
    assert record_named(world, "b").status is TransactionStatus.CONFIRMED


def test_sender_tells_what_a_transaction_has_cost_once() -> None:
    """Fees are counted where they are final, so that a reorganisation does not count them twice."""
    world = World(confirmations=2)
    world.sender.submit(intent_named("a"))
    world.gateway.mine()
    world.sender.poll()
    assert world.telemetry.fees == []
    world.settle()
    assert world.telemetry.fees == [("propose", 100_000 * (GWEI + 10**8))]
    assert world.telemetry.events == ["propose submitted", "propose mined", "propose confirmed"]


def test_sender_other_keys_transactions_are_returned_but_never_touched() -> None:
    """After a change of keys the old one's transactions end by themselves: the new key must not send them again."""
    world = World()
    record = world.sender.submit(intent_named("a"))
    other = replace(record, intent=intent_named("x"), sender=intent_named("x").to)
    world.store.put(other)
    assert world.sender.submit(intent_named("x")) == other
    assert world.sender.cancel("propose:x") == other
    changed: list[TransactionRecord] = world.sender.poll()
    assert all(item.sender == SIGNER.address for item in changed)
