from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.support.conformance import cases
from tests.support.exactness import FLOAT, Array, assert_exact, evaluate, one_node

from sworn.errors import ModelUnsupported
from sworn.model.compiler import lower
from sworn.model.program import Rule

PLACES, BATCH, INPUTS, HIDDEN = 4, 3, 5, 6
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
CASES = cases(frozenset(GATES))


def layer(
    operator: str,
    *,
    direction: str = "forward",
    bare: bool = False,
    peepholes: bool = False,
    lengths: list[int] | None = None,
    opset: int = 22,
    **more: Any,
) -> tuple[bytes, dict[str, Array]]:
    """A layer and what to feed it; ``bare`` leaves out biases and initial states, which are inputs otherwise."""
    random, gates, count = np.random.default_rng(1), GATES[operator], 1 + (direction == "bidirectional")

    def floats(*shape: int) -> Array:
        return (random.standard_normal(shape) * 0.6).astype(np.float32)

    state = (count, BATCH, HIDDEN)
    inputs: dict[str, Array | None] = {
        "x": floats(PLACES, BATCH, INPUTS),
        "w": floats(count, gates * HIDDEN, INPUTS),
        "r": floats(count, gates * HIDDEN, HIDDEN),
        "b": None if bare else floats(count, 2 * gates * HIDDEN),
        "lengths": None if lengths is None else np.array(lengths, np.int32),
        "h": None if bare else floats(*state),
    }
    if operator == "LSTM":
        inputs["c"] = None if bare else floats(*state)
        inputs["p"] = floats(count, 3 * HIDDEN) if peepholes else None
    fed = [name for name in ("x", "h", "c") if inputs.get(name) is not None]
    outputs = [(FLOAT, [PLACES, *state])] + [(FLOAT, [*state])] * (2 if operator == "LSTM" else 1)
    more = {"hidden_size": HIDDEN, "direction": direction, **more}
    model = one_node(operator, inputs, outputs, fed=fed, opset=opset, **more)
    return model, {name: array for name, array in inputs.items() if name in fed and array is not None}


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("operator", GATES)
@pytest.mark.parametrize(
    "more",
    [{"opset": 7}, {"opset": 14, "bare": True}, {"clip": 0.25}, {"lengths": [PLACES] * BATCH}],
    ids=["full", "bare", "clipped", "lengths"],
)
def test_layer_agrees_with_onnxruntime(operator: str, direction: str, more: dict[str, Any]) -> None:
    """All directions, with and without biases, initial states, clipping and stated lengths."""
    assert_exact(*layer(operator, direction=direction, **more), rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("clip", [{}, {"clip": 0.25}], ids=["", "clipped"])
@pytest.mark.parametrize(
    ("operator", "more"),
    [
        ("LSTM", {"peepholes": True}),
        ("LSTM", {"input_forget": 1}),
        ("LSTM", {"input_forget": 1, "peepholes": True, "direction": "bidirectional"}),
        ("LSTM", {"activations": ["Sigmoid", "Relu", "Tanh"]}),
        ("GRU", {"linear_before_reset": 1}),
        ("GRU", {"linear_before_reset": 1, "direction": "bidirectional", "bare": True}),
        ("GRU", {"activations": ["Tanh", "Relu"]}),
        ("RNN", {"activations": ["Relu", "Tanh"], "direction": "bidirectional"}),
    ],
)
def test_variant_of_layer_agrees_with_onnxruntime(operator: str, more: dict[str, Any], clip: dict[str, Any]) -> None:
    """Peepholes, coupled gates, a product before the reset, other activations."""
    assert_exact(*layer(operator, **more, **clip), rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_layer_of_onnx_gives_the_expected_values(case: Any) -> None:
    """The onnx package's own tests, batch first included; lengths as an input are refused."""
    if case.name == "test_lstm_with_peepholes":
        with pytest.raises(ModelUnsupported, match="must be constant"):
            lower(case.model, evaluate=evaluate)
        return
    lowered = lower(case.model, input_shapes=dict(case.shapes), evaluate=evaluate)
    values = evaluate(lowered.program, lowered.weights, case.feeds)
    for output, expected in zip(lowered.program.outputs, case.expected, strict=True):
        np.testing.assert_allclose(values[output.value].reshape(output.shape), expected, rtol=case.rtol, atol=case.atol)


def test_products_with_the_inputs_are_one_contraction() -> None:
    """One for all places of the sequence, and one with the state at each place."""
    lowered = lower(layer("LSTM")[0], evaluate=evaluate)
    rules = [step.rule for step in lowered.program.steps]
    assert rules.count(Rule.CONTRACT) == 1 + PLACES


@pytest.mark.parametrize(
    ("operator", "more"),
    [
        ("LSTM", {"lengths": [4, 3, 4]}),
        ("LSTM", {"activations": ["HardSigmoid", "Tanh", "Tanh"]}),
        ("GRU", {"hidden_size": 5}),
        ("GRU", {"activations": ["Sigmoid"]}),
    ],
)
def test_layer_beyond_support_is_refused(operator: str, more: dict[str, Any]) -> None:
    """Sequences of different lengths, other activations, sizes that do not fit."""
    with pytest.raises(ModelUnsupported, match=operator):
        lower(layer(operator, **more)[0], evaluate=evaluate)
