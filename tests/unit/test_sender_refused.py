"""What becomes of a signed transaction that nodes refuse: it must not keep what is behind it from the chain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from hexbytes import HexBytes
from tests.support.sender_world import SIGNER, World, intent_named, record_named

from sworn.chain.gateway import Fees
from sworn.chain.sender_fees import FeePolicy, Offer
from sworn.chain.transactions import Intent, TransactionRecord, TransactionStatus
from sworn.errors import (
    ChainError,
    FundsTooLow,
    TransactionRejected,
    TransactionTooDear,
    TransientChainError,
)

GWEI = 10**9
ETHER = 10**18
BATCH_GAS = 9_900_000
NODE_CAP = TransactionRejected("tx fee (1.19 ether) exceeds the configured cap (1.00 ether)")


def _fields(raw: bytes) -> dict[str, Any]:
    return TypedTransaction.from_bytes(HexBytes(raw)).as_dict()


def _over(limit_wei: int, error: ChainError = NODE_CAP) -> Callable[[bytes], ChainError | None]:
    """Refuses what may cost more, as nodes do that protect their users."""
    return lambda raw: error if _fields(raw)["gas"] * _fields(raw)["maxFeePerGas"] > limit_wei else None


def _world(**fees: Any) -> World:
    """A sender with the product's own limits, on a chain where gas costs 20 gwei."""
    world = World(confirmations=0)
    world.fees = FeePolicy(**fees)
    world.gateway.base_fee_wei = 20 * GWEI
    world.restart()
    return world


def _batch(name: str = "batch", **changes: Any) -> Intent:
    return intent_named(name, gas=BATCH_GAS, gas_cap=1 << 24, **changes)


def _urgent(name: str = "defence") -> Intent:
    return intent_named(name, urgent=True)


