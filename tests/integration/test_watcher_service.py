from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
from tests.support.watcher_world import (
    ETHER,
    WINDOW_S,
    Posted,
    ReciprocalEngine,
    WatcherWorld,
    open_world,
    served_reciprocal,
    to_anyone,
)

from sworn.chain.signer import LocalSigner
from sworn.chain.transactions import TransactionStatus
from sworn.codec.hashing import recover_signer
from sworn.codec.tensors import decode_tensors, encode_reference
from sworn.codec.trees import payload_root
from sworn.engine.protocol import Engine
from sworn.errors import ArtifactUnavailable, ConfigurationError, StoreError, TransientChainError
from sworn.testing.local_chain import EmbeddedChain
from sworn.types import FailureCode, Request, Status
from sworn.watcher.assembly import Surroundings, assemble
from sworn.watcher.jobs import Job, JobStatus
from sworn.watcher.logs import make_logger
from sworn.watcher.policy import Guards
from sworn.watcher.replica import ALONE, ReplicaRole
from sworn.watcher.service import MAX_ERRORS, Watcher
from sworn.watcher.store.database import Database, open_database
from sworn.watcher.store.migration import upgrade
from sworn.watcher.submissions import Batching

LOSSES = Guards(min_profit_wei=-ETHER)


def _nothing(uri: str, max_bytes: int) -> bytes:
    raise ArtifactUnavailable("there is nothing")


@dataclass(slots=True, kw_only=True)
class Post:
    """A watcher at its post: one database, one engine, restarted at will."""

    world: WatcherWorld
    database: Database
    engine: ReciprocalEngine = field(default_factory=ReciprocalEngine)
    guards: Guards = LOSSES
    fetch: Callable[[str, int], bytes] = _nothing
    confirmations: int = 0
    queue: int = 256
    batching: Batching = field(default_factory=Batching)
    give_up_before_s: int = 120
    now: float = 1_000_000.0
    role: ReplicaRole = ALONE
    logs: io.StringIO = field(default_factory=io.StringIO)

    def start(self, engine: Engine | None = None) -> Watcher:
        """A fresh watcher over the same database."""
        return assemble(
            Surroundings(
                gateway=self.world.chain.gateway,
                deployment=self.world.deployment,
                operator=self.world.operator.address,
                transaction_signer=self.world.transaction_signer,
                result_signer=self.world.result_signer,
                models=[served_reciprocal()],
                guards=self.guards,
                engine=engine or self.engine,
                database=self.database,
                fetch=self.fetch,
                log=make_logger(self.logs),
                confirmations=self.confirmations,
                queue=self.queue,
                batching=self.batching,
                give_up_before_s=self.give_up_before_s,
                poll_interval_s=0.01,
                clock=lambda: self.now,
                role=self.role,
            )
        )

    def work(self, *, seconds: float = 0.0) -> None:
        """Everything that can be done now, some seconds later."""
        self.now += seconds
        self.start().run(Event(), once=True)

    def job(self, posted: Posted) -> Job:
        """The job of a request."""
        job = self.start().store.job(posted.request_id)
        assert job is not None
        return job

    def events(self, name: str) -> list[dict[str, Any]]:
        """Log entries by event name."""
        entries = [json.loads(line) for line in self.logs.getvalue().splitlines()]
        return [entry for entry in entries if entry["event"] == name]


@pytest.fixture(scope="module")
def stage() -> WatcherWorld:
    """Contracts, operator and model on an embedded chain, once for all tests here."""
    return open_world(EmbeddedChain())


@pytest.fixture
def world(stage: WatcherWorld) -> Iterator[WatcherWorld]:
    """The stage as it was set; what a test does to it is undone."""
    mark = stage.chain.snapshot()
    yield stage
    stage.chain.revert(mark)


@pytest.fixture
def post(world: WatcherWorld, tmp_path: Path) -> Iterator[Post]:
    """A watcher's post with an empty database."""
    database = open_database(f"sqlite:///{tmp_path}/watcher.db")
    upgrade(database)
    yield Post(world=world, database=database)
    database.close()


