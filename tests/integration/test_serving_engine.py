"""The engine that serves: memory for all models, batches, terms, and what it says about itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import psutil
import pytest
from onnx import TensorProto, helper
from tests.support import graphs
from tests.support.workforces import until

from sworn.engine import IdentifiedModel, ModelSource, RunLimits
from sworn.engine.batching import Batcher
from sworn.engine.identification import identify
from sworn.engine.serving import ServingEngine
from sworn.engine.terms import Batching, ModelTerms
from sworn.errors import ConfigurationError, EngineBusy, EngineError, InputRejected, RunNotFinite
from sworn.types import Profile, Tensors

LIMITS = RunLimits(timeout_s=20.0)
X = {"x": np.array([1, -1], dtype=np.float32)}
#: Elements of a table that takes 64 MiB once a model is loaded.
HEAVY_ELEMENTS = 16 << 20


def signed(artifact: bytes) -> IdentifiedModel:
    """A model that promises nothing."""
    return identify(ModelSource(artifact=artifact, profile=Profile.SIGNED))


def heavy(number: int) -> bytes:
    """An index → a number, out of a table that loading makes."""
    value = helper.make_tensor("value", TensorProto.FLOAT, [1], [float(number)])
    nodes = [
        helper.make_node("ConstantOfShape", ["size"], ["table"], value=value),
        helper.make_node("Gather", ["table", "i"], ["y"]),
    ]
    size = helper.make_tensor("size", TensorProto.INT64, [1], [HEAVY_ELEMENTS])
    return graphs.build(nodes, [("i", TensorProto.INT64, (1,))], [("y", TensorProto.FLOAT, (1,))], [size])


@pytest.fixture(scope="module")
def engine() -> Iterator[ServingEngine]:
    """One engine for what needs no terms of its own."""
    with ServingEngine(workers=2) as running:
        yield running


def test_engine_over_its_memory_unloads_what_was_used_longest_ago() -> None:
    """Three models do not fit: the oldest makes room for the newest, and comes back when it is asked for."""
    models, place = [signed(heavy(number)) for number in range(3)], {"i": np.array([HEAVY_ELEMENTS - 1])}
    with ServingEngine() as unbounded:
        unbounded.run(models[0], place, limits=LIMITS)
        one = unbounded.load().memory_bytes
    limit = one + HEAVY_ELEMENTS * 4 + (32 << 20)
    with ServingEngine(memory_bytes=limit) as engine:
        for _ in range(2):
            for number, model in enumerate(models):
                assert engine.run(model, place, limits=LIMITS).outputs["y"].tolist() == [number]
                assert engine.load().memory_bytes <= limit
        built = engine._onnx.sessions_built
        assert built > 3
        engine.run(models[2], place, limits=LIMITS)
        assert engine._onnx.sessions_built == built


def test_engine_whose_models_all_rest_frees_even_the_process() -> None:
    """A worker that holds nothing any more is ended; the next run starts another."""
    with ServingEngine() as engine:
        model = signed(graphs.unary("Neg"))
        engine.run(model, X, limits=LIMITS)
        (pid,) = engine.worker_pids
        (key,) = engine._onnx.pool.resting()
        assert engine._onnx.pool.unload(key) and not engine._onnx.pool.unload(key)
        assert not psutil.pid_exists(pid) and engine.worker_pids == ()
        assert engine.run(model, X, limits=LIMITS).outputs["y"].tolist() == [-1, 1]


def test_engine_that_is_warm_has_every_model_in_every_worker(engine: ServingEngine) -> None:
    """The first requests wait for no process, no compiler and no session."""
    for profile in (Profile.EXACT, Profile.SIGNED):
        model = engine.identify(ModelSource(artifact=graphs.unary("Abs"), profile=profile))
        engine.warm(model, limits=LIMITS)
    pids, built = engine.worker_pids, (engine._programs.programs_built, engine._onnx.sessions_built)
    assert len(pids) == 4
    for profile in (Profile.EXACT, Profile.SIGNED):
        model = engine.identify(ModelSource(artifact=graphs.unary("Abs"), profile=profile))
        threads = [threading.Thread(target=engine.run, args=(model, X)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert engine.worker_pids and set(engine.worker_pids) == set(pids)
    assert (engine._programs.programs_built, engine._onnx.sessions_built) == built


def test_engine_says_what_is_under_way_and_turns_away_what_does_not_fit(engine: ServingEngine) -> None:
    """Running, waiting and refused runs can be seen while they are; another model has its own queue."""
    slow, outcomes = signed(graphs.endless_loop()), []
    engine.serve(slow, ModelTerms(concurrency=1, queue=1))

    def work() -> None:
        with pytest.raises(EngineError) as caught:
            engine.run(slow, X, limits=RunLimits(timeout_s=1.0))
        outcomes.append(caught.type)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    key = slow.model_id.hex()
    assert until(lambda: key in engine.load().models and engine.load().models[key].queued == 1)
    with pytest.raises(EngineBusy):
        engine.run(slow, X, limits=LIMITS)
    load = engine.load()
    assert (load.slots, load.models[key].running, load.models[key].refused) == (2, 1, 1)
    assert load.running >= 1 and load.memory_bytes > 0
    quick = signed(graphs.unary("Neg"))
    assert engine.run(quick, X, limits=LIMITS).outputs["y"].tolist() == [-1, 1]
    for thread in threads:
        thread.join()
    assert len(outcomes) == 2 and engine.load().models[key].finished == 2


def test_urgent_run_waits_behind_no_answer_and_is_never_turned_away(engine: ServingEngine) -> None:
    """What a dispute hangs on comes through limits of runs alone: whatever profile, queue or backend there is."""
    model, done = signed(graphs.unary("Neg")), threading.Event()
    key = model.model_id.hex()
    engine.serve(model, ModelTerms(concurrency=1, queue=0))

    def urgent() -> None:
        assert engine.run(model, X, limits=replace(LIMITS, is_urgent=True)).outputs["y"].tolist() == [-1, 1]
        done.set()

    with engine._queue.turn(key):
        thread = threading.Thread(target=urgent)
        thread.start()
        assert until(lambda: engine.load().models[key].queued == 1)
        with pytest.raises(EngineBusy):
            engine.run(model, X, limits=LIMITS)
    thread.join()
    assert done.is_set() and engine.load().models[key].refused == 1


def row(value: float, rows: int = 1) -> dict[str, np.ndarray]:
    """An input of so many rows."""
    return {"x": np.full((rows, 2), value, dtype=np.float32)}


def test_runs_in_a_batch_get_their_own_rows(engine: ServingEngine) -> None:
    """Many callers, few runs, and nobody gets another's answer; NaN in one harms no other."""
    model = signed(graphs.unary("Log", shape=("n", 2)))
    engine.serve(model, ModelTerms(batching=Batching(max_rows=16, max_delay_s=0.2)), limits=LIMITS)
    wrong: list[object] = []
    before = engine.load().models[model.model_id.hex()].finished

    def work(number: int) -> None:
        value, rows = float(number), 1 + number % 3
        try:
            found = engine.run(model, row(value, rows), limits=LIMITS).outputs["y"]
        except RunNotFinite:
            found = None
        expected = None if number == 0 else np.full((rows, 2), np.log(np.float32(value)), dtype=np.float32)
        if found is None or expected is None:
            is_right = found is expected
        else:
            is_right = found.shape == (rows, 2) and np.allclose(found, expected)
        if not is_right:
            wrong.append((number, found))

    for numbers in (range(1, 9), range(8)):
        threads = [threading.Thread(target=work, args=(number,)) for number in numbers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong
    assert engine.load().models[model.model_id.hex()].finished - before < 16
    with pytest.raises(InputRejected):
        engine.run(model, {"x": np.zeros(3, dtype=np.float32)}, limits=LIMITS)


def test_lone_run_with_batching_waits_no_longer_than_it_may(engine: ServingEngine) -> None:
    """Batching costs a lone caller its delay at most, and one with a whole batch of rows nothing."""
    calls: list[int] = []

    def counted(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        calls.append(len(inputs["x"]))
        return {"y": inputs["x"]}

    schema = signed(graphs.unary("Neg", shape=("n", 2))).schema
    batcher = Batcher(counted, schema, Batching(max_rows=4, max_delay_s=0.05))
    began = time.monotonic()
    assert batcher.run(row(3.0))["y"].tolist() == [[3.0, 3.0]]
    assert 0.05 <= time.monotonic() - began < 1
    batcher.run(row(3.0, 4))
    assert calls == [1, 4]


def test_model_whose_rows_depend_on_each_other_is_not_batched(engine: ServingEngine) -> None:
    """A mean over the batch would mix strangers' requests: it is found before the first one."""
    node = helper.make_node("ReduceMean", ["x"], ["mean"], axes=[0], keepdims=1)
    mixed = graphs.build(
        [node, helper.make_node("Sub", ["x", "mean"], ["y"])],
        [("x", TensorProto.FLOAT, ("n", 2))],
        [("y", TensorProto.FLOAT, ("n", 2))],
    )
    with pytest.raises(ConfigurationError, match="depend"):
        engine.serve(signed(mixed), ModelTerms(batching=Batching()), limits=LIMITS)
    with pytest.raises(ConfigurationError, match="first axis"):
        engine.serve(signed(graphs.unary("Neg")), ModelTerms(batching=Batching()), limits=LIMITS)
    with pytest.raises(ConfigurationError):
        Batching(max_rows=1)


def test_batch_whose_model_gives_other_rows_is_made_run_by_run() -> None:
    """Outputs that cannot be shared out by rows are given to nobody."""
    schema = signed(graphs.unary("Neg", shape=("n", 2))).schema

    def first_only(inputs: Tensors) -> dict[str, np.ndarray]:
        return {"y": inputs["x"][:1]}

    batcher = Batcher(first_only, schema, Batching(max_rows=8, max_delay_s=0.3))
    found: dict[float, list[list[float]]] = {}

    def work(value: float) -> None:
        found[value] = batcher.run(row(value))["y"].tolist()

    threads = [threading.Thread(target=work, args=(float(number),)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {float(number): [[float(number)] * 2] for number in range(4)}
