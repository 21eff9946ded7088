from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.support.programs import convolution, matmul, program, step, tensor, unary, value, weight
from tests.support.subjects import every_rule

from sworn.errors import ModelMalformed, ModelUnsupported
from sworn.model.program import (
    Body,
    Clip,
    Contract,
    Copy,
    Extremum,
    Function,
    Lookup,
    Piece,
    Pointwise,
    Program,
    ProgramOutput,
    Rank,
    Reduction,
    Rule,
    TensorType,
    Tree,
)
from sworn.model.validation import validate
from sworn.model.weight_rules import validate_weights
from sworn.types import DType

Change = Callable[[Any], Any]

#: By rule of the step in `every_rule` that is changed: what makes it mean nothing.
MALFORMED: dict[str, tuple[Rule, Change]] = {
    "copy from outside": (Rule.COPY, lambda b: pieces(b, source=replace(b.pieces[0].source, offset=1))),
    "copy below 0": (Rule.COPY, lambda b: pieces(b, source=replace(b.pieces[0].source, offset=-1))),
    "empty box": (Rule.COPY, lambda b: pieces(b, stops=b.pieces[0].starts)),
    "box beyond the output": (Rule.COPY, lambda b: pieces(b, stops=(9, 7, 6))),
    "every 0": (Rule.COPY, lambda b: pieces(b, every=(0, 1, 1))),
    "box of another rank": (Rule.COPY, lambda b: pieces(b, every=(1, 1))),
    "NaN fill": (Rule.COPY, lambda b: replace(b, fill=0x7FC00000)),
    "negative zero fill": (Rule.COPY, lambda b: replace(b, fill=0x80000000)),
    "fill too wide": (Rule.COPY, lambda b: replace(b, fill=1 << 32)),
    "window of nothing": (Rule.EXTREMUM, lambda b: reduction(b, 0, extent=0)),
    "clip that leaves nothing somewhere": (Rule.EXTREMUM, lambda b: clipped(b, 0, extent=1)),
    "clip without an axis": (Rule.EXTREMUM, lambda b: clipped(b, 0, axis=3)),
    "clip of all positions": (Rule.EXTREMUM, lambda b: clipped(b, 0, dilation=0)),
    "clip wider than the tensor": (Rule.EXTREMUM, lambda b: clipped(b, 0, origin=0, extent=7)),
    "window outside": (Rule.EXTREMUM, lambda b: replace(b, source=replace(b.source, offset=-43))),
    "right stride of an extremum": (Rule.EXTREMUM, lambda b: reduction(b, 0, right_stride=1)),
    "rank along no axis": (Rule.RANK, lambda b: replace(b, axis=2)),
    "rank in a row outside": (Rule.RANK, lambda b: replace(b, extent=5)),
    "more ranks than elements": (Rule.RANK, lambda b: replace(b, extent=2)),
    "row that depends on the rank": (Rule.RANK, lambda b: replace(b, source=replace(b.source, strides=(3, 1)))),
    "lookup in nothing": (Rule.LOOKUP, lambda b: replace(b, extents=(3, 0))),
    "lookup without a stride": (Rule.LOOKUP, lambda b: replace(b, strides=(36,))),
    "float index": (Rule.LOOKUP, lambda b: replace(b, index=replace(b.index, tensor=4))),
    "trees along no axis": (Rule.TREE, lambda b: replace(b, tree_axis=5)),
    "trees along the other axis": (Rule.TREE, lambda b: replace(b, tree_axis=0)),
    "trees and nodes exchanged": (Rule.TREE, lambda b: replace(b, nodes=3, roots=2)),
    "constant features": (Rule.TREE, lambda b: replace(b, features=weight(0, (0, 0)))),
    "strides of another rank": (Rule.RANK, lambda b: replace(b, source=replace(b.source, strides=(4,)))),
    "value of its own": (Rule.RANK, lambda b: replace(b, source=replace(b.source, tensor=9))),
    "value of a later step": (Rule.RANK, lambda b: replace(b, source=replace(b.source, tensor=13))),
    "weight that is not there": (Rule.LOOKUP, lambda b: replace(b, source=weight(5, b.source.strides))),
}


