from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.databases import KINDS, opened

from sworn.chain.follower import BlockId
from sworn.chain.signer import LocalSigner
from sworn.dispute.case import NO_REQUEST
from sworn.errors import ConfigurationError
from sworn.types import ZERO_HASH, Address, RequestId, ResultId
from sworn.watcher.challenger.assembly import secret_of
from sworn.watcher.challenger.claims import Claim, ClaimStatus
from sworn.watcher.challenger.store import Asked, ClaimStore

SOMEBODY = Address("0x" + "11" * 20)
REQUEST = RequestId(b"\x02" * 32)
ASKED = Asked(request_id=REQUEST, request=replace(NO_REQUEST, fee_wei=7), input=b"input", block_number=4)


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ClaimStore]:
    """An empty one, whose clock stands at 1000."""
    with opened(request.param, tmp_path) as database:
        yield ClaimStore(database=database, clock=lambda: 1000.0)


def claim(number: int, *, block: int = 5, **changes: object) -> Claim:
    """A claim in a block."""
    made = Claim(
        result_id=ResultId(bytes([number]) * 32),
        request_id=REQUEST,
        request=ASKED.request,
        input=ASKED.input,
        operator=SOMEBODY,
        trace_root=ZERO_HASH,
        output=b"output",
        signature=bytes(65),
        block_number=block,
        block_hash=bytes([block]) * 32,
        transaction_hash=ZERO_HASH,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def blocks(*numbers: int) -> list[BlockId]:
    """A history."""
    return [BlockId(number=number, hash=bytes([number]) * 32) for number in numbers]


def see(store: ClaimStore, *claims: Claim, at: int, rewound_to: int | None = None) -> None:
    """A step of the follower."""
    store.advance(history=blocks(at), asked=[ASKED], seen=claims, rewound_to=rewound_to)


def test_claims_come_back_as_they_were_stored_with_their_requests(store: ClaimStore) -> None:
    """And the cursor with them."""
    see(store, claim(1), claim(2, block=6), at=6)
    assert store.claims() == [claim(1), claim(2, block=6)]
    assert store.claim(claim(2).result_id) == claim(2, block=6)
    assert store.claim(ResultId(ZERO_HASH)) is None
    assert store.asked(REQUEST) == ASKED and store.asked(RequestId(ZERO_HASH)) is None
    assert store.history() == tuple(blocks(6))


def test_claims_under_challenge_are_due_and_new_ones_are_to_be_checked(store: ClaimStore) -> None:
    """Those that have ended, or whose time has not come, are neither."""
    false = claim(2, status=ClaimStatus.FALSE, block=9)
    later = claim(3, retry_at=1001.0)
    waiting = claim(4, status=ClaimStatus.FALSE, due_at=51)
    see(store, claim(1), false, later, waiting, claim(5, status=ClaimStatus.HONEST), at=9)
    assert store.due(block_timestamp=50, limit=9) == [false]
    assert store.unchecked(block_timestamp=50, limit=9) == [claim(1)]
    assert store.counts() == {ClaimStatus.SEEN: 2, ClaimStatus.FALSE: 2, ClaimStatus.HONEST: 1}


def test_claim_whose_window_closes_first_is_checked_first_whatever_went_wrong_before(store: ClaimStore) -> None:
    """A liar who makes the first attempt fail and floods the chain would be looked at last, and too late."""
    lie = claim(9, block=5, closes_at=2000, attempts=1, retry_at=900.0)
    fresh = [claim(number, block=number, closes_at=2000 + number) for number in (6, 7, 8)]
    see(store, *fresh, lie, at=9)
    assert store.unchecked(block_timestamp=50, limit=9) == [lie, *fresh]
    # What is too late for sure keeps nobody waiting.
    assert store.unchecked(block_timestamp=2007 + 900, limit=1) == [fresh[2]]
    assert store.unchecked(block_timestamp=2008 + 900, limit=1) == [lie]
    # Of a release that did not say: it is looked at, not forgotten.
    see(store, claim(10, block=9), at=9)
    assert store.unchecked(block_timestamp=50, limit=1) == [claim(10, block=9)]


def test_claims_of_operators_and_models_that_have_had_their_share_are_left_out(store: ClaimStore) -> None:
    """What others wait for is found however many claims of theirs stand before it."""
    other = Address("0x" + "22" * 20)
    mine = claim(2, operator=other)
    see(store, claim(1), mine, at=5)
    assert store.unchecked(block_timestamp=50, limit=9, operators=[SOMEBODY]) == [mine]
    assert store.unchecked(block_timestamp=50, limit=9, without=[mine.result_id]) == [claim(1)]
    assert store.unchecked(block_timestamp=50, limit=9, models=[ASKED.request.model_id]) == []


def test_exposure_of_open_disputes_is_added_up_without_the_one_in_question(store: ClaimStore) -> None:
    """Amounts of any size."""
    risks = [claim(number, status=ClaimStatus.FALSE, exposure_wei=10**30) for number in (1, 2, 3)]
    see(store, *risks, claim(4, status=ClaimStatus.SETTLED, exposure_wei=5), at=9)
    assert store.exposure_wei(without=risks[0].result_id) == 2 * 10**30


def test_reorganisation_orphans_claims_and_opens_ended_ones_again(store: ClaimStore) -> None:
    """A claim whose block comes back starts anew; what ended in a void block has not ended."""
    kept = claim(1, status=ClaimStatus.SETTLED, settled_block=9, reason="paid out")
    early = claim(2, status=ClaimStatus.HONEST, settled_block=6)
    void = claim(3, block=8, status=ClaimStatus.FALSE, exposure_wei=5)
    see(store, kept, early, void, at=9)
    see(store, at=7, rewound_to=7)
    states = {each.result_id: each.status for each in store.claims()}
    assert states == {
        kept.result_id: ClaimStatus.SEEN,
        early.result_id: ClaimStatus.HONEST,
        void.result_id: ClaimStatus.ORPHANED,
    }
    assert store.exposure_wei(without=kept.result_id) == 0
    see(store, claim(3, block=10), claim(2, block=10), at=10)
    assert store.claim(void.result_id) == claim(3, block=10)
    assert store.claim(early.result_id) == early


def test_secret_is_made_once_and_made_again_by_the_same_key(store: ClaimStore) -> None:
    """So that a commitment can be opened after a crash, and after the loss of the database."""
    signer, other = LocalSigner.from_key(b"\x01" * 32), LocalSigner.from_key(b"\x02" * 32)
    first = store.secret("challenger", lambda: secret_of(signer))
    assert store.secret("challenger", lambda: secret_of(other)) == first == secret_of(signer)
    assert len(first) == 32 and first != secret_of(other)
    assert secret_of(None) != secret_of(None)


def test_database_of_another_deployment_is_refused(store: ClaimStore) -> None:
    """Its claims are about other contracts."""
    store.claim_database(chain_id=1, oracle=SOMEBODY)
    with pytest.raises(ConfigurationError):
        store.claim_database(chain_id=2, oracle=SOMEBODY)


def test_claim_that_was_given_up_begins_anew_and_others_stay(store: ClaimStore) -> None:
    """Without this a claim that a fault has parked stays unchecked, and a false result becomes final."""
    given_up = [ClaimStatus.PARKED, ClaimStatus.SKIPPED, ClaimStatus.OBSERVED]
    for number, status in enumerate(ClaimStatus):
        see(store, claim(number), at=5)
        store.save(claim(number, status=status, reason="why", attempts=8, retry_at=5e9, due_at=9, settled_block=5))
    for number, status in enumerate(ClaimStatus):
        before = store.claim(ResultId(bytes([number]) * 32))
        revived = store.revive(ResultId(bytes([number]) * 32))
        assert (revived is not None) is (status in given_up)
        assert store.claim(ResultId(bytes([number]) * 32)) == (revived or before)
        if revived is not None:
            fresh = (revived.status, revived.reason, revived.attempts, revived.retry_at, revived.due_at)
            assert fresh == (ClaimStatus.SEEN, "", 0, 0.0, 0)
            assert revived.settled_block is None
    assert store.revive(ResultId(bytes([99]) * 32)) is None


def test_claims_are_listed_newest_first_and_by_status(store: ClaimStore) -> None:
    """Whoever looks at night sees what can still be saved, and not the oldest of thousands."""
    see(store, claim(1, block=5), claim(2, block=9), claim(3, block=7), claim(4, block=8), at=9)
    store.save(claim(4, block=8, status=ClaimStatus.HONEST))
    listed = store.listed([ClaimStatus.SEEN], limit=2)
    assert [each.block_number for each in listed] == [9, 7]
