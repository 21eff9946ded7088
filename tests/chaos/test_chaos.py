from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Final

import pytest
import requests
from tests.chaos.asked import Asked
from tests.chaos.books import Books
from tests.chaos.crew import Crew
from tests.chaos.judgement import Judgement
from tests.chaos.scrape import readiness, scrape
from tests.chaos.storm import MAX_DEPTH, Storm
from tests.support.faulty_rpc import Faults, FaultyRpc
from tests.support.watcher_world import ETHER, open_world

from sworn.testing.anvil import AnvilChain
from sworn.types import Status

pytestmark = [pytest.mark.acceptance, pytest.mark.anvil]

#: Seconds between two blocks, of the machine.
TICK_S: Final = 0.2
#: What may happen in any block while the storm lasts, and how often.
RATES: Final = {
    "kill": 0.06,
    "reorganise": 0.04,
    "forget": 0.04,
    "leap": 0.01,
    "choke": 0.01,
    "skew": 0.01,
    "pause": 0.01,
}
#: What one endpoint at a time may say that is not so.
LIES: Final[Sequence[dict[str, Any]]] = (
    {"lag": 8},
    {"lag": 1},
    {"ahead": 40},
    {"wrong_hash": 0.5},
    {"stale_logs": 3},
    {"omitted_logs": 0.3},
    {"moved_logs": 0.3},
)
TIMEOUT_S: Final = 1500.0
#: Blocks from which on a storm has everything at least once.
LONG: Final = 100
#: What a storm makes more than nothing at some time or other.
FLOWING: Final = ("sworn_pending_transactions", "sworn_pending_oldest_seconds", "sworn_bonds_at_risk_wei")
#: Every so many blocks replicas are asked how they are, each for as long.
LISTEN_EVERY, LISTEN_S = 10, 0.5
#: Seeds of the long storms, comma-separated; each makes a test of its own, which names it.
SEEDS_VARIABLE: Final = "SWORN_CHAOS_SEEDS"


def seeds(default: int) -> list[int]:
    """What the environment asks for, or the one that is always run."""
    given = os.environ.get(SEEDS_VARIABLE, "")
    return [int(each) for each in given.split(",")] if given else [default]


