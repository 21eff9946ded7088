from __future__ import annotations

import resource
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.support.lies import resized
from tests.support.subjects import compiled, corrupted, every_rule, faults_of, random_inputs

from sworn.codec.trees import chunk_levels, keccak
from sworn.errors import CodecError, ConfigurationError, ShapeMismatch, TraceCorrupt, TraceError
from sworn.model.commitment import seal_trace
from sworn.model.trace_file import TraceFile, TraceRecorder, TraceWriter
from sworn.referee import check
from sworn.referee.proof import FaultKind
from sworn.types import ModelId
from sworn.verification import CompiledModel, Trace, difference

HEAD, ROW = 176, 40


@pytest.fixture(scope="module")
def model() -> CompiledModel:
    """A program with a step of every rule."""
    return compiled(*every_rule())


@pytest.fixture(scope="module")
def trace(model: CompiledModel) -> Trace:
    """One run of it, in memory."""
    return model.trace(random_inputs(model))


@pytest.fixture
def path(model: CompiledModel, tmp_path: Path) -> Path:
    """The same run in a trace file."""
    model.trace(random_inputs(model), path=tmp_path / "run.trace")
    return tmp_path / "run.trace"


def test_trace_file_holds_what_its_norm_says(path: Path, trace: Trace) -> None:
    """Head, table, then of every value its committed bytes and the levels of its tree: nothing else."""
    stored = path.read_bytes()
    magic, version, count, *roots = struct.unpack_from(">8sII32s32s32s32s32s", stored)
    assert (magic, version, count) == (b"\x89swtrace", 1, len(trace.values))
    assert roots[:4] == [trace.subject.model_id, trace.input_root, trace.output_root, trace.root]
    assert roots[4] == keccak(stored[:144])
    rest = b""
    for number, array in enumerate(trace.values):
        data = array.astype(array.dtype.newbyteorder(">")).tobytes()
        row = stored[HEAD + ROW * number : HEAD + ROW * (number + 1)]
        assert row == len(data).to_bytes(8) + trace.data_roots[number]
        rest += data + b"".join(chunk_levels(data))
    assert stored[HEAD + ROW * count :] == rest