def test_watcher_good_request_is_answered_and_finalized(post: Post) -> None:
    """A request is run, proposed under oath by the result key, and made final after its window."""
    posted = post.world.request(post.world.payload(2.0, 4.0))
    post.work()
    assert post.world.state(posted).status is Status.PROPOSED
    assert post.job(posted).status is JobStatus.PROPOSED
    oath = post.start().store.oath(posted.request_id, post.world.operator.address)
    assert oath is not None
    assert oath.signature is not None
    assert recover_signer(oath.digest, oath.signature) == post.world.result_signer.address
    assert decode_tensors(oath.output, post.world.schema.outputs)["y"].tolist() == [0.5, 0.25]
    post.world.chain.advance(WINDOW_S + 1)
    post.work()
    assert post.world.state(posted).status is Status.FINALIZED
    assert post.job(posted).status is JobStatus.FINALIZED
    assert post.engine.runs == 1


def test_watcher_inside_window_does_not_finalize(post: Post) -> None:
    """One second before the window has passed, nothing is sent."""
    posted = post.world.request(post.world.payload(2.0, 4.0))
    post.work()
    post.world.chain.advance(WINDOW_S - 5)
    post.work()
    assert post.world.state(posted).status is Status.PROPOSED


def test_watcher_open_request_with_offer_is_answered(post: Post) -> None:
    """A request that names nobody is answered when the operator offers the model."""
    posted = post.world.request(post.world.payload(1.0, 1.0), change=to_anyone)
    post.work()
    assert post.world.state(posted).status is Status.PROPOSED


def test_watcher_several_requests_are_all_answered(post: Post) -> None:
    """Many requests at once all end final, each run once."""
    requests = [post.world.request(post.world.payload(1.0, number + 1.0), salt=number) for number in range(5)]
    post.work()
    post.world.chain.advance(WINDOW_S + 1)
    post.work()
    assert {post.world.state(posted).status for posted in requests} == {Status.FINALIZED}
    assert post.engine.runs == 5


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"\xff", FailureCode.BAD_INPUT),
        (b"\x01\x01\x01\x00\x00\x00\x02", FailureCode.BAD_INPUT),
        (b"\x01\x0b\x01\x00\x00\x00\x01" + bytes(8), FailureCode.BAD_INPUT),
        (b"\x01\x01\x01\x00\x00\x00\x02" + b"\x7f\xc0\x00\x00" * 2, FailureCode.NOT_FINITE),
        (b"\x01\x01\x01\x00\x00\x00\x02" + bytes(8), FailureCode.NOT_FINITE),
    ],
)
def test_watcher_bad_input_posts_signed_failure(post: Post, payload: bytes, code: FailureCode) -> None:
    """An input that cannot be answered ends with a failure of the right code, signed by the result key."""
    posted = post.world.request(payload)
    post.work()
    state = post.world.state(posted)
    assert (state.status, state.result_tag[-1]) == (Status.FAILED, code)
    assert post.job(posted).status is JobStatus.FAILED


def test_watcher_input_of_another_root_posts_failure(post: Post) -> None:
    """A payload that does not have the request's root is bad input."""
    change: Callable[[Request], Request] = lambda request: replace(request, input_root=b"\x05" * 32)  # noqa: E731
    posted = post.world.request(post.world.payload(1.0, 2.0), change=change)
    post.work()
    assert post.world.state(posted).result_tag[-1] == FailureCode.BAD_INPUT


