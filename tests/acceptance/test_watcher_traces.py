"""A watcher that is killed between the trace of a run and the oath about it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.watched import Watched
from tests.support.watcher_world import WatcherWorld, open_world

from sworn.model.trace_file import TraceFile
from sworn.testing.anvil import AnvilChain
from sworn.types import Profile, Status
from sworn.watcher.service import TRACED_KILL_POINTS

pytestmark = [pytest.mark.acceptance, pytest.mark.anvil]


@pytest.fixture(scope="module")
def stage() -> Iterator[WatcherWorld]:
    """Contracts, operator and a model in profile bounded on an anvil, once for all tests here."""
    chain = AnvilChain()
    yield open_world(chain, profile=Profile.BOUNDED)
    chain.close()


@pytest.fixture
def watched(stage: WatcherWorld, tmp_path: Path) -> Iterator[Watched]:
    """A folder for one watcher; the chain is put back afterwards."""
    mark = stage.chain.snapshot()
    watched = Watched(world=stage, folder=tmp_path)
    yield watched
    watched.kill()
    stage.chain.revert(mark)


@pytest.mark.parametrize("point", ["after_run", *TRACED_KILL_POINTS, "digest_journalled", "signature_stored"])
def test_watcher_killed_around_a_trace_can_defend_what_it_swore(watched: Watched, point: str) -> None:
    """Every run has other bits; whatever is sworn and proposed, its own trace lies there, whole, and only that one."""
    world = watched.world
    posted = [world.request(world.payload(2.0, number + 1.0), salt=number) for number in range(2)]
    watched.kill_at = point
    ends = {each.request_id: Status.FINALIZED for each in posted}
    watched.work_until(ends)
    assert (watched.stop(), watched.exits) == (0, [-signal.SIGKILL])
    assert watched.events("ResultProposed") == dict.fromkeys(ends, 1)
    assert watched.signed_digests() == watched.allowed_digests(ends)
    files = {tuple(file.stem.split("-")): file for file in (watched.folder / "traces").glob("*.trace")}
    assert set(files) == watched.proposed_traces()
    for (_, root), file in files.items():
        trace = TraceFile.load(file)
        trace.verify()
        assert (trace.trace_root.hex(), trace.model_id) == (root, world.model_id)
