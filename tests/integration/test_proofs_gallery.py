from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from tests.support.subjects import corrupted, faults_of, random_inputs

import sworn
from sworn.referee import check, decode_proof, encode_proof
from sworn.verification import CompiledModel

GALLERY = Path(sworn.__file__).parent / "testing" / "gallery_models"
MODELS = sorted(GALLERY.glob("*.onnx"))
#: Corruptions tried per rule and model.
TRIES = 6


@pytest.fixture(scope="module", params=MODELS, ids=lambda path: path.stem)
def model(request: pytest.FixtureRequest) -> CompiledModel:
    """A model of the gallery, compiled."""
    path: Path = request.param
    return sworn.compile_model(path)


def test_honest_traces_of_the_gallery_are_clean(model: CompiledModel) -> None:
    """No honest operator is ever accused."""
    for seed in range(3):
        assert model.audit(model.trace(random_inputs(model, seed=seed))) == []


def test_honest_traces_of_the_gallery_in_profile_bounded_are_clean(model: CompiledModel) -> None:
    """Nor where kernels are stock ones, on one thread or two."""
    path = next(path for path in MODELS if hashlib.sha256(path.read_bytes()).digest() == model.model.artifact_hash)
    for threads in (1, 2):
        bounded = sworn.compile_model(path, profile="bounded", threads=threads)
        assert bounded.audit(bounded.trace(random_inputs(bounded, seed=threads))) == []


def test_corruptions_of_every_rule_in_the_gallery_are_proved(model: CompiledModel) -> None:
    """From one unit in the last place up: found where they are, and proved to somebody who has the proof alone."""
    trace = model.trace(random_inputs(model, seed=9))
    generator = np.random.default_rng(1)
    inputs, tried = len(model.program.inputs), Counter[str]()
    for number in generator.permutation(len(model.program.steps)).tolist():
        rule = model.program.steps[number].rule.name
        array = trace.values[inputs + number]
        if tried[rule] == TRIES or not array.size:
            continue
        tried[rule] += 1
        index = int(generator.integers(array.size))
        bit = 0 if tried[rule] % 2 else int(generator.integers(8 * array.itemsize))
        lie = corrupted(trace, inputs + number, index, trace.bits(inputs + number, index) ^ 1 << bit)
        found = [f for f in faults_of(model, lie) if (f.value, f.index) == (inputs + number, index)]
        assert found, model.step_names[number]
        assert check(decode_proof(encode_proof(found[0].proof()))), model.step_names[number]
    assert tried.keys() == {step.rule.name for step in model.program.steps}