class Chaos:
    """A chain, endpoints and replicas in a storm that a seed decides."""

    def __init__(self, folder: Path, *, database_url: str, size: int, seed: int, closing: ExitStack) -> None:
        self.dice = random.Random(seed)
        chain = AnvilChain()
        closing.callback(chain.close)
        self.world = open_world(chain, stake_wei=50 * ETHER)
        self.storm = Storm(chain=chain)
        # No reorganisation takes the contracts away.
        for _ in range(MAX_DEPTH):
            self.storm.tick()
        self.asked = Asked(world=self.world, storm=self.storm)
        self.nodes = [closing.enter_context(FaultyRpc(chain.url, seed=seed + number)) for number in range(3)]
        self.crew = Crew(
            world=self.world,
            folder=folder,
            database_url=database_url,
            urls=tuple(node.url for node in self.nodes),
            size=size,
        )
        closing.callback(self.crew.end)
        self.books = Books(
            asked=self.asked,
            database_url=database_url,
            opening_wei=chain.gateway.balance(self.world.transaction_signer.address),
        )
        #: What replicas said of themselves under way.
        self.heard: Counter[str] = Counter()
        #: The highest that was seen of what is nothing when all is at rest.
        self.peaks = dict.fromkeys(FLOWING, 0.0)
        self.done = dict.fromkeys(RATES, 0)
        self._later: dict[int, list[tuple[str, int]]] = {}
        self._surely: dict[int, str] = {}
        self._tick = 0

    def play(self, requests: int, *, per_block: int) -> None:
        """Asks for so many results under way, calms down, and goes on until every request has ended."""
        blocks = requests // per_block
        if blocks >= LONG:
            # Whatever else the dice say, everything happens.
            self._surely = dict(zip(self.dice.sample(range(1, blocks // 2), len(RATES)), RATES, strict=True))
        deadline = time.monotonic() + TIMEOUT_S
        while len(self.asked.requests) < requests:
            self.asked.ask(min(per_block, requests - len(self.asked.requests)))
            self._step(stormy=True)
        self._calm()
        while not self._ended():
            assert time.monotonic() < deadline, f"{self.asked.statuses()}\n{self.crew.log()[-6000:]}"
            self._step(stormy=False)
        # So that ends are deep, and nothing waits for confirmations.
        for _ in range(2 * MAX_DEPTH):
            self._step(stormy=False)

    def _ended(self) -> bool:
        if self._tick % 10:
            return False
        self.asked.expire()
        open_ones = {Status.NONE, Status.REQUESTED, Status.PROPOSED, Status.DISPUTED}
        return not open_ones & set(self.asked.statuses())

    def _step(self, *, stormy: bool) -> None:
        self._tick += 1
        self.crew.keep_running()
        for name, number in self._later.pop(self._tick, []):
            self._undo(name, number)
        if stormy:
            self._change_weather()
            for name, rate in RATES.items():
                if self.dice.random() < rate or self._surely.get(self._tick) == name:
                    self.done[name] += 1
                    self._do(name)
        self.storm.tick()
        if self._tick % LISTEN_EVERY == 0:
            self._listen()
        time.sleep(TICK_S)

    def _listen(self) -> None:
        """Hears what replicas say of themselves: each who answers says whether it leads, and why it is not ready."""
        for address in self.crew.addresses():
            answer = readiness(address, timeout_s=LISTEN_S)
            if answer is None:
                self.heard["silent"] += 1
                continue
            self.heard["ready" if answer.ready else "not ready"] += 1
            assert answer.ready is not bool(answer.failing), answer
            if "database" not in answer.failing:
                assert answer.leads is not None, answer
                self.heard["leads" if answer.leads else "stands by"] += 1
            with suppress(requests.RequestException):
                shown = scrape(address)
                self.peaks = {name: max(peak, shown.total(name)) for name, peak in self.peaks.items()}

    def _change_weather(self) -> None:
        """Each endpoint may lose, repeat, delay and refuse answers; one of them lies about its head now and then."""
        if self._tick % 5:
            return
        liar = self.dice.randrange(2 * len(self.nodes))
        for number, node in enumerate(self.nodes):
            share = 0.06 if self.dice.random() < 0.4 else 0.0
            node.faults = Faults(
                hang=share / 6,
                hang_s=5.0,
                drop=share,
                drop_answer=share,
                duplicate=share / 2,
                limited=share,
                retry_after_s=1.0,
                unavailable=share,
                omitted_answers=share / 2,
                swallowed=share,
                **(self.dice.choice(LIES) if number == liar else {}),
            )

    def _do(self, name: str) -> None:
        number = self.dice.randrange(self.crew.size)
        match name:
            case "kill":
                self.crew.kill(number)
            case "reorganise":
                self.storm.reorganise(self.dice.randint(1, MAX_DEPTH))
            case "forget":
                self.storm.forget()
            case "leap":
                self.storm.leap(20, 10)
            case "choke":
                self.crew.choke(choked=True)
                self._after(10, name, number)
            case "skew":
                self.crew.skew(self.dice.choice((-86_400.0, -30.0, 30.0, 3600.0)))
                self._after(20, name, number)
            case "pause":
                self.crew.pause(number, paused=True)
                self._after(25, name, number)

    def _undo(self, name: str, number: int) -> None:
        match name:
            case "choke":
                self.crew.choke(choked=False)
            case "skew":
                self.crew.skew(0.0)
            case "pause":
                self.crew.pause(number, paused=False)

    def _after(self, blocks: int, name: str, number: int) -> None:
        self._later.setdefault(self._tick + blocks, []).append((name, number))

    def _calm(self) -> None:
        for node in self.nodes:
            node.faults = Faults()
        for events in self._later.values():
            for name, number in events:
                self._undo(name, number)
        self._later.clear()


@pytest.fixture
def closing() -> Iterator[ExitStack]:
    """Ends what a test has started."""
    with ExitStack() as stack:
        yield stack


@pytest.mark.parametrize(
    ("requests", "seed"),
    [
        pytest.param(30, 1, id="squall"),
        *(
            pytest.param(1000, seed, id=f"storm-seed-{seed}", marks=[pytest.mark.slow, pytest.mark.timeout(1800)])
            for seed in seeds(2)
        ),
    ],
)
def test_every_request_in_a_storm_is_answered_once_or_refunded(
    tmp_path: Path, closing: ExitStack, requests: int, seed: int
) -> None:
    """Whatever nodes, chain, disk, clock and power do: no answer is lost or doubled, no nonce, no bond."""
    database_url = f"sqlite:///{tmp_path}/watcher.db"
    chaos = Chaos(tmp_path, database_url=database_url, size=1, seed=seed, closing=closing)
    chaos.play(requests, per_block=4)
    _judge(chaos, database_url)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", seeds(3), ids=lambda seed: f"seed-{seed}")
def test_every_request_in_a_storm_is_answered_once_by_two_replicas(
    tmp_path: Path, closing: ExitStack, seed: int
) -> None:
    """Two replicas on one PostgreSQL share the work; whichever dies or hangs, nothing is answered twice."""
    from tests.support.postgres import migrated_url

    database_url = migrated_url()
    chaos = Chaos(tmp_path, database_url=database_url, size=2, seed=seed, closing=closing)
    chaos.play(1000, per_block=4)
    _judge(chaos, database_url)


def _judge(chaos: Chaos, database_url: str) -> None:
    judgement = Judgement(asked=chaos.asked, folder=chaos.crew.folder, database_url=database_url, books=chaos.books)
    print(f"{chaos.done}, reorganised {chaos.storm.depths}, {chaos.crew.kills} kills, {dict(chaos.heard)}")  # noqa: T201 -- what a long run is reported by
    # What is always nothing would look well at rest.
    assert len(chaos.asked.requests) < LONG or all(chaos.peaks.values()), chaos.peaks
    print(judgement.summary())  # noqa: T201 -- as above
    judgement.check_metrics(chaos.crew)
    assert set(chaos.crew.stop()) == {0}
    assert chaos.crew.crashes == []
    judgement.check()
