"""Which claims a challenger gives its workers, and which it gives up."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tests.support.databases import opened

from sworn.codec.hashing import Domain
from sworn.codec.tensors import encode_payload, encode_reference
from sworn.dispute.case import NO_REQUEST
from sworn.errors import RunOutOfMemory, RunTimedOut, TransientChainError
from sworn.types import ZERO_HASH, Address, ModelId, RequestId, ResultId
from sworn.watcher.challenger import service
from sworn.watcher.challenger.claims import Claim, ClaimStatus, Scrutiny
from sworn.watcher.challenger.intake import ClaimIntake
from sworn.watcher.challenger.litigation import Litigation
from sworn.watcher.challenger.service import MAX_OVERRUNS, Challenger
from sworn.watcher.challenger.store import Asked, ClaimStore
from sworn.watcher.logs import make_logger

LIAR, HONEST, THIRD = (Address("0x" + f"{number:02x}" * 20) for number in (1, 2, 3))
HEAD: Any = SimpleNamespace(number=9, timestamp=1000)


def claim(number: int, *, operator: Address = LIAR, model: int | None = None, **changes: Any) -> Claim:
    """A claim, of a model of its own."""
    request = replace(NO_REQUEST, model_id=ModelId(bytes([number if model is None else model]) * 32))
    made = Claim(
        result_id=ResultId(bytes([number]) * 32),
        request_id=RequestId(bytes([number]) * 32),
        request=request,
        input=b"",
        operator=operator,
        trace_root=ZERO_HASH,
        output=encode_payload([np.zeros(1, dtype=np.float32)]),
        signature=bytes(65),
        block_number=number,
        block_hash=ZERO_HASH,
        transaction_hash=ZERO_HASH,
        closes_at=2000 + number,
    )
    return replace(made, **changes)


@dataclass(slots=True)
class Desk:
    """A challenger whose chain is silent and whose checks do as the test says."""

    store: ClaimStore
    pool: ThreadPoolExecutor
    workers: int = 1
    now: float = 1000.0
    #: What a look at a claim raises.
    blind: dict[ResultId, Exception] = field(default_factory=dict)
    #: What a check does.
    check: Callable[[Claim], Any] = lambda claim: None
    #: In the order in which they were begun.
    begun: list[Claim] = field(default_factory=list)
    logged: io.StringIO = field(default_factory=io.StringIO)
    challenger: Any = None

    def open(self, *claims: Claim) -> None:
        """Stores claims and makes the challenger."""
        asked = [Asked(request_id=each.request_id, request=each.request, input=b"", block_number=1) for each in claims]
        self.store.advance(history=(), asked=asked, seen=claims, rewound_to=None)
        records = SimpleNamespace(look=lambda model: object(), waits=lambda model: False, has_more=False)
        log, nothing = make_logger(self.logged, level="debug"), SimpleNamespace()
        contracts = SimpleNamespace(domain=Domain(chain_id=1, oracle=LIAR))
        reader = SimpleNamespace(look=self._look, contracts=contracts)
        scrutiny = Scrutiny(max_exposure_wei=0, max_demands_wei=0)
        parts: Any = {
            "reader": reader,
            "witness": None,
            "sender": None,
            "moves": nothing,
            "clocks": nothing,
            "secret": bytes(32),
            "checkpoint": lambda point: None,
        }
        litigation = Litigation(store=self.store, scrutiny=scrutiny, log=log, clock=lambda: self.now, **parts)
        fakes: Any = {
            "gateway": nothing,
            "intake": nothing,
            "reader": reader,
            "searches": nothing,
            "sender": None,
            "checker": SimpleNamespace(check=self._check, shelf=SimpleNamespace(records=records)),
        }
        self.challenger = Challenger(
            litigation=litigation, store=self.store, log=log, workers=self.workers, poll_interval_s=2.0, **fakes
        )

    def round(self) -> None:
        """Takes up what has ended and begins what can be begun."""
        self.challenger._collect(HEAD)
        self.challenger._begin_checks(HEAD, self.pool, Event())

    def finish(self) -> None:
        """Waits for everything under way."""
        for run in self.challenger._under_way():
            run.exception()

    def _look(self, seen: Claim, head: Any) -> Any:
        if seen.result_id in self.blind:
            raise self.blind[seen.result_id]
        return SimpleNamespace(is_open=True, head=HEAD, view=SimpleNamespace(me=SimpleNamespace(bond_wei=0)))

    def _check(self, seen: Claim, published: object, result: object) -> Any:
        self.begun.append(seen)
        return self.check(seen)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """One with an empty database."""
    with opened("sqlite", tmp_path) as database, ThreadPoolExecutor(8) as pool:
        made = Desk(store=ClaimStore(database=database), pool=pool)
        object.__setattr__(made.store, "clock", lambda: made.now)
        yield made


def test_flood_of_one_operator_leaves_half_of_the_workers_to_others(desk: Desk) -> None:
    """Requests cost their maker only fees: whoever fills all workers has its lie become final unseen."""
    ended, desk.workers = Event(), 4
    desk.check = lambda seen: ended.wait(30)
    desk.open(*(claim(number) for number in range(1, 9)), claim(20, operator=HONEST), claim(21, operator=THIRD))
    desk.round()
    taken = [desk.challenger._shares._held[each].operator for each in desk.challenger._checks]
    assert sorted(taken) == [LIAR, LIAR, HONEST, THIRD]
    ended.set()


def test_flood_about_one_model_leaves_half_of_the_workers_to_others(desk: Desk) -> None:
    """By operators without number."""
    ended, desk.workers = Event(), 2
    desk.check = lambda seen: ended.wait(30)
    flood = (claim(number, model=7, operator=Address(f"0x{number:040x}")) for number in range(1, 9))
    desk.open(*flood, claim(20, operator=HONEST))
    desk.round()
    assert set(desk.challenger._checks) == {claim(1).result_id, claim(20).result_id}
    ended.set()


def test_workers_that_nobody_else_needs_are_not_kept_back(desk: Desk) -> None:
    """An operator that is alone is checked as fast as can be."""
    ended, desk.workers = Event(), 4
    desk.check = lambda seen: ended.wait(30)
    desk.open(*(claim(number, model=1) for number in range(1, 9)))
    desk.round()
    assert len(desk.challenger._checks) == 4
    ended.set()


def test_one_worker_is_shared_in_turns(desk: Desk) -> None:
    """Half of it is every second check."""
    desk.check = lambda seen: (_ for _ in ()).throw(RunTimedOut("60 s"))
    desk.open(*(claim(number) for number in range(1, 7)), claim(20, operator=HONEST), claim(21, operator=HONEST))
    for _ in range(4):
        desk.round()
        desk.finish()
    assert [each.operator for each in desk.begun] == [LIAR, HONEST, LIAR, HONEST]


def test_turn_looks_at_new_claims_for_seconds_only(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an outage there are thousands of them, and the clocks of disputes run meanwhile."""
    monkeypatch.setattr(service, "LOOKING_S", 0.0)
    desk.workers = 4
    desk.open(*(claim(number) for number in range(1, 5)))
    assert desk.challenger._begin_checks(HEAD, desk.pool, Event())
    assert len(desk.challenger._checks) == 1


