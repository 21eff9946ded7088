"""The engine of the profiles with programs: what it runs, what it refuses, and what it survives."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper
from tests.support import graphs, workforces
from tests.support.workforces import KINDS, is_gone, until

import sworn
from sworn.codec.tensors import encode_tensors
from sworn.codec.trees import payload_root
from sworn.dispute.model_disclosure import check_model, show_model
from sworn.engine import IdentifiedModel, ModelSource, RunLimits, program_checks
from sworn.engine.exact import ExactExecutor
from sworn.engine.program_engine import ProgramEngine
from sworn.engine.workers import Workforce
from sworn.errors import (
    CastOutOfRange,
    ConfigurationError,
    EngineError,
    IndexOutOfRange,
    InputRejected,
    ModelMalformed,
    ProfileUnavailable,
    RunFailed,
    RunNotFinite,
    RunOutOfMemory,
    RunTimedOut,
    SwornError,
    TraceError,
)
from sworn.model.exhibit_file import ExhibitFile
from sworn.model.trace_file import TraceFile
from sworn.testing import gallery
from sworn.testing.models import example_rows, load_model, model_names
from sworn.types import ZERO_HASH, ModelId, Part, Profile, Target
from sworn.verification import Trace

NEGATE = graphs.unary("Neg")
CAST = graphs.build(
    [helper.make_node("Cast", ["x"], ["y"], to=TensorProto.INT32)],
    [("x", TensorProto.FLOAT, (1,))],
    [("y", TensorProto.INT32, (1,))],
)
GATHER = graphs.build(
    [helper.make_node("Gather", ["x", "i"], ["y"])],
    [("x", TensorProto.FLOAT, (2,)), ("i", TensorProto.INT64, (1,))],
    [("y", TensorProto.FLOAT, (1,))],
)
X = {"x": np.array([1, -1], dtype=np.float32)}
LIMITS = RunLimits(timeout_s=20.0)


@pytest.fixture(scope="module", params=KINDS)
def workforce(request: pytest.FixtureRequest) -> Iterator[Workforce]:
    """Where the workers are: what an engine promises holds everywhere."""
    with workforces.workforce(request.param) as found:
        yield found


@pytest.fixture(scope="module")
def engine(workforce: Workforce) -> Iterator[ProgramEngine]:
    """One engine for all: no model may spoil it for the next."""
    with ProgramEngine(workforce=workforce) as running:
        yield running


@pytest.fixture
def mortal(workforce: Workforce) -> Iterator[ProgramEngine]:
    """An engine whose running worker may be killed."""
    with ProgramEngine(workforce=workforce) as running:
        assert works(running)
        yield running


def identified(engine: ProgramEngine, artifact: bytes, profile: Profile = Profile.EXACT) -> IdentifiedModel:
    """What a file is."""
    return engine.identify(ModelSource(artifact=artifact, profile=profile))


def works(engine: ProgramEngine) -> bool:
    """Whether an engine still negates."""
    model = identified(engine, NEGATE)
    return np.array_equal(engine.run(model, X, limits=LIMITS).outputs["y"], [-1, 1])


@pytest.mark.parametrize("name", model_names())
def test_engine_in_profile_exact_gives_the_bits_that_anyone_computes(engine: ProgramEngine, name: str) -> None:
    """Id, schema and every bit are those of `sworn.compile_model`; nothing is traced."""
    compiled, model = sworn.compile_model(load_model(name)), identified(engine, load_model(name))
    assert (model.model_id, model.model, model.schema) == (compiled.model_id, compiled.model, compiled.schema)
    for row in example_rows(name):
        run = engine.run(model, row.inputs, limits=LIMITS)
        assert run.trace_root == ZERO_HASH
        for output, expected in compiled.run(dict(row.inputs)).items():
            assert run.outputs[output].tobytes() == expected.tobytes()


@pytest.mark.parametrize("profile", [Profile.EXACT, Profile.BOUNDED], ids=["exact", "bounded"])
@pytest.mark.parametrize("name", ["mlp", "forest", "cnn_int8"])
def test_engine_that_is_given_a_file_leaves_a_trace_that_stands_up_to_an_audit(
    engine: ProgramEngine, tmp_path: Path, name: str, profile: Profile
) -> None:
    """The file leads from the inputs to the outputs that were given, and no element of it is wrong."""
    compiled = sworn.compile_model(gallery.load(name), profile=profile.name.lower())
    model = identified(engine, gallery.load(name), profile)
    assert model.model_id == compiled.model_id
    inputs = gallery.rows(name)[0].inputs
    run = engine.run(model, inputs, limits=LIMITS, trace_file=tmp_path / "trace")
    file = TraceFile.load(tmp_path / "trace")
    assert file.trace_root == run.trace_root != ZERO_HASH
    assert sum(file.lengths) == model.trace_bytes
    assert file.input_root == payload_root(encode_tensors(inputs, model.schema.inputs))
    assert file.output_root == payload_root(encode_tensors(run.outputs, model.schema.outputs))
    assert compiled.audit(Trace.load(compiled.subject, tmp_path / "trace")) == []
    assert [path.name for path in tmp_path.iterdir()] == ["trace"]


@pytest.mark.parametrize("name", ["mlp", "forest"])
def test_engine_exhibits_every_part_of_a_model_to_who_knows_its_id(
    engine: ProgramEngine, tmp_path: Path, name: str
) -> None:
    """Weights, steps and interface lie in files, each part with what leads to the model id."""
    model = identified(engine, gallery.load(name))
    engine.exhibit(model, tmp_path / "model", limits=LIMITS)
    exhibit = ExhibitFile.load(tmp_path / "model", model.model)
    targets = [Target(part=Part.INTERFACE), Target(part=Part.WEIGHTS)]
    targets += [Target(part=Part.STEPS, index=number) for number in range(len(exhibit.steps) + 1)]
    for weight in range(len(exhibit.weights.lengths) + 1):
        targets += [Target(part=part, value=weight) for part in (Part.WEIGHT_NODES, Part.WEIGHT_CHUNKS)]
    for target in targets:
        check_model(show_model(exhibit, target), target, model.model_id)
    assert len(targets) > 6 and works(engine)


def test_engine_that_cannot_write_an_exhibit_says_so(engine: ProgramEngine, tmp_path: Path) -> None:
    """A file where the folder should be is no failure of the model."""
    (tmp_path / "file").write_text("")
    with pytest.raises(TraceError, match="written"):
        engine.exhibit(identified(engine, NEGATE), tmp_path / "file", limits=LIMITS)
    assert works(engine)


def test_engine_in_profile_bounded_without_a_trace_is_refused(engine: ProgramEngine) -> None:
    """A result that nobody could defend is not made."""
    model = identified(engine, NEGATE, Profile.BOUNDED)
    with pytest.raises(ConfigurationError, match="trace"):
        engine.run(model, X, limits=LIMITS)


def test_engine_that_cannot_write_a_trace_says_so_and_gives_nothing(engine: ProgramEngine, tmp_path: Path) -> None:
    """A full or missing disk is no failure of the model."""
    model = identified(engine, NEGATE, Profile.BOUNDED)
    with pytest.raises(TraceError, match="written"):
        engine.run(model, X, limits=LIMITS, trace_file=tmp_path / "missing" / "trace")
    assert works(engine)


def test_engine_under_an_id_of_another_program_runs_nothing(engine: ProgramEngine) -> None:
    """The worker compiles the file itself, and knows when an id does not belong to it, loaded or not."""
    model = identified(engine, NEGATE)
    for artifact in (NEGATE, graphs.unary("Abs")):
        lied = replace(model, model_id=ModelId(b"\x07" * 32), source=replace(model.source, artifact=artifact))
        with pytest.raises(ConfigurationError, match="compiles to"):
            engine.run(lied, X, limits=LIMITS)
    assert works(engine)


@pytest.mark.parametrize(
    ("artifact", "inputs", "kind"),
    [
        (graphs.unary("Log"), {"x": [1, -1]}, RunNotFinite),
        (graphs.unary("Reciprocal"), {"x": [1, 0]}, RunNotFinite),
        (CAST, {"x": [3e9]}, CastOutOfRange),
        (GATHER, {"x": [1, 2], "i": [5]}, IndexOutOfRange),
        (NEGATE, {"x": [1, 2, 3]}, InputRejected),
        (NEGATE, {"z": [1, 2]}, InputRejected),
    ],
)
@pytest.mark.parametrize("profile", [Profile.EXACT, Profile.BOUNDED])
def test_engine_on_input_without_an_answer_raises_the_typed_failure(
    engine: ProgramEngine,
    tmp_path: Path,
    artifact: bytes,
    inputs: dict[str, list[float]],
    kind: type[EngineError],
    profile: Profile,
) -> None:
    """NaN in the middle of a run, casts and indices out of range cross the pipe as what they are, and leave no file."""
    model = identified(engine, artifact, profile)
    arrays = {name: np.array(values, dtype=np.int64 if name == "i" else np.float32) for name, values in inputs.items()}
    with pytest.raises(kind) as caught:
        engine.run(model, arrays, limits=LIMITS, trace_file=tmp_path / "trace")
    assert type(caught.value) is kind
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("artifact", "kind", "said"),
    [
        (b"nothing", ModelMalformed, "ONNX|protobuf|model"),
        (graphs.unary("Neg", shape=("batch",)), ProfileUnavailable, "input_shapes"),
        (graphs.unary("NonZero"), ProfileUnavailable, "NonZero"),
        (graphs.endless_loop(), ProfileUnavailable, "Loop"),
    ],
)
def test_engine_on_a_file_that_cannot_be_compiled_says_why(
    engine: ProgramEngine, artifact: bytes, kind: type[SwornError], said: str
) -> None:
    """The reason crosses the pipe whole, and the worker goes on."""
    with pytest.raises(kind, match=said):
        identified(engine, artifact)
    assert works(engine)


def test_engine_with_shapes_that_do_not_fit_is_a_configuration_error(engine: ProgramEngine) -> None:
    """Shapes are the caller's own mistake."""
    with pytest.raises(ConfigurationError, match="input_shapes"):
        engine.identify(ModelSource(artifact=NEGATE, input_shapes={"z": (2,)}))


