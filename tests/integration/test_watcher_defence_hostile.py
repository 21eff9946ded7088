"""What makes an honest operator lose, tried one by one: nothing here may."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
from tests.support.defence_world import LONG_WINDOW_S, Bench, Hostile, open_bench
from tests.support.watcher_world import ETHER, Posted, WatcherWorld, open_world

from sworn.chain.gateway import Gateway
from sworn.codec.tensors import encode_reference
from sworn.codec.trees import payload_root
from sworn.dispute.case import Case
from sworn.errors import ArtifactUnavailable, RunFailed, TransientChainError
from sworn.model.trace_file import TraceFile
from sworn.testing.local_chain import EmbeddedChain
from sworn.types import ZERO_HASH, Address, Part, Profile, RequestId, Result, Target
from sworn.watcher.defence.funds import Funds
from sworn.watcher.defence.records import DefenceStatus
from sworn.watcher.logs import make_logger
from sworn.watcher.store.quarantine import QuarantineStore
from sworn.watcher.traces import KeptTrace

CHUNK = Target(part=Part.CHUNKS, value=1)


@pytest.fixture(scope="module")
def stages() -> dict[Profile, WatcherWorld]:
    """Contracts, operator and model on an embedded chain for each profile, once for all tests here."""
    return {
        profile: open_world(EmbeddedChain(), stake_wei=100 * ETHER, profile=profile)
        for profile in (Profile.EXACT, Profile.BOUNDED)
    }


def opened(world: WatcherWorld, folder: Path) -> Iterator[Bench]:
    """A watcher in a world that is put back afterwards."""
    mark = world.chain.snapshot()
    bench = open_bench(world, folder)
    yield bench
    bench.database.close()
    world.chain.revert(mark)


@pytest.fixture
def bench(stages: dict[Profile, WatcherWorld], tmp_path: Path) -> Iterator[Bench]:
    """A watcher of a model in profile exact."""
    yield from opened(stages[Profile.EXACT], tmp_path)


@pytest.fixture
def bounded(stages: dict[Profile, WatcherWorld], tmp_path: Path) -> Iterator[Bench]:
    """A watcher of a model in profile bounded."""
    yield from opened(stages[Profile.BOUNDED], tmp_path)


def hostile_to(bench: Bench, index: int = 4) -> Hostile:
    """A challenger of right results."""
    return Hostile(world=bench.world, signer=bench.world.chain.signers[index])


def nonce_of(bench: Bench) -> int:
    """How many transactions the watcher has sent."""
    return bench.world.chain.gateway.nonce(bench.world.transaction_signer.address)


def trace_of(bench: Bench, case: Case, root: bytes) -> Path:
    """The file of a trace."""
    path = bench.traces.find(KeptTrace(request_id=case.result.request_id, trace_root=root))
    assert path is not None
    return path


def damage(path: Path, value: int) -> None:
    """Changes a byte of a value in a trace file."""
    stored = bytearray(path.read_bytes())
    stored[TraceFile.load(path)._starts[value]] ^= 1
    path.write_bytes(stored)


def test_run_that_differs_from_the_oath_is_told_and_costs_no_gas(bench: Bench) -> None:
    """A machine that computes something else now: nothing is sent, a person is told, a repaired one defends."""
    hostile, case = hostile_to(bench), bench.answer(2.0, 4.0)
    bench.engine.disturb = lambda output: np.nextafter(output, np.float32(9))
    hostile.challenge(case)
    nonce = nonce_of(bench)
    bench.work()
    (told,) = bench.events("result_indefensible")
    assert told["level"] == "critical" and "restart" in told["advice"]
    assert bench.defence(case).status is DefenceStatus.INDEFENSIBLE
    (barred,) = bench.events("model_quarantined")
    assert barred["model_id"] == "0x" + bench.world.model_id.hex()
    assert nonce_of(bench) == nonce
    bench.engine.disturb = lambda output: output
    bench.work()
    assert hostile.dispute(case).trace_root != ZERO_HASH


def test_silence_of_a_broken_machine_ends_in_a_refutation_that_is_told(bench: Bench) -> None:
    """Whoever cannot defend is convicted, and the watcher goes on with everything else."""
    hostile, case = hostile_to(bench), bench.answer(2.0, 4.0)
    bench.engine.disturb = lambda output: output + 1
    hostile.challenge(case)
    bench.work()
    hostile.travel_to(hostile.clocks.trace_until(hostile.dispute(case)) + 1)
    hostile.convict_silence(case)
    bench.work()
    assert bench.defence(case).status is DefenceStatus.REFUTED
    assert [entry["level"] for entry in bench.events("result_refuted")] == ["critical"]
    bench.engine.disturb = lambda output: output
    # The model stays barred until a person has seen to it.
    assert QuarantineStore(database=bench.database).clear(bench.world.model_id)
    assert bench.answer(3.0, 4.0, salt=1).result.operator == bench.world.operator.address


def test_lost_database_is_rebuilt_from_the_chain_and_defends(bench: Bench, tmp_path: Path) -> None:
    """Without journal and trace, what was sworn is read from the logs, and the run is made again."""
    hostile, case = hostile_to(bench), bench.answer(2.0, 4.0)
    hostile.challenge(case)
    (tmp_path / "other").mkdir()
    restored = open_bench(bench.world, tmp_path / "other")
    restored.work()
    assert hostile.dispute(case).trace_root != ZERO_HASH
    assert restored.events("journal_restored")
    oath = restored.start().store.sworn(case.result_id, case.result.operator)
    assert oath is not None and oath.output_root == case.result.output_root
    restored.database.close()


def test_lost_trace_in_profile_bounded_is_made_again_bit_for_bit(bounded: Bench) -> None:
    """The same machine computes the same bits: the trace that was sworn comes back."""
    hostile, case = hostile_to(bounded), bounded.answer(2.0, 4.0)
    trace_of(bounded, case, case.result.trace_root).unlink()
    hostile.challenge(case)
    demand = hostile.demand(case, CHUNK)
    bounded.work()
    assert hostile.is_answered(demand) and bounded.engine.traced == 2


@pytest.mark.parametrize("name", ["bench", "bounded"])
def test_trace_damaged_on_disk_is_made_again_and_shown(name: str, request: pytest.FixtureRequest) -> None:
    """A byte that changed is noticed before anything wrong is sent."""
    bench: Bench = request.getfixturevalue(name)
    hostile, case = hostile_to(bench), bench.answer(2.0, 4.0)
    hostile.challenge(case)
    bench.work()
    root = case.result.trace_root if name == "bounded" else hostile.dispute(case).trace_root
    damage(trace_of(bench, case, root), 1)
    demand = hostile.demand(case, CHUNK)
    bench.work()
    assert hostile.is_answered(demand)
    assert bench.events("trace_damaged")[0]["level"] == "critical"


def test_damaged_trace_that_cannot_be_made_again_shows_the_rest(bounded: Bench) -> None:
    """In profile bounded another machine gives other bits: what is whole is still shown."""
    hostile, case = hostile_to(bounded), bounded.answer(2.0, 4.0)
    damage(trace_of(bounded, case, case.result.trace_root), 0)
    bounded.engine.disturb = lambda output: np.nextafter(output, np.float32(9))
    hostile.challenge(case)
    lost = hostile.demand(case, Target(part=Part.CHUNKS, value=0))
    kept = hostile.demand(case, CHUNK)
    bounded.work()
    bounded.work()
    assert hostile.is_answered(kept) and not hostile.is_answered(lost)


def test_input_that_its_requester_took_away_is_still_there(bench: Bench) -> None:
    """Fetched once, kept until its result is safe: who takes an input away cannot win a dispute by it."""
    world, uri = bench.world, "https://inputs/1"
    payload = world.payload(2.0, 4.0)
    bench.fetch = lambda address, max_bytes: payload
    posted = _referenced(world, uri, payload)
    bench.work()
    case = bench.case(posted)

    def gone(address: str, max_bytes: int) -> bytes:
        raise ArtifactUnavailable("404")

    bench.fetch = gone
    hostile = hostile_to(bench)
    hostile.challenge(case)
    bench.work()
    assert hostile.dispute(case).trace_root != ZERO_HASH


def _referenced(world: WatcherWorld, uri: str, payload: bytes) -> Posted:
    reference = encode_reference(uri)
    return world.request(
        reference, change=lambda request: replace(request, input_root=payload_root(payload), window_s=LONG_WINDOW_S)
    )


def test_demand_that_a_reorg_took_back_is_answered_when_it_returns(bench: Bench) -> None:
    """The same demand in another block has the same id: the answer goes out once more."""
    hostile, case, chain = hostile_to(bench), bench.answer(2.0, 4.0), bench.world.chain
    hostile.challenge(case)
    bench.work()
    mark = chain.snapshot()
    first = hostile.demand(case, CHUNK)
    bench.work()
    assert hostile.is_answered(first)
    chain.revert(mark)
    chain.advance(7)
    bench.work()
    assert hostile.demand(case, CHUNK) == first and not hostile.is_answered(first)
    for _ in range(3):
        bench.work(seconds=61)
    assert hostile.is_answered(first)


def test_challenge_that_a_reorg_took_back_is_forgotten_and_met_again(bench: Bench) -> None:
    """Without its block a dispute is nothing; with the next one it is defended with the same trace."""
    hostile, case, chain = hostile_to(bench), bench.answer(2.0, 4.0), bench.world.chain
    mark = chain.snapshot()
    hostile.challenge(case)
    bench.work()
    root = hostile.dispute(case).trace_root
    chain.revert(mark)
    chain.advance(5)
    # A chain that is shorter than what was read of it is a node that is behind.
    chain.mine(5)
    bench.work()
    assert bench.defence(case).status is DefenceStatus.ORPHANED
    hostile.challenge(case)
    for _ in range(3):
        bench.work(seconds=61)
    assert hostile.dispute(case).trace_root == root != ZERO_HASH


def test_engine_that_fails_is_tried_again_in_time(bench: Bench) -> None:
    """A run that dies is told and repeated; the deadline is what counts."""
    hostile, case = hostile_to(bench), bench.answer(2.0, 4.0)
    bench.engine.failure = RunFailed("killed")
    hostile.challenge(case)
    bench.work()
    assert bench.events("defence_failed")[0]["error"] == "RunFailed"
    bench.engine.failure = None
    bench.work(seconds=31)
    assert hostile.dispute(case).trace_root != ZERO_HASH


class Unreachable:
    """A node that does not answer any more."""

    def __getattr__(self, name: str) -> Any:
        def fail(*args: Any, **kwargs: Any) -> Any:
            raise TransientChainError("no route")

        return fail


def test_node_that_is_gone_does_not_silence_the_alarm(bench: Bench) -> None:
    """What is owed is known without any node, and told by the wall clock."""
    hostile, case = hostile_to(bench), bench.answer(2.0, 4.0)
    bench.engine.failure = RunFailed("killed")
    hostile.challenge(case)
    bench.work()
    watcher = bench.start()
    dark: Gateway = Unreachable()
    blind = replace(watcher, gateway=dark, intake=replace(watcher.intake, follower=Unreachable()))
    dispute = hostile.dispute(case)
    with ThreadPoolExecutor(1) as pool:
        for share in (0.6, 0.95, 1.1):
            bench.now = dispute.opened_at + share * hostile.clocks.trace_s
            assert not blind._turn_or_wait(pool, pool, Event(), once=False)
    told = [
        (entry["event"], entry["level"]) for entry in bench.events("deadline_near") + bench.events("deadline_missed")
    ]
    assert told == [("deadline_near", "warning"), ("deadline_near", "critical"), ("deadline_missed", "critical")]


def test_offchain_result_that_nobody_knows_is_told_and_holds_nothing_up(bench: Bench) -> None:
    """What this watcher never swore it cannot defend: a person is told, and the next dispute is."""
    world, hostile, case = bench.world, hostile_to(bench), bench.answer(2.0, 4.0)
    foreign = Result(
        request_id=RequestId(ZERO_HASH),
        model_id=world.model_id,
        input_root=b"\x01" * 32,
        output_root=b"\x02" * 32,
        trace_root=ZERO_HASH,
        operator=world.operator.address,
        expiry=world.chain.gateway.block("latest").timestamp + 600,
    )
    unsigned = Case.of(foreign, world.domain)
    hostile.challenge(replace(unsigned, signature=world.result_signer.sign_digest(unsigned.result_id)))
    hostile.challenge(case)
    bench.work()
    assert [entry["level"] for entry in bench.events("result_unknown")] == ["critical"]
    assert hostile.dispute(case).trace_root != ZERO_HASH


class Poor:
    """A node on which nobody has anything."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def balance(self, address: Address) -> int:
        return 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._gateway, name)


def test_sender_that_runs_dry_is_told_once(bench: Bench) -> None:
    """What answers earn goes to the operator, not to the key that sends them: somebody has to fill it."""
    hostile, case = hostile_to(bench), bench.answer(2.0, 4.0)
    hostile.challenge(case)
    bench.engine.failure = RunFailed("killed")
    bench.work()
    poor: Any = Poor(bench.world.chain.gateway)
    funds = Funds(gateway=poor, sender=case.result.operator, log=make_logger(bench.logs))
    for _ in range(2):
        funds.look(bench.store.open(), bench.store.demands())
    (told,) = bench.events("funds_low")
    assert told["level"] == "critical" and told["needed_wei"] > 0


def test_disputes_of_other_operators_are_none_of_ours(bench: Bench) -> None:
    """Only our own results are remembered."""
    hostile, case = hostile_to(bench), bench.answer(2.0, 4.0)
    hostile.challenge(case)
    watcher = bench.start()
    assert watcher.defence is not None
    stranger = replace(watcher.defence.intake, operator=bench.world.requester.address)
    while stranger.follow():
        pass
    assert bench.store.all() == []
