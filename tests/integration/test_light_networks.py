"""Well-known networks at full size, with weights as if trained: run, traced and checked in both profiles."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from tests.support.runtime import PlainSession

import sworn
from gallery_light import SEED, light_network
from sworn.verification import CompiledModel

PROFILES = ("exact", "bounded")
SMALL = ("squeezenet", "shufflenet")
LARGE = ("bvlc_alexnet", "densenet121", "inception_v1", "inception_v2", "resnet50", "vgg19", "zfnet512")
#: The large ones take minutes and up to seven gigabytes.
LONG = (pytest.mark.slow, pytest.mark.timeout(3600))
NETWORKS = [*SMALL, *(pytest.param(name, marks=LONG) for name in LARGE)]
#: Float32 networks of a hundred layers, in which the two add in different orders.
TOLERANCE = 1e-5
#: Images whose classes are compared, and how far the first class must be ahead of the second, as a share of all scores'
#: range, to be called clear.
IMAGES, CLEAR = 100, 1e-3


@pytest.fixture(autouse=True)
def freed() -> Iterator[None]:
    """Gigabytes of one network are gone before the next."""
    yield
    gc.collect()


def image(model: CompiledModel, *, seed: int = SEED) -> dict[str, NDArray[Any]]:
    """Standard normal pixels, float32 [1, 3, 224, 224], seeded, by the input's name."""
    pixels = np.random.default_rng(seed).standard_normal((1, 3, 224, 224), dtype=np.float32)
    return {model.schema.inputs[0].name: pixels}


def only(outputs: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    """The one output, flat."""
    (found,) = outputs.values()
    return found.reshape(-1)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", NETWORKS)
def test_light_networks_run_as_in_onnxruntime_and_audit_clean(name: str, profile: str, tmp_path: Path) -> None:
    """Of a thousand different outputs each is onnxruntime's, up to rounding; of millions of elements none is wrong."""
    artifact = light_network(name)
    model = sworn.compile_model(artifact, profile=profile)
    expected = only(PlainSession(artifact).run(image(model)))
    del artifact
    outputs = model.run(image(model))
    assert len(np.unique(only(outputs))) > 500
    assert float(np.max(np.abs(only(outputs) - expected))) <= TOLERANCE * float(np.max(np.abs(expected)))
    trace = model.trace(image(model), path=tmp_path / "trace")
    assert only(trace.outputs).tobytes() == only(outputs).tobytes()
    assert sum(model.program.value(number).elements for number in range(model.subject.value_count)) > 1_500_000
    assert model.audit(trace) == []
    assert model.load_trace(tmp_path / "trace").root == trace.root


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", [*SMALL, *LARGE])
def test_light_networks_choose_the_class_that_onnxruntime_chooses(name: str, profile: str) -> None:
    """On random images, wherever the choice is clear: which is nearly everywhere."""
    artifact = light_network(name)
    model = sworn.compile_model(artifact, profile=profile)
    session = PlainSession(artifact)
    del artifact
    clear = 0
    for seed in range(IMAGES):
        inputs = image(model, seed=seed)
        expected, found = only(session.run(inputs)), only(model.run(inputs))
        second, first = np.sort(expected)[-2:]
        if first - second > CLEAR * (first - expected.min()):
            clear += 1
            assert int(np.argmax(found)) == int(np.argmax(expected)), seed
    assert clear >= 0.8 * IMAGES


def test_light_networks_made_twice_are_the_same_bytes() -> None:
    """Seeds decide every weight; no constant is left to be computed at run time."""
    artifact = light_network("squeezenet")
    assert artifact == light_network("squeezenet")
    assert "ConstantOfShape" not in {node.op_type for node in onnx.load_from_string(artifact).graph.node}
