"""Linear models and support vector machines of ai.onnx.ml."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from sworn.model.compiler.builder import MAX_ELEMENTS
from sworn.model.compiler.contractions import product
from sworn.model.compiler.operators import Call, lowers
from sworn.model.compiler.scores import (
    class_labels,
    feature_rows,
    label_above,
    label_of_greatest,
    post_transform,
    transformed,
    two_scores,
)
from sworn.model.compiler.steps import concatenated, pointwise, total
from sworn.model.compiler.values import Value, picked, transposed
from sworn.model.program import Function
from sworn.types import DType

_ML = "ai.onnx.ml"


@lowers("LinearRegressor", 1, domain=_ML)
def linear_regressor(call: Call) -> Value:
    """Gives x · wᵀ + b in one rounding, then the transform."""
    rows, targets = feature_rows(call), call.integer("targets", 1)
    return transformed(call, _scores(call, rows, targets), post_transform(call))


@lowers("LinearClassifier", 1, domain=_ML, ignored=("multi_class",))
def linear_classifier(call: Call) -> tuple[Value | None, Value]:
    """Label and scores; one score serves two classes, the second where it is above 0."""
    rows = feature_rows(call)
    count, labels = class_labels(call, integers="classlabels_ints")
    transform = post_transform(call)
    own = len(call.numbers("intercepts", ())) or len(call.numbers("coefficients")) // rows.shape[1]
    if own != count and (own, count) != (1, 2):
        raise call.refused(f"{own} scores do not fit {count} classes")
    scores = _scores(call, rows, own)
    if own == count:
        label = None if labels is None else label_of_greatest(call, scores, labels)
        return label, transformed(call, scores, transform)
    label = None if labels is None else label_above(call, picked(scores, 1, 0), 0.0, labels)
    return label, two_scores(call, scores, transform, share=True)


def _scores(call: Call, rows: Value, count: int) -> Value:
    weights, offsets = call.numbers("coefficients"), call.numbers("intercepts", ())
    if count < 1 or len(weights) != count * rows.shape[1] or len(offsets) not in (0, count):
        raise call.refused(
            f"{len(weights)} coefficients and {len(offsets)} intercepts for {count} targets of {rows.shape[1]} features"
        )
    bias = _vector(call, offsets) if offsets else None
    return product(call, rows, transposed(_matrix(call, weights, count), (1, 0)), bias=bias)


@lowers("SVMRegressor", 1, domain=_ML)
def svm_regressor(call: Call) -> Value:
    """Kernel values with each support vector, weighted and summed with ρ in one rounding."""
    rows, count = feature_rows(call), call.integer("n_supports", 0)
    weights, rho = call.numbers("coefficients"), call.numbers("rho")
    if call.integer("one_class", 0):
        raise call.refused("one_class is not supported")
    if post_transform(call) != "NONE" or len(rho) != 1 or count < 1 or len(weights) != count:
        raise call.refused("only one sum over support vectors without a transform is supported")
    kernels = _kernels(call, rows, count)
    return product(call, kernels, transposed(_matrix(call, weights, 1), (1, 0)), bias=_vector(call, rho))


@lowers("SVMClassifier", 1, domain=_ML)
def svm_classifier(call: Call) -> tuple[Value | None, Value]:
    """One-against-one decision values, and the label with the most votes; the first wins.

    Coupled probabilities and machines without support vectors are refused.
    """
    rows = feature_rows(call)
    count, labels = class_labels(call, integers="classlabels_ints")
    sizes, rho = call.integers("vectors_per_class", ()), call.numbers("rho")
    if call.numbers("prob_a", ()) or call.numbers("prob_b", ()):
        raise call.refused("coupled probabilities (prob_a, prob_b) are not supported: convert without probabilities")
    if post_transform(call) != "NONE" or len(sizes) != count or min(sizes, default=0) < 1 or count < 2:
        raise call.refused("only support vectors for every class, without a transform, are supported")
    weights, number = call.numbers("coefficients"), count * (count - 1) // 2
    if number * max(sum(sizes), count) > MAX_ELEMENTS:
        raise call.refused(f"{count} classes with {sum(sizes)} support vectors are too many")
    if len(weights) != (count - 1) * sum(sizes) or len(rho) != number:
        raise call.refused(f"{len(weights)} coefficients and {len(rho)} constants do not fit {count} classes")
    pairs = list(combinations(range(count), 2))
    table = _pair_weights(np.array(weights, np.float32).reshape(count - 1, -1), sizes, pairs)
    kernels = _kernels(call, rows, sum(sizes))
    decisions = product(call, kernels, transposed(call.build.constant(table), (1, 0)), bias=_vector(call, rho))
    label = None if labels is None else _voted(call, decisions, pairs, labels)
    if count > 2:
        return label, decisions
    return label, concatenated(call.build, [pointwise(call.build, Function.NEG, decisions), decisions], axis=1)


def _pair_weights(weights: npt.NDArray[Any], sizes: tuple[int, ...], pairs: list[tuple[int, int]]) -> npt.NDArray[Any]:
    """[pairs, vectors]: what each support vector weighs in each pair's decision; others weigh 0."""
    ends = np.cumsum(sizes)
    spans = [slice(end - size, end) for end, size in zip(ends, sizes, strict=True)]
    table = np.zeros((len(pairs), weights.shape[1]), np.float32)
    for row, (i, j) in enumerate(pairs):
        table[row, spans[i]] = weights[j - 1, spans[i]]
        table[row, spans[j]] = weights[i, spans[j]]
    return table


