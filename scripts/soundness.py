"""Honest runs that must not be accused, and planted lies that must be: what ``bench_soundness.py`` counts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from math import prod
from typing import Any, Final
from unittest.mock import patch

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from sworn.engine.bounded import BoundedExecutor, sessions
from sworn.engine.exact import ExactExecutor
from sworn.errors import EngineError
from sworn.model.program import Contract, Pointwise, Space, Step, TensorType
from sworn.model.typing_rules import canonical
from sworn.referee import Read, check, decode_proof, encode_proof
from sworn.referee.proof import agrees
from sworn.types import DType, Profile
from sworn.verification import CompiledModel, Trace, audit
from sworn.verification.trace_values import element_bits

SEED: Final = 7
#: Threads of honest runs, taken in turn.
THREADS: Final = (1, 2, 8)
_LENGTHS: Final = (1, 8, 64, 512, 8192)
_MAGNITUDE: Final = 0x7FFFFFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Counts of one profile, by kind of step."""

    checked: Counter[str] = field(default_factory=Counter)
    judged: Counter[str] = field(default_factory=Counter)
    false_faults: Counter[str] = field(default_factory=Counter)
    #: Lies that no bound admits.
    tried: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    proved: Counter[str] = field(default_factory=Counter)
    #: Of sampled elements the least number of units in the last place that convicts.
    smallest: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))


def kind_of(step: Step) -> str:
    """What people call a step: its rule, with the length of a sum or the name of a function."""
    rule, output = step.rule.name.lower(), step.output.dtype
    if isinstance(step.body, Contract):
        terms = prod(reduction.extent for reduction in step.body.reductions)
        longest = next(length for length in _LENGTHS if terms <= length)
        return f"{rule} {output.name.lower()}, at most {longest} terms"
    if isinstance(step.body, Pointwise):
        return f"{step.body.function.name.lower()} {output.name.lower()}"
    return rule


def survey(model: CompiledModel, tally: Tally, *, runs: int, judged: int) -> None:
    """Audits honest runs, made in many ways, by another path than the one that made them."""
    is_exact = model.model.profile is Profile.EXACT
    auditor = partial(ExactExecutor, accelerate=False) if is_exact else ExactExecutor
    checker = auditor(model.program, model.weights)
    generator = np.random.default_rng(SEED)
    for seed, honest in zip(range(runs), _machines(model), strict=False):
        trace = honest.trace(random_inputs(model, seed))
        for fault in audit(trace, checker, auditor):
            tally.false_faults[
                "ports and links" if fault.step is None else kind_of(model.program.steps[fault.step])
            ] += 1
        for number, step in enumerate(model.program.steps):
            tally.checked[kind_of(step)] += step.output.elements
            sample = generator.integers(0, step.output.elements, judged) if step.output.elements else ()
            for index in {int(index) for index in sample}:
                tally.judged[kind_of(step)] += 1
                tally.false_faults[kind_of(step)] += not _agrees(trace, number, index)


def _machines(model: CompiledModel) -> Iterator[CompiledModel]:
    """The model on one machine after the other: other threads, in `bounded` also with all graph optimisations."""
    make = ExactExecutor if model.model.profile is Profile.EXACT else BoundedExecutor
    made = [replace(model, executor=make(model.program, model.weights, threads=threads)) for threads in THREADS]
    if model.model.profile is Profile.BOUNDED:
        with _optimised():
            made.append(replace(model, executor=BoundedExecutor(model.program, model.weights, threads=2)))
    while True:
        yield from made


@contextmanager
def _optimised() -> Iterator[None]:
    """Sessions made within use all of onnxruntime's graph optimisations."""
    # A setting that the product does not offer: only its own settings are within what it promises.
    ordinary = sessions._options  # noqa: SLF001

    def options(threads: int) -> Any:
        made = ordinary(threads)
        made.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        return made

    with patch.object(sessions, "_options", options):
        yield


