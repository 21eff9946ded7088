from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from tests.support.bounded_runs import check_run, prefer_kernels

import sworn
from gallery_light import light_network
from sworn.engine.bounded import BoundedExecutor
from sworn.engine.bounded.kernels import KernelPart
from sworn.testing import gallery

Array = NDArray[Any]


@cache
def compiled(name: str) -> Any:
    """A model of the gallery as a program."""
    return sworn.compile_model(gallery.load(name))


def inputs_of(name: str, row: int) -> list[Array]:
    """A held-out row."""
    given = gallery.rows(name)[row].inputs
    return [np.asarray(given[spec.name]) for spec in compiled(name).schema.inputs]


@pytest.mark.parametrize("name", gallery.names())
@pytest.mark.parametrize("kernels", [True, False])
def test_gallery_runs_are_admissible(name: str, monkeypatch: pytest.MonkeyPatch, *, kernels: bool) -> None:
    """In onnxruntime as in the exact executor, every step of every trained model, and answers are their traces'."""
    if kernels:
        prefer_kernels(monkeypatch)
    model = compiled(name)
    check_run(model.program, model.weights, inputs_of(name, 0), most=25)


@pytest.mark.parametrize("name", ["mlp", "cnn", "lstm", "transformer", "cnn_int8", "cnn_int8_operators"])
def test_gallery_networks_need_no_step_outside_of_onnxruntime(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One session holds a whole network; only sums of bytes, which are part of a larger node, come later."""
    prefer_kernels(monkeypatch)
    model = compiled(name)
    executor = BoundedExecutor(model.program, model.weights)
    (part,) = executor.plan.parts
    assert isinstance(part, KernelPart)
    asked = {number for number, step in enumerate(model.program.steps) if not step.virtual}
    # A last step of another number type than kernels convert to may be left over.
    assert len(asked - executor.plan.kernel_steps - executor.plan.deferred) == 0


@pytest.mark.parametrize("name", ["squeezenet"])
def test_light_network_is_one_graph_without_transposes(name: str) -> None:
    """A network at full size: channels stay first from one convolution to the next, and sampled elements hold."""
    model = sworn.compile_model(light_network(name))
    taken = np.random.default_rng(1).standard_normal((1, 3, 224, 224)).astype(np.float32)
    executor = check_run(model.program, model.weights, [taken], most=2)
    (part,) = executor.plan.parts
    assert isinstance(part, KernelPart)
    nodes = [node.op_type for node in onnx.load_from_string(part.plain_model.artifact).graph.node]
    assert "Transpose" not in nodes
    assert nodes.count("FusedConv") == 26
