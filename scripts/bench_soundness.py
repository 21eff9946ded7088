"""How many elements of honest runs were checked without a false fault, and how many planted lies were proved.

Honest traces are made by compiled kernels on two threads and audited by plain numpy on one; samples of every step are
judged by the scalar referee besides. Lies change one element, every other one in its lowest bit only; each has to be
found where it is and proved from the proof's bytes alone. With ``--json``, as JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

import sworn
from gallery_light import SEED, light_network
from sworn.engine.exact import ExactExecutor
from sworn.errors import SwornError
from sworn.model.program import Space
from sworn.referee import Read, check, decode_proof, element, encode_proof
from sworn.testing import gallery
from sworn.types import DType
from sworn.verification import CompiledModel, Trace, audit
from sworn.verification.trace import element_bits

LIGHT = ("squeezenet", "shufflenet", "resnet50")
#: Honest runs of each small model, lies per step of it, and elements per step that the scalar referee judges.
RUNS, LIES, JUDGED = 20, 4, 3
#: The same for the large ones: fewer, since each costs a run.
LIGHT_RUNS, LIGHT_LIES, LIGHT_STEPS = 1, 1, 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Counts, by rule."""

    checked: Counter[str] = field(default_factory=Counter)
    judged: Counter[str] = field(default_factory=Counter)
    false_faults: Counter[str] = field(default_factory=Counter)
    tried: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    proved: Counter[str] = field(default_factory=Counter)


def main() -> int:
    """Runs the command line; the exit status is 1 where anything went wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--small", action="store_true", help="leave the large networks out")
    arguments = parser.parse_args()
    tally, refused = Tally(), dict[str, str]()
    for name in (*gallery.names(), *(() if arguments.small else LIGHT)):
        is_light = name in LIGHT
        try:
            model = sworn.compile_model(light_network(name) if is_light else gallery.load(name), threads=2)
            survey(model, tally, runs=LIGHT_RUNS if is_light else RUNS)
            deceive(model, tally, lies=LIGHT_LIES if is_light else LIES, steps=LIGHT_STEPS if is_light else None)
        except SwornError as error:
            refused[name] = f"{type(error).__name__}: {error}"
    found = report(tally, refused)
    print(json.dumps(found, indent=1) if arguments.json else table(tally, refused))
    exact = found["exact"]
    return int(exact["false_faults"] > 0 or exact["proved"] != exact["tried"])


def survey(model: CompiledModel, tally: Tally, *, runs: int) -> None:
    """Audits honest runs by another path than the one that made them."""
    plain = partial(ExactExecutor, accelerate=False)
    executor = plain(model.program, model.weights)
    generator, inputs = np.random.default_rng(SEED), len(model.program.inputs)
    for seed in range(runs):
        trace = model.trace(random_inputs(model, seed))
        for number, step in enumerate(model.program.steps):
            tally.checked[step.rule.name.lower()] += trace.values[inputs + number].size
            sample = generator.integers(0, step.output.elements, JUDGED) if step.output.elements else ()
            for index in {int(index) for index in sample}:
                tally.judged[step.rule.name.lower()] += 1
                if element(model.program, number, index, reader(trace)) != trace.bits(inputs + number, index):
                    tally.false_faults[step.rule.name.lower()] += 1
        for fault in audit(trace, executor, plain):
            rule = "ports and links" if fault.step is None else model.program.steps[fault.step].rule.name.lower()
            tally.false_faults[rule] += 1


def deceive(model: CompiledModel, tally: Tally, *, lies: int, steps: int | None) -> None:
    """Plants lies in steps, all of them or some, and has each proved."""
    generator, inputs = np.random.default_rng(SEED), len(model.program.inputs)
    trace = model.trace(random_inputs(model, SEED))
    for number in generator.permutation(len(model.program.steps))[:steps].tolist():
        value, rule = inputs + number, model.program.steps[number].rule.name.lower()
        array = trace.values[value]
        for lie in range(lies if array.size else 0):
            index = int(generator.integers(array.size))
            bit = int(generator.integers(8 * array.itemsize)) if lie % 2 else 0
            tally.tried[rule] += 1
            faults = model.audit(changed(trace, value, index, 1 << bit), max_faults=1 << 20)
            mine = [fault for fault in faults if (fault.value, fault.index) == (value, index)]
            tally.found[rule] += bool(mine)
            tally.proved[rule] += bool(mine) and check(decode_proof(encode_proof(mine[0].proof())))


def reader(trace: Trace) -> Read:
    """Bits of values and weights, for the scalar referee."""
    weights = [weight.reshape(-1) for weight in trace.subject.weights]

    def read(space: Space, tensor: int, index: int) -> int:
        return trace.bits(tensor, index) if space is Space.VALUE else element_bits(weights[tensor], index)

    return read


def changed(trace: Trace, value: int, index: int, mask: int) -> Trace:
    """The trace with some bits of one element flipped, under roots of its own."""
    values = list(trace.values)
    values[value] = values[value].copy()
    flat = values[value].reshape(-1)[index : index + 1]
    flat.view(f"u{flat.itemsize}")[0] ^= flat.view(f"u{flat.itemsize}").dtype.type(mask)
    return Trace.of(trace.subject, values)


def random_inputs(model: CompiledModel, seed: int) -> dict[str, NDArray[Any]]:
    """Standard normal floats and small integers, seeded."""
    generator = np.random.default_rng(seed)
    found: dict[str, NDArray[Any]] = {}
    for spec in model.schema.inputs:
        shape = [size or 1 for size in spec.shape]
        is_float = spec.dtype is DType.FLOAT32
        drawn = generator.standard_normal(shape) if is_float else generator.integers(0, 100, shape)
        found[spec.name] = drawn.astype(spec.dtype.numpy)
    return found


def report(tally: Tally, refused: dict[str, str]) -> dict[str, Any]:
    """The counts by profile, in all and by rule."""
    columns = {
        "elements_checked": tally.checked,
        "elements_judged": tally.judged,
        "false_faults": tally.false_faults,
        "tried": tally.tried,
        "found": tally.found,
        "proved": tally.proved,
    }
    rules = sorted({rule for column in columns.values() for rule in column})
    exact: dict[str, Any] = {name: column.total() for name, column in columns.items()}
    exact["by_rule"] = {rule: {name: column[rule] for name, column in columns.items()} for rule in rules}
    return {"exact": exact, "refused": refused}


def table(tally: Tally, refused: dict[str, str]) -> str:
    """The counts as people read them."""
    exact = report(tally, refused)["exact"]
    by_rule = exact.pop("by_rule")
    lines = ["".join([f"{'rule':16}", *(f"{name:>18}" for name in exact)])]
    for rule, row in {**by_rule, "all": exact}.items():
        lines.append("".join([f"{rule:16}", *(f"{number:>18,}" for number in row.values())]))
    lines += [f"{name:16}refused: {reason}" for name, reason in refused.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