@pytest.mark.parametrize("error", [RunTimedOut("60 s"), RunOutOfMemory("2 GiB")])
def test_claim_whose_checks_break_limits_is_parked_with_an_alarm(desk: Desk, error: Exception) -> None:
    """It would hold a worker for a minute, every minute, until its window closes; and come back after every restart."""

    def check(seen: Claim) -> None:
        raise error

    desk.check = check
    desk.open(claim(1))
    for _ in range(MAX_OVERRUNS + 3):
        desk.round()
        desk.finish()
        desk.now += 100
    assert len(desk.begun) == MAX_OVERRUNS
    stored = desk.store.claim(claim(1).result_id)
    assert stored is not None and stored.status is ClaimStatus.PARKED and "timeout_s" in stored.reason
    assert '"claim_parked"' in desk.logged.getvalue()
    revived = desk.store.revive(claim(1).result_id)
    assert revived is not None and revived.overruns == 0


def test_claim_under_challenge_is_never_parked_for_a_run_too_long(desk: Desk) -> None:
    """There is a bond in it, and a clock that runs."""
    desk.open(claim(1, status=ClaimStatus.FALSE, overruns=9, attempts=99))
    false = desk.store.claim(claim(1).result_id)
    desk.challenger.containment.treat(false, RunTimedOut("60 s"))
    stored = desk.store.claim(claim(1).result_id)
    assert stored is not None and stored.status is ClaimStatus.FALSE


def test_claim_that_alone_meets_trouble_with_the_node_comes_last_for_a_turn(desk: Desk) -> None:
    """It closes first, is tried first, and would end every turn before any other claim is looked at."""
    desk.open(claim(1), claim(2, operator=HONEST))
    desk.blind[claim(1).result_id] = TransientChainError("no answer")
    with pytest.raises(TransientChainError):
        desk.round()
    desk.now += 10
    desk.round()
    assert [each.result_id for each in desk.begun] == [claim(2).result_id]
    del desk.blind[claim(1).result_id]
    desk.finish()
    desk.round()
    desk.finish()
    assert [each.result_id for each in desk.begun] == [claim(2).result_id, claim(1).result_id]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (encode_reference("https://elsewhere.example/x"), "challenge.input_hosts"),
        (b"\x00\xff", "cannot be read"),
        (encode_reference("https://data.example/x"), None),
        (b"\x01", None),
    ],
)
def test_claim_whose_input_is_never_fetched_is_not_tried(given: bytes, reason: str | None) -> None:
    """Every such claim would be tried again each minute, though only a change of settings helps."""
    scrutiny = Scrutiny(max_exposure_wei=0, max_demands_wei=0, input_hosts=frozenset({"data.example"}))
    told = scrutiny.skips(claim(1, input=given), bytes(32))
    assert (told is None) if reason is None else (told is not None and reason in told)


def test_claims_know_about_when_their_windows_close() -> None:
    """Two headers a step tell it, however many blocks there were proposals in."""
    asked: list[int] = []

    def block(number: int) -> Any:
        asked.append(number)
        return SimpleNamespace(number=number, timestamp=10_000 + 12 * number)

    nothing: Any = None
    contracts: Any = SimpleNamespace(gateway=SimpleNamespace(block=block))
    intake = ClaimIntake(
        follower=nothing, contracts=contracts, store=nothing, max_log_range=9, log=nothing, checkpoint=nothing
    )
    window = replace(NO_REQUEST, window_s=600)
    seen = intake._timed([claim(number, request=window) for number in (3, 40, 90)])
    assert [each.closes_at for each in seen] == [10_000 + 12 * number + 600 for number in (3, 40, 90)]
    assert len(asked) == 2 and intake._timed([]) == []
