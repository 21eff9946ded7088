from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from tests.support.watcher_world import (
    ETHER,
    WINDOW_S,
    Posted,
    ReciprocalEngine,
    WatcherWorld,
    open_world,
    served_reciprocal,
)

from sworn.abi import interface
from sworn.chain.signer import LocalSigner, Signer
from sworn.codec.hashing import recover_signer
from sworn.errors import SignerUnavailable
from sworn.testing.local_chain import EmbeddedChain
from sworn.types import Address, Status
from sworn.watcher.assembly import Surroundings, assemble
from sworn.watcher.jobs import JobStatus
from sworn.watcher.logs import make_logger
from sworn.watcher.policy import Guards
from sworn.watcher.rehearsal import MuteSigner, Rehearsal
from sworn.watcher.service import Watcher
from sworn.watcher.store.database import Database, open_database
from sworn.watcher.store.migration import upgrade

NEW = LocalSigner.from_key(bytes([10]) * 32)
DEPTH = 3
#: Of the funded accounts, the one that sends after the rotation.
NEW_SENDER = 6


@dataclass(slots=True, kw_only=True)
class Post:
    """A watcher over one database, restarted with other keys at will."""

    world: WatcherWorld
    database: Database
    results: tuple[Signer, ...] = ()
    senders: tuple[Signer, ...] = ()
    changes: dict[str, Any] = field(default_factory=dict)
    guards: Guards = field(default_factory=lambda: Guards(min_profit_wei=-ETHER))
    logs: io.StringIO = field(default_factory=io.StringIO)
    engine: ReciprocalEngine = field(default_factory=ReciprocalEngine)
    now: float = 1_000_000.0

    def watcher(self) -> Watcher:
        """A watcher as it starts."""
        around = Surroundings(
            gateway=self.world.chain.gateway,
            deployment=self.world.deployment,
            operator=self.world.operator.address,
            transaction_signer=self.senders[0],
            retiring_signers=self.senders[1:],
            result_signer=self.results[0],
            other_result_signers=self.results[1:],
            models=[served_reciprocal()],
            guards=self.guards,
            engine=self.engine,
            database=self.database,
            fetch=lambda uri, max_bytes: b"",
            log=make_logger(self.logs),
            confirmations=DEPTH,
            poll_interval_s=0.01,
            clock=lambda: self.now,
        )
        return assemble(replace(around, **self.changes))

    def work(self, *, seconds: float = 20.0) -> None:
        """Everything that can be done now, some seconds later."""
        self.now += seconds
        self.watcher().run(Event(), once=True)

    def proposals(self, *asked: Posted) -> dict[bytes, tuple[Address, Address]]:
        """By salt, who signed and who sent the one result of each request that is on chain."""
        oracle, watcher = interface("InferenceOracle"), self.watcher()
        # Once for all, and no earlier than needed: an embedded chain looks through every block for them.
        logs = self.world.chain.gateway.logs(
            addresses=(self.world.deployment.oracle,),
            topics=(oracle.topic("ResultProposed"),),
            from_block=min(posted.receipt.block_number for posted in asked),
            to_block=self.world.chain.gateway.block("latest").number,
        )
        events = [(oracle.decode_log(log.topics, log.data).arguments, log.transaction_hash) for log in logs]
        found: dict[bytes, tuple[Address, Address]] = {}
        for posted in asked:
            ((event, transaction),) = [each for each in events if each[0]["requestId"] == posted.request_id]
            job = watcher.store.job(posted.request_id)
            assert job is not None
            (sender,) = {
                record.sender
                for record in watcher.sender.records([job.carrier]).values()
                if record.transaction_hash == transaction
            }
            assert sender in {signer.address for signer in self.senders}
            found[posted.request.salt] = recover_signer(event["resultId"], event["signature"]), sender
        return found

    def job(self, posted: Posted) -> Any:
        """The job of a request."""
        found = self.watcher().store.job(posted.request_id)
        assert found is not None
        return found

    def events(self, name: str) -> list[dict[str, Any]]:
        """Log entries by event name."""
        entries = [json.loads(line) for line in self.logs.getvalue().splitlines()]
        return [entry for entry in entries if entry["event"] == name]


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
    yield Post(world=stage, database=database, results=(stage.result_signer,), senders=(stage.transaction_signer,))
    database.close()
    stage.chain.revert(mark)


