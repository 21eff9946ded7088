"""Models of every profile, served from end to end: asked for, run, sworn, defended."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper
from tests.support import graphs

import sworn
from sworn.abi import interface
from sworn.client import InferenceResult
from sworn.codec.hashing import model_id
from sworn.codec.structs import model_to_abi
from sworn.engine import ModelSource
from sworn.errors import (
    ArtifactCorrupt,
    ConfigurationError,
    ProfileUnavailable,
    QuoteError,
    RequestFailed,
)
from sworn.model import read_artifact
from sworn.testing import gallery
from sworn.testing.local_oracle import LocalOracle, start_oracle
from sworn.testing.models import example_rows, load_model
from sworn.types import ZERO_HASH, FailureCode, ModelId, Profile, Status, Tensors
from sworn.verification import Trace
from sworn.watcher.contracts import Contracts
from sworn.watcher.jobs import JobStatus
from sworn.watcher.models import load_models
from sworn.watcher.retention import Retention
from sworn.watcher.service import Watcher
from sworn.watcher.settings import ModelSettings, ProfileName
from sworn.watcher.traces import KeptTrace

ROW = example_rows("diabetes_progression")[0]
MODEL = load_model("diabetes_progression")
OPEN = graphs.unary("Log", shape=("batch",))


def floats(values: list[float]) -> NDArray[np.float32]:
    """A vector of float32."""
    return np.array(values, dtype=np.float32)


@pytest.fixture(scope="module")
def oracle() -> Iterator[LocalOracle]:
    """One local oracle for all: no model may spoil it for the next."""
    with start_oracle() as started:
        yield started


def answered(oracle: LocalOracle, artifact: bytes, inputs: Tensors, profile: str) -> InferenceResult:
    """The final result of a request in a profile."""
    handle = oracle.client().request(model=artifact, inputs=inputs, profile=profile)
    oracle.fulfil()
    return handle.wait(timeout=10)


def proposed_root(oracle: LocalOracle, result: InferenceResult) -> bytes:
    """The trace root that stands on chain for a result."""
    receipt = oracle.gateway.receipt(result.proposal_transaction)
    assert receipt is not None
    contract = interface("InferenceOracle")
    (log,) = [log for log in receipt.logs if log.topics[:1] == (contract.topic("ResultProposed"),)]
    return bytes(contract.decode_log(log.topics, log.data).arguments["traceRoot"])


def inside(oracle: LocalOracle) -> Watcher:
    """The watcher as it is put together."""
    watcher = oracle.watcher._watcher
    assert watcher is not None
    return watcher


def sweep(oracle: LocalOracle) -> set[KeptTrace]:
    """The traces that are left after the watcher has looked at what it keeps."""
    watcher = inside(oracle)
    retention = Retention(
        traces=oracle.watcher.traces,
        store=watcher.store,
        contracts=watcher.steps.looker.contracts,
        operator=oracle.operator.address,
        keep_s=oracle.deployment.parameters["tailSeconds"],
        confirmations=0,
        log=watcher.log,
        clock=time.time,
    )
    retention.sweep(oracle.gateway.block("latest"))
    return set(oracle.watcher.traces.kept())


def result_time(oracle: LocalOracle, result: InferenceResult) -> int:
    """When a result was proposed, in unix seconds."""
    receipt = oracle.gateway.receipt(result.proposal_transaction)
    assert receipt is not None
    return oracle.gateway.block(receipt.block_number).timestamp


def test_exact_model_when_served_gives_bits_that_anyone_computes(oracle: LocalOracle) -> None:
    """The default: the answer on chain is, bit for bit, what the requester gets from the same file, without a trace."""
    served_id, kept = oracle.serve(MODEL), oracle.watcher.traces.kept()
    result = answered(oracle, MODEL, ROW.inputs, "exact")
    compiled = sworn.compile_model(MODEL)
    assert result.model_id == served_id == compiled.model_id == sworn.model_id(MODEL)
    assert (result.profile, result.final) == (Profile.EXACT, True)
    assert result["progression"].tobytes() == compiled.run(dict(ROW.inputs))["progression"].tobytes()
    assert proposed_root(oracle, result) == ZERO_HASH
    assert oracle.watcher.traces.kept() == kept


def test_bounded_model_when_served_keeps_a_trace_until_nobody_can_dispute_it(oracle: LocalOracle) -> None:
    """The root on chain is that of a trace that stands up to an audit, and that goes only when its time is over."""
    artifact, row = gallery.load("mlp"), gallery.rows("mlp")[0]
    served_id = oracle.serve(artifact, profile="bounded")
    result = answered(oracle, artifact, row.inputs, "bounded")
    compiled = sworn.compile_model(artifact, profile="bounded")
    assert (result.model_id, result.profile) == (served_id, Profile.BOUNDED) == (compiled.model_id, result.profile)
    kept = KeptTrace(request_id=result.request_id, trace_root=proposed_root(oracle, result))
    file = oracle.watcher.traces.find(kept)
    assert file is not None
    trace = Trace.load(compiled.subject, file)
    assert trace.root == kept.trace_root and compiled.audit(trace) == []
    for name, output in trace.outputs.items():
        assert output.tobytes() == result[name].tobytes()
    assert sweep(oracle) == {kept}
    oracle.chain.advance(oracle.deployment.parameters["tailSeconds"])
    assert sweep(oracle) == {kept}
    # The request could have been answered until its deadline, and its window would have run from there.
    oracle.chain.advance(oracle.client().handle(result.request_id).request.deadline - result_time(oracle, result))
    assert sweep(oracle) == set()


def test_bounded_result_without_its_trace_is_never_proposed(oracle: LocalOracle) -> None:
    """An operator that has lost what it would defend itself with stays silent, and says so."""
    artifact, row = gallery.load("logistic"), gallery.rows("logistic")[0]
    oracle.serve(artifact, profile="bounded")
    oracle.answer()
    handle = oracle.client().request(model=artifact, inputs=row.inputs, profile="bounded")
    watcher = inside(oracle)
    watcher.intake.follow()
    job = watcher.store.job(handle.request_id)
    assert job is not None
    watcher.steps.conclude([(job, watcher.inference.compute(job))], oracle.gateway.block("latest"))
    oath = watcher.store.oath(handle.request_id, oracle.operator.address)
    assert oath is not None and oath.trace_root != ZERO_HASH
    oracle.watcher.traces.drop(KeptTrace(request_id=handle.request_id, trace_root=oath.trace_root))
    oracle.answer()
    parked = watcher.store.job(handle.request_id)
    assert parked is not None and parked.status is JobStatus.PARKED
    assert "TraceMissing" in parked.reason and "trace_missing" in oracle.watcher.log
    assert handle.status().status is Status.REQUESTED


def test_bounded_result_in_its_window_whose_trace_vanished_raises_an_alarm(oracle: LocalOracle) -> None:
    """After a start the operator hears at once which result on chain it could not defend."""
    artifact, row = gallery.load("logistic"), gallery.rows("logistic")[1]
    oracle.serve(artifact, profile="bounded")
    handle = oracle.client().request(model=artifact, inputs=row.inputs, profile="bounded", window=600)
    oracle.answer()
    (lost,) = [trace for trace in oracle.watcher.traces.kept() if trace.request_id == handle.request_id]
    defence = inside(oracle).defence
    assert defence is not None
    alarms = oracle.watcher.log.count("result_undefended")
    defence.prepare()
    assert oracle.watcher.log.count("result_undefended") == alarms
    oracle.watcher.traces.drop(lost)
    defence.prepare()
    assert oracle.watcher.log.count("result_undefended") == alarms + 1
    assert lost.request_id.hex() in oracle.watcher.log


def test_bounded_request_without_room_for_its_trace_waits(oracle: LocalOracle, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full trace store is no reason to sign a failure: the request is answered when there is room again."""
    artifact, row = gallery.load("logistic"), gallery.rows("logistic")[2]
    oracle.serve(artifact, profile="bounded")
    oracle.answer()
    monkeypatch.setattr(oracle.watcher.traces, "_max_total_bytes", 0)
    handle = oracle.client().request(model=artifact, inputs=row.inputs, profile="bounded")
    oracle.answer()
    job = inside(oracle).store.job(handle.request_id)
    assert job is not None and job.status is JobStatus.SEEN and "no room" in job.reason
    assert handle.status().status is Status.REQUESTED
    monkeypatch.undo()
    time.sleep(0.2)
    oracle.answer()
    assert handle.status().status is Status.PROPOSED


