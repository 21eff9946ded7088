"""Whether the exact executor is the faster one: for small programs it is, and exact values are within all bounds."""

from __future__ import annotations

import math
from collections.abc import Iterable

from sworn.engine.exact.kernels import tape_loop
from sworn.model.program import Contract, Function, Pointwise, Program, Rule, Step
from sworn.types import DType

#: Microseconds, as measured side by side: of a run, a step, a product of two floats, one of two bytes, and a function.
_KERNELS = (14.0, 0.65, 4e-5, 5e-6, 3e-3)
_EXACT = (4.0, 0.08, 1.2e-4, 3e-5, 1.2e-2)
_SLOW = frozenset(
    {
        Function.EXP,
        Function.LOG,
        Function.TANH,
        Function.SIGMOID,
        Function.ERF,
        Function.SOFTPLUS,
        Function.ELU,
        Function.SIN,
        Function.COS,
        Function.POW,
    }
)


def _products(steps: Iterable[Step]) -> int:
    return sum(
        step.output.elements * math.prod(reduction.extent for reduction in step.body.reductions)
        for step in steps
        if isinstance(step.body, Contract)
    )


def prefers_exact(program: Program) -> bool:
    """Whether a run of a program is likely faster when all of it is computed exactly, by compiled code."""
    steps = [step for step in program.steps if not step.virtual]
    floats, others = (
        _products(step for step in steps if (step.output.dtype is DType.FLOAT32) == is_float)
        for is_float in (True, False)
    )
    functions = sum(
        step.output.elements for step in steps if isinstance(step.body, Pointwise) and step.body.function in _SLOW
    )
    # Only the exact executor walks trees, and crossing over to kernels and back costs a run of its own.
    work = (1.0, len(steps), floats, others, functions)
    kernels, exact = (sum(a * b for a, b in zip(costs, work, strict=True)) for costs in (_KERNELS, _EXACT))
    if any(step.rule is Rule.TREE for step in steps):
        kernels += exact
    return exact < kernels and tape_loop() is not None
