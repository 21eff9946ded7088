"""The demo models, as ``scripts/train_models.py`` built them, with real rows to run them on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sworn.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleRow:
    """One row that the model was not trained on; arrays have the model's dtypes and shapes."""

    inputs: Mapping[str, NDArray[Any]]
    #: What the scikit-learn estimator says, equal to the ONNX model's outputs up to rounding.
    outputs: Mapping[str, NDArray[Any]]
    #: What is true.
    target: float


def model_names() -> tuple[str, ...]:
    """Names that the other functions take."""
    return tuple(_cards())


def model_card(name: str) -> dict[str, Any]:
    """Data set, estimator, tensors, held-out score and sha256 of a model; raises `ConfigurationError`."""
    cards = _cards()
    if name not in cards:
        raise ConfigurationError(f"no demo model {name!r}; there are {', '.join(cards)}")
    return cards[name]


def load_model(name: str) -> bytes:
    """The model's .onnx file; raises `ConfigurationError` for an unknown name."""
    file_name: str = model_card(name)["file"]
    return (files("sworn.testing") / "models" / file_name).read_bytes()


def example_rows(name: str) -> tuple[ExampleRow, ...]:
    """Rows of the held-out data with inputs, expected outputs and truth; raises `ConfigurationError`."""
    card = model_card(name)
    return tuple(
        ExampleRow(
            inputs=_arrays(card["inputs"], example["inputs"]),
            outputs=_arrays(card["outputs"], example["outputs"]),
            target=float(example["target"]),
        )
        for example in card["examples"]
    )


def _cards() -> dict[str, dict[str, Any]]:
    text = (files("sworn.testing") / "models" / "models.json").read_text(encoding="utf-8")
    return {card["name"]: card for card in json.loads(text)["models"]}


def _arrays(tensors: list[dict[str, Any]], values: dict[str, Any]) -> dict[str, NDArray[Any]]:
    return {
        tensor["name"]: np.array(values[tensor["name"]], dtype=tensor["dtype"]).reshape(tensor["shape"])
        for tensor in tensors
    }
