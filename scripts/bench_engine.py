"""How long answers, traces, audits and fault proofs take, as multiples of plain onnxruntime; with ``--json``, as JSON.

Everything runs on one thread and is timed by the processor's clock. onnxruntime, with every optimisation, profile
``exact`` and profile ``bounded`` take turns on the same inputs, and medians count; traces take turns with runs. Nothing
is compared with a limit.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import sworn
from engine_slow_path import undecided_over_plain
from engine_timing import MEASURED_S, in_turns, plain_session, seconds
from gallery_light import SEED, light_network
from sworn.errors import SwornError
from sworn.model.program import Contract
from sworn.testing import gallery
from sworn.types import Schema, Tensors
from sworn.verification import CompiledModel, Trace, difference

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
#: Where a lie is planted, found and proved.
LIED_TO = "light_resnet50"

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Seconds by what was done, and how far the answers are from onnxruntime's, relative to the greatest output."""

    onnxruntime_s: float
    exact_s: float
    bounded_s: float
    trace_s: float
    audit_s: float
    compile_s: float
    #: None where no lie was planted.
    fault_s: float | None
    exact_apart: float
    bounded_apart: float


def main() -> int:
    """Runs the command line; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--only", nargs="+", choices=[*SMALL, *LIGHT], help="leave the others out")
    parser.add_argument("--seconds", type=float, default=MEASURED_S, help="how long each comparison is timed")
    arguments = parser.parse_args()
    # What every process pays once, loading compiled kernels, belongs to no model.
    for profile in ("exact", "bounded"):
        sworn.compile_model(gallery.load("logistic"), profile=profile).run(gallery.rows("logistic")[0].inputs)
    timings: dict[str, Timing] = {}
    refused: dict[str, str] = {}
    for name in arguments.only or [*SMALL, *LIGHT]:
        try:
            timings[name] = measured(name, measured_s=arguments.seconds)
        except SwornError as error:
            refused[name] = f"{type(error).__name__}: {error}"
    found = report(timings, undecided_over_plain(measured_s=arguments.seconds), refused)
    print(json.dumps(found, indent=1) if arguments.json else table(timings, found))
    return 0


def measured(name: str, *, measured_s: float) -> Timing:
    """Compiles a model in both profiles and times it; raises `SwornError` where it is refused."""
    artifact = gallery.load(SMALL[name]) if name in SMALL else light_network(LIGHT[name])
    compiled: list[CompiledModel] = []
    compile_s = seconds(lambda: compiled.append(sworn.compile_model(artifact)))
    exact, bounded = compiled[0], sworn.compile_model(artifact, profile="bounded")
    inputs = dict(gallery.rows(SMALL[name])[0].inputs) if name in SMALL else random_inputs(exact.schema)
    onnxruntime_s, exact_s, bounded_s = in_turns(answers(artifact, (exact, bounded), inputs), measured_s=measured_s)
    trace = exact.trace(inputs)
    run_s, trace_s = in_turns((lambda: exact.run(inputs), lambda: exact.trace(inputs)), measured_s=measured_s / 2)
    expected = plain_session(artifact).run([spec.name for spec in exact.schema.outputs], inputs)
    return Timing(
        onnxruntime_s=onnxruntime_s,
        exact_s=exact_s,
        bounded_s=bounded_s,
        # As a multiple of the run beside it.
        trace_s=trace_s / run_s * exact_s,
        audit_s=seconds(lambda: exact.audit(trace)),
        compile_s=compile_s,
        fault_s=fault_seconds(trace) if name == LIED_TO else None,
        exact_apart=apart(exact.run(inputs), expected),
        bounded_apart=apart(bounded.run(inputs), expected),
    )


def answers(artifact: bytes, models: tuple[CompiledModel, CompiledModel], inputs: Arrays) -> list[Callable[[], object]]:
    """What gives the answer: onnxruntime, then the two profiles, each without conversion of its inputs."""
    session, names = plain_session(artifact), [spec.name for spec in models[0].schema.outputs]
    arrays = [inputs[spec.name] for spec in models[0].schema.inputs]
    exact, bounded = (model.executor for model in models)
    return [lambda: session.run(names, inputs), lambda: exact.run(arrays), lambda: bounded.run(arrays)]


def fault_seconds(own: Trace) -> float:
    """Time to find one wrong bit in the longest contraction of a trace, one's own at hand, and to prove it."""
    program = own.subject.program
    lengths = {
        number: np.prod([each.extent for each in step.body.reductions])
        for number, step in enumerate(program.steps)
        if isinstance(step.body, Contract)
    }
    value = len(program.inputs) + max(lengths, key=lambda number: lengths[number])
    values = [np.array(array) for array in own.values]
    values[value].reshape(-1)[-1:].view(np.uint32)[0] ^= 1
    theirs = Trace.of(own.subject, values)
    proofs: list[object] = []

    def find() -> None:
        fault = difference(theirs, own)
        proofs.append(None if fault is None else fault.proof())

    spent = seconds(find)
    if proofs == [None]:
        raise SystemExit("a planted lie was not found")
    return spent