def test_watcher_bad_input_of_open_request_is_ignored(post: Post) -> None:
    """A failure ends only requests that name the operator: for others no gas is spent on it."""
    posted = post.world.request(b"\xff", change=to_anyone)
    post.work()
    assert post.world.state(posted).status is Status.REQUESTED
    assert post.job(posted).status is JobStatus.IGNORED
    assert "BAD_INPUT" in post.job(posted).reason


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda request: replace(request, fee_wei=0), "price"),
        (lambda request: replace(request, value_at_risk_wei=2 * ETHER), "value at risk"),
        (lambda request: replace(request, window_s=7200), "window"),
        (lambda request: replace(request, callback_gas=200_000), "callback"),
        (lambda request: replace(request, model_id=b"\x01" * 32), "not served"),
    ],
)
def test_watcher_request_outside_terms_is_ignored_with_reason(
    post: Post, change: Callable[[Request], Request], word: str
) -> None:
    """A request outside the terms costs nothing and says why it is not answered."""
    posted = post.world.request(post.world.payload(1.0, 2.0), change=change)
    post.work()
    job = post.job(posted)
    assert job.status is JobStatus.IGNORED
    assert word in job.reason
    assert post.engine.runs == 0


def test_watcher_request_with_little_time_left_is_kept_for_more(post: Post) -> None:
    """A request that comes late is put off, not dropped: a refutation may give it more time."""
    change: Callable[[Request], Request] = lambda request: replace(request, deadline=request.deadline - 3575)  # noqa: E731
    posted = post.world.request(post.world.payload(1.0, 2.0), change=change)
    post.work()
    job = post.job(posted)
    assert (job.status, "deadline" in job.reason, post.engine.runs) == (JobStatus.SEEN, True, 0)
    post.guards = replace(LOSSES, min_time_left_s=1)
    post.work(seconds=10)
    assert post.world.state(posted).status is Status.PROPOSED


def test_watcher_unprofitable_request_is_ignored(post: Post) -> None:
    """A fee that does not cover the estimated gas and the wanted profit is refused."""
    post.guards = Guards(min_profit_wei=ETHER)
    posted = post.world.request(post.world.payload(1.0, 2.0))
    post.work()
    assert "profit" in post.job(posted).reason


def test_watcher_stake_too_low_waits_until_there_is_more(post: Post) -> None:
    """A request that needs more free stake than there is waits, and is answered when stake was added."""
    post.world.send(post.world.operator, "OperatorRegistry", "unbond", 2**256 - 1)
    posted = post.world.request(post.world.payload(1.0, 2.0))
    post.work()
    assert post.job(posted).status is JobStatus.SEEN
    assert "stake" in post.job(posted).reason
    post.world.send(post.world.operator, "OperatorRegistry", "cancelUnbonding")
    post.work(seconds=60)
    assert post.world.state(posted).status is Status.PROPOSED


def test_watcher_poisoned_job_is_parked_and_others_go_on(post: Post) -> None:
    """An error that nobody expected parks its own job after some attempts; every other job is served."""
    poisoned = post.world.request(post.world.payload(1.0, 3.0), salt=1)
    post.engine.failure = ZeroDivisionError("poison")
    for _ in range(MAX_ERRORS + 1):
        post.work(seconds=1000)
    assert post.job(poisoned).status is JobStatus.PARKED
    assert "poison" in post.job(poisoned).reason
    assert "ZeroDivisionError" in post.events("job_crashed")[0]["exception"]
    post.engine.failure = None
    good = post.world.request(post.world.payload(1.0, 4.0), salt=2)
    post.work()
    assert post.world.state(good).status is Status.PROPOSED


def test_watcher_input_by_reference_is_fetched_from_trusted_host(post: Post) -> None:
    """An input given by URI is fetched when its host is trusted, and checked against the root."""
    payload = post.world.payload(2.0, 8.0)
    post.guards = replace(LOSSES, input_hosts=frozenset({"inputs.example"}))
    post.fetch = lambda uri, max_bytes: payload
    reference = encode_reference("https://inputs.example/1")
    change: Callable[[Request], Request] = lambda request: replace(request, input_root=payload_root(payload))  # noqa: E731
    posted = post.world.request(reference, change=change)
    post.work()
    assert post.world.state(posted).status is Status.PROPOSED


