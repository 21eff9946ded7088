"""From .onnx files to schemas and ids; what is refused, and how."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

import sworn
from sworn.codec import hashing
from sworn.engine.identification import model_id as id_in_profile
from sworn.errors import (
    ConfigurationError,
    ModelError,
    ModelMalformed,
    ModelTooLarge,
    ModelUnsupported,
    ProfileUnavailable,
)
from sworn.model import MAX_ARTIFACT_BYTES, identify_signed, read_artifact, schema_of
from sworn.types import DEFAULT_PROFILE, ZERO_HASH, DType, ModelId, Profile, Schema, TensorSpec


def model_id(model: bytes | Path | str, *, max_bytes: int = MAX_ARTIFACT_BYTES) -> ModelId:
    """The id in profile signed, which asks the least of a file."""
    return id_in_profile(model, profile="signed", max_bytes=max_bytes)


def value(name: str, dtype: int = TensorProto.FLOAT, shape: Any = (None, 4)) -> onnx.ValueInfoProto:
    """A tensor input or output."""
    return helper.make_tensor_value_info(name, dtype, shape)


def as_bytes(model: onnx.ModelProto) -> bytes:
    """What a file of the model holds."""
    return bytes(model.SerializeToString())


def linear(
    *,
    inputs: list[onnx.ValueInfoProto] | None = None,
    outputs: list[onnx.ValueInfoProto] | None = None,
    opsets: dict[str, int] | None = None,
) -> onnx.ModelProto:
    """Makes y = x w, a valid model unless told otherwise."""
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "linear",
        [value("x")] if inputs is None else inputs,
        [value("y", shape=("batch", 2))] if outputs is None else outputs,
        [numpy_helper.from_array(np.ones((4, 2), dtype=np.float32), "w")],
    )
    imports = [helper.make_opsetid(domain, version) for domain, version in (opsets or {"": 21}).items()]
    return helper.make_model(graph, opset_imports=imports, ir_version=10)


def changed(change: Callable[[onnx.ModelProto], object]) -> bytes:
    """The bytes of the linear model after a change."""
    model = linear()
    change(model)
    return as_bytes(model)


def make_external(tensor: onnx.TensorProto) -> None:
    """Points a tensor at a file outside the model."""
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")


def subgraph_with_external_data() -> bytes:
    """An If whose branch holds a tensor in another file."""
    tensor = numpy_helper.from_array(np.ones(4, dtype=np.float32), "c")
    make_external(tensor)
    branch = helper.make_graph([helper.make_node("Constant", [], ["c"], value=tensor)], "branch", [], [value("c")])
    node = helper.make_node("If", ["condition"], ["y"], then_branch=branch, else_branch=branch)
    graph = helper.make_graph([node], "g", [value("condition", TensorProto.BOOL, ())], [value("y")])
    return as_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10))


def function_model(*, op_type: str = "Double", external: bool = False) -> bytes:
    """A model that brings its own operator."""
    two = numpy_helper.from_array(np.array(2, dtype=np.float32), "two")
    if external:
        make_external(two)
    body = [helper.make_node("Constant", [], ["two"], value=two), helper.make_node("Mul", ["a", "two"], ["b"])]
    function = helper.make_function("own", "Double", ["a"], ["b"], body, [helper.make_opsetid("", 21)])
    graph = helper.make_graph([helper.make_node(op_type, ["x"], ["y"], domain="own")], "g", [value("x")], [value("y")])
    imports = [helper.make_opsetid("", 21), helper.make_opsetid("own", 1)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=10, functions=[function])
    return as_bytes(model)


def constant_model(*inputs: onnx.ValueInfoProto) -> bytes:
    """A model whose output depends on nothing."""
    weights = numpy_helper.from_array(np.ones((1, 4), dtype=np.float32), "w")
    graph = helper.make_graph([helper.make_node("Neg", ["w"], ["y"])], "g", list(inputs), [value("y")], [weights])
    return as_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10))


def typed(kind: onnx.TypeProto) -> bytes:
    """The linear model with an output of another kind."""
    output = onnx.ValueInfoProto(name="y", type=kind)
    return as_bytes(linear(outputs=[output]))


def foreign(operator: str, domain: str) -> bytes:
    """The linear model with its node of another domain, which is imported."""
    model = linear(opsets={"": 21, domain: 1})
    model.graph.node[0].op_type, model.graph.node[0].domain = operator, domain
    return as_bytes(model)


LINEAR = linear().SerializeToString()

UNSUPPORTED: dict[str, Callable[[], bytes]] = {
    "external initializer": lambda: changed(lambda m: make_external(m.graph.initializer[0])),
    "external entry without location flag": lambda: changed(
        lambda m: m.graph.initializer[0].external_data.add(key="location", value="/dev/zero")
    ),
    "external data in a subgraph": subgraph_with_external_data,
    "external data in a function": lambda: function_model(external=True),
    "operator that no function defines": lambda: function_model(op_type="Triple"),
    "operator of an unknown set": lambda: foreign("Relu", "com.example"),
    "unknown operator of a known foreign set": lambda: foreign("FusedMatMul", "com.microsoft"),
    "operator set from the future": lambda: linear(opsets={"": 999}).SerializeToString(),
    "ml operator set from the future": lambda: linear(opsets={"": 21, "ai.onnx.ml": 999}).SerializeToString(),
    "operator set zero": lambda: linear(opsets={"": 0}).SerializeToString(),
    "IR version from the future": lambda: changed(lambda m: setattr(m, "ir_version", 999)),
    "no inputs": constant_model,
    "only initializers as inputs": lambda: constant_model(value("w")),
    "no outputs": lambda: changed(lambda m: m.graph.ClearField("output")),
    "65 inputs": lambda: linear(inputs=[value("x")] + [value(f"i{i}") for i in range(64)]).SerializeToString(),
    "float16 input": lambda: linear(inputs=[value("x", TensorProto.FLOAT16)]).SerializeToString(),
    "string output": lambda: linear(outputs=[value("y", TensorProto.STRING)]).SerializeToString(),
    "unknown element type": lambda: linear(outputs=[value("y", 99)]).SerializeToString(),
    "rank 33": lambda: linear(outputs=[value("y", shape=(1,) * 33)]).SerializeToString(),
    "negative dimension": lambda: linear(outputs=[value("y", shape=(-2,))]).SerializeToString(),
    "huge dimension": lambda: linear(outputs=[value("y", shape=(2**32,))]).SerializeToString(),
    "sequence output": lambda: typed(
        helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, (1,)))
    ),
    "map output": lambda: typed(
        helper.make_map_type_proto(TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, (1,)))
    ),
    "optional output": lambda: typed(
        helper.make_optional_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, (1,)))
    ),
}

MALFORMED: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "text": lambda: b"not a model",
    "pickle": lambda: b"\x80\x04\x95\x0c\x00\x00\x00\x00\x00\x00\x00\x8c\x08builtins\x94.",
    "truncated": lambda: LINEAR[:-3],
    "no shape": lambda: linear(outputs=[value("y", shape=None)]).SerializeToString(),
    "no graph": lambda: onnx.ModelProto(ir_version=10).SerializeToString(),
    "no operator set": lambda: changed(lambda m: m.ClearField("opset_import")),
    "operator set twice": lambda: changed(lambda m: m.opset_import.add(domain="ai.onnx", version=20)),
    "unknown standard operator": lambda: changed(lambda m: setattr(m.graph.node[0], "op_type", "MatMuul")),
    "node without its input": lambda: changed(lambda m: m.graph.node[0].input.append("nowhere")),
    "name is not UTF-8": lambda: LINEAR.replace(b"\x01y", b"\x01\xff"),
    "same input twice": lambda: linear(inputs=[value("x"), value("x")]).SerializeToString(),
    "same output twice": lambda: linear(outputs=[value("y"), value("y")]).SerializeToString(),
    "output without a name": lambda: linear(outputs=[value("y"), value("")]).SerializeToString(),
    "deeply nested": lambda: b"\x3a\x0a" * 200 + b"\x0a" * 50,
}


def test_model_record_of_a_valid_model_holds_hash_and_schema() -> None:
    """Profile signed has no roots; the id is the hash of the record."""
    model, schema = identify_signed(LINEAR)
    assert schema == Schema(
        inputs=(TensorSpec(name="x", dtype=DType.FLOAT32, shape=(None, 4)),),
        outputs=(TensorSpec(name="y", dtype=DType.FLOAT32, shape=(None, 2)),),
    )
    assert (model.version, model.profile) == (1, Profile.SIGNED)
    assert model.artifact_hash == hashlib.sha256(LINEAR).digest()
    assert model.io_hash == hashing.io_hash(schema)
    assert model.program_root == model.weights_root == model.limits_hash == ZERO_HASH
    assert model_id(LINEAR) == hashing.model_id(model)


def test_model_id_of_a_path_equals_that_of_its_bytes(tmp_path: Path) -> None:
    """A file, its path as text and its bytes are the same model."""
    path = tmp_path / "linear.onnx"
    path.write_bytes(LINEAR)
    assert model_id(path) == model_id(str(path)) == model_id(LINEAR)


def test_model_id_changes_with_any_byte_of_the_artifact() -> None:
    """Another producer name makes another model."""
    assert model_id(changed(lambda m: setattr(m, "producer_name", "x"))) != model_id(LINEAR)


def test_schema_leaves_out_inputs_that_are_initializers() -> None:
    """Old exporters list weights as inputs."""
    model = linear(inputs=[value("w", shape=(4, 2)), value("x")])
    assert [spec.name for spec in schema_of(model.SerializeToString()).inputs] == ["x"]


def test_schema_of_dimensions_by_name_absence_or_minus_one_is_variable() -> None:
    """All three mean that the size may vary; zero and positive sizes are fixed."""
    model = linear(outputs=[value("y", shape=("n", None, -1, 0, 3))])
    assert schema_of(model.SerializeToString()).outputs[0].shape == (None, None, None, 0, 3)


def test_schema_of_a_model_with_its_own_functions_is_read() -> None:
    """Functions inside the model are part of it."""
    assert schema_of(function_model()).inputs[0].name == "x"


@pytest.mark.parametrize("make", UNSUPPORTED.values(), ids=UNSUPPORTED.keys())
def test_model_outside_what_runs_is_unsupported(make: Callable[[], bytes]) -> None:
    """Valid or nearly so, but refused with a reason."""
    with pytest.raises(ModelUnsupported):
        model_id(make())


@pytest.mark.parametrize("make", MALFORMED.values(), ids=MALFORMED.keys())
def test_file_that_is_no_valid_model_is_malformed(make: Callable[[], bytes]) -> None:
    """Whatever it is, the error is typed."""
    with pytest.raises(ModelMalformed):
        model_id(make())


@pytest.mark.parametrize("kind", ["sequence output", "map output"])
def test_refusal_of_sequences_and_maps_says_how_to_convert(kind: str) -> None:
    """The usual cause is scikit-learn's zipmap."""
    with pytest.raises(ModelUnsupported) as caught:
        model_id(UNSUPPORTED[kind]())
    assert "zipmap=False" in str(caught.value)