@pytest.mark.parametrize(
    "lie",
    [
        {"trace_root": b"\x01" * 32},
        {"outputs": {"label": np.array([7]), "probabilities": floats([0, 1]).reshape(1, 2)}},
    ],
    ids=["another root", "another output"],
)
def test_trace_that_is_not_of_the_run_is_never_sworn_to(
    oracle: LocalOracle, monkeypatch: pytest.MonkeyPatch, lie: dict[str, Any]
) -> None:
    """The watcher reads the trace's head before it signs: roots other than its own leave nothing behind."""
    artifact, row = gallery.load("logistic"), gallery.rows("logistic")[0]
    oracle.serve(artifact, profile="bounded")
    oracle.answer()
    watcher, before = inside(oracle), oracle.watcher.traces.kept()
    honest = watcher.inference.engine.run
    monkeypatch.setattr(oracle.watcher._engine, "run", lambda *given, **named: replace(honest(*given, **named), **lie))
    handle = oracle.client().request(model=artifact, inputs=row.inputs, profile="bounded")
    oracle.answer()
    job = watcher.store.job(handle.request_id)
    assert job is not None and (job.status, job.attempts) == (JobStatus.SEEN, 1) and "trace" in job.reason
    assert watcher.store.oath(handle.request_id, oracle.operator.address) is None
    assert handle.status().status is Status.REQUESTED
    assert oracle.watcher.traces.kept() == before


