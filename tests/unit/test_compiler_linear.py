from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from skl2onnx import to_onnx
from sklearn.datasets import make_classification, make_regression
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    Binarizer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    RobustScaler,
    StandardScaler,
)
from sklearn.svm import SVC, SVR
from tests.support.conformance import Case, cases
from tests.support.exactness import FLOAT, INT64, Array, Outputs, assert_exact, evaluate, one_node, serialised

import sworn.testing
from sworn.errors import ModelUnsupported
from sworn.model.compiler import lower

ML = "ai.onnx.ml"
ROWS = np.array([[1, -2, 0.5], [-1, -2, -3], [0, 0, 0], [-1, 0, -4]], np.float32)
LABELLED = [(INT64, [4]), (FLOAT, [4, 2])]
MODELS = Path(sworn.testing.__file__).parent / "models"
CASES = cases(frozenset({"ArrayFeatureExtractor", "Binarizer"}))
CARDS: list[dict[str, Any]] = json.loads((MODELS / "models.json").read_text())["models"]


@pytest.mark.parametrize("card", CARDS, ids=lambda card: str(card["name"]))
def test_demo_model_agrees_with_onnxruntime(card: dict[str, Any]) -> None:
    """Every committed model compiles, in the shapes that it states, and gives what onnxruntime gives."""
    model = (MODELS / card["file"]).read_bytes()
    spec = onnx.ModelProto.FromString(model).graph.input[0]
    shape = tuple(dim.dim_value for dim in spec.type.tensor_type.shape.dim)
    random = np.random.default_rng(0)
    for scale in (0.01, 1, 100):
        feed = (random.standard_normal(shape) * scale).astype(np.float32)
        assert_exact(model, {spec.name: feed}, rtol=1e-4)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize(
    "estimator",
    [
        LogisticRegression(),
        MLPClassifier((8, 5), max_iter=40, random_state=0),
        SVC(),
        SVC(kernel="linear"),
        SVC(kernel="poly"),
        SVC(kernel="sigmoid"),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_classifier_from_scikit_learn_agrees_with_onnxruntime(estimator: Any, classes: int) -> None:
    """Labels are equal; probabilities and decision values agree."""
    features, labels = make_classification(120, 8, n_informative=6, n_classes=classes, random_state=0)
    rows = features.astype(np.float32)
    pipeline = make_pipeline(StandardScaler(), estimator).fit(rows, labels)
    options = {"zipmap": False} | ({"raw_scores": True} if isinstance(estimator, SVC) else {})
    model = to_onnx(pipeline, rows[:1], options={id(pipeline[-1]): options}, target_opset=17)
    assert_exact(serialised(model), {"X": rows}, rtol=1e-4, atol=1e-5, samples=1)


@pytest.mark.parametrize(
    "estimator",
    [
        LinearRegression(),
        SVR(),
        SVR(kernel="poly"),
        MLPRegressor(hidden_layer_sizes=(8,), max_iter=40, random_state=0),
        make_pipeline(MinMaxScaler(), MaxAbsScaler(), RobustScaler(), Ridge()),
        make_pipeline(Normalizer("l1"), Ridge()),
        make_pipeline(Binarizer(), KBinsDiscretizer(3, encode="ordinal", strategy="uniform"), Ridge()),
    ],
    ids=lambda estimator: type(estimator[0] if hasattr(estimator, "steps") else estimator).__name__,
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_regressor_from_scikit_learn_agrees_with_onnxruntime(estimator: Any) -> None:
    """Scalers, encoders, linear and kernel machines, small networks."""
    features, targets = make_regression(100, 6, random_state=0)
    rows = features.astype(np.float32)
    model = to_onnx(estimator.fit(rows, targets), rows[:1], target_opset=17)
    assert_exact(serialised(model), {"X": rows}, rtol=1e-4, atol=1e-3, samples=1)


def ml(operator: str, outputs: Outputs, rows: Array = ROWS, **more: Any) -> bytes:
    """A model of one node of ai.onnx.ml over one input."""
    return one_node(operator, {"x": rows}, outputs, domain=ML, **more)


@pytest.mark.parametrize("transform", ["NONE", "LOGISTIC", "SOFTMAX"])
@pytest.mark.parametrize("rows", [1, 2])
def test_linear_classifier_of_two_classes_agrees(transform: str, rows: int) -> None:
    """One row of coefficients serves two classes, and so do two."""
    model = ml(
        "LinearClassifier",
        LABELLED,
        coefficients=[1.0, 0.5, 0.25, -1.0, -0.5, -0.25][: 3 * rows],
        intercepts=[0.125, 0.25][:rows],
        classlabels_ints=[7, 9],
        post_transform=transform,
    )
    assert_exact(model, {"x": ROWS})


@pytest.mark.parametrize("transform", ["NONE", "LOGISTIC", "SOFTMAX"])
def test_linear_regressor_of_two_targets_agrees(transform: str) -> None:
    """Transforms apply to regressors as well."""
    weights = [1.0, 0.5, 0.25, -1.0, -0.5, -0.25]
    model = ml("LinearRegressor", [(FLOAT, [4, 2])], coefficients=weights, targets=2, post_transform=transform)
    assert_exact(model, {"x": ROWS})


@pytest.mark.parametrize("norm", ["MAX", "L1", "L2"])
def test_normalizer_keeps_rows_whose_norm_is_zero(norm: str) -> None:
    """A row of zeros, and one whose greatest element is 0, stay as they are."""
    assert_exact(ml("Normalizer", [(FLOAT, [4, 3])], norm=norm), {"x": ROWS})


@pytest.mark.parametrize(
    ("operator", "rows", "output", "more"),
    [
        ("Scaler", ROWS, (FLOAT, [4, 3]), {"offset": [1.0], "scale": [2.0]}),
        ("Scaler", ROWS.astype(np.int64), (FLOAT, [4, 3]), {"offset": [1.0, 2, 3], "scale": [2.0, 3, 4]}),
        ("Binarizer", ROWS, (FLOAT, [4, 3]), {"threshold": 0.5}),
        ("Imputer", ROWS, (FLOAT, [4, 3]), {"imputed_value_floats": [5.0, 6.0, 7.0], "replaced_value_float": 0.0}),
        ("OneHotEncoder", ROWS, (FLOAT, [4, 3, 3]), {"cats_int64s": [0, 1, -2]}),
        (
            "LabelEncoder",
            np.array([[3, 4], [5, 9]]),
            (FLOAT, [2, 2]),
            {"keys_int64s": [3, 5, 7], "values_floats": [0.25, 0.5, 0.75], "default_float": -9.0},
        ),
        (
            "LabelEncoder",
            np.array([0.5, 1.5], np.float32),
            (INT64, [2]),
            {"keys_floats": [0.5, 0.25], "values_int64s": [3, 5]},
        ),
    ],
)
def test_preparation_of_features_agrees(
    operator: str, rows: Array, output: tuple[int, list[int]], more: dict[str, Any]
) -> None:
    """Scaling, thresholds, replacement and encodings by table."""
    assert_exact(ml(operator, [output], rows, **more), {"x": rows})


def test_label_encoder_with_equal_keys_takes_the_last() -> None:
    """As version 4 of the operator says."""
    keys = onnx.numpy_helper.from_array(np.array([1, 2, 1]))
    values = onnx.numpy_helper.from_array(np.array([10, 20, 30]))
    x = np.array([1, 2, 3])
    model = ml("LabelEncoder", [(INT64, [3])], x, ml_opset=4, keys_tensor=keys, values_tensor=values)
    lowered = lower(model, evaluate=evaluate)
    values_of_run = evaluate(lowered.program, lowered.weights, [x])
    assert values_of_run[lowered.program.outputs[0].value].tolist() == [30, 20, -1]


@pytest.mark.parametrize("fed", [("x",), ("x", "i")])
@pytest.mark.parametrize("rows", [ROWS, ROWS[0]], ids=["matrix", "vector"])
def test_elements_picked_from_rows_agree(rows: Array, fed: tuple[str, ...]) -> None:
    """By constant indices and by indices that are an input; a vector gives one row."""
    index = np.array([2, 0])
    output = [(FLOAT, [rows.size // 3, 2])]
    model = one_node("ArrayFeatureExtractor", {"x": rows, "i": index}, output, domain=ML, fed=fed)
    assert_exact(model, {name: array for name, array in (("x", rows), ("i", index)) if name in fed})


def test_columns_side_by_side_agree() -> None:
    """FeatureVectorizer."""
    inputs = {"x": ROWS, "z": ROWS[:, :2]}
    model = one_node("FeatureVectorizer", inputs, [(FLOAT, [4, 5])], fed=("x", "z"), domain=ML, inputdimensions=[3, 2])
    assert_exact(model, inputs)


@pytest.mark.parametrize(
    "model",
    [
        ml("LinearClassifier", LABELLED, coefficients=[1.0] * 6, intercepts=[0.0] * 2, classlabels_ints=[1, 2, 3]),
        ml("LinearRegressor", [(FLOAT, [4, 1])], coefficients=[1.0] * 3, post_transform="LOGISTIC"),
        ml("LinearRegressor", [(FLOAT, [4, 1])], coefficients=[1.0] * 4),
        ml("Scaler", [(FLOAT, [4, 3])], offset=[1.0, 2.0], scale=[1.0]),
        ml("OneHotEncoder", [(FLOAT, [4, 3, 1])], cats_int64s=[1], zeros=0),
    ],
)
def test_node_that_does_not_fit_is_refused(model: bytes) -> None:
    """Lengths that do not fit, failures on demand."""
    with pytest.raises(ModelUnsupported):
        lower(model, evaluate=evaluate)


def test_imputation_of_nan_changes_nothing() -> None:
    """No value is NaN: what would be filled in is never there."""
    node = ml("Imputer", [(FLOAT, [4, 3])], imputed_value_floats=[1.0], replaced_value_float=float("nan"))
    assert_exact(node, {"x": ROWS})


def test_maps_of_probabilities_are_refused_with_a_hint() -> None:
    """The message says how to convert the model instead."""
    rows = np.random.default_rng(0).standard_normal((20, 3)).astype(np.float32)
    model = to_onnx(LogisticRegression().fit(rows, rows[:, 0] > 0), rows[:1], target_opset=17)
    with pytest.raises(ModelUnsupported, match="zipmap=False"):
        lower(serialised(model), input_shapes={"X": (1, 3)}, evaluate=evaluate)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_node_of_onnx_gives_the_expected_values(case: Case) -> None:
    """The onnx package's own tests."""
    lowered = lower(case.model, input_shapes=dict(case.shapes), evaluate=evaluate)
    values = evaluate(lowered.program, lowered.weights, case.feeds)
    for output, expected in zip(lowered.program.outputs, case.expected, strict=True):
        np.testing.assert_allclose(values[output.value].reshape(output.shape), expected, rtol=case.rtol, atol=case.atol)
