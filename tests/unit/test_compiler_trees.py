from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from skl2onnx import to_onnx
from sklearn.datasets import make_classification, make_regression
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from tests.support.exactness import FLOAT, INT64, Array, Outputs, assert_exact, evaluate, one_node, serialised

from sworn.errors import ModelUnsupported
from sworn.model.compiler import lower
from sworn.model.compiler.forest import Branch, plant
from sworn.model.program import Function, Rule

ML = "ai.onnx.ml"
ROWS = np.array([[0, 2], [1, -1], [0.5, 0], [3, 0.25], [-1, -7]], np.float32)
X: dict[str, Array] = {"x": ROWS}
#: Two trees: a node with a node on its false side, and a stump. The leaves are the nodes without children.
NODES: dict[str, Any] = {
    "nodes_treeids": [0] * 5 + [1] * 3,
    "nodes_nodeids": [0, 1, 2, 3, 4, 0, 1, 2],
    "nodes_featureids": [0, 0, 1, 0, 0, 1, 0, 0],
    "nodes_values": [0.5, 0.0, 0.25, 0.0, 0.0, -1.0, 0.0, 0.0],
    "nodes_truenodeids": [1, 0, 3, 0, 0, 1, 0, 0],
    "nodes_falsenodeids": [2, 0, 4, 0, 0, 2, 0, 0],
}
LEAVES = [(0, 1), (0, 3), (0, 4), (1, 1), (1, 2)]
SIGNED = (-0.3, 0.8, 0.25, -1.5, 0.7, 0.1, 1.25, -0.5, 0.4, -0.9, 0.6, 0.35, -0.2, 0.15, -0.05)


def ensemble(operator: str, outputs: Outputs, targets: list[int], weights: list[float], **more: Any) -> bytes:
    """A model of the two trees, each leaf weighing every one of the targets."""
    kind = "class" if operator.endswith("Classifier") else "target"
    entries = [(tree, node, target) for tree, node in LEAVES for target in targets]
    given: dict[str, Any] = {
        "nodes_modes": [f"BRANCH_{more.pop('mode', 'LEQ')}" if k in (0, 2, 5) else "LEAF" for k in range(8)],
        f"{kind}_treeids": [entry[0] for entry in entries],
        f"{kind}_nodeids": [entry[1] for entry in entries],
        f"{kind}_ids": [entry[2] for entry in entries],
        f"{kind}_weights": weights[: len(entries)],
    }
    return one_node(operator, {"x": ROWS}, outputs, domain=ML, **{**NODES, **given, **more})


