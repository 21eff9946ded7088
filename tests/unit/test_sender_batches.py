"""Many intents at once, and what one of them may do to the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak
from tests.support.sender_world import SIGNER, World, intent_named, record_named

from sworn import abi
from sworn.chain.gateway import Call
from sworn.chain.transactions import Intent, MemoryTransactionStore, TransactionRecord, TransactionStatus
from sworn.errors import (
    ContractRevert,
    LeadershipLost,
    SenderBusy,
    SignerUnavailable,
    StoreError,
    TransactionRejected,
    TransactionUnderpriced,
    TransientChainError,
)

REFUSAL = keccak(text="CreditMissing(address)")[:4] + encode(["address"], [SIGNER.address])


def _intents(count: int, **changes: object) -> list[Intent]:
    return [intent_named(f"{number}", **changes) for number in range(count)]


def _refuse_even(call: Call) -> bytes:
    if int(call.data) % 2 == 0:
        raise ContractRevert("refused", data=REFUSAL)
    return b""


def _without_data(call: Call) -> bytes:
    raise ContractRevert("execution reverted")


def test_sender_many_intents_cost_few_round_trips_and_commits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred proposals must not need hundreds of waits for the node or the disk: nothing would keep up with them."""
    world = World()
    world.fees = replace(world.fees, max_in_flight=200)
    world.restart()
    commits: list[int] = []
    put_many = world.store.put_many

    def counted(records: Sequence[TransactionRecord]) -> None:
        commits.append(len(records))
        put_many(records)

    monkeypatch.setattr(world.store, "put_many", counted)
    world.sender.submit_many(_intents(100))
    assert commits == [100, 100]
    assert {name: world.node.asked[name] for name in ("estimates", "send_raws", "calls", "nonce", "fees")} == {
        "estimates": 100,
        "send_raws": 100,
        "calls": 0,
        "nonce": 2,
        "fees": 1,
    }
    world.gateway.mine()
    world.node.asked.clear()
    assert len(world.sender.poll()) == 100
    assert commits == [100, 100, 100]
    assert (world.node.asked["receipts"], world.node.asked["is_pending"]) == (100, 0)
    # Mined and not deep: nothing is asked of them until they may be.
    world.node.asked.clear()
    world.gateway.mine()
    assert world.sender.poll() == []
    assert world.node.asked["receipts"] == 0


def test_sender_poll_with_many_in_the_pool_asks_for_the_foremost_only() -> None:
    """Hundreds that wait must not be asked for one by one, every second."""
    world = World()
    world.sender.submit_many(_intents(60))
    world.node.asked.clear()
    world.sender.poll()
    assert world.node.asked["is_pending"] == 3
    world.now += 1
    world.sender.poll()
    assert world.node.asked["is_pending"] == 3
    assert world.node.asked["receipts"] == world.node.asked["send_raws"] == 0


def test_sender_reverting_item_is_decoded_and_leaves_no_gap() -> None:
    """What one intent's contract refuses must cost the others neither their place nor a nonce."""
    world = World()
    world.gateway.on_call = _refuse_even
    answers = world.sender.submit_many(_intents(4))
    assert [type(answer) for answer in answers[::2]] == [abi.REVERTS["CreditMissing"]] * 2
    assert [answer.nonce for answer in answers[1::2] if isinstance(answer, TransactionRecord)] == [0, 1]
    assert record_named(world, "0").status is TransactionStatus.REJECTED
    assert world.node.asked["calls"] == 0
    world.settle()
    assert [item.data for item in world.mined()] == [b"1", b"3"]


