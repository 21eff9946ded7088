"""The engine on models that behave, and on models and inputs that it has to refuse."""

from __future__ import annotations

import hashlib
import io
import threading
import zipfile
from collections.abc import Iterator

import numpy as np
import pytest
from onnx import TensorProto, helper
from tests.support import graphs, workforces
from tests.support.workforces import KINDS

from sworn.engine import RunLimits
from sworn.engine.onnx_engine import OnnxEngine
from sworn.engine.workers import Workforce
from sworn.errors import (
    ConfigurationError,
    EngineError,
    InputRejected,
    ModelError,
    ModelMalformed,
    RunFailed,
    RunNotFinite,
)
from sworn.testing.models import example_rows, load_model, model_card, model_names

LIMITS = RunLimits(timeout_s=30.0)
PAIR = {"x": np.array([3, 4], dtype=np.float32), "y": np.array([1, 1], dtype=np.float32)}
X = {"x": np.array([1, -1], dtype=np.float32)}


@pytest.fixture(scope="module", params=KINDS)
def workforce(request: pytest.FixtureRequest) -> Iterator[Workforce]:
    """Where the workers are: what an engine promises holds everywhere."""
    with workforces.workforce(request.param) as found:
        yield found


@pytest.fixture(scope="module")
def engine(workforce: Workforce) -> Iterator[OnnxEngine]:
    """One engine for all: no model may spoil it for the next."""
    with OnnxEngine(workforce=workforce) as running:
        yield running


def garbage() -> dict[str, bytes]:
    """Bytes that are no model sworn could run, by what they are."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("weights", bytes(50_000_000))
    return {
        "nothing": b"",
        "noise": bytes(range(256)) * 16,
        "zip bomb": archive.getvalue(),
        "half a model": graphs.adder()[:-30],
        "outside weights": graphs.outside_weights(),
        "opset of the future": graphs.unary("Neg", opset=99),
        "unknown operator": graphs.unary("Conjure"),
    }


@pytest.mark.parametrize("name", ["breast_cancer_risk", "diabetes_progression", "volatility"])
def test_engine_on_demo_models_agrees_with_scikit_learn(engine: OnnxEngine, name: str) -> None:
    """Outputs on held-out rows are scikit-learn's, in the dtypes and shapes that the card states."""
    tolerance = 1e-6
    for row in example_rows(name):
        outputs = engine.run(load_model(name), row.inputs, limits=LIMITS)
        assert list(outputs) == [output["name"] for output in model_card(name)["outputs"]]
        for key, expected in row.outputs.items():
            assert outputs[key].dtype == expected.dtype and outputs[key].shape == expected.shape
            np.testing.assert_allclose(outputs[key], expected, rtol=tolerance, atol=tolerance)


def test_demo_models_and_cards_belong_together() -> None:
    """Every card's hash is its file's, every file is small, and every score is better than guessing."""
    assert len(model_names()) == 3
    for name in model_names():
        card, artifact = model_card(name), load_model(name)
        assert hashlib.sha256(artifact).hexdigest() == card["sha256"]
        assert len(artifact) < 300_000 and card["score"] > 0.4
    with pytest.raises(ConfigurationError, match="volatility"):
        load_model("fortune")


def test_engine_with_two_outputs_orders_them_by_the_schema(engine: OnnxEngine) -> None:
    """Names go with their values, whatever order the graph computes them in."""
    outputs = engine.run(graphs.adder(), PAIR, limits=LIMITS)
    assert list(outputs) == [spec.name for spec in engine.schema(graphs.adder()).outputs]
    assert outputs["total"].tolist() == [4, 5] and outputs["difference"].tolist() == [2, 3]


@pytest.mark.parametrize("kind", list(garbage()))
def test_engine_on_bytes_that_are_no_model_refuses(engine: OnnxEngine, kind: str) -> None:
    """Every kind of unusable artifact ends in a `ModelError`, and the engine goes on."""
    with pytest.raises(ModelError):
        engine.run(garbage()[kind], X, limits=LIMITS)
    assert engine.run(graphs.adder(), PAIR, limits=LIMITS)


