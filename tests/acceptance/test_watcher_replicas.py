"""Watchers that share a database on a real PostgreSQL, as processes: killed, put to sleep, upgraded."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support import postgres
from tests.support.replicated import Replicated
from tests.support.watcher_world import WatcherWorld, open_world

from sworn.testing.anvil import AnvilChain
from sworn.types import RequestId
from sworn.watcher.store import migration

pytestmark = [pytest.mark.acceptance, pytest.mark.anvil, pytest.mark.slow, pytest.mark.timeout(900)]

NEXT = Path(__file__).resolve().parent.parent / "support" / "migrations_next"


@pytest.fixture(scope="module")
def stage() -> Iterator[WatcherWorld]:
    """Contracts, operator and model on an anvil, once for all tests here."""
    chain = AnvilChain()
    yield open_world(chain, stake_wei=50 * 10**18)
    chain.close()


@pytest.fixture
def replicated(stage: WatcherWorld, tmp_path: Path) -> Iterator[Replicated]:
    """An empty database and no replica yet; the chain is put back afterwards."""
    mark = stage.chain.snapshot()
    replicated = Replicated(world=stage, folder=tmp_path, url=postgres.migrated_url())
    yield replicated
    replicated.close()
    stage.chain.revert(mark)


def post(world: WatcherWorld, count: int, *, first: int = 0) -> list[RequestId]:
    """Makes requests, each about an input of its own."""
    return [world.request(world.payload(2.0, n + 1.0), salt=n).request_id for n in range(first, first + count)]


def once_each(replicated: Replicated, ids: list[RequestId], nonce: int) -> None:
    """Every request was answered once, no digest was signed beside its answer, and no nonce was left out."""
    watched = replicated.watched()
    once = dict.fromkeys(ids, 1)
    assert watched.events("ResultProposed") == once
    assert watched.events("ResultFinalized") == once
    assert watched.signed_digests() == watched.allowed_digests(ids)
    used = replicated.world.chain.gateway.nonce(replicated.world.transaction_signer.address)
    count, highest = replicated.nonces()
    assert (count, highest + 1) == (used - nonce, used)


@pytest.mark.parametrize("seed", range(6))
def test_replicas_killed_at_random_answer_every_request_exactly_once(replicated: Replicated, seed: int) -> None:
    """Whoever dies wherever, the other goes on: nothing is lost, doubled or left without a nonce."""
    world, chance = replicated.world, random.Random(seed)
    nonce = world.chain.gateway.nonce(world.transaction_signer.address)
    ids = post(world, 6)
    kills = 5
    for name in "ab":
        replicated.start(name, die_after=chance.randint(3, 30))

    def done() -> bool:
        nonlocal kills
        for name in "ab":
            kills -= replicated.revive(name, die_after=chance.randint(3, 30) if kills > 1 else None)
        return replicated.answered(ids) and kills <= 0

    def meddle() -> None:
        if kills > 0 and len(ids) < 30 and replicated.answered(ids, at_rest=False):
            ids.extend(post(world, 2, first=len(ids)))

    replicated.until(done, meanwhile=meddle)
    assert set(replicated.exits) == {-signal.SIGKILL}
    # One that has only just been started does not listen yet.
    assert {replicated.stop(name) for name in "ab"} <= {0, -signal.SIGTERM}
    once_each(replicated, ids, nonce)


@pytest.mark.parametrize("point", ["intent_stored", "raw_stored", "broadcast"])
def test_leader_that_sleeps_through_a_takeover_sends_nothing_more(replicated: Replicated, point: str) -> None:
    """A machine that wakes after its lead has passed on would otherwise send beside its successor."""
    world = replicated.world
    nonce = world.chain.gateway.nonce(world.transaction_signer.address)
    ids = post(world, 3)
    replicated.start("old", stop_at=f"proposemany_{point}")
    marker = replicated.folder / "stopped"
    replicated.until(marker.exists)
    began = time.monotonic()
    replicated.start("new")
    replicated.until(lambda: replicated.leader()[0] == "new")
    took_s = time.monotonic() - began
    ids += post(world, 2, first=3)
    replicated.until(lambda: replicated.answered(ids))
    replicated.wake("old")
    ids += post(world, 2, first=5)
    replicated.until(lambda: replicated.answered(ids))
    # It wakes within the step that it was stopped in, and is refused there; what is stored before that is stored.
    refused = "leadership_given_up" if point == "broadcast" else "LeadershipLost"
    replicated.until(lambda: refused in (replicated.folder / "old.log").read_text())
    assert [replicated.stop(name) for name in ("old", "new")] == [0, 0]
    once_each(replicated, ids, nonce)
    assert took_s < 30


def test_leader_that_is_killed_is_replaced_within_seconds(replicated: Replicated) -> None:
    """Results wait for their windows and disputes for their clocks: nobody may have to be woken for this."""
    replicated.patience_s = 60.0
    for name in "ab":
        replicated.start(name)
    replicated.until(lambda: replicated.leader()[1] == 1)
    leader, _ = replicated.leader()
    other = "b" if leader == "a" else "a"
    # It waits at the door before the leader dies.
    replicated.until(lambda: f'"replica": "{other}"' in replicated.said() or other in replicated.said())
    ids = post(replicated.world, 2)
    time.sleep(3)
    began = time.monotonic()
    replicated.kill(leader)
    replicated.until(lambda: replicated.leader() == (other, 2))
    took_s = time.monotonic() - began
    replicated.until(lambda: replicated.answered(ids))
    assert took_s < 5


def test_runs_whose_leases_lapse_are_sworn_once(replicated: Replicated) -> None:
    """Replicas that are too slow for their leases run the same request twice; the second answer is never signed."""
    world = replicated.world
    nonce = world.chain.gateway.nonce(world.transaction_signer.address)
    replicated.lease_s, replicated.run_s = 0.2, 1.0
    ids = post(world, 6)
    for name in "ab":
        replicated.start(name)
    replicated.until(lambda: replicated.answered(ids))
    once_each(replicated, ids, nonce)


def test_upgrade_beside_a_running_replica_loses_and_doubles_nothing(replicated: Replicated) -> None:
    """The next release migrates the database under the one that serves, then takes over from it."""
    world = replicated.world
    nonce = world.chain.gateway.nonce(world.transaction_signer.address)
    replicated.migrations["new"], replicated.patience_s = [str(NEXT)], 60.0
    ids = post(world, 3)
    replicated.start("old")
    replicated.until(lambda: replicated.leader() == ("old", 1))
    replicated.start("new")
    replicated.until(lambda: migration.current(replicated.database) == "0008")
    # The old one still leads, on the new schema.
    ids += post(world, 3, first=3)
    replicated.until(lambda: replicated.answered(ids))
    assert replicated.leader() == ("old", 1)
    ids += post(world, 3, first=6)
    assert replicated.stop("old") == 0
    replicated.until(lambda: replicated.answered(ids))
    assert replicated.leader() == ("new", 2)
    assert replicated.stop("new") == 0
    once_each(replicated, ids, nonce)
