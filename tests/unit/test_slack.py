from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import sworn
from sworn.errors import ConfigurationError, RunFailed, ShapeMismatch
from sworn.testing import gallery
from sworn.verification import CompiledModel, slack_checks, slack_contractions
from sworn.verification.slack import Slack, measure
from sworn.verification.slack_motions import Moves
from sworn.verification.slack_runs import AdmissibleRuns

Array = NDArray[Any]
#: Nothing in them is rounded to integers, so that first order says nearly all.
SMOOTH = ("logistic", "mlp", "forest", "boosting", "boosting_regression", "cnn", "lstm", "transformer")


@cache
def model(name: str, profile: str = "bounded") -> CompiledModel:
    """A model of the gallery, compiled once."""
    return sworn.compile_model(gallery.load(name), profile=profile)


@cache
def measured(name: str) -> Slack:
    """A model's slack for its first row, with little effort."""
    return measure(model(name), gallery.rows(name)[0].inputs, steps=2, restarts=1, examined=4)


def close_call(name: str) -> dict[str, Array]:
    """An input between two rows for which two classes are nearly equal, by bisection."""
    rows = gallery.rows(name)
    exact = model(name, "exact")
    (key,) = rows[0].inputs
    first, second = next(
        (a.inputs[key], b.inputs[key]) for a in rows for b in rows if leader(exact, a.inputs) != leader(exact, b.inputs)
    )
    low, high = 0.0, 1.0
    wanted = leader(exact, {key: first})
    for _ in range(60):
        middle = (low + high) / 2
        mixed = (first * (1 - middle) + second * middle).astype(np.float32)
        low, high = (middle, high) if leader(exact, {key: mixed}) == wanted else (low, middle)
    return {key: (first * (1 - low) + second * low).astype(np.float32)}


def leader(compiled: CompiledModel, inputs: Any) -> int:
    """Position of the greatest element of the last output."""
    return int(np.argmax(list(compiled.run(inputs).values())[-1]))


@pytest.mark.parametrize("name", SMOOTH)
def test_slack_of_smooth_models_is_reached_nearly_as_far_as_estimated(name: str) -> None:
    """The search gets more than half as far as first order allows, and never beyond it."""
    found = measured(name)
    for output in found.outputs:
        assert 0.5 * output.estimate < output.reached <= output.estimate * 1.001
        if output.margin is not None:
            assert 0 < output.margin.reached <= output.margin.safe * 1.001
            assert output.margin.is_safe and not output.margin.is_lost
    assert found.checked >= 2 and found.is_audited and found.choices == ()


@pytest.mark.parametrize("name", ["cnn_int8", "cnn_int8_operators"])
def test_slack_of_quantised_models_counts_roundings_that_may_turn(name: str) -> None:
    """What is reached is less than the estimate, which takes every rounding in reach of a tie as turned."""
    (output,) = measured(name).outputs
    assert 0 <= output.reached <= output.estimate


@pytest.mark.parametrize("name", ["mlp", "cnn", "lstm"])
def test_random_admissible_runs_stay_within_the_estimate(name: str) -> None:
    """No element of an output is pushed farther than its estimate by any of forty random vertices."""
    compiled, row = model(name), gallery.rows(name)[0]
    runs = AdmissibleRuns(compiled.program, compiled.weights, compiled.checker)
    inputs = [row.inputs[spec.name] for spec in compiled.schema.inputs]
    exact = runs.run(inputs, {})
    moves, generator = Moves(compiled.program, exact, compiled.weights), np.random.default_rng(7)
    port = compiled.program.outputs[-1].value
    seeds = np.eye(exact[port].size)
    bounds = np.array([moves.estimate(moves.gradient({port: seed})) for seed in seeds])
    for _ in range(40):
        sizes = {number: compiled.program.steps[number].output.elements for number in runs.free}
        places = {number: generator.choice([-1.0, 1.0], size) for number, size in sizes.items()}
        change = np.abs(runs.run(inputs, places)[port].astype(np.float64) - exact[port])
        assert np.all(change <= bounds * 1.001)