def test_engine_on_a_graph_that_only_onnxruntime_refuses_raises_a_model_error(
    engine: OnnxEngine, workforce: Workforce, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What passes the schema reader but not the runtime is translated from the worker's report."""
    schema = engine.schema(graphs.unary("Neg"))
    monkeypatch.setattr("sworn.engine.onnx_engine.schema_of", lambda _: schema)
    with OnnxEngine(workforce=workforce) as fresh:
        with pytest.raises(ModelMalformed):
            fresh.run(b"\xff\xff\xff\xff", X, limits=LIMITS)
        with pytest.raises(ModelError):
            fresh.run(graphs.unary("Conjure"), X, limits=LIMITS)
        assert fresh.run(graphs.unary("Neg"), X, limits=LIMITS)["y"].tolist() == [-1, 1]


@pytest.mark.parametrize(
    "inputs",
    [
        {},
        {"y": X["x"]},
        {"x": X["x"], "z": X["x"]},
        {"x": X["x"].astype(np.float64)},
        {"x": np.zeros(3, dtype=np.float32)},
        {"x": np.broadcast_to(np.float32(0), (10**9,))},
    ],
)
def test_engine_on_inputs_that_do_not_fit_starts_no_worker(inputs: dict[str, np.ndarray]) -> None:
    """Names, dtypes and shapes are checked on this side of the pipe."""
    with OnnxEngine() as fresh:
        with pytest.raises(InputRejected):
            fresh.run(graphs.unary("Neg"), inputs, limits=LIMITS)
        assert fresh.worker_pids == ()


def test_engine_on_a_free_dimension_refuses_a_thousand_million_elements(engine: OnnxEngine) -> None:
    """A shape that the model would take is refused for its size before it is copied."""
    artifact = graphs.unary("Neg", shape=["n"])
    assert engine.run(artifact, {"x": np.ones(5, dtype=np.float32)}, limits=LIMITS)["y"].shape == (5,)
    with pytest.raises(InputRejected, match="1000000000"):
        engine.run(artifact, {"x": np.broadcast_to(np.float32(0), (10**9,))}, limits=LIMITS)


def test_engine_on_an_output_that_is_not_finite_says_where(engine: OnnxEngine) -> None:
    """log(-1) is found at its index."""
    with pytest.raises(RunNotFinite) as caught:
        engine.run(graphs.unary("Log"), X, limits=LIMITS)
    assert "'y'" in str(caught.value) and "(1,)" in str(caught.value)


def test_engine_on_a_run_that_the_runtime_refuses_fails_and_goes_on(engine: OnnxEngine) -> None:
    """An impossible Reshape is `RunFailed`; the worker lives on."""
    inputs: list[graphs.Value] = [("x", TensorProto.FLOAT, [2]), ("shape", TensorProto.INT64, [1])]
    node = helper.make_node("Reshape", ["x", "shape"], ["y"])
    artifact = graphs.build([node], inputs, [("y", TensorProto.FLOAT, ["n"])])
    pids = engine.worker_pids
    with pytest.raises(RunFailed):
        engine.run(artifact, {**X, "shape": np.array([3])}, limits=LIMITS)
    assert engine.run(artifact, {**X, "shape": np.array([2])}, limits=LIMITS)["y"].tolist() == [1, -1]
    assert engine.worker_pids == pids


def test_engine_on_the_same_artifact_builds_one_session(workforce: Workforce) -> None:
    """A session is built once, and again only after newer ones pushed it out."""
    first, second, third = (graphs.adder(name) for name in ("first", "second", "third"))
    with OnnxEngine(max_sessions=2, workforce=workforce) as fresh:
        built = []
        for artifact in (first, first, second, first, third, first, second):
            fresh.run(artifact, PAIR, limits=LIMITS)
            built.append(fresh.sessions_built)
    assert built == [1, 1, 2, 2, 3, 3, 4]


def test_engine_for_many_threads_gives_each_its_own_answer(workforce: Workforce) -> None:
    """Callers share two workers without getting each other's outputs."""
    wrong: list[int] = []

    def call(number: int) -> None:
        inputs = {"x": np.full(2, number, dtype=np.float32), "y": np.zeros(2, dtype=np.float32)}
        for _ in range(10):
            if shared.run(graphs.adder(), inputs, limits=LIMITS)["total"].tolist() != [number, number]:
                wrong.append(number)

    with OnnxEngine(workers=2, workforce=workforce) as shared:
        threads = [threading.Thread(target=call, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong and 1 <= len(shared.worker_pids) <= 2


def test_engine_after_close_refuses_to_run(workforce: Workforce) -> None:
    """Closing twice is fine; running afterwards says that the engine is closed, not that the model failed."""
    closed = OnnxEngine(workforce=workforce)
    closed.run(graphs.adder(), PAIR, limits=LIMITS)
    closed.close()
    closed.close()
    with pytest.raises(EngineError) as caught:
        closed.run(graphs.adder(), PAIR, limits=LIMITS)
    assert type(caught.value) is EngineError and closed.worker_pids == ()


def test_engine_with_an_absent_provider_says_which_there_are(workforce: Workforce) -> None:
    """A provider that this build of onnxruntime lacks is a matter of configuration."""
    engine = OnnxEngine(provider="DmlExecutionProvider", workforce=workforce)
    with engine as absent, pytest.raises(ConfigurationError) as caught:
        absent.run(graphs.adder(), PAIR, limits=LIMITS)
    assert "CPUExecutionProvider" in str(caught.value)