def test_model_id_without_profile_is_that_of_profile_exact() -> None:
    """One default everywhere: the id of the program that the compiler makes, with the shapes that were given."""
    shapes = {"x": (3, 4)}
    compiled = sworn.compile_model(LINEAR, input_shapes=shapes)
    assert compiled.model.profile is DEFAULT_PROFILE is Profile.EXACT
    assert id_in_profile(LINEAR, input_shapes=shapes) == compiled.model_id
    assert id_in_profile(LINEAR, input_shapes={"x": (2, 4)}) != compiled.model_id
    assert model_id(LINEAR) != compiled.model_id


def test_model_id_of_open_shapes_in_profile_exact_says_what_to_give() -> None:
    """A file that leaves its batch open has no id in profile exact before somebody fixes it."""
    with pytest.raises(ProfileUnavailable, match=r"input_shapes=\{'x': \(1, 4\)\}.*signed"):
        id_in_profile(LINEAR)


def test_model_id_of_a_model_that_cannot_be_lowered_names_node_reason_and_way_out() -> None:
    """Operator and node are named, and what profile signed would promise."""
    node = helper.make_node("NonZero", ["x"], ["y"], name="seek")
    graph = helper.make_graph([node], "g", [value("x", shape=(2, 2))], [value("y", TensorProto.INT64, (2, None))])
    artifact = as_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10))
    with pytest.raises(ProfileUnavailable, match=r"NonZero.*seek|seek.*NonZero") as caught:
        id_in_profile(artifact)
    assert Profile.SIGNED.promise in str(caught.value)
    assert model_id(artifact)


