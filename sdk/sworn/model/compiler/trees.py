"""Tree ensembles: leaf numbers, a virtual step of leaf values, and their sum over the trees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from sworn.model.compiler.builder import MAX_ELEMENTS
from sworn.model.compiler.forest import MODES, Branch, Forest, plant
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
from sworn.model.compiler.steps import Sum, contract, extreme, near, pointwise
from sworn.model.compiler.values import Value, picked
from sworn.model.program import Function, Lookup, Pointwise, Reduction, Tree
from sworn.types import DType

_ML = "ai.onnx.ml"
_AGGREGATES = MappingProxyType({0: "AVERAGE", 1: "SUM", 2: "MIN", 3: "MAX"})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Ensemble:
    """Trees with a table float32 [leaves, targets] of what each leaf adds to each target."""

    forest: Forest
    weights: npt.NDArray[Any]
    #: Which entries of the table the model states; the others are 0.
    stated: npt.NDArray[Any]


#: Hit rates are statistics; where missing values go means nothing, since no feature is NaN.
_IGNORED = ("nodes_hitrates", "nodes_hitrates_as_tensor", "nodes_missing_value_tracks_true")


@lowers("TreeEnsembleRegressor", 1, 3, 5, domain=_ML, ignored=_IGNORED)
def tree_ensemble_regressor(call: Call) -> Value:
    """Aggregated leaf values, base values, transform."""
    rows, targets = feature_rows(call), call.integer("n_targets")
    ensemble = _ensemble(call, rows, "target", targets)
    base = _base_values(call, (targets,))
    result = _aggregated(call, rows, ensemble, base, call.text("aggregate_function", "SUM"))
    return transformed(call, result, post_transform(call))


@lowers("TreeEnsemble", 5, domain=_ML, ignored=_IGNORED)
def tree_ensemble(call: Call) -> Value:
    """The same from the newer encoding of trees, without base values."""
    rows, targets = feature_rows(call), call.integer("n_targets")
    aggregate = _AGGREGATES.get(call.integer("aggregate_function", 1), "unknown")
    # By its definition 1 is SOFTMAX and 2 LOGISTIC; onnxruntime has them the other way round.
    if call.integer("post_transform", 0):
        raise call.refused("post_transform is not supported here: its numbers are read in two ways")
    return _aggregated(call, rows, _newer_ensemble(call, rows, targets), None, aggregate)


@lowers("TreeEnsembleClassifier", 1, 3, 5, domain=_ML, ignored=_IGNORED)
def tree_ensemble_classifier(call: Call) -> tuple[Value | None, Value]:
    """Label and scores: class by class, or for two classes from the weights of one."""
    rows = feature_rows(call)
    count, labels = class_labels(call, integers="classlabels_int64s")
    transform = post_transform(call)
    if count < 2:
        raise call.refused("a classifier of one class is not supported")
    ensemble = _ensemble(call, rows, "class", count)
    used = [int(k) for k in np.flatnonzero(ensemble.stated.any(axis=0))]
    if count == 2 and len(used) == 1:
        return _by_one_weight(call, rows, ensemble, weighted=used[0], labels=labels, transform=transform)
    scores = _summed(call, rows, ensemble, _base_values(call, (count,) if count > 2 else ()))
    label = None
    if call.wanted(0) and labels is not None:
        if count == 2:
            raise call.refused("a label chosen between two classes with weights of their own is not supported")
        label = label_of_greatest(call, scores, labels)
    return label, transformed(call, scores, transform)


def _by_one_weight(
    call: Call, rows: Value, ensemble: _Ensemble, *, weighted: int, labels: Sequence[int] | None, transform: str
) -> tuple[Value | None, Value]:
    """Two classes, one with weights. Weights that are never negative are shares: the label turns at ½, else at 0.

    Weights of the first class are by convention the second class's; weights of the second leave the first at 0.
    """
    base = _base_values(call, (1,) if weighted == 0 else ())
    share = not bool((ensemble.weights < 0).any())
    if weighted == 0:
        weights, stated = ensemble.weights[:, :1], ensemble.stated[:, :1]
        ensemble = _Ensemble(forest=ensemble.forest, weights=weights, stated=stated)
    scores = _summed(call, rows, ensemble, base)
    label = None
    if labels is not None:
        label = label_above(call, picked(scores, 1, weighted), 0.5 if share else 0.0, labels)
    if weighted == 0:
        return label, two_scores(call, scores, transform, share=share)
    return label, transformed(call, scores, transform)


def _base_values(call: Call, lengths: tuple[int, ...]) -> tuple[float, ...] | None:
    """The base values, of which there may be none or one of the given numbers."""
    base = call.numbers("base_values", ())
    if base and len(base) not in lengths:
        raise call.refused(f"{len(base)} base values do not belong to these classes or targets")
    return base or None


def _aggregated(call: Call, rows: Value, ensemble: _Ensemble, base: tuple[float, ...] | None, aggregate: str) -> Value:
    """Leaf values [N, targets] over all trees. A base value joins the sum's rounding; other aggregates add it after."""
    build, trees = call.build, len(ensemble.forest.roots)
    if aggregate == "SUM":
        return _summed(call, rows, ensemble, base)
    if aggregate == "AVERAGE":
        result = _summed(call, rows, ensemble, None, divisor=trees)
    elif aggregate in ("MIN", "MAX"):
        if not ensemble.stated.all():
            raise call.refused(f"aggregate {aggregate} over leaves without a weight for every target")
        values = _leaf_values(call, rows, ensemble)
        result = extreme(build, values, (2,), largest=aggregate == "MAX", keep=False)
    else:
        raise call.refused(f"aggregate function {aggregate} is unknown")
    if base is None:
        return result
    return pointwise(build, Function.ADD, result, build.constant(np.array(base, np.float32)))


