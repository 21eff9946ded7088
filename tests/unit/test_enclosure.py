from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.support.conformance import cases
from tests.support.programs import average_pool, matmul

import sworn
from sworn.errors import ConfigurationError, EngineError, SwornError
from sworn.model.program import Function, Operand, Pointwise, Program, Space
from sworn.testing import gallery
from sworn.types import DType
from sworn.verification import CompiledModel
from sworn.verification.enclosure import Walk, enclose, is_enclosable, outside
from sworn.verification.enclosure_functions import Span, applied, limited
from sworn.verification.slack_runs import AdmissibleRuns

Array = NDArray[Any]
#: Every rule but trees, ranks and functions of the tensors of `test_functions…`.
NAMES = (
    "logistic",
    "mlp",
    "forest",
    "boosting",
    "boosting_regression",
    "cnn",
    "lstm",
    "transformer",
    "cnn_int8_operators",
)
X = Operand(space=Space.VALUE, tensor=0, strides=(1,))
Y = Operand(space=Space.VALUE, tensor=1, strides=(1,))


@cache
def model(name: str, profile: str = "bounded") -> CompiledModel:
    """A model of the gallery, compiled once."""
    return sworn.compile_model(gallery.load(name), profile=profile)


def shoved(compiled: CompiledModel, inputs: dict[str, Array], seed: int) -> list[Array] | None:
    """A run each of whose elements lies at one end of its interval, or at the same one; None where it has no answer."""
    runs, random = AdmissibleRuns(compiled.program, compiled.weights, compiled.checker), np.random.default_rng(seed)
    places = {}
    for number in runs.free:
        elements = compiled.program.steps[number].output.elements
        places[number] = random.choice([-1.0, 1.0], elements) if seed > 1 else np.full(elements, 1.0 - 2.0 * seed)
    try:
        return runs.run([np.asarray(inputs[spec.name]) for spec in compiled.schema.inputs], places)
    except EngineError:
        return None


@pytest.mark.parametrize("name", NAMES)
def test_no_admissible_run_leaves_its_spans(name: str) -> None:
    """What lies outside is called a lie and a bond is posted over it: one run that gets there costs an honest one's."""
    compiled, inputs = model(name), dict(gallery.rows(name)[0].inputs)
    spans = enclose(compiled, inputs)
    made = [values for seed in range(6) if (values := shoved(compiled, inputs, seed)) is not None]
    assert len(made) >= 3
    for values in [*made, [np.asarray(value) for value in compiled.trace(inputs).values]]:
        ports = zip(compiled.schema.outputs, compiled.program.outputs, strict=True)
        outputs = {spec.name: np.asarray(values[port.value]).reshape(port.shape) for spec, port in ports}
        assert outside(spans, outputs) is None


def test_element_that_no_run_has_is_named() -> None:
    """A lie of a unit in a score, and another label, which the scores do not allow."""
    compiled, inputs = model("mlp"), gallery.rows("mlp")[0].inputs
    spans, honest = enclose(compiled, inputs), compiled.run(inputs)
    assert outside(spans, honest) is None
    label, scores = (spec.name for spec in compiled.schema.outputs)
    found = outside(spans, honest | {scores: honest[scores] + np.float32(1)})
    assert (
        found is not None and found.name == scores and found.low <= float(honest[scores].reshape(-1)[0]) <= found.high
    )
    assert outside(spans, honest | {label: honest[label] - 1}) is not None
    assert outside(spans, honest | {scores: np.full_like(honest[scores], np.nan)}) is not None


def test_spans_are_of_profile_bounded_alone() -> None:
    """In the others an element has one value, or none."""
    with pytest.raises(ConfigurationError):
        enclose(model("mlp", "exact"), gallery.rows("mlp")[0].inputs)


@pytest.mark.parametrize(
    "made",
    [matmul(4096, 4096, 4096), matmul(1 << 13, 1 << 10, 1), average_pool(2048, 2), matmul(1, 8192, 2048)],
    ids=["products", "a side", "values", "weights"],
)
def test_models_that_would_take_the_process_down_have_no_spans(made: Program) -> None:
    """Strangers make models; what takes gigabytes or minutes is left undecided."""
    assert not is_enclosable(made)
    assert is_enclosable(matmul(16, 64, 16)) and is_enclosable(average_pool(16, 4))


@pytest.mark.slow
def test_no_run_of_any_operator_leaves_its_spans_when_its_inputs_move() -> None:
    """All of onnx's operators that compile: inputs anywhere in spans of their own, elements at the ends of theirs."""
    random, runs = np.random.default_rng(5), 0
    for case in cases():
        if any(array.dtype.kind == "f" and not np.isfinite(array).all() for array in case.feeds):
            continue
        try:
            compiled = sworn.compile_model(case.model, profile="bounded", input_shapes=dict(case.shapes))
        except SwornError:
            continue
        widths = [np.abs(random.normal(size=array.size)) * (array.dtype.kind == "f") for array in case.feeds]
        spans = spread_over(compiled, case.feeds, widths)
        for _ in range(4):
            values = shoved(compiled, inputs_near(compiled, case.feeds, widths, random), 2 + runs)
            runs += values is not None
            for value, span in zip(values or (), spans, strict=False):
                numbers = value.astype(np.float64)
                assert ((numbers >= span.low) & (numbers <= span.high)).all(), case.name
    assert runs > 1000


