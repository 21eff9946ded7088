"""Every model of the gallery: as its card says, in onnxruntime, compiled in both profiles, and checked by anyone."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.support.runtime import PlainSession

import sworn
from sworn.engine.exact import ExactExecutor
from sworn.errors import ConfigurationError
from sworn.model import schema_of
from sworn.testing import gallery
from sworn.testing.models import ExampleRow
from sworn.verification.slack import measure

NAMES = gallery.names()
PROFILES = ("exact", "bounded")
#: Classifiers in floats; a hundred measurements of the larger ones are too much for every day.
CLASSIFIERS = ["logistic", "mlp", "forest", "boosting"]
LARGE_CLASSIFIERS = ["cnn", "transformer"]
MAX_FILE_BYTES, MAX_TOTAL_BYTES = 400_000, 2_000_000
#: What the scores of held-out rows must reach: a model that learned nothing shows nothing.
LEAST = {"accuracy": 0.95, "r2": 0.35}


@cache
def session(name: str) -> PlainSession:
    """A model in onnxruntime, loaded once."""
    return PlainSession(gallery.load(name))


@cache
def compiled(name: str, profile: str = "exact") -> sworn.CompiledModel:
    """A model in a profile, compiled once."""
    return sworn.compile_model(gallery.load(name), profile=profile)


def assert_close(found: Mapping[str, NDArray[Any]], expected: Mapping[str, NDArray[Any]], tolerance: float) -> None:
    """Same names, dtypes, shapes; integers equal, floats within ``tolerance`` of the tensor's greatest magnitude."""
    assert list(found) == list(expected)
    for name, values in expected.items():
        assert found[name].dtype == values.dtype and found[name].shape == values.shape
        bound = tolerance * float(np.max(np.abs(values))) if values.dtype.kind == "f" else 0
        assert float(np.max(np.abs(found[name].astype(np.float64) - values))) <= bound


def varied(row: ExampleRow, *, seed: int) -> dict[str, NDArray[Any]]:
    """Inputs beside a real row, by a seed: every element up to a tenth more or less."""
    generator = np.random.default_rng(seed)
    return {
        name: (values * generator.uniform(0.9, 1.1, values.shape)).astype(values.dtype)
        for name, values in row.inputs.items()
    }


