from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from tests.support.watched import Watched
from tests.support.watcher_world import WatcherWorld, open_world

from sworn.testing.anvil import AnvilChain
from sworn.types import RequestId, Status
from sworn.watcher.jobs import JobStatus

pytestmark = [pytest.mark.acceptance, pytest.mark.anvil]

#: Blocks that a reorganisation replaces: the three requests and whatever the watcher had sent.
Reorganise = Callable[[WatcherWorld, object, int, list[bytes]], None]


def _rpc(world: WatcherWorld, method: str, *params: Any) -> Any:
    url = world.chain.url
    assert url is not None
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
    answer = requests.post(url, json=body, timeout=10).json()
    assert "error" not in answer, answer
    return answer.get("result")


def _in_place(world: WatcherWorld, mark: object, start: int, raws: list[bytes]) -> None:
    """Replaces the blocks after ``start`` at once by as many with other transactions."""
    depth = world.chain.gateway.block("latest").number - start
    _rpc(world, "anvil_reorg", depth, [["0x" + raw.hex(), index] for index, raw in enumerate(raws)])


def _by_snapshot(world: WatcherWorld, mark: object, start: int, raws: list[bytes]) -> None:
    """Takes the chain back to ``start``, then grows it anew with other transactions."""
    world.chain.revert(mark)
    world.chain.mine()
    for raw in raws:
        world.chain.gateway.send_raw(raw)
    world.chain.mine(10)


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    """A watcher's folder on an anvil of its own."""
    chain = AnvilChain()
    watched = Watched(world=open_world(chain), folder=tmp_path)
    yield watched
    watched.kill()
    chain.close()


@pytest.mark.parametrize("confirmations", [0, 2])
@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.parametrize("reorganise", [_in_place, _by_snapshot])
def test_watcher_reorg_reorders_and_removes_requests_one_oath_each(
    watched: Watched, reorganise: Reorganise, killed: bool, confirmations: int
) -> None:
    """A reorg swaps two requests and removes a third: both are answered once, by the oaths sworn before it."""
    world = watched.world
    watched.confirmations = confirmations
    mark, start = world.chain.snapshot(), world.chain.gateway.block("latest").number
    made = [
        world.sign_request(world.chain.signers[4 + index], world.payload(2.0, index + 1.0), salt=index)
        for index in range(3)
    ]
    for _, raw in made:
        world.chain.gateway.send_raw(raw)
    (first, first_raw), (second, second_raw), (removed, _) = made
    watched.work_until(dict.fromkeys((first, second, removed), Status.PROPOSED), at_rest=False)
    if killed:
        watched.kill()
    reorganise(world, mark, start, [second_raw, first_raw])
    assert world.contracts.state_of(removed).status is Status.NONE
    # Blocks go on, as they do on a living chain.
    watched.work_until(dict.fromkeys((first, second), Status.FINALIZED), at_rest=False)
    world.chain.mine(confirmations)
    watched.work_until(dict.fromkeys((first, second), Status.FINALIZED))
    assert watched.stop() == 0
    _assert_one_oath_each(watched, answered=(first, second), removed=removed)


def _assert_one_oath_each(watched: Watched, *, answered: tuple[RequestId, ...], removed: RequestId) -> None:
    once = dict.fromkeys(answered, 1)
    assert (watched.events("ResultProposed"), watched.events("ResultFinalized")) == (once, once)
    # One digest for every request that ever was, the removed one included: none was signed a second time otherwise.
    assert len(watched.signed_digests()) == len(answered) + 1
    assert watched.allowed_digests(list(answered)) < watched.signed_digests()
    statuses = {job.request_id: job.status for job in watched.jobs()}
    assert statuses == dict.fromkeys(answered, JobStatus.FINALIZED) | {removed: JobStatus.ORPHANED}