def deceive(model: CompiledModel, tally: Tally, *, lies: int, steps: int | None) -> None:
    """Plants lies in steps, all of them or some: the smallest that convict, and any; all have to be proved."""
    generator, inputs = np.random.default_rng(SEED), len(model.program.inputs)
    trace = model.trace(random_inputs(model, SEED))
    for number in generator.permutation(len(model.program.steps))[:steps].tolist():
        value, step = inputs + number, model.program.steps[number]
        for lie in range(lies if step.output.elements else 0):
            index = int(generator.integers(step.output.elements))
            bits = trace.bits(value, index)
            if lie % 2:
                claims = [bits ^ 1 << int(generator.integers(8 * step.output.dtype.itemsize))]
            else:
                smallest = _smallest(trace, number, index, way=1 if generator.integers(2) else -1)
                tally.smallest[kind_of(step)] += [] if smallest is None else [smallest[0]]
                claims = [] if smallest is None else list(smallest[1:])
            for claim in claims:
                _plant(model, tally, changed(trace, value, index, claim), number, index)


def _plant(model: CompiledModel, tally: Tally, lie: Trace, number: int, index: int) -> None:
    """Has a lie found and proved where the referee does not admit it, and left alone where it does."""
    value, kind = len(model.program.inputs) + number, kind_of(model.program.steps[number])
    is_right = _agrees(lie, number, index)
    mine = [fault for fault in model.audit(lie, max_faults=1 << 20) if (fault.value, fault.index) == (value, index)]
    if is_right:
        tally.false_faults[kind] += bool(mine)
        return
    tally.tried[kind] += 1
    tally.found[kind] += bool(mine)
    tally.proved[kind] += bool(mine) and check(decode_proof(encode_proof(mine[0].proof())))


def _smallest(trace: Trace, number: int, index: int, *, way: int) -> tuple[int, int, int] | None:
    """How many units in the last place convict, the claim that is one unit within the bound, and the first beyond it.

    Bounds are intervals, so that all claims beyond the first are wrong, too. None where no finite claim convicts.
    """
    step, value = trace.subject.program.steps[number], len(trace.subject.program.inputs) + number
    honest = trace.bits(value, index)
    if step.output.dtype is not DType.FLOAT32:
        return 1, honest, honest ^ 1
    key = -(honest & _MAGNITUDE) if honest >> 31 else honest
    limit = 0x7F800000 - way * key

    def claim(units: int) -> int:
        moved = key + way * units
        return moved if moved >= 0 else -moved | 0x80000000

    high = 1
    while high < limit and _agrees(trace, number, index, claimed=claim(high)):
        high *= 2
    if high >= limit:
        return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _agrees(trace, number, index, claimed=claim(middle)) else (low, middle)
    return high, claim(low), claim(high)


def _agrees(trace: Trace, number: int, index: int, *, claimed: int | None = None) -> bool:
    """What the referee says of an element of a step, as the trace has it or with another claim."""
    program, profile = trace.subject.program, trace.subject.model.profile
    claimed = trace.bits(len(program.inputs) + number, index) if claimed is None else claimed

    def type_of(space: Space, tensor: int) -> TensorType:
        return program.value(tensor) if space is Space.VALUE else program.weights[tensor]

    if not canonical(program.steps[number].output.dtype, claimed):
        return False
    try:
        return agrees(profile, program.steps[number], type_of, index, reader(trace), claimed=claimed)
    except EngineError:
        return False


def reader(trace: Trace) -> Read:
    """Bits of values and weights, for the scalar referee."""
    weights = [weight.reshape(-1) for weight in trace.subject.weights]

    def read(space: Space, tensor: int, index: int) -> int:
        return trace.bits(tensor, index) if space is Space.VALUE else element_bits(weights[tensor], index)

    return read


def changed(trace: Trace, value: int, index: int, bits: int) -> Trace:
    """The trace with other bits in one element, under roots of its own."""
    values = list(trace.values)
    values[value] = values[value].copy()
    flat = values[value].reshape(-1)[index : index + 1]
    flat.view(f"u{flat.itemsize}")[0] = bits
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