def _pass(world: World, seconds: int, *, empty: bool = False) -> None:
    """Time passes with a block every twelve seconds; everything is wanted all along."""
    for _ in range(seconds // 12):
        world.now += 12
        world.sender.poll(wanted=lambda key: True)
        world.gateway.mine(empty=empty)
    world.sender.poll(wanted=lambda key: True)


def _data_mined(world: World) -> list[bytes]:
    return [item.data for item in world.mined()]


@pytest.mark.parametrize(
    ("objection", "note"),
    [
        (_over(ETHER // 10), "TransactionRejected: tx fee (1.19 ether) exceeds the configured"),
        (lambda raw: TransactionRejected("exceeds block gas limit") if _fields(raw)["gas"] > 10**6 else None, None),
        (lambda raw: TransactionRejected("oversized data") if _fields(raw)["data"] else None, None),
    ],
    ids=["fee cap", "block gas limit", "size"],
)
def test_sender_refused_batch_is_given_up_and_what_waits_behind_it_is_mined(
    objection: Callable[[bytes], ChainError | None], note: str | None
) -> None:
    """One transaction that nodes refuse for good would else cost the bond of every dispute that comes after it."""
    world = _world()
    world.node.objection = objection
    world.sender.submit(_batch())
    world.node.objection = lambda raw: objection(raw) if _fields(raw)["nonce"] == 0 else None
    world.sender.submit(_urgent())
    if note is not None:
        assert record_named(world, "batch").note == note
    _pass(world, 600)
    assert _data_mined(world) == [b"", b"defence"]
    batch = record_named(world, "batch")
    assert (batch.status, batch.cancelling) == (TransactionStatus.ABANDONED, True)
    assert batch.note.startswith("TransactionRejected: "), "the operator has to hear why"


def test_sender_refused_batch_alone_is_given_up_as_well_and_its_key_goes_again() -> None:
    """The results in it wait for it, whether something is behind it or not; what is sent anew is sent once."""
    world = _world()
    world.node.objection = _over(ETHER // 10)
    world.sender.submit(_batch())
    _pass(world, 600)
    assert record_named(world, "batch").status is TransactionStatus.ABANDONED
    world.node.objection = lambda raw: None
    world.now += 3600
    world.sender.submit(_batch())
    _pass(world, 120)
    assert _data_mined(world) == [b"", b"batch"]


def test_sender_given_up_key_rests_longer_each_time_while_other_keys_go() -> None:
    """A node that refuses the same thing for ever must not be paid an empty transaction for it every few minutes."""
    world = _world()
    world.node.objection = lambda raw: NODE_CAP if _fields(raw)["data"] == HexBytes(b"batch") else None
    for _ in range(4 * 300):
        (answer,) = world.sender.submit_many([_batch()])
        _pass(world, 12)
        if isinstance(answer, ChainError):
            assert isinstance(answer, TransactionRejected) and "given up" in str(answer)
    assert len(world.mined()) == 5, "with pauses of 10, 20, 40, and 80 minutes in four hours"
    world.sender.submit(_batch("half"))
    _pass(world, 900)
    assert b"half" in _data_mined(world)


def test_sender_refused_for_a_while_only_is_not_given_up() -> None:
    """Giving up costs gas and time: a node that takes it a minute later gets the same bytes, unraised."""
    world = _world()
    world.node.objection = _over(ETHER // 10)
    sent = world.sender.submit(_batch())
    _pass(world, 240)
    world.node.objection = lambda raw: None
    _pass(world, 60)
    assert record_named(world, "batch").succeeded is True
    assert record_named(world, "batch").attempts == sent.attempts


def test_sender_outages_in_between_do_not_keep_a_refused_one_for_ever() -> None:
    """A node that fails now and then must not start the wait anew each time."""
    world = _world()
    world.node.objection = _over(ETHER // 10)
    world.sender.submit_many([_batch(), intent_named("small")])
    down = TransientChainError("down")
    for turn in range(30):
        world.node.objection = _over(ETHER // 10, down if turn % 3 else NODE_CAP)
        _pass(world, 12)
    assert _data_mined(world) == [b"", b"small"]


def test_sender_refused_again_later_is_waited_for_anew() -> None:
    """Two short spells with good hours between them are not one long one."""
    world = _world()
    for _ in range(3):
        world.node.objection = _over(ETHER // 10)
        world.sender.submit(_batch())
        world.gateway.pool.clear()
        _pass(world, 120, empty=True)
        world.node.objection = lambda raw: None
        _pass(world, 60, empty=True)
    _pass(world, 24)
    assert _data_mined(world) == [b"batch"]


def test_sender_gives_nothing_up_while_no_block_comes() -> None:
    """A chain that stands still says nothing about a transaction."""
    world = _world()
    world.node.objection = _over(ETHER // 10)
    world.sender.submit_many([_batch(), _urgent()])
    for _ in range(50):
        world.now += 12
        world.sender.poll(wanted=lambda key: True)
    assert len(record_named(world, "batch").attempts) == 1


def test_sender_gives_nothing_up_when_the_chain_stops_before_the_refusal() -> None:
    """Blocks that came while the node still had it are no sign either."""
    world = _world()
    world.sender.submit(_batch())
    _pass(world, 24, empty=True)
    world.gateway.pool.clear()
    world.node.objection = _over(ETHER // 10)
    for _ in range(50):
        world.now += 12
        world.sender.poll(wanted=lambda key: True)
    assert not record_named(world, "batch").cancelling


def test_sender_gives_up_the_foremost_only() -> None:
    """What waits behind it, however far prices have left it behind, is wanted and has its turn next."""
    world = _world()
    world.node.objection = _over(ETHER // 10)
    world.sender.submit_many([_batch(), intent_named("small")])
    _pass(world, 300)
    assert not record_named(world, "batch").cancelling
    world.gateway.base_fee_wei = 60 * GWEI
    world.now += 12
    world.sender.poll(wanted=lambda key: True)
    small = record_named(world, "small")
    assert record_named(world, "batch").cancelling
    assert (len(small.attempts), small.cancelling) == (2, False)


def test_sender_refused_at_the_price_cap_is_given_up_as_well() -> None:
    """It does not wait for lower prices: the node would still refuse it then."""
    world = _world(max_fee_cap_wei=41 * GWEI)
    world.node.objection = _over(ETHER // 10)
    world.sender.submit(_batch())
    world.gateway.base_fee_wei = 30 * GWEI
    for second in range(2, 400, 2):
        world.now += 2
        world.sender.poll(wanted=lambda key: True)
        if second % 12 == 0:
            world.gateway.mine()
    assert record_named(world, "batch").status is TransactionStatus.ABANDONED


def test_sender_at_the_price_cap_keeps_its_nonce_however_many_wait() -> None:
    """Less gas at once would not make the gas cheaper: all of them wait for lower prices, in their order."""
    world = _world(max_fee_cap_wei=41 * GWEI)
    world.sender.submit_many([_batch(), intent_named("small")])
    world.gateway.base_fee_wei = 100 * GWEI
    _pass(world, 900)
    world.gateway.base_fee_wei = 20 * GWEI
    _pass(world, 24)
    assert _data_mined(world) == [b"batch", b"small"]


def test_sender_offers_an_older_form_to_a_node_that_lost_its_pool_and_refuses_the_newest() -> None:
    """What was raised beyond a node's limit in a spike is still good as it was before, when the spike is over."""
    world = _world(max_cost_wei=5 * ETHER)
    world.node.objection = _over(ETHER)
    world.sender.submit(_batch())
    world.gateway.base_fee_wei = 80 * GWEI
    _pass(world, 120)
    spiked = record_named(world, "batch")
    assert spiked.note.startswith("TransactionRejected: ") and len(spiked.attempts) > 1
    world.gateway.pool.clear()
    world.gateway.base_fee_wei = 5 * GWEI
    _pass(world, 48, empty=True)
    assert len(world.gateway.pool) == 1
    assert record_named(world, "batch") == spiked, "the newest form is still refused, and no dearer one better"
    _pass(world, 24)
    mined = record_named(world, "batch")
    assert mined.succeeded is True and not mined.cancelling
    assert mined.transaction_hash == mined.attempts[0].hash


def test_sender_without_ether_for_a_batch_gives_it_up_only_for_what_is_urgent() -> None:
    """A transfer of nothing costs a five-hundredth of a batch: what is left in the account pays the defence."""
    world = _world()
    world.sender.submit(_batch())
    world.gateway.pool.clear()
    world.node.objection = _over(ETHER // 10, FundsTooLow("insufficient funds"))
    world.sender.submit(intent_named("small"))
    world.gateway.base_fee_wei = 30 * GWEI
    _pass(world, 1200)
    assert len(record_named(world, "batch").attempts) == 1
    assert record_named(world, "batch").note == FundsTooLow.__name__
    world.sender.submit(_urgent())
    _pass(world, 60)
    assert _data_mined(world) == [b"", b"small", b"defence"]


def test_sender_crash_while_giving_up_ends_with_one_of_both_forms_and_no_gap() -> None:
    """Either form may be the one that is mined; neither is sent under another nonce before that is settled."""
    world = _world()
    world.node.objection = _over(ETHER // 10)
    world.sender.submit_many([_batch(), _urgent()])
    world.crash_at = "propose_raw_stored"
    with pytest.raises(BaseException, match="raw_stored"):
        _pass(world, 600)
    assert record_named(world, "batch").cancelling and world.gateway.nonce(SIGNER.address) == 0
    world.restart()
    assert world.sender.submit(_batch()).nonce == 0, "while it may still be mined it is not sent again"
    _pass(world, 120)
    assert _data_mined(world) == [b"", b"defence"]


def test_sender_that_no_node_lets_cancel_sends_nothing_twice() -> None:
    """Until the empty form is mined the nonce may still do what was intended: no second one is signed."""
    world = _world()
    world.node.objection = _over(1)
    world.sender.submit(_batch())
    _pass(world, 900)
    batch = record_named(world, "batch")
    assert batch.cancelling and batch.status is TransactionStatus.SIGNED
    assert world.sender.submit(_batch()).nonce == 0
    assert len(batch.attempts) == 2, "a price that is high enough is not raised further"
    world.node.objection = lambda raw: None if _fields(raw)["data"] else NODE_CAP
    _pass(world, 120)
    assert world.gateway.sent == [], "what was given up is not offered again beside the empty form"


@pytest.mark.parametrize("urgent", [False, True])
def test_sender_bumps_end_at_the_cost_cap(urgent: bool) -> None:
    """However high prices rise and however urgent it is: what many nodes would refuse is never signed."""
    world = _world()
    world.sender.submit(_batch(urgent=urgent))
    world.gateway.base_fee_wei = 1_000 * GWEI
    _pass(world, 900)
    record = record_named(world, "batch")
    assert len(record.attempts) > 1 and not record.cancelling
    assert max(BATCH_GAS * attempt.max_fee_wei for attempt in record.attempts) <= world.fees.max_cost_wei
    assert world.telemetry.events.count("propose capped") == 1


def test_sender_overtaken_at_the_cost_cap_is_given_up_when_others_wait() -> None:
    """A batch signed before a spike cannot be raised far enough; something smaller can still be paid for."""
    world = _world()
    world.sender.submit_many([_batch(), _urgent()])
    world.gateway.base_fee_wei = 200 * GWEI
    _pass(world, 600)
    assert _data_mined(world) == [b"", b"defence"]
    assert record_named(world, "batch").note == TransactionTooDear.__name__
    with pytest.raises(TransactionTooDear):
        world.sender.submit(_batch())


def test_sender_too_dear_is_refused_without_nonce_and_smaller_ones_go() -> None:
    """Whoever batches has to hear it before anything is signed, to send less at once."""
    world = _world()
    world.gateway.base_fee_wei = 60 * GWEI
    dear, half = world.sender.submit_many([_batch(), intent_named("half", gas=BATCH_GAS // 2, gas_cap=1 << 24)])
    assert isinstance(dear, TransactionTooDear) and "max_cost_wei" in str(dear)
    assert isinstance(half, TransactionRecord) and half.nonce == 0
    assert record_named(world, "batch").status is TransactionStatus.INTENDED


def test_sender_urgent_at_the_cost_cap_goes_with_less_room_for_rising_prices() -> None:
    """An answer in a dispute that can be mined now must not wait until it could be paid for at twice the price."""
    world = _world()
    world.gateway.base_fee_wei = 60 * GWEI
    record = world.sender.submit(_batch(urgent=True))
    assert 60 * GWEI < record.attempts[0].max_fee_wei == world.fees.max_cost_wei // BATCH_GAS
    world.gateway.base_fee_wei = 100 * GWEI
    with pytest.raises(TransactionTooDear):
        world.sender.submit(_batch("other", urgent=True))


def test_sender_counts_what_is_under_way_against_the_balance() -> None:
    """Nodes want all that is pending in the account: what goes over it would be signed and stand in the way."""
    world = _world()
    # Two batches at twice the base fee, and little more.
    world.gateway.balance_wei = 797 * ETHER // 1000
    answers = world.sender.submit_many([_batch("a"), _batch("b"), _batch("c")])
    assert [isinstance(answer, FundsTooLow) for answer in answers] == [False, False, True]
    with pytest.raises(FundsTooLow):
        world.sender.submit(_batch("c"))
    urgent = world.sender.submit(_urgent())
    assert (urgent.nonce, urgent.attempts[0].max_fee_wei) == (2, 2 * 20 * GWEI + 10**8), "at no lower price than ever"
    _pass(world, 24)
    assert world.sender.submit(_batch("c")).nonce == 3
    with pytest.raises(FundsTooLow):
        world.sender.submit(intent_named("bond", value_wei=ETHER, urgent=True))


def test_sender_calldata_over_what_pools_take_is_refused_without_nonce() -> None:
    """A simulation lets it pass, and no pool does."""
    world = _world()
    with pytest.raises(TransactionRejected, match="bytes of calldata"):
        world.sender.submit(_batch(data=bytes(131_072)))
    assert record_named(world, "batch").nonce is None
    assert (world.node.asked["calls"], world.node.asked["estimates"]) == (0, 0)


def test_terms_refuse_what_neither_cap_nor_account_pays() -> None:
    """The reason tells whoever reads it whether to wait, to send less at once, or to add ether."""
    policy, market = FeePolicy(max_cost_wei=ETHER), Fees(base_fee=50 * GWEI, tip=GWEI)
    assert policy.terms(market, urgent=False, gas=9_900_990, funds_wei=ETHER) == Offer(
        max_fee_wei=101 * GWEI, tip_wei=GWEI
    )
    with pytest.raises(TransactionTooDear):
        policy.terms(market, urgent=False, gas=9_900_991, funds_wei=ETHER)
    with pytest.raises(FundsTooLow):
        policy.terms(market, urgent=False, gas=100_000, funds_wei=101 * GWEI * 100_000 - 1)
    with pytest.raises(FundsTooLow):
        policy.terms(market, urgent=True, gas=100_000, funds_wei=-1)
    assert policy.terms(market, urgent=True, gas=100_000, funds_wei=51 * GWEI * 100_000).max_fee_wei == 51 * GWEI


def test_sender_note_of_a_refusal_fits_its_column_and_has_no_control_characters() -> None:
    """A node's words go into the database and the log: neither may break on them."""
    world = _world()
    world.node.objection = lambda raw: TransactionRejected("no\x00\n" + "x" * 200)
    note = world.sender.submit(replace(_batch(), key="propose:batch")).note
    assert note.startswith("TransactionRejected: no  x") and len(note) == 64 and note.isprintable()