def test_worker_killed_between_requests_is_replaced(oracle: LocalOracle) -> None:
    """The next request is answered by a new process, with the same bits."""
    oracle.serve(MODEL)
    first = answered(oracle, MODEL, ROW.inputs, "exact")
    pids = oracle.watcher._serving.worker_pids
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    second = answered(oracle, MODEL, ROW.inputs, "exact")
    assert second["progression"].tobytes() == first["progression"].tobytes()
    assert not set(oracle.watcher._serving.worker_pids) & set(pids)


def test_signed_model_when_served_says_that_nothing_is_promised(oracle: LocalOracle) -> None:
    """A model that cannot be compiled is refused by default, and served by signature when it is asked for."""
    node = helper.make_node("NonZero", ["x"], ["y"])
    artifact = graphs.build([node], [("x", TensorProto.FLOAT, (2, 2))], [("y", TensorProto.INT64, (2, None))])
    with pytest.raises(ProfileUnavailable, match=r"NonZero.*profile signed"):
        oracle.serve(artifact)
    oracle.serve(artifact, profile="signed")
    result = answered(oracle, artifact, {"x": np.eye(2, dtype=np.float32)}, "signed")
    assert result.profile is Profile.SIGNED and "signature" in result.profile.promise
    np.testing.assert_array_equal(result["y"], [[0, 1], [0, 1]])


@pytest.mark.parametrize("profile", ["exact", "bounded"])
def test_input_that_ends_the_run_is_a_signed_failure(oracle: LocalOracle, profile: str) -> None:
    """A NaN in the middle of a run becomes NOT_FINITE on chain, the fee comes back, and no trace stays behind."""
    artifact = graphs.unary("Log")
    oracle.serve(artifact, profile=profile)
    handle = oracle.client().request(model=artifact, inputs={"x": floats([1, -1])}, profile=profile)
    oracle.answer()
    with pytest.raises(RequestFailed, match="NOT_FINITE"):
        handle.wait(timeout=5)
    report = handle.status()
    assert (report.failure_code, report.profile) == (FailureCode.NOT_FINITE, Profile[profile.upper()])
    assert handle.request_id not in {trace.request_id for trace in oracle.watcher.traces.kept()}