def test_worker_killed_while_idle_is_replaced_and_compiles_again(mortal: ProgramEngine) -> None:
    """The next run starts another process and gives the same."""
    (old,), built = mortal.worker_pids, mortal.programs_built
    os.kill(old, signal.SIGKILL)
    assert until(lambda: is_gone(old))
    assert works(mortal)
    assert mortal.worker_pids != (old,) and mortal.programs_built == built + 1


def test_worker_that_hangs_is_killed_at_its_limit(mortal: ProgramEngine) -> None:
    """A run and a load that do not come to an end are stopped from outside."""
    model = identified(mortal, NEGATE)
    other = ModelSource(artifact=graphs.unary("Abs"))
    for hang in (
        lambda: mortal.run(model, X, limits=RunLimits(timeout_s=0.5, load_timeout_s=0.5)),
        lambda: mortal.identify(other, limits=RunLimits(load_timeout_s=0.5)),
    ):
        (old,) = mortal.worker_pids
        os.kill(old, signal.SIGSTOP)
        with pytest.raises(RunTimedOut):
            hang()
        assert until(partial(is_gone, old))
        assert works(mortal)


def test_worker_over_its_memory_is_stopped(mortal: ProgramEngine) -> None:
    """A value of 400 MB passes under 2 GiB and does not under 128 MiB."""
    nodes = [
        helper.make_node("Expand", ["x", "size"], ["wide"]),
        helper.make_node("Neg", ["wide"], ["negated"]),
        helper.make_node("Slice", ["negated", "start", "stop"], ["y"]),
    ]
    constants = [
        helper.make_tensor(name, TensorProto.INT64, [1], [value])
        for name, value in (("size", 100_000_000), ("start", 7), ("stop", 8))
    ]
    one = {"x": np.ones(1, dtype=np.float32)}
    value = [("x", TensorProto.FLOAT, (1,))]
    model = identified(mortal, graphs.build(nodes, value, [("y", TensorProto.FLOAT, (1,))], constants))
    assert mortal.run(model, one).outputs["y"] == -1
    with pytest.raises(RunOutOfMemory):
        mortal.run(model, one, limits=RunLimits(memory_bytes=128 << 20))
    assert works(mortal)


