"""Well-known networks at full size, with weights as if trained: compiled, they say what onnxruntime says."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

import sworn
from gallery_light import SEED, light_network
from sworn.engine import RunLimits
from sworn.engine.onnx_engine import OnnxEngine

LIMITS = RunLimits(timeout_s=60.0)
SMALL = ("squeezenet", "shufflenet")
LARGE = ("bvlc_alexnet", "densenet121", "inception_v1", "inception_v2", "resnet50")
NETWORKS = [*SMALL, *(pytest.param(name, marks=pytest.mark.slow) for name in LARGE)]
#: Float32 networks of a hundred layers, in which the two add in different orders.
TOLERANCE = 1e-5


def image() -> NDArray[Any]:
    """Standard normal pixels, float32 [1, 3, 224, 224], seeded."""
    return np.random.default_rng(SEED).standard_normal((1, 3, 224, 224), dtype=np.float32)


@pytest.mark.parametrize("name", NETWORKS)
def test_light_networks_compiled_agree_with_onnxruntime(name: str) -> None:
    """Of a thousand different outputs each is onnxruntime's, up to rounding."""
    artifact = light_network(name)
    model = sworn.compile_model(artifact)
    inputs = {model.schema.inputs[0].name: image()}
    with OnnxEngine() as engine:
        (expected,) = engine.run(artifact, inputs, limits=LIMITS).values()
    (found,) = model.run(inputs).values()
    assert len(np.unique(expected)) > 500
    assert float(np.max(np.abs(found - expected))) <= TOLERANCE * float(np.max(expected))


def test_light_networks_traced_and_audited_hold_no_faults() -> None:
    """Millions of elements of an honest run, and not one to complain about."""
    model = sworn.compile_model(light_network("squeezenet"))
    trace = model.trace({model.schema.inputs[0].name: image()})
    assert sum(model.program.value(number).elements for number in range(model.subject.value_count)) > 2_000_000
    assert model.audit(trace) == []


def test_light_networks_made_twice_are_the_same_bytes() -> None:
    """Seeds decide every weight; no constant is left to be computed at run time."""
    artifact = light_network("squeezenet")
    assert artifact == light_network("squeezenet")
    assert "ConstantOfShape" not in {node.op_type for node in onnx.load_from_string(artifact).graph.node}