def _summed(call: Call, rows: Value, ensemble: _Ensemble, base: tuple[float, ...] | None, *, divisor: int = 1) -> Value:
    build = call.build
    values = near(build, _leaf_values(call, rows, ensemble), (2,))
    shape = values.shape[:2]
    bias = None if base is None else build.constant(np.array(base, np.float32))
    given = Sum(
        shape=shape,
        axes=shape,
        left=values.operand(values.strides[:2]),
        bias=None if bias is None else bias.operand((0, *bias.strides)),
        reductions=(Reduction(extent=values.shape[2], left_stride=values.strides[2]),),
        divisor=divisor,
    )
    return contract(build, given)


def _leaf_values(call: Call, rows: Value, ensemble: _Ensemble) -> Value:
    """[N, targets, trees]: what the leaf that a row reaches in each tree adds to each target."""
    build, table = call.build, call.build.constant(ensemble.weights)
    leaves = _leaves(call, rows, ensemble.forest)
    shape = (rows.shape[0], table.shape[1], leaves.shape[1])
    body = Lookup(
        source=table.operand((0, table.strides[1], 0)),
        index=leaves.operand((leaves.strides[0], 0, leaves.strides[1])),
        extents=(table.shape[0],),
        strides=(table.strides[0],),
    )
    return build.emit(DType.FLOAT32, shape, axes=shape, body=body, virtual=True)


def _leaves(call: Call, rows: Value, forest: Forest) -> Value:
    """int32 [N, trees]: the leaf that a row reaches in each tree, counted over all trees."""
    build, shape = call.build, (rows.shape[0], len(forest.roots))
    firsts = build.constant(forest.first_leaves)
    if not len(forest.nodes):
        return firsts.view(shape, (0, firsts.strides[0]))
    if build.array(rows) is not None:
        raise call.refused("the features are constant")
    body = Tree(
        features=rows.operand((rows.strides[0], 0)),
        feature_stride=rows.strides[1],
        nodes=build.constant(forest.nodes).tensor,
        roots=build.constant(forest.roots).tensor,
        tree_axis=1,
    )
    leaves = build.emit(DType.INT32, shape, axes=shape, body=body)
    if shape[1] == 1:
        return leaves
    operands = (leaves.operand(leaves.strides), firsts.operand((0, *firsts.strides)))
    return build.emit(
        DType.INT32, shape, axes=shape, body=Pointwise(function=Function.ADD, operands=operands), virtual=True
    )


def _ensemble(call: Call, rows: Value, kind: str, targets: int) -> _Ensemble:
    """Trees in the older encoding: parallel lists, leaves among the nodes; a tree's first node is its root."""
    trees, numbers = call.integers("nodes_treeids"), call.integers("nodes_nodeids")
    places = {key: place for place, key in enumerate(zip(trees, numbers, strict=False))}
    if len(places) != len(numbers) or len(trees) != len(numbers):
        raise call.refused("a node is given twice, or not in full")
    branches = _branches(call, rows, places)
    roots = {tree: place for place, tree in reversed(list(enumerate(trees)))}
    forest = _planted(call, [roots[tree] for tree in dict.fromkeys(trees)], branches)
    names = [f"{kind}_{part}" for part in ("treeids", "nodeids", "ids")]
    columns, numbers_of_leaves = [call.integers(name) for name in names], call.numbers(f"{kind}_weights")
    if {len(column) for column in columns} != {len(numbers_of_leaves)}:
        raise call.refused("the lists of weights have different lengths")
    weights: dict[int, list[tuple[int, float]]] = {}
    for tree, number, target, weight in zip(*columns, numbers_of_leaves, strict=True):
        weights.setdefault(places.get((tree, number), -1), []).append((target, weight))
    if weights.keys() & branches.keys() or -1 in weights:
        raise call.refused("a weight belongs to no leaf")
    return _with_weights(call, forest, weights, targets)