def test_gallery_cards_describe_the_files_that_lie_beside_them() -> None:
    """Hashes and sizes are right, sizes are small, nothing lies there without a card."""
    folder = Path(gallery.__file__).parent / "gallery_models"
    total = 0
    for name in NAMES:
        card, artifact = gallery.card(name), gallery.load(name)
        assert card["sha256"] == hashlib.sha256(artifact).hexdigest()
        assert card["bytes"] == len(artifact) <= MAX_FILE_BYTES
        total += len(artifact)
    assert total <= MAX_TOTAL_BYTES
    assert {path.name for path in folder.glob("*.onnx")} == {gallery.card(name)["file"] for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_gallery_scores_of_every_model_show_that_it_learned(name: str) -> None:
    """Classifiers are right nearly always, regressions explain something, and each names its data and licence."""
    card = gallery.card(name)
    if card["metric"] == "mse":
        assert card["score"] < 0.05 * card["held_out_variance"]
    else:
        assert card["score"] >= LEAST[card["metric"]]
    assert all(card[key] for key in ("data", "licence", "estimator", "meaning", "operators"))


@pytest.mark.parametrize("name", NAMES)
def test_gallery_schema_of_every_model_is_the_cards(name: str) -> None:
    """Names, dtypes and shapes are what the card states, with every dimension fixed."""
    schema = schema_of(gallery.load(name))
    for specs, side in ((schema.inputs, "inputs"), (schema.outputs, "outputs")):
        stated = [(entry["name"], entry["dtype"], tuple(entry["shape"])) for entry in gallery.card(name)[side]]
        assert [(spec.name, str(spec.dtype.numpy), spec.shape) for spec in specs] == stated


@pytest.mark.parametrize("name", NAMES)
def test_gallery_rows_in_onnxruntime_give_what_the_card_says(name: str) -> None:
    """Three rows that nobody trained on give the outputs on the card."""
    rows = gallery.rows(name)
    assert len(rows) == 3
    for row in rows:
        assert_close(session(name).run(row.inputs), row.outputs, 1e-5)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", NAMES)
def test_gallery_models_compiled_agree_with_onnxruntime(name: str, profile: str) -> None:
    """Both profiles give onnxruntime's outputs up to rounding, on real rows and beside them."""
    for number, row in enumerate(gallery.rows(name)):
        for inputs in (row.inputs, varied(row, seed=number)):
            expected = session(name).run(inputs)
            assert_close(compiled(name, profile).run(inputs), expected, 1e-4)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", NAMES)
def test_gallery_traces_of_honest_runs_hold_no_faults(name: str, profile: str) -> None:
    """Whoever audits an honest run finds nothing, and its outputs are the run's."""
    model = compiled(name, profile)
    for number, row in enumerate(gallery.rows(name)):
        for inputs in (row.inputs, varied(row, seed=number)):
            trace = model.trace(inputs)
            assert_close(trace.outputs, model.run(inputs), 0.0)
            assert model.audit(trace) == []


@pytest.mark.parametrize("name", NAMES)
def test_gallery_models_in_both_profiles_differ_in_their_id_alone(name: str) -> None:
    """One lowering serves both profiles; the id says which one a result was promised in."""
    exact, bounded = (compiled(name, profile) for profile in PROFILES)
    assert exact.program == bounded.program
    assert exact.model_id != bounded.model_id


@pytest.mark.parametrize(
    "name", [*CLASSIFIERS, *(pytest.param(name, marks=pytest.mark.slow) for name in LARGE_CLASSIFIERS)]
)
@pytest.mark.timeout(900)
def test_gallery_classes_of_random_inputs_are_equal_wherever_the_lead_is_safe(name: str) -> None:
    """In a hundred inputs between rows, a lead above the slack gives one class in both profiles and in onnxruntime."""
    rows, generator, safe = gallery.rows(name), np.random.default_rng(11), 0
    (key,) = rows[0].inputs
    for _ in range(100):
        shares = generator.dirichlet(np.full(len(rows), 0.5))
        mixed = sum(share * row.inputs[key] for share, row in zip(shares, rows, strict=True))
        inputs = {key: np.asarray(mixed, dtype=np.float32)}
        output = measure(compiled(name, "bounded"), inputs, steps=1, restarts=0, examined=4).outputs[-1]
        assert output.margin is not None
        answers = [compiled(name, profile).run(inputs) for profile in PROFILES]
        answers.append(session(name).run(inputs))
        if output.margin.is_safe:
            safe += 1
            assert {int(np.argmax(answer[output.name])) for answer in answers} == {output.margin.top}
    assert safe >= 80


@pytest.mark.parametrize("name", NAMES)
def test_gallery_models_without_compiled_kernels_give_the_same_bits(name: str) -> None:
    """Every tensor of a run is the same with numpy alone."""
    model = compiled(name)
    plain = ExactExecutor(model.program, model.weights, accelerate=False)
    for row in gallery.rows(name):
        inputs = [row.inputs[spec.name] for spec in model.schema.inputs]
        expected = model.executor.run(inputs, keep=True)
        found = plain.run(inputs, keep=True)
        assert found.keys() == expected.keys()
        assert all(found[number].tobytes() == array.tobytes() for number, array in expected.items())


def test_gallery_with_an_unknown_name_says_which_there_are() -> None:
    """A name that is not in the gallery is a mistake of the caller."""
    with pytest.raises(ConfigurationError) as caught:
        gallery.load("mona_lisa")
    assert "transformer" in str(caught.value)


def test_gallery_module_without_training_libraries_loads() -> None:
    """Loading models needs nothing that trained them."""
    for module in ("gallery", "models"):
        tree = ast.parse((Path(gallery.__file__).parent / f"{module}.py").read_text(encoding="utf-8"))
        imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        imported |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        assert not {"sklearn", "torch", "onnx", "onnxruntime"} & {(name or "").split(".")[0] for name in imported}