def test_trace_from_a_file_is_the_trace_in_memory(model: CompiledModel, path: Path, trace: Trace) -> None:
    """Values, roots, elements and openings are the same, wherever they lie."""
    filed = model.load_trace(path)
    assert filed.statement == trace.statement
    assert (filed.data_roots, filed.tensor_roots) == (trace.data_roots, trace.tensor_roots)
    assert filed.outputs.keys() == trace.outputs.keys()
    for number, array in enumerate(trace.values):
        found = filed.values[number]
        assert (found.dtype, found.shape, found.tobytes()) == (array.dtype, array.shape, array.tobytes())
        assert filed.bits(number, array.size - 1) == trace.bits(number, array.size - 1)
        for start, stop in ((0, 1), (array.size // 2, array.size), (0, array.size)):
            opening = filed.open(number, start, stop)
            assert opening == trace.open(number, start, stop)
            assert opening.root(seal_trace) == trace.root
    assert [array.tobytes() for array in filed.values[2:4]] == [array.tobytes() for array in trace.values[2:4]]
    assert model.audit(filed) == []


def test_trace_too_large_for_memory_is_kept_in_a_temporary_file(model: CompiledModel, trace: Trace) -> None:
    """Where values go changes nothing about them."""
    spilled = Trace.record(model.subject, lambda take: _run(model, take), keep_bytes=0)
    assert spilled.statement == trace.statement
    assert spilled.open(0, 0, 5) == trace.open(0, 0, 5)
    assert model.audit(spilled) == []


def test_proofs_from_a_trace_file_convince(model: CompiledModel, path: Path, trace: Trace) -> None:
    """With one's own run in a file, a lie in any step is found and proved."""
    own = model.load_trace(path)
    for value in range(3, len(trace.values)):
        lie = corrupted(trace, value, 0, trace.bits(value, 0) ^ 1)
        fault = difference(lie, own)
        assert fault is not None and (fault.value, fault.index) == (value, 0)
        assert check(fault.proof())


def test_lies_in_a_trace_file_are_proved_from_it(model: CompiledModel, trace: Trace, tmp_path: Path) -> None:
    """Somebody else's trace may hold anything, values of a wrong size too."""
    lies = {FaultKind.LENGTH: resized(trace, 8, 7), FaultKind.ELEMENT: corrupted(trace, 8, 3, 0x3F000001)}
    for kind, lie in lies.items():
        filed = Trace.load(model.subject, stored(lie, tmp_path / kind.name))
        assert filed.statement == lie.statement
        faults = faults_of(model, filed)
        assert [str(fault) for fault in faults] == [str(fault) for fault in faults_of(model, lie)]
        assert kind in {fault.kind for fault in faults} and all(check(fault.proof()) for fault in faults)


def test_trace_file_with_any_damage_is_noticed(model: CompiledModel, path: Path) -> None:
    """A changed byte anywhere, a byte too many, any too few."""
    stored_bytes = path.read_bytes()
    generator = np.random.default_rng(0)
    places = {*range(HEAD + ROW * model.subject.value_count), *generator.integers(0, len(stored_bytes), 300).tolist()}
    for place in places:
        changed = bytearray(stored_bytes)
        changed[place] ^= 1 << int(generator.integers(8))
        assert damaged(model, path, bytes(changed)), place
    for length in (*range(HEAD + 41), *generator.integers(0, len(stored_bytes), 100).tolist()):
        assert damaged(model, path, stored_bytes[:length]), length
    assert damaged(model, path, stored_bytes + b"\0")


def test_trace_file_that_promises_too_much_is_refused_at_once(path: Path) -> None:
    """Counts and sizes are believed only as far as there are bytes."""
    stored_bytes = bytearray(path.read_bytes())
    stored_bytes[HEAD : HEAD + 8] = b"\xff" * 8
    path.write_bytes(stored_bytes)
    with pytest.raises(TraceCorrupt):
        TraceFile.load(path)
    stored_bytes[12:16] = b"\xff" * 4
    stored_bytes[144:176] = keccak(bytes(stored_bytes[:144]))
    path.write_bytes(stored_bytes)
    with pytest.raises(TraceCorrupt):
        TraceFile.load(path)


def test_opening_of_a_damaged_chunk_raises(model: CompiledModel, path: Path) -> None:
    """Nothing damaged is shown to anybody, even where the file was not verified."""
    stored_bytes = bytearray(path.read_bytes())
    place = HEAD + ROW * model.subject.value_count
    stored_bytes[place] ^= 1
    path.write_bytes(stored_bytes)
    unverified = Trace.load(model.subject, path, verify=False)
    with pytest.raises(TraceCorrupt):
        unverified.open(0, 0, 1)
    assert unverified.open(1, 0, 1).root(seal_trace) == unverified.root


def test_trace_file_of_what_is_not_there_raises(model: CompiledModel, path: Path) -> None:
    """Values, chunks, bytes and elements that do not exist; another model's file; no file."""
    file = TraceFile.load(path)
    attempts: list[Callable[[], object]] = [
        lambda: file.open(14, [0]),
        lambda: file.open(-1, [0]),
        lambda: file.open(0, [1]),
        lambda: file.read(0, 0, file.lengths[0] + 1),
        lambda: file.read(-1, 0, 1),
        lambda: file.array(14, model.program.value(0).dtype),
    ]
    for attempt in attempts:
        with pytest.raises(CodecError):
            attempt()
    other = compiled(model.program, (model.weights[0] * 2, *model.weights[1:]))
    with pytest.raises(ConfigurationError):
        other.load_trace(path)
    with pytest.raises(TraceError):
        TraceFile.load(path.with_name("other"))
    with pytest.raises(TraceError):
        TraceFile.load(path.parent)


def test_writer_that_is_not_finished_leaves_no_file(model: CompiledModel, tmp_path: Path) -> None:
    """A run that fails leaves what was there before, and nothing beside it."""
    (tmp_path / "run").write_bytes(b"before")
    with (
        pytest.raises(ZeroDivisionError),
        TraceWriter(tmp_path / "run", model.program, model_id=model.model_id) as writer,
    ):
        _run(model, lambda value, array: writer.write(value, array) if value < 9 else 1 / 0)
    assert {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()} == {"run": b"before"}


def test_writer_of_values_out_of_order_or_of_other_types_raises(model: CompiledModel, tmp_path: Path) -> None:
    """Every value once, in its order, as the program has it; then no more."""
    values: list[np.ndarray] = []
    _run(model, lambda _, array: values.append(array))
    with TraceWriter(tmp_path / "run", model.program, model_id=model.model_id) as writer:
        with pytest.raises(ConfigurationError):
            writer.finish()
        with pytest.raises(ConfigurationError):
            writer.write(1, values[1])
        with pytest.raises(ShapeMismatch):
            writer.write(0, values[0].astype(np.float64))
        with pytest.raises(ShapeMismatch):
            writer.write(0, values[1])
        for number, array in enumerate(values):
            writer.write(number, array)
        with pytest.raises(ConfigurationError):
            writer.write(14, values[0])
        root = writer.finish()
        with pytest.raises(ConfigurationError):
            writer.finish()
    assert model.load_trace(tmp_path / "run").root == root


def test_writer_where_the_disk_is_full_raises_and_leaves_nothing(model: CompiledModel, tmp_path: Path) -> None:
    """An error of the system is an error of the trace; a place that is not there is one too."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        with pytest.raises(TraceError):
            model.trace(random_inputs(model), path=tmp_path / "run")
        with pytest.raises(TraceError):
            Trace.record(model.subject, lambda take: _run(model, take), keep_bytes=0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(TraceError):
        model.trace(random_inputs(model), path=tmp_path / "no folder" / "run")


def stored(trace: Trace, path: Path) -> Path:
    """Any trace in a file, whatever its values are."""
    with path.open("wb") as file:
        recorder = TraceRecorder(file, len(trace.values))
        for array in trace.values:
            recorder.record(array, False)
        model_id = ModelId(trace.subject.model_id)
        recorder.seal(model_id=model_id, input_root=trace.input_root, output_root=trace.output_root)
    return path


def damaged(model: CompiledModel, path: Path, content: bytes) -> bool:
    """Whether a file with this content is refused."""
    path.write_bytes(content)
    try:
        model.load_trace(path)
    except (TraceCorrupt, ConfigurationError):
        return True
    return False


def _run(model: CompiledModel, take: Callable[[int, np.ndarray], object]) -> None:
    def on_value(value: int, array: np.ndarray) -> None:
        take(value, array)

    inputs = random_inputs(model)
    arrays = [inputs[spec.name] for spec in model.schema.inputs]
    model.executor.run(arrays, include_virtual=True, on_value=on_value)
