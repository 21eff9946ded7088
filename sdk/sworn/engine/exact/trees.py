"""Decision trees: the leaf that a row reaches, for all rows and trees at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sworn.engine.exact.kernels import Kernels
from sworn.engine.exact.views import Memory, grid
from sworn.errors import ModelMalformed
from sworn.model.program import Function, Program, Step, Tree

Array = NDArray[Any]
Run = Callable[[Memory], Array]

#: In the kernels' numbering.
_MODES = (
    Function.LESS_OR_EQUAL,
    Function.LESS,
    Function.GREATER_OR_EQUAL,
    Function.GREATER,
    Function.EQUAL,
    Function.NOT,
)
_FEATURE, _MODE, _THRESHOLD, _FIRST, _MIDDLE, _END = range(6)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TreeTables:
    """Trees as kernels walk them."""

    #: Where the features of each row and tree begin, int64 [rows, trees].
    starts: Array
    #: Feature and mode, int64 [nodes, 2].
    tests: Array
    #: float32 [nodes].
    thresholds: Array
    #: The node after a test that holds, and after one that does not; leaf l is −1 − l. int64 [nodes, 2].
    children: Array
    #: Where each tree starts, int64 [trees].
    roots: Array


def tree_tables(program: Program, step: Step, body: Tree, weights: Sequence[Array]) -> TreeTables:
    """The tables of a step. Raises `ModelMalformed` for tables that are no trees."""
    nodes, roots = weights[body.nodes].reshape(-1, 6), weights[body.roots].reshape(-1, 2)
    tests, thresholds, children, starts = _compile(nodes, roots)
    _check_features(program, step, body, nodes)
    axis, axes, source = body.tree_axis, step.axes, body.features
    base = grid(source.offset, axes, source.strides).reshape(axes)
    places = np.ascontiguousarray(np.moveaxis(base, axis, -1)).reshape(-1, axes[axis])
    return TreeTables(starts=places, tests=tests, thresholds=thresholds, children=children, roots=starts)


def plan_tree(program: Program, step: Step, body: Tree, *, kernels: Kernels, weights: tuple[Array, ...]) -> Run:
    """How leaves are found, all elements flat int32. Raises `ModelMalformed` for tables that are no trees."""
    tables = tree_tables(program, step, body, weights)
    axis, axes = body.tree_axis, step.axes
    rows = tuple(size for k, size in enumerate(axes) if k != axis)
    nodes = (tables.tests, tables.thresholds, tables.children, tables.roots)

    def run(memory: Memory) -> Array:
        out = np.empty(tables.starts.shape, dtype=np.int32)
        kernels.descend(memory.read(body.features), tables.starts, body.feature_stride, *nodes, out)
        leaves = np.moveaxis(out.reshape(*rows, axes[axis]), -1, axis)
        return np.ascontiguousarray(leaves).reshape(-1)

    return run


def _compile(nodes: Array, roots: Array) -> tuple[Array, Array, Array, Array]:
    """Tests [nodes, 2], thresholds [nodes], children [nodes, 2] and the node (or leaf) where each tree starts.

    In preorder a true side of n leaves, n − 1 nodes, follows its parent at once, and the false side follows that.
    """
    wide = nodes.astype(np.int64)
    number = np.arange(len(wide))
    first, middle, end = wide[:, _FIRST], wide[:, _MIDDLE], wide[:, _END]
    children = np.stack(
        [
            np.where(middle - first > 1, number + 1, -1 - first),
            np.where(end - middle > 1, number + (middle - first), -1 - middle),
        ],
        axis=1,
    )
    _check_shape(wide, roots.astype(np.int64), children)
    mode_numbers = {int(mode): number for number, mode in enumerate(_MODES)}
    if not set(wide[:, _MODE].tolist()) <= mode_numbers.keys():
        raise ModelMalformed("a tree node compares in an unknown mode")
    modes = np.array([mode_numbers[mode] for mode in wide[:, _MODE].tolist()], dtype=np.int64)
    thresholds = np.ascontiguousarray(nodes[:, _THRESHOLD]).view(np.float32) + np.float32(0.0)
    if np.isnan(thresholds).any():
        raise ModelMalformed("a tree node compares with NaN")
    starts = np.where(roots[:, 1] > 0, roots[:, 0], -1).astype(np.int64)
    return np.stack([wide[:, _FEATURE], modes], axis=1), thresholds, children, starts


def _check_shape(nodes: Array, roots: Array, children: Array) -> None:
    """Raises unless each node's leaves are split between its children, each tree's nodes being its own."""
    first, middle, end = nodes[:, _FIRST], nodes[:, _MIDDLE], nodes[:, _END]
    sound = bool(((first < middle) & (middle < end)).all())
    for side, (low, high) in enumerate(((first, middle), (middle, end))):
        inner = children[:, side] >= 0
        child = children[inner, side]
        sound = sound and bool((child < len(nodes)).all())
        sound = sound and bool(((nodes[child, _FIRST] == low[inner]) & (nodes[child, _END] == high[inner])).all())
    grown = roots[roots[:, 1] > 0]
    sound = sound and bool((roots[:, 1] >= 0).all())
    sound = sound and bool(((grown[:, 0] >= 0) & (grown.sum(axis=1) <= len(nodes))).all())
    if sound:
        top = nodes[grown[:, 0]]
        sound = bool(((top[:, _FIRST] == 0) & (top[:, _END] == grown[:, 1] + 1)).all())
    if not sound:
        raise ModelMalformed("a node table is no preorder of trees")


def _check_features(program: Program, step: Step, body: Tree, nodes: Array) -> None:
    """Raises unless every feature of every node lies in the tensor, whatever row reads it."""
    if not len(nodes) or not step.output.elements:
        return
    elements = program.type_of(body.features).elements
    features = nodes[:, _FEATURE].astype(np.int64) * body.feature_stride
    moves = [stride * (size - 1) for stride, size in zip(body.features.strides, step.axes, strict=True)]
    least = body.features.offset + sum(min(move, 0) for move in moves) + int(features.min())
    greatest = body.features.offset + sum(max(move, 0) for move in moves) + int(features.max())
    if least < 0 or greatest >= elements:
        raise ModelMalformed("a tree node compares a feature that no row has")