def pieces(body: Copy, **fields: Any) -> Copy:
    """The copy with other fields in its first piece."""
    return replace(body, pieces=(replace(body.pieces[0], **fields), *body.pieces[1:]))


def reduction(body: Any, number: int, **fields: Any) -> Any:
    """The body with other fields in one of its reductions."""
    changed = list(body.reductions)
    changed[number] = replace(changed[number], **fields)
    return replace(body, reductions=tuple(changed))


def clipped(body: Any, number: int, **fields: Any) -> Any:
    """The body with other fields in one of its clips."""
    return reduction(body, number, clip=replace(body.reductions[number].clip, **fields))


def with_body(made: Program, rule: Rule, change: Change) -> Program:
    """The program with the body of its first step of a rule changed."""
    number = next(n for n, each in enumerate(made.steps) if each.rule is rule)
    steps = list(made.steps)
    steps[number] = replace(steps[number], body=change(steps[number].body))
    return replace(made, steps=tuple(steps))


@pytest.mark.parametrize("name", MALFORMED)
def test_validate_of_a_step_that_means_nothing_raises(name: str) -> None:
    """Every way to read what is not there, and every contradiction."""
    made, _ = every_rule()
    validate(made)
    with pytest.raises(ModelMalformed):
        validate(with_body(made, *MALFORMED[name]))


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"divisor": -1}, ModelUnsupported),
        ({"left_zero": 1}, ModelMalformed),
        ({"lower": 1.0, "upper": 0.0}, ModelMalformed),
        ({"lower": float("nan")}, ModelMalformed),
        ({"right": None}, ModelMalformed),
        ({"bias": weight(0, (0, 4))}, ModelMalformed),
        ({"reductions": (Reduction(extent=4, left_stride=1, right_stride=1),)}, ModelMalformed),
        ({"reductions": (Reduction(extent=8193, left_stride=0, right_stride=0),)}, ModelUnsupported),
    ],
)
def test_validate_of_a_contraction_that_cannot_be_raises(fields: dict[str, Any], error: type[Exception]) -> None:
    """Bounds, divisors, zero points, lengths."""
    made = matmul(2, 3, 4)
    with pytest.raises(error):
        validate(with_body(made, Rule.CONTRACT, lambda body: replace(body, **fields)))


def test_validate_of_padded_windows_proves_them_to_the_last_element() -> None:
    """A convolution fits exactly: one row more of image, or one row less of padding, and it does not."""
    for made in (convolution(6, 2, 2), convolution(7, 4, 4, stride=2, dilation=2, padding=2, groups=2)):
        validate(made)
        body = made.steps[0].body
        assert isinstance(body, Contract)
        for offset in (body.left.offset - 1, body.left.offset + 1):
            moved = replace(body, left=replace(body.left, offset=offset))
            with pytest.raises(ModelMalformed):
                validate(replace(made, steps=(replace(made.steps[0], body=moved),)))
        with pytest.raises(ModelMalformed):
            validate(with_body(made, Rule.CONTRACT, lambda each: clipped(each, 0, extent=9)))


def test_validate_of_a_mean_over_an_empty_window_raises() -> None:
    """Where the divisor is the number of terms, there has to be one."""
    clip = Clip(axis=0, step=2, dilation=1, origin=-1, extent=1)
    body = Contract(left=value(0, (0,)), reductions=(Reduction(extent=2, left_stride=0, clip=clip),), divisor=0)
    made = program((tensor((1,)),), (step(body, (2,)),))
    with pytest.raises(ModelMalformed):
        validate(made)
    validate(with_body(made, Rule.CONTRACT, lambda each: replace(each, divisor=1)))


