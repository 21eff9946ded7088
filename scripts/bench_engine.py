"""How long profile ``exact`` takes to answer, as a multiple of plain onnxruntime; with ``--json``, as JSON.

Both run one thread and take turns on the same inputs, onnxruntime with every optimisation; medians. Nothing is
compared with a limit.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

import sworn
from gallery_light import SEED, light_network
from sworn.errors import SwornError
from sworn.testing import gallery
from sworn.types import Schema

#: Name in the report → name in the gallery.
SMALL = {
    "tree": "forest",
    "mlp": "mlp",
    "lstm": "lstm",
    "transformer": "transformer",
    "cnn": "cnn",
    "cnn_int8": "cnn_int8",
}
LIGHT = {"light_squeezenet": "squeezenet", "light_resnet50": "resnet50"}

#: Both together are timed for about this long per model, in at least so many turns of at least so long each.
MEASURED_S, LEAST_TURNS, TURN_S = 8.0, 7, 0.005
MAX_TURNS = 201

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Seconds per answer, and how far the answers are apart, relative to the greatest output."""

    exact_s: float
    onnxruntime_s: float
    compile_s: float
    difference: float


def main() -> int:
    """Runs the command line; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--only", nargs="+", choices=[*SMALL, *LIGHT], help="leave the others out")
    arguments = parser.parse_args()
    # What every process pays once, loading compiled kernels, belongs to no model.
    sworn.compile_model(gallery.load("logistic")).run(gallery.rows("logistic")[0].inputs)
    timings: dict[str, Timing] = {}
    refused: dict[str, str] = {}
    for name in arguments.only or [*SMALL, *LIGHT]:
        try:
            timings[name] = measured(name)
        except SwornError as error:
            refused[name] = f"{type(error).__name__}: {error}"
    found = report(timings, refused)
    print(json.dumps(found, indent=1) if arguments.json else table(timings, refused))
    return 0


def measured(name: str) -> Timing:
    """Compiles a model and times it; raises `SwornError` where it is refused."""
    artifact = gallery.load(SMALL[name]) if name in SMALL else light_network(LIGHT[name])
    started = time.perf_counter()
    model = sworn.compile_model(artifact)
    compile_s = time.perf_counter() - started
    inputs = dict(gallery.rows(SMALL[name])[0].inputs) if name in SMALL else random_inputs(model.schema)
    arrays = [inputs[spec.name] for spec in model.schema.inputs]
    session = plain_session(artifact)
    names = [spec.name for spec in model.schema.outputs]
    pair = (lambda: model.executor.run(arrays), lambda: session.run(names, inputs))
    given = model.run(inputs)
    difference = max(
        apart(given[output], expected) for output, expected in zip(names, session.run(names, inputs), strict=True)
    )
    exact_s, onnxruntime_s = in_turns(*pair)
    return Timing(exact_s=exact_s, onnxruntime_s=onnxruntime_s, compile_s=compile_s, difference=difference)


def plain_session(artifact: bytes) -> Any:
    """The model in onnxruntime, on one thread, with every optimisation."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    # Old files list their weights as inputs too, which onnxruntime remarks upon.
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(artifact, options, providers=["CPUExecutionProvider"])


def random_inputs(schema: Schema) -> Arrays:
    """Standard normal values, seeded."""
    generator = np.random.default_rng(SEED)
    shapes = {spec.name: [size or 1 for size in spec.shape] for spec in schema.inputs}
    return {name: generator.standard_normal(shape, dtype=np.float32) for name, shape in shapes.items()}


def apart(given: NDArray[Any], expected: NDArray[Any]) -> float:
    """The greatest difference, relative to the greatest magnitude."""
    scale = float(np.max(np.abs(expected))) or 1.0
    return float(np.max(np.abs(given.astype(np.float64) - expected))) / scale


def in_turns(first: Callable[[], object], second: Callable[[], object]) -> tuple[float, float]:
    """Median seconds of two functions that are called in turns, each turn long enough for the clock."""
    calls = [max(1, round(TURN_S / max(min(seconds(run, 1) for _ in range(3)), 1e-7))) for run in (first, second)]
    samples: tuple[list[float], list[float]] = ([], [])
    end = time.perf_counter() + MEASURED_S
    while len(samples[0]) < LEAST_TURNS or (time.perf_counter() < end and len(samples[0]) < MAX_TURNS):
        for run, count, column in zip((first, second), calls, samples, strict=True):
            column.append(seconds(run, count))
    return statistics.median(samples[0]), statistics.median(samples[1])


def seconds(run: Callable[[], object], calls: int) -> float:
    """Seconds per call."""
    started = time.perf_counter()
    for _ in range(calls):
        run()
    return (time.perf_counter() - started) / calls


def report(timings: Mapping[str, Timing], refused: Mapping[str, str]) -> dict[str, Any]:
    """The numbers by what they are, then by model."""
    return {
        "ratios": {
            "exact": {name: round(timing.exact_s / timing.onnxruntime_s, 3) for name, timing in timings.items()}
        },
        "compile_s": {name: round(timing.compile_s, 3) for name, timing in timings.items()},
        "exact_ms": {name: round(timing.exact_s * 1e3, 4) for name, timing in timings.items()},
        "onnxruntime_ms": {name: round(timing.onnxruntime_s * 1e3, 4) for name, timing in timings.items()},
        "max_relative_difference": {name: float(f"{timing.difference:.1e}") for name, timing in timings.items()},
        "refused": dict(refused),
    }


def table(timings: Mapping[str, Timing], refused: Mapping[str, str]) -> str:
    """The numbers as people read them."""
    lines = [f"{'model':18}{'exact':>12}{'onnxruntime':>13}{'ratio':>8}{'compile':>10}{'apart':>10}"]
    for name, timing in timings.items():
        lines.append(
            f"{name:18}{timing.exact_s * 1e3:>9.3f} ms{timing.onnxruntime_s * 1e3:>10.3f} ms"
            f"{timing.exact_s / timing.onnxruntime_s:>8.2f}{timing.compile_s:>8.2f} s{timing.difference:>10.1e}"
        )
    lines += [f"{name:18}refused: {reason}" for name, reason in refused.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