def classifier(targets: list[int], weights: list[float], *, classes: int = 2, **more: Any) -> bytes:
    """The two trees as a classifier with the labels 7, 4, 9."""
    outputs = [(INT64, [5]), (FLOAT, [5, classes])]
    labels = [7, 4, 9][:classes]
    return ensemble("TreeEnsembleClassifier", outputs, targets, weights, classlabels_int64s=labels, **more)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize(
    "estimator",
    [
        RandomForestClassifier(25, random_state=0),
        GradientBoostingClassifier(n_estimators=12, random_state=0),
        ExtraTreesClassifier(5, max_depth=4, random_state=0),
        DecisionTreeClassifier(random_state=0),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_classifier_from_scikit_learn_agrees_with_onnxruntime(estimator: Any, classes: int) -> None:
    """Labels are equal and scores agree, for trees grown to the end and for boosted ones."""
    features, labels = make_classification(300, 8, n_informative=6, n_classes=classes, random_state=1)
    rows = features.astype(np.float32)
    estimator.fit(rows, labels)
    model = to_onnx(estimator, rows[:1], options={id(estimator): {"zipmap": False}}, target_opset=17)
    lowered = assert_exact(serialised(model), {"X": rows})
    assert lowered.program.steps[0].rule is Rule.TREE


@pytest.mark.parametrize(
    "estimator",
    [
        RandomForestRegressor(20, random_state=0),
        GradientBoostingRegressor(n_estimators=12, random_state=0),
        DecisionTreeRegressor(random_state=0),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_regressor_from_scikit_learn_agrees_with_onnxruntime(estimator: Any) -> None:
    """Means of trees and sums with a base value."""
    features, targets = make_regression(300, 6, random_state=1)
    rows = features.astype(np.float32)
    model = to_onnx(estimator.fit(rows, targets), rows[:1], target_opset=17)
    assert_exact(serialised(model), {"X": rows}, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("mode", ["LEQ", "LT", "GTE", "GT", "EQ", "NEQ"])
def test_node_mode_on_and_beside_the_threshold_agrees(mode: str) -> None:
    """Every comparison, with features equal to thresholds."""
    assert_exact(ensemble("TreeEnsembleRegressor", [(FLOAT, [5, 1])], [0], [*SIGNED], n_targets=1, mode=mode), X)


@pytest.mark.parametrize("aggregate", ["SUM", "AVERAGE", "MIN", "MAX"])
@pytest.mark.parametrize("base", [{}, {"base_values": [0.3, -0.8]}], ids=["", "base"])
def test_aggregate_over_two_targets_agrees(aggregate: str, base: dict[str, Any]) -> None:
    """Each aggregate, with and without base values."""
    more = {"n_targets": 2, "aggregate_function": aggregate, **base}
    assert_exact(ensemble("TreeEnsembleRegressor", [(FLOAT, [5, 2])], [0, 1], [*SIGNED], **more), X)


@pytest.mark.parametrize("transform", ["NONE", "LOGISTIC", "SOFTMAX"])
@pytest.mark.parametrize("base", [{}, {"base_values": [0.125]}], ids=["", "base"])
@pytest.mark.parametrize("shares", [False, True])
def test_two_classes_by_weights_of_the_first_agree(transform: str, base: dict[str, Any], shares: bool) -> None:
    """The label turns at ½ for weights that are never negative, else at 0; the scores have their own rules."""
    weights = [abs(weight) / 3 for weight in SIGNED] if shares else [*SIGNED]
    assert_exact(classifier([0], weights, post_transform=transform, **base), X)


@pytest.mark.parametrize("transform", ["NONE", "LOGISTIC", "SOFTMAX"])
def test_two_classes_by_weights_of_the_second_agree(transform: str) -> None:
    """The first class has the score 0."""
    assert_exact(classifier([1], [*SIGNED], post_transform=transform), X)


@pytest.mark.parametrize("transform", ["NONE", "LOGISTIC", "SOFTMAX"])
@pytest.mark.parametrize("base", [{}, {"base_values": [0.5, -0.5, 0.125]}], ids=["", "base"])
def test_three_classes_agree(transform: str, base: dict[str, Any]) -> None:
    """The label of the greatest score before the transform."""
    assert_exact(classifier([0, 1, 2], [*SIGNED], classes=3, post_transform=transform, **base), X)


def test_equal_scores_choose_the_first_label() -> None:
    """Ties are decided as onnxruntime decides them."""
    assert_exact(classifier([0, 1, 2], [0.1, 0.4, 0.4] * 5, classes=3), X)


def test_side_of_missing_values_changes_nothing() -> None:
    """No feature is NaN, so that exporters of boosted trees may say where NaN would go."""
    plain = classifier([0], [*SIGNED])
    tracking = classifier([0], [*SIGNED], nodes_missing_value_tracks_true=[1, 0] * 4)
    programs = [lower(model, evaluate=evaluate).program for model in (plain, tracking)]
    assert programs[0] == programs[1]
    assert_exact(tracking, X)


@pytest.mark.parametrize(
    "model",
    [
        classifier([0], [*SIGNED], base_values=[0.1, 0.2]),
        classifier([0, 1], [*SIGNED]),
        classifier([0], [*SIGNED], post_transform="PROBIT"),
        ensemble("TreeEnsembleRegressor", [(FLOAT, [5, 1])], [0], [*SIGNED], n_targets=1, post_transform="LOGISTIC"),
        ensemble("TreeEnsembleRegressor", [(FLOAT, [5, 1])], [1], [*SIGNED], n_targets=1),
        ensemble("TreeEnsembleRegressor", [(FLOAT, [5, 1])], [0], [*SIGNED], n_targets=1, nodes_featureids=[2] * 8),
        ensemble("TreeEnsembleRegressor", [(FLOAT, [5, 1])], [0], [*SIGNED], n_targets=1, mode="WHAT"),
        ensemble("TreeEnsembleRegressor", [(FLOAT, [5, 1])], [0], [*SIGNED], n_targets=1, nodes_falsenodeids=[0] * 8),
        ensemble("TreeEnsembleRegressor", [(FLOAT, [5, None])], [0], [*SIGNED], n_targets=1 << 40),
    ],
)
def test_ensemble_without_one_meaning_is_refused(model: bytes) -> None:
    """Transforms and labels that are read in several ways, nodes that are no trees."""
    with pytest.raises(ModelUnsupported, match="TreeEnsemble"):
        lower(model, evaluate=evaluate)


def test_label_as_text_that_nothing_reads_is_no_obstacle() -> None:
    """Scores do not need the labels."""
    model = ensemble(
        "TreeEnsembleClassifier",
        [(FLOAT, [5, 3])],
        [0, 1, 2],
        [*SIGNED],
        classlabels_strings=["a", "b", "c"],
    )
    unlabelled = _without_label(model)
    lowered = lower(unlabelled, evaluate=evaluate)
    assert [spec.shape for spec in lowered.schema.outputs] == [(5, 3)]


@pytest.mark.parametrize("average", [False, True])
def test_newer_encoding_with_a_tree_that_is_one_leaf_agrees(average: bool) -> None:
    """TreeEnsemble: inner nodes and leaves apart, one tree nothing but a leaf."""
    assert_exact(_newer(aggregate_function=0 if average else 1), X)


def test_newer_encoding_with_sets_or_transforms_is_refused() -> None:
    """Membership needs NaN as a separator; transforms are numbered in two ways."""
    sets = _newer(nodes_modes=_tensor([0, 6, 1], np.uint8), membership_values=_tensor([1.0], np.float32))
    for model in (sets, _newer(post_transform=1)):
        with pytest.raises(ModelUnsupported, match="TreeEnsemble"):
            lower(model, evaluate=evaluate)


def test_nodes_in_any_order_are_planted_in_preorder() -> None:
    """Leaves are numbered from the true side on, and a node says where its sides begin and end."""
    branches = {
        5: Branch(feature=3, mode=Function.LESS, threshold=-0.0, when_true=2, when_false=9),
        2: Branch(feature=1, mode=Function.NOT, threshold=1.5, when_true=7, when_false=8),
    }
    forest = plant([4, 5], branches)
    assert forest is not None
    one_and_a_half = int(np.float32(1.5).view(np.int32))
    assert forest.nodes.tolist() == [[3, 65, 0, 0, 2, 3], [1, 72, one_and_a_half, 0, 1, 2]]
    assert (forest.roots.tolist(), forest.first_leaves.tolist()) == ([[0, 0], [0, 2]], [0, 1])
    assert forest.leaves == (4, 7, 8, 9)


def test_node_with_two_parents_is_no_tree() -> None:
    """Neither a diamond nor a circle is planted."""
    branch = Branch(feature=0, mode=Function.LESS, threshold=0.0, when_true=1, when_false=1)
    assert plant([0], {0: branch, 1: branch}) is None


def _tensor(values: list[Any], dtype: Any) -> Any:
    return numpy_helper.from_array(np.array(values, dtype))


def _newer(**more: Any) -> bytes:
    attributes = {
        "n_targets": 2,
        "tree_roots": [0, 2],
        "nodes_modes": _tensor([0, 4, 1], np.uint8),
        "nodes_featureids": [0, 1, 0],
        "nodes_splits": _tensor([0.5, 0.25, 1.0], np.float32),
        "nodes_truenodeids": [1, 0, 3],
        "nodes_trueleafs": [0, 1, 1],
        "nodes_falsenodeids": [2, 1, 3],
        "nodes_falseleafs": [1, 1, 1],
        "leaf_targetids": [0, 1, 0, 1],
        "leaf_weights": _tensor([5.25, 12.0, -3.0, 2.0], np.float32),
    }
    return one_node("TreeEnsemble", X, [(FLOAT, [5, 2])], domain=ML, ml_opset=5, **{**attributes, **more})


def _without_label(model: bytes) -> bytes:
    proto = onnx.ModelProto.FromString(model)
    node = proto.graph.node[0]
    scores = node.output[0]
    del node.output[:]
    node.output.extend(["label", scores])
    return bytes(proto.SerializeToString())
