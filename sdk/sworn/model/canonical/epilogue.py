"""What follows the sum of a contraction: bias and bounds."""

from __future__ import annotations

import math

import numpy as np

from sworn.model.canonical.forms import Digit, Form, Moves, row_major
from sworn.model.canonical.pointwise import Broadcast
from sworn.model.canonical.reading import Reader, flat_strides
from sworn.model.program import Contract, Operand, Space, Step

#: The number under which a sum is read back while its bias is added.
_SUM = -1


def single_clamp(body: Contract) -> str | None:
    """The activation that bounds are: "Relu", "Clip", or None where there are none."""
    if body.lower is None and body.upper is None:
        return None
    return "Relu" if body.lower == 0 and body.upper is None else "Clip"


def bounds_of(body: Contract) -> tuple[float, float]:
    """The bounds, with infinities for what is unbounded."""
    return (
        -math.inf if body.lower is None else body.lower,
        math.inf if body.upper is None else body.upper,
    )


def clamp(reader: Reader, body: Contract, form: Form) -> Form:
    """Bounds as a node of their own."""
    activation, writer = single_clamp(body), reader.writer
    if activation is None:
        return form
    if activation == "Relu":
        name = writer.node("Relu", [form.name])
    else:
        bounds = [writer.constant(np.array(bound, dtype=np.float32)) for bound in bounds_of(body)]
        name = writer.node("Clip", [form.name, *bounds])
    return Form(name=name, shape=form.shape, digits=form.digits)


def add_bias(reader: Reader, step: Step, bias: Operand, form: Form) -> Form | None:
    """A bias as a node of its own, broadcast to the sum."""
    own = Operand(space=Space.VALUE, tensor=_SUM, strides=row_major(step.axes))
    reader.forms[_SUM] = form
    moves = [Moves(offset=each.offset, sizes=step.axes, strides=each.strides) for each in (own, bias)]
    aligned = reader.align([(own, moves[0]), (bias, moves[1])], gather=True)
    del reader.forms[_SUM]
    if aligned is None:
        return None
    plan = Broadcast(aligned, 2)
    names = plan.take(reader)
    strides = flat_strides(step.axes, aligned)
    digits = tuple(Digit(size=aligned.sizes[axis], stride=strides[axis]) for axis in plan.order)
    return Form(name=reader.writer.node("Add", names), shape=plan.shape, digits=digits)
