from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.watched import Watched
from tests.support.watcher_world import WatcherWorld, open_world

from sworn.testing.anvil import AnvilChain
from sworn.types import Status
from sworn.watcher.jobs import JobStatus
from sworn.watcher.service import BATCH_KILL_POINTS, KILL_POINTS

pytestmark = [pytest.mark.acceptance, pytest.mark.anvil]

#: Points that are tried by default; between any two of them lies no other kind of store.
ESSENTIAL = (
    "logs_fetched",
    "before_run",
    "digest_journalled",
    "signature_stored",
    "propose_intent_stored",
    "propose_raw_stored",
    "propose_broadcast",
    "finalize_intent_stored",
    "finalize_receipt_stored",
    "job_settled",
)
#: An input whose reciprocal is infinite: ends with a signed failure.
ZERO = (0.0, 1.0)


@pytest.fixture(scope="module")
def stage() -> Iterator[WatcherWorld]:
    """Contracts, operator and model on an anvil, once for all tests here."""
    chain = AnvilChain()
    yield open_world(chain)
    chain.close()


@pytest.fixture
def watched(stage: WatcherWorld, tmp_path: Path) -> Iterator[Watched]:
    """A folder for one watcher; the chain is put back afterwards."""
    mark = stage.chain.snapshot()
    watched = Watched(world=stage, folder=tmp_path)
    yield watched
    watched.kill()
    stage.chain.revert(mark)


@pytest.mark.parametrize(
    "point", [pytest.param(point, marks=[] if point in ESSENTIAL else [pytest.mark.slow]) for point in KILL_POINTS]
)
def test_watcher_killed_at_point_answers_everything_exactly_once(watched: Watched, point: str) -> None:
    """Killed without warning at any point of its loop and started again, a watcher loses and doubles nothing."""
    world = watched.world
    good = [world.request(world.payload(2.0, number + 1.0), salt=number) for number in range(2)]
    bad = world.request(world.payload(*ZERO), salt=9)
    nonce = world.chain.gateway.nonce(world.transaction_signer.address)
    watched.kill_at = point
    ends = {posted.request_id: Status.FINALIZED for posted in good} | {bad.request_id: Status.FAILED}
    watched.work_until(ends)
    watched.outlive()
    assert (watched.stop(), watched.exits) == (0, [-signal.SIGKILL])
    once = dict.fromkeys((posted.request_id for posted in good), 1)
    assert (watched.events("ResultProposed"), watched.events("ResultFinalized")) == (once, once)
    assert watched.events("RequestFailed") == {bad.request_id: 1}
    assert watched.signed_digests() == watched.allowed_digests(ends)
    assert {job.request_id: job.status for job in watched.jobs()} == {
        **dict.fromkeys(once, JobStatus.FINALIZED),
        bad.request_id: JobStatus.FAILED,
    }
    # Two proposals, two finalizations, one failure: not one transaction more.
    assert world.chain.gateway.nonce(world.transaction_signer.address) == nonce + 5


@pytest.mark.slow
@pytest.mark.parametrize("point", [*BATCH_KILL_POINTS, "digest_journalled", "signature_stored", "job_settled"])
def test_watcher_killed_with_results_in_batches_answers_everything_exactly_once(watched: Watched, point: str) -> None:
    """What carries a result is known after every death: nothing is proposed twice, and nothing forgotten in a batch."""
    world = watched.world
    asked = [world.request(world.payload(2.0, number + 1.0), salt=number) for number in range(5)]
    watched.kill_at, watched.max_results = point, 100
    ends = {posted.request_id: Status.FINALIZED for posted in asked}
    watched.work_until(ends)
    watched.outlive()
    assert (watched.stop(), watched.exits) == (0, [-signal.SIGKILL])
    once = dict.fromkeys(ends, 1)
    assert (watched.events("ResultProposed"), watched.events("ResultFinalized")) == (once, once)
    assert watched.signed_digests() == watched.allowed_digests(ends)
    assert {job.status for job in watched.jobs()} == {JobStatus.FINALIZED}


def test_watcher_terminated_at_work_exits_with_zero(watched: Watched) -> None:
    """SIGTERM ends the process cleanly, and the next one takes over where it stopped."""
    world = watched.world
    posted = world.request(world.payload(1.0, 2.0))
    watched.work_until({posted.request_id: Status.PROPOSED}, at_rest=False)
    assert watched.stop() == 0
    watched.work_until({posted.request_id: Status.FINALIZED})
    assert (watched.stop(), watched.exits, watched.starts) == (0, [], 2)