def test_open_shapes_of_a_file_are_taken_from_the_inputs_that_are_asked_about(oracle: LocalOracle) -> None:
    """Shapes are part of the id: the same file with other shapes is a model that nobody offers."""
    oracle.serve(OPEN, input_shapes={"x": (3,)})
    client = oracle.client()
    handle = client.request(model=OPEN, inputs={"x": floats([1, 2, 4])})
    oracle.fulfil()
    np.testing.assert_array_equal(handle.wait(timeout=5)["y"], floats([0, 0.6931472, 1.3862944]))
    assert client.register_model(OPEN, input_shapes={"x": (3,)}) == handle.request.model_id
    with pytest.raises(QuoteError, match="input shape"):
        client.request(model=OPEN, inputs={"x": floats([1, 2])})
    with pytest.raises(ProfileUnavailable, match="input_shapes"):
        client.offers(OPEN)


def test_model_by_id_alone_is_compiled_and_compared_before_it_is_asked(oracle: LocalOracle) -> None:
    """With an id from somewhere, the client compiles the published file, with the inputs' shapes, and compares."""
    served_id = oracle.serve(OPEN, input_shapes={"x": (3,)})
    client = oracle.client()
    with pytest.raises(ArtifactCorrupt, match="input shapes"):
        client.request(model=served_id, inputs={"x": floats([1, 2])})
    handle = client.request(model=served_id, inputs={"x": floats([1, 2, 4])})
    assert handle.request.model_id == served_id


def test_model_that_is_compiled_already_is_taken_as_it_is(oracle: LocalOracle) -> None:
    """A `CompiledModel` names itself."""
    compiled = sworn.compile_model(MODEL)
    oracle.serve(MODEL)
    client = oracle.client()
    assert client.register_model(compiled) == compiled.model_id
    assert client.request(model=compiled, inputs=ROW.inputs).request.model_id == compiled.model_id


def served(oracle: LocalOracle, entry: ModelSettings, *, max_trace_bytes: int = 1 << 20) -> list[ModelId]:
    """The ids that settings lead to."""
    models = load_models(
        [entry],
        contracts=Contracts(gateway=oracle.gateway, deployment=oracle.deployment),
        artifacts=oracle.artifacts,
        identify=lambda source, *, limits: oracle.watcher.identify(source),
        read=read_artifact,
        max_trace_bytes=max_trace_bytes,
    )
    return [model.model_id for model in models.values()]


def test_settings_with_an_id_of_another_profile_say_which(oracle: LocalOracle, tmp_path: Path) -> None:
    """An id that was computed in profile signed does not fit the default, and the error says what to write."""
    file = tmp_path / "model.onnx"
    file.write_bytes(MODEL)
    assert served(oracle, ModelSettings(artifact=file)) == [sworn.model_id(MODEL)]
    signed = "0x" + sworn.model_id(MODEL, profile="signed").hex()
    with pytest.raises(ConfigurationError, match='set profile = "signed"'):
        served(oracle, ModelSettings(artifact=file, model_id=signed))
    with pytest.raises(ConfigurationError, match="who told you"):
        served(oracle, ModelSettings(artifact=file, model_id="0x" + "77" * 32))


def test_settings_with_a_registered_id_take_its_profile_and_check_its_program(oracle: LocalOracle) -> None:
    """An id without a file is compiled from the published one; a program that is not the file's is refused."""
    client = oracle.client()
    true_id = client.register_model(MODEL, profile="bounded")
    assert served(oracle, ModelSettings(model_id="0x" + true_id.hex())) == [true_id]
    record = client.model(true_id).model
    other = oracle.watcher.identify(ModelSource(artifact=load_model("volatility"), profile=Profile.BOUNDED)).model
    foreign = replace(record, program_root=other.program_root)
    client._signing.send("model_registry", "register", model_to_abi(foreign))
    with pytest.raises(ConfigurationError, match="published artifact"):
        served(oracle, ModelSettings(model_id="0x" + model_id(foreign).hex()))
    with pytest.raises(ArtifactCorrupt, match="do not trust"):
        client.schema(model_id(foreign))


def test_settings_of_a_model_whose_traces_are_too_long_are_refused(oracle: LocalOracle, tmp_path: Path) -> None:
    """The bound on one trace is known before the first request comes."""
    file = tmp_path / "model.onnx"
    file.write_bytes(MODEL)
    entry = ModelSettings(artifact=file, profile=ProfileName.BOUNDED)
    assert served(oracle, entry)
    with pytest.raises(ConfigurationError, match="max_bytes"):
        served(oracle, entry, max_trace_bytes=10)