@pytest.mark.parametrize("profile", ["none", "EXACT", "", "exakt", Profile.NONE, 7])
def test_model_id_in_a_profile_that_is_none_is_a_configuration_error(profile: str) -> None:
    """The error lists the profiles."""
    with pytest.raises(ConfigurationError, match="exact, bounded, signed"):
        id_in_profile(LINEAR, profile=profile)


def test_model_id_in_profile_signed_with_shapes_is_refused() -> None:
    """There the file's own shapes count: other ones would name nothing."""
    with pytest.raises(ConfigurationError, match="no input shapes"):
        id_in_profile(LINEAR, profile="signed", input_shapes={"x": (1, 4)})


def test_external_data_is_refused_without_touching_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that names an existing file next to it does not get it read."""
    (tmp_path / "w.bin").write_bytes(bytes(32))
    monkeypatch.chdir(tmp_path)

    def point_at_file(model: onnx.ModelProto) -> None:
        make_external(model.graph.initializer[0])
        model.graph.initializer[0].external_data[0].value = "w.bin"

    (tmp_path / "m.onnx").write_bytes(changed(point_at_file))
    with pytest.raises(ModelUnsupported):
        model_id(tmp_path / "m.onnx")


def test_model_over_the_size_limit_is_refused_before_it_is_read(tmp_path: Path) -> None:
    """A sparse file of a terabyte costs nothing."""
    path = tmp_path / "huge.onnx"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ModelTooLarge):
        model_id(path)
    with pytest.raises(ModelTooLarge):
        schema_of(LINEAR, max_bytes=len(LINEAR) - 1)
    assert model_id(LINEAR, max_bytes=len(LINEAR)) == model_id(LINEAR)


def test_model_of_too_many_parts_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file can hold a part in two bytes; walking them is bounded."""
    monkeypatch.setattr("sworn.model.admission.MAX_PARTS", 10)
    with pytest.raises(ModelTooLarge):
        model_id(LINEAR)


def test_path_that_is_no_readable_file_raises(tmp_path: Path) -> None:
    """Missing files, directories, pipes and impossible names end in the same typed error, and none blocks."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "missing.onnx", tmp_path, tmp_path / "pipe", "/dev/zero", "a\x00b"):
        with pytest.raises(ModelError):
            read_artifact(path)


def identified_or_refused(artifact: bytes) -> ModelId | None:
    """The id, or None after a typed refusal; anything else is a failure of the test."""
    try:
        return model_id(artifact)
    except ModelError:
        return None


@given(st.binary(max_size=300))
def test_random_bytes_raise_a_typed_error(artifact: bytes) -> None:
    """Noise is never a model."""
    assert identified_or_refused(artifact) is None


@given(st.integers(0, len(LINEAR) - 1), st.binary(max_size=6), st.integers(0, 6))
def test_damaged_model_is_identified_as_another_or_refused(position: int, inserted: bytes, removed: int) -> None:
    """Cutting and splicing a valid file never ends in anything but another id or a typed error."""
    damaged = LINEAR[:position] + inserted + LINEAR[position + removed :]
    assert damaged == LINEAR or identified_or_refused(damaged) != model_id(LINEAR)
