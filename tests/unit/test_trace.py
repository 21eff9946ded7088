from __future__ import annotations

import numpy as np
import pytest
from tests.support.programs import unary
from tests.support.subjects import compiled, every_rule, random_inputs

from sworn.codec.tensors import encode_tensors
from sworn.codec.trees import data_root, payload_root, tensor_root
from sworn.errors import ConfigurationError, InputRejected, RunNotFinite, ShapeMismatch, ValueNotFinite
from sworn.model.commitment import array_roots, seal_trace, trace_root
from sworn.model.program import Function
from sworn.types import Profile
from sworn.verification import CompiledModel, Trace


@pytest.fixture(scope="module")
def model() -> CompiledModel:
    """A program with a step of every rule."""
    return compiled(*every_rule())


@pytest.fixture(scope="module")
def trace(model: CompiledModel) -> Trace:
    """One run of it."""
    return model.trace(random_inputs(model))


def test_run_and_trace_of_the_same_inputs_give_the_same_outputs(model: CompiledModel, trace: Trace) -> None:
    """A trace changes nothing, not even a bit."""
    outputs = model.run(random_inputs(model))
    assert outputs.keys() == trace.outputs.keys() == {spec.name for spec in model.schema.outputs}
    for spec in model.schema.outputs:
        assert outputs[spec.name].shape == spec.shape
        assert outputs[spec.name].tobytes() == trace.outputs[spec.name].tobytes()


def test_trace_links_to_the_payloads_of_input_and_output(model: CompiledModel, trace: Trace) -> None:
    """What a request and a result commit to are the very roots in the trace."""
    inputs = encode_tensors(random_inputs(model), model.schema.inputs)
    outputs = encode_tensors(trace.outputs, model.schema.outputs)
    assert trace.input_root == payload_root(inputs)
    assert trace.output_root == payload_root(outputs)
    assert trace.statement.model_id == model.model_id
    assert trace.statement.trace_root == trace.root == trace_root(trace.data_roots)


def test_tensor_roots_of_a_trace_commit_to_type_and_data(model: CompiledModel, trace: Trace) -> None:
    """They are the tensor roots of the encoding, one per value."""
    for number, root in enumerate(trace.tensor_roots):
        kind, array = model.program.value(number), trace.values[number]
        assert root == tensor_root(kind.dtype, kind.shape, array.astype(array.dtype.newbyteorder(">")).tobytes())


def test_tensor_of_a_step_is_what_it_wrote(model: CompiledModel, trace: Trace) -> None:
    """Steps are numbered from 0; others do not exist."""
    assert trace.tensor(0) is trace.values[3]
    assert trace.tensor(0).shape == model.program.steps[0].output.shape
    for step in (-1, len(model.program.steps)):
        with pytest.raises(ConfigurationError):
            trace.tensor(step)


def test_opening_of_elements_leads_to_the_trace_root(trace: Trace) -> None:
    """Any range of elements opens, with its own chunks only."""
    for number, array in enumerate(trace.values):
        big = np.asarray(array, dtype=array.dtype.newbyteorder(">")).tobytes()
        for start, stop in ((0, 1), (array.size - 1, array.size), (0, array.size)):
            opening = trace.open(number, start, stop)
            assert opening.root(seal_trace) == trace.root
            size = array.itemsize
            assert opening.data(number).read(start * size, stop * size) == big[start * size : stop * size]
            assert len(opening.data(number).chunks) == (stop * size - 1) // 1024 - start * size // 1024 + 1


@pytest.mark.parametrize(("number", "start", "stop"), [(0, 0, 0), (0, 0, 145), (0, -1, 2), (14, 0, 1), (-1, 0, 1)])
def test_opening_of_elements_that_are_not_there_raises(trace: Trace, number: int, start: int, stop: int) -> None:
    """There is nothing to open."""
    with pytest.raises(ConfigurationError):
        trace.open(number, start, stop)


def test_bits_of_an_element_are_its_big_endian_number(trace: Trace) -> None:
    """float32 as IEEE 754 bits, integers in two's complement of their width."""
    for number in (0, 2, 5, 11, 12):
        array = trace.values[number]
        expected = int.from_bytes(array.reshape(-1)[1:2].astype(array.dtype.newbyteorder(">")).tobytes())
        assert trace.bits(number, 1) == expected


def test_trace_of_values_of_another_type_raises(model: CompiledModel, trace: Trace) -> None:
    """A trace holds what the program's types can hold; with too few values there are no outputs."""
    with pytest.raises(ShapeMismatch):
        Trace.of(model.subject, [trace.values[0].astype(np.float64), *trace.values[1:]])
    with pytest.raises(ShapeMismatch):
        Trace.of(model.subject, trace.values[:5])


def test_run_of_inputs_that_do_not_fit_raises(model: CompiledModel) -> None:
    """Names, shapes, NaN and infinities are refused before anything is computed."""
    inputs = random_inputs(model)
    with pytest.raises(ShapeMismatch):
        model.run({**inputs, "in1": np.zeros((4, 5), dtype=np.float32)})
    with pytest.raises(ShapeMismatch):
        model.trace({"in0": inputs["in0"]})
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueNotFinite):
            model.run({**inputs, "in1": np.full((5, 4), bad, dtype=np.float32)})


def test_run_with_an_infinite_output_raises() -> None:
    """Infinities may stand inside a run, not in its answer."""
    model = compiled(unary(Function.EXP, 3), ())
    inputs = {"in0": np.array([0.0, 1.0, 1000.0], dtype=np.float32)}
    for run in (model.run, model.trace):
        with pytest.raises(RunNotFinite):
            run(inputs)
    with pytest.raises(InputRejected):
        model.executor.run([np.array([0.0, 1.0, np.nan], dtype=np.float32)])


def test_identity_of_a_compiled_model_binds_program_and_weights(model: CompiledModel) -> None:
    """The registry's rule for profiles with programs holds: no root is zero; another weight is another model."""
    record = model.model
    assert record.profile is Profile.EXACT
    assert all(any(root) for root in (record.program_root, record.weights_root, record.limits_hash))
    made, weights = every_rule()
    other = [array.copy() for array in weights]
    other[0].reshape(-1)[0] += 1
    changed = compiled(made, tuple(other))
    assert changed.model_id != model.model_id
    assert changed.model.program_root == record.program_root
    assert compiled(made, weights).model_id == model.model_id
    assert model.weights[0] is model.subject.weights[0]
    assert len(model.step_names) == len(made.steps)


def test_audit_of_a_trace_of_another_model_raises(trace: Trace) -> None:
    """A trace is judged by its own program."""
    with pytest.raises(ConfigurationError):
        compiled(unary(Function.EXP, 3), ()).audit(trace)


def test_roots_in_bulk_with_any_threads_are_the_plain_ones() -> None:
    """How tensors are hashed changes nothing."""
    arrays = [np.arange(size, dtype=np.float32) for size in (0, 7, 3_000_000, 2_000_001)]
    plain = tuple(data_root(array.astype(">f4").tobytes()) for array in arrays)
    assert array_roots(arrays) == array_roots(arrays, threads=3) == plain


def test_trace_after_other_runs_keeps_its_values(model: CompiledModel) -> None:
    """What a trace holds is its own: no later run writes into it."""
    kept = model.trace(random_inputs(model, seed=1))
    model.trace(random_inputs(model, seed=2))
    model.run(random_inputs(model, seed=3))
    assert array_roots(kept.values) == kept.data_roots