def test_watcher_input_by_reference_without_trust_is_ignored(post: Post) -> None:
    """No URI is fetched unless the operator has named its host."""
    post.fetch = lambda uri, max_bytes: pytest.fail("fetched")
    posted = post.world.request(encode_reference("http://169.254.169.254/latest"))
    post.work()
    assert post.job(posted).status is JobStatus.IGNORED


def test_watcher_deadline_passed_expires_job(post: Post) -> None:
    """A request whose deadline has passed is not run."""
    posted = post.world.request(post.world.payload(1.0, 2.0))
    post.world.chain.advance(4000)
    post.work()
    assert post.job(posted).status is JobStatus.EXPIRED
    assert post.engine.runs == 0


def test_watcher_with_confirmations_settles_only_when_deep(post: Post) -> None:
    """A final result ends the job only when enough blocks lie above it."""
    post.confirmations = 3
    posted = post.world.request(post.world.payload(1.0, 2.0))
    post.work()
    post.world.chain.advance(WINDOW_S + 1)
    post.work()
    assert post.world.state(posted).status is Status.FINALIZED
    assert post.job(posted).status is not JobStatus.FINALIZED
    post.world.chain.mine(3)
    post.work()
    assert post.job(posted).status is JobStatus.FINALIZED
    record = post.start().sender.record(f"finalize:{posted.request_id.hex()}:0")
    assert record is not None
    assert record.status is TransactionStatus.CONFIRMED


def test_watcher_reorg_removes_request_orphans_then_answers_the_same(post: Post) -> None:
    """A request that a reorg removes is orphaned; seen again, it is answered by the same oath without a second run."""
    mark = post.world.chain.snapshot()
    posted = post.world.request(post.world.payload(1.0, 2.0))
    post.work()
    first = post.start().store.oath(posted.request_id, post.world.operator.address)
    post.world.chain.revert(mark)
    post.world.chain.mine(5)
    post.work()
    assert post.job(posted).status is JobStatus.ORPHANED
    again = post.world.request(post.world.payload(1.0, 2.0), change=lambda request: posted.request)
    assert again.request_id == posted.request_id
    post.work(seconds=100)
    assert post.world.state(posted).status is Status.PROPOSED
    assert post.start().store.oath(posted.request_id, post.world.operator.address) == first
    assert post.engine.runs == 1


def test_watcher_reorg_undoes_finalization_finalizes_again(post: Post) -> None:
    """When a reorg takes back the end of a job, the job is open again and ends again."""
    posted = post.world.request(post.world.payload(1.0, 2.0))
    post.work()
    post.world.chain.advance(WINDOW_S + 1)
    post.work()
    mark = post.world.chain.snapshot()
    second = post.world.request(post.world.payload(1.0, 9.0), salt=7)
    post.work()
    post.world.chain.advance(WINDOW_S + 1)
    post.work()
    assert post.job(second).status is JobStatus.FINALIZED
    post.world.chain.revert(mark)
    post.world.chain.mine(8)
    post.work()
    assert post.job(posted).status is JobStatus.FINALIZED
    assert post.job(second).status is JobStatus.ORPHANED


