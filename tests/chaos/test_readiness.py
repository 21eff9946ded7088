"""Two replicas, of which one loses its nodes: what each says of itself, and who works on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest
from tests.chaos.asked import Asked
from tests.chaos.crew import Crew
from tests.chaos.scrape import Readiness, readiness, scrape
from tests.chaos.storm import Storm
from tests.support import postgres
from tests.support.faulty_rpc import Faults, FaultyRpc
from tests.support.watcher_world import ETHER, WatcherWorld, open_world

from sworn.testing.anvil import AnvilChain
from sworn.types import Status

pytestmark = [pytest.mark.acceptance, pytest.mark.anvil, pytest.mark.slow, pytest.mark.timeout(600)]
PATIENCE_S: Final = 90.0


class Pair:
    """Two replicas on one PostgreSQL, each with a node of its own, and blocks that go on."""

    def __init__(self, folder: Path, closing: ExitStack) -> None:
        chain = AnvilChain()
        closing.callback(chain.close)
        self.world: WatcherWorld = open_world(chain, stake_wei=50 * ETHER)
        self.storm = Storm(chain=chain)
        self.asked = Asked(world=self.world, storm=self.storm, late_every=0)
        self.nodes = [closing.enter_context(FaultyRpc(chain.url, seed=number)) for number in range(2)]
        self.crew = Crew(
            world=self.world,
            folder=folder,
            database_url=postgres.migrated_url(),
            urls=(),
            own_urls={number: (node.url,) * 3 for number, node in enumerate(self.nodes)},
            size=2,
            # Of a busy machine, slow turns are no silence.
            patience_s=15.0,
        )
        closing.callback(self.crew.end)

    def until(self, done: Callable[[], bool], what: str) -> None:
        """Lets blocks come until something holds."""
        deadline = time.monotonic() + PATIENCE_S
        while not done():
            assert time.monotonic() < deadline, f"{what}: {[self.said(number) for number in range(2)]}"
            self.crew.keep_running()
            self.storm.tick()
            time.sleep(0.2)

    def said(self, number: int) -> Readiness | None:
        """What a replica says of itself."""
        addresses = self.crew.addresses()
        return readiness(addresses[number]) if len(addresses) == 2 else None

    def leader(self) -> int | None:
        """The one that leads, where exactly one says so and the other says that it stands by."""
        lead = [None if (said := self.said(number)) is None else said.leads for number in range(2)]
        return lead.index(True) if sorted(lead, key=str) == [False, True] else None

    def is_ready(self, number: int) -> bool:
        """Whether a replica says that it is."""
        said = self.said(number)
        return said is not None and said.ready

    def fails_at_its_node(self, number: int) -> bool:
        """Whether a replica says that it cannot work, and why."""
        said = self.said(number)
        return said is not None and not said.ready and "rpc" in said.failing


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """Both ready, one of them leading."""
    with ExitStack() as closing:
        pair = Pair(tmp_path, closing)
        pair.crew.keep_running()
        pair.until(lambda: pair.leader() is not None and all(map(pair.is_ready, range(2))), "nobody leads")
        yield pair


@pytest.mark.parametrize("gone", [Faults(drop=1.0), Faults(hang=1.0, hang_s=30.0)], ids=["cut", "mute"])
def test_leader_without_its_node_says_so_and_leaves_the_lead_to_the_other(pair: Pair, gone: Faults) -> None:
    """A leader that holds the lead and cannot reach a node would stall a standby that could do all of the work."""
    leader = pair.leader()
    assert leader is not None
    other = 1 - leader
    shown = [scrape(address).total("sworn_leader") for address in pair.crew.addresses()]
    assert (shown[leader], shown[other]) == (1.0, 0.0)

    pair.nodes[leader].faults = gone
    pair.until(lambda: pair.fails_at_its_node(leader), "the leader does not notice")
    pair.until(lambda: pair.leader() == other and pair.is_ready(other), "the other does not take over")
    pair.asked.ask(6)
    answered = {Status.FINALIZED}
    pair.until(lambda: set(pair.asked.statuses()) == answered, "the requests are not answered")
    assert not pair.is_ready(leader)

    pair.nodes[leader].faults = Faults()
    pair.until(lambda: all(map(pair.is_ready, range(2))), "the old leader does not recover")
    assert pair.leader() == other
    assert pair.crew.crashes == []


def test_standby_without_its_node_is_not_ready_and_takes_nothing_over(pair: Pair) -> None:
    """A standby that would fail when it is needed has to be seen before."""
    leader = pair.leader()
    assert leader is not None
    other = 1 - leader
    pair.nodes[other].faults = Faults(drop=1.0)
    pair.until(lambda: pair.fails_at_its_node(other), "the standby does not notice")

    assert pair.is_ready(leader)
    assert pair.leader() == leader
