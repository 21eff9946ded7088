from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.integration.test_watcher_service import LOSSES, Post
from tests.support.watcher_world import WatcherWorld, open_world

from sworn.codec.tensors import encode_reference
from sworn.codec.trees import payload_root
from sworn.errors import RunTimedOut
from sworn.storage import HttpFetcher
from sworn.testing.local_chain import EmbeddedChain
from sworn.types import FailureCode, Request, Status
from sworn.watcher.inference import fetch_from
from sworn.watcher.jobs import JobStatus
from sworn.watcher.store.database import open_database
from sworn.watcher.store.migration import upgrade


@pytest.fixture(scope="module")
def stage() -> WatcherWorld:
    """Contracts, operator and model on an embedded chain, once for all tests here."""
    return open_world(EmbeddedChain())


@pytest.fixture
def post(stage: WatcherWorld, tmp_path: Path) -> Iterator[Post]:
    """A watcher's post with an empty database; what a test does to the chain is undone."""
    mark = stage.chain.snapshot()
    database = open_database(f"sqlite:///{tmp_path}/watcher.db")
    upgrade(database)
    yield Post(world=stage, database=database)
    database.close()
    stage.chain.revert(mark)


def test_watcher_run_over_limit_is_tried_again_then_fails(post: Post) -> None:
    """A limit that a loaded machine may break is tried again after some time, then the failure is posted."""
    post.engine.failure = RunTimedOut("slow")
    posted = post.world.request(post.world.payload(1.0, 2.0))
    post.work()
    post.work(seconds=30)
    assert (post.world.state(posted).status, post.engine.runs) == (Status.REQUESTED, 1)
    post.work(seconds=31)
    assert post.world.state(posted).result_tag[-1] == FailureCode.LIMIT_EXCEEDED
    assert post.engine.runs == 2


def test_watcher_input_away_for_a_while_is_answered_when_it_is_back(post: Post) -> None:
    """An outage of the host that keeps an input does not cost the fee while there is time to wait it out."""
    payload = post.world.payload(2.0, 8.0)
    post.guards = replace(LOSSES, input_hosts=frozenset({"inputs.example"}))
    change: Callable[[Request], Request] = lambda request: replace(request, input_root=payload_root(payload))  # noqa: E731
    posted = post.world.request(encode_reference("https://inputs.example/1"), change=change)
    for wait_s in (0, 3, 5, 9, 17, 33):
        post.work(seconds=wait_s)
        assert post.job(posted).status is JobStatus.SEEN
    assert (post.job(posted).runs, post.job(posted).errors) == (6, 0)
    post.fetch = lambda uri, max_bytes: payload
    post.work(seconds=65)
    assert post.world.state(posted).status is Status.PROPOSED


def test_watcher_input_away_until_the_deadline_is_near_fails_in_time(post: Post) -> None:
    """Waiting for an input ends early enough for the failure to be signed: silence would look like a broken node."""
    post.guards = replace(LOSSES, input_hosts=frozenset({"inputs.example"}))
    posted = post.world.request(encode_reference("https://inputs.example/1"))
    post.work()
    assert post.job(posted).status is JobStatus.SEEN
    now = post.world.chain.gateway.block("latest").timestamp
    post.world.chain.advance(posted.request.deadline - 121 - now)
    post.work(seconds=3)
    assert post.world.state(posted).result_tag[-1] == FailureCode.INPUT_UNAVAILABLE


def test_watcher_failure_that_quotes_malformed_url_is_posted(post: Post) -> None:
    """A URL that a stranger chose and that cannot be masked does not keep the failure off the chain."""
    post.guards = replace(LOSSES, input_hosts=frozenset({"inputs.example"}))
    post.fetch = fetch_from(HttpFetcher())
    post.give_up_before_s = 10_000
    posted = post.world.request(encode_reference("https://inputs.example:99999/a"))
    post.work()
    assert post.world.state(posted).result_tag[-1] == FailureCode.INPUT_UNAVAILABLE