@pytest.mark.parametrize(
    ("output", "body"),
    [
        (DType.INT32, Pointwise(function=Function.TANH, operands=(value(0, (1,)),))),
        (DType.FLOAT32, Pointwise(function=Function.ADD, operands=(value(0, (1,)), value(1, (1,))))),
        (DType.FLOAT32, Pointwise(function=Function.ADD, operands=(value(0, (1,)),))),
        (DType.FLOAT32, Pointwise(function=Function.LESS, operands=(value(0, (1,)), value(0, (1,))))),
        (DType.INT32, Pointwise(function=Function.AND, operands=(value(1, (1,)), value(1, (1,))))),
        (DType.FLOAT32, Pointwise(function=Function.ELU, operands=(value(0, (1,)),), alpha=float("inf"))),
        (DType.INT32, Pointwise(function=Function.CLIP, operands=(value(1, (1,)),), alpha=0.5)),
        (DType.INT32, Pointwise(function=Function.POW, operands=(value(1, (1,)),), alpha=-1.0)),
        (DType.INT8, Pointwise(function=Function.QUANTIZE, operands=(value(0, (1,)), value(1, (1,))))),
        (DType.FLOAT32, Copy(pieces=(Piece(source=value(1, (1,)), starts=(0,), stops=(3,), every=(1,)),))),
        (DType.INT32, Extremum(source=value(0, (1,)), reductions=(), largest=True)),
        (DType.INT32, Rank(source=value(0, (0,)), extent=3, stride=1, axis=0, largest=True)),
        (DType.FLOAT32, Lookup(source=value(1, (1,)), index=value(1, (1,)), extents=(1,), strides=(0,))),
        (DType.INT32, Tree(features=value(0, (0,)), feature_stride=1, nodes=0, roots=0, tree_axis=0)),
    ],
)
def test_validate_of_element_types_that_do_not_fit_raises(output: DType, body: Body) -> None:
    """Each rule takes and gives what its definition says."""
    inputs = (tensor((3,)), tensor((3,), DType.INT32))
    with pytest.raises(ModelMalformed):
        validate(program(inputs, (step(body, (3,), output),), (tensor((3, 6)),)))


def test_validate_of_types_and_outputs_that_cannot_be_raises() -> None:
    """Double precision, tensors of 2^31 elements, axes and shapes that do not agree."""
    made = unary(Function.EXP, 6)
    written = made.steps[0]
    wide = TensorType(dtype=DType.FLOAT64, shape=(6,))
    double = replace(written, output=wide, body=Copy(pieces=()))
    with pytest.raises(ModelUnsupported):
        validate(replace(made, steps=(double,)))
    with pytest.raises(ModelUnsupported):
        validate(replace(made, weights=(tensor((1 << 16, 1 << 15)),)))
    with pytest.raises(ModelMalformed):
        validate(replace(made, steps=(replace(written, axes=(5,)),)))
    for output in (ProgramOutput(value=2, shape=(6,)), ProgramOutput(value=1, shape=(5,))):
        with pytest.raises(ModelMalformed):
            validate(replace(made, outputs=(output,)))


@pytest.mark.parametrize(
    ("array", "place", "number"),
    [
        *((2, (0, 0), 4), (2, (0, 0), -1), (2, (0, 1), 1), (2, (0, 2), 0x7FC00000), (2, (0, 4), 3), (2, (1, 5), 3)),
        *((2, (4, 3), 0), (3, (0, 1), 2), (3, (1, 1), 3), (3, (2, 0), 6), (3, (0, 0), -1)),
    ],
)
def test_validate_weights_of_trees_that_are_none_raises(array: int, place: tuple[int, int], number: int) -> None:
    """Features, comparisons, thresholds, leaf intervals, and where trees lie in the table."""
    made, weights = every_rule()
    validate_weights(made, weights)
    changed = [each.copy() for each in weights]
    changed[array][place] = number
    with pytest.raises(ModelMalformed):
        validate_weights(made, changed)


def test_validate_weights_of_other_types_or_values_raises() -> None:
    """Number, shape, element type, and values that are not canonical."""
    made, weights = every_rule()
    bad = [array.copy() for array in weights]
    bad[0].reshape(-1)[3] = np.float32(-0.0)
    nan = [array.copy() for array in weights]
    nan[0].reshape(-1)[3] = np.float32(np.nan)
    double = [weights[0].astype(np.float64), *weights[1:]]
    flat = [weights[0].reshape(-1), *weights[1:]]
    for wrong in (bad, nan, double, flat, weights[:-1]):
        with pytest.raises(ModelMalformed):
            validate_weights(made, wrong)
