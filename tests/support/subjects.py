"""A program with a step of every rule, committed, with weights and inputs that exercise each."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tests.support.programs import average_pool, convolution, row_major, step, tensor, value, weight

from sworn.engine.exact import ExactExecutor
from sworn.model.lowered import Lowered
from sworn.model.program import (
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
    Step,
    Tree,
)
from sworn.types import DType, Profile, Schema, TensorSpec
from sworn.verification import CompiledModel, Fault, Subject, Trace, audit

Array = NDArray[Any]

#: Nodes of two trees over four features: preorder, (feature, mode, threshold, first, middle, end).
_NODES = (
    (0, Function.LESS_OR_EQUAL, 0.0, 0, 2, 4),
    (1, Function.GREATER, 0.5, 0, 1, 2),
    (2, Function.LESS, -0.25, 2, 3, 4),
    (3, Function.GREATER_OR_EQUAL, 0.125, 0, 1, 3),
    (0, Function.NOT, 1.0, 1, 2, 3),
)
_ROOTS = ((0, 3), (3, 2), (5, 0))


def every_rule() -> tuple[Program, tuple[Array, ...]]:
    """A program whose steps follow every rule, contractions and functions of several types, and its weights."""
    conv = convolution(6, 4, 6, groups=2)
    # Not random: roots over these numbers are pinned.
    weights: list[Array] = [scattered(each.shape) / np.float32(256) for each in conv.weights]
    types = [*conv.weights, tensor((5, 6), DType.INT32), tensor((3, 2), DType.INT32), tensor((3, 4), DType.INT8)]
    table = np.array([[f, m, 0, a, b, c] for f, m, _, a, b, c in _NODES], dtype=np.int32)
    table[:, 2] = np.array([threshold for _, _, threshold, _, _, _ in _NODES], dtype=np.float32).view(np.int32)
    weights += [table, np.array(_ROOTS, dtype=np.int32), scattered((3, 4)).astype(np.int8)]
    # Value 0 is the image, 1 a matrix of features, 2 the same kind of numbers in 8 bits.
    inputs = (tensor((1, 6, 6, 4)), tensor((5, 4)), tensor((5, 4), DType.UINT8))
    steps = (
        conv.steps[0],  # 3: convolution
        _pool(3),  # 4
        _best(3),  # 5: position of the greatest in a window
        _selected(3, 5),  # 6: what stands there
        _padded(4),  # 7
        step(Pointwise(function=Function.TANH, operands=(value(1, (4, 1)),)), (5, 4)),  # 8
        step(Rank(source=value(8, (4, 0)), extent=4, stride=1, axis=1, largest=True), (5, 3), DType.INT64),  # 9
        step(Tree(features=value(1, (4, 0)), feature_stride=1, nodes=2, roots=3, tree_axis=1), (5, 3), DType.INT32),
        _bytes(2),  # 11: sums of 8-bit products
        step(Pointwise(function=Function.LESS, operands=(value(1, (4, 1)), value(8, (4, 1)))), (5, 4), DType.BOOL),
        step(
            Pointwise(function=Function.WHERE, operands=(value(12, (4, 1)), value(1, (4, 1)), value(8, (4, 1)))), (5, 4)
        ),
    )
    outputs = tuple(
        ProgramOutput(value=number, shape=shape)
        for number, shape in ((6, (54,)), (7, (8, 8, 6)), (9, (5, 3)), (10, (15,)), (11, (5, 3)), (13, (4, 5)))
    )
    return Program(inputs=inputs, weights=tuple(types), steps=steps, outputs=outputs), tuple(weights)


def scattered(shape: tuple[int, ...]) -> Array:
    """Integers from −128 to 127 without an evident order, as float32."""
    return (np.arange(math.prod(shape)) * 7919 % 256 - 128).astype(np.float32).reshape(shape)


def _pool(source: int) -> Step:
    made = average_pool(6, 6).steps[0]
    assert isinstance(made.body, Contract)
    return replace(made, body=replace(made.body, left=replace(made.body.left, tensor=source), lower=-0.5, upper=0.5))


def _best(source: int) -> Step:
    pooled = average_pool(6, 6, kernel=3, padding=1).steps[0].body
    assert isinstance(pooled, Contract)
    strided = [replace(each, clip=replace(each.clip, step=2)) for each in pooled.reductions if each.clip is not None]
    moves = replace(pooled.left, tensor=source, strides=(72, 12, 1))
    return step(Extremum(source=moves, reductions=tuple(strided), largest=True), (3, 3, 6), DType.INT64, virtual=True)


def _selected(source: int, index: int) -> Step:
    body = Lookup(
        source=value(source, (72, 12, 1), offset=-42),
        index=value(index, row_major((3, 3, 6))),
        extents=(3, 3),
        strides=(36, 6),
    )
    return step(body, (3, 3, 6))


def _padded(source: int) -> Step:
    piece = Piece(source=value(source, row_major((6, 6, 6))), starts=(1, 1, 0), stops=(7, 7, 6), every=(1, 1, 1))
    return step(Copy(pieces=(piece,), fill=0xBF800000), (8, 8, 6))


def _bytes(source: int) -> Step:
    body = Contract(
        left=value(source, (4, 0)),
        right=weight(4, (0, 4)),
        reductions=(Reduction(extent=4, left_stride=1, right_stride=1),),
        left_zero=128,
        right_zero=-3,
    )
    return step(body, (5, 3), DType.INT32)


def compiled(program: Program, weights: tuple[Array, ...], *, profile: Profile = Profile.EXACT) -> CompiledModel:
    """The façade over a hand-made program; in any profile its runs are exact, which every profile admits."""
    subject = Subject.commit(b"hand-made", lowered(program, weights), profile=profile)
    executor = ExactExecutor(program, weights)
    return CompiledModel(subject=subject, executor=executor, checker=executor, make_executor=ExactExecutor)


def lowered(program: Program, weights: tuple[Array, ...]) -> Lowered:
    """What the compiler would hand on."""
    inputs = [TensorSpec(name=f"in{n}", dtype=each.dtype, shape=each.shape) for n, each in enumerate(program.inputs)]
    outputs = [
        TensorSpec(name=f"out{n}", dtype=program.value(each.value).dtype, shape=each.shape)
        for n, each in enumerate(program.outputs)
    ]
    return Lowered(
        program=program,
        weights=weights,
        schema=Schema(inputs=tuple(inputs), outputs=tuple(outputs)),
        step_names=tuple(f"{each.rule.name.lower()} {number}" for number, each in enumerate(program.steps)),
    )


def random_inputs(model: CompiledModel, *, seed: int = 0) -> dict[str, Array]:
    """Inputs of every type that a model takes."""
    generator = np.random.default_rng(seed)
    found: dict[str, Array] = {}
    for spec in model.schema.inputs:
        shape = [size or 1 for size in spec.shape]
        if spec.dtype is DType.FLOAT32:
            found[spec.name] = generator.standard_normal(shape).astype(np.float32)
        else:
            found[spec.name] = generator.integers(0, 100, shape).astype(spec.dtype.numpy)
    return found


def corrupted(trace: Trace, number: int, index: int, bits: int) -> Trace:
    """The trace with other bits in one element, under roots of its own."""
    arrays = list(trace.values)
    arrays[number] = arrays[number].copy()
    flat = arrays[number].reshape(-1)[index : index + 1]
    flat.view(f"u{flat.itemsize}")[0] = bits
    return Trace.of(trace.subject, arrays)


def faults_of(model: CompiledModel, trace: Trace) -> list[Fault]:
    """All faults, however many."""
    return audit(trace, model.checker, model.make_executor, max_faults=1 << 30)