def spread_over(compiled: CompiledModel, feeds: Sequence[Array], widths: Sequence[Array]) -> list[Span]:
    """Spans of all values where floats of the inputs may be so far from what is fed."""
    walk = Walk(compiled, [np.asarray(array) for array in feeds])
    for number, (array, width) in enumerate(zip(feeds, widths, strict=True)):
        if array.dtype.kind == "f":
            centre = array.reshape(-1).astype(np.float64)
            walk.let_move(number, Span(low=centre - width, high=centre + width))
    with np.errstate(all="ignore"):
        return walk.run()


def inputs_near(
    compiled: CompiledModel, feeds: Sequence[Array], widths: Sequence[Array], random: np.random.Generator
) -> dict[str, Array]:
    """Inputs in those spans, by name."""
    found = {}
    for spec, array, width in zip(compiled.schema.inputs, feeds, widths, strict=True):
        moved = array
        if array.dtype.kind == "f":
            centre = array.reshape(-1).astype(np.float64)
            near = (centre + width * random.uniform(-0.999, 0.999, array.size)).astype(np.float32)
            inside = (near >= centre - width) & (near <= centre + width)
            moved = np.where(inside, near, array.reshape(-1)).astype(np.float32).reshape(array.shape)
        found[spec.name] = moved
    return found


@pytest.mark.parametrize("function", list(Function))
def test_functions_of_spans_hold_the_functions_of_what_is_in_them(function: Function) -> None:
    """Every function, rounded, at points and in random spans across 0; what is not known is everything."""
    random, arity = np.random.default_rng(int(function)), 1 if function is Function.LEAKY_RELU else 2
    for alpha, beta in ((0.5, 0.25), (2.0, 3.0), (-0.75, 0.5), (3.0, -1.0)):
        ends = [np.sort(random.normal(scale=2.0, size=(2, 400)).astype(np.float32), axis=0) for _ in range(2)]
        for low, high in ends:
            high[:200] = low[:200]
        spans = [Span(low=low.astype(np.float64), high=high.astype(np.float64)) for low, high in ends]
        inner = [
            (low + random.uniform(size=400) * (high - low)).astype(np.float32).clip(low, high) for low, high in ends
        ]
        body = Pointwise(function=function, operands=(X, Y)[:arity], alpha=alpha, beta=beta)
        reference = REFERENCES.get(function)
        if reference is None:
            continue
        with np.errstate(all="ignore"):
            found = limited(applied(body, spans[:arity], DType.FLOAT32, is_square=False), DType.FLOAT32, 400)
            exact = reference(inner[0].astype(np.float64), inner[1].astype(np.float64), alpha, beta)
            values = exact.astype(np.float32).astype(np.float64)
        known = ~np.isnan(values)
        assert ((found.low <= values) & (values <= found.high))[known].all()


REFERENCES: dict[Function, Any] = {
    Function.ADD: lambda x, y, *_: x + y,
    Function.SUB: lambda x, y, *_: x - y,
    Function.MUL: lambda x, y, *_: x * y,
    Function.DIV: lambda x, y, *_: x / y,
    Function.MIN: lambda x, y, *_: np.minimum(x, y),
    Function.MAX: lambda x, y, *_: np.maximum(x, y),
    Function.MOD: lambda x, y, *_: np.mod(x, y),
    Function.FMOD: lambda x, y, *_: np.fmod(x, y),
    Function.POW: lambda x, _, alpha, __: np.power(x, alpha),
    Function.NEG: lambda x, *_: -x,
    Function.ABS: lambda x, *_: np.abs(x),
    Function.SIGN: lambda x, *_: np.sign(x),
    Function.SQRT: lambda x, *_: np.sqrt(x),
    Function.RECIPROCAL: lambda x, *_: 1 / x,
    Function.FLOOR: lambda x, *_: np.floor(x),
    Function.CEIL: lambda x, *_: np.ceil(x),
    Function.ROUND: lambda x, *_: np.rint(x),
    Function.EXP: lambda x, *_: np.exp(x),
    Function.LOG: lambda x, *_: np.log(x),
    Function.TANH: lambda x, *_: np.tanh(x),
    Function.SIGMOID: lambda x, *_: 1 / (1 + np.exp(-x)),
    Function.SOFTPLUS: lambda x, *_: np.log1p(np.exp(x)),
    Function.ELU: lambda x, _, alpha, __: np.where(x >= 0, x, alpha * np.expm1(x)),
    Function.HARD_SIGMOID: lambda x, _, alpha, beta: np.clip(alpha * x + beta, 0, 1),
    Function.LEAKY_RELU: lambda x, _, alpha, __: np.where(x >= 0, x, alpha * x),
    Function.PRELU: lambda x, y, *_: np.where(x >= 0, x, y * x),
    Function.RELU: lambda x, *_: np.maximum(x, 0),
    Function.CLIP: lambda x, _, alpha, beta: np.minimum(np.maximum(x, alpha), beta),
    Function.SIN: lambda x, *_: np.sin(x),
    Function.COS: lambda x, *_: np.cos(x),
    Function.EQUAL: lambda x, y, *_: 1.0 * (x == y),
    Function.LESS: lambda x, y, *_: 1.0 * (x < y),
    Function.LESS_OR_EQUAL: lambda x, y, *_: 1.0 * (x <= y),
    Function.GREATER: lambda x, y, *_: 1.0 * (x > y),
    Function.GREATER_OR_EQUAL: lambda x, y, *_: 1.0 * (x >= y),
}