def test_engine_closed_refuses_without_blaming_the_model(workforce: Workforce) -> None:
    """Nothing runs after the end, and no process is left."""
    engine = ProgramEngine(workforce=workforce)
    model = identified(engine, NEGATE)
    (pid,) = engine.worker_pids
    engine.close()
    engine.close()
    with pytest.raises(EngineError) as caught:
        engine.run(model, X)
    assert type(caught.value) is EngineError
    assert until(lambda: is_gone(pid))


def test_worker_environment_holds_no_secrets(workforce: Workforce, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a watcher keeps in its environment does not reach the process that compiles strangers' models."""
    monkeypatch.setenv("SWORN_PRIVATE_KEY", "0x" + "17" * 32)
    with ProgramEngine(workforce=workforce) as fresh:
        assert works(fresh)
        assert "SWORN_PRIVATE_KEY" not in psutil.Process(fresh.worker_pids[0]).environ()


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (lambda value: np.clip(value, -(2**15), 2**15 - 1) if value.dtype.kind == "i" else value, "8-bit products"),
        (lambda value: value * 0 if value.dtype.kind == "f" else value, "IEEE 754"),
        (lambda value: np.where(np.abs(value) < 2.0**-126, 0, value) if value.dtype.kind == "f" else value, "IEEE"),
    ],
    ids=["saturating bytes", "lost sums", "flushed subnormals"],
)
def test_machine_that_computes_wrongly_is_found_before_anything_is_sworn(
    monkeypatch: pytest.MonkeyPatch,
    broken: Callable[[NDArray[Any]], NDArray[Any]],
    said: str,
) -> None:
    """The self-test at a worker's start notices saturating products, sums that lose terms, and flushed subnormals."""

    class BrokenExecutor(ExactExecutor):
        """Computes as such a machine would."""

        def run(self, inputs: Sequence[Any], **options: Any) -> dict[int, Any]:
            return {number: broken(value) for number, value in super().run(inputs, **options).items()}

    program_checks.check_machine()
    monkeypatch.setattr(program_checks, "ExactExecutor", BrokenExecutor)
    with pytest.raises(ConfigurationError, match=said):
        program_checks.check_machine()