def test_watcher_once_with_node_down_raises(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    """A single round reports an unreachable node instead of waiting for it."""
    watcher = post.start()

    def down(*args: object) -> None:
        raise TransientChainError("down")

    monkeypatch.setattr(type(post.world.chain.gateway), "block", down)
    with pytest.raises(TransientChainError):
        watcher.run(Event(), once=True)


@pytest.mark.parametrize("trouble", [TransientChainError, ConfigurationError])
def test_watcher_node_failing_in_a_step_goes_on_afterwards(
    post: Post, monkeypatch: pytest.MonkeyPatch, trouble: type[Exception]
) -> None:
    """A node that fails in the middle of a turn costs nothing but time."""
    posted = post.world.request(post.world.payload(1.0, 2.0))
    watcher = post.start()
    with monkeypatch.context() as patched:

        def down(*args: object, **kwargs: object) -> None:
            raise trouble("down")

        gateway = type(post.world.chain.gateway)
        look = gateway.calls

        def simulate(self: Any, calls: Any, **kwargs: Any) -> Any:
            # Only simulations have a sender.
            return down() if any(call.sender for call in calls) else look(self, calls, **kwargs)

        patched.setattr(gateway, "send_raws", down)
        patched.setattr(gateway, "estimates", down)
        patched.setattr(gateway, "calls", simulate)
        with pytest.raises(trouble):
            watcher.run(Event(), once=True)
    assert post.job(posted).status is JobStatus.PROPOSING
    assert post.job(posted).attempts == 0
    post.work(seconds=1)
    assert post.world.state(posted).status is Status.PROPOSED


def test_watcher_stopped_during_a_run_answers_after_restart(post: Post) -> None:
    """A stop while the model runs lets the run end, proposes nothing more, and loses nothing."""
    posted = post.world.request(post.world.payload(1.0, 2.0))
    stop = Event()
    post.engine.on_run = stop.set
    post.start().run(stop)
    assert len(post.events("watcher_stopped")) == 1
    assert post.world.state(posted).status is Status.REQUESTED
    post.work()
    assert post.world.state(posted).status is Status.PROPOSED


def test_watcher_second_oath_for_request_is_refused(post: Post) -> None:
    """The journal takes one digest per request and operator, whatever is asked of it."""
    posted = post.world.request(post.world.payload(1.0, 2.0))
    post.work()
    store = post.start().store
    oath = store.oath(posted.request_id, post.world.operator.address)
    assert oath is not None
    store.swear(oath)
    with pytest.raises(StoreError):
        store.swear(replace(oath, digest=b"\x01" * 32))


def test_watcher_stop_event_ends_the_loop(post: Post) -> None:
    """A watcher that is told to stop returns after its current step."""
    stop = Event()
    stop.set()
    post.start().run(stop)
    assert [entry["event"] for entry in post.events("watcher_stopped")] == ["watcher_stopped"]


def test_watcher_real_engine_answers_like_numpy(post: Post) -> None:
    """The same through onnxruntime in its worker process."""
    from sworn.engine.serving import ServingEngine

    posted = post.world.request(post.world.payload(2.0, 4.0))
    with ServingEngine() as engine:
        post.start(engine).run(Event(), once=True)
    oath = post.start().store.oath(posted.request_id, post.world.operator.address)
    assert oath is not None
    np.testing.assert_array_equal(decode_tensors(oath.output, post.world.schema.outputs)["y"], [0.5, 0.25])


def test_watcher_with_engine_full_starts_nothing_more(post: Post) -> None:
    """While as many runs are begun as may be, a newer request waits in the database, not in a queue."""
    post.queue = 1
    running = post.world.request(post.world.payload(1.0, 2.0), salt=1)
    release = Event()
    post.engine.on_run = lambda: release.wait(10)
    watcher = post.start()
    with ThreadPoolExecutor(max_workers=1) as pool:
        try:
            watcher.turn(pool, Event())
            watcher.store.save(replace(post.job(running), retry_at=post.now - 1))
            post.world.request(post.world.payload(1.0, 3.0), salt=2)
            watcher.turn(pool, Event())
        finally:
            release.set()
    assert len(watcher.runs.under_way) == 1


def test_watcher_with_new_result_key_signs_stored_oath_again(post: Post) -> None:
    """A result that was signed by a key since replaced is proposed under the new one, with the same digest."""
    posted = post.world.request(post.world.payload(2.0, 4.0))
    watcher = post.start()
    watcher.intake.follow()
    job, store = post.job(posted), watcher.store
    watcher.steps.conclude([(job, watcher.inference.compute(job))], post.world.chain.gateway.block("latest"))
    oath = store.oath(posted.request_id, post.world.operator.address)
    assert oath is not None
    store.store_signature(replace(oath, signature=LocalSigner.from_key(b"\x07" * 32).sign_digest(oath.digest)))
    post.work()
    assert store.oath(posted.request_id, post.world.operator.address) == oath
    assert post.world.state(posted).status is Status.PROPOSED
