from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.support.graphs import build
from tests.support.subjects import corrupted, faults_of, random_inputs

import sworn
from sworn.errors import ModelError, ModelUnsupported
from sworn.model.encoding import decode_program, encode_program
from sworn.model.footprint import footprint
from sworn.model.limits import limits_of
from sworn.referee import FaultKind, check, decode_proof, encode_proof
from sworn.types import Profile
from sworn.verification import CompiledModel

FLOAT = TensorProto.FLOAT


def constant(name: str, *shape: int) -> TensorProto:
    """Seeded weights of a sensible size."""
    generator = np.random.default_rng(len(name) + sum(shape))
    spread = 1 / np.sqrt(np.prod(shape[1:], dtype=float)) if len(shape) > 1 else 0.1
    return numpy_helper.from_array((generator.standard_normal(shape) * spread).astype(np.float32), name)


def logistic_regression() -> bytes:
    """Thirty features, a probability for each of four rows."""
    nodes = [helper.make_node("Gemm", ["x", "w", "b"], ["z"], transB=1), helper.make_node("Sigmoid", ["z"], ["y"])]
    constants = [constant("w", 1, 30), constant("b", 1)]
    return build(nodes, [("x", FLOAT, [4, 30])], [("y", FLOAT, [4, 1])], constants)


def perceptron() -> bytes:
    """Two hidden layers and a softmax."""
    nodes = [
        helper.make_node("Gemm", ["x", "w1", "b1"], ["h1"], transB=1),
        helper.make_node("Relu", ["h1"], ["r1"]),
        helper.make_node("MatMul", ["r1", "w2"], ["m2"]),
        helper.make_node("Add", ["m2", "b2"], ["h2"]),
        helper.make_node("Tanh", ["h2"], ["r2"]),
        helper.make_node("Gemm", ["r2", "w3", "b3"], ["z"], transB=1),
        helper.make_node("Softmax", ["z"], ["y"], axis=1),
    ]
    shapes = {"w1": (64, 20), "b1": (64,), "w2": (64, 32), "b2": (32,), "w3": (5, 32), "b3": (5,)}
    constants = [constant(name, *shape) for name, shape in shapes.items()]
    return build(nodes, [("x", FLOAT, [3, 20])], [("y", FLOAT, [3, 5])], constants)


def convolutional() -> bytes:
    """Digits of 12 × 12: two convolutions, padded pooling, batch normalisation, a dense layer, and the best class."""
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("MaxPool", ["r1"], ["p1"], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["p1", "w2"], ["c2"], group=2, strides=[2, 2]),
        helper.make_node("BatchNormalization", ["c2", "s", "b", "m", "v"], ["n2"]),
        helper.make_node("GlobalAveragePool", ["n2"], ["g"]),
        helper.make_node("Flatten", ["g"], ["f"]),
        helper.make_node("Gemm", ["f", "w3", "b3"], ["y"], transB=1),
        helper.make_node("ArgMax", ["y"], ["best"], axis=1, keepdims=0),
    ]
    shapes = {"w1": (8, 1, 3, 3), "b1": (8,), "w2": (12, 4, 3, 3), "s": (12,), "b": (12,), "m": (12,)}
    shapes |= {"w3": (10, 12), "b3": (10,)}
    constants = [constant(name, *shape) for name, shape in shapes.items()]
    constants.append(numpy_helper.from_array(np.linspace(0.5, 2, 12, dtype=np.float32), "v"))
    outputs = [("y", FLOAT, [1, 10]), ("best", TensorProto.INT64, [1])]
    return build(nodes, [("x", FLOAT, [1, 1, 12, 12])], outputs, constants)


MODELS = {"logistic regression": logistic_regression, "perceptron": perceptron, "convolutional": convolutional}


@pytest.fixture(scope="module", params=MODELS)
def artifact(request: pytest.FixtureRequest) -> bytes:
    """An .onnx file."""
    make: Callable[[], bytes] = MODELS[request.param]
    return make()


@pytest.fixture(scope="module")
def model(artifact: bytes) -> CompiledModel:
    """The same, compiled."""
    return sworn.compile_model(artifact)


@pytest.fixture(scope="module")
def bounded(artifact: bytes) -> CompiledModel:
    """The same in profile `bounded`."""
    return sworn.compile_model(artifact, profile="bounded")


