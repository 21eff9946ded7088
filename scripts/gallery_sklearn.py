"""The gallery's linear model, neural network and trees, trained with scikit-learn on data that it brings along."""

from __future__ import annotations

from typing import Any

import numpy as np
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import r2_score
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from gallery_cards import Exhibit, Rows, accuracy
from train_models import BUNDLED, OPSETS, SEED

CANCER = "Breast Cancer Wisconsin (Diagnostic) by Wolberg, Street, Mangasarian: 569 cases, 30 measurements"
DIGITS = "Optical Recognition of Handwritten Digits by Alpaydin, Kaynak: the 1,797 8×8 images of its test part"
WINE = "Wine by Aeberhard, Forina: 178 wines of three cultivars, 13 measurements"
DIABETES = "Diabetes by Efron, Hastie, Johnstone, Tibshirani: 442 patients, 10 baseline variables, unscaled"
CLASSES = "label: the class; probabilities: one per class"


def sklearn_exhibits() -> list[Exhibit]:
    """All of them, trained."""
    return [logistic(), mlp(), forest(), boosting(), boosting_regression()]


def classifier(name: str, bunch: Any, trainee: Any, **notes: Any) -> Exhibit:
    """Trains a classifier on three quarters of a data set."""
    rows = bunch.data.astype(np.float32)
    train, held_out, train_targets, targets = train_test_split(
        rows, bunch.target, test_size=0.25, random_state=SEED, stratify=bunch.target
    )
    trainee.fit(train, train_targets)
    model = to_onnx(
        trainee,
        initial_types=[("features", FloatTensorType([1, rows.shape[1]]))],
        options={"zipmap": False},
        target_opset=OPSETS,
    )

    def predict(batch: Rows) -> dict[str, Rows]:
        return {"label": trainee.predict(batch), "probabilities": trainee.predict_proba(batch)}

    return Exhibit(
        name=name,
        model=model,
        predict=predict,
        framework="scikit-learn",
        rows=held_out,
        targets=targets,
        metric="accuracy",
        score=accuracy(targets, output="label"),
        notes={"licence": BUNDLED, "meaning": CLASSES, **notes},
    )


def logistic() -> Exhibit:
    """A linear classifier behind a scaler."""
    return classifier(
        "logistic",
        load_breast_cancer(),
        make_pipeline(StandardScaler(), LogisticRegression(C=0.5, max_iter=1000)),
        data=CANCER,
        estimator="StandardScaler, LogisticRegression(C=0.5)",
    )


def mlp() -> Exhibit:
    """A dense network with two hidden layers."""
    return classifier(
        "mlp",
        load_digits(),
        MLPClassifier(hidden_layer_sizes=(96, 48), alpha=0.01, max_iter=300, random_state=SEED),
        data=DIGITS,
        estimator="MLPClassifier(hidden_layer_sizes=(96, 48), alpha=0.01)",
    )


def forest() -> Exhibit:
    """Trees that are grown until every leaf is pure."""
    return classifier(
        "forest",
        load_digits(),
        RandomForestClassifier(n_estimators=12, random_state=SEED),
        data=DIGITS,
        estimator="RandomForestClassifier(n_estimators=12), depth not limited",
    )


def boosting() -> Exhibit:
    """Many shallow trees, one sequence for each class."""
    return classifier(
        "boosting",
        load_wine(),
        GradientBoostingClassifier(n_estimators=40, max_depth=3, random_state=SEED),
        data=WINE,
        estimator="GradientBoostingClassifier(n_estimators=40, max_depth=3)",
    )


def boosting_regression() -> Exhibit:
    """Many shallow trees that add up to a number."""
    data = load_diabetes(scaled=False)
    rows = data.data.astype(np.float32)
    train, held_out, train_targets, targets = train_test_split(rows, data.target, test_size=0.25, random_state=SEED)
    settings = {"n_estimators": 60, "max_depth": 3, "learning_rate": 0.05}
    estimator = GradientBoostingRegressor(**settings, random_state=SEED).fit(train, train_targets)
    model = to_onnx(
        estimator,
        initial_types=[("features", FloatTensorType([1, rows.shape[1]]))],
        final_types=[("progression", FloatTensorType([1, 1]))],
        target_opset=OPSETS,
    )
    return Exhibit(
        name="boosting_regression",
        model=model,
        predict=lambda batch: {"progression": estimator.predict(batch).reshape(-1, 1)},
        framework="scikit-learn",
        rows=held_out,
        targets=targets,
        metric="r2",
        score=lambda given: float(r2_score(targets, given["progression"])),
        notes={
            "data": DIABETES,
            "licence": BUNDLED,
            "estimator": "GradientBoostingRegressor(n_estimators=60, max_depth=3, learning_rate=0.05)",
            "meaning": "disease progression one year after baseline",
        },
    )
