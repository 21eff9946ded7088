"""What classifiers and regressors of ai.onnx.ml share: feature rows, transforms of scores, the choice of a label."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sworn.model.compiler.operators import Call
from sworn.model.compiler.reductions import normalised_exponentials
from sworn.model.compiler.steps import concatenated, pointwise, position
from sworn.model.compiler.values import Value
from sworn.model.program import Function, Lookup
from sworn.types import DType

_INTEGERS = frozenset({DType.INT32, DType.INT64})


def floats(call: Call, value: Value) -> Value:
    """The value as float32; integers are rounded."""
    if value.dtype in _INTEGERS:
        return pointwise(call.build, Function.CAST, value, dtype=DType.FLOAT32)
    if value.dtype is not DType.FLOAT32:
        raise call.refused(f"only float32, int32 and int64 are supported, not {value.dtype.name.lower()}")
    return value


def feature_rows(call: Call) -> Value:
    """The first input as float32 rows of features; a vector is one row."""
    value = floats(call, call.value(0))
    if value.rank == 1:
        return value.view((1, *value.shape), (0, *value.strides))
    if value.rank != 2:
        raise call.refused(f"the features have shape {value.shape}, which is no matrix")
    return value


def class_labels(call: Call, *, integers: str) -> tuple[int, tuple[int, ...] | None]:
    """Number of classes and their labels; None where the labels are texts."""
    texts = call.texts("classlabels_strings", ())
    labels = call.integers(integers, ())
    if bool(texts) == bool(labels):
        raise call.refused("class labels must be given either as integers or as texts")
    return (len(texts), None) if texts else (len(labels), labels)


def post_transform(call: Call) -> str:
    """The transform that a node asks for, by name."""
    name = call.text("post_transform", "NONE")
    if name not in ("NONE", "LOGISTIC", "SOFTMAX"):
        raise call.refused(f"post_transform {name} is not supported")
    return name


def transformed(call: Call, scores: Value, transform: str) -> Value:
    """Scores [N, classes] after a transform; of one score alone no transform is defined alike everywhere."""
    if transform == "NONE":
        return scores
    if scores.shape[1] == 1:
        raise call.refused(f"post_transform {transform} of a single score is not supported")
    if transform == "LOGISTIC":
        return pointwise(call.build, Function.SIGMOID, scores)
    return normalised_exponentials(call, scores, (1,), logarithm=False)


def two_scores(call: Call, score: Value, transform: str, *, share: bool) -> Value:
    """Scores [N, 2] of two classes from the one score [N, 1] of the second.

    LOGISTIC gives σ(−s), σ(s). Without it, a score that is a share gives 1 − s, s, any other −s, s; SOFTMAX changes
    nothing then.
    """
    build = call.build
    if transform == "LOGISTIC":
        other = pointwise(build, Function.SIGMOID, pointwise(build, Function.NEG, score))
        return concatenated(build, [other, pointwise(build, Function.SIGMOID, score)], axis=1)
    other = pointwise(build, Function.SUB, build.scalar(1), score) if share else pointwise(build, Function.NEG, score)
    return concatenated(build, [other, score], axis=1)


def label_above(call: Call, score: Value, threshold: float, labels: Sequence[int]) -> Value:
    """The second label where the score [N] is greater than a threshold, else the first."""
    build = call.build
    above = pointwise(build, Function.LESS, build.scalar(threshold), score, dtype=DType.BOOL)
    first, second = (build.scalar(label, dtype=DType.INT64) for label in labels)
    return pointwise(build, Function.WHERE, above, second, first, dtype=DType.INT64)


def label_of_greatest(call: Call, scores: Value, labels: Sequence[int]) -> Value:
    """The label of the greatest of scores [N, classes]; the first wins."""
    where = position(call.build, scores, (1,), largest=True, virtual=False)
    if tuple(labels) == tuple(range(len(labels))):
        return where
    return chosen(call, where, call.build.constant(np.array(labels, np.int64)))


def chosen(call: Call, index: Value, table: Value) -> Value:
    """Elements of a one-dimensional table by index."""
    body = Lookup(
        source=table.operand((0,) * index.rank),
        index=index.operand(index.strides),
        extents=table.shape,
        strides=table.strides,
    )
    return call.build.emit(table.dtype, index.shape, axes=index.shape, body=body)