def random_inputs(schema: Schema) -> Arrays:
    """Standard normal values, seeded."""
    generator = np.random.default_rng(SEED)
    shapes = {spec.name: [size or 1 for size in spec.shape] for spec in schema.inputs}
    return {name: generator.standard_normal(shape, dtype=np.float32) for name, shape in shapes.items()}


def apart(given: Tensors, expected: list[NDArray[Any]]) -> float:
    """The greatest difference of any output, relative to its greatest magnitude."""
    pairs = zip(given.values(), expected, strict=True)
    return max(float(np.max(np.abs(a.astype(np.float64) - b))) / (float(np.max(np.abs(b))) or 1.0) for a, b in pairs)


def report(timings: Mapping[str, Timing], slow_path: float, refused: Mapping[str, str]) -> dict[str, Any]:
    """The numbers by what they are, then by model."""

    def column(of: Callable[[Timing], float | None], digits: int = 3) -> dict[str, float]:
        pairs = {name: of(timing) for name, timing in timings.items()}
        return {name: round(number, digits) for name, number in pairs.items() if number is not None}

    return {
        "ratios": {
            "exact": column(lambda timing: timing.exact_s / timing.onnxruntime_s),
            "bounded": column(lambda timing: timing.bounded_s / timing.onnxruntime_s),
        },
        "trace_over_exact": column(lambda timing: timing.trace_s / timing.exact_s),
        "compile_s": column(lambda timing: timing.compile_s),
        "audit_s": column(lambda timing: timing.audit_s),
        "fault_s": column(lambda timing: timing.fault_s),
        "undecided_over_plain": round(slow_path, 1),
        "exact_ms": column(lambda timing: timing.exact_s * 1e3, 4),
        "bounded_ms": column(lambda timing: timing.bounded_s * 1e3, 4),
        "onnxruntime_ms": column(lambda timing: timing.onnxruntime_s * 1e3, 4),
        "max_relative_difference": {
            "exact": column(lambda timing: timing.exact_apart, 9),
            "bounded": column(lambda timing: timing.bounded_apart, 9),
        },
        "refused": dict(refused),
    }


def table(timings: Mapping[str, Timing], found: Mapping[str, Any]) -> str:
    """The numbers as people read them."""
    heads = ("onnxruntime", "exact", "ratio", "bounded", "ratio", "trace/run", "audit", "compile")
    lines = [f"{'model':18}" + "".join(f"{head:>12}" for head in heads)]
    for name, timing in timings.items():
        cells = [f"{timing.onnxruntime_s * 1e3:.3f} ms"]
        for spent in (timing.exact_s, timing.bounded_s):
            cells += [f"{spent * 1e3:.3f} ms", f"{spent / timing.onnxruntime_s:.2f}"]
        cells += [f"{timing.trace_s / timing.exact_s:.2f}", f"{timing.audit_s:.2f} s", f"{timing.compile_s:.2f} s"]
        lines.append(f"{name:18}" + "".join(f"{cell:>12}" for cell in cells))
    lines += [f"{name}: fault found and proved in {spent:.2f} s" for name, spent in found["fault_s"].items()]
    lines.append(
        f"where no element is decided by float64: {found['undecided_over_plain']:.0f} times an ordinary product"
    )
    lines += [f"{name}: refused: {reason}" for name, reason in found["refused"].items()]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
