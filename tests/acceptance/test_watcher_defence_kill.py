"""A watcher that is killed anywhere in a dispute over its result, and started again."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet
from tests.support.defence_world import ROOT, Hostile, post, sworn_case
from tests.support.watched import Watched
from tests.support.watcher_world import Posted, WatcherWorld, open_world

from sworn.chain.sender import SENDER_POINTS
from sworn.dispute.case import Case
from sworn.dispute.queries import Queries
from sworn.testing.anvil import AnvilChain
from sworn.types import ZERO_HASH, DisputeStatus, Part, Profile, Status, Target
from sworn.watcher.defence.records import DefenceStatus
from sworn.watcher.defence.service import DEFENCE_KILL_POINTS
from sworn.watcher.defence.store import DefenceStore
from sworn.watcher.store.database import open_database
from sworn.watcher.store.jobs import JobStore
from sworn.watcher.store.transactions import SqlTransactionStore

pytestmark = [pytest.mark.acceptance, pytest.mark.anvil]

TIMEOUT_S = 60.0
TARGETS = (ROOT, Target(part=Part.CHUNKS, value=1), Target(part=Part.STEPS))
#: What an operator that keeps its traces never passes.
RERUN_POINTS = frozenset(
    point for point in DEFENCE_KILL_POINTS if "rerun" in point or point.startswith(("trace_", "commit_"))
)
#: Those that are not the sender's.
OWN_POINTS = frozenset(point for point in DEFENCE_KILL_POINTS if not point.endswith(SENDER_POINTS))


@pytest.fixture(scope="module")
def stage() -> Iterator[Callable[[Profile], WatcherWorld]]:
    """Contracts, operator and model on an anvil for each profile, once for all tests here."""
    worlds: dict[Profile, WatcherWorld] = {}

    def of(profile: Profile) -> WatcherWorld:
        if profile not in worlds:
            worlds[profile] = open_world(AnvilChain(), profile=profile)
        return worlds[profile]

    yield of
    for world in worlds.values():
        world.chain.close()


class Play:
    """One dispute, with a watcher that is started again whenever it dies."""

    def __init__(self, watched: Watched) -> None:
        self.watched = watched
        self.hostile = Hostile(world=watched.world, signer=watched.world.chain.signers[4])

    def until(self, done: Callable[[], bool]) -> None:
        """Lets the watcher work until something is so."""
        deadline = time.monotonic() + TIMEOUT_S
        while time.monotonic() < deadline:
            self.watched.keep_running()
            if done():
                return
            time.sleep(0.05)
        raise AssertionError(f"not done\n{(self.watched.folder / 'log').read_text()[-6000:]}")

    def case(self, posted: Posted) -> Case:
        """The result that the watcher swore."""
        database = open_database(f"sqlite:///{self.watched.folder}/watcher.db")
        try:
            oath = JobStore(database=database).oath(posted.request_id, self.watched.world.operator.address)
        finally:
            database.close()
        assert oath is not None
        return sworn_case(self.watched.world, posted, oath)

    def is_over(self, case: Case) -> bool:
        """Whether the watcher has nothing left to do."""
        database = open_database(f"sqlite:///{self.watched.folder}/watcher.db")
        try:
            defence = DefenceStore(database=database).defence(case.result_id)
            store = SqlTransactionStore(database=database, chain_id=self.watched.world.deployment.chain_id)
            is_settled = not store.live(self.watched.world.transaction_signer.address)
        finally:
            database.close()
        is_upheld = defence is not None and defence.status is DefenceStatus.UPHELD
        return is_upheld and is_settled and self.watched.at_rest() and self.hostile.reward_of(case.result.operator) == 0

    def is_up(self) -> bool:
        """Whether the newest process has come to its loop."""
        started = (self.watched.folder / "log").read_text().count('"event": "watcher_started"')
        return started == self.watched.starts

    def events(self) -> Counter[str]:
        """What happened in disputes."""
        world, queries = self.watched.world, Queries(self.watched.world.deployment)
        logs = world.chain.gateway.logs(
            addresses=[world.deployment.dispute_game],
            topics=queries.topics(),
            from_block=world.deployment.block,
            to_block=world.chain.gateway.block("latest").number,
        )
        return Counter(queries.event(log).name for log in logs)


def points() -> Iterator[ParameterSet]:
    """Where watchers die: everywhere when they have to run again, and wherever else when they kept their trace.

    Each takes seconds: of the points that a sender has in every transaction, one of each kind is enough for most days.
    """
    for profile, point in (
        *((Profile.EXACT, point) for point in DEFENCE_KILL_POINTS),
        *((Profile.BOUNDED, point) for point in DEFENCE_KILL_POINTS if point not in RERUN_POINTS),
    ):
        is_quick = profile is Profile.EXACT and (point in OWN_POINTS or point.endswith("_broadcast"))
        yield pytest.param(profile, point, id=f"{profile.name}-{point}", marks=() if is_quick else (pytest.mark.slow,))


@pytest.mark.parametrize(("profile", "point"), list(points()))
def test_watcher_killed_at_point_of_a_dispute_is_upheld(
    stage: Callable[[Profile], WatcherWorld], profile: Profile, point: str, tmp_path: Path
) -> None:
    """Killed without warning at any point and started again, it answers everything in time, and everything once."""
    world = stage(profile)
    mark = world.chain.snapshot()
    watched = Watched(world=world, folder=tmp_path, kill_at=point, module="tests.support.defence_process")
    try:
        _play(Play(watched), world)
    finally:
        watched.kill()
        world.chain.revert(mark)


def _play(play: Play, world: WatcherWorld) -> None:
    hostile, nonce = play.hostile, world.chain.gateway.nonce(world.transaction_signer.address)
    posted = post(world, 2.0, 4.0)
    play.until(lambda: world.state(posted).status is Status.PROPOSED)
    case = play.case(posted)
    hostile.challenge(case)
    play.until(lambda: case.result.trace_root != ZERO_HASH or hostile.dispute(case).trace_root != ZERO_HASH)
    demands = [hostile.demand(case, target) for target in TARGETS]
    play.until(lambda: all(map(hostile.is_answered, demands)))
    hostile.travel_to(hostile.clocks.ends_at(hostile.dispute(case)) + 1)
    play.until(lambda: hostile.dispute(case).status is DisputeStatus.UPHELD)
    # It may die at its very last step, and has to be up again to be stopped in order.
    play.until(lambda: play.is_over(case) and len(play.watched.exits) == 1 and play.is_up())
    assert (play.watched.stop(), play.watched.exits) == (0, [-signal.SIGKILL])
    assert world.state(posted).status is Status.FINALIZED
    is_exact = case.result.trace_root == ZERO_HASH
    assert play.events() == {"DisputeOpened": 1, "Demanded": 3, "Disclosed": 3, "DisputeResolved": 1} | (
        {"TraceCommitted": 1} if is_exact else {}
    )
    # The result, and in profile exact once more with its trace: nothing else was ever signed.
    assert len(play.watched.signed_digests()) == (2 if is_exact else 1)
    # Proposal, trace, three disclosures, resolution, withdrawal, finalization: not one transaction more.
    assert world.chain.gateway.nonce(world.transaction_signer.address) == nonce + (8 if is_exact else 7)