def test_worker_that_reports_a_broken_machine_is_not_used(tmp_path: Path) -> None:
    """What a worker says at its start becomes a typed error, for identifying as for running."""
    program = tmp_path / "worker.py"
    program.write_text(
        "from sworn.engine.worker import Channel\n"
        "channel = Channel()\n"
        "channel.tell({'status': 'error', 'error': 'ConfigurationError', 'detail': 'no IEEE 754'})\n"
    )
    with ProgramEngine() as engine:
        engine.pool._program = program
        with pytest.raises(ConfigurationError, match="no IEEE 754"):
            identified(engine, NEGATE)
    with pytest.raises(ConfigurationError, match="workers"):
        ProgramEngine(workers=0)


def test_worker_that_dies_on_a_model_twice_fails_the_run(tmp_path: Path) -> None:
    """A compiler that crashes is the model's fault the second time."""
    program = tmp_path / "worker.py"
    program.write_text(
        "import os\n"
        "from sworn.engine.worker import Channel\n"
        "channel = Channel()\n"
        "channel.tell({'status': 'ready'})\n"
        "channel.serve({'load': lambda message: os._exit(3)})\n"
    )
    with ProgramEngine() as engine:
        engine.pool._program = program
        with pytest.raises(RunFailed, match="2 workers"):
            identified(engine, NEGATE)
