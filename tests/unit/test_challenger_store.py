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


def test_claims_under_challenge_are_due_before_new_ones(store: ClaimStore) -> None:
    """Those that have ended, or whose time has not come, are not due at all."""
    false = claim(2, status=ClaimStatus.FALSE, block=9)
    later = claim(3, retry_at=1001.0)
    waiting = claim(4, due_at=51)
    see(store, claim(1), false, later, waiting, claim(5, status=ClaimStatus.HONEST), at=9)
    assert store.due(block_timestamp=50, limit=9) == [false, claim(1)]
    assert store.due(block_timestamp=50, limit=1) == [false]
    assert store.counts() == {ClaimStatus.SEEN: 3, ClaimStatus.FALSE: 1, ClaimStatus.HONEST: 1}


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