def test_sender_revert_without_data_in_the_estimate_is_asked_for_by_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some nodes keep the reason to themselves when they estimate; nobody could act on a bare revert."""
    world = World()
    world.gateway.on_call = _refuse_even
    mute = ContractRevert("execution reverted")
    monkeypatch.setattr(type(world.node), "estimates", lambda node, calls: [mute for _ in calls])
    (answer,) = world.sender.submit_many([intent_named("2")])
    assert isinstance(answer, abi.REVERTS["CreditMissing"])
    with pytest.raises(ContractRevert):
        world.sender.submit(intent_named("3"))


def test_sender_stated_gas_is_tried_once_and_not_estimated() -> None:
    """An estimate executes a batch many times over; a limit that is known to be enough spares that."""
    world = World()
    record = world.sender.submit(intent_named("1", gas=123_456))
    assert record.gas == 123_456
    assert (world.node.asked["calls"], world.node.asked["estimates"]) == (1, 0)
    world.gateway.on_call = _refuse_even
    (answer,) = world.sender.submit_many([intent_named("2", gas=123_456)])
    assert isinstance(answer, abi.REVERTS["CreditMissing"])
    assert world.node.asked["estimates"] == 0
    (answer,) = world.sender.submit_many([intent_named("3", gas=600_000)])
    assert isinstance(answer, TransactionRejected)


def test_sender_stated_gas_that_is_too_little_is_estimated() -> None:
    """A call that fails without a word may have run out of gas: it must not be given up for that."""
    world = World()
    world.gateway.on_call = lambda call: b"" if call.gas is None else _without_data(call)
    record = world.sender.submit(intent_named("1", gas=30_000))
    assert record.status is TransactionStatus.SIGNED
    assert record.gas == 125_000


def test_sender_margin_over_the_estimate_is_the_intents_own() -> None:
    """A move that others can make dearer in between needs more room than one that nobody touches."""
    world = World()
    assert world.sender.submit(intent_named("1", margin_percent=60)).gas == 160_000
    assert world.sender.submit(intent_named("2", margin_percent=900)).gas == 500_000


def test_sender_over_the_number_in_flight_is_busy_and_stores_nothing() -> None:
    """Nodes drop what goes over their limit for one sender; such intents wait with us and lose nothing."""
    world = World()
    world.fees = replace(world.fees, max_in_flight=3)
    world.restart()
    answers = world.sender.submit_many(_intents(5))
    assert [isinstance(answer, SenderBusy) for answer in answers] == [False, False, False, True, True]
    assert world.sender.record("propose:4") is None
    urgent = world.sender.submit(intent_named("9", urgent=True))
    assert urgent.nonce == 3
    world.settle()
    assert all(isinstance(answer, TransactionRecord) for answer in world.sender.submit_many(_intents(5)))


def test_sender_same_key_twice_in_a_batch_is_sent_once() -> None:
    """One key is one transaction, however often it is named."""
    world = World()
    first, second = world.sender.submit_many([intent_named("a"), intent_named("a")])
    assert first == second
    world.settle()
    assert len(world.mined()) == 1


def test_sender_records_knows_only_what_was_submitted() -> None:
    """What is asked for in one go must be told apart from what never was."""
    world = World()
    world.sender.submit_many(_intents(2))
    assert set(world.sender.records(["propose:0", "propose:1", "propose:2"])) == {"propose:0", "propose:1"}


@pytest.mark.parametrize("failing_put", [1, 2])
def test_sender_that_lost_its_leadership_broadcasts_nothing(monkeypatch: pytest.MonkeyPatch, failing_put: int) -> None:
    """Two replicas that both send would spend one nonce twice: who may not write may not send either."""
    world = World()
    puts: list[int] = []
    put_many = world.store.put_many

    def fenced(records: Sequence[TransactionRecord]) -> None:
        puts.append(len(records))
        if len(puts) >= failing_put:
            raise LeadershipLost("another replica leads")
        put_many(records)

    monkeypatch.setattr(world.store, "put_many", fenced)
    with pytest.raises(LeadershipLost):
        world.sender.submit_many(_intents(3))
    assert world.gateway.sent == []


def test_sender_fenced_in_a_round_replaces_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bump that could not be stored must not reach the node either."""
    world = World()
    world.sender.submit(intent_named("a"))
    world.sender.poll()
    world.gateway.mine(empty=True)
    world.now += 61
    sent = len(world.gateway.sent)

    def fenced(records: Sequence[TransactionRecord]) -> None:
        raise LeadershipLost("another replica leads")

    monkeypatch.setattr(world.store, "put_many", fenced)
    with pytest.raises(LeadershipLost):
        world.sender.poll()
    assert len(world.gateway.sent) == sent