def test_requests_across_a_rotation_are_all_answered_by_keys_that_count(post: Post) -> None:
    """Before, during and after the overlap every request is answered, and no signature is ever refused."""
    world, old = post.world, post.world.result_signer
    new_sender = world.chain.signers[NEW_SENDER]
    ask = iter(range(100))

    def requested() -> Posted:
        return world.request(world.payload(1.0, 2.0), salt=next(ask))

    before = requested()
    post.work()
    post.results = (NEW, old)
    unauthorised = requested()
    post.work()
    world.send(world.operator, "OperatorRegistry", "authorizeSigner", NEW.address)
    shallow = requested()
    post.work()
    world.chain.mine(DEPTH)
    deep = requested()
    post.work()
    # Sworn by the old key alone, and not proposed before that key is revoked.
    post.results, late = (old,), requested()
    _swear_only(post, late)
    world.send(world.operator, "OperatorRegistry", "revokeSigner", old.address)
    post.results, post.senders = (NEW, old), (new_sender, world.transaction_signer)
    after = requested()
    post.work()
    post.results = (NEW,)
    alone = requested()
    post.work()
    asked = {before: old, unauthorised: old, shallow: old, deep: NEW, late: old, after: NEW, alone: NEW}
    assert {world.state(posted).status for posted in asked} == {Status.PROPOSED}
    proposals = post.proposals(*asked)
    assert {salt: signer for salt, (signer, _) in proposals.items()} == {
        posted.request.salt: signer.address for posted, signer in asked.items()
    }
    assert proposals[after.request.salt][1] == new_sender.address
    world.chain.advance(WINDOW_S + 1)
    post.work()
    assert {world.state(posted).status for posted in asked} == {Status.FINALIZED}
    assert all("sign" not in item["reason"] for item in post.events("job_postponed"))


def _swear_only(post: Post, posted: Posted) -> None:
    """Lets a watcher die between the signature and the proposal."""

    class Death(BaseException):
        """As if the process ended."""

    def die(point: str) -> None:
        if point == "signature_stored":
            raise Death

    post.changes = {"checkpoint": die}
    with pytest.raises(Death):
        post.work()
    post.changes = {}
    oath = post.watcher().store.oath(posted.request_id, post.world.operator.address)
    assert oath is not None
    assert oath.signature is not None


class AwaySigner(MuteSigner):
    """A remote signer that does not answer."""

    def sign_statement(self, statement: Any) -> Any:
        raise SignerUnavailable("away")


def test_signer_that_is_away_delays_results_and_loses_none(post: Post) -> None:
    """An outage of the signer is waited out: the digest is there, and no job is parked."""
    posted = post.world.request(post.world.payload(1.0, 2.0))
    post.results = (AwaySigner(post.world.result_signer.address),)
    for _ in range(12):
        post.work(seconds=400)
    assert post.world.state(posted).status is Status.REQUESTED
    assert post.job(posted).status in (JobStatus.ANSWERED, JobStatus.PROPOSING)
    post.results = (post.world.result_signer,)
    post.work(seconds=400)
    assert post.world.state(posted).status is Status.PROPOSED
    assert post.engine.runs == 1


def test_signer_without_authority_sends_nothing_until_it_has_it(post: Post) -> None:
    """A key that nobody authorised signs nothing, instead of sending what would revert."""
    posted = post.world.request(post.world.payload(1.0, 2.0))
    post.results = (NEW,)
    nonce = post.world.chain.gateway.nonce(post.world.transaction_signer.address)
    post.work()
    assert post.world.chain.gateway.nonce(post.world.transaction_signer.address) == nonce
    assert post.events("no_result_signer")
    post.world.send(post.world.operator, "OperatorRegistry", "authorizeSigner", NEW.address)
    post.work(seconds=400)
    assert post.proposals(posted)[posted.request.salt][0] == NEW.address


def test_dry_run_signs_nothing_and_says_what_it_would_answer(post: Post) -> None:
    """A dry run sends nothing, swears nothing and holds no key, and names the result that a real run proposes."""
    good = post.world.request(post.world.payload(1.0, 2.0), salt=1)
    bad = post.world.request(b"\xff", salt=2)
    log = make_logger(post.logs)
    mute = MuteSigner(post.world.transaction_signer.address)
    sender, result = post.senders, post.results
    post.senders, post.results = (mute,), (MuteSigner(post.world.result_signer.address),)
    post.changes = {"rehearsal": Rehearsal(domain=post.world.domain, operator=post.world.operator.address, log=log)}
    nonce = post.world.chain.gateway.nonce(mute.address)
    post.work()
    assert post.world.chain.gateway.nonce(mute.address) == nonce
    assert {post.job(posted).status for posted in (good, bad)} == {JobStatus.IGNORED}
    assert post.watcher().store.oath(good.request_id, post.world.operator.address) is None
    (told,) = post.events("would_propose")
    assert post.events("would_fail")[0]["code"] == "BAD_INPUT"
    database = open_database("sqlite://")
    upgrade(database)
    post.database, post.changes, post.senders, post.results = database, {}, sender, result
    post.work()
    assert "0x" + post.world.state(good).result_tag.hex() == told["result_id"][:42]
    database.close()


def test_balance_that_runs_out_in_the_middle_ends_what_was_begun(post: Post) -> None:
    """A sender that is nearly dry takes nothing new, and finalizes what it has proposed."""
    begun = post.world.request(post.world.payload(1.0, 2.0), salt=1)
    post.work()
    post.guards = replace(post.guards, pause_balance_wei=10**30)
    fresh = post.world.request(post.world.payload(1.0, 2.0), salt=2)
    post.world.chain.advance(WINDOW_S + 1)
    post.work()
    assert post.world.state(begun).status is Status.FINALIZED
    assert post.world.state(fresh).status is Status.REQUESTED
    assert post.events("paused_for_funds")
    post.guards = replace(post.guards, pause_balance_wei=0)
    post.work()
    assert post.world.state(fresh).status is Status.PROPOSED