def test_compiled_model_agrees_with_onnxruntime_to_tolerance(artifact: bytes, model: CompiledModel) -> None:
    """The canonical program means what the file means."""
    inputs = random_inputs(model, seed=3)
    session = onnxruntime.InferenceSession(artifact, providers=["CPUExecutionProvider"])
    names = [spec.name for spec in model.schema.outputs]
    outputs = model.run(inputs)
    for name, expected in zip(names, session.run(names, dict(inputs)), strict=True):
        assert outputs[name].shape == expected.shape and outputs[name].dtype == expected.dtype
        np.testing.assert_allclose(outputs[name], expected, rtol=1e-4, atol=1e-5)


def test_honest_trace_of_a_compiled_model_is_clean(model: CompiledModel) -> None:
    """Nothing to find, and the answer is the same as without a trace."""
    inputs = random_inputs(model, seed=4)
    trace = model.trace(inputs)
    assert model.audit(trace) == []
    outputs = model.run(inputs)
    assert all(outputs[name].tobytes() == array.tobytes() for name, array in trace.outputs.items())


def test_honest_traces_in_profile_bounded_are_clean(model: CompiledModel, bounded: CompiledModel) -> None:
    """Those of stock kernels, and exact ones too; the same program has another id."""
    inputs = random_inputs(model, seed=4)
    assert bounded.audit(bounded.trace(inputs)) == []
    assert bounded.audit(replace(bounded, executor=model.executor).trace(inputs)) == []
    assert bounded.program == model.program and bounded.model_id != model.model_id
    assert bounded.model.profile is Profile.BOUNDED


def test_corruption_beyond_the_bound_of_a_compiled_model_is_proved(bounded: CompiledModel) -> None:
    """The highest bit of a significand, or the lowest of an integer, in one element of each step."""
    trace = bounded.trace(random_inputs(bounded, seed=5))
    generator = np.random.default_rng(0)
    inputs = len(bounded.program.inputs)
    for value in range(inputs, len(trace.values)):
        array = trace.values[value]
        index = int(generator.integers(array.size))
        mask = 1 if array.dtype != np.float32 else 0xBF800000 if not array.reshape(-1)[index] else 1 << 22
        lie = corrupted(trace, value, index, trace.bits(value, index) ^ mask)
        found = [f for f in faults_of(bounded, lie) if (f.value, f.index) == (value, index)]
        assert found and check(decode_proof(encode_proof(found[0].proof()))), bounded.step_names[value - inputs]


def test_corruption_of_any_step_of_a_compiled_model_is_proved(model: CompiledModel) -> None:
    """One unit in the last place, in one element of each step: found, proved, and the proof fits a transaction."""
    trace = model.trace(random_inputs(model, seed=5))
    generator = np.random.default_rng(0)
    inputs = len(model.program.inputs)
    for value in range(inputs, len(trace.values)):
        index = int(generator.integers(trace.values[value].size))
        lie = corrupted(trace, value, index, trace.bits(value, index) ^ 1)
        found = [f for f in faults_of(model, lie) if (f.value, f.index) == (value, index)]
        assert found and found[0].kind is FaultKind.ELEMENT, model.step_names[value - inputs]
        data = encode_proof(found[0].proof())
        assert check(decode_proof(data)), model.step_names[value - inputs]
        assert (
            len(data)
            <= footprint(model.program, value - inputs).proof_bytes
            <= limits_of(Profile.EXACT).max_proof_bytes
        )


def test_compiled_model_twice_has_one_id(artifact: bytes, model: CompiledModel, tmp_path: Path) -> None:
    """From bytes or from a file: the same id, and a program that comes back from its bytes."""
    path = tmp_path / "model.onnx"
    path.write_bytes(artifact)
    assert sworn.compile_model(path, threads=2).model_id == model.model_id
    assert decode_program(encode_program(model.program)) == model.program


def test_compile_of_shapes_or_profiles_that_do_not_exist_raises(tmp_path: Path) -> None:
    """Shapes are part of the id, open ones have to be given; two profiles have programs."""
    relu = [helper.make_node("Relu", ["x"], ["y"])]
    open_shape = build(relu, [("x", FLOAT, ["n", 2])], [("y", FLOAT, ["n", 2])])
    with pytest.raises((ModelError, sworn.SwornError)):
        sworn.compile_model(open_shape)
    ids = {sworn.compile_model(open_shape, input_shapes={"x": (size, 2)}).model_id for size in (1, 2)}
    assert len(ids) == 2
    for profile in ("signed", "EXACT", ""):
        with pytest.raises(ModelUnsupported):
            sworn.compile_model(perceptron(), profile=profile)
    with pytest.raises(ModelError):
        sworn.compile_model(tmp_path / "missing.onnx")
