"""What the weights of a program must be: the types that it states, canonical values, trees that are trees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sworn.errors import ModelMalformed
from sworn.model.program import Function, Program, Step, Tree
from sworn.model.ranges import box_span

_COMPARISONS: Final = (
    Function.LESS_OR_EQUAL,
    Function.LESS,
    Function.GREATER_OR_EQUAL,
    Function.GREATER,
    Function.EQUAL,
    Function.NOT,
)


def validate_weights(program: Program, weights: Sequence[NDArray[Any]]) -> None:
    """Raises `ModelMalformed` unless the weights are what a valid program states, and its trees are well formed."""
    if len(weights) != len(program.weights):
        raise ModelMalformed(f"{len(weights)} weights for a program of {len(program.weights)}")
    for number, (array, stated) in enumerate(zip(weights, program.weights, strict=True)):
        if array.dtype != stated.dtype.numpy or array.shape != stated.shape:
            raise ModelMalformed(f"weight {number} is {array.dtype}{list(array.shape)}, not what the program states")
        if not all_canonical(array):
            raise ModelMalformed(f"weight {number} holds NaN, −0 or a bool other than 0 and 1")
    for number, step in enumerate(program.steps):
        if isinstance(step.body, Tree):
            try:
                _check_trees(program, step, step.body, weights)
            except ModelMalformed as error:
                raise ModelMalformed(f"step {number} (tree): {error}") from error


def all_canonical(array: NDArray[Any]) -> bool:
    """Whether every element may stand in a tensor; infinities may."""
    return not faulty(array).any()


def faulty(array: NDArray[Any]) -> NDArray[np.bool_]:
    """Which elements may not stand in any tensor: NaN, −0, bools other than 0 and 1."""
    if array.dtype == np.bool_:
        return np.asarray(array.view(np.uint8) > 1)
    if array.dtype.kind == "f":
        bits = array.view(f"u{array.dtype.itemsize}")
        return np.asarray(np.isnan(array) | (bits == 1 << (8 * array.dtype.itemsize - 1)))
    return np.zeros(array.shape, dtype=np.bool_)


def _check_trees(program: Program, step: Step, body: Tree, weights: Sequence[NDArray[Any]]) -> None:
    nodes, roots = weights[body.nodes], weights[body.roots]
    if ((roots < 0).any()) or (roots.sum(axis=1, dtype=np.int64) > len(nodes)).any():
        raise ModelMalformed("a tree leaves the node table")
    if not np.isin(nodes[:, 1], _COMPARISONS).all():
        raise ModelMalformed("a node compares in an unknown way")
    if np.isnan(np.ascontiguousarray(nodes[:, 2]).view(np.float32)).any():
        raise ModelMalformed("a node's threshold is NaN")
    if len(nodes):
        if int(nodes[:, 0].min()) < 0:
            raise ModelMalformed("a node asks for a negative feature")
        moves = (body.feature_stride, int(nodes[:, 0].max()) + 1)
        span = box_span(body.features.offset, [*zip(body.features.strides, step.axes, strict=True), moves])
        if not span.within(program.type_of(body.features).elements):
            raise ModelMalformed("a node asks for a feature that is not there")
    for first, count in roots.tolist():
        _check_tree(nodes[first : first + count, 3:].tolist())


def _check_tree(leaves: list[list[int]]) -> None:
    # In preorder a node's true side follows it; a side of n leaves has n − 1 nodes.
    expected = [(0, len(leaves) + 1)]
    for first, middle, end in leaves:
        while expected[-1][1] - expected[-1][0] == 1:
            expected.pop()
        if (first, end) != expected.pop() or not first < middle < end:
            raise ModelMalformed("a node's leaves are not those of a tree in preorder")
        expected += [(middle, end), (first, middle)]
