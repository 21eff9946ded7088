"""`sworn model compile|run|trace|audit|slack`: what anyone can check without a chain."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.support.command_line import CommandLine

import sworn
from sworn.cli.exit_codes import ExitCode
from sworn.testing.models import example_rows, load_model
from sworn.verification.slack import measure

ROW = example_rows("diabetes_progression")[0]
INPUT = "features=" + json.dumps(ROW.inputs["features"].tolist())


@pytest.fixture
def line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """The command line, without a chain."""
    return CommandLine(capsys, monkeypatch)


@pytest.fixture
def model(tmp_path: Path) -> str:
    """Path of a model file."""
    path = tmp_path / "model.onnx"
    path.write_bytes(load_model("diabetes_progression"))
    return str(path)


def test_model_compile_shows_identity_and_every_step(line: CommandLine, model: str) -> None:
    """The id is the one that the library computes, and the program is complete."""
    compiled = sworn.compile_model(model)

    document = line.json("model", "compile", model)

    assert document["model_id"] == "0x" + compiled.model_id.hex()
    assert document["profile"] == "exact"
    assert len(document["program"]) == document["steps"] == len(compiled.program.steps)
    assert {"rule", "function", "tensor", "terms", "proof_bytes", "proof_gas", "name"} <= set(document["program"][0])


def test_model_compile_in_profile_bounded_is_another_model_of_the_same_steps(line: CommandLine, model: str) -> None:
    """The profile is part of the identity; the program is the same."""
    exact, bounded = (line.json("model", "compile", model, "--profile", name) for name in ("exact", "bounded"))

    assert (exact["profile"], bounded["profile"]) == ("exact", "bounded")
    assert exact["model_id"] != bounded["model_id"]
    assert exact["program"] == bounded["program"]


def test_model_compile_in_an_unknown_profile_is_a_usage_error(line: CommandLine, model: str) -> None:
    """Only profiles in which runs can be checked are offered."""
    error = line.failed("model", "compile", model, "--profile", "signed")

    assert error["exit_code"] == ExitCode.USAGE
    assert "bounded" in error["message"]


def test_model_compile_for_people_is_a_table(line: CommandLine, model: str) -> None:
    """Without --json the steps are a table."""
    outcome = line.run("model", "compile", model)

    assert outcome.code == ExitCode.OK
    assert "contract" in outcome.out
    assert "program root" in outcome.out


def test_model_run_gives_outputs_of_profile_exact(line: CommandLine, model: str) -> None:
    """The answer agrees with the estimator to rounding, and with the library to the bit."""
    document = line.json("model", "run", model, "--input", INPUT)

    found = np.array(document["outputs"]["progression"], dtype=np.float32)
    np.testing.assert_array_equal(found, sworn.compile_model(model).run(ROW.inputs)["progression"])
    np.testing.assert_allclose(found, ROW.outputs["progression"], rtol=1e-4)


def test_model_trace_commits_to_every_tensor(line: CommandLine, model: str) -> None:
    """One root per tensor, and the trace root that a challenger would compute."""
    trace = sworn.compile_model(model).trace(ROW.inputs)

    document = line.json("model", "trace", model, "--input", INPUT)

    assert document["trace_root"] == "0x" + trace.root.hex()
    assert document["tensor_roots"] == ["0x" + root.hex() for root in trace.tensor_roots]


def test_model_audit_of_honest_run_finds_nothing(line: CommandLine, model: str) -> None:
    """Every element is checked again, and none is wrong."""
    document = line.json("model", "audit", model, "--input", INPUT)

    assert document["faults"] == []
    assert document["elements_checked"] > 40


@pytest.mark.parametrize(("profile", "said"), [("exact", "has the bits"), ("bounded", "lies within the bounds")])
def test_model_audit_for_people_says_what_was_found(line: CommandLine, model: str, profile: str, said: str) -> None:
    """No fault is a sentence, not an empty line."""
    outcome = line.run("model", "audit", model, "--input", INPUT, "--profile", profile)

    assert outcome.code == ExitCode.OK
    assert said in outcome.out


def test_model_slack_is_what_the_library_measures(line: CommandLine, model: str) -> None:
    """The figures are `measure`'s, with what they mean for the output's size."""
    found = measure(sworn.compile_model(model, profile="bounded"), ROW.inputs)

    document = line.json("model", "slack", model, "--input", INPUT)

    (output,) = document["outputs"]
    assert output["reached"] == found.outputs[0].reached > 0
    assert output["relative"] == pytest.approx(output["reached"] / output["scale"])
    assert output["margin"] is None
    assert document["free_elements"] == found.free_elements


def test_model_slack_for_people_says_what_the_number_means(line: CommandLine, model: str) -> None:
    """A sentence tells who pushed what how far, and that an audit passed."""
    outcome = line.run("model", "slack", model, "--input", INPUT)

    assert outcome.code == ExitCode.OK
    assert "progression[0]" in outcome.out
    assert "an audit finds nothing wrong" in outcome.out


def test_model_slack_in_profile_exact_says_that_there_is_none(line: CommandLine, model: str) -> None:
    """Where every element has one value there is nothing to measure."""
    error = line.failed("model", "slack", model, "--input", INPUT, "--profile", "exact")

    assert error["type"] == "ConfigurationError"
    assert "bounded" in error["message"]


def test_model_run_with_wrong_shape_says_what_is_expected(line: CommandLine, model: str) -> None:
    """An input that does not fit is refused with name, expected and given shape."""
    error = line.failed("model", "run", model, "--input", "features=[[1.0]]")

    assert error["type"] == "ShapeMismatch"
    assert "features" in error["message"]


@pytest.mark.parametrize("shape", ["features", "=1,2", "features=a,b"])
def test_model_compile_with_malformed_shape_says_how_to_write_it(line: CommandLine, model: str, shape: str) -> None:
    """A shape that cannot be read is a typed error with an example."""
    error = line.failed("model", "compile", model, "--shape", shape)

    assert "name=1,3,32" in error["message"]


def test_model_compile_of_garbage_is_a_typed_error(line: CommandLine, tmp_path: Path) -> None:
    """A file that is no model ends with a message, not with a traceback."""
    path = tmp_path / "model.onnx"
    path.write_bytes(b"\x00garbage")

    error = line.failed("model", "compile", str(path))

    assert error["type"] == "ModelMalformed"