def _voted(call: Call, decisions: Value, pairs: list[tuple[int, int]], labels: tuple[int, ...]) -> Value:
    """A decision above 0 is a vote for the pair's first class, any other for its second."""
    build = call.build
    if len(labels) == 2:
        return label_above(call, picked(decisions, 1, 0), 0.0, labels[::-1])
    positive = pointwise(build, Function.LESS, build.scalar(0), decisions, dtype=DType.BOOL)
    positive = pointwise(build, Function.CAST, positive, dtype=DType.FLOAT32)
    # The second class of a pair begins with its vote and loses it where the decision is positive.
    gains, given = np.zeros((len(labels), len(pairs)), np.float32), np.zeros(len(labels), np.float32)
    for place, (i, j) in enumerate(pairs):
        gains[i, place], gains[j, place] = 1, -1
        given[j] += 1
    votes = product(call, positive, transposed(build.constant(gains), (1, 0)), bias=build.constant(given))
    return label_of_greatest(call, votes, labels)


def _kernels(call: Call, rows: Value, count: int) -> Value:
    """[N, count]: the kernel of each row with each support vector."""
    vectors, kind = call.numbers("support_vectors"), call.text("kernel_type", "LINEAR")
    if len(vectors) != count * rows.shape[1]:
        raise call.refused(f"{len(vectors)} numbers for {count} support vectors of {rows.shape[1]} features")
    gamma, coefficient, degree = (*call.numbers("kernel_params", ()), 0.0, 0.0, 0.0)[:3]
    build, table = call.build, _matrix(call, vectors, count)
    if kind == "RBF":
        features = rows.shape[1]
        wide = rows.view((rows.shape[0], 1, features), (rows.strides[0], 0, rows.strides[1]))
        distance = total(build, pointwise(build, Function.SUB, wide, table), (2,), keep=False, square=True)
        return pointwise(build, Function.EXP, pointwise(build, Function.MUL, build.scalar(-gamma), distance))
    inner = product(call, rows, transposed(table, (1, 0)))
    if kind == "LINEAR":
        return inner
    inner = pointwise(build, Function.MUL, inner, build.scalar(gamma))
    inner = pointwise(build, Function.ADD, inner, build.scalar(coefficient))
    if kind == "POLY":
        return pointwise(build, Function.POW, inner, alpha=degree)
    if kind == "SIGMOID":
        return pointwise(build, Function.TANH, inner)
    raise call.refused(f"kernel_type {kind} is unknown")


def _matrix(call: Call, numbers: tuple[float, ...], rows: int) -> Value:
    return call.build.constant(np.array(numbers, np.float32).reshape(rows, -1))


def _vector(call: Call, numbers: tuple[float, ...]) -> Value:
    return call.build.constant(np.array(numbers, np.float32))