def _branches(call: Call, rows: Value, places: Mapping[tuple[int, int], int]) -> dict[int, Branch]:
    modes, features = call.texts("nodes_modes"), call.integers("nodes_featureids")
    thresholds = call.numbers("nodes_values")
    sides = call.integers("nodes_truenodeids"), call.integers("nodes_falsenodeids")
    if any(len(column) != len(places) for column in (modes, features, thresholds, *sides)):
        raise call.refused("the lists of nodes have different lengths")
    branches = {}
    for (tree, _), place in places.items():
        if modes[place] == "LEAF":
            continue
        children = [places.get((tree, side[place]), -1) for side in sides]
        branches[place] = _branch(
            call,
            rows,
            mode=modes[place],
            feature=features[place],
            threshold=thresholds[place],
            children=children,
        )
    return branches


def _branch(
    call: Call,
    rows: Value,
    *,
    mode: str,
    feature: int,
    threshold: float,
    children: Sequence[int],
) -> Branch:
    if mode not in MODES:
        raise call.refused(f"node mode {mode} is not supported")
    if not 0 <= feature < rows.shape[1] or isnan(threshold):
        raise call.refused(f"a node compares feature {feature} of {rows.shape[1]} with {threshold}")
    if min(children) < 0:
        raise call.refused("a node has a child that is not there")
    return Branch(feature=feature, mode=MODES[mode], threshold=threshold, when_true=children[0], when_false=children[1])


def _newer_ensemble(call: Call, rows: Value, targets: int) -> _Ensemble:
    """Trees in the newer encoding: inner nodes and leaves apart; leaf k has the key nodes + k."""
    splits, leaf_weights, modes = (
        call.tensor(name).reshape(-1) for name in ("nodes_splits", "leaf_weights", "nodes_modes")
    )
    if splits.dtype != np.float32 or leaf_weights.dtype != np.float32 or modes.dtype != np.uint8:
        raise call.refused("only float32 splits and weights with uint8 modes are supported")
    names, numbers, count = list(MODES), modes.tolist(), len(splits)
    features = call.integers("nodes_featureids")
    sides = [_children(call, side, count) for side in ("true", "false")]
    roots, ids = call.integers("tree_roots"), call.integers("leaf_targetids")
    if any(len(column) != count for column in (numbers, features, *sides)) or len(ids) != len(leaf_weights):
        raise call.refused("the lists of nodes or leaves have different lengths")
    if not all(0 <= root < count for root in roots):
        raise call.refused("a root is no node")
    branches, tops = {}, set(roots)
    for place in range(count):
        mode = names[numbers[place]] if numbers[place] < len(names) else "BRANCH_MEMBER"
        children = [side[place] if side[place] < count + len(ids) else -1 for side in sides]
        # A root with one leaf on both sides: a tree that is nothing but this leaf.
        if place in tops and children[0] == children[1] >= count:
            continue
        branches[place] = _branch(
            call,
            rows,
            mode=mode,
            feature=features[place],
            threshold=float(splits[place]),
            children=children,
        )
    forest = _planted(call, [root if root in branches else sides[0][root] for root in roots], branches)
    weights = {count + k: [(target, float(leaf_weights[k]))] for k, target in enumerate(ids)}
    return _with_weights(call, forest, weights, targets)


def _children(call: Call, side: str, count: int) -> list[int]:
    nodes, are_leaves = call.integers(f"nodes_{side}nodeids"), call.integers(f"nodes_{side}leafs")
    if len(nodes) != len(are_leaves):
        raise call.refused("the lists of nodes have different lengths")
    keys = zip(nodes, are_leaves, strict=True)
    return [-1 if node < 0 or (node >= count and not leaf) else node + count * bool(leaf) for node, leaf in keys]


def _planted(call: Call, roots: Sequence[int], branches: Mapping[int, Branch]) -> Forest:
    forest = plant(roots, branches)
    if forest is None:
        raise call.refused("a node has two parents")
    if not forest.leaves:
        raise call.refused("there are no trees")
    return forest


def _with_weights(
    call: Call, forest: Forest, weights: Mapping[int, Sequence[tuple[int, float]]], targets: int
) -> _Ensemble:
    shape = (len(forest.leaves), targets)
    if not 1 <= targets <= MAX_ELEMENTS // len(forest.leaves):
        raise call.refused(f"{targets} targets of {len(forest.leaves)} leaves")
    table, stated = np.zeros(shape, np.float32), np.zeros(shape, np.bool_)
    for place, leaf in enumerate(forest.leaves):
        for target, weight in weights.get(leaf, ()):
            if not 0 <= target < targets or stated[place, target]:
                raise call.refused(f"a leaf has two weights for target {target}, or it is not in 0..{targets - 1}")
            table[place, target], stated[place, target] = weight, True
    return _Ensemble(forest=forest, weights=table, stated=stated)