def test_sender_unavailable_signer_spends_no_nonce(monkeypatch: pytest.MonkeyPatch) -> None:
    """A remote signer that is away for one intent must not leave a hole in front of the next."""
    world = World()
    sign, tries = SIGNER.sign_transaction, []

    class Moody:
        address = SIGNER.address

        def sign_transaction(self, fields: dict[str, object]) -> bytes:
            tries.append(fields)
            if len(tries) == 2:
                raise SignerUnavailable("no answer")
            return sign(fields)

    object.__setattr__(world.sender._outbox, "signer", Moody())
    answers = world.sender.submit_many(_intents(3))
    assert [type(answer) for answer in answers] == [TransactionRecord, SignerUnavailable, TransactionRecord]
    assert [fields["nonce"] for fields in tries] == [0, 1, 1]
    assert record_named(world, "1").status is TransactionStatus.INTENDED
    world.sender.submit_many(_intents(3))
    world.settle()
    assert [item.data for item in world.mined()] == [b"0", b"2", b"1"]


def test_sender_base_fee_between_the_caps_sends_the_urgent_ones_only() -> None:
    """A batch in a congested hour still carries the answers that a dispute waits for."""
    world = World()
    world.gateway.base_fee_wei = 2 * 10**11
    ordinary, urgent = world.sender.submit_many([intent_named("a"), intent_named("b", urgent=True)])
    assert isinstance(ordinary, TransactionUnderpriced)
    assert isinstance(urgent, TransactionRecord) and urgent.nonce == 0


def test_sender_node_silent_at_broadcast_is_told_again() -> None:
    """What a node took without saying so is sent again, and not twice mined."""
    world = World()
    world.node.silence_share = 1.0
    answers = world.sender.submit_many(_intents(3))
    assert [answer.note for answer in answers if isinstance(answer, TransactionRecord)] == ["TransientChainError"] * 3
    world.node.silence_share = 0.0
    assert {record.note for record in world.sender.poll()} == {""}
    world.settle()
    assert [item.nonce for item in world.mined()] == [0, 1, 2]


def test_sender_node_down_while_simulating_promises_and_signs_nothing() -> None:
    """Nothing is signed on a guess; the same keys go through later."""
    world = World()
    world.gateway.outage = TransientChainError("down")
    with pytest.raises(TransientChainError):
        world.sender.submit_many(_intents(2))
    assert world.store.in_flight(SIGNER.address) == 0
    world.gateway.outage = None
    world.sender.submit_many(_intents(2))
    world.settle()
    assert len(world.mined()) == 2


def test_sender_highest_nonce_survives_the_renewal_of_its_record() -> None:
    """A record that starts anew forgets its nonce; a node that lags must not have it given out again."""
    world = World(confirmations=0)

    def fail(transaction: object) -> tuple[()]:
        raise ContractRevert("late")

    world.gateway.on_transaction = fail
    world.sender.submit(intent_named("a"))
    world.settle()
    world.gateway.on_transaction = lambda transaction: ()
    world.node.lag = len(world.gateway.blocks)
    assert world.sender.submit(intent_named("a")).nonce == 1


def test_memory_store_put_many_is_all_or_nothing() -> None:
    """Half of a batch in the store would be half of a batch with nonces that nobody sends."""
    world = World()
    first = world.sender.submit(intent_named("a"))
    store = MemoryTransactionStore()
    with pytest.raises(StoreError):
        store.put_many([first, replace(first, intent=intent_named("b"))])
    assert store.get("propose:a") is None and store.next_nonce(SIGNER.address) is None
