"""The operator that lies when it is told to: consistently, in one element, and only then."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import sworn
from sworn.client import RequestHandle, Verdict
from sworn.engine import ModelSource
from sworn.engine.protocol import RunLimits
from sworn.engine.serving import ServingEngine
from sworn.errors import ConfigurationError
from sworn.testing.local_oracle import ETHER, LEAP_BLOCKS, LEAP_S, LocalOracle, start_oracle
from sworn.testing.lying_engine import Lie, LyingEngine
from sworn.testing.models import ExampleRow, example_rows, load_model
from sworn.types import DisputeStatus, Profile, Status

MODEL = load_model("diabetes_progression")
ROW, OTHER, *_ = example_rows("diabetes_progression")


@pytest.fixture
def engine() -> Iterator[LyingEngine]:
    """An engine that can lie."""
    with_workers = ServingEngine()
    try:
        yield LyingEngine(with_workers)
    finally:
        with_workers.close()


@pytest.fixture
def oracle() -> Iterator[LocalOracle]:
    """An oracle that serves the model."""
    with start_oracle() as started:
        started.serve(MODEL)
        yield started


def ask(oracle: LocalOracle, row: ExampleRow = ROW) -> RequestHandle:
    """A request that has had its chance of an answer."""
    handle = oracle.client().request(model=MODEL, inputs=row.inputs, window=600, value_at_risk=ETHER)
    oracle.answer()
    return handle


def test_lie_moves_one_element_in_output_and_trace_alike(engine: LyingEngine, tmp_path: Path) -> None:
    """Told twice it is the same lie, and an audit finds exactly that element."""
    limits, own = RunLimits(), sworn.compile_model(MODEL)
    model = engine.identify(ModelSource(artifact=MODEL), limits=limits)
    honest = engine.run(model, ROW.inputs, limits=limits)
    engine.lie = Lie(amount=2.5)
    told = engine.run(model, ROW.inputs, limits=limits)
    traced = engine.run(model, ROW.inputs, limits=limits, trace_file=tmp_path / "run.trace")
    assert np.allclose(told.outputs["progression"] - honest.outputs["progression"], 2.5)
    assert told.outputs["progression"].tobytes() == traced.outputs["progression"].tobytes()
    trace = own.load_trace(tmp_path / "run.trace")
    assert trace.root == traced.trace_root
    (fault,) = own.audit(trace)
    assert (fault.value, fault.index) == (own.program.outputs[0].value, 0)
    engine.lie = None
    again = engine.run(model, ROW.inputs, limits=limits)
    assert again.outputs["progression"].tobytes() == honest.outputs["progression"].tobytes()


def test_lie_about_a_model_without_a_program_is_refused(engine: LyingEngine) -> None:
    """In profile signed there is no element to move."""
    limits = RunLimits()
    model = engine.identify(ModelSource(artifact=MODEL, profile=Profile.SIGNED), limits=limits)
    engine.lie = Lie()
    with pytest.raises(ConfigurationError, match="no program"):
        engine.run(model, ROW.inputs, limits=limits)


def test_watcher_that_lies_is_convicted_although_it_defends_itself(oracle: LocalOracle) -> None:
    """It answers everything in time, with a trace that agrees with its lie, and loses by one element."""
    oracle.watcher.lie(Lie(amount=100.0))
    handle = ask(oracle)
    challenger = oracle.client(oracle.chain.signers[5], sleep=oracle.pass_time)
    report = challenger.dispute(handle, auto=True).state()
    assert report.status is DisputeStatus.REFUTED and report.dispute.prover == challenger.address
    names = [each.name for each in report.timeline]
    assert names.index("TraceCommitted") < names.index("Disclosed") < names.index("FaultProven")
    assert oracle.client().reward() == ETHER


def test_watcher_that_is_honest_again_answers_truly(oracle: LocalOracle) -> None:
    """The lie ends when it is told to; its journal keeps even a liar from two answers to one input."""
    oracle.watcher.lie(Lie())
    false = ask(oracle)
    oracle.watcher.lie(None)
    true, again = ask(oracle, OTHER), ask(oracle)
    assert [false.verify().verdict, true.verify().verdict] == [Verdict.FALSE, Verdict.CONFIRMED]
    assert again.status().status is Status.REQUESTED and "digest_conflict" in oracle.watcher.log


def test_honest_watcher_that_is_challenged_keeps_its_bond(oracle: LocalOracle) -> None:
    """Challenged by hand over a true answer, it defends itself, and the challenger's bond is its own."""
    handle = ask(oracle)
    stake = oracle.client(oracle.operator).operator.account().stake_wei
    challenger = oracle.client(oracle.chain.signers[5], sleep=lambda seconds: oracle.pass_time(7_200))
    dispute = challenger.dispute(handle)
    dispute.open()
    report = dispute.play()
    assert report.status is DisputeStatus.UPHELD and challenger.reward() == 0
    assert oracle.client(oracle.operator).operator.account().stake_wei == stake
    oracle.answer()
    assert handle.wait(timeout=5).final


def test_passing_time_moves_blocks_and_minutes(oracle: LocalOracle) -> None:
    """However short the wait, far enough for a commitment to ripen."""
    before = oracle.gateway.block("latest")
    oracle.pass_time(0.02)
    after = oracle.gateway.block("latest")
    assert after.timestamp - before.timestamp >= LEAP_S and after.number - before.number > LEAP_BLOCKS