def test_exact_run_of_a_search_has_the_bits_of_profile_exact() -> None:
    """Elements in the middle of their intervals are what profile ``exact`` gives, in every step."""
    for name in ("mlp", "transformer", "cnn_int8"):
        compiled, row = model(name, "exact"), gallery.rows(name)[0]
        runs = AdmissibleRuns(compiled.program, compiled.weights, compiled.checker)
        middle = {number: np.zeros(compiled.program.steps[number].output.elements) for number in runs.free}
        trace = compiled.trace(row.inputs)
        for places in ({}, middle):
            found = runs.run([row.inputs[spec.name] for spec in compiled.schema.inputs], places)
            assert all(a.tobytes() == b.tobytes() for a, b in zip(found, trace.values, strict=True))


def test_slack_where_two_classes_are_close_finds_a_run_that_turns_the_answer() -> None:
    """A lead below what can be reached is lost, and the audit that each such run passes is what makes that true."""
    (output,) = measure(model("logistic"), close_call("logistic")).outputs
    assert output.margin is not None
    assert output.margin.margin < output.margin.safe
    assert output.margin.is_lost and not output.margin.is_safe


def test_slack_measured_twice_gives_the_same_figures() -> None:
    """Random starts come from a seed."""
    inputs = gallery.rows("mlp")[0].inputs
    first, second = (measure(model("mlp"), inputs, steps=1, restarts=1, examined=1, seed=5) for _ in range(2))
    assert first == second


def test_slack_in_profile_exact_is_refused() -> None:
    """Where every element has one value there is nothing to measure."""
    with pytest.raises(ConfigurationError):
        measure(model("mlp", "exact"), gallery.rows("mlp")[0].inputs)


@pytest.mark.parametrize(("steps", "restarts", "examined"), [(0, 1, 1), (1, -1, 1), (1, 1, 0)])
def test_slack_without_effort_is_refused(steps: int, restarts: int, examined: int) -> None:
    """A search that looks at nothing would find that nothing moves."""
    inputs = gallery.rows("mlp")[0].inputs
    with pytest.raises(ConfigurationError):
        measure(model("mlp"), inputs, steps=steps, restarts=restarts, examined=examined)


def test_slack_of_inputs_that_do_not_fit_is_refused() -> None:
    """A shape that the model does not take is the caller's mistake."""
    with pytest.raises(ShapeMismatch):
        measure(model("mlp"), {"pixels": np.zeros((1, 3), dtype=np.float32)})


@pytest.mark.parametrize("terms", [1 << 27, 0])
def test_slack_from_intervals_that_are_too_wide_is_never_reported(monkeypatch: pytest.MonkeyPatch, terms: int) -> None:
    """A search that leaves the bounds fails at the check of its best run, be it audited or sampled."""
    monkeypatch.setattr(slack_contractions, "kappa_of", lambda body: 10_000)
    monkeypatch.setattr(slack_checks, "_MAX_TERMS", terms)
    with pytest.raises(RunFailed):
        measure(model("mlp"), gallery.rows("mlp")[0].inputs, steps=1, restarts=0, examined=1)


def test_slack_of_models_with_very_many_terms_is_checked_by_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where an audit would take minutes, what is reached is the same, and said to be sampled."""
    inputs = gallery.rows("mlp")[0].inputs
    whole = measure(model("mlp"), inputs, steps=1, restarts=0, examined=1)
    monkeypatch.setattr(slack_checks, "_MAX_TERMS", 0)
    sampled = measure(model("mlp"), inputs, steps=1, restarts=0, examined=1)
    assert (whole.is_audited, sampled.is_audited) == (True, False)
    assert whole.outputs == sampled.outputs


def test_progress_of_a_measurement_rises_to_its_total() -> None:
    """Progress never goes back and ends at what there is to do."""
    told: list[tuple[int, int]] = []
    inputs = gallery.rows("mlp")[0].inputs
    measure(model("mlp"), inputs, steps=2, restarts=1, examined=3, progress=lambda *pair: told.append(pair))
    assert [done for done, _ in told] == list(range(1, len(told) + 1))
    assert {total for _, total in told} == {len(told)}
